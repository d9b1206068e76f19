//! Operations that only compute.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, AbiParam, InstBuilder as _, Signature, Value, types};

use super::Translator;
use crate::compiler::flow::Step;
use crate::compiler::summary::SP;
use crate::isa::Op;
use crate::runtime::layout;

/// Most bytes of displacement that are folded into an access; with the access's own 12 bits they stay under 60 KiB.
const MAX_DISPLACEMENT: u32 = 56 << 10;

impl Translator<'_> {
    /// The value of an operation without side effects.
    pub(super) fn compute(&mut self, step: &Step) -> Value {
        match step.op {
            Op::Lui => self.immediate(step.imm),
            Op::Auipc => {
                let value = u64::from(step.pc).wrapping_add(i64::from(step.imm).cast_unsigned());
                self.constant(value)
            }
            Op::Addi => self.addi(step),
            Op::Add => self.add(step),
            Op::Slti => self.set_if(IntCC::SignedLessThan, step, true),
            Op::Sltiu => self.set_if(IntCC::UnsignedLessThan, step, true),
            Op::Slt => self.set_if(IntCC::SignedLessThan, step, false),
            Op::Sltu => self.set_if(IntCC::UnsignedLessThan, step, false),
            Op::Xori | Op::Ori | Op::Andi | Op::Slli | Op::Srli | Op::Srai | Op::Rori => {
                let (a, b) = (self.get(step.rs1), self.immediate(step.imm));
                self.binary(step.op, a, b)
            }
            Op::Addiw | Op::Slliw | Op::Srliw | Op::Sraiw | Op::Roriw => {
                let (a, imm) = (self.get(step.rs1), i64::from(step.imm));
                let b = self.builder.ins().iconst(types::I32, imm & 0xffff_ffff);
                self.word(step.op, a, b)
            }
            Op::Addw | Op::Subw | Op::Sllw | Op::Srlw | Op::Sraw | Op::Rolw | Op::Rorw | Op::Mulw => {
                let (a, b) = (self.get(step.rs1), self.get(step.rs2));
                let b = self.low_word(b);
                self.word(step.op, a, b)
            }
            Op::Divw | Op::Divuw | Op::Remw | Op::Remuw => {
                let (a, b) = (self.get(step.rs1), self.get(step.rs2));
                let (a, b) = (self.low_word(a), self.low_word(b));
                let value = self.divide(step.op, a, b);
                self.builder.ins().sextend(types::I64, value)
            }
            Op::Div | Op::Divu | Op::Rem | Op::Remu => {
                let (a, b) = (self.get(step.rs1), self.get(step.rs2));
                self.divide(step.op, a, b)
            }
            Op::Clmul | Op::Clmulh | Op::Clmulr => self.carryless(step),
            Op::SlliUw => {
                let a = self.get(step.rs1);
                let a = self.zero_extended(a);
                self.builder.ins().ishl_imm_u(a, i64::from(step.imm & 63))
            }
            Op::Bclri | Op::Bexti | Op::Binvi | Op::Bseti => {
                let (a, b) = (self.get(step.rs1), self.immediate(step.imm & 63));
                self.single_bit(step.op, a, b)
            }
            Op::Bclr | Op::Bext | Op::Binv | Op::Bset => {
                let (a, b) = (self.get(step.rs1), self.get(step.rs2));
                self.single_bit(step.op, a, b)
            }
            Op::Clz
            | Op::Ctz
            | Op::Cpop
            | Op::Clzw
            | Op::Ctzw
            | Op::Cpopw
            | Op::SextB
            | Op::SextH
            | Op::ZextH
            | Op::OrcB
            | Op::Rev8 => {
                let a = self.get(step.rs1);
                self.unary(step.op, a)
            }
            _ => {
                let (a, b) = (self.get(step.rs1), self.get(step.rs2));
                self.binary(step.op, a, b)
            }
        }
    }

    fn addi(&mut self, step: &Step) -> Value {
        let a = self.get(step.rs1);
        if step.imm == 0 {
            return a;
        }
        let value = self.builder.ins().iadd_imm_s(a, i64::from(step.imm));
        if step.rs1 != 0 {
            self.note_displaced(value, (step.rs1, a), i64::from(step.imm));
        }
        value
    }

    /// A sum; `lui` and `add` is how compilers reach what is farther from the stack pointer than an immediate.
    fn add(&mut self, step: &Step) -> Value {
        let (a, b) = (self.get(step.rs1), self.get(step.rs2));
        let value = self.builder.ins().iadd(a, b);
        if let Some(constant) = self.constant_of(b) {
            self.note_displaced(value, (step.rs1, a), constant);
        } else if let Some(constant) = self.constant_of(a) {
            self.note_displaced(value, (step.rs2, b), constant);
        }
        value
    }

    /// Notes that `value` is that of a register and a constant.
    fn note_displaced(&mut self, value: Value, (register, a): (u8, Value), by: i64) {
        let sum = |before: i32| {
            let sum = by.checked_add(i64::from(before))?;
            i32::try_from(sum)
                .ok()
                .filter(|sum| sum.unsigned_abs() <= MAX_DISPLACEMENT)
        };
        let from_frame = if register == SP {
            self.frame_offset
        } else {
            self.in_frame[a]
        };
        self.in_frame[value] = from_frame.and_then(sum);
        let (root, before) = self.displaced[a].unwrap_or((a, 0));
        self.displaced[value] = sum(before).map(|displacement| (root, displacement));
    }

    fn set_if(&mut self, condition: IntCC, step: &Step, immediate: bool) -> Value {
        let a = self.get(step.rs1);
        let b = if immediate {
            self.immediate(step.imm)
        } else {
            self.get(step.rs2)
        };
        let less = self.compare(condition, a, b);
        self.builder.ins().uextend(types::I64, less)
    }

    /// Whether a value is known to be less than 2^32.
    pub(super) fn fits_word(&self, value: Value) -> bool {
        let dfg = &self.builder.func.dfg;
        let Some(inst) = dfg.value_def(dfg.resolve_aliases(value)).inst() else {
            return false;
        };
        let constant = |value: Value| {
            let inst = dfg.value_def(dfg.resolve_aliases(value)).inst()?;
            match dfg.insts[inst] {
                ir::InstructionData::UnaryImm { imm, .. } => Some(imm.bits()),
                _ => None,
            }
        };
        match dfg.insts[inst].opcode() {
            ir::Opcode::Uload8 | ir::Opcode::Uload16 | ir::Opcode::Uload32 | ir::Opcode::Uextend => true,
            ir::Opcode::Iconst => u32::try_from(constant(value).unwrap_or(-1)).is_ok(),
            ir::Opcode::Band => dfg
                .inst_args(inst)
                .iter()
                .any(|&mask| constant(mask).is_some_and(|mask| u32::try_from(mask).is_ok())),
            ir::Opcode::Ushr => constant(dfg.inst_args(inst)[1]).is_some_and(|by| (32..64).contains(&by)),
            _ => false,
        }
    }

    pub(super) fn low_word(&mut self, value: Value) -> Value {
        self.builder.ins().ireduce(types::I32, value)
    }

    /// zext32 of a register's value.
    pub(super) fn zero_extended(&mut self, value: Value) -> Value {
        if self.fits_word(value) {
            return value;
        }
        let low = self.low_word(value);
        self.builder.ins().uextend(types::I64, low)
    }

    fn binary(&mut self, op: Op, a: Value, b: Value) -> Value {
        let scaled = |this: &mut Self, a: Value, shift: i64| {
            let shifted = this.builder.ins().ishl_imm_u(a, shift);
            this.builder.ins().iadd(shifted, b)
        };
        match op {
            Op::AddUw => {
                let a = self.zero_extended(a);
                return self.builder.ins().iadd(a, b);
            }
            Op::Sh1add => return scaled(self, a, 1),
            Op::Sh2add => return scaled(self, a, 2),
            Op::Sh3add => return scaled(self, a, 3),
            Op::Sh1addUw | Op::Sh2addUw | Op::Sh3addUw => {
                let a = self.zero_extended(a);
                let shift = match op {
                    Op::Sh1addUw => 1,
                    Op::Sh2addUw => 2,
                    _ => 3,
                };
                return scaled(self, a, shift);
            }
            Op::Mulhsu => {
                // Unsigned, less b where a is negative.
                let high = self.builder.ins().umulhi(a, b);
                let sign = self.builder.ins().sshr_imm_u(a, 63);
                let excess = self.builder.ins().band(sign, b);
                return self.builder.ins().isub(high, excess);
            }
            Op::CzeroEqz | Op::CzeroNez => {
                let zero = self.constant(0);
                let is_zero = self.compare(IntCC::Equal, b, zero);
                return if op == Op::CzeroEqz {
                    self.builder.ins().select(is_zero, zero, a)
                } else {
                    self.builder.ins().select(is_zero, a, zero)
                };
            }
            _ => {}
        }
        let ins = self.builder.ins();
        match op {
            Op::Add => ins.iadd(a, b),
            Op::Sub => ins.isub(a, b),
            Op::Xor | Op::Xori => ins.bxor(a, b),
            Op::Or | Op::Ori => ins.bor(a, b),
            Op::And | Op::Andi => ins.band(a, b),
            Op::Sll | Op::Slli => ins.ishl(a, b),
            Op::Srl | Op::Srli => ins.ushr(a, b),
            Op::Sra | Op::Srai => ins.sshr(a, b),
            Op::Rol => ins.rotl(a, b),
            Op::Ror | Op::Rori => ins.rotr(a, b),
            Op::Andn => ins.band_not(a, b),
            Op::Orn => ins.bor_not(a, b),
            Op::Xnor => ins.bxor_not(a, b),
            Op::Max => ins.smax(a, b),
            Op::Maxu => ins.umax(a, b),
            Op::Min => ins.smin(a, b),
            Op::Minu => ins.umin(a, b),
            Op::Mul => ins.imul(a, b),
            Op::Mulh => ins.smulhi(a, b),
            Op::Mulhu => ins.umulhi(a, b),
            _ => unreachable!("{op:?} is no operation of two sources"),
        }
    }

    /// Operations on low words whose result is sign-extended.
    fn word(&mut self, op: Op, a: Value, b: Value) -> Value {
        let a = self.low_word(a);
        let ins = self.builder.ins();
        let value = match op {
            Op::Addw | Op::Addiw => ins.iadd(a, b),
            Op::Subw => ins.isub(a, b),
            Op::Sllw | Op::Slliw => ins.ishl(a, b),
            Op::Srlw | Op::Srliw => ins.ushr(a, b),
            Op::Sraw | Op::Sraiw => ins.sshr(a, b),
            Op::Rolw => ins.rotl(a, b),
            Op::Rorw | Op::Roriw => ins.rotr(a, b),
            Op::Mulw => ins.imul(a, b),
            _ => unreachable!("{op:?} is no operation on words"),
        };
        self.builder.ins().sextend(types::I64, value)
    }

    fn unary(&mut self, op: Op, a: Value) -> Value {
        match op {
            Op::Clz => self.builder.ins().clz(a),
            Op::Ctz => self.builder.ins().ctz(a),
            Op::Cpop => self.builder.ins().popcnt(a),
            Op::Rev8 => self.builder.ins().bswap(a),
            Op::Clzw | Op::Ctzw | Op::Cpopw => {
                let a = self.low_word(a);
                let count = match op {
                    Op::Clzw => self.builder.ins().clz(a),
                    Op::Ctzw => self.builder.ins().ctz(a),
                    _ => self.builder.ins().popcnt(a),
                };
                self.builder.ins().uextend(types::I64, count)
            }
            Op::SextB => {
                let low = self.builder.ins().ireduce(types::I8, a);
                self.builder.ins().sextend(types::I64, low)
            }
            Op::SextH => {
                let low = self.builder.ins().ireduce(types::I16, a);
                self.builder.ins().sextend(types::I64, low)
            }
            Op::ZextH => {
                let low = self.builder.ins().ireduce(types::I16, a);
                self.builder.ins().uextend(types::I64, low)
            }
            Op::OrcB => {
                // As in the interpreter: a byte's top bit is set when the byte is not zero, then spread.
                let low_seven = self.constant(0x7f7f_7f7f_7f7f_7f7f);
                let low = self.builder.ins().band(a, low_seven);
                let carried = self.builder.ins().iadd(low, low_seven);
                let any = self.builder.ins().bor(carried, a);
                let high = self.builder.ins().band_not(any, low_seven);
                let ones = self.builder.ins().ushr_imm_u(high, 7);
                let shifted = self.builder.ins().ishl_imm_u(ones, 8);
                self.builder.ins().isub(shifted, ones)
            }
            _ => unreachable!("{op:?} is no operation of one source"),
        }
    }

    fn single_bit(&mut self, op: Op, a: Value, number: Value) -> Value {
        if matches!(op, Op::Bext | Op::Bexti) {
            let shifted = self.builder.ins().ushr(a, number);
            return self.builder.ins().band_imm_s(shifted, 1);
        }
        let one = self.constant(1);
        let bit = self.builder.ins().ishl(one, number);
        match op {
            Op::Bclr | Op::Bclri => self.builder.ins().band_not(a, bit),
            Op::Binv | Op::Binvi => self.builder.ins().bxor(a, bit),
            _ => self.builder.ins().bor(a, bit),
        }
    }

    /// Division and remainder of two values of one width. Neither a divisor of 0 nor an overflow reaches the host's
    /// instruction, which would trap.
    fn divide(&mut self, op: Op, a: Value, b: Value) -> Value {
        let ty = self.builder.func.dfg.value_type(a);
        let zero = self.builder.ins().iconst(ty, 0);
        let one = self.builder.ins().iconst(ty, 1);
        let is_zero = self.compare(IntCC::Equal, b, zero);
        let ones = if ty == types::I32 {
            self.builder.ins().iconst(ty, 0xffff_ffff)
        } else {
            self.builder.ins().iconst(ty, -1)
        };
        if matches!(op, Op::Divu | Op::Divuw | Op::Remu | Op::Remuw) {
            let divisor = self.builder.ins().select(is_zero, one, b);
            return if matches!(op, Op::Divu | Op::Divuw) {
                let quotient = self.builder.ins().udiv(a, divisor);
                self.builder.ins().select(is_zero, ones, quotient)
            } else {
                let remainder = self.builder.ins().urem(a, divisor);
                self.builder.ins().select(is_zero, a, remainder)
            };
        }
        // Divided by 1 instead of 0 or -1, then mended.
        let next = self.builder.ins().iadd(b, one);
        let is_special = self.compare(IntCC::UnsignedLessThanOrEqual, next, one);
        let divisor = self.builder.ins().select(is_special, one, b);
        if matches!(op, Op::Div | Op::Divw) {
            let quotient = self.builder.ins().sdiv(a, divisor);
            let negated = self.builder.ins().ineg(a);
            let is_minus_one = self.compare(IntCC::Equal, b, ones);
            let quotient = self.builder.ins().select(is_minus_one, negated, quotient);
            self.builder.ins().select(is_zero, ones, quotient)
        } else {
            let remainder = self.builder.ins().srem(a, divisor);
            self.builder.ins().select(is_zero, a, remainder)
        }
    }

    /// Carry-less products are computed by the interpreter's own function.
    fn carryless(&mut self, step: &Step) -> Value {
        let signature = match self.helper_signatures[0] {
            Some(signature) => signature,
            None => {
                let mut signature = Signature::new(self.input.convention);
                signature.params = vec![AbiParam::new(types::I64); 2];
                signature.returns = vec![AbiParam::new(types::I64)];
                let signature = self.builder.import_signature(signature);
                self.helper_signatures[0] = Some(signature);
                signature
            }
        };
        let (a, b) = (self.get(step.rs1), self.get(step.rs2));
        let helper = self.load_context(match step.op {
            Op::Clmul => layout::CLMUL,
            Op::Clmulh => layout::CLMULH,
            _ => layout::CLMULR,
        });
        let call = self.builder.ins().call_indirect(signature, helper, &[a, b]);
        self.builder.inst_results(call)[0]
    }
}
