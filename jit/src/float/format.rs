//! Singles and doubles: their bits, how registers hold them, and what computes with them.

use rustc_apfloat::ieee::{self, IeeeFloat, Semantics};
use rustc_apfloat::{Float, FloatConvert};

/// A format of IEEE 754. Values are their bits, in the low ones of a word.
pub(super) trait Format {
    /// What computes in it.
    type Number: Float + FloatConvert<Self::Wide> + FloatConvert<<Self::Other as Format>::Number>;
    /// The same precision with more exponents, where nothing that numbers of this format come to is tiny.
    type Wide: Float;
    /// The other format.
    type Other: Format<Number: FloatConvert<Self::Number> + FloatConvert<Self::Wide>>;

    const EXPONENT_BITS: u32;
    const FRACTION_BITS: u32;

    const SIGN: u64 = 1 << (Self::EXPONENT_BITS + Self::FRACTION_BITS);
    const INFINITY: u64 = ((1 << Self::EXPONENT_BITS) - 1) << Self::FRACTION_BITS;
    const QUIET: u64 = 1 << (Self::FRACTION_BITS - 1);
    /// The only NaN that operations give.
    const CANONICAL_NAN: u64 = Self::INFINITY | Self::QUIET;
    const FRACTION: u64 = (1 << Self::FRACTION_BITS) - 1;

    /// The value that a register holds.
    fn unboxed(register: u64) -> u64;

    /// A register that holds the value.
    fn boxed(bits: u64) -> u64;

    fn is_nan(bits: u64) -> bool {
        bits & !Self::SIGN > Self::INFINITY
    }

    fn is_signaling(bits: u64) -> bool {
        Self::is_nan(bits) && bits & Self::QUIET == 0
    }

    fn is_infinite(bits: u64) -> bool {
        bits & !Self::SIGN == Self::INFINITY
    }

    fn is_zero(bits: u64) -> bool {
        bits & !Self::SIGN == 0
    }

    fn is_negative(bits: u64) -> bool {
        bits & Self::SIGN != 0
    }
}

/// Single precision.
pub(super) struct Single;

/// Double precision.
pub(super) struct Double;

/// In the upper half of a register, the mark of a single.
const BOX: u64 = 0xffff_ffff << 32;

impl Format for Single {
    type Number = ieee::Single;
    type Wide = IeeeFloat<WideSingle>;
    type Other = Double;

    const EXPONENT_BITS: u32 = 8;
    const FRACTION_BITS: u32 = 23;

    fn unboxed(register: u64) -> u64 {
        if register & BOX == BOX {
            register & !BOX
        } else {
            Self::CANONICAL_NAN
        }
    }

    fn boxed(bits: u64) -> u64 {
        bits | BOX
    }
}

impl Format for Double {
    type Number = ieee::Double;
    type Wide = IeeeFloat<WideDouble>;
    type Other = Single;

    const EXPONENT_BITS: u32 = 11;
    const FRACTION_BITS: u32 = 52;

    fn unboxed(register: u64) -> u64 {
        register
    }

    fn boxed(bits: u64) -> u64 {
        bits
    }
}

/// A single with the exponents of a double and more.
pub(super) struct WideSingle;

impl Semantics for WideSingle {
    const BITS: usize = Self::EXP_BITS + 24;
    const EXP_BITS: usize = 13;
}

/// A double with twice the exponents and more.
pub(super) struct WideDouble;

impl Semantics for WideDouble {
    const BITS: usize = Self::EXP_BITS + 53;
    const EXP_BITS: usize = 13;
}
