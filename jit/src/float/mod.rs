//! Floating point in software, as F and D define it: the semantics that every tier has.
//!
//! Rounding of sums, products, quotients and conversions is that of `rustc_apfloat`, the port of LLVM's APFloat that the
//! Rust project keeps: in Rust, without state, the same on every host, in all five rounding modes and with the exceptions
//! told. This module adds what RISC-V wants beyond it:
//!
//! - NaNs never reach it: operands are looked at first, and every NaN that comes out is the canonical one;
//! - what is too small or too large is told after rounding as if exponents had no end; APFloat looks at the result, and says
//!   nothing of overflow where that became the largest number ([`Unit::accrue_by`]);
//! - square roots, which it has not, from those of integers;
//! - comparisons, minima and maxima, signs and classes are matters of bits.
//!
//! Singles lie in registers *boxed*, with all ones above them; any other register holds the canonical NaN for operations
//! on singles.

mod bits;
mod format;
mod operation;

use rustc_apfloat::{Float as _, FloatConvert as _, Round, Status, StatusAnd};

use crate::isa::{FFLAGS, FRM, Op};
use format::{Double, Format, Single};
pub(crate) use operation::{Integer, Operation, Precision, Sign};

/// The rounding mode of an instruction that stands for the one in `frm`.
pub(crate) const DYNAMIC: u8 = 7;

/// Bits of `fflags`.
const INEXACT: u64 = 1;
const UNDERFLOW: u64 = 2;
const OVERFLOW: u64 = 4;
const DIVISION_BY_ZERO: u64 = 8;
const INVALID: u64 = 16;

/// Lowest bit of `frm` in `fcsr`.
const ROUNDING_SHIFT: u32 = 5;

/// What an instruction's rounding mode means; `None` where it is reserved.
fn rounding(mode: u8, fcsr: u64) -> Option<Round> {
    let mode = match mode {
        DYNAMIC => fcsr >> ROUNDING_SHIFT & 7,
        mode => u64::from(mode),
    };
    Some(match mode {
        0 => Round::NearestTiesToEven,
        1 => Round::TowardZero,
        2 => Round::TowardNegative,
        3 => Round::TowardPositive,
        4 => Round::NearestTiesToAway,
        _ => return None,
    })
}

/// Executes an operation on the contents of registers, and accrues its exceptions in `fcsr`. `mode` is the instruction's,
/// 0 where it has none. Gives what goes to rd; `None` where the rounding mode makes the instruction illegal.
pub(crate) fn execute(op: Op, mode: u8, sources: [u64; 3], fcsr: &mut u64) -> Option<u64> {
    let mut unit = Unit {
        round: rounding(mode, *fcsr)?,
        flags: 0,
    };
    let value = match Operation::of(op) {
        (Precision::Single, operation) => unit.operate::<Single>(operation, sources),
        (Precision::Double, operation) => unit.operate::<Double>(operation, sources),
    };
    *fcsr |= unit.flags;
    Some(value)
}

/// A register that holds a single with these bits.
pub(crate) fn boxed_single(bits: u64) -> u64 {
    Single::boxed(bits)
}

/// Executes a CSR instruction, whose immediate names the CSR and whose source is `source`. Gives what goes to rd.
pub(crate) fn access_csr(op: Op, imm: i32, source: u64, fcsr: &mut u64) -> u64 {
    let (shift, mask) = match imm & 0xfff {
        FFLAGS => (0, 0x1f),
        FRM => (ROUNDING_SHIFT, 0x7),
        _ => (0, 0xff),
    };
    let old = *fcsr >> shift & mask;
    let new = match op {
        Op::Csrrw | Op::Csrrwi => source,
        Op::Csrrs | Op::Csrrsi => old | source,
        _ => old & !source,
    };
    *fcsr = *fcsr & !(mask << shift) | (new & mask) << shift;
    old
}

/// One operation's rounding and exceptions.
struct Unit {
    round: Round,
    flags: u64,
}

