//! Blocks, calls, returns, host calls and exits.

use cranelift_codegen::ir::condcodes::{CondCode as _, IntCC};
use cranelift_codegen::ir::{
    self, AbiParam, BlockArg, InstBuilder as _, JumpTableData, MemFlagsData, SigRef, Signature, SourceLoc,
    Value, types,
};

use cranelift_frontend::Switch;

use super::wide::Halves;
use super::{GUEST_TRAP, OUT_OF_GAS, Protection, Translator, UNREACHABLE};
use crate::compiler::dataflow::{DIRTY_AFTER_UNKNOWN, dirty_after_call, dirty_at_ending};
use crate::compiler::flow::{BlockId, Ending, RA, Target};
use crate::compiler::frame;
use crate::compiler::liveness::Liveness;
use crate::compiler::registers::Registers;
use crate::compiler::summary::{HOST_VISIBLE, SP, Summary, is_tail_call};
use crate::isa::{Class, Op};
use crate::runtime::layout::{self, ExitReason};

const SIGNATURE_EXIT: usize = 1;
const SIGNATURE_HOST: usize = 2;

/// Accesses to the stack that make it worth while to have its host address in a register throughout.
const FRAME_USES: usize = 3;

const LINK: Registers = Registers::one(RA);

impl<'a> Translator<'a> {
    /// Writes the whole function; its entry block is the current one.
    pub(super) fn function(&mut self, entry: ir::Block) {
        let region = self.input.region;
        self.builder.set_srcloc(SourceLoc::new(region.entry));
        let parameters = self.builder.block_params(entry).to_vec();
        // Functions without calls read the base here, once.
        self.base();
        self.set_gas(parameters[0]);
        let own = self.input.facts.own;
        for (register, &value) in own.passed.iter().zip(&parameters[1..]) {
            self.set(register, value);
        }
        self.blocks = region
            .blocks
            .iter()
            .map(|_| self.builder.create_block())
            .collect();
        if self.input.checks_stack {
            self.check_stack();
        }
        self.count_edges();
        self.load_for(0, self.input.facts.loaded_at_entry());
        self.find_frame();
        self.recurses = region.blocks.iter().any(
            |block| matches!(block.ending, Ending::Call { callee, .. } if callee == u64::from(region.entry)),
        );
        let frame_offsets = frame::offsets(region, self.input.summaries);
        self.builder.ins().jump(self.blocks[0], &[]);
        for (id, block) in region.blocks.iter().enumerate() {
            self.enter(self.blocks[id]);
            self.shapes.start(self.input.constants[id]);
            self.pending = self.postponed[id];
            self.halves = Halves::default();
            self.frame_offset = frame_offsets[id];
            for (i, step) in block.steps.iter().enumerate() {
                self.step(step, &block.steps[i + 1..]);
            }
            let pending = std::mem::replace(&mut self.pending, Registers::NONE);
            self.reload(pending);
            self.builder.set_srcloc(SourceLoc::new(block.ending_pc));
            self.pay(self.debts.before_ending(id));
            let dirty = dirty_at_ending(block, self.input.facts.dirty[id]);
            self.ending(id, &block.ending, dirty);
        }
    }

    /// Computes the host address of the stack, where enough accesses go there.
    fn find_frame(&mut self) {
        let accesses = self
            .input
            .region
            .blocks
            .iter()
            .flat_map(|block| &block.steps)
            .filter(|step| step.rs1 == SP && matches!(step.op.class(), Class::Load | Class::Store));
        if self.input.protection == Protection::Checked || accesses.count() < FRAME_USES {
            return;
        }
        let sp = Registers::one(SP);
        if !self.input.facts.own.passed.contains(SP) {
            if !self.input.facts.loaded_at_entry().contains(SP) {
                return;
            }
            self.postponed[0] = self.postponed[0] - sp;
            self.reload(sp);
        }
        let value = self.get(SP);
        self.frame = Some(self.host_address(value));
    }

    /// Counts the edges into each block; the first block has one from outside.
    fn count_edges(&mut self) {
        let blocks = &self.input.region.blocks;
        self.edges_into = vec![0; blocks.len()];
        self.edges_into[0] = 1;
        for next in blocks.iter().flat_map(crate::compiler::flow::Block::successors) {
            self.edges_into[next] += 1;
        }
        self.postponed = vec![Registers::NONE; blocks.len()];
    }

