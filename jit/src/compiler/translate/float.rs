//! Floating point: by the host's instructions where nobody can tell them from the machine's, else by a helper that
//! computes in software.
//!
//! The host's instructions round to nearest and keep their exceptions to themselves, and which NaN they give differs from
//! host to host. So they stand for an operation whose rounding is known to be that, in a program that never reads
//! exceptions ([`Observed`](crate::compiler::floats::Observed)); and every NaN that comes out is replaced. Arithmetic does
//! not care which NaN it is given: what only arithmetic uses is taken as it came from the host, and Cranelift drops the
//! replacement.
//!
//! Floating-point registers are values of type F64, singles in them boxed; the single inside is remembered as an F32.

use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::{InstBuilder as _, MemFlagsData, Type, Value, types};

use super::Translator;
use crate::compiler::flow::Step;
use crate::float::{DYNAMIC, Integer, Operation, Precision, Sign};
use crate::isa::{FFLAGS, FRM, Op};
use crate::runtime::layout;

/// Bits of the canonical NaNs.
const NAN_SINGLE: u32 = 0x7fc0_0000;
const NAN_DOUBLE: u64 = 0x7ff8_0000_0000_0000;

/// In the upper half of a register, the mark of a single.
const BOX: i64 = (0xffff_ffff_u64 << 32).cast_signed();

/// Rounding modes of instructions.
const NEAREST_EVEN: u8 = 0;
const TOWARD_ZERO: u8 = 1;

const SIGNATURE_FLOAT: usize = 3;

/// What is known of values.
#[derive(Default)]
pub(super) struct Floats {
    /// The single in a boxed value.
    singles: SecondaryMap<Value, Option<Value>>,
    /// A result as the host gave it, for one whose NaNs were replaced.
    results: SecondaryMap<Value, Option<Value>>,
}

const fn type_of(precision: Precision) -> Type {
    match precision {
        Precision::Single => types::F32,
        Precision::Double => types::F64,
    }
}

