//! Operations that compute a value from registers and an immediate, and nothing else.

use crate::isa::Op;

/// The value that `op` puts into rd. `a` is rs1, `b` is rs2, `imm` the sign-extended immediate.
///
/// # Panics
/// If `op` is no computation: loads, stores, jumps, atomics, `auipc`, environment calls.
#[inline(always)]
pub(super) fn compute(op: Op, a: u64, b: u64, imm: u64) -> u64 {
    match op {
        Op::Lui => imm,
        Op::Addi => a.wrapping_add(imm),
        Op::Slti => u64::from(a.cast_signed() < imm.cast_signed()),
        Op::Sltiu => u64::from(a < imm),
        Op::Xori => a ^ imm,
        Op::Ori => a | imm,
        Op::Andi => a & imm,
        Op::Slli => a << imm,
        Op::Srli => a >> imm,
        Op::Srai => (a.cast_signed() >> imm).cast_unsigned(),
        Op::Add => a.wrapping_add(b),
        Op::Sub => a.wrapping_sub(b),
        Op::Sll => a << (b & 63),
        Op::Slt => u64::from(a.cast_signed() < b.cast_signed()),
        Op::Sltu => u64::from(a < b),
        Op::Xor => a ^ b,
        Op::Srl => a >> (b & 63),
        Op::Sra => (a.cast_signed() >> (b & 63)).cast_unsigned(),
        Op::Or => a | b,
        Op::And => a & b,

        Op::Addiw => sign_extend(low(a).wrapping_add(low(imm))),
        Op::Slliw => sign_extend(low(a) << imm),
        Op::Srliw => sign_extend(low(a) >> imm),
        Op::Sraiw => sign_extend((low(a).cast_signed() >> imm).cast_unsigned()),
        Op::Addw => sign_extend(low(a).wrapping_add(low(b))),
        Op::Subw => sign_extend(low(a).wrapping_sub(low(b))),
        Op::Sllw => sign_extend(low(a) << (b & 31)),
        Op::Srlw => sign_extend(low(a) >> (b & 31)),
        Op::Sraw => sign_extend((low(a).cast_signed() >> (b & 31)).cast_unsigned()),

        Op::Mul => a.wrapping_mul(b),
        Op::Mulh => {
            let product = i128::from(a.cast_signed()) * i128::from(b.cast_signed());
            (product >> 64) as u64
        }
        Op::Mulhsu => {
            let product = i128::from(a.cast_signed()).wrapping_mul(i128::from(b));
            (product >> 64) as u64
        }
        Op::Mulhu => ((u128::from(a) * u128::from(b)) >> 64) as u64,
        Op::Mulw => sign_extend(low(a).wrapping_mul(low(b))),
        Op::Div | Op::Divu | Op::Rem | Op::Remu | Op::Divw | Op::Divuw | Op::Remw | Op::Remuw => {
            divide(op, a, b)
        }

        Op::AddUw => zero_extend(a).wrapping_add(b),
        Op::Sh1add => (a << 1).wrapping_add(b),
        Op::Sh2add => (a << 2).wrapping_add(b),
        Op::Sh3add => (a << 3).wrapping_add(b),
        Op::Sh1addUw => (zero_extend(a) << 1).wrapping_add(b),
        Op::Sh2addUw => (zero_extend(a) << 2).wrapping_add(b),
        Op::Sh3addUw => (zero_extend(a) << 3).wrapping_add(b),
        Op::SlliUw => zero_extend(a) << imm,

        Op::Andn => a & !b,
        Op::Orn => a | !b,
        Op::Xnor => !(a ^ b),
        Op::Clz => u64::from(a.leading_zeros()),
        Op::Ctz => u64::from(a.trailing_zeros()),
        Op::Cpop => u64::from(a.count_ones()),
        Op::Clzw => u64::from(low(a).leading_zeros()),
        Op::Ctzw => u64::from(low(a).trailing_zeros()),
        Op::Cpopw => u64::from(low(a).count_ones()),
        Op::Max => a.cast_signed().max(b.cast_signed()).cast_unsigned(),
        Op::Maxu => a.max(b),
        Op::Min => a.cast_signed().min(b.cast_signed()).cast_unsigned(),
        Op::Minu => a.min(b),
        Op::SextB => i64::from(a as i8).cast_unsigned(),
        Op::SextH => i64::from(a as i16).cast_unsigned(),
        Op::ZextH => u64::from(a as u16),
        Op::Rol => a.rotate_left((b & 63) as u32),
        Op::Ror => a.rotate_right((b & 63) as u32),
        Op::Rori => a.rotate_right(imm as u32),
        Op::Rolw => sign_extend(low(a).rotate_left((b & 31) as u32)),
        Op::Rorw => sign_extend(low(a).rotate_right((b & 31) as u32)),
        Op::Roriw => sign_extend(low(a).rotate_right(imm as u32)),
        Op::OrcB => or_combine_bytes(a),
        Op::Rev8 => a.swap_bytes(),

        Op::Clmul => carryless_multiply(a, b) as u64,
        Op::Clmulh => (carryless_multiply(a, b) >> 64) as u64,
        Op::Clmulr => (carryless_multiply(a, b) >> 63) as u64,

        Op::Bclr => a & !bit(b),
        Op::Bclri => a & !bit(imm),
        Op::Bext => a >> (b & 63) & 1,
        Op::Bexti => a >> imm & 1,
        Op::Binv => a ^ bit(b),
        Op::Binvi => a ^ bit(imm),
        Op::Bset => a | bit(b),
        Op::Bseti => a | bit(imm),

        Op::CzeroEqz => {
            if b == 0 {
                0
            } else {
                a
            }
        }
        Op::CzeroNez => {
            if b == 0 {
                a
            } else {
                0
            }
        }
        _ => unreachable!("the loop handles everything that does more than compute"),
    }
}

