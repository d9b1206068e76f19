//! Programs that jump where compiled code does not expect them, with values in registers that it takes for dead: native
//! code starts over, and nobody can tell.
//!
//! `MILLRACE_LONG=1` makes 40,000 random programs instead of 400.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use common::{CODE, DATA, Guest, OTHER_TIERS, encode};
use millrace_jit::{Ecall, End, Flow, Host, Instance, Program, Tier};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

mod common;

const RA: u8 = 1;
const A0: u8 = 10;
const T0: u8 = 5;
const T1: u8 = 6;

/// A host whose calls go on until one has number 0, or there were too many, and that notes what it sees: a call that was
/// made again would be noted twice.
#[derive(Default, PartialEq, Debug)]
struct Witness {
    seen: Vec<(u64, [u64; 6], u64)>,
}

impl Host for Witness {
    fn ecall(&mut self, call: &mut Ecall<'_>) -> Flow {
        self.seen.push((call.number, call.args, call.gas_left()));
        call.results = [self.seen.len() as u64, !0];
        let _ = call.memory.write(DATA + 0x800, &call.results[0].to_le_bytes());
        if call.number == 0 || self.seen.len() == 300 {
            Flow::Return
        } else {
            Flow::Continue
        }
    }
}

fn run(program: &Arc<Program>, tier: Tier) -> (End, u64, Witness, Vec<u8>) {
    let mut instance = Instance::new(program.clone());
    instance.prepare(tier).unwrap();
    let mut host = Witness::default();
    let mut outcome = instance.run(tier, 1_000_000, &mut host);
    if let End::Trapped(trap) = &mut outcome.end {
        *trap = instance.diagnose(trap);
    }
    let memory = instance.memory().read(DATA, 4096).unwrap().to_vec();
    (outcome.end, outcome.gas_used, host, memory)
}

/// Compares all tiers, twice each, and gives whether the program strayed in native code.
fn check(guest: &Guest, case: &str) -> bool {
    let reference = run(&guest.program(), Tier::Interpreter);
    let mut strayed = false;
    for &tier in OTHER_TIERS {
        let program = guest.program();
        for again in 0..2 {
            let ran = run(&program, tier);
            assert_eq!(ran, reference, "{case} on {tier:?}, run {again}");
        }
        strayed |= program.has_strayed();
    }
    strayed
}

/// `li a7, 0; ecall`.
fn end(guest: Guest) -> Guest {
    guest.op("addi", 17, 0, 0, 0).ecall()
}

/// A caller that puts a value into t0 before a call and reads it where only unexpected control comes, at 16 behind the
/// call; where the call returns to, t0 is overwritten.
fn caller(to: i32) -> Guest {
    Guest::new()
        .register(T0, 77)
        .register(T1, 5)
        .op("addi", T0, T0, 0, 1)
        .op("jal", RA, 0, 0, to)
        .op("addi", T0, 0, 0, 1)
        .op("addi", A0, T0, 0, 0)
        .op("addi", 17, 0, 0, 0)
        .ecall()
        .op("add", A0, T0, T1, 0)
        .op("addi", 17, 0, 0, 0)
        .ecall()
}

#[test]
fn an_expected_return_does_not_stray() {
    let guest = caller(32).op("addi", T1, T1, 0, 3).op("jalr", 0, RA, 0, 0);
    assert!(!check(&guest, "return"));
}

#[test]
fn a_return_to_behind_no_call() {
    // To the fourth instruction behind the call, where t0 and t1 matter.
    let guest = caller(32)
        .op("addi", T1, T1, 0, 3)
        .op("addi", RA, RA, 0, 16)
        .op("jalr", 0, RA, 0, 0);
    assert!(check(&guest, "return elsewhere"));
}

/// Answers each call with a number of its own.
struct Numbers(u64);

impl Host for Numbers {
    fn ecall(&mut self, call: &mut Ecall<'_>) -> Flow {
        if call.number == 0 {
            return Flow::Return;
        }
        self.0 += 1;
        call.results[0] = self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Flow::Continue
    }
}

#[test]
fn a_run_with_more_host_calls_than_its_record_holds_starts_over_and_nobody_notices() {
    // Two words for each: 16 MiB hold 1,048,576.
    const CALLS: u64 = 1_100_000;
    let guest = Guest::new()
        .register(8, DATA)
        .register(9, CALLS)
        .register(17, 1)
        .ecall()
        .op("add", 18, 18, 10, 0)
        .op("addi", 9, 9, 0, -1)
        .op("bne", 0, 9, 0, -12)
        .op("sd", 0, 8, 18, 0);
    let guest = end(guest);
    let run = |tier| {
        let program = guest.program();
        let mut instance = Instance::new(program.clone());
        let mut host = Numbers(0);
        let outcome = instance.run(tier, 1 << 40, &mut host);
        let sum = instance.memory().read(DATA, 8).unwrap().to_vec();
        assert_eq!(host.0, CALLS, "{tier:?}");
        ((outcome.end, outcome.gas_used, sum), program.has_strayed())
    };
    let (reference, _) = run(Tier::Interpreter);
    assert_eq!(run(Tier::Jit), (reference, true));
}

