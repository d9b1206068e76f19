//! 128-bit arithmetic, as compilers write it for a machine without carries.
//!
//! ```text
//! mul  lo, a, b        one widening multiplication
//! mulhu hi, a, b
//!
//! add  s, a, b         one addition with carry
//! sltu c, s, a
//! add  h, x, y         (or a single value)
//! add  h, h, c
//!
//! sltu c, a, b         one subtraction with borrow
//! sub  d, a, b         (before or behind the comparison)
//! sub  h, x, y
//! sub  h, h, c
//! ```
//!
//! Cranelift sees neither, and each costs it several instructions; given as 128-bit operations it has one for each.

use std::collections::BTreeMap;

use cranelift_codegen::ir::{self, InstBuilder as _, Value, types};

use super::Translator;
use crate::compiler::flow::Step;
use crate::isa::Op;

/// How far behind a multiplication its other half is looked for.
const REACH: usize = 12;

/// A comparison that tells a carry or a borrow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carry {
    is_borrow: bool,
    a: Value,
    b: Value,
    /// The register and the value of the low half, where it has been computed.
    low: Option<(u8, Value)>,
}

/// What a block has computed that may be half of something wider.
#[derive(Debug, Default)]
pub(super) struct Halves {
    /// Products by operation and factors.
    products: BTreeMap<(bool, Value, Value), (Value, Value)>,
    /// Carries by their value.
    carries: BTreeMap<Value, Carry>,
}

