//! Running a program here and under qemu, and telling the first difference.

use std::sync::Arc;

use millrace_jit::isa::register_name;
use millrace_jit::machine::{MAX_GAS_LIMIT, NEWEST, machine};
use millrace_jit::{Ecall, End, Flow, Host, Instance, Program, Tier};
use millrace_tests::qemu::{There, run_qemu};

use crate::batch::Batch;
use crate::generate::{BLOCK, FCSR, SCRATCH};

/// What a run here came to.
#[derive(Debug)]
pub struct Here {
    pub end: End,
    pub output: Vec<u8>,
    pub status: Option<u64>,
}

#[derive(Debug, Default)]
struct Recorder {
    output: Vec<u8>,
    status: Option<u64>,
}

impl Host for Recorder {
    fn ecall(&mut self, call: &mut Ecall<'_>) -> Flow {
        let [descriptor, pointer, len, ..] = call.args;
        match call.number {
            64 => {
                assert_eq!(descriptor, 1, "programs write to descriptor 1");
                match call.memory.read(pointer, len) {
                    Ok(bytes) => self.output.extend_from_slice(bytes),
                    Err(kind) => return Flow::Trap(kind),
                }
                call.results[0] = len;
                Flow::Continue
            }
            93 => {
                self.status = Some(descriptor);
                Flow::Return
            }
            number => panic!("no program makes system call {number}"),
        }
    }
}

/// Runs `elf` on the newest machine.
pub fn run_here(elf: &[u8], tier: Tier) -> Here {
    let machine = machine(NEWEST).expect("the newest version is part of every build");
    let program = Program::load(elf, machine).expect("generated programs are valid");
    let mut instance = Instance::new(Arc::new(program));
    let mut host = Recorder::default();
    let outcome = instance.run(tier, MAX_GAS_LIMIT, &mut host);
    Here {
        end: outcome.end,
        output: host.output,
        status: host.status,
    }
}

/// Runs the batch on both sides, here on every one of the tiers, and panics at the first difference, with the case that
/// made it.
pub fn check(batch: &Batch, tiers: &[Tier], origin: &str) {
    let there = run_qemu(&batch.qemu_elf());
    for &tier in tiers {
        compare(
            batch,
            &run_here(&batch.elf(), tier),
            &there,
            &format!("{origin}, {tier:?}"),
        );
    }
}

fn compare(batch: &Batch, here: &Here, there: &There, origin: &str) {
    assert_eq!(
        there.status,
        Some(0),
        "{origin}: under qemu, signal {:?}: {}",
        there.signal,
        there.messages
    );
    assert_eq!(
        (&here.end, here.status),
        (&End::Returned, Some(0)),
        "{origin}: here"
    );
    assert_eq!(here.output.len(), there.output.len(), "{origin}: bytes of output");
    let words = here.output.chunks_exact(8).zip(there.output.chunks_exact(8));
    if let Some(index) = words.clone().position(|(ours, theirs)| ours != theirs) {
        let word =
            |bytes: &[u8]| u64::from_le_bytes(bytes[8 * index..8 * index + 8].try_into().expect("8 bytes"));
        let (case, offset) = (8 * index / BLOCK as usize, 8 * index as u64 % BLOCK);
        let place = match offset {
            SCRATCH.. => format!("scratch + {}", offset - SCRATCH),
            FCSR.. => "fcsr".to_owned(),
            _ => register_name((offset / 8) as u8).to_owned(),
        };
        panic!(
            "{origin}, case {case}: {place} is {:#x} here, {:#x} under qemu, was {:#x}\n{}",
            word(&here.output),
            word(&there.output),
            batch.initial(8 * index),
            batch.listing(case)
        );
    }
}
