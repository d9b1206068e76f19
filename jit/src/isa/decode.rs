//! From words to instructions, by an index over the table of forms.

use std::sync::LazyLock;

use super::form::Form;
use super::format::Operands;
use super::op::Op;
use super::{base, compressed, float};

/// A decoded instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Instruction {
    /// How it was encoded.
    pub form: &'static Form,
    /// What it works on, expanded.
    pub operands: Operands,
}

impl Instruction {
    /// What it does.
    #[must_use]
    pub const fn op(&self) -> Op {
        self.form.op
    }

    /// Bytes of its encoding: 2 or 4.
    #[must_use]
    pub const fn length(&self) -> u8 {
        self.form.length()
    }
}

const BASE_COUNT: usize = base::FORMS.len();
const WIDE_COUNT: usize = BASE_COUNT + float::FORMS.len();
const COUNT: usize = WIDE_COUNT + compressed::FORMS.len();

/// Every form, 32-bit ones first.
static FORMS: [Form; COUNT] = {
    let mut forms = [base::FORMS[0]; COUNT];
    let mut i = 0;
    while i < COUNT {
        forms[i] = if i < BASE_COUNT {
            base::FORMS[i]
        } else if i < WIDE_COUNT {
            float::FORMS[i - BASE_COUNT]
        } else {
            compressed::FORMS[i - WIDE_COUNT]
        };
        i += 1;
    }
    forms
};

/// Forms that can match, by the bits that most of them fix.
static INDEX: LazyLock<Index> = LazyLock::new(Index::new);

/// Major opcode and funct3 choose a bucket of 32-bit forms, quadrant and funct3 one of 16-bit forms.
struct Index {
    wide: Vec<Vec<&'static Form>>,
    narrow: Vec<Vec<&'static Form>>,
}

impl Index {
    fn new() -> Self {
        let matching = |forms: &'static [Form], key_word: u32, key_mask: u32| {
            forms
                .iter()
                .filter(|form| (form.pattern ^ key_word) & form.mask & key_mask == 0)
                .collect()
        };
        Self {
            wide: (0..256)
                .map(|key| matching(&FORMS[..WIDE_COUNT], wide_key_word(key), wide_key_word(0xff)))
                .collect(),
            narrow: (0..32)
                .map(|key| matching(&FORMS[WIDE_COUNT..], narrow_key_word(key), 0xe003))
                .collect(),
        }
    }
}

/// The word bits that a 32-bit bucket number stands for; the two low bits are always set.
const fn wide_key_word(key: u32) -> u32 {
    (key & 0x1f) << 2 | (key >> 5) << 12 | 3
}

/// The word bits that a 16-bit bucket number stands for.
const fn narrow_key_word(key: u32) -> u32 {
    key & 3 | (key >> 2) << 13
}

/// Every instruction form of every known extension.
#[must_use]
pub const fn forms() -> &'static [Form] {
    &FORMS
}

/// Whether the encoding that starts with this halfword has 16 bits. Otherwise it has 32 or, always illegal, more.
#[must_use]
pub const fn is_compressed(halfword: u16) -> bool {
    halfword & 3 != 3
}

/// Decodes the instruction at the start of `word`; its high half is ignored when the low half is a whole encoding.
/// `None` means an illegal instruction in every machine version.
#[must_use]
pub fn decode(word: u32) -> Option<Instruction> {
    let candidates = if is_compressed(word as u16) {
        &INDEX.narrow[(word & 3 | (word >> 13 & 7) << 2) as usize]
    } else {
        &INDEX.wide[(word >> 2 & 0x1f | (word >> 12 & 7) << 5) as usize]
    };
    candidates
        .iter()
        .find_map(|form| form.decode(word).map(|operands| Instruction { form, operands }))
}