    /// Loads registers on an edge, or leaves that to the block where no other edge leads there.
    fn load_for(&mut self, to: BlockId, registers: Registers) {
        if self.edges_into[to] == 1 {
            self.postponed[to] = registers;
        } else {
            self.reload(registers);
        }
    }

    /// Leaves for the dispatcher, to be called again there, when the host stack has become deep.
    fn check_stack(&mut self) {
        let limit = self.load_context(layout::STACK_LIMIT);
        let pointer = self.builder.ins().get_stack_pointer(types::I64);
        let is_deep = self.compare(IntCC::UnsignedLessThan, pointer, limit);
        let leaves = self.cold_block();
        let goes_on = self.builder.create_block();
        self.builder.ins().brif(is_deep, leaves, &[], goes_on, &[]);
        self.enter(leaves);
        let pc = self.constant(u64::from(self.input.region.entry));
        self.leave(self.input.facts.own.passed, pc, ExitReason::Jump);
        self.enter(goes_on);
    }

    fn cold_block(&mut self) -> ir::Block {
        let block = self.builder.create_block();
        self.builder.set_cold_block(block);
        block
    }

    /// Adds to the gas counter; a carry is out of gas.
    fn pay(&mut self, gas: u64) {
        if gas == 0 || !self.input.meters {
            return;
        }
        let (counter, amount) = (self.gas_value(), self.constant(gas));
        let paid = match self.input.protection {
            Protection::Signals => self.builder.ins().uadd_overflow_trap(counter, amount, OUT_OF_GAS),
            Protection::Checked => {
                let (sum, carry) = self.builder.ins().uadd_overflow(counter, amount);
                self.trap_if(carry);
                sum
            }
        };
        self.set_gas(paid);
    }

    /// Traps where a condition holds.
    pub(super) fn trap_if(&mut self, condition: Value) {
        match self.input.protection {
            Protection::Signals => {
                self.builder.ins().trapnz(condition, GUEST_TRAP);
            }
            Protection::Checked => {
                let traps = self.cold_block();
                let goes_on = self.builder.create_block();
                self.builder.ins().brif(condition, traps, &[], goes_on, &[]);
                self.enter(traps);
                self.exit(ExitReason::Trap);
                self.enter(goes_on);
            }
        }
    }

    fn ending(&mut self, id: BlockId, ending: &Ending, dirty: Registers) {
        match ending {
            Ending::Jump(target) => self.jump(id, *target, dirty),
            Ending::Branch {
                op,
                rs1,
                rs2,
                taken,
                fall,
            } => self.branch(id, (*op, *rs1, *rs2), *taken, *fall, dirty),
            Ending::Call { callee, link, back } if self.input.summaries.knows(*callee) => {
                self.call(id, *callee, *link, *back, dirty);
            }
            Ending::Call { callee, link, back } => {
                let target = self.constant(*callee);
                let wanted = dirty & self.liveness().at(*callee);
                self.call_indirect(id, target, *link, *back, wanted);
            }
            Ending::CallIndirect { rs1, imm, link, back } => {
                let target = self.jump_target(*rs1, *imm);
                let wanted = dirty & self.liveness().at_calls();
                self.call_indirect(id, target, *link, *back, wanted);
            }
            Ending::JumpIndirect {
                rs1,
                imm,
                link,
                candidates,
            } => {
                let target = self.jump_target(*rs1, *imm);
                let mut dirty = dirty;
                if let Some((register, value)) = link {
                    let value = self.constant(*value);
                    self.set(*register, value);
                    dirty |= Registers::one(*register);
                }
                let wanted = dirty & self.liveness().at_jumps();
                if is_tail_call(ending) {
                    self.tail_call_indirect(target, wanted);
                } else if candidates.is_empty() {
                    self.leave(wanted, target, ExitReason::JumpIndirect);
                } else {
                    self.jump_table(id, (*rs1, *imm), target, candidates, dirty);
                }
            }
            Ending::Return => self.return_(dirty, self.input.facts.held_at_ending[id]),
            Ending::Back { link, back } => self.come_back_inside(id, *link, *back, dirty),
            Ending::Ecall { back } => self.host_call(id, *back, dirty),
            Ending::Trap => self.trap(),
        }
    }

