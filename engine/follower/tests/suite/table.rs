//! Every way to lie, for every method that a follower calls: the table of docs/design/light-client.md.
//!
//! A cell stands for all lies of its row about one answer of its column. For each of them a follower asks a liar alone, then
//! the liar and an honest node, and these in the other order. Alone, nothing that is false comes out; what happens instead is
//! what the cell says. With the honest node the newest true answer comes out, always. `MILLRACE_BLESS=1` writes the table anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use millrace_follower::{Fault, FollowError, Options};
use serde_json::{Value, json};

use crate::lies::{Step, at, places};
use crate::proxy::{Exchange, Lie, Proxy, Reply, answer, honesty, with_error, with_result};
use crate::questions::{self, Known, exchange};
use crate::world::{Consensus, OPTIONS, World, spec};

const METHODS: [&str; 8] = [
    "chainSpec",
    "getHeaders",
    "getSettlement",
    "getAccount",
    "getStorage",
    "getCode",
    "getTransactionStatus",
    "getTransactionReceipt",
];

/// What liars draw on.
struct Scene {
    world: World,
    known: Vec<Known>,
    /// What the node answered while the chain was shorter.
    older: Vec<Exchange>,
    /// What it answers to other questions.
    others: Vec<Exchange>,
    /// Another chain, which answers the same questions.
    elsewhere: World,
}

/// All lies of a row about an exchange; none if the row makes no sense for it.
type Row = fn(&Exchange, &Scene) -> Vec<Reply>;

const ROWS: [(&str, Row); 19] = [
    ("a value changed", changed),
    ("a field dropped", field_dropped),
    ("an item dropped", item_dropped),
    ("null in place of it", null),
    ("bytes cut", bytes_cut),
    ("bytes added", bytes_added),
    ("items or bytes in another order", reordered),
    ("items repeated", repeated),
    ("an older answer again", replayed),
    ("the answer to another question", of_another_question),
    ("the answer of another chain", of_another_chain),
    ("the answer of another method", of_another_method),
    ("the answer to another request", of_another_request),
    ("an error", |exchange, _| vec![with_error(exchange)]),
    ("another status, no JSON", no_json),
    ("the message cut", message_cut),
    ("the connection closed", |_, _| vec![Reply::Raw(Vec::new())]),
    ("more than anybody takes", too_long),
    ("no answer, or half of one", stalled),
];

/// Places of the answer's result: of a long list the first items, one in the middle and the last.
fn some_places(result: &Value) -> Vec<Vec<Step>> {
    let mut all = Vec::new();
    places(result, &Vec::new(), &mut all);
    all.retain(|place| {
        (0..place.len()).all(|depth| match &place[depth] {
            Step::Field(_) => true,
            Step::Item(index) => {
                let mut root = result.clone();
                let len = at(&mut root, &place[..depth]).as_array().unwrap().len();
                [0, 1, len / 2, len - 1].contains(index)
            }
        })
    });
    all
}

/// The answer with each place of its result changed by `change`, which answers several forms or none.
fn at_each_place(exchange: &Exchange, change: impl Fn(&Value) -> Vec<Value>) -> Vec<Reply> {
    let result = &exchange.answer["result"];
    let mut replies = Vec::new();
    for place in some_places(result) {
        let mut root = result.clone();
        let old = at(&mut root, &place).clone();
        for new in change(&old) {
            let mut root = result.clone();
            *at(&mut root, &place) = new;
            replies.push(with_result(exchange, root));
        }
    }
    replies
}

fn digit_changed(text: &str, at: usize) -> Value {
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] = match bytes[at] {
        b'0'..=b'8' => bytes[at] + 1,
        b'9' => b'0',
        b'f' => b'e',
        byte if byte.is_ascii_hexdigit() => b'f',
        _ => b'7',
    };
    String::from_utf8(bytes).unwrap().into()
}

