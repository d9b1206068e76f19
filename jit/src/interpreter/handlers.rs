//! Handlers: host functions that execute a slot, or two, and go on to the handler of the next.
//!
//! A handler ends by calling the next one, a call that optimizing compilers make a jump. What the machine needs most is in
//! the host's registers all the while, as arguments, and each handler has a jump of its own for the host to predict.
//!
//! Nothing rests on those calls being jumps: handlers go back to the loop at every [`REACH`] slots, and behind every
//! [`LINES`] lines, so that without it calls nest no deeper than the product. Where a watch wants to hear of jumps, behind
//! every line.
//!
//! What often comes in pairs has handlers for both at once. A pair is a matter of its first slot's code; the second slot
//! stays what it is, and can be jumped to. Where the second operation reads what the first computed, it has it without
//! reading it back from where registers lie, which takes longer than most operations.

use super::Registers;
use super::code::{FAR, Slot};
use super::operations::{self as ops, End, Last, Rest, Step};
use crate::isa::{Class, Op};
use crate::runtime::AddressSpace;

/// Slots that handlers execute in a row at most.
const REACH: usize = 64;

/// Lines that handlers go on to before they go back to the loop.
pub(super) const LINES: u32 = 16;

/// A slot of a laid out page.
#[derive(Clone, Copy, Debug)]
pub(super) struct At(*const Slot);

impl At {
    /// The slot with this number.
    pub(super) fn new(slots: &[Slot], index: usize) -> Self {
        assert!(index <= slots.len(), "slot {index} of {}", slots.len());
        // From the whole of them: targets lie on either side.
        Self(slots.as_ptr().wrapping_add(index))
    }

    /// The number among these slots, which are those that it was made of.
    pub(super) fn index(self, slots: &[Slot]) -> usize {
        (self.0.addr() - slots.as_ptr().addr()) / size_of::<Slot>()
    }

    /// How many slots it is behind another of the same page.
    #[inline(always)]
    pub(super) fn behind(self, other: Self) -> u64 {
        ((self.0.addr() - other.0.addr()) / size_of::<Slot>()) as u64
    }

    /// # Safety
    /// The slots that it was made of live as long as `'a`.
    #[inline(always)]
    unsafe fn slot<'a>(self) -> &'a Slot {
        // SAFETY: it points at one of those slots.
        unsafe { &*self.0 }
    }

    /// The next slot.
    ///
    /// # Safety
    /// The slots that it was made of live, and another one follows, as behind every instruction.
    #[inline(always)]
    unsafe fn following(self) -> Self {
        // SAFETY: the slots are one allocation, and this one is not the last.
        Self(unsafe { self.0.add(1) })
    }

    /// Where a branch or direct jump leads.
    ///
    /// # Safety
    /// The slots that it was made of live, and its target is one of them.
    #[inline(always)]
    unsafe fn target(self) -> Self {
        // SAFETY: the slots are one allocation, and the target is among them.
        Self(unsafe { self.0.offset(isize::from(self.slot().target)) })
    }
}

/// Executes a slot and those behind it. Gives the slot where that came to an end, and how.
///
/// # Safety
/// `at` is among slots that were laid out and given codes, which outlive the call. The handler is that of its code, or of its
/// operation.
pub(super) type Handler =
    unsafe fn(at: At, registers: &mut Registers, memory: AddressSpace<'_>, rest: &mut Rest<'_>) -> (At, End);

#[inline(always)]
unsafe fn next(
    at: At,
    registers: &mut Registers,
    memory: AddressSpace<'_>,
    rest: &mut Rest<'_>,
) -> (At, End) {
    // SAFETY: whoever calls answers for the slot; codes are numbers of handlers, see `give_codes`.
    unsafe { HANDLERS.get_unchecked(usize::from(at.slot().code))(at, registers, memory, rest) }
}

unsafe fn one<A: Step>(
    at: At,
    registers: &mut Registers,
    mut memory: AddressSpace<'_>,
    rest: &mut Rest<'_>,
) -> (At, End) {
    // SAFETY: a handler's promise.
    let slot = unsafe { at.slot() };
    let a = registers[usize::from(slot.rs1)];
    if A::run(slot, a, registers, &mut memory, rest).is_none() {
        return (at, End::Trap);
    }
    // SAFETY: a handler's promise, and the slot is an instruction.
    unsafe { next(at.following(), registers, memory, rest) }
}

unsafe fn last<A: Last>(
    at: At,
    registers: &mut Registers,
    memory: AddressSpace<'_>,
    rest: &mut Rest<'_>,
) -> (At, End) {
    // SAFETY: a handler's promise.
    let slot = unsafe { at.slot() };
    let end = A::end(slot, registers[usize::from(slot.rs1)], registers, rest);
    // SAFETY: the same, and the line ended there.
    unsafe { next_line(at, end, registers, memory, rest) }
}

