//! Bombs of functions: how many there are, and who calls whom.

use super::{Bomb, TEXT};

pub(super) fn calls(bomb: &mut Bomb) {
    // A call has 8 bytes, its function 2.
    let count = (bomb.len / 10) as u64;
    let functions = TEXT + 8 * count + 12;
    for number in 0..count {
        bomb.far(1, 1, functions + 2 * number);
    }
    bomb.exit();
    for _ in 0..count {
        bomb.op("c.jr", 0, 1, 0, 0);
    }
}

pub(super) fn callers(bomb: &mut Bomb) {
    bomb.op("jal", 0, 0, 0, 12);
    bomb.op("add", 10, 10, 11, 0);
    bomb.op("jalr", 0, 1, 0, 0);
    while !bomb.is_full() {
        bomb.far(1, 1, TEXT + 4);
    }
    bomb.exit();
}

pub(super) fn through(bomb: &mut Bomb) {
    bomb.op("jal", 0, 0, 0, 8);
    bomb.op("jalr", 0, 1, 0, 0);
    bomb.text.set(5, TEXT + 4);
    while !bomb.is_full() {
        bomb.op("jalr", 1, 5, 0, 0);
        let register = 6 + bomb.below(26) as u8;
        bomb.op("addi", register, register, 0, 1);
    }
    bomb.exit();
}

/// Half of the text calls each halfword of the other half.
pub(super) fn entries(bomb: &mut Bomb) {
    let count = (bomb.len / 10) as u64;
    let functions = TEXT + 8 * count + 12;
    for number in 0..count {
        // From the last one on, so that each returns soon in the beginning.
        bomb.far(1, 1, functions + 2 * (count - 1 - number));
    }
    bomb.exit();
    for number in 0..count {
        let register = 5 + (number % 27) as u8;
        bomb.op("c.addi", register, register, 0, 1);
    }
    bomb.op("c.jr", 0, 1, 0, 0);
}

pub(super) fn cascade(bomb: &mut Bomb) {
    // Address, relative to this function's, of one that is so many further on.
    const LEN: u64 = 4 + 4 * 12 + 8;
    let count = (bomb.len as u64 / LEN).max(8);
    for number in 0..count {
        let start = TEXT + number * LEN;
        debug_assert_eq!(start, bomb.text.here(), "functions have one length");
        let register = 5 + (number % 27) as u8;
        bomb.op("addi", register, register, 0, 1);
        for next in 1..=4 {
            // Skipped when the register that all share says so: or it would not end.
            bomb.op("bne", 0, 5, 0, 12);
            let callee = (number + next * next) % count;
            bomb.far(1, 1, TEXT + callee * LEN);
        }
        bomb.op("addi", 5, 5, 0, 1);
        bomb.op("jalr", 0, 1, 0, 0);
    }
}

pub(super) fn exits(bomb: &mut Bomb) {
    /// Branches of a function.
    const BRANCHES: u64 = 400;
    const LEN: u64 = 27 * 4 + BRANCHES * 4 + 8;
    let count = (bomb.len as u64 / LEN).max(3);
    // Each function is called, so that it is an entry, and branches to the one before it.
    let main = 8 * count + 12;
    for number in 0..count {
        bomb.far(1, 1, TEXT + main + number * LEN);
    }
    bomb.exit();
    for _ in 0..count {
        let start = bomb.text.here();
        bomb.change_registers();
        for _ in 0..BRANCHES {
            let (rs1, rs2) = (bomb.register(), bomb.register());
            let next = (start + LEN).wrapping_sub(bomb.text.here()) as i64 as i32;
            bomb.op("beq", 0, rs1, rs2, next);
        }
        bomb.op("addi", 5, 5, 0, 1);
        bomb.op("jalr", 0, 1, 0, 0);
    }
    bomb.change_registers();
    bomb.op("jalr", 0, 1, 0, 0);
}
