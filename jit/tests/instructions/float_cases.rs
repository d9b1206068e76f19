//! Edge values of floating-point forms, with results and exceptions worked out by hand.

/// One case: what the source registers hold, the rounding mode, what the destination then holds, and `fflags`.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub sources: [u64; 3],
    pub mode: i32,
    pub value: u64,
    pub flags: u64,
}

const fn case(sources: [u64; 3], mode: i32, value: u64, flags: u64) -> Case {
    Case {
        sources,
        mode,
        value,
        flags,
    }
}

// Rounding modes.
const RNE: i32 = 0;
const RTZ: i32 = 1;
const RDN: i32 = 2;
const RUP: i32 = 3;
const RMM: i32 = 4;

// Exceptions.
const NX: u64 = 1;
const UF: u64 = 2;
const OF: u64 = 4;
const DZ: u64 = 8;
const NV: u64 = 16;

/// A register that holds a single.
const fn s(value: f32) -> u64 {
    0xffff_ffff << 32 | value.to_bits() as u64
}

/// A register that holds a double.
const fn d(value: f64) -> u64 {
    value.to_bits()
}

const S_SIGN: u64 = 1 << 31;
const S_INF: u64 = 0xffff_ffff_7f80_0000;
const S_NINF: u64 = 0xffff_ffff_ff80_0000;
/// Canonical.
const S_NAN: u64 = 0xffff_ffff_7fc0_0000;
const S_SNAN: u64 = 0xffff_ffff_7f80_0001;
/// The smallest normal number.
const S_MIN: u64 = 0xffff_ffff_0080_0000;
/// The smallest number.
const S_TINY: u64 = 0xffff_ffff_0000_0001;
const S_MAX: u64 = 0xffff_ffff_7f7f_ffff;
/// Half the distance from 1 to the next number.
const S_EPS: u64 = 0xffff_ffff_3380_0000;
/// 2^-46.
const SQUARE_OF_ULP_S: u64 = 0xffff_ffff_2880_0000;

const D_SIGN: u64 = 1 << 63;
const D_INF: u64 = 0x7ff0_0000_0000_0000;
const D_NINF: u64 = 0xfff0_0000_0000_0000;
const D_NAN: u64 = 0x7ff8_0000_0000_0000;
const D_SNAN: u64 = 0x7ff0_0000_0000_0001;
const D_MIN: u64 = 0x0010_0000_0000_0000;
const D_TINY: u64 = 0x0000_0000_0000_0001;
const D_MAX: u64 = 0x7fef_ffff_ffff_ffff;
const D_EPS: u64 = 0x3ca0_0000_0000_0000;
/// 2^-104.
const SQUARE_OF_ULP_D: u64 = 0x3970_0000_0000_0000;