    fn trap(&mut self) {
        match self.input.protection {
            Protection::Signals => {
                self.builder.ins().trap(GUEST_TRAP);
            }
            Protection::Checked => self.exit(ExitReason::Trap),
        }
    }

    /// Goes to a target, with what the edge asks for.
    fn jump(&mut self, from: BlockId, target: Target, dirty: Registers) {
        match target {
            Target::Block(to) => {
                self.pay(self.debts.on_edge(from, to));
                self.spill(self.input.facts.stored_on_edge(from, to));
                self.load_for(to, self.input.facts.loaded_on_edge(from, to));
                self.builder.ins().jump(self.blocks[to], &[]);
            }
            Target::Away(next) => {
                self.pay(self.debts.on_exit(from));
                self.go_away(from, next, dirty);
            }
        }
    }

    /// Whether an edge asks for nothing.
    fn is_bare(&self, from: BlockId, to: BlockId) -> bool {
        let facts = self.input.facts;
        self.debts.on_edge(from, to) == 0
            && facts.stored_on_edge(from, to) == Registers::NONE
            && (facts.loaded_on_edge(from, to) == Registers::NONE || self.edges_into[to] == 1)
    }

    /// The block to go to for an edge: the target itself, or a new one for what the edge asks for, which is noted.
    fn edge_block(
        &mut self,
        from: BlockId,
        target: Target,
        edges: &mut Vec<(ir::Block, Target)>,
    ) -> ir::Block {
        match target {
            Target::Block(to) if self.is_bare(from, to) => {
                self.load_for(to, self.input.facts.loaded_on_edge(from, to));
                self.blocks[to]
            }
            _ => {
                let edge = self.builder.create_block();
                edges.push((edge, target));
                edge
            }
        }
    }

    /// Writes the blocks that edges need.
    fn finish_edges(&mut self, from: BlockId, edges: Vec<(ir::Block, Target)>, dirty: Registers) {
        for (edge, target) in edges {
            self.enter(edge);
            self.jump(from, target, dirty);
        }
    }

    /// Goes to another region: by a call that returns for this one, where it is known, else by the dispatcher.
    fn go_away(&mut self, from: BlockId, next: u64, dirty: Registers) {
        if !self.input.summaries.knows(next) {
            return self.go_on_at(next, dirty);
        }
        let callee = self.input.summaries.of(next);
        let held = self.input.facts.held_at_ending[from];
        self.reload(callee.passed - held);
        self.spill((dirty & self.liveness().at(next)) - callee.passed);
        self.call_function(next, callee);
        let held = ((held | callee.passed) - callee.writes) | callee.returned;
        // ra goes back to the caller as it comes, or is what it was at entry.
        self.return_(dirty_after_call(dirty, callee) & held, held);
    }

    fn branch(
        &mut self,
        from: BlockId,
        (op, rs1, rs2): (Op, u8, u8),
        taken: Target,
        fall: Target,
        dirty: Registers,
    ) {
        let (a, b) = (self.get(rs1), self.get(rs2));
        let condition = match op {
            Op::Beq => IntCC::Equal,
            Op::Bne => IntCC::NotEqual,
            Op::Blt => IntCC::SignedLessThan,
            Op::Bge => IntCC::SignedGreaterThanOrEqual,
            Op::Bltu => IntCC::UnsignedLessThan,
            _ => IntCC::UnsignedGreaterThanOrEqual,
        };
        let mut edges = Vec::with_capacity(2);
        let taken_block = self.edge_block(from, taken, &mut edges);
        let fall_block = self.edge_block(from, fall, &mut edges);
        // Cranelift places the second one next. The blocks of a loop have to follow one another, or its register allocator
        // takes what stands between them for part of the loop.
        let stays = |target| match target {
            Target::Block(to) if self.loops.stays(from, to) && !self.recurses => Some(to),
            _ => None,
        };
        if stays(taken) > stays(fall) {
            let fails = self.compare(condition.complement(), a, b);
            self.builder.ins().brif(fails, fall_block, &[], taken_block, &[]);
        } else {
            let holds = self.compare(condition, a, b);
            self.builder.ins().brif(holds, taken_block, &[], fall_block, &[]);
        }
        self.finish_edges(from, edges, dirty);
    }

