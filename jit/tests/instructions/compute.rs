//! Forms that compute: a row per form, a tuple per case.

use millrace_jit::isa::{Operands, Register};
use millrace_jit::{End, isa::Form};

use crate::common::{Guest, form};

/// Cases of one form; the last element is what rd becomes.
pub enum Row {
    /// rs1, rs2.
    Binary(&'static str, &'static [(u64, u64, u64)]),
    /// rs1, immediate.
    Immediate(&'static str, &'static [(u64, i32, u64)]),
    /// rs1.
    Unary(&'static str, &'static [(u64, u64)]),
    /// Immediate.
    Constant(&'static str, &'static [(i32, u64)]),
}

impl Row {
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Binary(name, _)
            | Self::Immediate(name, _)
            | Self::Unary(name, _)
            | Self::Constant(name, _) => name,
        }
    }

    /// Runs every case of the row.
    fn check(&self) {
        let name = self.name();
        match self {
            Self::Binary(_, cases) => cases
                .iter()
                .for_each(|&(a, b, value)| check(name, a, b, 0, value)),
            Self::Immediate(_, cases) => cases
                .iter()
                .for_each(|&(a, imm, value)| check(name, a, 0, imm, value)),
            Self::Unary(_, cases) => cases.iter().for_each(|&(a, value)| check(name, a, 0, 0, value)),
            Self::Constant(_, cases) => cases
                .iter()
                .for_each(|&(imm, value)| check(name, 0, 0, imm, value)),
        }
    }
}

pub fn check_table(table: &[Row]) {
    table.iter().for_each(Row::check);
}

/// Runs a case with every choice of registers that the form admits: distinct, rd equal to a source, x0.
fn check(name: &str, a: u64, b: u64, imm: i32, value: u64) {
    let form = form(name);
    let choices = [
        (8, 9, 10),
        (9, 9, 10),
        (10, 9, 10),
        (0, 9, 10),
        (31, 1, 30),
        (8, 0, 10),
        (8, 9, 0),
        (8, 9, 9),
    ];
    let mut ran = 0;
    for (rd, rs1, rs2) in choices {
        let rd = resolve(form.format.rd, rd, rd);
        let operands = Operands {
            rd,
            rs1: resolve(form.format.rs1, rs1, rd),
            rs2: resolve(form.format.rs2, rs2, rd),
            imm,
            ..Operands::default()
        };
        let contradiction = operands.rs1 == 0 && a != 0
            || operands.rs2 == 0 && b != 0
            || operands.rs1 == operands.rs2 && a != b;
        if !contradiction && form.encode(&operands).is_some() {
            check_registers(form, &operands, a, b, value);
            ran += 1;
        }
    }
    assert!(
        ran > 0,
        "{name} with immediate {imm} ran with no choice of registers"
    );
}

fn resolve(register: Register, chosen: u8, rd: u8) -> u8 {
    match register {
        Register::Absent => 0,
        Register::At(_) | Register::Short(_) => chosen,
        Register::Implied(number) => number,
        Register::SameAsRd => rd,
        Register::Float(_) | Register::ShortFloat(_) => unreachable!("{register:?} is no integer register"),
    }
}

fn check_registers(form: &Form, operands: &Operands, a: u64, b: u64, value: u64) {
    // What no operand names is told apart by its value.
    let mut guest = Guest::new();
    for register in 1..32 {
        guest = guest.register(register, 0x0101_0000_0000_0101 * u64::from(register));
    }
    let guest = guest
        .register(operands.rs2, b)
        .register(operands.rs1, a)
        .register(0, 0);
    let Operands {
        rd, rs1, rs2, imm, ..
    } = *operands;
    let mut expected = guest.registers();
    if rd != 0 {
        expected[usize::from(rd)] = value;
    }
    let ran = guest.op(form.name, rd, rs1, rs2, imm).ecall().run();
    let case = format!("{} {operands:?} with {a:#x}, {b:#x}", form.name);
    assert_eq!(ran.outcome.end, End::Returned, "{case}");
    assert_eq!(ran.instance.registers(), &expected, "{case}");
}
