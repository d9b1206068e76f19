//! Assembling by the machine's own table of instruction forms.

use millrace_jit::isa::{Constraint, Form, Operands, decode, forms};
use rand::Rng;

/// The form of that name.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn form(name: &str) -> &'static Form {
    forms()
        .iter()
        .find(|form| form.name == name)
        .unwrap_or_else(|| panic!("no form is called {name}"))
}

/// Code that is being written, at addresses known from the start.
#[derive(Debug)]
pub struct Text {
    /// Address of the first byte.
    pub base: u64,
    /// What was emitted so far.
    pub bytes: Vec<u8>,
    /// Words that qemu 7.2 knows under another encoding: offset and what it is given.
    pub qemu_words: Vec<(usize, u32)>,
    /// Instructions that qemu 7.2 gets wrong: offset and operands. See [`Text::outline`].
    mistaken: Vec<(usize, Operands)>,
}

impl Text {
    /// Nothing yet, to lie at `base`.
    #[must_use]
    pub fn new(base: u64) -> Self {
        Self {
            base,
            bytes: Vec::new(),
            qemu_words: Vec::new(),
            mistaken: Vec::new(),
        }
    }

    /// Address of what is emitted next.
    #[must_use]
    pub fn here(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// Appends a word of `form`.
    ///
    /// # Panics
    /// If the word is not of that form.
    pub fn emit_word(&mut self, form: &Form, word: u32) {
        if let Some(word) = qemu_word(form, word) {
            self.qemu_words.push((self.bytes.len(), word));
        }
        if form.name == "ctzw" {
            let operands = form.decode(word).expect("the caller made a word of this form");
            self.mistaken.push((self.bytes.len(), operands));
        }
        self.bytes
            .extend_from_slice(&word.to_le_bytes()[..usize::from(form.length())]);
    }

    /// Appends an instruction.
    ///
    /// # Panics
    /// If the form cannot hold the operands.
    pub fn emit(&mut self, form: &Form, operands: Operands) {
        let word = form
            .encode(&operands)
            .unwrap_or_else(|| panic!("{} cannot hold {operands:?}", form.name));
        self.emit_word(form, word);
    }

    /// `name rd, rs1, rs2` and `imm`; operands that the form lacks are 0.
    pub fn op(&mut self, name: &str, rd: u8, rs1: u8, rs2: u8, imm: i32) {
        self.emit(
            form(name),
            Operands {
                rd,
                rs1,
                rs2,
                imm,
                ..Operands::default()
            },
        );
    }

    /// Sets `rd` to an address below 2^31 - 2048: 8 bytes.
    ///
    /// # Panics
    /// If the address is higher.
    pub fn set(&mut self, rd: u8, value: u64) {
        let value = i32::try_from(value).expect("addresses of tests are below 2^31");
        let low = value << 20 >> 20;
        self.op("lui", rd, 0, 0, value.wrapping_sub(low));
        self.op("addiw", rd, rd, 0, low);
    }

    /// Appends code that was written elsewhere; nothing in it may depend on its address.
    pub fn append(&mut self, other: &Text) {
        let start = self.bytes.len();
        self.qemu_words.extend(
            other
                .qemu_words
                .iter()
                .map(|(offset, word)| (start + offset, *word)),
        );
        self.mistaken.extend(
            other
                .mistaken
                .iter()
                .map(|(offset, operands)| (start + offset, *operands)),
        );
        self.bytes.extend_from_slice(&other.bytes);
    }

    /// Places code here, jumped over, that does what qemu 7.2's `ctzw` should have done: it looks at the upper half of
    /// its operand when the lower is zero. In qemu's file, each `ctzw` since the last call is a jump to such code.
    ///
    /// # Panics
    /// If a `ctzw` is too far away for a jump.
    pub fn outline(&mut self) {
        const LEN: i32 = 16;
        let mistaken = std::mem::take(&mut self.mistaken);
        self.op("jal", 0, 0, 0, 4 + LEN * mistaken.len() as i32);
        for (offset, Operands { rd, rs1, .. }) in mistaken {
            let there = (self.bytes.len() - offset) as i32;
            let jump = Operands {
                imm: there,
                ..Operands::default()
            };
            self.qemu_words.push((
                offset,
                form("jal").encode(&jump).expect("cases are shorter than a jump"),
            ));
            self.op("slli", rd, rs1, 0, 32);
            self.op("ctz", rd, rd, 0, 0);
            self.op("addi", rd, rd, 0, -32);
            self.op("jal", 0, 0, 0, 4 - (there + LEN - 4));
        }
    }

    /// Bytes that are never executed.
    pub fn gap(&mut self, len: usize) {
        self.bytes.resize(self.bytes.len() + len, 0);
    }
}

/// `vt.maskc` and `vt.maskcn` are `czero.eqz` and `czero.nez` in the custom-3 opcode, with funct3 6 and 7.
///
/// Debian 12's qemu 7.2 knows no Zicond.
#[must_use]
pub fn qemu_word(form: &Form, word: u32) -> Option<u32> {
    const OPERANDS: u32 = 0x01ff_8f80;
    let vendor = match form.name {
        "czero.eqz" => 0x0000_607b,
        "czero.nez" => 0x0000_707b,
        _ => return None,
    };
    Some(word & OPERANDS | vendor)
}

/// A word of `form` with random operands that `accept` takes, bits that the form ignores included. `None` if luck does
/// not find one.
pub fn random_word(
    random: &mut impl Rng,
    form: &Form,
    accept: impl Fn(&Operands) -> bool,
) -> Option<(u32, Operands)> {
    (0..200).find_map(|_| {
        let free = if form.is_compressed() { 0xffff } else { u32::MAX } & !form.mask;
        let mut word = form.pattern | random.random::<u32>() & free;
        if form.constraints.contains(&Constraint::FloatCsr) {
            // Of 4,096 numbers three are legal.
            word = word & 0x000f_ffff | random.random_range(1..=3) << 20;
        }
        let operands = form.decode(word)?;
        let is_this_form = decode(word).is_some_and(|found| found.form.name == form.name);
        (is_this_form && accept(&operands)).then_some((word, operands))
    })
}

/// A value near the edges of something, or any.
pub fn value(random: &mut impl Rng) -> u64 {
    let any = random.random::<u64>();
    match random.random_range(0..12) {
        0 => 0,
        1 => u64::MAX,
        2 => i64::MIN.cast_unsigned().wrapping_add(any % 3).wrapping_sub(1),
        3 => i64::from(i32::MIN)
            .cast_unsigned()
            .wrapping_add(any % 3)
            .wrapping_sub(1),
        4 => (1 << 31_u64) + any % 3 - 1,
        5 => (1 << 32_u64) + any % 3 - 1,
        6 => (1_u64 << (any % 64))
            .wrapping_add(any >> 8 & 1)
            .wrapping_sub(any >> 9 & 1),
        7 => any % 70,
        8 => (any % 70).wrapping_neg(),
        9 => i64::from(any as i32).cast_unsigned(),
        // Bytes of zeros and ones.
        10 => (0..8).fold(0, |value, byte| {
            value
                | if any >> byte & 1 == 1 {
                    any & 0xff << (8 * byte)
                } else {
                    0
                }
        }),
        _ => any,
    }
}

/// A double near the edges of something, or any.
pub fn double(random: &mut impl Rng) -> u64 {
    near_edge(random, 11, 52)
}

/// The same for a single, boxed as registers hold it.
pub fn single(random: &mut impl Rng) -> u64 {
    0xffff_ffff << 32 | near_edge(random, 8, 23)
}

/// A number of a format near the edges of something: of its range, of integers, of one.
fn near_edge(random: &mut impl Rng, exponent_bits: u32, fraction_bits: u32) -> u64 {
    let any = random.random::<u64>();
    let sign = (any & 1) << (exponent_bits + fraction_bits);
    let infinity = ((1_u64 << exponent_bits) - 1) << fraction_bits;
    let bias = (1_u64 << (exponent_bits - 1)) - 1;
    let fraction = any >> 8 & ((1 << fraction_bits) - 1);
    let few = any >> 4 & 3;
    let with_exponent = |exponent: u64, fraction: u64| exponent << fraction_bits | fraction;
    // Few bits at either end of a fraction, where rounding shows.
    let sparse = (1_u64 << (any >> 16 & 63) & ((1 << fraction_bits) - 1)) ^ few;
    let magnitude = match random.random_range(0..16) {
        0 => few,
        1 => (1 << fraction_bits) - 1 - few,
        2 => (1 << fraction_bits) + few,
        3 => infinity - 1 - few,
        4 => infinity,
        5 => infinity | 1 << (fraction_bits - 1) | few,
        6 => infinity | (1 + few),
        7 => fraction,
        8 => with_exponent(1 + few, fraction),
        9 => with_exponent(bias, 0).wrapping_add(few).wrapping_sub(1),
        10 => with_exponent(bias - 2 + few, sparse),
        // Around the sizes of integers.
        11 => with_exponent(bias + [31, 32, 63, 64][few as usize], 0)
            .wrapping_add(any >> 6 & 3)
            .wrapping_sub(2),
        12 => with_exponent(bias + (any >> 6 & 63), fraction),
        13 => with_exponent(bias - (any >> 6 & 63), sparse),
        14 => with_exponent(bias + u64::from(fraction_bits) - 2 + few, sparse),
        _ => any >> 1 & (infinity | ((1 << fraction_bits) - 1)),
    };
    sign | magnitude
}