    /// Target of `jalr`: zext32(rs1) + imm, even.
    fn jump_target(&mut self, rs1: u8, imm: i32) -> Value {
        let value = self.get(rs1);
        let address = self.zero_extended(value);
        let sum = self.builder.ins().iadd_imm_s(address, i64::from(imm));
        self.builder.ins().band_imm_s(sum, -2)
    }

    /// Calls the function of a region of the batch, with its passed registers as they are.
    fn call_function(&mut self, callee: u64, summary: Summary) {
        let function = self.callees.function(self.builder.func, callee as u32);
        let mut arguments = vec![self.gas_value()];
        for register in summary.passed.iter() {
            let value = self.get(register);
            arguments.push(value);
        }
        let call = self.builder.ins().call(function, &arguments);
        let results = self.builder.inst_results(call).to_vec();
        self.set_gas(results[0]);
        for (register, &value) in summary.returned.iter().zip(&results[1..]) {
            self.set(register, value);
        }
    }

    /// Calls an entry thunk, with everything in the context.
    fn call_thunk(&mut self, native: Value) {
        let gas = self.gas_value();
        let call = self.builder.ins().call_indirect(self.thunk, native, &[gas]);
        let gas = self.builder.inst_results(call)[0];
        self.set_gas(gas);
    }

    fn set_link(&mut self, link: u64) {
        let link = self.constant(link);
        self.set(RA, link);
    }

    /// A call to a region of the batch.
    fn call(&mut self, from: BlockId, callee: u64, link: u64, back: Target, dirty: Registers) {
        let summary = self.input.summaries.of(callee);
        self.set_link(link);
        self.spill(((dirty & self.liveness().at(callee)) | LINK) - summary.passed);
        self.call_function(callee, summary);
        let dirty = dirty_after_call(dirty, summary);
        if summary.returned.contains(RA) {
            self.check_return(link, dirty);
        }
        self.come_back(from, link, back, dirty);
    }

    /// Compares the ra that a call came back with, which is where its guest wants to go on, with the link that it was
    /// given. Leaves for the dispatcher where they differ.
    fn check_return(&mut self, link: u64, dirty: Registers) {
        let ra = self.get(RA);
        let link = self.constant(link);
        let is_expected = self.compare(IntCC::Equal, ra, link);
        let goes_on = self.builder.create_block();
        let leaves = self.cold_block();
        self.builder.ins().brif(is_expected, goes_on, &[], leaves, &[]);
        self.enter(leaves);
        let address = self.zero_extended(ra);
        let pc = self.builder.ins().band_imm_s(address, -2);
        self.leave(dirty & self.liveness().at_returns(), pc, ExitReason::Return);
        self.enter(goes_on);
    }

    /// Goes on behind a call.
    fn come_back(&mut self, from: BlockId, link: u64, back: Target, dirty: Registers) {
        self.set_link(link);
        match back {
            Target::Block(_) => self.jump(from, back, dirty),
            Target::Away(next) => {
                let pc = self.constant(next);
                self.leave(dirty & self.liveness().at(next), pc, ExitReason::Return);
            }
        }
    }

    /// Goes on behind a call that was written out. Leaves for the dispatcher where ra is not the link.
    fn come_back_inside(&mut self, from: BlockId, link: u64, back: Target, dirty: Registers) {
        let ra = self.get(RA);
        let link_value = self.constant(link);
        let is_expected = self.compare(IntCC::Equal, ra, link_value);
        let goes_on = self.builder.create_block();
        let leaves = self.cold_block();
        self.builder.ins().brif(is_expected, goes_on, &[], leaves, &[]);
        self.enter(leaves);
        self.pay(self.debts.on_exit(from));
        let address = self.zero_extended(ra);
        let pc = self.builder.ins().band_imm_s(address, -2);
        self.leave(dirty & self.liveness().at_returns(), pc, ExitReason::Return);
        self.enter(goes_on);
        self.set_link(link);
        self.jump(from, back, dirty | LINK);
    }