/// Goes on behind a line, if that is on this page and the gas for the next is there; else the loop will.
///
/// # Safety
/// As a handler, whose slot is one that ends a line, as it did.
#[inline(always)]
unsafe fn next_line(
    at: At,
    end: End,
    registers: &mut Registers,
    memory: AddressSpace<'_>,
    rest: &mut Rest<'_>,
) -> (At, End) {
    // SAFETY: a handler's promise; a target that is not far is a slot of the same page, and behind a line is a slot.
    let next_at = unsafe {
        match end {
            End::Through => at.following(),
            End::Taken if at.slot().target != FAR => at.target(),
            _ => return (at, end),
        }
    };
    // SAFETY: the same.
    let first = unsafe { next_at.slot() };
    let (Some(lines), Some(gas)) = (
        rest.lines.checked_sub(1),
        rest.gas.checked_sub(u64::from(first.gas)),
    ) else {
        return (at, end);
    };
    (rest.lines, rest.gas) = (lines, gas);
    rest.executed += at.behind(rest.line) + 1;
    rest.line = next_at;
    // SAFETY: it is a slot of the same page.
    unsafe { next(next_at, registers, memory, rest) }
}

/// The first half of a pair; then the second slot and its first source, which with `FORWARD` is what the first computed.
#[inline(always)]
unsafe fn first_of_two<A: Step, const FORWARD: bool>(
    at: At,
    registers: &mut Registers,
    memory: &mut AddressSpace<'_>,
    rest: &mut Rest<'_>,
) -> Option<(At, u64)> {
    // SAFETY: a handler's promise, and the first slot is an instruction.
    let (slot, behind, second) = unsafe { (at.slot(), at.following(), at.following().slot()) };
    let value = A::run(slot, registers[usize::from(slot.rs1)], registers, memory, rest)?;
    let a = if FORWARD {
        value
    } else {
        registers[usize::from(second.rs1)]
    };
    Some((behind, a))
}

unsafe fn two<A: Step, B: Step, const FORWARD: bool>(
    at: At,
    registers: &mut Registers,
    mut memory: AddressSpace<'_>,
    rest: &mut Rest<'_>,
) -> (At, End) {
    // SAFETY: the same promise; the code is that of a pair.
    let Some((at_second, a)) = (unsafe { first_of_two::<A, FORWARD>(at, registers, &mut memory, rest) })
    else {
        return (at, End::Trap);
    };
    // SAFETY: a handler's promise.
    if B::run(unsafe { at_second.slot() }, a, registers, &mut memory, rest).is_none() {
        return (at_second, End::Trap);
    }
    // SAFETY: a handler's promise, and the second slot is an instruction too.
    unsafe { next(at_second.following(), registers, memory, rest) }
}

unsafe fn two_last<A: Step, B: Last, const FORWARD: bool>(
    at: At,
    registers: &mut Registers,
    mut memory: AddressSpace<'_>,
    rest: &mut Rest<'_>,
) -> (At, End) {
    // SAFETY: the same promise; the code is that of a pair.
    let Some((at_second, a)) = (unsafe { first_of_two::<A, FORWARD>(at, registers, &mut memory, rest) })
    else {
        return (at, End::Trap);
    };
    // SAFETY: a handler's promise.
    let end = B::end(unsafe { at_second.slot() }, a, registers, rest);
    // SAFETY: the same, and the line ended there.
    unsafe { next_line(at_second, end, registers, memory, rest) }
}

unsafe fn pause(at: At, _: &mut Registers, _: AddressSpace<'_>, _: &mut Rest<'_>) -> (At, End) {
    (at, End::Pause)
}

/// The code of slots at which handlers go back to the loop.
const PAUSE: u16 = 255;
/// Codes below are operations and [`PAUSE`].
const FIRST_PAIR: usize = 256;
const _: () = assert!(Op::ALL.len() <= PAUSE as usize, "an operation is its own code");

macro_rules! pairs {
    (steps { $($step:ident)* } lasts { $($last:ident($operation:ident))* }) => {
        /// What a pair may begin with.
        pub(super) const FIRSTS: &[Op] = &[$(Op::$step),*];
        /// What a pair may end with.
        pub(super) const SECONDS: &[Op] = &[$(Op::$step,)* $(Op::$last),*];

        const fn pairs<const FORWARD: bool>() -> [[Handler; SECONDS.len()]; FIRSTS.len()] {
            pairs!(@rows [$($step)*] [$($step)*] [$($operation)*])
        }
    };
    (@rows [$($first:ident)*] $steps:tt $lasts:tt) => {
        [$(pairs!(@row $first $steps $lasts)),*]
    };
    (@row $first:ident [$($step:ident)*] [$($last:ident)*]) => {
        [
            $(two::<ops::$first, ops::$step, FORWARD>,)*
            $(two_last::<ops::$first, ops::$last, FORWARD>,)*
        ]
    };
}

// What compiled programs execute most.
pairs! {
    steps {
        Addi Add Sub Xor And Or Andi Slli Srli Addiw Addw Slliw Srliw Roriw Rori Lui Sltu Mul Mulhu Sh3add
        Ld Lw Lwu Lbu Sd Sw Sb
    }
    lasts { Beq(Beq) Bne(Bne) Blt(Blt) Bge(Bge) Bltu(Bltu) Bgeu(Bgeu) Jal(Jal) Jalr(Leaving) }
}