/// Charges half of the largest gas limit, which takes more room in a record than it usually has.
struct Dear(u64);

impl Host for Dear {
    fn ecall(&mut self, call: &mut Ecall<'_>) -> Flow {
        self.0 += 1;
        if call.number == 0 {
            return Flow::Return;
        }
        call.charge(1 << 61).unwrap();
        call.results[0] = 5;
        Flow::Continue
    }
}

#[test]
fn a_host_call_that_charges_much_is_made_once_and_recorded() {
    let guest = end(Guest::new().register(17, 1).ecall());
    for &tier in OTHER_TIERS {
        let program = guest.program();
        let mut instance = Instance::new(program.clone());
        instance.prepare(tier).unwrap();
        let mut host = Dear(0);
        let outcome = instance.run(tier, 1 << 62, &mut host);
        assert_eq!((outcome.end, host.0), (End::Returned, 2), "{tier:?}");
        assert!(outcome.gas_used > 1 << 61);
        assert!(!program.has_strayed());
    }
    // The trap behind it is found by playing the record.
    let guest = Guest::new().register(17, 1).ecall().op("ld", 1, 0, 0, 0);
    for &tier in OTHER_TIERS {
        let mut instance = Instance::new(guest.program());
        instance.prepare(tier).unwrap();
        let outcome = instance.run(tier, 1 << 62, &mut Dear(0));
        let End::Trapped(trap) = outcome.end else {
            panic!("{outcome:?}");
        };
        assert_eq!(instance.diagnose(&trap).pc, CODE + 4, "{tier:?}");
        assert_eq!(instance.registers()[10], 5, "{tier:?}");
    }
}

#[test]
fn host_calls_before_it_are_made_once() {
    let mut guest = Guest::new().register(T0, 77).register(A0, 3).register(18, DATA);
    for number in 1..40 {
        guest = guest
            .op("addi", 17, 0, 0, number)
            .ecall()
            .op("sd", 0, 18, A0, number * 8);
    }
    guest = guest
        .op("addi", T0, T0, 0, 1)
        .op("jal", RA, 0, 0, 28)
        .op("addi", T0, 0, 0, 1)
        .op("addi", 17, 0, 0, 0)
        .ecall()
        .op("addi", A0, T0, 0, 0)
        .op("addi", 17, 0, 0, 0)
        .ecall();
    // The callee asks the host as well, and returns three instructions further.
    let guest = guest
        .op("addi", 17, 0, 0, 99)
        .ecall()
        .op("addi", RA, RA, 0, 12)
        .op("jalr", 0, RA, 0, 0);
    assert!(check(&guest, "host calls"));
}

#[test]
fn a_jump_into_the_middle_of_a_function() {
    // To the fourth instruction behind the call, by an address that is computed, so that nothing names it.
    let half = (CODE + 8 + 16) / 2;
    let guest = caller(32)
        .register(28, half)
        .op("add", 28, 28, 28, 0)
        .op("jalr", 0, 28, 0, 0);
    assert!(check(&guest, "jump into the middle"));
}

#[test]
fn a_call_into_the_middle_of_a_function() {
    let half = (CODE + 8 + 16) / 2;
    let guest = caller(32)
        .register(28, half)
        .op("add", 28, 28, 28, 0)
        .op("jalr", RA, 28, 0, 0);
    assert!(check(&guest, "call into the middle"));
}

#[test]
fn a_host_call_at_the_end_of_a_function_that_goes_on() {
    // The first call makes what stands behind the first `ecall` a function. The second sets t0, which nobody reads behind
    // it, unless the host call goes on into that function.
    let guest = Guest::new()
        .register(T0, 77)
        .op("jal", RA, 0, 0, 16)
        .op("jal", RA, 0, 0, 36)
        .op("addi", 17, 0, 0, 7)
        .ecall()
        .op("add", A0, T0, A0, 0)
        .op("bne", 0, 18, 0, 12)
        .op("addi", 18, 0, 0, 1)
        .op("jalr", 0, RA, 0, 0);
    let guest = end(guest).op("addi", T0, 0, 0, 5).op("jalr", 0, RA, 0, 0);
    assert!(check(&guest, "host call"));
}