    fn liveness(&self) -> &Liveness {
        self.input.summaries.liveness()
    }

    /// The native function at a guest address. Where there is none that calls may lead to, leaves for the dispatcher for
    /// `reason`, with everything in the context.
    fn look_up(&mut self, target: Value, reason: ExitReason) -> Value {
        let text = self.input.text;
        let start = self.constant(u64::from(text.start));
        let offset = self.builder.ins().isub(target, start);
        let len = self.constant(text.bytes.len() as u64);
        let inside = self.compare(IntCC::UnsignedLessThan, offset, len);
        let misses = self.cold_block();
        let looks = self.builder.create_block();
        let found = self.builder.create_block();
        self.builder.ins().brif(inside, looks, &[], misses, &[]);
        self.enter(looks);
        let table = self.load_context(layout::ENTRIES);
        // Eight bytes for each halfword of text.
        let scaled = self.builder.ins().ishl_imm_u(offset, 2);
        let slot = self.builder.ins().iadd(table, scaled);
        let flags = MemFlagsData::trusted().with_alias_region(Some(self.context));
        let native = self.builder.ins().load(types::I64, flags, slot, 0);
        // None is 0, and what only the dispatcher may enter is negative.
        let zero = self.constant(0);
        let may_enter = self.compare(IntCC::SignedGreaterThan, native, zero);
        self.builder.ins().brif(may_enter, found, &[], misses, &[]);
        self.enter(misses);
        self.leave(Registers::NONE, target, reason);
        self.enter(found);
        native
    }

    /// A call to what is not in the batch. `wanted` is what is dirty and may be read there.
    fn call_indirect(&mut self, from: BlockId, target: Value, link: u64, back: Target, wanted: Registers) {
        self.set_link(link);
        self.spill(wanted | LINK);
        let native = self.look_up(target, ExitReason::Call);
        self.call_thunk(native);
        self.reload(LINK);
        self.check_return(link, Registers::NONE);
        self.come_back(from, link, back, DIRTY_AFTER_UNKNOWN);
    }

    /// A jump through a register, made as a call that returns for this function.
    fn tail_call_indirect(&mut self, target: Value, wanted: Registers) {
        self.spill(wanted);
        let native = self.look_up(target, ExitReason::JumpIndirect);
        self.call_thunk(native);
        self.return_(Registers::NONE, Registers::NONE);
    }

    /// Returns, with what is not held in the context. The caller looks at ra.
    fn return_(&mut self, dirty: Registers, held: Registers) {
        let own = self.input.facts.own;
        self.spill(own.stored_at_return(dirty, self.liveness()));
        self.reload(own.returned - held);
        let mut results = vec![self.gas_value()];
        for register in own.returned.iter() {
            let value = self.get(register);
            results.push(value);
        }
        self.builder.ins().return_(&results);
    }

    /// A jump to one of the addresses that data names. By its index, where it is a jump table that can be seen through;
    /// else by a search for the address.
    fn jump_table(
        &mut self,
        from: BlockId,
        (register, imm): (u8, i32),
        target: Value,
        candidates: &[(u32, BlockId)],
        dirty: Registers,
    ) {
        let misses = self.cold_block();
        let mut edges = Vec::new();
        let blocks: Vec<(u32, ir::Block)> = candidates
            .iter()
            .map(|&(address, to)| (address, self.edge_block(from, Target::Block(to), &mut edges)))
            .collect();
        match self.switch(register, imm, &blocks) {
            Some(table) => self.dispatch(&table, &blocks, misses),
            None => {
                let mut switch = Switch::new();
                for &(address, block) in &blocks {
                    switch.set_entry(u128::from(address), block);
                }
                switch.emit(&mut self.builder, target, misses);
            }
        }
        self.enter(misses);
        self.pay(self.debts.on_exit(from));
        self.leave(
            dirty & self.liveness().at_jumps(),
            target,
            ExitReason::JumpIndirect,
        );
        self.finish_edges(from, edges, dirty);
    }

