//! LR, SC and AMOs. There is one hart, so they are loads, stores and both, with a check of alignment first.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder as _, Value, types};

use super::Translator;
use crate::compiler::flow::Step;
use crate::isa::Op;
use crate::runtime::layout;

impl Translator<'_> {
    pub(super) fn atomic(&mut self, step: &Step) {
        let is_double = matches!(
            step.op,
            Op::LrD
                | Op::ScD
                | Op::AmoswapD
                | Op::AmoaddD
                | Op::AmoxorD
                | Op::AmoandD
                | Op::AmoorD
                | Op::AmominD
                | Op::AmomaxD
                | Op::AmominuD
                | Op::AmomaxuD
        );
        let bytes = if is_double { 8 } else { 4 };
        let address = self.get(step.rs1);
        let low_bits = self.builder.ins().band_imm_s(address, i64::from(bytes) - 1);
        let zero = self.constant(0);
        let misaligned = self.compare(IntCC::NotEqual, low_bits, zero);
        self.trap_if(misaligned);
        let (load, store) = if is_double {
            (Op::Ld, Op::Sd)
        } else {
            (Op::Lw, Op::Sw)
        };
        match step.op {
            Op::LrW | Op::LrD => {
                let place = self.place(step.rs1, 0, bytes, false);
                let value = self.load_at(load, place);
                let reservation = self.reservation(address, bytes);
                self.store_context(layout::RESERVATION, reservation);
                self.set(step.rd, value);
            }
            Op::ScW | Op::ScD => self.store_conditional(step, address, bytes, store),
            _ => {
                let place = self.place(step.rs1, 0, bytes, true);
                let old = self.load_at(load, place);
                let operand = self.get(step.rs2);
                let new = self.combine(step.op, old, operand);
                self.store_at(store, place, new);
                self.set(step.rd, old);
            }
        }
    }

    /// The address and width of an LR, in one word.
    fn reservation(&mut self, address: Value, bytes: u32) -> Value {
        let low = self.zero_extended(address);
        let width = self.constant(u64::from(bytes) << 32);
        self.builder.ins().bor(low, width)
    }

    fn store_conditional(&mut self, step: &Step, address: Value, bytes: u32, store: Op) {
        let value = self.get(step.rs2);
        let wanted = self.reservation(address, bytes);
        let held = self.load_context(layout::RESERVATION);
        let none = self.constant(0);
        self.store_context(layout::RESERVATION, none);
        let fails = self.compare(IntCC::NotEqual, held, wanted);
        let stores = self.builder.create_block();
        let done = self.builder.create_block();
        self.builder.ins().brif(fails, done, &[], stores, &[]);
        self.enter(stores);
        let place = self.place(step.rs1, 0, bytes, true);
        self.store_at(store, place, value);
        self.builder.ins().jump(done, &[]);
        self.enter(done);
        let result = self.builder.ins().uextend(types::I64, fails);
        self.set(step.rd, result);
    }

    /// What an AMO stores, given the sign-extended old value and its operand.
    fn combine(&mut self, op: Op, old: Value, operand: Value) -> Value {
        let mut b = operand;
        if matches!(op, Op::AmominW | Op::AmomaxW | Op::AmominuW | Op::AmomaxuW) {
            // Comparing sign-extended words orders them like 32-bit values, signed and unsigned alike.
            let low = self.low_word(operand);
            b = self.builder.ins().sextend(types::I64, low);
        }
        let ins = self.builder.ins();
        match op {
            Op::AmoswapW | Op::AmoswapD => b,
            Op::AmoaddW | Op::AmoaddD => ins.iadd(old, b),
            Op::AmoxorW | Op::AmoxorD => ins.bxor(old, b),
            Op::AmoandW | Op::AmoandD => ins.band(old, b),
            Op::AmoorW | Op::AmoorD => ins.bor(old, b),
            Op::AmominW | Op::AmominD => ins.smin(old, b),
            Op::AmomaxW | Op::AmomaxD => ins.smax(old, b),
            Op::AmominuW | Op::AmominuD => ins.umin(old, b),
            Op::AmomaxuW | Op::AmomaxuD => ins.umax(old, b),
            _ => unreachable!("{op:?} is no AMO"),
        }
    }
}
