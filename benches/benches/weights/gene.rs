//! Pieces that sequences are put together from, and the instructions that each becomes.

use millrace_jit::isa::{Class, Extension, F0, Form, forms};
use millrace_tests::asm::{Text, random_word};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::sequence::NUMBER;

/// State of the guest's generator of random numbers, its factor and increment.
pub const STATE: u8 = 4;
/// See [`STATE`].
pub const FACTOR: u8 = 5;
/// See [`STATE`].
pub const INCREMENT: u8 = 6;
const SCRATCH: u8 = 7;
const TARGET: u8 = 31;
const OTHER_LINK: u8 = 19;
/// What is computed with; compressed instructions reach these.
pub const VALUES: std::ops::RangeInclusive<u8> = 8..=15;
/// The same of floating point. The other registers keep the numbers that they start with, near the edges of their format:
/// results of results soon are infinite, zero or no numbers, which may be cheap.
pub const FLOAT_VALUES: std::ops::RangeInclusive<u8> = F0 + 8..=F0 + 15;
/// A value that starts out as zero and is seldom anything else.
pub const SUM: u8 = 16;
/// Two pointers into the chain.
pub const CHASERS: [u8; 2] = [20, 21];
/// Two addresses that are computed.
pub const MOVERS: [u8; 2] = [22, 23];
/// The middle of a page; just before the end of one; the middle of the page after the first; just before a line's end.
pub const FIXED: [u8; 4] = [24, 25, 26, 27];
/// What a mover moves by; the bits of it that stay; the region's start, which they are put on.
pub const STRIDE: u8 = 28;
/// See [`STRIDE`].
pub const MASK: u8 = 29;
/// See [`STRIDE`].
pub const BASE: u8 = 30;

/// Most instructions of one [`Gene::Shuffle`].
const MOST_SHUFFLED: u32 = 24_000;

/// A piece of a sequence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Gene {
    /// One instruction on values.
    Operation { form: &'static Form, word: u32 },
    /// Many random instructions of a class, which neither predictors nor small caches know by heart.
    Shuffle { class: Class, count: u32, seed: u64 },
    /// `ld p, 0(p)`.
    Chase { chaser: u8 },
    /// Moves an address by the stride, within the footprint.
    Stride { mover: u8 },
    /// Draws an address within the footprint; `steps` the generator, or takes other bits of the last number. With
    /// `waits`, the next number depends on the values that were loaded.
    Draw {
        mover: u8,
        shift: u8,
        steps: bool,
        waits: bool,
    },
    /// A load, store or atomic; of the floating-point register with the number of `data` if it is of floating point.
    Access {
        form: &'static Form,
        address: u8,
        data: u8,
        offset: i32,
    },
    /// Steps the generator and mixes it into a value.
    Scramble { value: u8 },
    /// A branch on a random bit, over nothing or over one instruction.
    Bit { shift: u8, skips: bool },
    /// A branch on two values.
    Compare {
        form: &'static Form,
        rs1: u8,
        rs2: u8,
        skips: bool,
    },
    /// A jump to one of 2^`log` places, chosen by random bits; a call of one of 2^`log` functions.
    Switch { log: u8, shift: u8, calls: bool },
    /// Calls that nest, each function its own, or one that calls itself.
    Calls { depth: u32, recursive: bool },
    /// A call whose function returns to another place than behind the call, below `depth` frames of others.
    Stray { depth: u32 },
    /// A call that is linked in a register that returns are not predicted from.
    OtherLink,
    /// Two pieces of code that call each other in turn, as coroutines do.
    Coroutine { turns: u8 },
    /// A host call that does nothing.
    HostCall,
    /// A jump over `bytes` of nothing.
    Far { bytes: u32 },
}

/// Functions are put together while the code that calls them is: places in it that wait for their addresses.
pub struct Emitter {
    /// The loop.
    pub code: Text,
    /// Functions, at addresses counted from 0.
    pub functions: Text,
    /// `jal` in the code: its offset, the link register, the function's address.
    calls: Vec<(usize, u8, u64)>,
}

impl Emitter {
    /// Nothing, to lie at `base`.
    pub fn new(base: u64) -> Self {
        Self {
            code: Text::new(base),
            functions: Text::new(0),
            calls: Vec::new(),
        }
    }

