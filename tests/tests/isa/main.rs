//! The instruction set against an independent oracle: random valid programs run here and under `qemu-riscv64`, and
//! everything they can see is compared, all registers and all memory.
//!
//! [`generate`] makes cases, each of which starts from random registers and memory of its own and stores its registers
//! when done; [`batch`] joins hundreds of cases to one ELF file, which writes all of its memory to descriptor 1;
//! [`oracle`] runs such files and reports the first case that differs, disassembled.
//!
//! Which encodings are valid comes from the table under test, [`millrace_jit::isa::forms`], so that no form can be
//! forgotten; what they *mean* comes from qemu. An encoding with the wrong meaning, or one that qemu does not know,
//! shows as a difference.
//!
//! Left out, because the machine's rules settle it differently: addresses that wrap or exceed 32 bits, SC after
//! ordinary stores or with another width than its LR, and traps but for `ebreak`. Debian 12's qemu 7.2 knows no
//! Zicond: it is given `vt.maskc` and `vt.maskcn` in the place of `czero.eqz` and `czero.nez`, the vendor instructions
//! of the same length, operands and meaning that Zicond was made from; and that qemu's `ctzw` is mistaken, so it is
//! given code that does the same by `ctz` ([`millrace_tests::asm::Text::outline`]).
//!
//! `MILLRACE_SEED=N` sets the seed, `MILLRACE_LONG=N` makes the run N times as long.

mod batch;
mod generate;
mod oracle;

use std::collections::BTreeMap;

use millrace_jit::isa::{Extension, Op, forms};
use millrace_jit::{End, Tier, TrapKind};
use millrace_tests::qemu::{self, run_qemu};
use millrace_tests::tools::number;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use batch::Batch;
use generate::Style;
use oracle::{check, run_here};

/// Executions, at least, of every form in a default run.
const TIMES_EACH: u64 = 5000;
const CASES_PER_BATCH: usize = 300;

type Coverage = BTreeMap<&'static str, u64>;

/// Runs batches that dwell on one extension until each of its forms was executed often enough.
fn differential(extension: Extension) -> Coverage {
    let seed = number("MILLRACE_SEED", 1) ^ (extension as u64) << 32;
    let wanted = TIMES_EACH * number("MILLRACE_LONG", 1);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut coverage = Coverage::new();
    let mut batches = 0_u64;
    loop {
        let style = style(extension, batches);
        let batch = Batch::generate(&mut random, extension, style, CASES_PER_BATCH, &mut coverage);
        // What floating point is computed by differs between tiers; of the rest `programs` takes care. Compiling takes most
        // of the time: every style once in a while.
        let tiers: &[Tier] = match style {
            Style::Integers => &[Tier::Interpreter],
            _ if !(batches / 3).is_multiple_of(3) => &[Tier::Interpreter],
            _ => &[Tier::Interpreter, Tier::Jit],
        };
        check(
            &batch,
            tiers,
            &format!(
                "{extension:?}, MILLRACE_SEED={}, batch {batches}",
                number("MILLRACE_SEED", 1)
            ),
        );
        batches += 1;
        let mut own = forms()
            .iter()
            .filter(|form| form.extension == extension && !ends_program(form.op));
        if own.all(|form| coverage.get(form.name).is_some_and(|&times| times >= wanted)) {
            break;
        }
        assert!(batches < 20 * wanted, "forms are starved: {coverage:?}");
    }
    let executed: u64 = coverage.values().sum();
    println!("{extension:?}: seed {seed:#x}, {batches} batches, {executed} counted instructions");
    coverage
}

/// The style of an extension's batch with that number.
fn style(extension: Extension, batch: u64) -> Style {
    match extension {
        Extension::F | Extension::D | Extension::Zcd => {
            [Style::Observes, Style::Plain, Style::Rounds][batch as usize % 3]
        }
        Extension::Zicsr => Style::Observes,
        _ => Style::Integers,
    }
}

/// Operations that no case contains: `ecall` is what every batch ends with, `ebreak` ends a program.
fn ends_program(op: Op) -> bool {
    matches!(op, Op::Ecall | Op::Ebreak)
}

/// One test per extension, so that a failure names it.
macro_rules! extensions {
    ($($test:ident: $extension:ident),* $(,)?) => {
        $(#[test]
        fn $test() {
            differential(Extension::$extension);
        })*

        const TESTED: &[Extension] = &[$(Extension::$extension),*];
    };
}

extensions! {
    base_integer: I,
    multiplication: M,
    atomics: A,
    compressed: C,
    address_generation: Zba,
    basic_bits: Zbb,
    carry_less: Zbc,
    single_bits: Zbs,
    conditional_zero: Zicond,
    instruction_fence: Zifencei,
    single_precision: F,
    double_precision: D,
    compressed_doubles: Zcd,
    float_state: Zicsr,
}

/// Every form of the table belongs to an extension tested above, or ends programs: those are executed by every batch
/// (`ecall`) and by [`breakpoints_end_programs`].
#[test]
fn all_forms_are_covered() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut coverage = Coverage::new();
    for &extension in TESTED {
        for _ in 0..4 {
            let style = style(extension, 0);
            Batch::generate(&mut random, extension, style, CASES_PER_BATCH, &mut coverage);
        }
    }
    let missing: Vec<_> = forms()
        .iter()
        .filter(|form| !ends_program(form.op) && !coverage.contains_key(form.name))
        .map(|form| form.name)
        .collect();
    assert!(missing.is_empty(), "forms that no program contains: {missing:?}");
    println!("{} of {} forms covered", forms().len(), forms().len());
}

#[test]
fn breakpoints_end_programs() {
    for name in ["ebreak", "c.ebreak"] {
        let elf = batch::alone(name);
        let here = run_here(&elf, Tier::Interpreter);
        let End::Trapped(trap) = here.end else {
            panic!("{name}: {:?}", here.end)
        };
        assert_eq!(
            (trap.kind, trap.pc),
            (TrapKind::Breakpoint, batch::TEXT),
            "{name}"
        );
        let there = run_qemu(&elf);
        assert_eq!(there.signal, Some(qemu::SIGTRAP), "{name} under qemu");
    }
}
