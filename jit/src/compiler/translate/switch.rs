//! Jump tables: what compilers make of a dense `switch`.
//!
//! `index → table[index] → jump` reads a table in memory that never changes, so that the index alone tells the target.
//! The idioms are followed inside a block, from a scaled index to the jump:
//!
//! ```text
//! slli r, index, 2|3        Scaled        sh2add, sh3add and their .uw forms, slli.uw: both steps at once
//! add  r, r, table          Row           table is a constant in read-only memory
//! lw|ld r, imm(r)           Entry
//! add  r, r, base           Target        displacements only
//! jr   r
//! ```

use cranelift_codegen::ir::{self, Value};

use super::Translator;
use crate::compiler::constants::{self, Known};
use crate::compiler::flow::Step;
use crate::isa::{F0, Op};

/// Most entries of a table.
const MAX_ENTRIES: u64 = 512;

/// Most entries of all tables of a region: a jump may be six instructions, and each has its own copy of its table.
const MAX_REGION_ENTRIES: usize = 8192;

/// What is known of a register beyond a constant.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Scaled { index: Value, shift: u8 },
    Row { index: Value, shift: u8, table: u64 },
    Entry { index: Value, shift: u8, table: u64 },
    Target { index: Value, table: u64, base: u64 },
}

/// Facts about registers inside a block.
#[derive(Debug)]
pub(super) struct Shapes {
    known: Known,
    shapes: [Option<Shape>; 32],
    /// Entries of the region's tables so far.
    entries: usize,
}

impl Shapes {
    pub(super) fn new(known: Known) -> Self {
        Self {
            known,
            shapes: [None; 32],
            entries: 0,
        }
    }

    /// Begins another block.
    pub(super) fn start(&mut self, known: Known) {
        *self = Self {
            entries: self.entries,
            ..Self::new(known)
        };
    }

    /// The constant in a register.
    pub(super) fn constant(&self, register: u8) -> Option<u64> {
        self.known[usize::from(register)]
    }
}

/// A switch: its index and the targets by index.
pub(super) struct Switch {
    pub(super) index: Value,
    pub(super) targets: Vec<u32>,
}

impl Translator<'_> {
    /// Notes what an instruction makes of the idiom; called before it is translated, while its sources are unchanged.
    pub(super) fn note_shape(&mut self, step: &Step) {
        let shape = self.shape_of(step);
        constants::follow(step, &mut self.shapes.known);
        if step.rd != 0 && step.rd < F0 {
            self.shapes.shapes[usize::from(step.rd)] = shape;
        }
    }

    fn shape_of(&mut self, step: &Step) -> Option<Shape> {
        let shape = |this: &Self, register: u8| this.shapes.shapes[usize::from(register)];
        match step.op {
            Op::Slli | Op::SlliUw if matches!(step.imm, 2 | 3) => {
                let index = self.get(step.rs1);
                let index = if step.op == Op::SlliUw {
                    self.zero_extended(index)
                } else {
                    index
                };
                Some(Shape::Scaled {
                    index,
                    shift: step.imm as u8,
                })
            }
            Op::Sh2add | Op::Sh3add | Op::Sh2addUw | Op::Sh3addUw => {
                let table = self.shapes.constant(step.rs2)?;
                let index = self.get(step.rs1);
                let is_word = matches!(step.op, Op::Sh2addUw | Op::Sh3addUw);
                let index = if is_word { self.zero_extended(index) } else { index };
                let shift = if matches!(step.op, Op::Sh2add | Op::Sh2addUw) {
                    2
                } else {
                    3
                };
                Some(Shape::Row { index, shift, table })
            }
            Op::Add => {
                let (a, b) = (step.rs1, step.rs2);
                [(a, b), (b, a)].into_iter().find_map(|(a, b)| {
                    let constant = self.shapes.constant(b)?;
                    match shape(self, a)? {
                        Shape::Scaled { index, shift } => Some(Shape::Row {
                            index,
                            shift,
                            table: constant,
                        }),
                        Shape::Entry {
                            index,
                            shift: 2,
                            table,
                        } => Some(Shape::Target {
                            index,
                            table,
                            base: constant,
                        }),
                        _ => None,
                    }
                })
            }
            Op::Addi => match shape(self, step.rs1)? {
                Shape::Row { index, shift, table } => Some(Shape::Row {
                    index,
                    shift,
                    table: table.wrapping_add(i64::from(step.imm).cast_unsigned()),
                }),
                _ if step.imm == 0 => shape(self, step.rs1),
                _ => None,
            },
            Op::Lw | Op::Ld => match shape(self, step.rs1)? {
                Shape::Row { index, shift, table } if (shift == 2) == (step.op == Op::Lw) => {
                    Some(Shape::Entry {
                        index,
                        shift,
                        table: table.wrapping_add(i64::from(step.imm).cast_unsigned()),
                    })
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// The switch that a jump through a register is, if it is one whose targets, `blocks` by address, are mostly here.
    pub(super) fn switch(&mut self, register: u8, imm: i32, blocks: &[(u32, ir::Block)]) -> Option<Switch> {
        let (index, shift, table, base) = match self.shapes.shapes[usize::from(register)]? {
            Shape::Entry { index, shift, table } => (index, shift, table, 0),
            Shape::Target { index, table, base } => (index, 2, table, base),
            _ => return None,
        };
        // The table does not reach over the end of the address space, where indices would wrap.
        let table = u32::try_from(table).ok()?;
        let bytes = self.input.read_only_at(table)?;
        let imm = i64::from(imm).cast_unsigned();
        let target_of = |entry: u64| {
            let target = base.wrapping_add(entry);
            let target = u64::from(target as u32).wrapping_add(imm) & !1;
            self.input.text.contains(target).then_some(target as u32)
        };
        let entries: Vec<Option<u32>> = if shift == 2 {
            bytes
                .as_chunks::<4>()
                .0
                .iter()
                .take(MAX_ENTRIES as usize)
                .map(|word| target_of(i64::from(i32::from_le_bytes(*word)).cast_unsigned()))
                .collect()
        } else {
            bytes
                .as_chunks::<8>()
                .0
                .iter()
                .take(MAX_ENTRIES as usize)
                .map(|word| target_of(u64::from_le_bytes(*word)))
                .collect()
        };
        let targets: Vec<u32> = entries.into_iter().map_while(|target| target).collect();
        let is_here = |target: &&u32| {
            blocks
                .binary_search_by_key(*target, |&(address, _)| address)
                .is_ok()
        };
        let here = targets.iter().filter(is_here).count();
        let left = MAX_REGION_ENTRIES - self.shapes.entries;
        if here == 0 || here < targets.len() / 2 || targets.len() > left {
            return None;
        }
        self.shapes.entries += targets.len();
        Some(Switch { index, targets })
    }
}