const CODES: usize = FIRST_PAIR + 2 * FIRSTS.len() * SECONDS.len();

/// The handlers of all codes.
pub(super) static HANDLERS: [Handler; CODES] = handlers();

const fn handlers() -> [Handler; CODES] {
    let mut table: [Handler; CODES] = [last::<ops::Leaving>; CODES];
    table[PAUSE as usize] = pause;
    macro_rules! put {
        ($($op:ident)*) => { $(table[Op::$op as usize] = one::<ops::$op>;)* };
    }
    macro_rules! put_as {
        ($handler:expr; $($op:ident)*) => { $(table[Op::$op as usize] = $handler;)* };
    }
    ops::with_computations!(put);
    put!(Auipc Lb Lh Lw Ld Lbu Lhu Lwu Flw Fld Sb Sh Sw Sd Fsw Fsd);
    put_as!(one::<ops::Fence>; Fence FenceI);
    put_as!(one::<ops::Csr>; Csrrw Csrrs Csrrc);
    put_as!(one::<ops::CsrImmediate>; Csrrwi Csrrsi Csrrci);
    macro_rules! put_last {
        ($($op:ident)*) => { $(table[Op::$op as usize] = last::<ops::$op>;)* };
    }
    put_last!(Beq Bne Blt Bge Bltu Bgeu Jal);
    let mut i = 0;
    while i < Op::ALL.len() {
        let op = Op::ALL[i];
        if matches!(op.class(), Class::Atomic) {
            table[op as usize] = one::<ops::Atomic>;
        } else if op.class().is_float() {
            table[op as usize] = one::<ops::Float>;
        }
        i += 1;
    }
    put_pairs(&mut table, FIRST_PAIR, pairs::<false>());
    put_pairs(
        &mut table,
        FIRST_PAIR + FIRSTS.len() * SECONDS.len(),
        pairs::<true>(),
    );
    table
}

const fn put_pairs(
    table: &mut [Handler; CODES],
    start: usize,
    pairs: [[Handler; SECONDS.len()]; FIRSTS.len()],
) {
    let mut i = 0;
    while i < FIRSTS.len() * SECONDS.len() {
        table[start + i] = pairs[i / SECONDS.len()][i % SECONDS.len()];
        i += 1;
    }
}

/// The place of each operation in a list of them.
const fn places(list: &[Op]) -> [Option<u8>; FIRST_PAIR] {
    let mut places = [None; FIRST_PAIR];
    let mut i = 0;
    while i < list.len() {
        places[list[i] as usize] = Some(i as u8);
        i += 1;
    }
    places
}

/// The code of two slots, if they are a pair.
fn pair(first: &Slot, second: &Slot) -> Option<u16> {
    static IN_FIRSTS: [Option<u8>; FIRST_PAIR] = places(FIRSTS);
    static IN_SECONDS: [Option<u8>; FIRST_PAIR] = places(SECONDS);
    let row = usize::from(IN_FIRSTS[first.op as usize]?);
    let column = usize::from(IN_SECONDS[second.op as usize]?);
    let forwards = computes(first.op) && first.rd == second.rs1;
    let row = row + if forwards { FIRSTS.len() } else { 0 };
    Some((FIRST_PAIR + row * SECONDS.len() + column) as u16)
}

/// Whether an operation of a pair has a destination.
fn computes(op: Op) -> bool {
    !matches!(
        op.class(),
        Class::Store | Class::Branch | Class::Jal | Class::Jalr
    )
}

/// Whether the sources of an operation may be exchanged.
const fn commutes(op: Op) -> bool {
    matches!(
        op,
        Op::Add | Op::Addw | Op::Xor | Op::And | Op::Or | Op::Mul | Op::Mulhu | Op::Beq | Op::Bne
    )
}

/// Gives each slot of a page its code: a pair's where it is one with the slot behind it.
pub(super) fn give_codes(slots: &mut [Slot]) {
    give_single_codes(slots);
    for index in 1..slots.len() {
        let [first, second] = &mut slots[index - 1..=index] else {
            unreachable!("two slots");
        };
        if first.code == PAUSE || second.code == PAUSE {
            continue;
        }
        if computes(first.op) && commutes(second.op) && first.rd == second.rs2 {
            (second.rs1, second.rs2) = (second.rs2, second.rs1);
        }
        first.code = pair(first, second).unwrap_or(first.code);
    }
}

/// Whether a slot is executed together with the one behind it.
#[cfg(test)]
pub(super) fn is_pair(slot: &Slot) -> bool {
    usize::from(slot.code) >= FIRST_PAIR
}

/// Gives each slot a code that executes it alone.
pub(super) fn give_single_codes(slots: &mut [Slot]) {
    for (index, slot) in slots.iter_mut().enumerate() {
        slot.code = if index % REACH == REACH - 1 {
            PAUSE
        } else {
            slot.op as u16
        };
    }
}
