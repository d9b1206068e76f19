//! The loader on real files: what stock toolchains link is accepted whole, and no damage to it can make the loader, or
//! the reader of symbols and lines, panic.
//!
//! `MILLRACE_LONG=N` makes the property tests N times as long, `PROPTEST_RNG_SEED=N` seeds them.

use millrace_jit::image::{Debug, OwnedSegment, Permissions, Segment};
use millrace_jit::machine::{PAGE_BYTES, machine};
use millrace_jit::{ImageError, Machine, Program};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const GCC: &[u8] = include_bytes!("data/hello-gcc.elf");
const LLD: &[u8] = include_bytes!("data/hello-lld.elf");

fn version_1() -> &'static Machine {
    machine(1).expect("version 1 is part of every build")
}

fn load(elf: &[u8]) -> Result<Program, ImageError> {
    Program::load(elf, version_1())
}

fn layout(program: &Program) -> Vec<(u32, u32, usize, Permissions)> {
    let segments = program.segments().iter();
    segments
        .map(|segment| {
            (
                segment.address,
                segment.memory_len,
                segment.data.len(),
                segment.permissions,
            )
        })
        .collect()
}

#[test]
fn gnu_ld_links_headers_into_text() {
    let program = load(GCC).expect("a stock static ELF");
    let Segment { data, .. } = &program.segments()[0];
    assert_eq!(&data[..4], b"\x7fELF", "bytes at the start of the segment");
    let (address, text) = program.text();
    assert_eq!((address, text.len()), (0x1_0000, program.text_len() as usize));
    assert_eq!(
        text,
        &data[..],
        "text begins on a page, so nothing stands before it"
    );
    let kinds: Vec<_> = layout(&program).iter().map(|segment| segment.3).collect();
    assert_eq!(kinds, [Permissions::ReadExecute, Permissions::ReadWrite]);
    assert_eq!(
        program.heap_start(),
        0x1_3000,
        "two pages of data and bss from 0x11000"
    );
    let stack_pages = version_1().layout.stack_bytes / PAGE_BYTES;
    assert_eq!(program.entry_pages(), 2 + stack_pages, "data, bss and stack");
}

#[test]
fn lld_links_headers_and_constants_into_a_segment_of_their_own() {
    let program = load(LLD).expect("a stock static ELF");
    let kinds: Vec<_> = layout(&program).iter().map(|segment| segment.3).collect();
    assert_eq!(
        kinds,
        [
            Permissions::Read,
            Permissions::ReadExecute,
            Permissions::ReadWrite
        ]
    );
    let (address, text) = program.text();
    let segment = &program.segments()[1];
    let before = (address - segment.address) as usize;
    assert!(before > 0, "lld packs the file: text begins inside its page");
    assert!(
        segment.data[..before].iter().all(|byte| *byte == 0),
        "not the file's other bytes"
    );
    assert_eq!(text, &segment.data[before..]);
    assert_eq!(program.entry() % 2, 0);
}

#[test]
fn functions_and_lines_are_found() {
    for (name, elf) in [("gcc", GCC), ("lld", LLD)] {
        let debug = Debug::new(elf, version_1());
        let work = debug
            .functions()
            .find(|function| function.name == "work")
            .expect("work is a function");
        let inside = u64::from(work.address) + 4;
        let symbol = debug.symbol_at(inside).expect("an address of work");
        assert_eq!((symbol.name.as_str(), symbol.offset), ("work", 4), "{name}");
        let end = u64::from(work.address + work.len);
        assert_ne!(
            debug.symbol_at(end).map(|symbol| symbol.name).as_deref(),
            Some("work"),
            "{name}: past its end"
        );
        let line = debug.line_at(inside).expect("the file has DWARF");
        assert!(
            line.file.ends_with("hello.c") && (16..=20).contains(&line.line),
            "{name}: {line:?}"
        );
        assert_eq!(debug.symbol_at(0x10), None, "{name}: not in text");
        assert_eq!(debug.line_at(1 << 40), None, "{name}: not in text");
    }
}

