//! Making programs: functions are made callees first, so that what a function may cost and write is known where it is
//! called; every loop and recursion counts down, so that every program ends.
//!
//! - `emit`: single instructions, with what they may write and what they cost noted in the `Scope`;
//! - `straight`: code without control flow: random instructions, memory, atomics, idioms that compilers make;
//! - `floats`: floating point, in some programs;
//! - `flow`: branches, loops, graphs of blocks, tables, overlapping decodes;
//! - `calls`: calls of every kind, and `functions`: what is called;
//! - `contexts`: coroutines, `setjmp`;
//! - `traps`: what ends a program badly;
//! - `whole`: entry, exit and putting it together.

mod calls;
mod contexts;
mod emit;
mod floats;
mod flow;
mod functions;
mod straight;
mod traps;
mod whole;

use super::choices::Choices;
use super::code::{Chunk, Label};
use super::guest::{Fixup, Guest, Layout};

/// What kind of programs are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Functions besides the entry, about.
    pub functions: u64,
    /// Instructions executed in a turn, at most about.
    pub budget: u64,
    /// How often the entry does what it does, with what the turn before left in registers and memory.
    pub turns: u64,
    /// Deepest recursion.
    pub depth: u64,
    /// Only what qemu settles as the machine does, and Linux system calls.
    pub for_qemu: bool,
    /// Something in it traps.
    pub traps: bool,
    /// Recursions always go as deep as they may.
    pub deepest: bool,
    /// Statements in a body, at most.
    pub statements: u64,
}

impl Shape {
    /// Many functions, everything that there is.
    pub const WHOLE: Self = Self {
        functions: 14,
        budget: 200_000,
        turns: 1,
        depth: 20_000,
        for_qemu: true,
        traps: false,
        deepest: false,
        statements: 5,
    };

    /// The same for our own tiers alone: what qemu settles otherwise is in it too.
    pub const OURS: Self = Self {
        for_qemu: false,
        ..Self::WHOLE
    };

    /// Long runs: millions of instructions for each time that a program is compiled.
    pub const LONG: Self = Self {
        budget: 1_000_000,
        turns: 16,
        depth: 100_000 - 1,
        ..Self::OURS
    };

    /// Something in it traps.
    pub const TRAPS: Self = Self {
        budget: 20_000,
        depth: 2000,
        traps: true,
        ..Self::OURS
    };

    /// Few instructions, for runs at every gas limit.
    pub const SMALL: Self = Self {
        functions: 4,
        budget: 350,
        turns: 1,
        depth: 6,
        for_qemu: false,
        traps: false,
        deepest: false,
        statements: 3,
    };
}

/// A program of that shape.
#[must_use]
pub fn generate(choices: &mut Choices, shape: Shape, origin: String) -> Guest {
    Generator::new(choices, shape, origin).whole()
}

/// A program that calls itself so many times without returning, two million at most, at some 30 instructions each.
#[must_use]
pub fn generate_deep(choices: &mut Choices, depth: u64, for_qemu: bool, origin: String) -> Guest {
    let shape = Shape {
        functions: 1,
        budget: depth.saturating_mul(2000),
        turns: 1,
        depth,
        for_qemu,
        traps: false,
        deepest: true,
        statements: 1,
    };
    Generator::new(choices, shape, origin).deep()
}

/// A program of these bytes, behind code that sets all registers to numbers and addresses of data.
#[must_use]
pub fn raw(choices: &mut Choices, bytes: &[u8], origin: String) -> Guest {
    Generator::new(choices, Shape::SMALL, origin).raw(bytes)
}

/// What a function needs to be given beside its link.
#[derive(Clone, Copy, Debug)]
enum Need {
    /// A count of turns in this register, up to so many, each at most so dear.
    Count { register: u8, most: u64, each: u64 },
    /// The address of the deep memory in this register; its highest 16-aligned one for sp.
    Deep { register: u8 },
}

/// What can be called.
#[derive(Clone, Debug)]
struct Function {
    label: Label,
    /// The register that has the return address.
    link: u8,
    /// Registers that may be different after it, its link not among them: a bit mask.
    clobbers: u32,
    /// Instructions executed, at most.
    cost: u64,
    needs: Vec<Need>,
    /// It may return so many bytes behind the call; instructions begin at all multiples of 4 up to there.
    skips: u8,
    /// Stack that it and its callees need, in units of 256 bytes.
    frames: u32,
    /// It or a callee uses the deep memory, which has one user at a time.
    deep: bool,
}

/// Where code is being made.
#[derive(Clone, Debug)]
struct Scope {
    /// Registers that must not be written now.
    kept: u32,
    /// Registers written so far.
    written: u32,
    /// Instructions executed so far, at most.
    cost: u64,
    /// How often the place is executed at most each time the function is called.
    turns: u64,
    /// What `cost` should not pass by much.
    budget: u64,
    /// Nesting.
    depth: u32,
    /// Displacements from sp that loads and stores may use: start and end.
    locals: Option<(i32, i32)>,
    /// Where to jump to leave the function early.
    exit: Option<Label>,
    /// Stack that callees need at most, in units of 256 bytes.
    frames: u32,
    /// How much they may need.
    frames_limit: u32,
    /// Something here uses the deep memory.
    deep: bool,
    /// Nothing here may use it.
    in_deep: bool,
}

struct Generator<'a> {
    choices: &'a mut Choices,
    shape: Shape,
    origin: String,
    layout: Layout,
    chunks: Vec<Chunk>,
    chunk: Chunk,
    labels: usize,
    rodata: Vec<u8>,
    data: Vec<u8>,
    fixups: Vec<Fixup>,
    deep_len: u64,
    own_stack: bool,
    floats: floats::Floats,
    /// Holds the address [`HOME`](super::guest::HOME) always.
    home: u8,
    functions: Vec<Function>,
    /// Frames whose epilogues other functions may jump to.
    shared: Vec<functions::Frame>,
    scope: Scope,
    /// Control cells of data used so far.
    cells: u64,
    /// Coroutines and jump buffers used so far.
    contexts_used: u64,
    switch: Option<contexts::Switch>,
    millicode: Option<functions::Frame>,
    /// Bytes of tables in writable data used so far.
    tables: u64,
    /// Places left for something that traps.
    traps_left: u32,
    /// The last chunk's label, where text ends in the middle of a run.
    runoff: Option<Label>,
}

const RA: u8 = 1;
const SP: u8 = 2;
const T0: u8 = 5;
const A0: u8 = 10;
const A7: u8 = 17;
/// Every register but x0.
const ALL: u32 = !1;

/// The bit of an integer register in a mask; none of any other.
const fn bit(register: u8) -> u32 {
    if register < 32 { 1 << register & ALL } else { 0 }
}