impl Translator<'_> {
    /// The value of an instruction that is half of a 128-bit operation; `following` is the rest of its block.
    pub(super) fn wide(&mut self, step: &Step, following: &[Step]) -> Option<Value> {
        match step.op {
            Op::Mulhu => self.product(step, false, following).map(|(_, high)| high),
            Op::Mulh => self.product(step, true, following).map(|(_, high)| high),
            Op::Mul => {
                let (a, b) = self.factors(step);
                let known = [false, true]
                    .into_iter()
                    .find_map(|signed| self.halves.products.get(&(signed, a, b)).copied());
                if let Some((low, _)) = known {
                    return Some(low);
                }
                let other = other_half(step, following)?;
                self.product(step, other == Op::Mulh, following)
                    .map(|(low, _)| low)
            }
            Op::Sltu => {
                self.note_carry(step);
                None
            }
            Op::Add => self.add_carry(step),
            Op::Sub => self.subtract_borrow(step),
            _ => None,
        }
    }

    fn factors(&mut self, step: &Step) -> (Value, Value) {
        let (a, b) = (self.get(step.rs1), self.get(step.rs2));
        (a.min(b), a.max(b))
    }

    /// Both halves of a product, where both are wanted.
    fn product(&mut self, step: &Step, signed: bool, following: &[Step]) -> Option<(Value, Value)> {
        let (a, b) = self.factors(step);
        if let Some(&known) = self.halves.products.get(&(signed, a, b)) {
            return Some(known);
        }
        if step.op != Op::Mul && !low_half_follows(step, following) {
            return None;
        }
        let extend = |this: &mut Self, value: Value| {
            if signed {
                this.builder.ins().sextend(types::I128, value)
            } else {
                this.builder.ins().uextend(types::I128, value)
            }
        };
        let (wide_a, wide_b) = (extend(self, a), extend(self, b));
        let product = self.builder.ins().imul(wide_a, wide_b);
        let halves = self.builder.ins().isplit(product);
        self.halves.products.insert((signed, a, b), halves);
        Some(halves)
    }

    /// The two operands of an addition or subtraction that a value comes from.
    fn operands_of(&self, value: Value, opcode: ir::Opcode) -> Option<(Value, Value)> {
        let dfg = &self.builder.func.dfg;
        let inst = dfg.value_def(value).inst()?;
        if dfg.insts[inst].opcode() != opcode {
            return None;
        }
        let &[a, b] = dfg.inst_args(inst) else { return None };
        Some((a, b))
    }

    /// Remembers what a comparison tells, when its result gets its value.
    fn note_carry(&mut self, step: &Step) {
        let (left, right) = (self.get(step.rs1), self.get(step.rs2));
        let sum = self.operands_of(left, ir::Opcode::Iadd);
        self.carry_to_note = Some(match sum {
            Some((a, b)) if a == right || b == right => Carry {
                is_borrow: false,
                a,
                b,
                low: Some((step.rs1, left)),
            },
            _ => Carry {
                is_borrow: true,
                a: left,
                b: right,
                low: None,
            },
        });
    }

    /// Gives the carry that was noted last its value.
    pub(super) fn keep_carry(&mut self, value: Value) {
        if let Some(carry) = self.carry_to_note.take() {
            self.halves.carries.insert(value, carry);
        }
    }

    /// The high half of an addition, whose low half carried.
    fn add_carry(&mut self, step: &Step) -> Option<Value> {
        let (left, right) = (self.get(step.rs1), self.get(step.rs2));
        let (high, carry) = [(left, right), (right, left)]
            .into_iter()
            .find_map(|(high, carry)| {
                let carry = self.halves.carries.get(&carry).copied()?;
                (!carry.is_borrow).then_some((high, carry))
            })?;
        let (x, y) = match self.operands_of(high, ir::Opcode::Iadd) {
            Some(operands) => operands,
            None => (high, self.constant(0)),
        };
        let first = self.builder.ins().iconcat(carry.a, x);
        let second = self.builder.ins().iconcat(carry.b, y);
        let sum = self.builder.ins().iadd(first, second);
        let (low, high) = self.builder.ins().isplit(sum);
        self.replace_low(carry, low, step.rd);
        Some(high)
    }

    /// The high half of a subtraction, whose low half borrowed.
    fn subtract_borrow(&mut self, step: &Step) -> Option<Value> {
        let (high, borrow) = (self.get(step.rs1), self.get(step.rs2));
        let borrow = self
            .halves
            .carries
            .get(&borrow)
            .copied()
            .filter(|carry| carry.is_borrow)?;
        let (x, y) = match self.operands_of(high, ir::Opcode::Isub) {
            Some(operands) => operands,
            None => (high, self.constant(0)),
        };
        let first = self.builder.ins().iconcat(borrow.a, x);
        let second = self.builder.ins().iconcat(borrow.b, y);
        let difference = self.builder.ins().isub(first, second);
        let (low, high) = self.builder.ins().isplit(difference);
        self.replace_low(borrow, low, step.rd);
        Some(high)
    }

    /// Lets the register that holds the low half have it from the wide operation, so that the narrow one is not needed.
    fn replace_low(&mut self, carry: Carry, low: Value, except: u8) {
        if let Some((register, value)) = carry.low
            && register != except
            && register != 0
            && self.get(register) == value
        {
            self.set(register, low);
        }
    }
}

/// Whether the other half of a product is computed soon from the same factors, and which one.
fn other_half(mul: &Step, following: &[Step]) -> Option<Op> {
    if mul.rd == mul.rs1 || mul.rd == mul.rs2 {
        return None;
    }
    for step in following.iter().take(REACH) {
        if matches!(step.op, Op::Mulhu | Op::Mulh) && same_factors(mul, step) {
            return Some(step.op);
        }
        if step.rd != 0 && (step.rd == mul.rs1 || step.rd == mul.rs2) {
            return None;
        }
    }
    None
}

fn low_half_follows(high: &Step, following: &[Step]) -> bool {
    if high.rd == high.rs1 || high.rd == high.rs2 {
        return false;
    }
    for step in following.iter().take(REACH) {
        if step.op == Op::Mul && same_factors(high, step) {
            return true;
        }
        if step.rd != 0 && (step.rd == high.rs1 || step.rd == high.rs2) {
            return false;
        }
    }
    false
}

fn same_factors(a: &Step, b: &Step) -> bool {
    (a.rs1, a.rs2) == (b.rs1, b.rs2) || (a.rs1, a.rs2) == (b.rs2, b.rs1)
}
