//! What is told of native code, whoever is told.

use super::guest::Guest;
use crate::runtime::native::{Batch, Function, Place};

/// A native function.
#[derive(Debug)]
pub(super) struct Native<'a> {
    pub(super) name: String,
    /// Host address of the first byte.
    pub(super) start: u64,
    pub(super) code: &'a [u8],
    /// Ascending by offset; empty where nothing is known.
    pub(super) lines: Vec<Line<'a>>,
}

/// Where in the guest's source code native code comes from, up to the next of these.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Line<'a> {
    /// Bytes from the function's start.
    pub(super) offset: u32,
    /// As the guest's compiler recorded it.
    pub(super) file: &'a str,
    /// From 1; 0 where the source is not known.
    pub(super) line: u32,
}

/// All functions of a batch, ascending by address.
pub(super) fn describe<'a>(guest: &'a Guest, batch: &'a Batch) -> Vec<Native<'a>> {
    let bytes = batch.bytes();
    let part = |offset: u32, len: u32| {
        let code = &bytes[offset as usize..][..len as usize];
        (code.as_ptr() as u64, code)
    };
    let mut all = Vec::with_capacity(2 * batch.functions().len());
    for function in batch.functions() {
        let name = guest.name(function.entry);
        if function.thunk_len != 0 {
            let (start, code) = part(function.thunk, function.thunk_len);
            all.push(Native {
                name: format!("{name} (entry)"),
                start,
                code,
                lines: Vec::new(),
            });
        }
        let (start, code) = part(function.offset, function.len);
        all.push(Native {
            name: name_of(name, function),
            start,
            code,
            lines: lines(guest, &function.places),
        });
    }
    all.sort_unstable_by_key(|native| native.start);
    all
}

fn name_of(name: String, function: &Function) -> String {
    if function.is_real {
        name
    } else {
        format!("{name} (to tier 0)")
    }
}

/// The lines of places, each where it begins. What has no source, between what has, is line 0 of the file before.
fn lines<'a>(guest: &'a Guest, places: &[Place]) -> Vec<Line<'a>> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for place in places {
        let before = lines.last();
        let (file, line) = match (guest.line(place.pc), before) {
            (Some(found), _) => found,
            (None, Some(before)) => (before.file, 0),
            (None, None) => continue,
        };
        if before.is_none_or(|before| (before.file, before.line) != (file, line)) {
            lines.push(Line {
                offset: place.offset,
                file,
                line,
            });
        }
    }
    lines
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Two functions at made-up addresses.
    pub(in crate::profile) fn sample() -> Vec<Native<'static>> {
        let line = |offset, file, line| Line { offset, file, line };
        vec![
            Native {
                name: "guest::token::transfer".into(),
                start: 0x7000_1000,
                code: &[0x90, 0x90, 0x90, 0xc3],
                lines: vec![line(0, "/src/token.rs", 12), line(2, "/src/math.rs", 1200)],
            },
            Native {
                name: "guest::token::transfer+0x1c".into(),
                start: 0x7000_1010,
                code: &[0xc3],
                lines: Vec::new(),
            },
        ]
    }

    #[test]
    fn lines_begin_where_they_change_and_gaps_are_line_0() {
        let guest = Guest::with_lines(&[(0x100..0x108, "a.c", 1), (0x10c..0x110, "b.c", 7)]);
        let place = |offset, pc| Place { offset, pc };
        let places = [
            place(0, 0xfc),
            place(4, 0x100),
            place(8, 0x104),
            place(12, 0x108),
            place(16, 0x10c),
        ];
        let found: Vec<_> = lines(&guest, &places)
            .into_iter()
            .map(|line| (line.offset, line.file, line.line))
            .collect();
        assert_eq!(found, [(4, "a.c", 1), (12, "a.c", 0), (16, "b.c", 7)]);
    }
}
