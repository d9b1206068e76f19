//! Computations on random operands against formulas that share nothing with the interpreter: wide integers and loops
//! over single bits.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::Guest;
use millrace_jit::End;
use proptest::prelude::*;
use proptest::sample::select;

/// Everything with two register sources, and one-source forms, which ignore the second.
const FORMS: &[&str] = &[
    "add",
    "sub",
    "sll",
    "slt",
    "sltu",
    "xor",
    "srl",
    "sra",
    "or",
    "and",
    "addw",
    "subw",
    "sllw",
    "srlw",
    "sraw",
    "mul",
    "mulh",
    "mulhsu",
    "mulhu",
    "mulw",
    "div",
    "divu",
    "rem",
    "remu",
    "divw",
    "divuw",
    "remw",
    "remuw",
    "add.uw",
    "sh1add",
    "sh2add",
    "sh3add",
    "sh1add.uw",
    "sh2add.uw",
    "sh3add.uw",
    "andn",
    "orn",
    "xnor",
    "clz",
    "ctz",
    "cpop",
    "clzw",
    "ctzw",
    "cpopw",
    "max",
    "maxu",
    "min",
    "minu",
    "sext.b",
    "sext.h",
    "zext.h",
    "rol",
    "ror",
    "rolw",
    "rorw",
    "orc.b",
    "rev8",
    "clmul",
    "clmulh",
    "clmulr",
    "bclr",
    "bext",
    "binv",
    "bset",
    "czero.eqz",
    "czero.nez",
];

/// A value's bits, lowest first.
fn bits(value: u64, count: usize) -> Vec<bool> {
    (0..count).map(|i| value >> i & 1 == 1).collect()
}

fn from_bits(bits: &[bool]) -> u64 {
    bits.iter()
        .rev()
        .fold(0, |value, &bit| value * 2 + u64::from(bit))
}

/// Bits of a word repeated by its sign up to 64.
fn extended(mut bits: Vec<bool>) -> u64 {
    let sign = bits[bits.len() - 1];
    bits.resize(64, sign);
    from_bits(&bits)
}

fn shifted(mut bits: Vec<bool>, by: usize, fill: impl Fn(&[bool]) -> bool, left: bool) -> Vec<bool> {
    for _ in 0..by {
        let incoming = fill(&bits);
        if left {
            bits.pop();
            bits.insert(0, incoming);
        } else {
            bits.remove(0);
            bits.push(incoming);
        }
    }
    bits
}

/// Shifts and rotates of the low `width` bits, as the name says.
fn shift(name: &str, a: u64, b: u64, width: usize) -> u64 {
    let (value, by) = (bits(a, width), (b % width as u64) as usize);
    extended(match name {
        "sll" => shifted(value, by, |_| false, true),
        "srl" => shifted(value, by, |_| false, false),
        "sra" => shifted(value, by, |bits| bits[width - 1], false),
        "rol" => shifted(value, by, |bits| bits[width - 1], true),
        "ror" => shifted(value, by, |bits| bits[0], false),
        _ => unreachable!("{name}"),
    })
}

/// Quotient and remainder with the results that the manual gives for what has none.
fn divide(a: i128, b: i128) -> (u64, u64) {
    if b == 0 {
        (u64::MAX, a as u64)
    } else {
        ((a / b) as u64, (a % b) as u64)
    }
}

/// Bits of the product without carries, from `low` on.
fn carryless(a: u64, b: u64, low: usize) -> u64 {
    let (a, b) = (bits(a, 64), bits(b, 64));
    let column = |k: usize| {
        (0..64)
            .filter(|&i| k >= i && k - i < 64 && a[i] && b[k - i])
            .count()
            % 2
            == 1
    };
    from_bits(&(low..low + 64).map(column).collect::<Vec<_>>())
}

fn bytes(a: u64, each: impl Fn(u64) -> u64) -> Vec<u64> {
    (0..8).map(|i| each(a / 256_u64.pow(i) % 256)).collect()
}

fn from_bytes(bytes: impl Iterator<Item = u64>) -> u64 {
    bytes.fold(0, |value, byte| value * 256 + byte)
}

