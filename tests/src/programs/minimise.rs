//! Making a program that shows a difference smaller, and telling of it.

use std::cmp::Reverse;
use std::ops::Range;

use super::check::{Difference, Loaded, check_qemu};
use super::guest::Guest;
use super::run::Setting;

/// Candidates that are tried at most between tiers, and with qemu, which takes its time to start.
const MOST_TRIES: usize = 3000;
const MOST_TRIES_QEMU: usize = 800;

/// Leaves out chunks, then pieces, then single instructions, as long as `fails` holds of what remains.
pub fn minimise(guest: &Guest, most_tries: usize, mut fails: impl FnMut(&Guest) -> bool) -> Guest {
    let mut smallest = guest.clone();
    let mut tries = 0;
    for single in [false, true] {
        loop {
            let mut progress = false;
            for (chunk, piece) in candidates(&smallest, single) {
                if smallest.is_gone(chunk, &piece) {
                    continue;
                }
                tries += 1;
                if tries > most_tries {
                    return smallest;
                }
                let less = smallest.without(chunk, piece);
                if less.image().is_ok() && fails(&less) {
                    smallest = less;
                    progress = true;
                }
            }
            if !progress {
                break;
            }
        }
    }
    smallest
}

/// What can be left out at once: chunk and run of items, the longest first.
fn candidates(guest: &Guest, single: bool) -> Vec<(usize, Range<usize>)> {
    let mut found = Vec::new();
    for (index, chunk) in guest.chunks.iter().enumerate() {
        let len = chunk.items.len();
        if single {
            found.extend((0..len).rev().map(|item| (index, item..item + 1)));
        } else {
            found.push((index, 0..len));
            found.extend(chunk.pieces.iter().map(|piece| (index, piece.clone())));
        }
    }
    found.sort_by_key(|(_, piece)| Reverse(piece.len()));
    found
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
    let smallest = minimise(guest, MOST_TRIES, |less| check(less).is_some());
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

/// The same for a difference from qemu.
#[must_use]
pub fn report_qemu(guest: &Guest, setting: &Setting, difference: &Difference) -> String {
    let check = |guest: &Guest| {
        let image = guest.image().ok()?;
        let reference = Loaded::new(|| image.program()).reference(setting);
        // What does not end here need not end there.
        let found = (reference.status == Some(0))
            .then(|| check_qemu(guest, &reference))
            .flatten()?;
        Some((image, found))
    };
    let smallest = minimise(guest, MOST_TRIES_QEMU, |less| check(less).is_some());
    let Some((image, found)) = check(&smallest) else {
        return format!(
            "{}: {difference}\n(the difference did not show again)",
            guest.origin
        );
    };
    format!(
        "{}\n{difference}\n\nMade smaller:\n{found}\n{}",
        guest.origin,
        image.listing(None)
    )
}
