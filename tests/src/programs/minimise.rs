//! Making a program that shows a difference smaller, and telling of it.

use super::check::{Difference, Loaded};
use super::guest::Guest;
use super::run::Setting;

/// Candidates that are tried at most.
const MOST_TRIES: usize = 3000;

/// Leaves out chunks and pieces, large ones first, as long as `fails` holds of what remains.
pub fn minimise(guest: &Guest, mut fails: impl FnMut(&Guest) -> bool) -> Guest {
    let mut smallest = guest.clone();
    let mut tries = 0;
    loop {
        let mut progress = false;
        let mut candidates: Vec<_> = smallest
            .chunks
            .iter()
            .enumerate()
            .flat_map(|(index, chunk)| {
                let whole = std::iter::once(0..chunk.items.len());
                whole
                    .chain(chunk.pieces.iter().cloned())
                    .map(move |piece| (index, piece))
            })
            .collect();
        candidates.sort_by_key(|(_, piece)| std::cmp::Reverse(piece.len()));
        for (chunk, piece) in candidates {
            if smallest.is_gone(chunk, &piece) {
                continue;
            }
            tries += 1;
            if tries > MOST_TRIES {
                return smallest;
            }
            let less = smallest.without(chunk, piece);
            if less.image().is_ok() && fails(&less) {
                smallest = less;
                progress = true;
            }
        }
        if !progress {
            return smallest;
        }
    }
}

/// A report of a difference between tiers: what, how to make the program again, and the smallest program found that
/// still shows one.
#[must_use]
pub fn report(guest: &Guest, setting: &Setting, difference: &Difference) -> String {
    let check = |guest: &Guest| {
        let image = guest.image().ok()?;
        let loaded = Loaded::new(|| image.program());
        let found = loaded.check(setting).difference?;
        Some((image, loaded, found))
    };
    let smallest = minimise(guest, |less| check(less).is_some());
    let Some((image, loaded, found)) = check(&smallest) else {
        return format!(
            "{}: {difference}\n(the difference did not show again)",
            guest.origin
        );
    };
    let pc = found
        .pc
        .or_else(|| found.event.and_then(|index| loaded.ecall_pc(setting, index)));
    let short = image.text.chunks.len() < 12 && image.text.bytes.len() < 1200;
    let listing = image.listing(if short { None } else { pc });
    format!(
        "{}, {setting:x?}\n{difference}\n\nMade smaller ({} of {} bytes of text):\n{found}\nat {pc:x?}\n{listing}",
        guest.origin,
        image.text.bytes.len(),
        guest.image().map_or(0, |image| image.text.bytes.len()),
    )
}
