//! Names and lines that are written to take a reader's time, memory or stack: each bound holds where it says, and what stays below it
//! is read.

use millrace_jit::image::Debug;
use millrace_jit::machine::{Machine, machine};

/// The function `f`, from here on.
const TEXT: u64 = 0x1_0000;
/// Its bytes.
const LEN: u64 = 0x100;

fn version_1() -> &'static Machine {
    machine(1).expect("version 1 is in the table")
}

fn uleb(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

/// How much of what a file has.
#[derive(Clone, Copy)]
struct Shape {
    units: usize,
    /// Inlined functions within each other, in `f`.
    nested: usize,
    /// Other functions, each with the same list of ranges.
    listed: usize,
    /// Ranges of that list.
    ranges: usize,
    /// Entries that mean nothing.
    entries: usize,
    /// Attributes of each, which take no bytes.
    attributes: usize,
    /// Bytes of abbreviations that nobody uses.
    abbreviations: usize,
    /// Rows of the line program that every unit refers to.
    rows: usize,
    files: usize,
    /// Bytes of the folder that all were compiled in.
    folder: usize,
}

const PLAIN: Shape = Shape {
    units: 1,
    nested: 1,
    listed: 1,
    ranges: 1,
    entries: 1,
    attributes: 1,
    abbreviations: 0,
    rows: 1,
    files: 1,
    folder: 1,
};

/// The sections of such a file, by name.
fn sections(shape: Shape) -> Vec<(&'static str, Vec<u8>)> {
    let place = [0x11, 0x01, 0x12, 0x07];
    let mut abbreviations = Vec::new();
    let mut abbreviation = |code: u8, tag: u8, children: u8, attributes: &[u8]| {
        abbreviations.extend([code, tag, children]);
        abbreviations.extend(attributes);
        abbreviations.extend([0, 0]);
    };
    // A unit with a line program and a folder; a function with a name; one that is inlined; one with ranges; a type.
    abbreviation(1, 0x11, 1, &[&place[..], &[0x10, 0x17, 0x1b, 0x0e]].concat());
    abbreviation(2, 0x2e, 1, &[&[0x03, 0x08][..], &place].concat());
    abbreviation(3, 0x1d, 1, &place);
    abbreviation(4, 0x2e, 0, &[0x55, 0x17]);
    abbreviation(5, 0x24, 0, &[0x3f, 0x19].repeat(shape.attributes));
    abbreviation(6, 0x24, 0, &[0x3f, 0x19].repeat(shape.abbreviations / 2));
    abbreviations.push(0);

    let placed = [TEXT.to_le_bytes(), LEN.to_le_bytes()].concat();
    let mut unit = Vec::new();
    // Version 4, abbreviations from 0 on, addresses of 8 bytes.
    unit.extend([4, 0, 0, 0, 0, 0, 8]);
    unit.push(1);
    unit.extend(&placed);
    unit.extend([0; 8]);
    unit.push(2);
    unit.extend(b"f\0");
    unit.extend(&placed);
    for _ in 0..shape.nested {
        unit.push(3);
        unit.extend(&placed);
    }
    unit.extend(vec![0; shape.nested + 1]);
    unit.extend([4, 0, 0, 0, 0].repeat(shape.listed));
    unit.extend(vec![5; shape.entries]);
    unit.push(0);
    let unit = [&(unit.len() as u32).to_le_bytes()[..], &unit].concat();

    let range = [LEN, LEN + 1].map(u64::to_le_bytes).concat();
    let ranges = [range.repeat(shape.ranges), vec![0; 16]].concat();

    let mut header = vec![1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0];
    header.extend(b"a\0\0\0\0".repeat(shape.files));
    header.push(0);
    let mut program = [&[0, 9, 2][..], &TEXT.to_le_bytes()].concat();
    program.extend(vec![1; shape.rows]);
    program.extend([&[2][..], &uleb(LEN), &[0, 1, 1]].concat());
    let body = [
        &[4, 0][..],
        &(header.len() as u32).to_le_bytes(),
        &header,
        &program,
    ]
    .concat();
    let lines = [&(body.len() as u32).to_le_bytes()[..], &body].concat();

    let folder = [vec![b'd'; shape.folder], vec![0]].concat();
    vec![
        (".debug_abbrev", abbreviations),
        (".debug_info", unit.repeat(shape.units)),
        (".debug_ranges", ranges),
        (".debug_line", lines),
        (".debug_str", folder),
    ]
}

/// An ELF file with these sections and nothing else; those named `.symtab` and `.strtab` are symbols and their names, and `.text` is
/// executable.
fn elf(sections: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    elf.extend([2, 0, 243, 0, 1, 0, 0, 0]);
    elf.extend([0; 40]);
    let (mut names, mut headers) = (vec![0], vec![0; 64]);
    let mut section = |elf: &mut Vec<u8>, name: &str, bytes: &[u8]| {
        let (kind, flags, link, size) = match name {
            ".symtab" => (2_u32, 0_u64, 3_u32, 24_u64),
            ".strtab" | ".shstrtab" => (3, 0, 0, 0),
            ".text" => (1, 6, 0, 0),
            _ => (1, 0, 0, 0),
        };
        let at = names.len() as u32;
        names.extend(name.as_bytes());
        names.push(0);
        headers.extend([at, kind].map(u32::to_le_bytes).concat());
        let contents = if name == ".shstrtab" {
            names.clone()
        } else {
            bytes.to_vec()
        };
        let place = [flags, 0, elf.len() as u64, contents.len() as u64];
        headers.extend(place.map(u64::to_le_bytes).concat());
        headers.extend([link, 1].map(u32::to_le_bytes).concat());
        headers.extend([1, size].map(u64::to_le_bytes).concat());
        elf.extend(contents);
    };
    for (name, bytes) in sections {
        section(&mut elf, name, bytes);
    }
    section(&mut elf, ".shstrtab", &[]);
    let count = sections.len() as u16 + 2;
    let table = elf.len() as u64;
    elf[40..48].copy_from_slice(&table.to_le_bytes());
    let halves = [64, 56, 0, 64, count, count - 1].map(u16::to_le_bytes).concat();
    elf[52..64].copy_from_slice(&halves);
    elf.extend(headers);
    elf
}

/// How many functions are found in `f`, and whether a line is.
fn found(shape: Shape) -> (usize, bool) {
    let elf = elf(&sections(shape));
    let debug = Debug::new(&elf, version_1());
    let frames = debug.frames_at(TEXT + 16);
    // Of functions within each other 64 are looked at.
    if let Some(outermost) = frames.last().filter(|_| frames.len() < 64) {
        assert_eq!(outermost.function.as_deref(), Some("f"));
    }
    (frames.len(), debug.line_at(TEXT + 16).is_some())
}

#[track_caller]
fn check(within: Shape, beyond: Shape) {
    assert_eq!(found(within), (within.nested + 1, true));
    assert_eq!(found(beyond), (0, false));
}

#[test]
fn what_a_file_says_once_is_read() {
    assert_eq!(found(PLAIN), (2, true));
}

#[test]
fn inlined_functions_within_each_other_are_bounded() {
    let nested = |nested| Shape { nested, ..PLAIN };
    assert_eq!(found(nested(50)), (51, true));
    assert_eq!(found(nested(128)), (64, true));
    assert_eq!(found(nested(129)), (0, false));
    // The parser would follow these until its stack is full.
    assert_eq!(found(nested(500_000)), (0, false));
}

#[test]
fn lists_of_ranges_are_counted_as_often_as_they_are_referred_to() {
    let shape = |listed| Shape {
        listed,
        ranges: 1000,
        ..PLAIN
    };
    check(shape(1000), shape(1100));
}

#[test]
fn units_are_bounded() {
    let shape = |units| Shape { units, ..PLAIN };
    check(shape(4096), shape(4097));
}

#[test]
fn attributes_without_bytes_are_counted() {
    let shape = |entries| Shape {
        entries,
        attributes: 10_000,
        ..PLAIN
    };
    check(shape(3000), shape(3400));
}

#[test]
fn abbreviations_are_counted_for_each_unit() {
    let shape = |units| Shape {
        units,
        abbreviations: 100_000,
        ..PLAIN
    };
    check(shape(40), shape(42));
}

#[test]
fn line_programs_are_counted_for_each_unit() {
    let shape = |units| Shape {
        units,
        rows: 100_000,
        ..PLAIN
    };
    check(shape(80), shape(84));
}

#[test]
fn files_are_counted_for_each_unit() {
    let shape = |units| Shape {
        units,
        files: 1000,
        ..PLAIN
    };
    check(shape(260), shape(263));
}

#[test]
fn paths_are_counted_for_each_file() {
    let shape = |files| Shape {
        files,
        folder: 100_000,
        ..PLAIN
    };
    check(shape(330), shape(340));
}

/// A mangled name whose parts say each other twice, `doublings` times.
fn doubling(doublings: usize) -> String {
    const DIGITS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let base_62 = |value: usize| match value {
        0 => "_".to_owned(),
        _ if value <= 62 => format!("{}_", DIGITS[value - 1] as char),
        _ => format!(
            "{}{}_",
            DIGITS[(value - 1) / 62] as char,
            DIGITS[(value - 1) % 62] as char
        ),
    };
    let first = "MC1a".len();
    let mut name = format!("_RMC1a{}u", "T".repeat(doublings));
    for part in 1..=doublings {
        name += &format!("B{}E", base_62(first + doublings - (part - 1)));
    }
    name
}

#[test]
fn a_name_that_says_itself_again_is_no_longer_than_others() {
    let named = |doublings| {
        let name = doubling(doublings);
        let mut symbol = [1_u32.to_le_bytes().to_vec(), vec![0x12, 0, 1, 0]].concat();
        symbol.extend([TEXT, LEN].map(u64::to_le_bytes).concat());
        let strings = [b"\0", name.as_bytes(), b"\0"].concat();
        let elf = elf(&[
            (".text", vec![0; 4]),
            (".symtab", [vec![0; 24], symbol].concat()),
            (".strtab", strings),
        ]);
        let debug = Debug::new(&elf, version_1());
        let function = debug.functions().next().expect("there is a symbol");
        (name, function.name)
    };
    assert_eq!(named(2).1, "<(((), ()), ((), ()))>");
    // 2^30 parts: the name is shown as it is in the file.
    let (raw, shown) = named(30);
    assert_eq!(raw, shown);
}
