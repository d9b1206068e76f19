//! A pair does what its operations do one after the other.

use std::sync::Arc;

use super::code::{FAR, Slot};
use super::handlers::{At, FIRSTS, HANDLERS, SECONDS, give_codes, give_single_codes, is_pair};
use super::operations::{End, Rest};
use super::{Registers, Reservation, SINK};
use crate::image::{OwnedSegment, Permissions, Program};
use crate::isa::Op;
use crate::machine::machine;
use crate::runtime::{Instance, TrapKind};

const POINTER: u8 = 5;
const NUMBER: u8 = 6;
/// In memory that the stack has.
const BELOW_TOP: u64 = 256;

fn slot(op: Op, rd: u8, rs1: u8, rs2: u8, position: u16) -> Slot {
    Slot {
        code: 0,
        op,
        rd,
        rs1,
        rs2,
        gas: 0,
        imm: 8,
        position,
        target: FAR,
    }
}

/// Where and how execution ends, with what in registers and memory.
type Ended = (usize, End, TrapKind, Box<Registers>, Vec<u8>);

fn execute(slots: &[Slot], program: &Arc<Program>) -> Ended {
    let mut instance = Instance::new(Arc::clone(program));
    let pointer = u64::from(program.machine().layout.stack_top) - BELOW_TOP;
    let data: Vec<u8> = (0..64).map(|i: u8| i.wrapping_mul(5).wrapping_add(130)).collect();
    let memory = instance.memory_mut();
    memory.write(pointer, &data).expect("the stack is mapped");
    let mut registers = Box::new([0; 256]);
    registers[usize::from(POINTER)] = pointer;
    registers[usize::from(NUMBER)] = u64::MAX - 24;
    let (mut reservation, mut fcsr) = (Reservation::NONE, 0);
    let mut rest = Rest {
        gas: 0,
        executed: 0,
        line: At::new(slots, 0),
        lines: 0,
        base: 0x1_0000,
        trap: TrapKind::Breakpoint,
        reservation: &mut reservation,
        fcsr: &mut fcsr,
    };
    let handler = HANDLERS[usize::from(slots[0].code)];
    // SAFETY: the slots have codes, end with one that leaves, and outlive the call.
    let (at, end) = unsafe {
        handler(
            At::new(slots, 0),
            &mut registers,
            memory.address_space(),
            &mut rest,
        )
    };
    let trap = rest.trap;
    let after = memory.read(pointer, 64).expect("the stack is mapped").to_vec();
    (at.index(slots), end, trap, registers, after)
}

#[test]
fn a_pair_does_what_its_operations_do_one_by_one() {
    let text = OwnedSegment {
        address: 0x1_0000,
        memory_len: 4096,
        data: vec![0; 4],
        permissions: Permissions::ReadExecute,
    };
    let machine = machine(1).expect("version 1 is part of every build");
    let program = Program::from_segments(vec![text], 0x1_0000, machine).expect("one segment is a program");
    let program = Arc::new(program);
    for (&first, &second) in FIRSTS
        .iter()
        .flat_map(|first| SECONDS.iter().map(move |second| (first, second)))
    {
        for case in 0..48_u8 {
            let one_of = |shift: u8, choice: [u8; 2]| choice[usize::from(case >> shift & 1)];
            let rd = [POINTER, NUMBER, SINK][usize::from(case / 16)];
            let mut slots = [
                slot(first, rd, one_of(0, [POINTER, NUMBER]), POINTER, 0),
                slot(
                    second,
                    one_of(1, [POINTER, SINK]),
                    one_of(2, [POINTER, NUMBER]),
                    one_of(3, [POINTER, NUMBER]),
                    2,
                ),
                slot(Op::Ebreak, SINK, 0, 0, 4),
            ];
            give_single_codes(&mut slots);
            let expected = execute(&slots, &program);
            give_codes(&mut slots);
            assert!(is_pair(&slots[0]), "{slots:?}");
            assert_eq!(execute(&slots, &program), expected, "{slots:?}");
        }
    }
}
