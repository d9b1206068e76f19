//! Operations of 32 bits in place of 64, where nobody looks at the upper half.
//!
//! Cranelift's optimiser narrows an operation only where that takes fewer instructions of its own, but in an x86-64 or
//! AArch64 processor an operation of 32 bits clears the upper half of its result: an address that was just computed needs
//! no zero extension after it, and words that are compared need not be extended for that.
//!
//! This comes after the optimiser, which would undo it.

use cranelift_codegen::cursor::{Cursor as _, FuncCursor};
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    Function, Inst, InstBuilder as _, InstructionData, Opcode, Value, ValueDef, types,
};

/// Narrows what can be, in a function that was optimised.
pub(crate) fn upper_halves(function: &mut Function) {
    let mut uses = SecondaryMap::with_default(0_u32);
    let mut extensions = Vec::new();
    let mut comparisons = Vec::new();
    let mut branches = Vec::new();
    for block in function.layout.blocks() {
        for inst in function.layout.block_insts(block) {
            for value in function.dfg.inst_values(inst) {
                uses[function.dfg.resolve_aliases(value)] += 1;
            }
            match function.dfg.insts[inst].opcode() {
                Opcode::Uextend => extensions.push(inst),
                Opcode::Icmp => comparisons.push(inst),
                Opcode::Brif => branches.push(inst),
                _ => {}
            }
        }
    }
    let mut narrower = Narrower { function, uses };
    for inst in extensions {
        narrower.extension(inst);
    }
    for inst in comparisons {
        narrower.comparison(inst);
    }
    for inst in branches {
        narrower.branch(inst);
    }
}

struct Narrower<'a> {
    function: &'a mut Function,
    /// How often each value is used.
    uses: SecondaryMap<Value, u32>,
}

/// How deep operations that feed one another are narrowed: as far as an address computation goes.
const DEPTH: u32 = 3;

