//! Programs that compilers made of ordinary floating-point code (`kernels.c`, for RV64GC with hard floats), on every tier
//! and under qemu: the same output. In version 1 they are programs, too, and trap at their first floating-point
//! instruction.
//!
//! Each is there twice: once with an instruction that reads exceptions, which nobody executes and native code has to count
//! on all the same, so that it computes in software.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use millrace_jit::machine::{MAX_GAS_LIMIT, machine};
use millrace_jit::{Ecall, End, Flow, Host, Instance, Program, Tier};
use millrace_tests::qemu::run_qemu;

const TIERS: [Tier; 3] = [Tier::Interpreter, Tier::Jit, Tier::Auto];

/// Writes to descriptor 1 are kept; an exit ends the run.
#[derive(Default)]
struct Console {
    output: Vec<u8>,
    status: Option<u64>,
}

impl Host for Console {
    fn ecall(&mut self, call: &mut Ecall<'_>) -> Flow {
        let [first, pointer, len, ..] = call.args;
        match call.number {
            64 => match call.memory.read(pointer, len) {
                Ok(bytes) => {
                    self.output.extend_from_slice(bytes);
                    call.results[0] = len;
                    Flow::Continue
                }
                Err(kind) => Flow::Trap(kind),
            },
            93 => {
                self.status = Some(first);
                Flow::Return
            }
            number => panic!("system call {number}"),
        }
    }
}

fn elf(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/floats")
        .join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[expect(clippy::disallowed_methods, reason = "times are printed and decide nothing")]
fn run(elf: &[u8], tier: Tier, name: &str) -> (Vec<u8>, u64) {
    let version = machine(2).expect("version 2 is part of every build");
    let program = Program::load(elf, version).expect("a program");
    let mut instance = Instance::new(Arc::new(program));
    instance.prepare(tier).expect("it can be compiled");
    let mut console = Console::default();
    let started = Instant::now();
    let outcome = instance.run(tier, MAX_GAS_LIMIT, &mut console);
    println!(
        "{name} on {tier:?}: {:?}, {} gas",
        started.elapsed(),
        outcome.gas_used
    );
    assert_eq!(
        (outcome.end, console.status),
        (End::Returned, Some(0)),
        "{name} on {tier:?}"
    );
    (console.output, outcome.gas_used)
}

fn check(compiler: &str) {
    for kind in ["", "-observed"] {
        let name = format!("kernels-{compiler}{kind}.elf");
        let elf = elf(&name);
        let there = run_qemu(&elf);
        assert_eq!(there.status, Some(0), "{name} under qemu: {}", there.messages);
        let mut gas = None;
        for tier in TIERS {
            let (output, used) = run(&elf, tier, &name);
            assert_eq!(
                String::from_utf8_lossy(&output),
                String::from_utf8_lossy(&there.output),
                "{name} on {tier:?}"
            );
            assert_eq!(*gas.get_or_insert(used), used, "{name} on {tier:?}");
        }
    }
}

#[test]
fn what_gcc_makes_with_fused_operations() {
    check("gcc");
}

#[test]
fn what_clang_makes_without() {
    check("clang");
}

#[test]
fn version_1_traps_at_the_first_float() {
    let version = machine(1).expect("version 1 is part of every build");
    for name in ["kernels-gcc.elf", "kernels-clang.elf"] {
        let program = Arc::new(Program::load(&elf(name), version).expect("a program"));
        for tier in TIERS {
            let mut console = Console::default();
            let outcome = Instance::new(Arc::clone(&program)).run(tier, MAX_GAS_LIMIT, &mut console);
            assert!(
                matches!(outcome.end, End::Trapped(_)),
                "{name} on {tier:?}: {:?}",
                outcome.end
            );
            assert!(console.output.is_empty(), "{name} on {tier:?}");
        }
    }
}