fn changed(exchange: &Exchange, _: &Scene) -> Vec<Reply> {
    at_each_place(exchange, |value| match value {
        Value::String(text) if text.is_ascii() && text.len() > 2 => {
            let first = if text.starts_with("0x") { 2 } else { 0 };
            let places = BTreeSet::from([first, text.len() / 2, text.len() - 1]);
            places
                .into_iter()
                .map(|place| digit_changed(text, place))
                .collect()
        }
        Value::Number(number) => {
            let number = number.as_u64().unwrap();
            vec![
                number.wrapping_add(1).into(),
                number.wrapping_sub(1).into(),
                u64::MAX.into(),
            ]
        }
        Value::Bool(flag) => vec![(!flag).into()],
        Value::Null => vec!["0x00".into(), 0.into()],
        _ => vec![],
    })
}

fn field_dropped(exchange: &Exchange, _: &Scene) -> Vec<Reply> {
    at_each_place(exchange, |value| {
        let fields = value.as_object().into_iter().flat_map(|fields| fields.keys());
        let without = |name: &String| {
            let mut fields = value.as_object().unwrap().clone();
            fields.remove(name);
            Value::Object(fields)
        };
        fields.map(without).collect()
    })
}

/// Other lists in place of each list that is not empty.
fn lists(exchange: &Exchange, change: impl Fn(&[Value]) -> Vec<Vec<Value>>) -> Vec<Reply> {
    at_each_place(exchange, |value| match value.as_array() {
        Some(items) if !items.is_empty() => change(items).into_iter().map(Value::Array).collect(),
        _ => vec![],
    })
}

fn item_dropped(exchange: &Exchange, _: &Scene) -> Vec<Reply> {
    lists(exchange, |items| {
        let without = |index: usize| [&items[..index], &items[index + 1..]].concat();
        let mut lists: Vec<_> = [0, items.len() / 2, items.len() - 1].map(without).into();
        lists.push(vec![]);
        lists
    })
}

fn null(exchange: &Exchange, _: &Scene) -> Vec<Reply> {
    let mut replies = vec![with_result(exchange, Value::Null)];
    replies.extend(at_each_place(exchange, |value| {
        if value.is_null() {
            vec![]
        } else {
            vec![Value::Null]
        }
    }));
    replies
}

/// Other bytes in place of each byte string.
fn byte_strings(exchange: &Exchange, change: impl Fn(&str) -> Vec<String>) -> Vec<Reply> {
    at_each_place(exchange, |value| {
        match value.as_str().and_then(|text| text.strip_prefix("0x")) {
            Some(digits) => {
                let forms = change(digits).into_iter();
                forms.map(|digits| format!("0x{digits}").into()).collect()
            }
            None => vec![],
        }
    })
}

fn bytes_cut(exchange: &Exchange, _: &Scene) -> Vec<Reply> {
    byte_strings(exchange, |digits| {
        let cut = |len: usize| digits[..len / 2 * 2].to_owned();
        vec![cut(0), cut(digits.len() / 2), cut(digits.len().saturating_sub(2))]
    })
}

fn bytes_added(exchange: &Exchange, _: &Scene) -> Vec<Reply> {
    byte_strings(exchange, |digits| {
        vec![format!("{digits}00"), format!("00{digits}"), digits.repeat(2)]
    })
}

fn reordered(exchange: &Exchange, _: &Scene) -> Vec<Reply> {
    let mut replies = lists(exchange, |items| {
        let reversed = items.iter().rev().cloned().collect();
        let mut swapped = items.to_vec();
        swapped.swap(0, items.len() - 1);
        vec![reversed, swapped]
    });
    replies.extend(byte_strings(exchange, |digits| {
        let pairs: Vec<&str> = (0..digits.len() / 2)
            .map(|pair| &digits[2 * pair..2 * pair + 2])
            .collect();
        vec![pairs.iter().rev().copied().collect()]
    }));
    replies
}

fn repeated(exchange: &Exchange, _: &Scene) -> Vec<Reply> {
    lists(exchange, |items| {
        let first = &items[..1];
        vec![
            [first, items].concat(),
            [items, first].concat(),
            [items, items].concat(),
            items.iter().cycle().take(300).cloned().collect(),
        ]
    })
}