impl Narrower<'_> {
    fn definition(&self, value: Value) -> Option<Inst> {
        match self
            .function
            .dfg
            .value_def(self.function.dfg.resolve_aliases(value))
        {
            ValueDef::Result(inst, _) => Some(inst),
            _ => None,
        }
    }

    /// What defines a value, if it is of that kind.
    fn defined_by(&self, value: Value, opcode: Opcode) -> Option<Inst> {
        self.definition(value)
            .filter(|&inst| self.function.dfg.insts[inst].opcode() == opcode)
    }

    fn constant(&self, value: Value) -> Option<i64> {
        let inst = self.defined_by(value, Opcode::Iconst)?;
        match self.function.dfg.insts[inst] {
            InstructionData::UnaryImm { imm, .. } => Some(imm.bits()),
            _ => None,
        }
    }

    fn is_used_once(&self, value: Value) -> bool {
        self.uses[self.function.dfg.resolve_aliases(value)] == 1
    }

    fn argument(&self, inst: Inst, number: usize) -> Value {
        self.function.dfg.inst_args(inst)[number]
    }

    /// `uextend(ireduce(a + b))`, where the sum is used for nothing else, is the sum of the lower halves.
    fn extension(&mut self, inst: Inst) {
        let Some(reduce) = self.defined_by(self.argument(inst, 0), Opcode::Ireduce) else {
            return;
        };
        let [low, wide] = [self.argument(inst, 0), self.argument(reduce, 0)];
        let is_word = |value| self.function.dfg.value_type(value) == types::I32;
        if !is_word(low) || !self.is_used_once(low) {
            return;
        }
        if let Some(narrow) = self.narrowed(wide, DEPTH) {
            self.function.layout.remove_inst(reduce);
            self.function.dfg.inst_args_mut(inst)[0] = narrow;
        }
    }

    /// The lower half of a value of 64 bits that is used once, computed in 32 bits in its stead, if that is as cheap.
    fn narrowed(&mut self, wide: Value, depth: u32) -> Option<Value> {
        if depth == 0 || !self.is_used_once(wide) || self.function.dfg.value_type(wide) != types::I64 {
            return None;
        }
        let inst = self.definition(wide)?;
        let opcode = self.function.dfg.insts[inst].opcode();
        if !matches!(opcode, Opcode::Iadd | Opcode::Isub | Opcode::Ishl) {
            return None;
        }
        let [a, b] = [self.argument(inst, 0), self.argument(inst, 1)];
        if opcode == Opcode::Ishl && !self.constant(b).is_some_and(|by| (0..32).contains(&by)) {
            return None;
        }
        let a = self.low(inst, a, depth);
        let b = self.low(inst, b, depth);
        let place = self.function.srcloc(inst);
        let mut cursor = FuncCursor::new(self.function).at_inst(inst);
        cursor.set_srcloc(place);
        let narrow = match opcode {
            Opcode::Iadd => cursor.ins().iadd(a, b),
            Opcode::Isub => cursor.ins().isub(a, b),
            _ => cursor.ins().ishl(a, b),
        };
        self.function.layout.remove_inst(inst);
        self.uses[narrow] = 1;
        Some(narrow)
    }

    /// The lower half of an argument, in front of the instruction that takes it.
    fn low(&mut self, before: Inst, value: Value, depth: u32) -> Value {
        let constant = self.constant(value);
        if constant.is_none()
            && let Some(narrow) = self.narrowed(value, depth - 1)
        {
            return narrow;
        }
        let mut cursor = FuncCursor::new(self.function).at_inst(before);
        match constant {
            Some(constant) => cursor.ins().iconst(types::I32, constant & 0xffff_ffff),
            None => cursor.ins().ireduce(types::I32, value),
        }
    }

    /// Comparisons of extended words, and of what a shift leaves with 0.
    fn comparison(&mut self, inst: Inst) {
        let [a, b] = [self.argument(inst, 0), self.argument(inst, 1)];
        let saves = |this: &Self, value| this.is_used_once(value) && this.extended(value).is_some();
        let is_word = |this: &Self, value| {
            this.extended(value).is_some()
                || this
                    .constant(value)
                    .is_some_and(|value| i32::try_from(value).is_ok())
        };
        if (saves(self, a) || saves(self, b)) && is_word(self, a) && is_word(self, b) {
            // Sign extension keeps signed and unsigned order.
            let (a, b) = (self.word(inst, a), self.word(inst, b));
            self.function.dfg.inst_args_mut(inst).copy_from_slice(&[a, b]);
            return;
        }
        self.shifted(inst, a, b);
    }

    /// What sign-extends a word to a value.
    fn extended(&self, value: Value) -> Option<Inst> {
        let inst = self.definition(value)?;
        match self.function.dfg.insts[inst].opcode() {
            Opcode::Sextend if self.function.dfg.value_type(self.argument(inst, 0)) == types::I32 => {
                Some(inst)
            }
            Opcode::Sload32 => Some(inst),
            _ => None,
        }
    }

    /// The word that a value is the sign extension of.
    fn word(&mut self, before: Inst, value: Value) -> Value {
        let extension = self.extended(value).filter(|_| self.is_used_once(value));
        if let Some(constant) = self.constant(value) {
            let mut cursor = FuncCursor::new(self.function).at_inst(before);
            return cursor.ins().iconst(types::I32, constant & 0xffff_ffff);
        }
        let Some(extension) = extension else {
            let mut cursor = FuncCursor::new(self.function).at_inst(before);
            return cursor.ins().ireduce(types::I32, value);
        };
        let address = self.argument(extension, 0);
        let InstructionData::Load { flags, offset, .. } = self.function.dfg.insts[extension] else {
            self.function.layout.remove_inst(extension);
            return address;
        };
        // A word that is loaded to be compared is compared where it lies.
        let place = self.function.srcloc(extension);
        let mut cursor = FuncCursor::new(self.function).at_inst(extension);
        cursor.set_srcloc(place);
        let flags = cursor.func.dfg.mem_flags[flags];
        let word = cursor.ins().load(types::I32, flags, address, offset);
        self.function.layout.remove_inst(extension);
        word
    }

    /// What is left or lost of a value that was shifted to be compared with 0: `a >> n == 0` is `a < 1 << n`, and
    /// `a << n < 0` asks for one bit of `a`. Neither needs a copy of `a` to shift.
    fn shifted(&mut self, inst: Inst, a: Value, b: Value) {
        let InstructionData::IntCompare { opcode, cond, .. } = self.function.dfg.insts[inst] else {
            return;
        };
        if self.constant(b) != Some(0) {
            return;
        }
        let (cond, args) = match cond {
            IntCC::Equal | IntCC::NotEqual => {
                let Some((value, bound)) = self.bound(inst, a) else {
                    return;
                };
                let cond = match cond {
                    IntCC::Equal => IntCC::UnsignedLessThan,
                    _ => IntCC::UnsignedGreaterThanOrEqual,
                };
                (cond, [value, bound])
            }
            IntCC::SignedLessThan | IntCC::SignedGreaterThanOrEqual => {
                let Some(bit) = self.top_bit(inst, a) else {
                    return;
                };
                let cond = match cond {
                    IntCC::SignedLessThan => IntCC::NotEqual,
                    _ => IntCC::Equal,
                };
                (cond, [bit, b])
            }
            _ => return,
        };
        self.function.dfg.insts[inst] = InstructionData::IntCompare { opcode, args, cond };
    }

    /// Branches on whether a value is 0.
    fn branch(&mut self, inst: Inst) {
        let value = self.argument(inst, 0);
        let shift = match self.defined_by(value, Opcode::Sextend) {
            Some(extension) if self.is_used_once(value) => {
                let word = self.argument(extension, 0);
                self.function.layout.remove_inst(extension);
                self.function.dfg.inst_args_mut(inst)[0] = word;
                word
            }
            _ => value,
        };
        if let Some((value, bound)) = self.bound(inst, shift) {
            let mut cursor = FuncCursor::new(self.function).at_inst(inst);
            let condition = IntCC::UnsignedGreaterThanOrEqual;
            let is_high = cursor.ins().icmp(condition, value, bound);
            self.function.dfg.inst_args_mut(inst)[0] = is_high;
        }
    }

    /// What a value that is used once is shifted from by that operation and a constant, and by how much.
    fn shift(&self, shifted: Value, opcode: Opcode) -> Option<(Inst, Value, i64)> {
        let shift = self
            .defined_by(shifted, opcode)
            .filter(|_| self.is_used_once(shifted))?;
        let by = self.constant(self.argument(shift, 1))?;
        Some((shift, self.argument(shift, 0), by))
    }

    /// `a` and `1 << n`, for a value that is `a >> n` and is used once, which then goes.
    fn bound(&mut self, before: Inst, shifted: Value) -> Option<(Value, Value)> {
        let (shift, value, by) = self.shift(shifted, Opcode::Ushr)?;
        let bound = self.power(before, value, by)?;
        self.function.layout.remove_inst(shift);
        Some((value, bound))
    }

    /// What is 0 where the top bit of a value is, for one that is `a << n` and is used once, which then goes.
    fn top_bit(&mut self, before: Inst, shifted: Value) -> Option<Value> {
        let (shift, value, by) = self.shift(shifted, Opcode::Ishl)?;
        let top = i64::from(self.function.dfg.value_type(value).bits()) - 1;
        let mask = self.power(before, value, top - by)?;
        let mut cursor = FuncCursor::new(self.function).at_inst(before);
        let bit = cursor.ins().band(value, mask);
        self.function.layout.remove_inst(shift);
        Some(bit)
    }

    /// 2 to a power, of the type of a value, if it is an immediate of the host's instructions.
    fn power(&mut self, before: Inst, of: Value, exponent: i64) -> Option<Value> {
        let kind = self.function.dfg.value_type(of);
        if !matches!(kind, types::I32 | types::I64) || !(0..31).contains(&exponent) {
            return None;
        }
        let mut cursor = FuncCursor::new(self.function).at_inst(before);
        Some(cursor.ins().iconst(kind, 1 << exponent))
    }
}
