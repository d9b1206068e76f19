//! Computations that take more than an operator.

/// Sign-extends the low 32 bits.
#[inline(always)]
const fn sign_extend(value: u32) -> u64 {
    value.cast_signed() as u64
}

/// Zero-extends the low 32 bits.
#[inline(always)]
pub(super) const fn zero_extend(value: u64) -> u64 {
    value & 0xffff_ffff
}

/// The bit with this number, modulo 64.
#[inline(always)]
pub(super) const fn bit(number: u64) -> u64 {
    1 << (number & 63)
}

/// Signed comparison.
#[inline(always)]
pub(super) fn less(a: u64, b: u64) -> u64 {
    u64::from(a.cast_signed() < b.cast_signed())
}

/// Signed maximum.
#[inline(always)]
pub(super) fn max(a: u64, b: u64) -> u64 {
    a.cast_signed().max(b.cast_signed()).cast_unsigned()
}

/// Signed minimum.
#[inline(always)]
pub(super) fn min(a: u64, b: u64) -> u64 {
    a.cast_signed().min(b.cast_signed()).cast_unsigned()
}

#[inline(always)]
pub(super) const fn sra(a: u64, b: u64) -> u64 {
    (a.cast_signed() >> (b & 63)).cast_unsigned()
}

#[inline(always)]
pub(super) const fn addw(a: u64, b: u64) -> u64 {
    sign_extend((a as u32).wrapping_add(b as u32))
}

#[inline(always)]
pub(super) const fn subw(a: u64, b: u64) -> u64 {
    sign_extend((a as u32).wrapping_sub(b as u32))
}

#[inline(always)]
pub(super) const fn sllw(a: u64, b: u64) -> u64 {
    sign_extend((a as u32) << (b & 31))
}

#[inline(always)]
pub(super) const fn srlw(a: u64, b: u64) -> u64 {
    sign_extend((a as u32) >> (b & 31))
}

#[inline(always)]
pub(super) const fn sraw(a: u64, b: u64) -> u64 {
    ((a as i32) >> (b & 31)) as u64
}

#[inline(always)]
pub(super) const fn rolw(a: u64, b: u64) -> u64 {
    sign_extend((a as u32).rotate_left((b & 31) as u32))
}

#[inline(always)]
pub(super) const fn rorw(a: u64, b: u64) -> u64 {
    sign_extend((a as u32).rotate_right((b & 31) as u32))
}

#[inline(always)]
pub(super) fn mulh(a: u64, b: u64) -> u64 {
    ((i128::from(a.cast_signed()) * i128::from(b.cast_signed())) >> 64) as u64
}

#[inline(always)]
pub(super) fn mulhsu(a: u64, b: u64) -> u64 {
    ((i128::from(a.cast_signed()) * i128::from(b)) >> 64) as u64
}

#[inline(always)]
pub(super) fn mulhu(a: u64, b: u64) -> u64 {
    ((u128::from(a) * u128::from(b)) >> 64) as u64
}

#[inline(always)]
pub(super) const fn mulw(a: u64, b: u64) -> u64 {
    sign_extend((a as u32).wrapping_mul(b as u32))
}

// Division never traps. By zero the quotient is all ones and the remainder the dividend; on overflow the quotient is
// the dividend and the remainder zero, which is what wrapping gives.

#[inline(always)]
pub(super) const fn div(a: u64, b: u64) -> u64 {
    if b == 0 {
        u64::MAX
    } else {
        a.cast_signed().wrapping_div(b.cast_signed()).cast_unsigned()
    }
}

#[inline(always)]
pub(super) const fn rem(a: u64, b: u64) -> u64 {
    if b == 0 {
        a
    } else {
        a.cast_signed().wrapping_rem(b.cast_signed()).cast_unsigned()
    }
}

#[inline(always)]
pub(super) const fn divw(a: u64, b: u64) -> u64 {
    if b as u32 == 0 {
        u64::MAX
    } else {
        (a as i32).wrapping_div(b as i32) as u64
    }
}

#[inline(always)]
pub(super) const fn remw(a: u64, b: u64) -> u64 {
    if b as u32 == 0 {
        sign_extend(a as u32)
    } else {
        (a as i32).wrapping_rem(b as i32) as u64
    }
}

#[inline(always)]
pub(super) fn divuw(a: u64, b: u64) -> u64 {
    sign_extend((a as u32).checked_div(b as u32).unwrap_or(u32::MAX))
}

#[inline(always)]
pub(super) fn remuw(a: u64, b: u64) -> u64 {
    sign_extend((a as u32).checked_rem(b as u32).unwrap_or(a as u32))
}

/// 0xff for each byte that is not zero.
#[inline(always)]
pub(super) const fn or_combine_bytes(value: u64) -> u64 {
    const LOW_SEVEN: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let high_bits = (((value & LOW_SEVEN) + LOW_SEVEN) | value) & !LOW_SEVEN;
    (high_bits >> 7) * 0xff
}

/// The product over GF(2).
///
/// Operands are split by bit number modulo 4, so that in an integer product of two parts each column has three bits
/// of room for carries; with one operand cut in halves no column sums more than eight, which fits. The columns that
/// matter are then the parity bits.
pub(crate) fn carryless_multiply(a: u64, b: u64) -> u128 {
    half_multiply(a, b as u32) ^ half_multiply(a, (b >> 32) as u32) << 32
}

fn half_multiply(a: u64, b: u32) -> u128 {
    const EVERY_FOURTH: u128 = 0x1111_1111_1111_1111_1111_1111_1111_1111;
    let part = |value: u64, class: u32| value & (EVERY_FOURTH as u64) << class;
    (0..4).fold(0, |sum, class| {
        let column = (0..4_u32).fold(0, |column, i| {
            let j = (class + 4 - i) % 4;
            column ^ (u128::from(part(a, i)) * u128::from(part(u64::from(b), j)))
        });
        sum ^ column & EVERY_FOURTH << class
    })
}