/// Results of other exchanges in place of this one's.
fn results<'a>(exchange: &Exchange, others: impl Iterator<Item = &'a Exchange>) -> Vec<Reply> {
    let own = &exchange.answer["result"];
    let others = others.map(|other| &other.answer["result"]);
    let others = others.filter(|result| *result != own && !result.is_null());
    others
        .map(|result| with_result(exchange, result.clone()))
        .collect()
}

fn replayed(exchange: &Exchange, scene: &Scene) -> Vec<Reply> {
    results(
        exchange,
        scene.older.iter().filter(|older| older.method == exchange.method),
    )
}

fn of_another_question(exchange: &Exchange, scene: &Scene) -> Vec<Reply> {
    results(
        exchange,
        scene
            .others
            .iter()
            .filter(|other| other.method == exchange.method),
    )
}

fn of_another_chain(exchange: &Exchange, scene: &Scene) -> Vec<Reply> {
    let there = questions::exchange(&scene.elsewhere.url, &exchange.method, exchange.params.clone());
    results(exchange, [&there].into_iter())
}

fn of_another_method(exchange: &Exchange, scene: &Scene) -> Vec<Reply> {
    let mut one_each = BTreeMap::new();
    for other in scene
        .others
        .iter()
        .filter(|other| other.method != exchange.method)
    {
        one_each.insert(&other.method, other);
    }
    results(exchange, one_each.into_values())
}

fn of_another_request(exchange: &Exchange, _: &Scene) -> Vec<Reply> {
    let ids = [json!(u64::MAX), json!("1"), Value::Null];
    let with_id = |id| {
        let mut answer = exchange.answer.clone();
        answer["id"] = id;
        Reply::Body(answer.to_string().into_bytes())
    };
    ids.map(with_id).into()
}

fn no_json(exchange: &Exchange, _: &Scene) -> Vec<Reply> {
    let body = exchange.answer.to_string();
    vec![
        Reply::Raw(answer("500 Internal Server Error", body.as_bytes())),
        Reply::Raw(answer("204 No Content", b"")),
        Reply::Raw(b"what?\r\n\r\n".to_vec()),
        Reply::Body(b"<html>".to_vec()),
        Reply::Body(Vec::new()),
        Reply::Body(vec![0xff; 64]),
        Reply::Body(b"[".repeat(100_000)),
    ]
}

fn message_cut(exchange: &Exchange, _: &Scene) -> Vec<Reply> {
    let body = exchange.answer.to_string().into_bytes();
    let whole = answer("200 OK", &body);
    vec![
        Reply::Body(body[..body.len() / 2].to_vec()),
        Reply::Body(body[..body.len() - 1].to_vec()),
        Reply::Raw(whole[..whole.len() / 2].to_vec()),
        Reply::Raw(whole[..20].to_vec()),
    ]
}

fn too_long(exchange: &Exchange, _: &Scene) -> Vec<Reply> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let claimed = format!("{head}content-length: {}\r\n\r\n{}", 1_u64 << 40, exchange.answer);
    // The honest answer, but for its length.
    let long = format!("{}{}", exchange.answer, " ".repeat(3 << 20));
    let chunked = format!(
        "{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n",
        long.len()
    );
    vec![
        Reply::Raw(claimed.into_bytes()),
        Reply::Raw(answer("200 OK", long.as_bytes())),
        Reply::Raw(chunked.into_bytes()),
    ]
}

fn stalled(exchange: &Exchange, _: &Scene) -> Vec<Reply> {
    let whole = answer("200 OK", exchange.answer.to_string().as_bytes());
    vec![
        Reply::Stall(Vec::new()),
        Reply::Stall(whole[..whole.len() / 2].to_vec()),
    ]
}

/// The question that makes a follower call a method.
fn question_for(method: &str) -> usize {
    match method {
        "getStorage" => 2,
        "getCode" => 5,
        "getTransactionStatus" | "getTransactionReceipt" => 4,
        _ => 0,
    }
}

