//! Ways to lie: what can be changed in a JSON answer, drawn by seed.

use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

/// Where a value is in a JSON document.
pub type Place = Vec<Step>;

/// A step from a value to one in it.
#[derive(Clone, Debug)]
pub enum Step {
    /// To a field of an object.
    Field(String),
    /// To an item of a list.
    Item(usize),
}

/// The value at a place.
pub fn at<'a>(root: &'a mut Value, place: &[Step]) -> &'a mut Value {
    place.iter().fold(root, |value, step| match step {
        Step::Field(name) => &mut value[name],
        Step::Item(index) => &mut value[index],
    })
}

/// Every value in the document, the document itself first.
pub fn places(value: &Value, here: &Place, found: &mut Vec<Place>) {
    found.push(here.clone());
    let mut visit = |step, child| {
        let mut there = here.clone();
        there.push(step);
        places(child, &there, found);
    };
    match value {
        Value::Object(fields) => fields
            .iter()
            .for_each(|(name, child)| visit(Step::Field(name.clone()), child)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, child)| visit(Step::Item(index), child)),
        _ => {}
    }
}

/// Changes one thing in `value`; answers what it did. The document may come out as it was (two equal items swapped).
pub fn change(value: &mut Value, random: &mut ChaCha8Rng) -> String {
    let mut all = Vec::new();
    places(value, &Vec::new(), &mut all);
    let place = all[random.random_range(0..all.len())].clone();
    if random.random_ratio(1, 8)
        && let Some((last, parent)) = place.split_last()
    {
        return remove(at(value, parent), last, &place);
    }
    let what = change_value(at(value, &place), random);
    format!("{place:?}: {what}")
}

fn remove(parent: &mut Value, last: &Step, place: &Place) -> String {
    match (parent, last) {
        (Value::Object(fields), Step::Field(name)) => drop(fields.remove(name)),
        (Value::Array(items), Step::Item(index)) => drop(items.remove(*index)),
        (parent, _) => panic!("{place:?} is not in {parent}"),
    }
    format!("{place:?}: dropped")
}

fn change_value(value: &mut Value, random: &mut ChaCha8Rng) -> String {
    match value {
        Value::String(text) => change_text(text, random),
        Value::Array(items) if !items.is_empty() => change_list(items, random),
        Value::Number(number) => {
            let old = number.as_u64().expect("numbers of the surface are whole");
            let others = [old.wrapping_add(1), old.wrapping_sub(1), 0, u64::MAX, old ^ 8];
            let new = others[random.random_range(0..others.len())];
            *value = new.into();
            format!("{old} became {new}")
        }
        Value::Bool(flag) => {
            *flag = !*flag;
            format!("became {flag}")
        }
        Value::Null => {
            *value = Value::String("0x00".to_owned());
            "null became bytes".to_owned()
        }
        Value::Object(_) | Value::Array(_) => {
            *value = Value::Null;
            "became null".to_owned()
        }
    }
}

fn change_list(items: &mut Vec<Value>, random: &mut ChaCha8Rng) -> String {
    let (first, second) = (
        random.random_range(0..items.len()),
        random.random_range(0..items.len()),
    );
    match random.random_range(0..4) {
        0 => {
            items.truncate(first);
            format!("cut to {first} items")
        }
        1 => {
            items.swap(first, second);
            format!("items {first} and {second} swapped")
        }
        2 => {
            items[first] = items[second].clone();
            format!("item {second} in place of item {first} too")
        }
        _ => {
            items.push(items[first].clone());
            format!("item {first} again at the end")
        }
    }
}

/// Bytes in hex: one byte changed, cut, longer, or gone. Other text: a digit changed.
fn change_text(text: &mut String, random: &mut ChaCha8Rng) -> String {
    let digits = if text.starts_with("0x") { 2 } else { 0 };
    let count = text.len() - digits;
    match random.random_range(0..10) {
        0 => {
            text.push_str("00");
            "two digits more".to_owned()
        }
        1 if count >= 2 => {
            let left = random.random_range(0..count / 2) * 2;
            text.truncate(digits + left);
            format!("cut to {left} digits")
        }
        2 => {
            text.truncate(digits);
            "emptied".to_owned()
        }
        _ if count > 0 => {
            let at = digits + random.random_range(0..count);
            let old = text.as_bytes()[at];
            let choices: &[u8] = if digits > 0 {
                b"0123456789abcdef"
            } else {
                b"0123456789"
            };
            let new = loop {
                let new = choices[random.random_range(0..choices.len())];
                if new != old {
                    break new;
                }
            };
            text.replace_range(at..=at, &char::from(new).to_string());
            format!(
                "digit {} of {count}: {} became {}",
                at - digits,
                char::from(old),
                char::from(new)
            )
        }
        _ => {
            text.push('7');
            "a digit more".to_owned()
        }
    }
}