#[test]
fn traps_after_straying_are_diagnosed() {
    // Sixteen instructions behind the call is no text any more.
    let guest = caller(32)
        .op("addi", RA, RA, 0, 16)
        .op("jalr", 0, RA, 0, 0)
        .bytes(&[0; 2]);
    assert!(check(&guest, "stray"));
    // Where control strays to, t0 is the address of what is not mapped.
    let guest = Guest::new()
        .register(T0, 77)
        .op("addi", T0, T0, 0, 1)
        .op("jal", RA, 0, 0, 20)
        .op("addi", T0, 0, 0, 1)
        .op("jalr", 0, RA, 0, 0)
        .op("ld", A0, T0, 0, 0)
        .ecall()
        .op("addi", RA, RA, 0, 8)
        .op("jalr", 0, RA, 0, 0);
    assert!(check(&guest, "trap"));
}

/// Functions of sixteen instructions that call, jump and return at random.
fn random(seed: u64) -> Guest {
    const FUNCTIONS: u64 = 6;
    const SLOTS: u64 = 16;
    let mut random = StdRng::seed_from_u64(seed);
    // Most registers die somewhere; those that a program ends with are few.
    let registers: Vec<u8> = (5..32).filter(|&register| register != 18).collect();
    let mut guest = Guest::new().register(18, DATA).register(2, 0xffff_0000);
    for &register in &registers {
        guest = guest.register(register, random.random_range(0..1 << 20));
    }
    let address = |random: &mut StdRng, least: u64| {
        let function = random.random_range(least.min(FUNCTIONS - 1)..FUNCTIONS);
        let slot = if random.random_bool(0.8) {
            0
        } else {
            random.random_range(0..SLOTS)
        };
        CODE + (function * SLOTS + slot) * 4
    };
    for slot in 0..64 {
        let target = address(&mut random, 1);
        guest = guest.data(DATA + 0x400 + slot * 8, &target.to_le_bytes());
    }
    for function in 0..FUNCTIONS {
        let mut code: Vec<Vec<u8>> = Vec::new();
        let home = (function * 8) as i32;
        code.push(encode("sd", 0, 18, RA, home));
        while (code.len() as u64) < SLOTS - 6 {
            let mut pick = || registers[random.random_range(0..registers.len())];
            let (rd, rs1, rs2) = (pick(), pick(), pick());
            let at = CODE + (function * SLOTS + code.len() as u64) * 4;
            match random.random_range(0..12) {
                0 if function + 1 < FUNCTIONS => {
                    let target = address(&mut random, function + 1);
                    code.push(encode("jal", RA, 0, 0, (target as i64 - at as i64) as i32));
                }
                1 if function + 1 < FUNCTIONS => {
                    let slot = random.random_range(0..64);
                    code.push(encode("ld", 28, 18, 0, 0x400 + slot * 8));
                    code.push(encode("jalr", RA, 28, 0, 0));
                }
                2 => code.push(encode("addi", 17, 0, 0, random.random_range(1..50))),
                3 => code.push(encode("ecall", 0, 0, 0, 0)),
                4 => code.push(encode("addi", rd, 0, 0, random.random_range(-99..99))),
                5 => code.push(encode("bltu", 0, rs1, rs2, 8)),
                _ => code.push(encode("add", rd, rs1, rs2, 0)),
            }
        }
        code.push(encode("ld", RA, 18, 0, home));
        if function == 0 {
            code.push(encode(
                "xor",
                A0,
                A0,
                registers[random.random_range(0..registers.len())],
                0,
            ));
            code.push(encode("addi", 17, 0, 0, 0));
            code.push(encode("ecall", 0, 0, 0, 0));
        } else {
            match random.random_range(0..8) {
                0 => code.push(encode("addi", RA, RA, 0, 4)),
                1 => {
                    let slot = random.random_range(0..64);
                    code.push(encode("ld", 29, 18, 0, 0x400 + slot * 8));
                    code.push(encode("jalr", 0, 29, 0, 0));
                }
                _ => {}
            }
            code.push(encode("jalr", 0, RA, 0, 0));
        }
        while (code.len() as u64) < SLOTS {
            code.push(encode("jalr", 0, RA, 0, 0));
        }
        for instruction in code.iter().take(SLOTS as usize) {
            guest = guest.bytes(instruction);
        }
    }
    end(guest)
}

#[test]
fn random_calls_and_jumps() {
    let programs: u64 = if std::env::var_os("MILLRACE_LONG").is_some() {
        40_000
    } else {
        400
    };
    let strayed = (0..programs)
        .filter(|&seed| check(&random(seed), &format!("seed {seed}")))
        .count();
    // Both kinds have to be there for this to say anything.
    assert!(
        (programs as usize / 20..programs as usize / 20 * 19).contains(&strayed),
        "{strayed} strayed"
    );
}
