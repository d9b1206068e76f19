//! Small guests made from instruction forms, run to their first `ecall` or trap.

#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::sync::Arc;

use millrace_jit::image::{OwnedSegment, Permissions};
use millrace_jit::isa::{self, Form, Operands};
use millrace_jit::machine::{MAX_GAS_LIMIT, Machine, machine};
use millrace_jit::{Ecall, End, Flow, Host, Instance, Jump, Observer, Outcome, Program, Tier};

/// First address of text, at the lowest allowed page.
pub const TEXT: u64 = 0x1_0000;
/// Where a test's own code starts: behind the instructions that load its registers.
pub const CODE: u64 = TEXT + 0x80;
/// Pages that can be read only.
pub const RODATA: u64 = 0x20_0000;
/// Pages that can be written.
pub const DATA: u64 = 0x30_0000;
/// Bytes of each of the two.
pub const DATA_LEN: u64 = 3 * 4096;
/// Initial registers lie in a page of their own, where no test writes.
const INITIAL: u64 = 0x40_0000;

pub fn v1() -> &'static Machine {
    machine(1).unwrap()
}

/// The version that has every form.
pub fn v2() -> &'static Machine {
    machine(2).unwrap()
}

pub fn form(name: &str) -> &'static Form {
    isa::forms()
        .iter()
        .find(|form| form.name == name)
        .unwrap_or_else(|| panic!("no form {name}"))
}

/// Bytes of an instruction.
pub fn encode(name: &str, rd: u8, rs1: u8, rs2: u8, imm: i32) -> Vec<u8> {
    encode_operands(
        name,
        &Operands {
            rd,
            rs1,
            rs2,
            imm,
            ..Operands::default()
        },
    )
}

/// The same with every operand that there is.
pub fn encode_operands(name: &str, operands: &Operands) -> Vec<u8> {
    let form = form(name);
    let word = form
        .encode(operands)
        .unwrap_or_else(|| panic!("{name} cannot encode {operands:?}"));
    word.to_le_bytes()[..usize::from(form.length())].to_vec()
}

/// Code, initial registers and initial data of a test.
#[derive(Clone)]
pub struct Guest {
    machine: &'static Machine,
    code: Vec<u8>,
    registers: [u64; 32],
    data: Vec<(u64, Vec<u8>)>,
}

/// What a guest came to.
pub struct Ran {
    pub outcome: Outcome,
    pub instance: Instance,
}

impl Guest {
    pub fn new() -> Self {
        Self {
            machine: v1(),
            code: Vec::new(),
            registers: [0; 32],
            data: Vec::new(),
        }
    }

    /// Sets the machine that it runs on.
    pub fn on(self, machine: &'static Machine) -> Self {
        Self { machine, ..self }
    }

    /// Sets an initial register.
    pub fn register(mut self, number: u8, value: u64) -> Self {
        self.registers[usize::from(number)] = value;
        self
    }

    /// Sets initial bytes of data or read-only data.
    pub fn data(mut self, address: u64, bytes: &[u8]) -> Self {
        self.data.push((address, bytes.to_vec()));
        self
    }

    /// Appends an instruction.
    pub fn op(self, name: &str, rd: u8, rs1: u8, rs2: u8, imm: i32) -> Self {
        self.bytes(&encode(name, rd, rs1, rs2, imm))
    }