fn scene(commitment: millrace_types::Commitment) -> Scene {
    let mut world = World::new(spec(commitment, Consensus::Solo));
    world.deploy();
    world.increment(1);
    world.transfer(1, 0, 7);
    world.settle();
    let older = ask_everything(&world, &questions::all(&world));
    for nonce in 2..=4 {
        world.increment(nonce);
        world.transfer(1, nonce - 1, 100);
        world.settle();
    }
    let mut elsewhere = World::new(millrace_types::ChainSpec {
        genesis_timestamp_ms: 999,
        ..spec(commitment, Consensus::Solo)
    });
    elsewhere.deploy();
    for nonce in 1..=6 {
        elsewhere.increment(nonce);
        elsewhere.transfer(1, nonce - 1, 100);
        elsewhere.settle();
    }
    let known = questions::all(&world);
    let mut others = ask_everything(&world, &known);
    let newest = world.chain.head.height;
    for height in (0..=newest).step_by(2) {
        others.push(exchange(&world.url, "getHeaders", json!([height, 256])));
        others.push(exchange(&world.url, "getSettlement", json!([height])));
        let address = crate::sequencer::address(1);
        others.push(exchange(&world.url, "getAccount", json!([address, height, true])));
        others.push(exchange(
            &world.url,
            "getStorage",
            json!([world.counter, "0x636f756e74", height, true]),
        ));
        others.push(exchange(&world.url, "getCode", json!([world.counter, height])));
    }
    for hash in &world.sent {
        others.push(exchange(&world.url, "getTransactionStatus", json!([hash])));
        others.push(exchange(&world.url, "getTransactionReceipt", json!([hash, true])));
    }
    Scene {
        world,
        known,
        older,
        others,
        elsewhere,
    }
}

/// Exchanges of all questions, honestly answered.
fn ask_everything(world: &World, known: &[Known]) -> Vec<Exchange> {
    let proxy = Proxy::new(&world.url, honesty());
    for known in known {
        let answer = world.wait(known.ask_nodes(world, &[&proxy.url], &Options::default()));
        known.judge_newest(&answer.unwrap(), "honest");
    }
    proxy.exchanges()
}

/// Tells one reply in place of one answer, however often it is asked for.
fn in_place_of(told: &Exchange, reply: &Reply) -> Lie {
    let (told, reply) = (told.clone(), reply.clone());
    Box::new(move |exchange| {
        let same = exchange.method == told.method && exchange.params == told.params;
        if !same {
            return Reply::Honest;
        }
        // The request's own id, so that the lie is about what is asked and not about who asks.
        match &reply {
            Reply::Body(body) => match serde_json::from_slice::<Value>(body) {
                Ok(mut answer) if answer["id"] == told.answer["id"] => {
                    answer["id"] = exchange.answer["id"].clone();
                    Reply::Body(answer.to_string().into_bytes())
                }
                _ => reply.clone(),
            },
            _ => reply.clone(),
        }
    })
}

fn label(error: &FollowError) -> &'static str {
    match error {
        FollowError::NoAnswer { nodes, .. } => match &nodes[0].fault {
            Fault::Unreachable { .. } => "unreachable",
            Fault::TimedOut { .. } => "timed out",
            Fault::Refused { .. } => "refuses",
            Fault::Garbled { .. } => "garbled",
            Fault::Lied { .. } => "lied",
            Fault::OtherChain { .. } => "other chain",
            Fault::Withheld { .. } => "withheld",
            Fault::Behind { .. } => "behind",
            Fault::Empty { .. } => "empty",
        },
        FollowError::NotSettled { .. } => "not settled",
        FollowError::TooOld { .. } => "too old",
        other => panic!("{other}"),
    }
}

/// Runs one lie: alone, and with an honest node. Answers what came of it alone.
async fn run(scene: &Scene, method: &str, told: &Exchange, reply: &Reply, options: &Options) -> &'static str {
    let known = &scene.known[question_for(method)];
    let proxy = Proxy::new(&scene.world.url, in_place_of(told, reply));
    let why = format!("{method} {} answered by {reply:?}", told.params);
    let alone = known.ask_nodes(&scene.world, &[&proxy.url], options).await;
    let label = match &alone {
        Ok(answer) => {
            known.judge(answer, &why);
            "harmless"
        }
        Err(error) => label(error),
    };
    let (liar, honest) = (&*proxy.url, &*scene.world.url);
    for urls in [[liar, honest], [honest, liar]] {
        let both = known.ask_nodes(&scene.world, &urls, options).await;
        let both = both.unwrap_or_else(|error| panic!("{why}: {error}"));
        known.judge_newest(&both, &why);
    }
    label
}

