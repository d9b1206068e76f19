//! The rules of the machine that are not about one instruction: entry, gas, ends, host calls, text, memory.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../common/mod.rs"]
mod common;

mod gas;
mod host;
mod memory;
mod memory_rate;
mod observer;
mod text;

use std::sync::Arc;

use common::{Returns, encode, v1};
use millrace_jit::image::{OwnedSegment, Permissions};
use millrace_jit::{Ecall, End, Flow, Host, Instance, Outcome, Program, Tier, Trap, TrapKind};

/// A host that answers with a closure.
struct Answers<F>(F);

impl<F: FnMut(&mut Ecall<'_>) -> Flow> Host for Answers<F> {
    fn ecall(&mut self, call: &mut Ecall<'_>) -> Flow {
        (self.0)(call)
    }
}

/// The only segment: text, as it is.
fn bare(address: u64, text: &[u8]) -> Arc<Program> {
    let (data, permissions) = (text.to_vec(), Permissions::ReadExecute);
    let segment = OwnedSegment {
        address: address as u32,
        memory_len: data.len() as u32,
        data,
        permissions,
    };
    let entry = address.next_multiple_of(2) as u32;
    Arc::new(Program::from_segments(vec![segment], entry, v1()).unwrap())
}

fn run(program: Arc<Program>, gas_limit: u64) -> Outcome {
    Instance::new(program).run(Tier::Interpreter, gas_limit, &mut Returns)
}

fn trapped(kind: TrapKind, pc: u64) -> End {
    End::Trapped(Trap { kind, pc })
}

fn ops(list: &[(&str, u8, u8, u8, i32)]) -> Vec<u8> {
    list.iter()
        .flat_map(|&(name, rd, rs1, rs2, imm)| encode(name, rd, rs1, rs2, imm))
        .collect()
}

const ADDI: (&str, u8, u8, u8, i32) = ("addi", 5, 5, 0, 1);
const ECALL: (&str, u8, u8, u8, i32) = ("ecall", 0, 0, 0, 0);