    fn call(&mut self, link: u8, function: u64) {
        self.calls.push((self.code.bytes.len(), link, function));
        self.code.op("jal", link, 0, 0, 0);
    }

    /// The code and the functions, which begin at `functions`. `None` if something is out of reach.
    pub fn link(mut self, functions: u64) -> Option<(Vec<u8>, Vec<u8>)> {
        for (offset, link, function) in &self.calls {
            let distance = functions + function - (self.code.base + *offset as u64);
            let distance = i32::try_from(distance).ok()?;
            let mut jump = Text::new(0);
            if distance >= 1 << 20 {
                return None;
            }
            jump.op("jal", *link, 0, 0, distance);
            self.code.bytes[*offset..*offset + 4].copy_from_slice(&jump.bytes);
        }
        Some((self.code.bytes, self.functions.bytes))
    }
}

impl Gene {
    /// Appends what it becomes.
    pub fn emit(&self, out: &mut Emitter) {
        match *self {
            Self::Operation { form, word } => out.code.emit_word(form, word),
            Self::Shuffle { class, count, seed } => shuffle(&mut out.code, class, count, seed),
            Self::Chase { chaser } => out.code.op("ld", chaser, chaser, 0, 0),
            Self::Stride { mover } => {
                out.code.op("add", mover, mover, STRIDE, 0);
                place(&mut out.code, mover);
            }
            Self::Draw {
                mover,
                shift,
                steps,
                waits,
            } => {
                if waits {
                    out.code.op("add", STATE, STATE, SUM, 0);
                }
                if steps {
                    step(&mut out.code);
                }
                out.code.op("srli", mover, STATE, 0, i32::from(shift));
                place(&mut out.code, mover);
            }
            Self::Access {
                form,
                address,
                data,
                offset,
            } => access(&mut out.code, form, address, data, offset),
            Self::Scramble { value } => {
                step(&mut out.code);
                out.code.op("xor", value, value, STATE, 0);
            }
            Self::Bit { shift, skips } => {
                out.code.op("slli", SCRATCH, STATE, 0, i32::from(shift));
                out.code.op("blt", 0, SCRATCH, 0, if skips { 8 } else { 4 });
                if skips {
                    out.code.op("addi", SCRATCH, SCRATCH, 0, 1);
                }
            }
            Self::Compare {
                form,
                rs1,
                rs2,
                skips,
            } => {
                out.code.op(form.name, 0, rs1, rs2, if skips { 8 } else { 4 });
                if skips {
                    out.code.op("addi", SCRATCH, SCRATCH, 0, 1);
                }
            }
            Self::Switch { log, shift, calls } => switch(&mut out.code, log, shift, calls),
            Self::Calls { depth, recursive } => {
                let function = if recursive {
                    out.code.op("addi", SCRATCH, 0, 0, depth as i32);
                    recursion(&mut out.functions)
                } else {
                    nest(&mut out.functions, depth, false)
                };
                out.call(1, function);
            }
            Self::Stray { depth } => {
                let function = nest(&mut out.functions, depth, true);
                out.call(1, function);
                out.code.op("addi", SCRATCH, SCRATCH, 0, 1);
            }
            Self::OtherLink => {
                let function = out.functions.here();
                out.functions.op("jalr", 0, OTHER_LINK, 0, 0);
                out.call(OTHER_LINK, function);
            }
            Self::Coroutine { turns } => {
                let function = out.functions.here();
                for _ in 0..turns {
                    out.functions.op("jalr", 1, 1, 0, 0);
                }
                out.functions.op("jalr", 0, 1, 0, 0);
                out.call(1, function);
                for _ in 0..turns {
                    out.code.op("jalr", 1, 1, 0, 0);
                }
            }
            Self::HostCall => out.code.op("ecall", 0, 0, 0, 0),
            Self::Far { bytes } => {
                out.code.op("jal", 0, 0, 0, bytes as i32 + 4);
                out.code.gap(bytes as usize);
            }
        }
    }
}

fn step(text: &mut Text) {
    text.op("mul", STATE, STATE, FACTOR, 0);
    text.op("add", STATE, STATE, INCREMENT, 0);
}

/// Puts a register's bits into the footprint.
fn place(text: &mut Text, register: u8) {
    text.op("and", register, register, MASK, 0);
    text.op("or", register, register, BASE, 0);
}