    /// Appends bytes of code.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.code.extend_from_slice(bytes);
        self
    }

    /// Where the next instruction will be.
    pub fn here(&self) -> u64 {
        CODE + self.code.len() as u64
    }

    /// Appends an `ecall`.
    pub fn ecall(self) -> Self {
        self.op("ecall", 0, 0, 0, 0)
    }

    /// The initial registers.
    pub fn registers(&self) -> [u64; 32] {
        self.registers
    }

    /// Instructions that run before the test's own.
    pub const PROLOGUE_INSTRUCTIONS: u64 = 32;

    /// Gas of the same.
    pub fn prologue_gas() -> u64 {
        let weights = &v1().weights;
        u64::from(weights.alu) + 31 * u64::from(weights.load)
    }

    /// Loads all registers, the last one through itself.
    fn prologue() -> Vec<u8> {
        let mut text = encode("lui", 31, 0, 0, INITIAL as i32);
        for register in 1..32 {
            text.extend(encode("ld", register, 31, 0, i32::from(register) * 8));
        }
        text
    }

    pub fn program(&self) -> Arc<Program> {
        let mut text = Self::prologue();
        assert_eq!(text.len() as u64, CODE - TEXT);
        text.extend_from_slice(&self.code);
        let mut rodata = vec![0; DATA_LEN as usize];
        let mut data = vec![0; DATA_LEN as usize];
        for (address, bytes) in &self.data {
            let (segment, start) = if *address >= DATA {
                (&mut data, DATA)
            } else {
                (&mut rodata, RODATA)
            };
            let offset = (address - start) as usize;
            segment[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        let initial = self
            .registers
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let segments = vec![
            segment(TEXT, text, Permissions::ReadExecute),
            segment(RODATA, rodata, Permissions::Read),
            segment(DATA, data, Permissions::ReadWrite),
            segment(INITIAL, initial, Permissions::Read),
        ];
        Arc::new(Program::from_segments(segments, TEXT as u32, self.machine).unwrap())
    }

    /// Runs with plenty of gas until the first `ecall` or trap, on every tier, and gives what the interpreter came to.
    pub fn run(&self) -> Ran {
        self.run_on_all(assert_same)
    }

    /// The same for code after which registers are dead, which native code then need not have right.
    pub fn run_for_outcome(&self) -> Ran {
        self.run_on_all(assert_same_outcome)
    }

    /// The same for code that leaves in memory what it came to.
    pub fn run_for_memory(&self) -> Ran {
        self.run_on_all(assert_same_memory)
    }

    fn run_on_all(&self, compare: fn(&Ran, &Ran, Tier)) -> Ran {
        let reference = self.run_with(MAX_GAS_LIMIT, &mut Returns);
        for &tier in OTHER_TIERS {
            let mut instance = Instance::new(self.program());
            instance.prepare(tier).unwrap();
            let outcome = instance.run(tier, MAX_GAS_LIMIT, &mut Returns);
            compare(&Ran { outcome, instance }, &reference, tier);
        }
        let mut instance = Instance::new(self.program());
        let observed = instance.run_observed(MAX_GAS_LIMIT, &mut Returns, &Nobody);
        assert_eq!(observed.outcome, reference.outcome, "an observer changes nothing");
        assert_eq!(instance.registers(), reference.instance.registers());
        reference
    }

    pub fn run_with(&self, gas_limit: u64, host: &mut dyn Host) -> Ran {
        let mut instance = Instance::new(self.program());
        let outcome = instance.run(Tier::Interpreter, gas_limit, host);
        Ran { outcome, instance }
    }
}

/// Tiers that are held to the interpreter.
pub const OTHER_TIERS: &[Tier] = &[Tier::Jit, Tier::Auto];

/// Panics unless a run on another tier ended in the same way and used as much gas.
pub fn assert_same_outcome(ran: &Ran, reference: &Ran, tier: Tier) {
    assert_eq!(
        ran.outcome.gas_used, reference.outcome.gas_used,
        "gas on {tier:?}"
    );
    match (&ran.outcome.end, &reference.outcome.end) {
        (End::Trapped(_), End::Trapped(_)) => {}
        (end, expected) => assert_eq!(end, expected, "end on {tier:?}"),
    }
}

/// Panics unless a run on another tier came to the same.
pub fn assert_same(ran: &Ran, reference: &Ran, tier: Tier) {
    assert_same_memory(ran, reference, tier);
    if matches!(reference.outcome.end, End::Trapped(_)) {
        return;
    }
    assert_eq!(
        ran.instance.registers(),
        reference.instance.registers(),
        "registers on {tier:?}"
    );
}

/// Panics unless a run on another tier ended in the same way and left the same memory.
pub fn assert_same_memory(ran: &Ran, reference: &Ran, tier: Tier) {
    assert_same_outcome(ran, reference, tier);
    if matches!(reference.outcome.end, End::Trapped(_)) {
        return;
    }
    for (start, len) in [(DATA, DATA_LEN), (0xfffb_0000, 256 << 10)] {
        let [here, there] = [ran, reference].map(|ran| ran.instance.memory().read(start, len));
        assert!(here == there, "memory at {start:#x} on {tier:?}");
    }
}

fn segment(address: u64, data: Vec<u8>, permissions: Permissions) -> OwnedSegment {
    OwnedSegment {
        address: address as u32,
        memory_len: data.len() as u32,
        data,
        permissions,
    }
}

/// An observer that takes note of nothing.
struct Nobody;

impl Observer for Nobody {
    fn jumped(&self, _: Jump) {}
}

/// A host whose every call returns.
pub struct Returns;

impl Host for Returns {
    fn ecall(&mut self, _: &mut Ecall<'_>) -> Flow {
        Flow::Return
    }
}
