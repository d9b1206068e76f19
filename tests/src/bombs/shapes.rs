//! Bombs inside a region: its blocks, and how they hang together.

use super::{Bomb, RODATA, TEXT};

/// Reach of a conditional branch.
const REACH: u64 = 4096;

/// A loop over one straight line: short of the end there is no place to stop at.
pub(super) fn straight(bomb: &mut Bomb) {
    let operations = ["add", "xor", "sub", "and", "or", "addw", "sh1add", "rol"];
    while !bomb.is_full() {
        let name = operations[bomb.below(operations.len() as u64) as usize];
        let (rd, rs1, rs2) = (bomb.register(), bomb.register(), bomb.register());
        bomb.op(name, rd, rs1, rs2, 0);
    }
    bomb.far(0, 5, TEXT);
}

pub(super) fn memory(bomb: &mut Bomb) {
    let operations = ["ld", "lw", "lbu", "sd", "sw", "sb"];
    while !bomb.is_full() {
        let index = bomb.below(operations.len() as u64) as usize;
        let at = -8 - 8 * bomb.below(200) as i32;
        let value = bomb.register();
        let (rd, rs2) = if index < 3 { (value, 0) } else { (0, value) };
        bomb.op(operations[index], rd, 2, rs2, at);
    }
    bomb.far(0, 5, TEXT);
}

pub(super) fn dear(bomb: &mut Bomb) {
    let operations = [
        "clmul", "mulhsu", "rem", "divw", "cpop", "rev8", "orc.b", "amomax.w",
    ];
    bomb.op("addi", 4, 2, 0, -16);
    while !bomb.is_full() {
        let index = bomb.below(operations.len() as u64) as usize;
        let (rd, rs1, rs2) = (bomb.register(), bomb.register(), bomb.register());
        let (rs1, rs2) = match index {
            4..=6 => (rs1, 0),
            7 => (4, rs2),
            _ => (rs1, rs2),
        };
        bomb.op(operations[index], rd, rs1, rs2, 0);
    }
    bomb.far(0, 5, TEXT);
}

pub(super) fn blocks(bomb: &mut Bomb) {
    while !bomb.is_full() {
        let (rs1, rs2) = (bomb.register(), bomb.register());
        bomb.op("beq", 0, rs1, rs2, 4);
    }
    bomb.far(0, 5, TEXT);
}

/// A displacement to a multiple of `unit` within reach and inside text.
fn near(bomb: &mut Bomb, unit: u64) -> i32 {
    let here = bomb.text.bytes.len() as u64;
    let low = here.saturating_sub(REACH - 64);
    let high = (here + REACH - 64).min(bomb.len.max(64) as u64);
    let target = (low + bomb.below(high - low)) / unit * unit;
    target as i32 - here as i32
}

pub(super) fn branches(bomb: &mut Bomb) {
    let operations = ["beq", "bne", "blt", "bgeu"];
    while !bomb.is_full() {
        let name = operations[bomb.below(4) as usize];
        let (rs1, rs2) = (bomb.register(), bomb.register());
        let to = near(bomb, 8);
        bomb.op(name, 0, rs1, rs2, to);
        let (rd, rs1) = (bomb.register(), bomb.register());
        let add = bomb.below(100) as i32;
        bomb.op("addi", rd, rs1, 0, add);
    }
    bomb.exit();
}

pub(super) fn halves(bomb: &mut Bomb) {
    while !bomb.is_full() {
        let (rs1, rs2) = (bomb.register(), bomb.register());
        let to = near(bomb, 2);
        bomb.op("bne", 0, rs1, rs2, to);
        // Its upper half is an instruction as well, whatever it is.
        let (rd, rs1, rs2) = (bomb.register(), bomb.register(), bomb.register());
        bomb.op("add", rd, rs1, rs2, 0);
    }
    bomb.exit();
}

/// Facts have to climb against the order of the blocks, a rung in each pass.
pub(super) fn ladder(bomb: &mut Bomb) {
    while !bomb.is_full() {
        let register = bomb.register();
        bomb.op("addi", register, register, 0, 1);
        let back = if bomb.text.bytes.len() > 16 { -12 } else { 4 };
        bomb.op("beq", 0, register, 5, back);
    }
    bomb.exit();
}

pub(super) fn nested(bomb: &mut Bomb) {
    const DEPTH: usize = 300;
    while !bomb.is_full() {
        let mut headers = Vec::new();
        for depth in 0..DEPTH {
            headers.push(bomb.text.here());
            let register = 5 + (depth % 27) as u8;
            bomb.op("addi", register, register, 0, 1);
        }
        while let Some(header) = headers.pop() {
            let register = bomb.register();
            bomb.op("andi", 5, register, 0, 3);
            bomb.op("bne", 0, 5, 0, 8);
            let back = header.wrapping_sub(bomb.text.here()) as i64 as i32;
            bomb.op("jal", 0, 0, 0, back);
        }
    }
    bomb.exit();
}