fn access(text: &mut Text, form: &Form, address: u8, data: u8, offset: i32) {
    let name = form.name;
    let is_float = matches!(form.extension, Extension::F | Extension::D);
    let data = if is_float { F0 + data } else { data };
    match form.op.class() {
        Class::Load => text.op(name, data, address, 0, offset),
        Class::Store => text.op(name, 0, address, data, offset),
        // Load-reserved has no second source, and no atomic has an immediate.
        _ if name.starts_with("lr.") => text.op(name, data, address, 0, 0),
        _ => text.op(name, data, address, data, 0),
    }
}

fn shuffle(text: &mut Text, class: Class, count: u32, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for _ in 0..count.min(MOST_SHUFFLED) {
        let (form, word) = operation(&mut random, class);
        text.emit_word(form, word);
    }
}

/// A random instruction of a class that computes, on values.
pub fn operation(random: &mut impl Rng, class: Class) -> (&'static Form, u32) {
    let wanted: Vec<&'static Form> = forms().iter().filter(|form| form.op.class() == class).collect();
    loop {
        let form = wanted[random.random_range(0..wanted.len())];
        // Reads of what is not computed here differ from run to run by addresses at most.
        let on_values = |operands: &millrace_jit::isa::Operands| {
            (VALUES.contains(&operands.rd) || FLOAT_VALUES.contains(&operands.rd))
                && operands.rs1 != NUMBER
                && operands.rs2 != NUMBER
        };
        if let Some((word, _)) = random_word(random, form, on_values) {
            return (form, word);
        }
    }
}

/// ```text
///     srli  s, state, shift       ┌ place: jal join      (or: jalr x0, 0(ra))
///     andi  s, s, (n - 1) * 4     │ place: jal join
///     auipc t, 0                  │ ...
///     add   t, t, s               │
///     jalr  x0, 12(t) ────────────┘ join:
/// ```
/// Calls jump over the functions and are made from behind them.
fn switch(text: &mut Text, log: u8, shift: u8, calls: bool) {
    let places = 1_i32 << log;
    if calls {
        text.op("jal", 0, 0, 0, places * 4 + 4);
        for _ in 0..places {
            text.op("jalr", 0, 1, 0, 0);
        }
    }
    text.op("srli", SCRATCH, STATE, 0, i32::from(shift));
    text.op("andi", SCRATCH, SCRATCH, 0, (places - 1) * 4);
    text.op("auipc", TARGET, 0, 0, 0);
    text.op("add", TARGET, TARGET, SCRATCH, 0);
    if calls {
        text.op("jalr", 1, TARGET, 0, -8 - places * 4);
    } else {
        text.op("jalr", 0, TARGET, 0, 12);
        for place in 0..places {
            text.op("jal", 0, 0, 0, (places - place) * 4);
        }
    }
}

/// Functions that call each other `depth` deep. `strays`: the innermost returns an instruction further.
fn nest(text: &mut Text, depth: u32, strays: bool) -> u64 {
    let outermost = text.here();
    for _ in 1..depth {
        text.op("addi", 2, 2, 0, -16);
        text.op("sd", 0, 2, 1, 0);
        // The next function is behind this one.
        text.op("jal", 1, 0, 0, 16 + if strays { 4 } else { 0 });
        if strays {
            text.op("addi", SCRATCH, SCRATCH, 0, 1);
        }
        text.op("ld", 1, 2, 0, 0);
        text.op("addi", 2, 2, 0, 16);
        text.op("jalr", 0, 1, 0, 0);
    }
    if strays {
        text.op("addi", 1, 1, 0, 4);
    }
    text.op("jalr", 0, 1, 0, 0);
    outermost
}

/// A function that calls itself as often as [`SCRATCH`] says.
fn recursion(text: &mut Text) -> u64 {
    let function = text.here();
    text.op("addi", SCRATCH, SCRATCH, 0, -1);
    text.op("beq", 0, SCRATCH, 0, 24);
    text.op("addi", 2, 2, 0, -16);
    text.op("sd", 0, 2, 1, 0);
    text.op("jal", 1, 0, 0, -16);
    text.op("ld", 1, 2, 0, 0);
    text.op("addi", 2, 2, 0, 16);
    // Where `beq` leads.
    text.op("jalr", 0, 1, 0, 0);
    function
}