/// Cases of every form that computes.
pub const TABLE: &[(&str, &[Case])] = &[
    (
        "fadd.s",
        &[
            case([s(1.0), s(2.5), 0], RNE, s(3.5), 0),
            case([s(1.0), S_TINY, 0], RNE, s(1.0), NX),
            case([s(1.0), S_TINY, 0], RUP, s(1.0) + 1, NX),
            case([s(-1.0), S_TINY, 0], RTZ, s(-1.0) - 1, NX),
            case([s(1.0), S_EPS, 0], RMM, s(1.0) + 1, NX),
            case([s(1.0), S_EPS, 0], RNE, s(1.0), NX),
            case([s(1.0), s(-1.0), 0], RNE, s(0.0), 0),
            case([s(1.0), s(-1.0), 0], RDN, s(-0.0), 0),
            case([S_INF, S_NINF, 0], RNE, S_NAN, NV),
            case([S_NAN | 5, s(1.0), 0], RNE, S_NAN, 0),
            case([s(1.0), S_SNAN, 0], RNE, S_NAN, NV),
            case([S_MAX, S_MAX, 0], RNE, S_INF, OF | NX),
            case([S_MAX, S_MAX, 0], RTZ, S_MAX, OF | NX),
            case([S_TINY, S_TINY, 0], RNE, S_TINY + 1, 0),
            case([1 << 32, s(1.0), 0], RNE, S_NAN, 0),
        ],
    ),
    (
        "fadd.d",
        &[
            case([d(1.0), d(2.5), 0], RNE, d(3.5), 0),
            case([d(1.0), D_TINY, 0], RNE, d(1.0), NX),
            case([d(1.0), D_TINY, 0], RUP, d(1.0) + 1, NX),
            case([d(-1.0), D_TINY, 0], RTZ, d(-1.0) - 1, NX),
            case([d(1.0), D_EPS, 0], RMM, d(1.0) + 1, NX),
            case([d(1.0), D_EPS, 0], RNE, d(1.0), NX),
            case([d(1.0), d(-1.0), 0], RNE, d(0.0), 0),
            case([d(1.0), d(-1.0), 0], RDN, d(-0.0), 0),
            case([D_INF, D_NINF, 0], RNE, D_NAN, NV),
            case([D_NAN | 5, d(1.0), 0], RNE, D_NAN, 0),
            case([d(1.0), D_SNAN, 0], RNE, D_NAN, NV),
            case([D_MAX, D_MAX, 0], RNE, D_INF, OF | NX),
            case([D_MAX, D_MAX, 0], RTZ, D_MAX, OF | NX),
            case([D_TINY, D_TINY, 0], RNE, D_TINY + 1, 0),
        ],
    ),
    (
        "fsub.s",
        &[
            case([s(1.0), s(2.5), 0], RNE, s(-1.5), 0),
            case([S_INF, S_INF, 0], RNE, S_NAN, NV),
            case([s(1.0), S_TINY, 0], RDN, s(1.0) - 1, NX),
            case([s(0.0), s(0.0), 0], RDN, s(-0.0), 0),
            case([S_MIN, S_TINY, 0], RNE, S_MIN - 1, 0),
        ],
    ),
    (
        "fsub.d",
        &[
            case([d(1.0), d(2.5), 0], RNE, d(-1.5), 0),
            case([D_INF, D_INF, 0], RNE, D_NAN, NV),
            case([d(1.0), D_TINY, 0], RDN, d(1.0) - 1, NX),
            case([d(0.0), d(0.0), 0], RDN, d(-0.0), 0),
            case([D_MIN, D_TINY, 0], RNE, D_MIN - 1, 0),
        ],
    ),
    (
        "fmul.s",
        &[
            case([s(3.0), s(-0.5), 0], RNE, s(-1.5), 0),
            case([s(0.0), S_NINF, 0], RNE, S_NAN, NV),
            case([S_TINY, s(0.5), 0], RNE, s(0.0), UF | NX),
            case([S_TINY, s(0.5), 0], RUP, S_TINY, UF | NX),
            case([S_TINY, s(-0.5), 0], RDN, S_TINY | S_SIGN, UF | NX),
            case([s(1.0) - 1, S_MIN, 0], RNE, S_MIN, UF | NX),
            case([s(1.0) - 1, S_MIN, 0], RTZ, S_MIN - 1, UF | NX),
            case([s(1.0) + 1, S_MIN - 1, 0], RNE, S_MIN, NX),
            case([S_MAX, s(2.0), 0], RDN, S_MAX, OF | NX),
            case([S_MAX, s(-2.0), 0], RDN, S_NINF, OF | NX),
        ],
    ),
    (
        "fmul.d",
        &[
            case([d(3.0), d(-0.5), 0], RNE, d(-1.5), 0),
            case([d(0.0), D_NINF, 0], RNE, D_NAN, NV),
            case([D_TINY, d(0.5), 0], RNE, d(0.0), UF | NX),
            case([D_TINY, d(0.5), 0], RUP, D_TINY, UF | NX),
            case([D_TINY, d(-0.5), 0], RDN, D_TINY | D_SIGN, UF | NX),
            case([d(1.0) - 1, D_MIN, 0], RNE, D_MIN, UF | NX),
            case([d(1.0) - 1, D_MIN, 0], RTZ, D_MIN - 1, UF | NX),
            case([d(1.0) + 1, D_MIN - 1, 0], RNE, D_MIN, NX),
            case([D_MAX, d(2.0), 0], RDN, D_MAX, OF | NX),
            case([D_MAX, d(-2.0), 0], RDN, D_NINF, OF | NX),
        ],
    ),
    (
        "fdiv.s",
        &[
            case([s(1.0), s(4.0), 0], RNE, s(0.25), 0),
            case([s(1.0), s(0.0), 0], RNE, S_INF, DZ),
            case([s(1.0), s(-0.0), 0], RNE, S_NINF, DZ),
            case([s(0.0), s(0.0), 0], RNE, S_NAN, NV),
            case([S_INF, S_INF, 0], RNE, S_NAN, NV),
            case([S_INF, s(0.0), 0], RNE, S_INF, 0),
            case([s(1.0), s(3.0), 0], RNE, s(1.0 / 3.0), NX),
            case([s(1.0), s(3.0), 0], RUP, s(1.0 / 3.0), NX),
            case([s(1.0), S_NINF, 0], RNE, s(-0.0), 0),
        ],
    ),
    (
        "fdiv.d",
        &[
            case([d(1.0), d(4.0), 0], RNE, d(0.25), 0),
            case([d(1.0), d(0.0), 0], RNE, D_INF, DZ),
            case([d(1.0), d(-0.0), 0], RNE, D_NINF, DZ),
            case([d(0.0), d(0.0), 0], RNE, D_NAN, NV),
            case([D_INF, D_INF, 0], RNE, D_NAN, NV),
            case([D_INF, d(0.0), 0], RNE, D_INF, 0),
            case([d(1.0), d(3.0), 0], RNE, d(1.0 / 3.0), NX),
            case([d(1.0), d(3.0), 0], RUP, d(1.0 / 3.0) + 1, NX),
            case([d(1.0), D_NINF, 0], RNE, d(-0.0), 0),
        ],
    ),
    (
        "fsqrt.s",
        &[
            case([s(4.0), 0, 0], RNE, s(2.0), 0),
            case([s(2.0), 0, 0], RNE, s(std::f32::consts::SQRT_2), NX),
            case([s(2.0), 0, 0], RDN, s(std::f32::consts::SQRT_2), NX),
            case([s(2.0), 0, 0], RUP, s(std::f32::consts::SQRT_2) + 1, NX),
            case([s(-1.0), 0, 0], RNE, S_NAN, NV),
            case([s(-0.0), 0, 0], RDN, s(-0.0), 0),
            case([S_INF, 0, 0], RNE, S_INF, 0),
            case([S_NINF, 0, 0], RNE, S_NAN, NV),
            case([S_SNAN, 0, 0], RNE, S_NAN, NV),
            case([S_TINY, 0, 0], RNE, 0xffff_ffff_1a35_04f3, NX),
            case([s(1.0) - 1, 0, 0], RNE, s(1.0) - 1, NX),
        ],
    ),
    (
        "fsqrt.d",
        &[
            case([d(4.0), 0, 0], RNE, d(2.0), 0),
            case([d(2.0), 0, 0], RNE, d(std::f64::consts::SQRT_2), NX),
            case([d(2.0), 0, 0], RDN, d(std::f64::consts::SQRT_2) - 1, NX),
            case([d(2.0), 0, 0], RUP, d(std::f64::consts::SQRT_2), NX),
            case([d(-1.0), 0, 0], RNE, D_NAN, NV),
            case([d(-0.0), 0, 0], RDN, d(-0.0), 0),
            case([D_INF, 0, 0], RNE, D_INF, 0),
            case([D_NINF, 0, 0], RNE, D_NAN, NV),
            case([D_SNAN, 0, 0], RNE, D_NAN, NV),
            case([D_TINY, 0, 0], RNE, 0x1e60_0000_0000_0000, 0),
            case([d(1.0) - 1, 0, 0], RNE, d(1.0) - 1, NX),
        ],
    ),
    (
        "fmadd.s",
        &[
            case([s(2.0), s(3.0), s(0.5)], RNE, s(6.5), 0),
            case([S_INF, s(0.0), S_NAN], RNE, S_NAN, NV),
            case([S_INF, s(1.0), S_NINF], RNE, S_NAN, NV),
            case([S_INF, s(1.0), s(1.0)], RNE, S_INF, 0),
            case([s(1.0), s(1.0), S_SNAN], RNE, S_NAN, NV),
            case([s(1.0), s(1.0), s(-1.0)], RDN, s(-0.0), 0),
            case([s(1.0) + 1, s(1.0) + 1, s(-1.0) + 2], RNE, SQUARE_OF_ULP_S, 0),
        ],
    ),
    (
        "fmadd.d",
        &[
            case([d(2.0), d(3.0), d(0.5)], RNE, d(6.5), 0),
            case([D_INF, d(0.0), D_NAN], RNE, D_NAN, NV),
            case([D_INF, d(1.0), D_NINF], RNE, D_NAN, NV),
            case([D_INF, d(1.0), d(1.0)], RNE, D_INF, 0),
            case([d(1.0), d(1.0), D_SNAN], RNE, D_NAN, NV),
            case([d(1.0), d(1.0), d(-1.0)], RDN, d(-0.0), 0),
            case([d(1.0) + 1, d(1.0) + 1, d(-1.0) + 2], RNE, SQUARE_OF_ULP_D, 0),
        ],
    ),
    (
        "fmsub.s",
        &[
            case([s(2.0), s(3.0), s(0.5)], RNE, s(5.5), 0),
            case([S_INF, s(0.0), S_NAN], RNE, S_NAN, NV),
            case([S_INF, s(1.0), S_INF], RNE, S_NAN, NV),
            case([S_INF, s(1.0), s(1.0)], RNE, S_INF, 0),
            case([s(1.0), s(1.0), S_SNAN], RNE, S_NAN, NV),
            case([s(1.0), s(1.0), s(1.0)], RDN, s(-0.0), 0),
            case([s(1.0) + 1, s(1.0) + 1, s(1.0) + 2], RNE, SQUARE_OF_ULP_S, 0),
        ],
    ),
    (
        "fmsub.d",
        &[
            case([d(2.0), d(3.0), d(0.5)], RNE, d(5.5), 0),
            case([D_INF, d(0.0), D_NAN], RNE, D_NAN, NV),
            case([D_INF, d(1.0), D_INF], RNE, D_NAN, NV),
            case([D_INF, d(1.0), d(1.0)], RNE, D_INF, 0),
            case([d(1.0), d(1.0), D_SNAN], RNE, D_NAN, NV),
            case([d(1.0), d(1.0), d(1.0)], RDN, d(-0.0), 0),
            case([d(1.0) + 1, d(1.0) + 1, d(1.0) + 2], RNE, SQUARE_OF_ULP_D, 0),
        ],
    ),
    (
        "fnmsub.s",
        &[
            case([s(2.0), s(3.0), s(0.5)], RNE, s(-5.5), 0),
            case([S_INF, s(0.0), S_NAN], RNE, S_NAN, NV),
            case([S_INF, s(1.0), S_INF], RNE, S_NAN, NV),
            case([S_INF, s(1.0), s(1.0)], RNE, S_NINF, 0),
            case([s(1.0), s(1.0), S_SNAN], RNE, S_NAN, NV),
            case([s(1.0), s(1.0), s(1.0)], RDN, s(-0.0), 0),
            case(
                [s(1.0) + 1, s(1.0) + 1, s(1.0) + 2],
                RNE,
                SQUARE_OF_ULP_S | S_SIGN,
                0,
            ),
        ],
    ),
    (
        "fnmsub.d",
        &[
            case([d(2.0), d(3.0), d(0.5)], RNE, d(-5.5), 0),
            case([D_INF, d(0.0), D_NAN], RNE, D_NAN, NV),
            case([D_INF, d(1.0), D_INF], RNE, D_NAN, NV),
            case([D_INF, d(1.0), d(1.0)], RNE, D_NINF, 0),
            case([d(1.0), d(1.0), D_SNAN], RNE, D_NAN, NV),
            case([d(1.0), d(1.0), d(1.0)], RDN, d(-0.0), 0),
            case(
                [d(1.0) + 1, d(1.0) + 1, d(1.0) + 2],
                RNE,
                SQUARE_OF_ULP_D | D_SIGN,
                0,
            ),
        ],
    ),
    (
        "fnmadd.s",
        &[
            case([s(2.0), s(3.0), s(0.5)], RNE, s(-6.5), 0),
            case([S_INF, s(0.0), S_NAN], RNE, S_NAN, NV),
            case([S_INF, s(1.0), S_NINF], RNE, S_NAN, NV),
            case([S_INF, s(1.0), s(1.0)], RNE, S_NINF, 0),
            case([s(1.0), s(1.0), S_SNAN], RNE, S_NAN, NV),
            case([s(1.0), s(1.0), s(-1.0)], RDN, s(-0.0), 0),
            case(
                [s(1.0) + 1, s(1.0) + 1, s(-1.0) + 2],
                RNE,
                SQUARE_OF_ULP_S | S_SIGN,
                0,
            ),
        ],
    ),
    (
        "fnmadd.d",
        &[
            case([d(2.0), d(3.0), d(0.5)], RNE, d(-6.5), 0),
            case([D_INF, d(0.0), D_NAN], RNE, D_NAN, NV),
            case([D_INF, d(1.0), D_NINF], RNE, D_NAN, NV),
            case([D_INF, d(1.0), d(1.0)], RNE, D_NINF, 0),
            case([d(1.0), d(1.0), D_SNAN], RNE, D_NAN, NV),
            case([d(1.0), d(1.0), d(-1.0)], RDN, d(-0.0), 0),
            case(
                [d(1.0) + 1, d(1.0) + 1, d(-1.0) + 2],
                RNE,
                SQUARE_OF_ULP_D | D_SIGN,
                0,
            ),
        ],
    ),
    (
        "fsgnj.s",
        &[
            case([s(1.5), s(2.0), 0], RNE, s(1.5), 0),
            case([s(1.5), s(-2.0), 0], RNE, s(1.5) | S_SIGN, 0),
            case([S_SNAN, s(2.0), 0], RNE, S_SNAN, 0),
            case([S_SNAN, s(-2.0), 0], RNE, S_SNAN | S_SIGN, 0),
            case([s(-1.5), s(2.0), 0], RNE, s(1.5), 0),
            case([7, s(2.0), 0], RNE, S_NAN, 0),
        ],
    ),
    (
        "fsgnj.d",
        &[
            case([d(1.5), d(2.0), 0], RNE, d(1.5), 0),
            case([d(1.5), d(-2.0), 0], RNE, d(1.5) | D_SIGN, 0),
            case([D_SNAN, d(2.0), 0], RNE, D_SNAN, 0),
            case([D_SNAN, d(-2.0), 0], RNE, D_SNAN | D_SIGN, 0),
            case([d(-1.5), d(2.0), 0], RNE, d(1.5), 0),
        ],
    ),
    (
        "fsgnjn.s",
        &[
            case([s(1.5), s(2.0), 0], RNE, s(1.5) | S_SIGN, 0),
            case([s(1.5), s(-2.0), 0], RNE, s(1.5), 0),
            case([S_SNAN, s(2.0), 0], RNE, S_SNAN | S_SIGN, 0),
            case([S_SNAN, s(-2.0), 0], RNE, S_SNAN, 0),
            case([s(-1.5), s(2.0), 0], RNE, s(-1.5), 0),
            case([7, s(2.0), 0], RNE, S_NAN | S_SIGN, 0),
        ],
    ),
    (
        "fsgnjn.d",
        &[
            case([d(1.5), d(2.0), 0], RNE, d(1.5) | D_SIGN, 0),
            case([d(1.5), d(-2.0), 0], RNE, d(1.5), 0),
            case([D_SNAN, d(2.0), 0], RNE, D_SNAN | D_SIGN, 0),
            case([D_SNAN, d(-2.0), 0], RNE, D_SNAN, 0),
            case([d(-1.5), d(2.0), 0], RNE, d(-1.5), 0),
        ],
    ),
    (
        "fsgnjx.s",
        &[
            case([s(1.5), s(2.0), 0], RNE, s(1.5), 0),
            case([s(1.5), s(-2.0), 0], RNE, s(1.5) | S_SIGN, 0),
            case([S_SNAN, s(2.0), 0], RNE, S_SNAN, 0),
            case([S_SNAN, s(-2.0), 0], RNE, S_SNAN | S_SIGN, 0),
            case([s(-1.5), s(2.0), 0], RNE, s(-1.5), 0),
            case([7, s(2.0), 0], RNE, S_NAN, 0),
        ],
    ),
    (
        "fsgnjx.d",
        &[
            case([d(1.5), d(2.0), 0], RNE, d(1.5), 0),
            case([d(1.5), d(-2.0), 0], RNE, d(1.5) | D_SIGN, 0),
            case([D_SNAN, d(2.0), 0], RNE, D_SNAN, 0),
            case([D_SNAN, d(-2.0), 0], RNE, D_SNAN | D_SIGN, 0),
            case([d(-1.5), d(2.0), 0], RNE, d(-1.5), 0),
        ],
    ),
    (
        "fmin.s",
        &[
            case([s(1.0), s(2.0), 0], RNE, s(1.0), 0),
            case([s(0.0), s(-0.0), 0], RNE, s(-0.0), 0),
            case([s(-0.0), s(0.0), 0], RNE, s(-0.0), 0),
            case([S_NAN, s(2.0), 0], RNE, s(2.0), 0),
            case([s(2.0), S_SNAN, 0], RNE, s(2.0), NV),
            case([S_NAN | 3, S_NAN | 9, 0], RNE, S_NAN, 0),
            case([S_NINF, s(-2.0), 0], RNE, S_NINF, 0),
        ],
    ),
    (
        "fmin.d",
        &[
            case([d(1.0), d(2.0), 0], RNE, d(1.0), 0),
            case([d(0.0), d(-0.0), 0], RNE, d(-0.0), 0),
            case([d(-0.0), d(0.0), 0], RNE, d(-0.0), 0),
            case([D_NAN, d(2.0), 0], RNE, d(2.0), 0),
            case([d(2.0), D_SNAN, 0], RNE, d(2.0), NV),
            case([D_NAN | 3, D_NAN | 9, 0], RNE, D_NAN, 0),
            case([D_NINF, d(-2.0), 0], RNE, D_NINF, 0),
        ],
    ),
    (
        "fmax.s",
        &[
            case([s(1.0), s(2.0), 0], RNE, s(2.0), 0),
            case([s(0.0), s(-0.0), 0], RNE, s(0.0), 0),
            case([s(-0.0), s(0.0), 0], RNE, s(0.0), 0),
            case([S_SNAN, s(2.0), 0], RNE, s(2.0), NV),
            case([s(2.0), S_NAN, 0], RNE, s(2.0), 0),
            case([S_SNAN, S_NAN, 0], RNE, S_NAN, NV),
            case([s(-3.0), s(-2.0), 0], RNE, s(-2.0), 0),
        ],
    ),
    (
        "fmax.d",
        &[
            case([d(1.0), d(2.0), 0], RNE, d(2.0), 0),
            case([d(0.0), d(-0.0), 0], RNE, d(0.0), 0),
            case([d(-0.0), d(0.0), 0], RNE, d(0.0), 0),
            case([D_SNAN, d(2.0), 0], RNE, d(2.0), NV),
            case([d(2.0), D_NAN, 0], RNE, d(2.0), 0),
            case([D_SNAN, D_NAN, 0], RNE, D_NAN, NV),
            case([d(-3.0), d(-2.0), 0], RNE, d(-2.0), 0),
        ],
    ),
    (
        "feq.s",
        &[
            case([s(1.0), s(1.0), 0], RNE, 1, 0),
            case([s(0.0), s(-0.0), 0], RNE, 1, 0),
            case([s(1.0), s(2.0), 0], RNE, 0, 0),
            case([S_NAN, S_NAN, 0], RNE, 0, 0),
            case([S_SNAN, s(1.0), 0], RNE, 0, NV),
        ],
    ),
    (
        "feq.d",
        &[
            case([d(1.0), d(1.0), 0], RNE, 1, 0),
            case([d(0.0), d(-0.0), 0], RNE, 1, 0),
            case([d(1.0), d(2.0), 0], RNE, 0, 0),
            case([D_NAN, D_NAN, 0], RNE, 0, 0),
            case([D_SNAN, d(1.0), 0], RNE, 0, NV),
        ],
    ),
    (
        "flt.s",
        &[
            case([s(1.0), s(2.0), 0], RNE, 1, 0),
            case([s(-0.0), s(0.0), 0], RNE, 0, 0),
            case([s(-1.0), s(-2.0), 0], RNE, 0, 0),
            case([S_NINF, S_INF, 0], RNE, 1, 0),
            case([S_NAN, s(1.0), 0], RNE, 0, NV),
        ],
    ),
    (
        "flt.d",
        &[
            case([d(1.0), d(2.0), 0], RNE, 1, 0),
            case([d(-0.0), d(0.0), 0], RNE, 0, 0),
            case([d(-1.0), d(-2.0), 0], RNE, 0, 0),
            case([D_NINF, D_INF, 0], RNE, 1, 0),
            case([D_NAN, d(1.0), 0], RNE, 0, NV),
        ],
    ),
    (
        "fle.s",
        &[
            case([s(1.0), s(1.0), 0], RNE, 1, 0),
            case([s(0.0), s(-0.0), 0], RNE, 1, 0),
            case([s(2.0), s(1.0), 0], RNE, 0, 0),
            case([s(-2.0), s(-1.0), 0], RNE, 1, 0),
            case([s(1.0), S_NAN, 0], RNE, 0, NV),
        ],
    ),
    (
        "fle.d",
        &[
            case([d(1.0), d(1.0), 0], RNE, 1, 0),
            case([d(0.0), d(-0.0), 0], RNE, 1, 0),
            case([d(2.0), d(1.0), 0], RNE, 0, 0),
            case([d(-2.0), d(-1.0), 0], RNE, 1, 0),
            case([d(1.0), D_NAN, 0], RNE, 0, NV),
        ],
    ),
    (
        "fclass.s",
        &[
            case([S_NINF, 0, 0], RNE, 1 << 0, 0),
            case([s(-1.0), 0, 0], RNE, 1 << 1, 0),
            case([S_TINY | S_SIGN, 0, 0], RNE, 1 << 2, 0),
            case([s(-0.0), 0, 0], RNE, 1 << 3, 0),
            case([s(0.0), 0, 0], RNE, 1 << 4, 0),
            case([S_MIN - 1, 0, 0], RNE, 1 << 5, 0),
            case([S_MIN, 0, 0], RNE, 1 << 6, 0),
            case([S_INF, 0, 0], RNE, 1 << 7, 0),
            case([S_SNAN, 0, 0], RNE, 1 << 8, 0),
            case([S_NAN, 0, 0], RNE, 1 << 9, 0),
            case([5, 0, 0], RNE, 1 << 9, 0),
        ],
    ),
    (
        "fclass.d",
        &[
            case([D_NINF, 0, 0], RNE, 1 << 0, 0),
            case([d(-1.0), 0, 0], RNE, 1 << 1, 0),
            case([D_TINY | D_SIGN, 0, 0], RNE, 1 << 2, 0),
            case([d(-0.0), 0, 0], RNE, 1 << 3, 0),
            case([d(0.0), 0, 0], RNE, 1 << 4, 0),
            case([D_MIN - 1, 0, 0], RNE, 1 << 5, 0),
            case([D_MIN, 0, 0], RNE, 1 << 6, 0),
            case([D_INF, 0, 0], RNE, 1 << 7, 0),
            case([D_SNAN, 0, 0], RNE, 1 << 8, 0),
            case([D_NAN, 0, 0], RNE, 1 << 9, 0),
        ],
    ),
    (
        "fcvt.w.s",
        &[
            case([s(1.5), 0, 0], RTZ, 1, NX),
            case([s(2.5), 0, 0], RNE, 2, NX),
            case([s(2.5), 0, 0], RMM, 3, NX),
            case([s(2.25), 0, 0], RUP, 3, NX),
            case([s(2.75), 0, 0], RDN, 2, NX),
            case([s(7.0), 0, 0], RTZ, 7, 0),
            case([S_NAN, 0, 0], RTZ, 0x7fff_ffff, NV),
            case([S_INF, 0, 0], RTZ, 0x7fff_ffff, NV),
            case([S_NINF, 0, 0], RTZ, !0x7fff_ffff, NV),
            case([s(2_147_483_648.0), 0, 0], RTZ, 0x7fff_ffff, NV),
            case([s(-0.5), 0, 0], RTZ, 0, NX),
            case([s(-0.0), 0, 0], RTZ, 0, 0),
            case([S_TINY, 0, 0], RUP, 1, NX),
            case([s(-1.5), 0, 0], RTZ, !0, NX),
            case([s(-1.5), 0, 0], RDN, !1, NX),
            case([s(-2_147_483_648.0), 0, 0], RTZ, !0x7fff_ffff, 0),
        ],
    ),
    (
        "fcvt.w.d",
        &[
            case([d(1.5), 0, 0], RTZ, 1, NX),
            case([d(2.5), 0, 0], RNE, 2, NX),
            case([d(2.5), 0, 0], RMM, 3, NX),
            case([d(2.25), 0, 0], RUP, 3, NX),
            case([d(2.75), 0, 0], RDN, 2, NX),
            case([d(7.0), 0, 0], RTZ, 7, 0),
            case([D_NAN, 0, 0], RTZ, 0x7fff_ffff, NV),
            case([D_INF, 0, 0], RTZ, 0x7fff_ffff, NV),
            case([D_NINF, 0, 0], RTZ, !0x7fff_ffff, NV),
            case([d(2_147_483_648.0), 0, 0], RTZ, 0x7fff_ffff, NV),
            case([d(-0.5), 0, 0], RTZ, 0, NX),
            case([d(-0.0), 0, 0], RTZ, 0, 0),
            case([D_TINY, 0, 0], RUP, 1, NX),
            case([d(-1.5), 0, 0], RTZ, !0, NX),
            case([d(-1.5), 0, 0], RDN, !1, NX),
            case([d(-2_147_483_648.0), 0, 0], RTZ, !0x7fff_ffff, 0),
        ],
    ),
    (
        "fcvt.wu.s",
        &[
            case([s(1.5), 0, 0], RTZ, 1, NX),
            case([s(2.5), 0, 0], RNE, 2, NX),
            case([s(2.5), 0, 0], RMM, 3, NX),
            case([s(2.25), 0, 0], RUP, 3, NX),
            case([s(2.75), 0, 0], RDN, 2, NX),
            case([s(7.0), 0, 0], RTZ, 7, 0),
            case([S_NAN, 0, 0], RTZ, !0, NV),
            case([S_INF, 0, 0], RTZ, !0, NV),
            case([S_NINF, 0, 0], RTZ, 0, NV),
            case([s(4_294_967_296.0), 0, 0], RTZ, !0, NV),
            case([s(-0.5), 0, 0], RTZ, 0, NX),
            case([s(-0.0), 0, 0], RTZ, 0, 0),
            case([S_TINY, 0, 0], RUP, 1, NX),
            case([s(-1.0), 0, 0], RTZ, 0, NV),
            case([s(-0.5), 0, 0], RDN, 0, NV),
        ],
    ),
    (
        "fcvt.wu.d",
        &[
            case([d(1.5), 0, 0], RTZ, 1, NX),
            case([d(2.5), 0, 0], RNE, 2, NX),
            case([d(2.5), 0, 0], RMM, 3, NX),
            case([d(2.25), 0, 0], RUP, 3, NX),
            case([d(2.75), 0, 0], RDN, 2, NX),
            case([d(7.0), 0, 0], RTZ, 7, 0),
            case([D_NAN, 0, 0], RTZ, !0, NV),
            case([D_INF, 0, 0], RTZ, !0, NV),
            case([D_NINF, 0, 0], RTZ, 0, NV),
            case([d(4_294_967_296.0), 0, 0], RTZ, !0, NV),
            case([d(-0.5), 0, 0], RTZ, 0, NX),
            case([d(-0.0), 0, 0], RTZ, 0, 0),
            case([D_TINY, 0, 0], RUP, 1, NX),
            case([d(-1.0), 0, 0], RTZ, 0, NV),
            case([d(-0.5), 0, 0], RDN, 0, NV),
        ],
    ),
    (
        "fcvt.l.s",
        &[
            case([s(1.5), 0, 0], RTZ, 1, NX),
            case([s(2.5), 0, 0], RNE, 2, NX),
            case([s(2.5), 0, 0], RMM, 3, NX),
            case([s(2.25), 0, 0], RUP, 3, NX),
            case([s(2.75), 0, 0], RDN, 2, NX),
            case([s(7.0), 0, 0], RTZ, 7, 0),
            case([S_NAN, 0, 0], RTZ, !0 >> 1, NV),
            case([S_INF, 0, 0], RTZ, !0 >> 1, NV),
            case([S_NINF, 0, 0], RTZ, 1 << 63, NV),
            case([s(9_223_372_036_854_775_808.0), 0, 0], RTZ, !0 >> 1, NV),
            case([s(-0.5), 0, 0], RTZ, 0, NX),
            case([s(-0.0), 0, 0], RTZ, 0, 0),
            case([S_TINY, 0, 0], RUP, 1, NX),
            case([s(-1.5), 0, 0], RTZ, !0, NX),
            case([s(-1.5), 0, 0], RDN, !1, NX),
            case([s(-9_223_372_036_854_775_808.0), 0, 0], RTZ, 1 << 63, 0),
        ],
    ),
    (
        "fcvt.l.d",
        &[
            case([d(1.5), 0, 0], RTZ, 1, NX),
            case([d(2.5), 0, 0], RNE, 2, NX),
            case([d(2.5), 0, 0], RMM, 3, NX),
            case([d(2.25), 0, 0], RUP, 3, NX),
            case([d(2.75), 0, 0], RDN, 2, NX),
            case([d(7.0), 0, 0], RTZ, 7, 0),
            case([D_NAN, 0, 0], RTZ, !0 >> 1, NV),
            case([D_INF, 0, 0], RTZ, !0 >> 1, NV),
            case([D_NINF, 0, 0], RTZ, 1 << 63, NV),
            case([d(9_223_372_036_854_775_808.0), 0, 0], RTZ, !0 >> 1, NV),
            case([d(-0.5), 0, 0], RTZ, 0, NX),
            case([d(-0.0), 0, 0], RTZ, 0, 0),
            case([D_TINY, 0, 0], RUP, 1, NX),
            case([d(-1.5), 0, 0], RTZ, !0, NX),
            case([d(-1.5), 0, 0], RDN, !1, NX),
            case([d(-9_223_372_036_854_775_808.0), 0, 0], RTZ, 1 << 63, 0),
        ],
    ),
    (
        "fcvt.lu.s",
        &[
            case([s(1.5), 0, 0], RTZ, 1, NX),
            case([s(2.5), 0, 0], RNE, 2, NX),
            case([s(2.5), 0, 0], RMM, 3, NX),
            case([s(2.25), 0, 0], RUP, 3, NX),
            case([s(2.75), 0, 0], RDN, 2, NX),
            case([s(7.0), 0, 0], RTZ, 7, 0),
            case([S_NAN, 0, 0], RTZ, !0, NV),
            case([S_INF, 0, 0], RTZ, !0, NV),
            case([S_NINF, 0, 0], RTZ, 0, NV),
            case([s(18_446_744_073_709_551_616.0), 0, 0], RTZ, !0, NV),
            case([s(-0.5), 0, 0], RTZ, 0, NX),
            case([s(-0.0), 0, 0], RTZ, 0, 0),
            case([S_TINY, 0, 0], RUP, 1, NX),
            case([s(-1.0), 0, 0], RTZ, 0, NV),
            case([s(-0.5), 0, 0], RDN, 0, NV),
        ],
    ),
    (
        "fcvt.lu.d",
        &[
            case([d(1.5), 0, 0], RTZ, 1, NX),
            case([d(2.5), 0, 0], RNE, 2, NX),
            case([d(2.5), 0, 0], RMM, 3, NX),
            case([d(2.25), 0, 0], RUP, 3, NX),
            case([d(2.75), 0, 0], RDN, 2, NX),
            case([d(7.0), 0, 0], RTZ, 7, 0),
            case([D_NAN, 0, 0], RTZ, !0, NV),
            case([D_INF, 0, 0], RTZ, !0, NV),
            case([D_NINF, 0, 0], RTZ, 0, NV),
            case([d(18_446_744_073_709_551_616.0), 0, 0], RTZ, !0, NV),
            case([d(-0.5), 0, 0], RTZ, 0, NX),
            case([d(-0.0), 0, 0], RTZ, 0, 0),
            case([D_TINY, 0, 0], RUP, 1, NX),
            case([d(-1.0), 0, 0], RTZ, 0, NV),
            case([d(-0.5), 0, 0], RDN, 0, NV),
        ],
    ),
    (
        "fcvt.s.w",
        &[
            case([0, 0, 0], RDN, s(0.0), 0),
            case([1, 0, 0], RNE, s(1.0), 0),
            case([0x1_0000_0003, 0, 0], RNE, s(3.0), 0),
            case([!0, 0, 0], RNE, s(-1.0), 0),
            case([0x8000_0000, 0, 0], RNE, s(-2_147_483_648.0), 0),
        ],
    ),
    (
        "fcvt.d.w",
        &[
            case([0, 0, 0], RDN, d(0.0), 0),
            case([1, 0, 0], RNE, d(1.0), 0),
            case([0x1_0000_0003, 0, 0], RNE, d(3.0), 0),
            case([!0, 0, 0], RNE, d(-1.0), 0),
            case([0x8000_0000, 0, 0], RNE, d(-2_147_483_648.0), 0),
        ],
    ),
    (
        "fcvt.s.wu",
        &[
            case([0, 0, 0], RDN, s(0.0), 0),
            case([1, 0, 0], RNE, s(1.0), 0),
            case([0x1_0000_0003, 0, 0], RNE, s(3.0), 0),
            case([!0, 0, 0], RNE, s(4_294_967_296.0), NX),
            case([!0, 0, 0], RTZ, s(4_294_967_296.0) - 1, NX),
        ],
    ),
    (
        "fcvt.d.wu",
        &[
            case([0, 0, 0], RDN, d(0.0), 0),
            case([1, 0, 0], RNE, d(1.0), 0),
            case([0x1_0000_0003, 0, 0], RNE, d(3.0), 0),
            case([!0, 0, 0], RNE, d(4_294_967_295.0), 0),
        ],
    ),
    (
        "fcvt.s.l",
        &[
            case([0, 0, 0], RDN, s(0.0), 0),
            case([1, 0, 0], RNE, s(1.0), 0),
            case([3, 0, 0], RNE, s(3.0), 0),
            case([!0, 0, 0], RNE, s(-1.0), 0),
            case([i64::MAX as u64, 0, 0], RNE, s(9_223_372_036_854_775_808.0), NX),
            case(
                [i64::MAX as u64, 0, 0],
                RTZ,
                s(9_223_372_036_854_775_808.0) - 1,
                NX,
            ),
        ],
    ),
    (
        "fcvt.d.l",
        &[
            case([0, 0, 0], RDN, d(0.0), 0),
            case([1, 0, 0], RNE, d(1.0), 0),
            case([3, 0, 0], RNE, d(3.0), 0),
            case([!0, 0, 0], RNE, d(-1.0), 0),
            case([i64::MAX as u64, 0, 0], RNE, d(9_223_372_036_854_775_808.0), NX),
            case(
                [i64::MAX as u64, 0, 0],
                RTZ,
                d(9_223_372_036_854_775_808.0) - 1,
                NX,
            ),
        ],
    ),
    (
        "fcvt.s.lu",
        &[
            case([0, 0, 0], RDN, s(0.0), 0),
            case([1, 0, 0], RNE, s(1.0), 0),
            case([3, 0, 0], RNE, s(3.0), 0),
            case([!0, 0, 0], RNE, s(18_446_744_073_709_551_616.0), NX),
            case([!0, 0, 0], RDN, s(18_446_744_073_709_551_616.0) - 1, NX),
            case(
                [1 << 63 | 1 << 39, 0, 0],
                RMM,
                s(9_223_372_036_854_775_808.0) + 1,
                NX,
            ),
        ],
    ),
    (
        "fcvt.d.lu",
        &[
            case([0, 0, 0], RDN, d(0.0), 0),
            case([1, 0, 0], RNE, d(1.0), 0),
            case([3, 0, 0], RNE, d(3.0), 0),
            case([!0, 0, 0], RNE, d(18_446_744_073_709_551_616.0), NX),
            case([!0, 0, 0], RDN, d(18_446_744_073_709_551_616.0) - 1, NX),
            case(
                [1 << 63 | 1 << 10, 0, 0],
                RMM,
                d(9_223_372_036_854_775_808.0) + 1,
                NX,
            ),
        ],
    ),
    (
        "fcvt.s.d",
        &[
            case([d(1.5), 0, 0], RNE, s(1.5), 0),
            case([d(0.1), 0, 0], RNE, s(0.1), NX),
            case([D_NAN | 7, 0, 0], RNE, S_NAN, 0),
            case([D_SNAN, 0, 0], RNE, S_NAN, NV),
            case([d(1e300), 0, 0], RNE, S_INF, OF | NX),
            case([d(-1e300), 0, 0], RTZ, S_MAX | S_SIGN, OF | NX),
            case([d(1e-300), 0, 0], RUP, S_TINY, UF | NX),
            case([0x380f_ffff_ffff_ffff, 0, 0], RNE, S_MIN, NX),
            case([0x380f_ffff_e000_0000, 0, 0], RNE, S_MIN, UF | NX),
            case([D_NINF, 0, 0], RNE, S_NINF, 0),
        ],
    ),
    (
        "fcvt.d.s",
        &[
            case([s(1.5), 0, 0], RNE, d(1.5), 0),
            case([S_TINY, 0, 0], RNE, d(1.401_298_464_324_817e-45), 0),
            case([S_NAN | 7, 0, 0], RNE, D_NAN, 0),
            case([S_SNAN, 0, 0], RNE, D_NAN, NV),
            case([S_NINF, 0, 0], RNE, D_NINF, 0),
            case([3, 0, 0], RNE, D_NAN, 0),
            case([s(-0.0), 0, 0], RUP, d(-0.0), 0),
        ],
    ),
    (
        "fmv.x.w",
        &[
            case([0x1234_5678_8765_4321, 0, 0], RNE, 0xffff_ffff_8765_4321, 0),
            case([S_SNAN, 0, 0], RNE, 0x7f80_0001, 0),
        ],
    ),
    (
        "fmv.w.x",
        &[
            case([0x1234_5678_8765_4321, 0, 0], RNE, 0xffff_ffff_8765_4321, 0),
            case([0x7f80_0001, 0, 0], RNE, S_SNAN, 0),
        ],
    ),
    (
        "fmv.x.d",
        &[
            case([0x1234_5678_8765_4321, 0, 0], RNE, 0x1234_5678_8765_4321, 0),
            case([D_SNAN, 0, 0], RNE, D_SNAN, 0),
        ],
    ),
    (
        "fmv.d.x",
        &[case([0x1234_5678_8765_4321, 0, 0], RNE, 0x1234_5678_8765_4321, 0)],
    ),
];