fn table(commitment: millrace_types::Commitment) -> String {
    let scene = scene(commitment);
    let options = Options {
        deadline: Duration::from_secs(60),
        max_answer_bytes: 2 << 20,
        allowed_behind: 1,
    };
    let hurried = Options {
        deadline: Duration::from_secs(4),
        ..options.clone()
    };
    let exchanges = ask_everything(&scene.world, &scene.known);
    let mut text = format!(
        "| what is sent instead | {} |\n",
        METHODS.map(|method| format!("`{method}`")).join(" | ")
    );
    text += &format!("|{}\n", "---|".repeat(METHODS.len() + 1));
    let mut lies = 0;
    for (name, row) in ROWS {
        let options = if name.starts_with("no answer") {
            &hurried
        } else {
            &options
        };
        let told = METHODS.map(|method| {
            exchanges
                .iter()
                .find(|exchange| exchange.method == method)
                .unwrap()
        });
        let replies = told.map(|told| row(told, &scene));
        let cells = METHODS.iter().zip(told).zip(&replies);
        let runs = cells.flat_map(|((method, told), replies)| {
            let (scene, method) = (&scene, *method);
            replies
                .iter()
                .map(move |reply| async move { (method, run(scene, method, told, reply, options).await) })
        });
        let labels: BTreeSet<(&str, &str)> = scene.world.wait(together(runs)).into_iter().collect();
        lies += replies.iter().map(Vec::len).sum::<usize>();
        let cells = METHODS.map(|method| {
            let of_method = labels.iter().filter(|(of, _)| *of == method);
            let cell = of_method.map(|(_, label)| *label).collect::<Vec<_>>().join(", ");
            if cell.is_empty() { "–".to_owned() } else { cell }
        });
        text += &format!("| {name} | {} |\n", cells.join(" | "));
    }
    println!("{commitment:?}: {lies} lies, none believed");
    text
}

/// Runs work side by side on one thread, a few at a time.
async fn together<T>(work: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut work: Vec<_> = work.map(Box::pin).collect();
    let mut done = Vec::new();
    while !work.is_empty() {
        let rest = work.split_off(work.len().min(16));
        let mut finished: Vec<Option<T>> = work.iter().map(|_| None).collect();
        std::future::poll_fn(|context| {
            let mut waits = false;
            for (future, finished) in work.iter_mut().zip(&mut finished) {
                if finished.is_none() {
                    match future.as_mut().poll(context) {
                        std::task::Poll::Ready(value) => *finished = Some(value),
                        std::task::Poll::Pending => waits = true,
                    }
                }
            }
            if waits {
                std::task::Poll::Pending
            } else {
                std::task::Poll::Ready(())
            }
        })
        .await;
        done.extend(finished.into_iter().flatten());
        work = rest;
    }
    done
}

/// The table is the document's, between its marks; `bless` writes it.
fn documented(table: &str, bless: bool) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/design/light-client.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("<!-- lies -->\n").unwrap();
    let (found, after) = rest.split_once("<!-- /lies -->").unwrap();
    if bless && millrace_tests::tools::number("MILLRACE_BLESS", 0) > 0 {
        let text = format!("{before}<!-- lies -->\n{table}<!-- /lies -->{after}");
        std::fs::write(&path, text).unwrap();
        return;
    }
    assert_eq!(
        found, table,
        "run this test with MILLRACE_BLESS=1, and look at what changed"
    );
}

#[test]
fn no_lie_of_the_table_is_believed_and_the_truth_comes_from_the_next_node_under_option_b() {
    documented(&table(OPTIONS[0]), true);
}

#[test]
fn no_lie_of_the_table_is_believed_and_the_truth_comes_from_the_next_node_under_option_a() {
    documented(&table(OPTIONS[1]), false);
}
