//! A sequence as it runs: code, registers, memory. Everything that a replay needs, however it was generated.
//!
//! ```text
//! prologue   lays out memory, then loads 32 floating-point and 31 integer registers, all as the page INITIAL says
//! ecall      START: the host reads clock and gas
//! code       `turns` times in a loop, counted in x3
//! ecall      STOP: the host reads both again; the run ends
//! ```

use std::sync::Arc;

use millrace_jit::image::{OwnedSegment, Permissions};
use millrace_jit::isa::{self, Class, F0};
use millrace_jit::machine::{Machine, Weights};
use millrace_jit::{Program, machine};
use millrace_tests::asm::Text;
use serde_json::{Value, json};

use super::memory::{self, Layout};

/// First address of text, the lowest that can be mapped.
const TEXT: u64 = 0x1_0000;
/// A page that holds what the prologue loads.
pub const INITIAL: u64 = 0x0700_0000;
/// The memory that sequences play in: as much image as there may be, then all of the heap, a power of two as base.
pub const REGION: u64 = 0x0800_0000;
/// Bytes of the region that are part of the image; text and the page of registers take the rest of what is allowed.
pub const REGION_IMAGE_BYTES: u32 = 61 << 20;

/// Turns left.
const TURNS: u8 = 3;
/// a7: what a host call is about.
pub const NUMBER: u8 = 17;
/// Host calls: measuring starts, ends; every other number does nothing.
pub const START: u64 = 1;
/// See [`START`].
pub const STOP: u64 = 2;
/// A host call that does nothing.
const NOTHING: u64 = 7;
/// x0 to x31, then f0 to f31, as operands of instructions are numbered.
pub const REGISTERS: usize = 64;

/// See the module's documentation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sequence {
    /// What one turn executes; runs from its first byte to the address behind its last, where the loop's end is.
    pub code: Vec<u8>,
    /// Functions that it calls, behind the loop.
    pub functions: Vec<u8>,
    /// [`REGISTERS`] at the start; [`TURNS`] and [`NUMBER`] are set by whoever runs it.
    pub registers: [u64; REGISTERS],
    /// What lies in the region.
    pub memory: Layout,
}

/// Bytes of the prologue, up to the code.
const PROLOGUE_BYTES: u64 = 4 * (1 + memory::PROLOGUE_INSTRUCTIONS + 32 + 31 + 2);
/// Bytes behind the code of the loop, up to the functions.
pub const EPILOGUE_BYTES: u64 = 4 * 5;

/// Address of the first byte of code.
pub const CODE: u64 = TEXT + PROLOGUE_BYTES;

impl Sequence {
    fn text(&self) -> Vec<u8> {
        let mut text = Text::new(TEXT);
        text.op("lui", 31, 0, 0, INITIAL as i32);
        memory::prologue(&mut text, 31, REGISTERS as i32 * 8);
        for register in F0..F0 + 32 {
            text.op("fld", register, 31, 0, i32::from(register) * 8);
        }
        for register in 1..32 {
            text.op("ld", register, 31, 0, i32::from(register) * 8);
        }
        text.op("ecall", 0, 0, 0, 0);
        text.op("addi", NUMBER, 0, 0, NOTHING as i32);
        debug_assert_eq!(text.here(), CODE);
        text.bytes.extend_from_slice(&self.code);
        text.op("addi", TURNS, TURNS, 0, -1);
        text.op("beq", 0, TURNS, 0, 8);
        let back = CODE.wrapping_sub(text.here()) as i64 as i32;
        text.op("jal", 0, 0, 0, back);
        text.op("addi", NUMBER, 0, 0, STOP as i32);
        text.op("ecall", 0, 0, 0, 0);
        text.bytes.extend_from_slice(&self.functions);
        text.bytes
    }

    /// The program, on a machine of any weights. `None` if it is too large.
    pub fn program(&self, machine: &'static Machine) -> Option<Arc<Program>> {
        let segment = |address: u64, memory_len: u32, data: Vec<u8>, permissions| OwnedSegment {
            address: address as u32,
            memory_len,
            data,
            permissions,
        };
        let text = self.text();
        let segments = vec![
            segment(TEXT, text.len() as u32, text, Permissions::ReadExecute),
            segment(INITIAL, 4096, Vec::new(), Permissions::ReadWrite),
            segment(
                REGION,
                self.memory.image_bytes(),
                Vec::new(),
                Permissions::ReadWrite,
            ),
        ];
        Program::from_segments(segments, TEXT as u32, machine)
            .ok()
            .map(Arc::new)
    }

    /// The page that the prologue reads: registers, then what is laid out.
    pub fn initial(&self, turns: u64) -> Vec<u8> {
        let mut registers = self.registers;
        registers[usize::from(TURNS)] = turns;
        registers[usize::from(NUMBER)] = START;
        let orders = self.memory.orders();
        registers
            .iter()
            .chain(&orders)
            .flat_map(|word| word.to_le_bytes())
            .collect()
    }

