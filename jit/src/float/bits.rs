//! What is done with the bits of numbers.

use super::Sign;
use super::format::Format;

/// The bits of a format in a register that need not be boxed.
pub(super) fn low<F: Format>(register: u64) -> u64 {
    register & (F::SIGN | (F::SIGN - 1))
}

/// The same, sign-extended.
pub(super) fn to_integer_register<F: Format>(register: u64) -> u64 {
    let unused = F::SIGN.leading_zeros();
    (register.cast_signed() << unused >> unused).cast_unsigned()
}

pub(super) fn inject_sign<F: Format>(sign: Sign, a: u64, b: u64) -> u64 {
    let sign = match sign {
        Sign::Copy => b,
        Sign::Negate => !b,
        Sign::Xor => a ^ b,
    };
    a & !F::SIGN | sign & F::SIGN
}

/// Whether two numbers, no NaNs, are equal: zeros are, whatever their signs.
pub(super) fn equals<F: Format>(a: u64, b: u64) -> bool {
    a == b || F::is_zero(a) && F::is_zero(b)
}

/// Whether one number is less than another, neither of them a NaN; -0 is less than 0.
pub(super) fn is_less<F: Format>(a: u64, b: u64) -> bool {
    // Integers in the order of the numbers: magnitudes of negative ones count downwards, from -1.
    let order = |bits: u64| {
        let magnitude = (bits & !F::SIGN).cast_signed();
        if F::is_negative(bits) {
            !magnitude
        } else {
            magnitude
        }
    };
    order(a) < order(b)
}

/// The bit that `fclass` sets.
pub(super) fn class<F: Format>(a: u64) -> u64 {
    let magnitude = a & !F::SIGN;
    let number = if F::is_signaling(a) {
        8
    } else if F::is_nan(a) {
        9
    } else {
        // From zero up; mirrored for negative ones.
        let size = match magnitude {
            0 => 0,
            _ if magnitude <= F::FRACTION => 1,
            _ if magnitude < F::INFINITY => 2,
            _ => 3,
        };
        if F::is_negative(a) { 3 - size } else { 4 + size }
    };
    1 << number
}

/// The square root of a positive finite number: an integer with at least two bits more than a fraction has, whose last
/// one says whether anything is missing, and the exponent of 2 that it is to be multiplied with.
pub(super) fn square_root<F: Format>(a: u64) -> (u128, i32) {
    let precision = F::FRACTION_BITS + 1;
    let bias = (1 << (F::EXPONENT_BITS - 1)) - 1;
    let (field, fraction) = ((a >> F::FRACTION_BITS) as i32, a & F::FRACTION);
    // a = significand × 2^exponent
    let (significand, exponent) = match field {
        0 => {
            let shift = fraction.leading_zeros() - (u64::BITS - precision);
            (fraction << shift, 1 - shift as i32)
        }
        _ => (fraction | 1 << F::FRACTION_BITS, field),
    };
    let exponent = exponent - bias - F::FRACTION_BITS as i32;
    // As many zeros behind it as make the root long enough, and the exponent even.
    let zeros = precision + 3 + u32::from(((precision + 3).cast_signed() - exponent) & 1 != 0);
    let radicand = u128::from(significand) << zeros;
    let root = radicand.isqrt();
    let is_inexact = root * root != radicand;
    (
        root << 1 | u128::from(is_inexact),
        (exponent - zeros as i32) / 2 - 1,
    )
}
