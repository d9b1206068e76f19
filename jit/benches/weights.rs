//! Time per unit of gas in loops that are as bad for the host as a program can make them. The result stands in
//! `docs/spec/gas.md`; run again with
//! `cargo bench -p millrace-jit --bench weights`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../tests/common/mod.rs"]
mod common;

use common::{CODE, Guest};
use millrace_jit::isa::{self, Class, Form};
use millrace_jit::{Ecall, End, Flow, Host, Instance, Tier, Trap, TrapKind};

const GAS: u64 = 200_000_000;
/// Registers of the generator: state, factor, increment; and of what is measured.
const STATE: u8 = 5;
const FACTOR: u8 = 6;
const INCREMENT: u8 = 7;
const VALUE: u8 = 8;
const BASE: u8 = 9;
const MASK: u8 = 10;
const ADDRESS: u8 = 11;

struct Continues;

impl Host for Continues {
    fn ecall(&mut self, _: &mut Ecall<'_>) -> Flow {
        Flow::Continue
    }
}

/// Pseudo-random numbers with a fixed seed.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn guest() -> Guest {
    Guest::new()
        .register(STATE, 0x9e37_79b9_7f4a_7c15)
        .register(FACTOR, 6_364_136_223_846_793_005)
        .register(INCREMENT, 1_442_695_040_888_963_407)
}

/// Appends a step of the guest's own generator.
fn step(guest: Guest) -> Guest {
    guest
        .op("mul", STATE, STATE, FACTOR, 0)
        .op("add", STATE, STATE, INCREMENT, 0)
}

/// Time that this thread has spent on a CPU: other work on the machine disturbs it less than it disturbs a clock.
fn cpu_nanoseconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

/// Nanoseconds per gas of a guest that never ends, all of the heap granted and touched.
fn measure(guest: &Guest) -> f64 {
    let mut instance = Instance::new(guest.program());
    let memory = instance.memory_mut();
    let start = memory.grow_heap(0).unwrap();
    let pages = common::v1().layout.heap_max_bytes / 4096;
    memory.grow_heap(pages).unwrap();
    for page in 0..u64::from(pages) {
        memory.write(start + page * 4096, &[0]).unwrap();
    }
    (0..3)
        .map(|_| {
            let begin = cpu_nanoseconds();
            let outcome = instance.run(Tier::Interpreter, GAS, &mut Continues);
            let elapsed = cpu_nanoseconds() - begin;
            assert!(
                matches!(
                    outcome.end,
                    End::Trapped(Trap {
                        kind: TrapKind::OutOfGas,
                        ..
                    })
                ),
                "{outcome:?}"
            );
            elapsed / GAS as f64
        })
        .fold(f64::INFINITY, f64::min)
}

/// A loop around `count` copies of an instruction.
fn repeated(name: &str, operands: (u8, u8, u8, i32), count: usize) -> Guest {
    let (rd, rs1, rs2, imm) = operands;
    let guest = (0..count).fold(guest(), |guest, _| guest.op(name, rd, rs1, rs2, imm));
    let back = -(count as i32) * i32::from(common::form(name).length());
    guest.op("jal", 0, 0, 0, back)
}

/// A long loop of random instructions of a class, so that the host mispredicts what comes next.
fn shuffled(class: Class, count: usize) -> Guest {
    let mut numbers = Numbers(7);
    let forms: Vec<&Form> = isa::forms()
        .iter()
        .filter(|form| form.op.class() == class && !form.is_compressed())
        .collect();
    let mut guest = guest();
    for _ in 0..count {
        let form = forms[numbers.next() as usize % forms.len()];
        let word = form.pattern | numbers.next() as u32 & form.format.operand_mask();
        guest = guest.bytes(&word.to_le_bytes());
    }
    guest.op("jal", 0, 0, 0, -(count as i32) * 4)
}

/// Accesses at random addresses of a 32 MiB heap, `offset` bytes from a page's start.
fn scattered(name: &str, offset: u64) -> Guest {
    let format = common::form(name).format;
    let present = |register, number| {
        if register == isa::Register::Absent {
            0
        } else {
            number
        }
    };
    let heap = 0x40_1000;
    let guest = step(guest().register(BASE, heap + offset).register(MASK, 0x1ff_f000))
        .op("srli", ADDRESS, STATE, 0, 30)
        .op("and", ADDRESS, ADDRESS, MASK, 0)
        .op("add", ADDRESS, ADDRESS, BASE, 0);
    guest
        .op(
            name,
            present(format.rd, VALUE),
            ADDRESS,
            present(format.rs2, VALUE),
            0,
        )
        .op("add", STATE, STATE, VALUE, 0)
        .op("jal", 0, 0, 0, -28)
}

/// Indirect jumps to random ones of 128 places, `spacing` bytes apart.
fn jumps(spacing: usize) -> Guest {
    let places = 128;
    let guest = step(
        guest()
            .register(MASK, places - 1)
            .register(BASE, CODE)
            .register(12, spacing as u64),
    );
    let mut guest = guest
        .op("srli", ADDRESS, STATE, 0, 40)
        .op("and", ADDRESS, ADDRESS, MASK, 0)
        .op("mul", ADDRESS, ADDRESS, 12, 0)
        .op("add", ADDRESS, ADDRESS, BASE, 0)
        .op("jalr", 0, ADDRESS, 0, 28);
    for place in 0..places as usize {
        let back = -28 - (place * spacing) as i32;
        guest = guest.op("jal", 0, 0, 0, back).bytes(&vec![0; spacing - 4]);
    }
    guest
}

/// A branch on a random bit.
fn branches() -> Guest {
    step(guest())
        .op("bexti", VALUE, STATE, 0, 40)
        .op("bne", 0, VALUE, 0, 8)
        .op("addi", 0, 0, 0, 0)
        .op("jal", 0, 0, 0, -20)
}

fn main() {
    let programs = [
        (
            "alu, one dependent chain",
            repeated("addi", (VALUE, VALUE, 0, 1), 256),
        ),
        ("alu, shuffled", shuffled(Class::Alu, 20_000)),
        ("mul, shuffled", shuffled(Class::Mul, 20_000)),
        ("clmul, shuffled", shuffled(Class::Clmul, 20_000)),
        (
            "div by 3",
            repeated("div", (VALUE, STATE, BASE, 0), 256).register(BASE, 3),
        ),
        ("div, shuffled", shuffled(Class::Div, 20_000)),
        (
            "load, the same address",
            repeated("ld", (VALUE, 2, 0, -8), 256).register(2, 0x40_2000),
        ),
        ("load, scattered", scattered("ld", 8)),
        ("load, scattered across pages", scattered("ld", 4092)),
        ("store, scattered", scattered("sd", 8)),
        ("store, scattered across pages", scattered("sd", 4092)),
        ("amo, scattered", scattered("amoadd.d", 8)),
        ("branch, random", branches()),
        ("jal, chained", repeated("jal", (0, 0, 0, 4), 256)),
        ("jalr, random, near", jumps(16)),
        ("jalr, random, far", jumps(4096)),
        ("ecall", repeated("ecall", (0, 0, 0, 0), 256)),
    ];
    for (name, guest) in &programs {
        println!("{name:32} {:6.2} ns per gas", measure(guest));
    }
}