fn reference(name: &str, a: u64, b: u64) -> u64 {
    let (sa, sb) = (i128::from(a as i64), i128::from(b as i64));
    let (ua, ub) = (i128::from(a), i128::from(b));
    let (wa, wb) = (i128::from(a as i32), i128::from(b as i32));
    let (xa, xb) = (i128::from(a as u32), i128::from(b as u32));
    let word = |value: i128| i64::from(value as i32) as u64;
    let per_bit = |op: fn(bool, bool) -> bool| {
        from_bits(
            &bits(a, 64)
                .into_iter()
                .zip(bits(b, 64))
                .map(|(a, b)| op(a, b))
                .collect::<Vec<_>>(),
        )
    };
    let chosen = (b % 64) as usize;
    let change = |to: fn(bool) -> bool| {
        let mut bits = bits(a, 64);
        bits[chosen] = to(bits[chosen]);
        from_bits(&bits)
    };
    let zeros = |bits: Vec<bool>, from_top: bool| {
        let clear = |bit: &bool| !bit;
        (if from_top {
            bits.iter().rev().take_while(|bit| clear(bit)).count()
        } else {
            bits.iter().take_while(|bit| clear(bit)).count()
        }) as u64
    };
    match name {
        "add" => (ua + ub) as u64,
        "sub" => (ua - ub) as u64,
        "slt" => u64::from(sa < sb),
        "sltu" => u64::from(ua < ub),
        "xor" => per_bit(|a, b| a != b),
        "or" => per_bit(|a, b| a || b),
        "and" => per_bit(|a, b| a && b),
        "andn" => per_bit(|a, b| a && !b),
        "orn" => per_bit(|a, b| a || !b),
        "xnor" => per_bit(|a, b| a == b),
        "sll" | "srl" | "sra" | "rol" | "ror" => shift(name, a, b, 64),
        "sllw" | "srlw" | "sraw" | "rolw" | "rorw" => shift(&name[..3], a, b, 32),
        "addw" => word(wa + wb),
        "subw" => word(wa - wb),
        "mul" => (sa * sb) as u64,
        "mulh" => (sa * sb).div_euclid(1 << 64) as u64,
        "mulhsu" => (sa * ub).div_euclid(1 << 64) as u64,
        "mulhu" => (u128::from(a) * u128::from(b) / (1 << 64)) as u64,
        "mulw" => word(wa * wb),
        "div" => divide(sa, sb).0,
        "divu" => divide(ua, ub).0,
        "rem" => divide(sa, sb).1,
        "remu" => divide(ua, ub).1,
        "divw" => word(i128::from(divide(wa, wb).0)),
        "divuw" => word(i128::from(divide(xa, xb).0)),
        "remw" => word(i128::from(divide(wa, wb).1)),
        "remuw" => word(i128::from(divide(xa, xb).1)),
        "add.uw" => (xa + ub) as u64,
        "sh1add" => (2 * ua + ub) as u64,
        "sh2add" => (4 * ua + ub) as u64,
        "sh3add" => (8 * ua + ub) as u64,
        "sh1add.uw" => (2 * xa + ub) as u64,
        "sh2add.uw" => (4 * xa + ub) as u64,
        "sh3add.uw" => (8 * xa + ub) as u64,
        "clz" => zeros(bits(a, 64), true),
        "ctz" => zeros(bits(a, 64), false),
        "cpop" => bits(a, 64).into_iter().filter(|bit| *bit).count() as u64,
        "clzw" => zeros(bits(a, 32), true),
        "ctzw" => zeros(bits(a, 32), false),
        "cpopw" => bits(a, 32).into_iter().filter(|bit| *bit).count() as u64,
        "max" => {
            if sa < sb {
                b
            } else {
                a
            }
        }
        "maxu" => {
            if ua < ub {
                b
            } else {
                a
            }
        }
        "min" => {
            if sa < sb {
                a
            } else {
                b
            }
        }
        "minu" => {
            if ua < ub {
                a
            } else {
                b
            }
        }
        "sext.b" => extended(bits(a, 8)),
        "sext.h" => extended(bits(a, 16)),
        "zext.h" => a % 0x1_0000,
        "orc.b" => from_bytes(bytes(a, |byte| if byte == 0 { 0 } else { 255 }).into_iter().rev()),
        "rev8" => from_bytes(bytes(a, |byte| byte).into_iter()),
        "clmul" => carryless(a, b, 0),
        "clmulh" => carryless(a, b, 64),
        "clmulr" => carryless(a, b, 63),
        "bclr" => change(|_| false),
        "bset" => change(|_| true),
        "binv" => change(|bit| !bit),
        "bext" => u64::from(bits(a, 64)[chosen]),
        "czero.eqz" => {
            if b == 0 {
                0
            } else {
                a
            }
        }
        "czero.nez" => {
            if b == 0 {
                a
            } else {
                0
            }
        }
        _ => unreachable!("{name} has no formula"),
    }
}

/// Random values, small ones, and the neighbourhoods of the powers of two.
fn operand() -> impl Strategy<Value = u64> {
    let near_power =
        (0..64_u32, -2..=2_i64).prop_map(|(power, off)| (1_u64 << power).wrapping_add_signed(off));
    prop_oneof![
        any::<u64>(),
        0..100_u64,
        near_power,
        any::<i32>().prop_map(|value| i64::from(value) as u64)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn computations_agree_with_independent_formulas(name in select(FORMS), a in operand(), b in operand()) {
        let operands = millrace_jit::isa::Operands { rd: 5, rs1: 6, rs2: 7, ..Default::default() };
        let unary = common::form(name).encode(&operands).is_none();
        let guest = Guest::new().register(6, a).register(7, b);
        let ran = guest.op(name, 5, 6, if unary { 0 } else { 7 }, 0).ecall().run();
        prop_assert_eq!(ran.outcome.end, End::Returned);
        prop_assert_eq!(ran.instance.registers()[5], reference(name, a, b), "{} {:#x}, {:#x}", name, a, b);
    }
}
