//! Contracts that are assembled here.

use millrace_executor::host::number;
use millrace_tests::asm::Text;
use millrace_tests::elf::{self, R, RW, RX, Segment};

/// Where code begins.
pub const TEXT: u64 = 0x0002_0000;
/// Writable memory.
pub const DATA: u64 = 0x0200_0000;
/// Constants.
pub const CONSTANTS: u64 = 0x0180_0000;

const PAGE: u64 = 4096;
const A0: u8 = 10;
const A7: u8 = 17;
const TURNS: u8 = 8;
const PLACE: u8 = 9;
/// Where the first two arguments are kept, which host calls overwrite.
const KEPT: [u8; 2] = [18, 19];

/// Writable memory of a contract: its size, and what lies in it.
#[derive(Clone, Default)]
pub struct Data {
    /// Bytes of the segment.
    pub len: u64,
    /// Its first bytes.
    pub bytes: Vec<u8>,
}

/// An ELF file of that code, with writable data and constants.
pub fn file(text: Text, data: Data, constants: u64) -> Vec<u8> {
    let mut segments = vec![Segment::load(RX, TEXT, text.bytes)];
    if constants > 0 {
        segments.push(Segment {
            memory_len: constants,
            ..Segment::load(R, CONSTANTS, Vec::new())
        });
    }
    if data.len > 0 {
        segments.push(Segment {
            memory_len: data.len,
            ..Segment::load(RW, DATA, data.bytes)
        });
    }
    elf::file(TEXT, &segments)
}

/// Ends the frame with `len` bytes of output from the start of data.
pub fn end(text: &mut Text, len: u64) {
    text.set(A0, DATA);
    text.set(A0 + 1, len);
    text.op("addi", A7, 0, 0, number::RETURN as i32);
    text.op("ecall", 0, 0, 0, 0);
}

/// A contract that makes a host call with these arguments so many times. `varies`: where the turn's number is
/// written before each. `touches`: bytes of fresh heap that it writes to after each, a byte a page.
pub fn repeated(
    host_call: u64,
    arguments: &[u64],
    turns: u64,
    varies: Option<u64>,
    touches: u64,
    data: Data,
) -> Vec<u8> {
    let mut text = Text::new(TEXT);
    text.set(TURNS, turns);
    text.set(PLACE, varies.unwrap_or(DATA));
    for (register, argument) in KEPT.into_iter().zip(arguments) {
        text.set(register, *argument);
    }
    for (register, argument) in (A0..).zip(arguments).skip(KEPT.len()) {
        text.set(register, *argument);
    }
    text.op("addi", A7, 0, 0, host_call as i32);
    let turn = text.here();
    for (argument, register) in (A0..).zip(KEPT) {
        text.op("addi", argument, register, 0, 0);
    }
    if varies.is_some() {
        text.op("sd", 0, PLACE, TURNS, 0);
    }
    text.op("ecall", 0, 0, 0, 0);
    if touches > 0 {
        touch(&mut text, A0, touches / PAGE, true);
    }
    text.op("addi", TURNS, TURNS, 0, -1);
    let back = turn.wrapping_sub(text.here()) as i64 as i32;
    text.op("bne", 0, TURNS, 0, back);
    end(&mut text, 0);
    file(text, data, 0)
}

/// Touches so many pages from the one that `register` points to. It changes x5 to x7.
fn touch(text: &mut Text, register: u8, pages: u64, writes: bool) {
    text.set(5, pages);
    text.op("addi", 6, register, 0, 0);
    text.op("lui", 7, 0, 0, PAGE as i32);
    if writes {
        text.op("sb", 0, 6, 5, 0);
    } else {
        text.op("lb", 28, 6, 0, 0);
    }
    text.op("add", 6, 6, 7, 0);
    text.op("addi", 5, 5, 0, -1);
    text.op("bne", 0, 5, 0, -12);
}

/// A contract that writes to each of its pages of data and reads each of its pages of constants, and returns `output`
/// bytes.
pub fn toucher(data_pages: u64, constant_pages: u64, output: u64) -> Vec<u8> {
    let mut text = Text::new(TEXT);
    if data_pages > 0 {
        text.set(28, DATA);
        touch(&mut text, 28, data_pages, true);
    }
    if constant_pages > 0 {
        text.set(29, CONSTANTS);
        touch(&mut text, 29, constant_pages, false);
    }
    end(&mut text, output);
    let data = Data {
        len: data_pages * PAGE,
        bytes: Vec::new(),
    };
    file(text, data, constant_pages * PAGE)
}

/// A contract with so many bytes of text, of which it runs one jump in each page; `mark` makes its file different from
/// others.
pub fn spread(text_bytes: u64, mark: u64) -> Vec<u8> {
    // `c.addi a0, 1`, twice: every halfword is an instruction.
    const FILLER: [u8; 4] = [0x05, 0x05, 0x05, 0x05];
    let mut text = Text::new(TEXT);
    text.set(5, mark);
    for page in 1..text_bytes / PAGE {
        let next = TEXT + page * PAGE;
        let distance = next - text.here();
        text.op("jal", 0, 0, 0, distance as i32);
        while text.here() < next {
            text.bytes.extend(FILLER);
        }
    }
    end(&mut text, 0);
    file(text, Data::default(), 0)
}