    /// Jumps by the index of a jump table; what is not in it goes to `misses`.
    fn dispatch(&mut self, table: &super::switch::Switch, blocks: &[(u32, ir::Block)], misses: ir::Block) {
        let mut find = |address: &u32| {
            let found = blocks.binary_search_by_key(address, |&(address, _)| address);
            let block = found.map_or(misses, |found| blocks[found].1);
            self.builder.func.dfg.block_call(block, &[] as &[BlockArg])
        };
        let entries: Vec<_> = table.targets.iter().map(&mut find).collect();
        let default = find(&0);
        let entries_len = entries.len() as u64;
        let data = self
            .builder
            .create_jump_table(JumpTableData::new(default, &entries));
        // `br_table` looks at 32 bits of the index.
        if !self.fits_word(table.index) {
            let len = self.constant(entries_len);
            let inside = self.compare(IntCC::UnsignedLessThan, table.index, len);
            let jumps = self.builder.create_block();
            self.builder.ins().brif(inside, jumps, &[], misses, &[]);
            self.enter(jumps);
        }
        let index = self.low_word(table.index);
        self.builder.ins().br_table(index, data);
    }

    /// Calls the host, which sees and changes what `ecall` allows.
    fn host_call(&mut self, from: BlockId, back: Target, dirty: Registers) {
        self.spill(dirty & HOST_VISIBLE);
        let gas = self.gas_value();
        self.store_context(layout::GAS, gas);
        let pc = self.constant(u64::from(self.input.region.blocks[from].ending_pc));
        self.store_context(layout::PC, pc);
        let signature = self.helper_signature(SIGNATURE_HOST, 1, true);
        let shim = self.load_context(layout::HOST_CALL);
        let base = self.base();
        let call = self.builder.ins().call_indirect(signature, shim, &[base]);
        let ends = self.builder.inst_results(call)[0];
        let leaves = self.cold_block();
        let goes_on = self.builder.create_block();
        self.builder.ins().brif(ends, leaves, &[], goes_on, &[]);
        self.enter(leaves);
        self.spill(dirty - HOST_VISIBLE);
        self.exit(ExitReason::Ended);
        self.enter(goes_on);
        let gas = self.load_context(layout::GAS);
        self.set_gas(gas);
        match back {
            Target::Block(_) => self.jump(from, back, dirty - HOST_VISIBLE),
            Target::Away(next) => {
                let pc = self.constant(next);
                let wanted = (dirty - HOST_VISIBLE) & self.liveness().at(next);
                self.leave(wanted, pc, ExitReason::HostReturn);
            }
        }
    }

    /// Goes on by the dispatcher at an address that is known.
    fn go_on_at(&mut self, next: u64, dirty: Registers) {
        let pc = self.constant(next);
        self.leave(dirty & self.liveness().at(next), pc, ExitReason::Jump);
    }

    /// Goes on at `pc` by the dispatcher, which is told what kind of jump that is; `wanted` is stored before.
    fn leave(&mut self, wanted: Registers, pc: Value, reason: ExitReason) {
        self.spill(wanted);
        let gas = self.gas_value();
        self.store_context(layout::GAS, gas);
        self.store_context(layout::PC, pc);
        self.exit(reason);
    }

    /// Drops the host stack and returns from the trampoline.
    fn exit(&mut self, reason: ExitReason) {
        let signature = self.helper_signature(SIGNATURE_EXIT, 2, false);
        let stub = self.load_context(layout::EXIT);
        let reason = self.constant(reason as u64);
        let base = self.base();
        self.builder.ins().call_indirect(signature, stub, &[base, reason]);
        self.builder.ins().trap(UNREACHABLE);
    }

    pub(super) fn helper_signature(&mut self, slot: usize, parameters: usize, returns: bool) -> SigRef {
        if let Some(signature) = self.helper_signatures[slot] {
            return signature;
        }
        let mut signature = Signature::new(self.input.convention);
        signature.params = vec![AbiParam::new(types::I64); parameters];
        signature.returns = vec![AbiParam::new(types::I64); usize::from(returns)];
        let signature = self.builder.import_signature(signature);
        self.helper_signatures[slot] = Some(signature);
        signature
    }
}