#[test]
fn rust_names_are_demangled() {
    // `_start` becomes a Rust name of the same length wherever it stands.
    let mut elf = GCC.to_vec();
    for at in 0..elf.len() - 7 {
        if elf[at..].starts_with(b"_start\0") {
            elf[at..at + 6].copy_from_slice(b"_RC2ab");
        }
    }
    let debug = Debug::new(&elf, version_1());
    assert!(
        debug.functions().any(|function| function.name == "ab"),
        "{:?}",
        debug.functions().collect::<Vec<_>>()
    );
}

#[test]
fn a_file_without_sections_runs_without_names() {
    // e_shoff, e_shnum, e_shstrndx: consensus reads none of them.
    let mut elf = LLD.to_vec();
    elf[40..48].fill(0xff);
    elf[60..64].fill(0xff);
    assert_eq!(
        layout(&load(&elf).expect("sections are hints")),
        layout(&load(LLD).expect("valid"))
    );
    let debug = Debug::new(&elf, version_1());
    assert_eq!((debug.functions().count(), debug.line_at(0x1_1200)), (0, None));
}

fn owned(address: u32, memory_len: u32, data: &[u8], permissions: Permissions) -> OwnedSegment {
    OwnedSegment {
        address,
        memory_len,
        data: data.to_vec(),
        permissions,
    }
}

