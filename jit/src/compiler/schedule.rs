//! Instructions of a block in the order of the program again.
//!
//! Cranelift's optimiser takes what only computes out of the order it was written in, and puts it back where it is first
//! needed by something that stays in its place: a load, a store, a call, a branch. In a long line of code, a hash say,
//! which loads all the time and stores at the end, every load then comes before all arithmetic, and hundreds of values are
//! alive at once. The guest's compiler had put them into an order in which 31 registers are enough: a computation that is the
//! last to need a value goes back to where it was. One that needs what is alive anyway stays late.

use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::{Block, Function, Inst, Opcode, Value};

/// Reorders the blocks of an optimised function whose first `written` instructions were written in the order of the program.
pub(crate) fn in_program_order(function: &mut Function, written: usize) {
    let mut scheduler = Scheduler {
        written: written as u32,
        places: SecondaryMap::with_default(LAST),
        last_uses: SecondaryMap::with_default(0),
        used_elsewhere: SecondaryMap::with_default(false),
    };
    let blocks: Vec<Block> = function.layout.blocks().collect();
    for &block in &blocks {
        scheduler.note_uses(function, block);
    }
    let mut order = Vec::new();
    for block in blocks {
        order.clear();
        order.extend(function.layout.block_insts(block));
        scheduler.place(function, block, &order);
        // Stable: what has the same place keeps its order.
        order.sort_by_key(|&inst| scheduler.places[inst]);
        for &inst in &order {
            function.layout.remove_inst(inst);
        }
        for &inst in &order {
            function.layout.append_inst(inst, block);
        }
    }
}

/// Place of what ends a block, and of what nothing else has a place for.
const LAST: u32 = u32::MAX;

struct Scheduler {
    /// Instructions with smaller numbers are in the order of the program.
    written: u32,
    /// Where in that order each instruction is to be.
    places: SecondaryMap<Inst, u32>,
    /// Place of the last use of each value that is used in its own block alone.
    last_uses: SecondaryMap<Value, u32>,
    /// Values that are used in other blocks than their own.
    used_elsewhere: SecondaryMap<Value, bool>,
}

impl Scheduler {
    fn note_uses(&mut self, function: &Function, block: Block) {
        for inst in function.layout.block_insts(block) {
            for value in function.dfg.inst_values(inst) {
                if home(function, value) != Some(block) {
                    self.used_elsewhere[value] = true;
                }
            }
        }
    }

    /// Gives the instructions of a block, in the order that they are in, their places: never behind those of what uses
    /// them, never before those of what they use.
    fn place(&mut self, function: &Function, block: Block, order: &[Inst]) {
        let dfg = &function.dfg;
        let mut reached = 0;
        for &inst in order {
            if moves(function, inst) {
                self.places[inst] = LAST;
            } else {
                if inst.as_u32() < self.written {
                    reached = reached.max(inst.as_u32());
                }
                self.places[inst] = reached;
            }
        }
        if let Some(&last) = order.last() {
            self.places[last] = LAST;
        }
        for &inst in order {
            let place = if moves(function, inst) {
                inst.as_u32()
            } else {
                self.places[inst]
            };
            for value in dfg.inst_values(inst) {
                self.last_uses[value] = self.last_uses[value].max(place);
            }
        }
        for &inst in order.iter().rev() {
            if moves(function, inst) && inst.as_u32() < self.written {
                let frees = dfg.inst_values(inst).any(|value| {
                    home(function, value) == Some(block)
                        && !self.used_elsewhere[value]
                        && self.last_uses[value] == inst.as_u32()
                });
                if frees {
                    self.places[inst] = self.places[inst].min(inst.as_u32());
                }
            }
            let place = self.places[inst];
            for value in dfg.inst_values(inst) {
                if let Some(used) = defined_in(function, value, block).filter(|&used| moves(function, used)) {
                    self.places[used] = self.places[used].min(place);
                }
            }
        }
        for &inst in order {
            self.places[inst] = dfg
                .inst_values(inst)
                .filter_map(|value| defined_in(function, value, block))
                .fold(self.places[inst], |place, used| place.max(self.places[used]));
        }
    }
}

/// The block that a value is of.
fn home(function: &Function, value: Value) -> Option<Block> {
    match function.dfg.value_def(value) {
        cranelift_codegen::ir::ValueDef::Result(inst, _) => function.layout.inst_block(inst),
        cranelift_codegen::ir::ValueDef::Param(block, _) => Some(block),
        _ => None,
    }
}

fn defined_in(function: &Function, value: Value, block: Block) -> Option<Inst> {
    let inst = function.dfg.value_def(value).inst()?;
    (function.layout.inst_block(inst) == Some(block)).then_some(inst)
}

/// Whether an instruction only computes, so that its place among others does not matter.
fn moves(function: &Function, inst: Inst) -> bool {
    only_computes(function.dfg.insts[inst].opcode()) && function.dfg.inst_results(inst).len() == 1
}

fn only_computes(opcode: Opcode) -> bool {
    !(opcode.can_load()
        || opcode.can_store()
        || opcode.can_trap()
        || opcode.is_call()
        || opcode.is_terminator()
        || opcode.other_side_effects())
}