const fn low(value: u64) -> u32 {
    value as u32
}

const fn sign_extend(value: u32) -> u64 {
    value.cast_signed() as u64
}

const fn zero_extend(value: u64) -> u64 {
    value & 0xffff_ffff
}

const fn bit(number: u64) -> u64 {
    1 << (number & 63)
}

/// Division never traps: by zero the quotient is all ones and the remainder the dividend; on overflow the quotient
/// is the dividend and the remainder zero.
fn divide(op: Op, a: u64, b: u64) -> u64 {
    let (sa, sb) = (a.cast_signed(), b.cast_signed());
    let (wa, wb) = (low(a), low(b));
    let (swa, swb) = (wa.cast_signed(), wb.cast_signed());
    match op {
        Op::Div if b == 0 => u64::MAX,
        Op::Div => sa.wrapping_div(sb).cast_unsigned(),
        Op::Divu => a.checked_div(b).unwrap_or(u64::MAX),
        Op::Rem if b == 0 => a,
        Op::Rem => sa.wrapping_rem(sb).cast_unsigned(),
        Op::Remu => a.checked_rem(b).unwrap_or(a),
        Op::Divw if wb == 0 => u64::MAX,
        Op::Divw => sign_extend(swa.wrapping_div(swb).cast_unsigned()),
        Op::Divuw => sign_extend(wa.checked_div(wb).unwrap_or(u32::MAX)),
        Op::Remw if wb == 0 => sign_extend(wa),
        Op::Remw => sign_extend(swa.wrapping_rem(swb).cast_unsigned()),
        Op::Remuw => sign_extend(wa.checked_rem(wb).unwrap_or(wa)),
        _ => unreachable!("called for divisions only"),
    }
}

/// 0xff for each byte that is not zero.
const fn or_combine_bytes(value: u64) -> u64 {
    const LOW_SEVEN: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let high_bits = (((value & LOW_SEVEN) + LOW_SEVEN) | value) & !LOW_SEVEN;
    (high_bits >> 7) * 0xff
}

/// The product over GF(2).
///
/// Operands are split by bit number modulo 4, so that in an integer product of two parts each column has three bits
/// of room for carries; with one operand cut in halves no column sums more than eight, which fits. The columns that
/// matter are then the parity bits.
fn carryless_multiply(a: u64, b: u64) -> u128 {
    half_multiply(a, low(b)) ^ half_multiply(a, low(b >> 32)) << 32
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