#[test]
fn segments_by_hand_are_validated_like_files() {
    let text = || owned(0x1_0004, 8, &[0x13, 0, 0, 0], Permissions::ReadExecute);
    let load = |segments, entry| Program::from_segments(segments, entry, version_1());
    let data = owned(0x2_0ff8, 16, &[1; 9], Permissions::ReadWrite);
    let program = load(vec![text(), data.clone()], 0x1_0004).expect("valid");
    assert_eq!(
        program.text(),
        (0x1_0004, &[0x13, 0, 0, 0][..]),
        "zeros behind the bytes are not text"
    );
    let expected = [
        (0x1_0000, 4096, 8, Permissions::ReadExecute),
        (0x2_0000, 8192, 0x1001, Permissions::ReadWrite),
    ];
    assert_eq!(
        layout(&program),
        expected,
        "rounded out to pages, data where it was"
    );
    assert_eq!(program.heap_start(), 0x2_2000);

    let (start, end) = (0x1_0004, 0x1_0008);
    for entry in [0x1_0005, 0x1_0008, 0x1_0000, 0] {
        let error = load(vec![text()], entry).expect_err("no instruction there");
        assert_eq!(
            error,
            ImageError::Entry {
                entry: entry.into(),
                start,
                end
            }
        );
    }
    let error = load(vec![data, text()], 0x1_0004).expect_err("descending");
    assert!(
        matches!(
            error,
            ImageError::Order {
                segment: 1,
                before: 0,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(load(vec![], 0).expect_err("empty"), ImageError::NoText);
    let empty = owned(0, 0, &[], Permissions::Read);
    load(vec![empty, text()], 0x1_0004).expect("a segment of no memory is nowhere");
}

#[test]
fn the_highest_segment_leaves_room_for_heap_and_stack() {
    let layout = &version_1().layout;
    let place = |end: u32| {
        let segments = vec![
            owned(0x1_0000, 2, &[1, 0], Permissions::ReadExecute),
            owned(end - PAGE_BYTES, PAGE_BYTES, &[], Permissions::ReadWrite),
        ];
        Program::from_segments(segments, 0x1_0000, version_1())
    };
    let highest = place(layout.image_end()).expect("the last page that an image may use");
    assert!(highest.heap_start() + layout.heap_max_bytes + layout.stack_guard_bytes <= layout.stack_bottom());
    let error = place(layout.image_end() + PAGE_BYTES).expect_err("one page more");
    assert!(matches!(error, ImageError::Address { segment: 1, .. }), "{error}");
}

/// Everything a validated program promises, whatever the file was.
fn assert_sound(program: &Program) {
    let machine = program.machine();
    let mut end = machine.layout.low_guard;
    let mut total = 0;
    for segment in program.segments() {
        assert!(
            segment.address >= end && segment.address.is_multiple_of(PAGE_BYTES),
            "{segment:?}"
        );
        assert!(
            segment.memory_len > 0 && segment.memory_len.is_multiple_of(PAGE_BYTES),
            "{segment:?}"
        );
        assert!(segment.data.len() <= segment.memory_len as usize, "{segment:?}");
        end = segment.address + segment.memory_len;
        total += segment.memory_len;
    }
    assert!(end <= machine.layout.image_end() && total <= machine.limits.max_image_bytes);
    assert_eq!(program.heap_start(), end);
    let (start, text) = program.text();
    assert_eq!(text.len(), program.text_len() as usize);
    assert!(
        (start..start + program.text_len()).contains(&program.entry()) && program.entry().is_multiple_of(2)
    );
    let executable = program
        .segments()
        .iter()
        .filter(|s| s.permissions == Permissions::ReadExecute);
    assert_eq!(executable.count(), 1);
}

/// Loads, and reads everything that is read for people.
fn survive(elf: &[u8]) {
    match load(elf) {
        Ok(program) => assert_sound(&program),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let debug = Debug::new(elf, version_1());
    for function in debug.functions() {
        let _ = debug.symbol_at(u64::from(function.address));
    }
    for pc in [0, 0x1_0100, 0x1_0122, 0x1_119a, 0x1_11b0, u64::MAX] {
        let _ = (debug.symbol_at(pc), debug.line_at(pc), debug.frames_at(pc));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the length of a test run is given by the environment"
)]
fn cases() -> u32 {
    let times = std::env::var("MILLRACE_LONG").map_or(1, |n| n.parse().expect("MILLRACE_LONG is a number"));
    3000 * times
}

/// Values that sit on the edges of fields.
fn interesting() -> impl Strategy<Value = u64> {
    let edges = vec![
        0,
        1,
        2,
        3,
        7,
        0x38,
        0x40,
        0xfff,
        0x1000,
        0x1001,
        0xffff,
        0x1_0000,
        0x7fff_ffff,
        0x8000_0000,
    ];
    let high = vec![
        0xfbfa_0000,
        0xffff_0000,
        u64::from(u32::MAX),
        1 << 32,
        u64::MAX >> 1,
        1 << 63,
        u64::MAX - 0xfff,
        u64::MAX,
    ];
    prop_oneof![
        prop::sample::select(edges),
        prop::sample::select(high),
        any::<u64>()
    ]
}

fn real() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![Just(GCC.to_vec()), Just(LLD.to_vec())]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bytes_never_panic(mut elf in real(), flips in vec((any::<Index>(), any::<u8>()), 1..12)) {
        for (index, byte) in flips {
            let at = index.index(elf.len());
            elf[at] = byte;
        }
        survive(&elf);
    }

    #[test]
    fn damaged_headers_never_panic(mut elf in real(), fields in vec((0_usize..64 + 6 * 56, 0_usize..4, interesting()), 1..5)) {
        for (at, width, value) in fields {
            let (at, len) = (at & !1, 1 << width);
            elf[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
        }
        survive(&elf);
    }

    #[test]
    fn damaged_sections_never_panic(mut elf in real(), fields in vec((any::<Index>(), 0_usize..4, interesting()), 1..8)) {
        // Section headers are at the end of these files; symbols and DWARF before them.
        let start = 0x240;
        for (index, width, value) in fields {
            let (at, len) = (start + index.index(elf.len() - start - 8), 1 << width);
            elf[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
        }
        survive(&elf);
    }

    #[test]
    fn cut_files_never_panic(elf in real(), len in any::<Index>(), from in 0_usize..2) {
        survive(&elf[from..from + len.index(elf.len() - from)]);
    }

    #[test]
    fn noise_behind_a_valid_header_never_panics(noise in vec(any::<u8>(), 0..2000)) {
        survive(&[&GCC[..56], &noise].concat());
    }

    #[test]
    fn random_segments_are_sound_or_refused(
        segments in vec((0_u32..40, 0_u32..0x2800, vec(any::<u8>(), 0..50), 0..3_u8), 1..6),
        entry in 0_u32..0x2_8000,
    ) {
        let segments = segments.into_iter().map(|(page, memory_len, data, kind)| {
            let permissions = [Permissions::ReadExecute, Permissions::Read, Permissions::ReadWrite][usize::from(kind)];
            owned(page * 0x800 + 0x1_0000, memory_len, &data, permissions)
        });
        if let Ok(program) = Program::from_segments(segments.collect(), entry, version_1()) {
            assert_sound(&program);
        }
    }
}