impl Unit {
    fn operate<F: Format>(&mut self, operation: Operation, sources: [u64; 3]) -> u64 {
        let [a, b, c] = sources.map(F::unboxed);
        match operation {
            Operation::Add => F::boxed(self.arithmetic::<F>(Arithmetic::Add, [a, b, 0])),
            Operation::Subtract => F::boxed(self.arithmetic::<F>(Arithmetic::Subtract, [a, b, 0])),
            Operation::Multiply => F::boxed(self.arithmetic::<F>(Arithmetic::Multiply, [a, b, 0])),
            Operation::Divide => F::boxed(self.arithmetic::<F>(Arithmetic::Divide, [a, b, 0])),
            Operation::SquareRoot => F::boxed(self.square_root::<F>(a)),
            Operation::Fused {
                negates_product,
                negates_addend,
            } => {
                let a = if negates_product { a ^ F::SIGN } else { a };
                let c = if negates_addend { c ^ F::SIGN } else { c };
                F::boxed(self.arithmetic::<F>(Arithmetic::Fused, [a, b, c]))
            }
            Operation::InjectSign(sign) => F::boxed(bits::inject_sign::<F>(sign, a, b)),
            Operation::Minimum => F::boxed(self.extreme::<F>(a, b, bits::is_less::<F>)),
            Operation::Maximum => F::boxed(self.extreme::<F>(a, b, |a, b| bits::is_less::<F>(b, a))),
            Operation::Equal => self.compare::<F>(a, b, true, bits::equals::<F>),
            Operation::Less => self.compare::<F>(a, b, false, |a, b| {
                bits::is_less::<F>(a, b) && !bits::equals::<F>(a, b)
            }),
            Operation::LessOrEqual => self.compare::<F>(a, b, false, |a, b| {
                bits::is_less::<F>(a, b) || bits::equals::<F>(a, b)
            }),
            Operation::Classify => bits::class::<F>(a),
            Operation::ToInteger(integer) => self.rounded::<F>(a, integer),
            Operation::FromInteger(integer) => F::boxed(self.number_of::<F>(sources[0], integer)),
            Operation::FromOther => F::boxed(self.convert::<F>(F::Other::unboxed(sources[0]))),
            Operation::MoveToInteger => bits::to_integer_register::<F>(sources[0]),
            Operation::MoveFromInteger => F::boxed(bits::low::<F>(sources[0])),
        }
    }

    /// Accrues what an operation of the library told.
    fn note(&mut self, status: Status) {
        for (told, flag) in [
            (Status::INVALID_OP, INVALID),
            (Status::DIV_BY_ZERO, DIVISION_BY_ZERO),
            (Status::OVERFLOW, OVERFLOW),
            (Status::UNDERFLOW, UNDERFLOW),
            (Status::INEXACT, INEXACT),
        ] {
            if status.intersects(told) {
                self.flags |= flag;
            }
        }
    }

    /// Gives the canonical NaN if there is a NaN among the operands.
    fn propagated<F: Format>(&mut self, operands: &[u64]) -> Option<u64> {
        if operands.iter().any(|&bits| F::is_signaling(bits)) {
            self.flags |= INVALID;
        }
        operands
            .iter()
            .any(|&bits| F::is_nan(bits))
            .then_some(F::CANONICAL_NAN)
    }

    fn arithmetic<F: Format>(&mut self, arithmetic: Arithmetic, operands: [u64; 3]) -> u64 {
        if let Some(nan) = self.propagated::<F>(&operands) {
            let [a, b, _] = operands;
            // Invalid whatever is added, a quiet NaN too.
            let is_undefined = F::is_infinite(a) && F::is_zero(b) || F::is_zero(a) && F::is_infinite(b);
            if arithmetic == Arithmetic::Fused && is_undefined {
                self.flags |= INVALID;
            }
            return nan;
        }
        let numbers = operands.map(|bits| F::Number::from_bits(bits.into()));
        let StatusAnd { status, value } = arithmetic.apply(numbers, self.round);
        self.note(status);
        if is_suspect(value, status) {
            let wide = arithmetic.apply(numbers.map(widened::<F::Number, F::Wide>), self.round);
            self.accrue_by::<F>(value, wide.value);
        }
        from_number::<F>(value)
    }

    /// Accrues underflow or overflow where a result is the smallest normal number or the largest one, by what it is with more
    /// exponents.
    fn accrue_by<F: Format>(&mut self, value: F::Number, wide: F::Wide) {
        let compared = wide.cmp_abs_normal(widened::<F::Number, F::Wide>(value));
        if value.is_smallest_normalized() && compared.is_lt() {
            self.flags |= UNDERFLOW;
        }
        if value.is_largest() && compared.is_gt() {
            self.flags |= OVERFLOW;
        }
    }

    fn square_root<F: Format>(&mut self, a: u64) -> u64 {
        if let Some(nan) = self.propagated::<F>(&[a]) {
            return nan;
        }
        if F::is_zero(a) || a == F::INFINITY {
            return a;
        }
        if F::is_negative(a) {
            self.flags |= INVALID;
            return F::CANONICAL_NAN;
        }
        let (root, exponent) = bits::square_root::<F>(a);
        let StatusAnd { status, value } = F::Number::from_u128_r(root, self.round);
        self.note(status);
        // Exact: square roots are far from the smallest and largest exponents.
        from_number::<F>(value.scalbn(exponent))
    }

