//! The loop: from the hart's pc to the next `ecall` or trap.

use std::cell::OnceCell;

use super::code::{FAR, Leave, Slot, Text};
use super::handlers::{At, HANDLERS, LINES};
use super::operations::{End, Rest, immediate, jump_through_register};
use super::{Hart, Meter, SINK, Stop, Transfer, Watch, kind_of_jump};
use crate::isa::Op;
use crate::runtime::{AddressSpace, Jump, JumpKind, TrapKind};

/// Runs until something leaves the machine.
///
/// Three loops: pages, the straight lines on them that handlers do not go on to by themselves, and what handlers execute.
// Out of line, so that it has its registers to itself: inlined into its caller it ran a third slower.
#[inline(never)]
pub(super) fn execute<W: Watch>(
    hart: &mut Hart,
    text: &Text<'_>,
    mut memory: AddressSpace<'_>,
    watch: &mut W,
) -> Stop {
    let cut = OnceCell::new();
    let Hart {
        registers,
        pc,
        gas,
        instructions,
        reservation,
        fcsr,
        meter,
    } = hart;
    let meter = *meter;
    let mut rest = Rest {
        gas: *gas,
        executed: *instructions,
        line: At::new(&[], 0),
        lines: 0,
        base: 0,
        trap: TrapKind::IllegalInstruction,
        reservation,
        fcsr,
    };
    let mut next_pc = *pc;
    let (stop, stop_pc) = 'page: loop {
        let Some((page, mut index)) = text.find(next_pc) else {
            break (Stop::Trap(TrapKind::FetchFault), next_pc);
        };
        rest.base = page.base;
        let mut slots: &[Slot] = &page.slots;
        'line: loop {
            match rest.gas.checked_sub(u64::from(slots[index].gas)) {
                Some(left) => rest.gas = left,
                None => slots = cut.get_or_init(|| text.cut_line(slots, index, rest.gas)),
            }
            rest.line = At::new(slots, index);
            rest.lines = if W::ACTIVE { 0 } else { LINES };
            let mut code = usize::from(slots[index].code);
            loop {
                let at = At::new(slots, index);
                // SAFETY: the slots are a page's or were cut from one, both with codes, and outlive the call; the handler
                // is that of the slot's code or operation.
                let (at, end) = unsafe { HANDLERS[code](at, registers, memory.reborrow(), &mut rest) };
                let last = at.index(slots);
                let slot = &slots[last];
                if end == End::Pause {
                    (index, code) = (last, slot.op as usize);
                    continue;
                }
                rest.executed += at.behind(rest.line);
                match end {
                    End::Through => {
                        rest.executed += 1;
                        index = last + 1;
                        continue 'line;
                    }
                    End::Taken => {
                        rest.executed += 1;
                        if W::ACTIVE || slot.target == FAR {
                            next_pc = rest.pc(slot).wrapping_add(immediate(slot));
                            if W::OBSERVES {
                                // Branches have no destination, and their second source is no length.
                                let kind = match slot.op {
                                    Op::Jal => kind_of_jump(slot.rd, 0, rest.link(slot)),
                                    _ => JumpKind::Within,
                                };
                                watch.jumped(jump(&rest, slot, next_pc, kind, meter));
                            }
                            if watch.stops_at(next_pc) {
                                break 'page (Stop::Watched, next_pc);
                            }
                        }
                        if slot.target == FAR {
                            continue 'page;
                        }
                        index = slot.leads_to(last);
                        continue 'line;
                    }
                    End::Trap => break 'page (Stop::Trap(rest.trap), rest.pc(slot)),
                    End::Leaves | End::Pause => {}
                }
                match slot.op {
                    Op::Jalr => {
                        rest.executed += 1;
                        next_pc = jump_through_register(slot, registers, &rest);
                        if W::ACTIVE {
                            let rd = if slot.rd == SINK { 0 } else { slot.rd };
                            let transfer = Transfer::of(rd, slot.rs1, i64::from(slot.imm));
                            if !watch.permits(transfer, next_pc) {
                                break 'page (Stop::Strayed, next_pc);
                            }
                        }
                        if W::OBSERVES {
                            let kind = kind_of_jump(slot.rd, slot.rs1, rest.link(slot));
                            watch.jumped(jump(&rest, slot, next_pc, kind, meter));
                        }
                        if watch.stops_at(next_pc) {
                            break 'page (Stop::Watched, next_pc);
                        }
                        continue 'page;
                    }
                    Op::Ecall => {
                        rest.executed += 1;
                        break 'page (Stop::Ecall, rest.pc(slot));
                    }
                    _ => match Leave::of(slot) {
                        Leave::Trap(kind) => break 'page (Stop::Trap(kind), rest.pc(slot)),
                        Leave::Goto => {
                            index = slot.leads_to(last);
                            rest.line = At::new(slots, index);
                            code = usize::from(slots[index].code);
                        }
                        Leave::Page => {
                            next_pc = rest.pc(slot);
                            continue 'page;
                        }
                    },
                }
            }
        }
    };
    (*pc, *gas, *instructions) = (stop_pc, rest.gas, rest.executed);
    stop
}

/// The jump that a slot has taken, for whoever observes.
fn jump(rest: &Rest<'_>, slot: &Slot, to: u64, kind: JumpKind, meter: Meter) -> Jump {
    Jump {
        from: rest.pc(slot),
        to,
        kind,
        gas_left: meter.gas_left(rest.gas),
    }
}