    /// Instructions of code and functions, with their addresses.
    pub fn listing(&self) -> Vec<String> {
        let functions = CODE + self.code.len() as u64 + EPILOGUE_BYTES;
        let mut lines = disassemble(CODE, &self.code);
        lines.extend(disassemble(functions, &self.functions));
        lines
    }

    /// Everything, for a file.
    pub fn json(&self) -> Value {
        let registers: Vec<String> = self.registers.iter().map(|value| format!("{value:#x}")).collect();
        json!({
            "code": hex(&self.code),
            "functions": hex(&self.functions),
            "registers": registers,
            "memory": self.memory.json(),
        })
    }

    /// What [`Self::json`] wrote, or `None`.
    pub fn from_json(value: &Value) -> Option<Self> {
        // A file from before there was floating point has 32.
        let mut registers = [0; REGISTERS];
        for (register, text) in registers.iter_mut().zip(value["registers"].as_array()?) {
            *register = u64::from_str_radix(text.as_str()?.strip_prefix("0x")?, 16).ok()?;
        }
        Some(Self {
            code: unhex(value["code"].as_str()?)?,
            functions: unhex(value["functions"].as_str()?)?,
            registers,
            memory: Layout::from_json(&value["memory"])?,
        })
    }
}

fn disassemble(start: u64, bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut at = 0;
    while at + 2 <= bytes.len() {
        let mut word = [0; 4];
        let available = (bytes.len() - at).min(4);
        word[..available].copy_from_slice(&bytes[at..at + available]);
        let pc = start + at as u64;
        match isa::decode(u32::from_le_bytes(word)) {
            Some(instruction) => {
                lines.push(format!("{pc:x}: {}", instruction.at(pc)));
                at += usize::from(instruction.length());
            }
            // What lies between far pieces of code.
            None => {
                let gap = bytes[at..].iter().take_while(|byte| **byte == 0).count().max(2) & !1;
                lines.push(format!("{pc:x}: .zero {gap}"));
                at += gap;
            }
        }
    }
    lines
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(digit).collect()
}

/// The newest machine with other weights. It lives as long as the process.
pub fn machine_with(weights: Weights) -> &'static Machine {
    Box::leak(Box::new(Machine {
        weights,
        ..newest().clone()
    }))
}

/// The same, with weights that do not depend on how much memory is held.
fn flat_machine_with(weights: Weights) -> &'static Machine {
    Box::leak(Box::new(Machine {
        memory_rates: &[],
        ..machine_with(weights).clone()
    }))
}

/// The newest machine: programs of older ones cost the same there.
pub fn newest() -> &'static Machine {
    machine::machine(machine::NEWEST).expect("the newest version is part of the build")
}

/// The classes that have a weight, by the names of the table.
pub const CLASSES: [(&str, Class); 16] = [
    ("alu", Class::Alu),
    ("mul", Class::Mul),
    ("clmul", Class::Clmul),
    ("div", Class::Div),
    ("load", Class::Load),
    ("store", Class::Store),
    ("branch", Class::Branch),
    ("jal", Class::Jal),
    ("jalr", Class::Jalr),
    ("atomic", Class::Atomic),
    ("ecall", Class::Ecall),
    ("float_bits", Class::FloatBits),
    ("float", Class::Float),
    ("float_fused", Class::FloatFused),
    ("float_divide", Class::FloatDivide),
    ("csr", Class::Csr),
];

/// The weight of a class, by its name in the table.
pub fn weight_mut<'a>(weights: &'a mut Weights, name: &str) -> Option<&'a mut u32> {
    Some(match name {
        "alu" => &mut weights.alu,
        "mul" => &mut weights.mul,
        "clmul" => &mut weights.clmul,
        "div" => &mut weights.div,
        "load" => &mut weights.load,
        "store" => &mut weights.store,
        "branch" => &mut weights.branch,
        "jal" => &mut weights.jal,
        "jalr" => &mut weights.jalr,
        "atomic" => &mut weights.atomic,
        "ecall" => &mut weights.ecall,
        "float_bits" => &mut weights.float_bits,
        "float" => &mut weights.float,
        "float_fused" => &mut weights.float_fused,
        "float_divide" => &mut weights.float_divide,
        "csr" => &mut weights.csr,
        _ => return None,
    })
}

/// A machine on which gas is the number of executed instructions of one class.
pub fn counting(name: &str) -> &'static Machine {
    let mut weights = newest().weights.clone();
    for (class, _) in CLASSES {
        *weight_mut(&mut weights, class).expect("the names are those of the table") =
            u32::from(class == name);
    }
    flat_machine_with(weights)
}