    fn rounded<F: Format>(&mut self, a: u64, integer: Integer) -> u64 {
        if F::is_nan(a) {
            self.flags |= INVALID;
            return integer.largest();
        }
        let number = F::Number::from_bits(a.into());
        let width = integer.bits() as usize;
        let mut is_exact = false;
        let StatusAnd { status, value } = if integer.is_signed() {
            number
                .to_i128_r(width, self.round, &mut is_exact)
                .map(|value| value as u64)
        } else {
            number
                .to_u128_r(width, self.round, &mut is_exact)
                .map(|value| value as u64)
        };
        self.note(status);
        if status.intersects(Status::INVALID_OP) {
            return if F::is_negative(a) {
                integer.smallest()
            } else {
                integer.largest()
            };
        }
        match integer.bits() {
            32 => value as i32 as u64,
            _ => value,
        }
    }

    fn number_of<F: Format>(&mut self, a: u64, integer: Integer) -> u64 {
        let value = match integer {
            Integer::Word => i128::from(a as i32),
            Integer::UnsignedWord => i128::from(a as u32),
            Integer::Long => i128::from(a.cast_signed()),
            Integer::UnsignedLong => i128::from(a),
        };
        let StatusAnd { status, value } = F::Number::from_i128_r(value, self.round);
        self.note(status);
        from_number::<F>(value)
    }

    /// From the other format's bits.
    fn convert<F: Format>(&mut self, a: u64) -> u64 {
        if self.propagated::<F::Other>(&[a]).is_some() {
            return F::CANONICAL_NAN;
        }
        let number = <F::Other as Format>::Number::from_bits(a.into());
        let mut loses = false;
        let converted: StatusAnd<F::Number> = number.convert_r(self.round, &mut loses);
        self.note(converted.status);
        if is_suspect(converted.value, converted.status) {
            let wide: StatusAnd<F::Wide> = number.convert_r(self.round, &mut loses);
            self.accrue_by::<F>(converted.value, wide.value);
        }
        from_number::<F>(converted.value)
    }

    /// Minimum and maximum numbers: a NaN is what there is not.
    fn extreme<F: Format>(&mut self, a: u64, b: u64, wins: impl Fn(u64, u64) -> bool) -> u64 {
        if F::is_signaling(a) || F::is_signaling(b) {
            self.flags |= INVALID;
        }
        match (F::is_nan(a), F::is_nan(b)) {
            (true, true) => F::CANONICAL_NAN,
            (true, false) => b,
            (false, true) => a,
            (false, false) if wins(a, b) => a,
            (false, false) => b,
        }
    }

    fn compare<F: Format>(
        &mut self,
        a: u64,
        b: u64,
        is_quiet: bool,
        holds: impl Fn(u64, u64) -> bool,
    ) -> u64 {
        if F::is_nan(a) || F::is_nan(b) {
            if !is_quiet || F::is_signaling(a) || F::is_signaling(b) {
                self.flags |= INVALID;
            }
            return 0;
        }
        u64::from(holds(a, b))
    }
}

/// What the library rounds by one rule for all formats.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Fused,
}

impl Arithmetic {
    fn apply<T: rustc_apfloat::Float>(self, [a, b, c]: [T; 3], round: Round) -> StatusAnd<T> {
        match self {
            Self::Add => a.add_r(b, round),
            Self::Subtract => a.sub_r(b, round),
            Self::Multiply => a.mul_r(b, round),
            Self::Divide => a.div_r(b, round),
            Self::Fused => a.mul_add_r(b, c, round),
        }
    }
}

/// Whether a result may have come from beyond the smallest or largest exponent without the library saying so.
fn is_suspect<T: rustc_apfloat::Float>(value: T, status: Status) -> bool {
    status.intersects(Status::INEXACT) && (value.is_smallest_normalized() || value.is_largest())
}

/// The same number in a format that has it.
fn widened<N: rustc_apfloat::FloatConvert<W>, W: rustc_apfloat::Float>(number: N) -> W {
    number.convert(&mut false).value
}

/// Bits of a result.
fn from_number<F: Format>(number: F::Number) -> u64 {
    if number.is_nan() {
        F::CANONICAL_NAN
    } else {
        number.to_bits() as u64
    }
}