impl Translator<'_> {
    pub(super) fn load_float(&mut self, step: &Step) {
        let is_double = step.op == Op::Fld;
        let place = self.place(step.rs1, step.imm, if is_double { 8 } else { 4 }, false);
        let (flags, kind) = (self.load_flags(), if is_double { types::F64 } else { types::F32 });
        let value = self.builder.ins().load(kind, flags, place.address, place.offset);
        let value = if is_double { value } else { self.boxed(value) };
        self.set(step.rd, value);
    }

    pub(super) fn store_float(&mut self, step: &Step) {
        let is_double = step.op == Op::Fsd;
        let place = self.place(step.rs1, step.imm, if is_double { 8 } else { 4 }, true);
        let value = self.get(step.rs2);
        let flags = self.store_flags();
        let value = match (is_double, self.floats.singles[value]) {
            (true, _) => value,
            (false, Some(single)) => single,
            (false, None) => {
                let bits = self.bits_of(value);
                self.builder.ins().ireduce(types::I32, bits)
            }
        };
        self.builder
            .ins()
            .store(flags, value, place.address, place.offset);
    }

    /// An operation that computes.
    pub(super) fn float(&mut self, step: &Step) {
        let (precision, operation) = Operation::of(step.op);
        let mode = self.rounding_of(step);
        let value = match self.native(step, precision, operation, mode) {
            Some(value) => value,
            None => self.soft(step, mode),
        };
        self.set(step.rd, value);
    }

    /// The rounding mode of an instruction, as far as it is known; where it is not, it is looked at, since what is reserved
    /// traps.
    fn rounding_of(&mut self, step: &Step) -> u8 {
        let mode = step.imm as u8;
        if mode != DYNAMIC {
            return mode;
        }
        if !self.input.floats.rounding {
            return NEAREST_EVEN;
        }
        let fcsr = self.load_context(layout::FCSR);
        let mode = self.builder.ins().ushr_imm_u(fcsr, 5);
        let last = self.constant(4);
        let is_reserved = self.compare(IntCC::UnsignedGreaterThan, mode, last);
        self.trap_if(is_reserved);
        DYNAMIC
    }

    /// By the helper.
    fn soft(&mut self, step: &Step, mode: u8) -> Value {
        let sources = [step.rs1, step.rs2, step.rs3].map(|register| {
            let value = self.get(register);
            self.bits_of(value)
        });
        let signature = self.helper_signature(SIGNATURE_FLOAT, 5, true);
        let helper = self.load_context(layout::FLOAT);
        let operation = self.constant(u64::from(step.op as u8) | u64::from(mode) << 8);
        let base = self.base();
        let [a, b, c] = sources;
        let call = self
            .builder
            .ins()
            .call_indirect(signature, helper, &[base, operation, a, b, c]);
        let value = self.builder.inst_results(call)[0];
        if super::type_of(step.rd) == types::I64 {
            value
        } else {
            self.builder.ins().bitcast(types::F64, MemFlagsData::new(), value)
        }
    }

    /// By the host's instructions, where they stand for the operation.
    fn native(&mut self, step: &Step, precision: Precision, operation: Operation, mode: u8) -> Option<Value> {
        let raises_nothing = matches!(
            operation,
            Operation::InjectSign(_) | Operation::MoveToInteger | Operation::MoveFromInteger
        );
        if self.input.floats.exceptions && !raises_nothing {
            return None;
        }
        let is_nearest = mode == NEAREST_EVEN;
        let kind = type_of(precision);
        let [a, b, c] = [step.rs1, step.rs2, step.rs3];
        Some(match operation {
            Operation::Add | Operation::Subtract | Operation::Multiply | Operation::Divide if is_nearest => {
                let (a, b) = (self.operand(kind, a), self.operand(kind, b));
                let ins = self.builder.ins();
                let value = match operation {
                    Operation::Add => ins.fadd(a, b),
                    Operation::Subtract => ins.fsub(a, b),
                    Operation::Multiply => ins.fmul(a, b),
                    _ => ins.fdiv(a, b),
                };
                self.result(value)
            }
            Operation::SquareRoot if is_nearest => {
                let a = self.operand(kind, a);
                let value = self.builder.ins().sqrt(a);
                self.result(value)
            }
            Operation::Fused {
                negates_product,
                negates_addend,
            } if is_nearest && self.input.fuses => {
                let [mut a, b, mut c] = [a, b, c].map(|register| self.operand(kind, register));
                if negates_product {
                    a = self.builder.ins().fneg(a);
                }
                if negates_addend {
                    c = self.builder.ins().fneg(c);
                }
                let value = self.builder.ins().fma(a, b, c);
                self.result(value)
            }
            Operation::InjectSign(sign) => self.inject_sign(kind, sign, a, b),
            Operation::Minimum | Operation::Maximum => self.extreme(kind, operation, a, b),
            Operation::Equal | Operation::Less | Operation::LessOrEqual => {
                let (a, b) = (self.operand(kind, a), self.operand(kind, b));
                let condition = match operation {
                    Operation::Equal => FloatCC::Equal,
                    Operation::Less => FloatCC::LessThan,
                    _ => FloatCC::LessThanOrEqual,
                };
                let holds = self.builder.ins().fcmp(condition, a, b);
                self.builder.ins().uextend(types::I64, holds)
            }
            Operation::ToInteger(integer) if mode == TOWARD_ZERO => {
                let a = self.operand(kind, a);
                self.truncated(a, integer)
            }
            Operation::FromInteger(integer)
                if is_nearest || precision == Precision::Double && integer.bits() == 32 =>
            {
                let a = self.get(a);
                self.number_of(kind, a, integer)
            }
            Operation::FromOther if precision == Precision::Double => {
                let a = self.operand(types::F32, a);
                let value = self.builder.ins().fpromote(types::F64, a);
                self.result(value)
            }
            Operation::FromOther if is_nearest => {
                let a = self.operand(types::F64, a);
                let value = self.builder.ins().fdemote(types::F32, a);
                self.result(value)
            }
            Operation::MoveToInteger => self.move_to_integer(precision, a),
            Operation::MoveFromInteger => {
                let a = self.get(a);
                match precision {
                    Precision::Double => self.builder.ins().bitcast(types::F64, MemFlagsData::new(), a),
                    Precision::Single => {
                        let low = self.builder.ins().ireduce(types::I32, a);
                        let single = self.builder.ins().bitcast(types::F32, MemFlagsData::new(), low);
                        self.boxed(single)
                    }
                }
            }
            _ => return None,
        })
    }

    /// An integer register's value, or the bits of a floating-point one's.
    fn bits_of(&mut self, value: Value) -> Value {
        if self.builder.func.dfg.value_type(value) == types::I64 {
            return value;
        }
        self.builder.ins().bitcast(types::I64, MemFlagsData::new(), value)
    }

    /// The number in a register, bit by bit.
    fn exact(&mut self, kind: Type, register: u8) -> Value {
        let value = self.get(register);
        if kind == types::F64 {
            return value;
        }
        if let Some(single) = self.floats.singles[value] {
            return single;
        }
        let bits = self.bits_of(value);
        let low = self.builder.ins().ireduce(types::I32, bits);
        let single = self.builder.ins().bitcast(types::F32, MemFlagsData::new(), low);
        let mark = self.builder.ins().iconst(types::I64, BOX);
        let is_boxed = self.compare(IntCC::UnsignedGreaterThanOrEqual, bits, mark);
        let nan = self.nan(types::F32);
        self.builder.ins().select(is_boxed, single, nan)
    }

    /// The number in a register, for what takes one NaN like another.
    fn operand(&mut self, kind: Type, register: u8) -> Value {
        let value = self.exact(kind, register);
        self.floats.results[value].unwrap_or(value)
    }

    /// A register's value from what the host's arithmetic gave.
    fn result(&mut self, value: Value) -> Value {
        let kind = self.builder.func.dfg.value_type(value);
        let is_nan = self.builder.ins().fcmp(FloatCC::Unordered, value, value);
        let nan = self.nan(kind);
        let replaced = self.builder.ins().select(is_nan, nan, value);
        self.floats.results[replaced] = Some(value);
        if kind == types::F64 {
            replaced
        } else {
            self.boxed(replaced)
        }
    }

    fn nan(&mut self, kind: Type) -> Value {
        if kind == types::F64 {
            self.builder.ins().f64const(Ieee64::with_bits(NAN_DOUBLE))
        } else {
            self.builder.ins().f32const(Ieee32::with_bits(NAN_SINGLE))
        }
    }

    /// A register's value that holds a single.
    fn boxed(&mut self, single: Value) -> Value {
        let low = self
            .builder
            .ins()
            .bitcast(types::I32, MemFlagsData::new(), single);
        let low = self.builder.ins().uextend(types::I64, low);
        let mark = self.builder.ins().iconst(types::I64, BOX);
        let bits = self.builder.ins().bor(low, mark);
        let boxed = self.builder.ins().bitcast(types::F64, MemFlagsData::new(), bits);
        self.floats.singles[boxed] = Some(single);
        boxed
    }

    /// The same for a number of either kind.
    fn held(&mut self, value: Value) -> Value {
        if self.builder.func.dfg.value_type(value) == types::F64 {
            value
        } else {
            self.boxed(value)
        }
    }

    fn inject_sign(&mut self, kind: Type, sign: Sign, a: u8, b: u8) -> Value {
        let is_same = a == b;
        let (a, b) = (self.exact(kind, a), self.exact(kind, b));
        let value = match sign {
            Sign::Copy if is_same => a,
            Sign::Copy => self.builder.ins().fcopysign(a, b),
            Sign::Negate if is_same => self.builder.ins().fneg(a),
            Sign::Negate => {
                let b = self.builder.ins().fneg(b);
                self.builder.ins().fcopysign(a, b)
            }
            Sign::Xor if is_same => self.builder.ins().fabs(a),
            Sign::Xor => {
                let bits = if kind == types::F64 {
                    types::I64
                } else {
                    types::I32
                };
                let [x, y] = [a, b].map(|value| self.builder.ins().bitcast(bits, MemFlagsData::new(), value));
                let sign = i64::MIN >> (64 - bits.bits());
                let y = self.builder.ins().band_imm_s(y, sign);
                let x = self.builder.ins().bxor(x, y);
                self.builder.ins().bitcast(kind, MemFlagsData::new(), x)
            }
        };
        self.held(value)
    }

    /// Minimum and maximum numbers. Those of the host agree where there is no NaN.
    fn extreme(&mut self, kind: Type, operation: Operation, a: u8, b: u8) -> Value {
        let (a, b) = (self.operand(kind, a), self.operand(kind, b));
        let both = match operation {
            Operation::Minimum => self.builder.ins().fmin(a, b),
            _ => self.builder.ins().fmax(a, b),
        };
        let [a_missing, b_missing] =
            [a, b].map(|value| self.builder.ins().fcmp(FloatCC::Unordered, value, value));
        let value = self.builder.ins().select(b_missing, a, both);
        let value = self.builder.ins().select(a_missing, b, value);
        self.result(value)
    }

    /// Truncated and saturated.
    fn truncated(&mut self, a: Value, integer: Integer) -> Value {
        let kind = if integer.bits() == 32 {
            types::I32
        } else {
            types::I64
        };
        let value = if integer.is_signed() {
            self.builder.ins().fcvt_to_sint_sat(kind, a)
        } else {
            self.builder.ins().fcvt_to_uint_sat(kind, a)
        };
        let value = if kind == types::I32 {
            self.builder.ins().sextend(types::I64, value)
        } else {
            value
        };
        let is_nan = self.builder.ins().fcmp(FloatCC::Unordered, a, a);
        let largest = self.constant(integer.largest());
        self.builder.ins().select(is_nan, largest, value)
    }

    fn number_of(&mut self, kind: Type, a: Value, integer: Integer) -> Value {
        let value = match integer {
            Integer::Word => {
                let low = self.builder.ins().ireduce(types::I32, a);
                self.builder.ins().fcvt_from_sint(kind, low)
            }
            Integer::UnsignedWord => {
                let low = self.zero_extended(a);
                self.builder.ins().fcvt_from_sint(kind, low)
            }
            Integer::Long => self.builder.ins().fcvt_from_sint(kind, a),
            Integer::UnsignedLong => self.builder.ins().fcvt_from_uint(kind, a),
        };
        self.held(value)
    }

    fn move_to_integer(&mut self, precision: Precision, register: u8) -> Value {
        let value = self.get(register);
        if precision == Precision::Double {
            return self.bits_of(value);
        }
        let low = match self.floats.singles[value] {
            Some(single) => self
                .builder
                .ins()
                .bitcast(types::I32, MemFlagsData::new(), single),
            None => {
                let bits = self.bits_of(value);
                self.builder.ins().ireduce(types::I32, bits)
            }
        };
        self.builder.ins().sextend(types::I64, low)
    }

    /// Access to floating-point state, which lies in the context alone.
    pub(super) fn csr(&mut self, step: &Step) {
        let (shift, mask) = match step.imm & 0xfff {
            FFLAGS => (0, 0x1f),
            FRM => (5, 0x7),
            _ => (0, 0xff),
        };
        let source = match step.op {
            Op::Csrrw | Op::Csrrs | Op::Csrrc => self.get(step.rs1),
            _ => self.immediate(step.imm >> 12),
        };
        let fcsr = self.load_context(layout::FCSR);
        let shifted = self.builder.ins().ushr_imm_u(fcsr, shift);
        let old = self.builder.ins().band_imm_s(shifted, mask);
        let new = match step.op {
            Op::Csrrw | Op::Csrrwi => source,
            Op::Csrrs | Op::Csrrsi => self.builder.ins().bor(old, source),
            _ => self.builder.ins().band_not(old, source),
        };
        let new = self.builder.ins().band_imm_s(new, mask);
        let new = self.builder.ins().ishl_imm_u(new, shift);
        let kept = self.builder.ins().band_imm_s(fcsr, !(mask << shift));
        let all = self.builder.ins().bor(kept, new);
        self.store_context(layout::FCSR, all);
        self.set(step.rd, old);
    }
}