pub(super) fn ecalls(bomb: &mut Bomb) {
    bomb.change_registers();
    bomb.op("addi", 17, 0, 0, 1);
    while !bomb.is_full() {
        bomb.op("ecall", 0, 0, 0, 0);
        let register = 18 + bomb.below(14) as u8;
        bomb.op("addi", register, register, 0, 1);
    }
    bomb.exit();
}

/// Each case takes the next case from one of the tables: all jump to all of 512.
pub(super) fn jumps(bomb: &mut Bomb) {
    const CASES: usize = 512;
    const CASE_BYTES: usize = 28;
    let tables = (bomb.len / (CASES * CASE_BYTES)).max(1);
    for number in 0..tables * CASES {
        let table = RODATA + (number / CASES * CASES * 8) as u64;
        bomb.rodata
            .extend((TEXT + (number * CASE_BYTES) as u64).to_le_bytes());
        bomb.op("addi", 6, 6, 0, 1 + (number % 97) as i32);
        bomb.op("andi", 7, 6, 0, 511);
        bomb.text.set(8, table);
        bomb.op("sh3add", 8, 7, 8, 0);
        bomb.op("ld", 8, 8, 0, 0);
        bomb.op("jalr", 0, 8, 0, 0);
    }
}

/// Jumps through one long table that leads to few places.
pub(super) fn switches(bomb: &mut Bomb) {
    const ENTRIES: u64 = 512;
    const JUMPS: u64 = 100;
    const JUMP_BYTES: u64 = 28;
    for table in 0.. {
        if bomb.is_full() {
            break;
        }
        let start = bomb.text.here();
        for entry in 0..ENTRIES {
            let target = start + entry % JUMPS * JUMP_BYTES;
            bomb.rodata.extend(target.to_le_bytes());
        }
        for jump in 0..JUMPS {
            bomb.op("addi", 6, 6, 0, 1 + jump as i32);
            bomb.op("andi", 7, 6, 0, 511);
            bomb.text.set(8, RODATA + table * ENTRIES * 8);
            bomb.op("sh3add", 8, 7, 8, 0);
            bomb.op("ld", 8, 8, 0, 0);
            bomb.op("jalr", 0, 8, 0, 0);
        }
    }
}

/// Data names every instruction, and nothing tells which of them a jump takes.
pub(super) fn pointers(bomb: &mut Bomb) {
    bomb.text.set(5, TEXT + 16);
    while !bomb.is_full() {
        let here = bomb.text.here();
        bomb.rodata.extend((here as u32).to_le_bytes());
        bomb.op("addi", 5, 5, 0, 8);
        bomb.rodata.extend((here as u32 + 4).to_le_bytes());
        bomb.op("jalr", 0, 5, 0, 0);
    }
    bomb.exit();
}

/// Every word of data is a displacement into text, whichever table it is taken for a part of.
pub(super) fn displacements(bomb: &mut Bomb) {
    let words = (bomb.len as u64 / 4).max(1024);
    let target = TEXT + 8192;
    for word in 0..words {
        let displacement = target.wrapping_sub(RODATA + 4 * word) as u32;
        bomb.rodata.extend(displacement.to_le_bytes());
    }
    let mut table = 0;
    while !bomb.is_full() || bomb.text.bytes.len() < 8192 {
        bomb.text.set(5, RODATA + table);
        // `lui` and `addi`, which `set` does not write.
        let value = (RODATA + table) as i32;
        let low = value << 20 >> 20;
        bomb.op("lui", 6, 0, 0, value.wrapping_sub(low));
        bomb.op("addi", 6, 6, 0, low);
        table = (table + 2) % (4 * words - 4096);
    }
    bomb.exit();
}

/// Hot loops, one after the other, each of which a region's worth of code hangs on that never runs.
pub(super) fn loops(bomb: &mut Bomb) {
    const DEAD: i32 = 900;
    while !bomb.is_full() {
        bomb.op("lui", 6, 0, 0, 8 << 12);
        bomb.op("bne", 0, 0, 0, 12);
        bomb.op("addi", 6, 6, 0, -1);
        bomb.op("bne", 0, 6, 0, -8);
        bomb.op("bne", 0, 0, 0, 8);
        bomb.op("jal", 0, 0, 0, 4 + 4 * DEAD);
        for _ in 0..DEAD {
            let (rd, rs1, rs2) = (bomb.register(), bomb.register(), bomb.register());
            bomb.op("xor", rd, rs1, rs2, 0);
        }
    }
    bomb.exit();
}
