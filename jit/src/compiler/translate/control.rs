//! Blocks, calls, returns, host calls and exits.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    self, AbiParam, InstBuilder as _, MemFlagsData, SigRef, Signature, SourceLoc, Value,
    types,
};

use cranelift_frontend::Switch;

use super::switch::Shapes;
use super::{GUEST_TRAP, OUT_OF_GAS, Protection, Translator, UNREACHABLE};
use crate::compiler::dataflow::{
    A0, A1, DIRTY_AFTER_UNKNOWN, HOST_VISIBLE, PASSED, SP, dirty_after_call, dirty_at_ending, is_tail_call,
    reloaded,
};
use crate::compiler::flow::{BlockId, Ending, RA, Target};
use crate::compiler::registers::Registers;
use crate::isa::Op;
use crate::runtime::layout::{self, ExitReason};

const SIGNATURE_EXIT: usize = 1;
const SIGNATURE_HOST: usize = 2;

/// Registers that come back from any native call in host registers or are known behind it.
const RETURNED: Registers = Registers::of(&[A0, RA]);

impl Translator<'_> {
    /// Writes the whole function; its entry block is the current one.
    pub(super) fn function(&mut self, entry: ir::Block) {
        let region = self.input.region;
        self.builder.set_srcloc(SourceLoc::new(region.entry));
        let &[_, gas, sp, a0, a1, ra] = self.builder.block_params(entry) else {
            unreachable!("the signature has six parameters")
        };
        self.first_ra = ra;
        self.set_gas(gas);
        for (register, value) in [(SP, sp), (A0, a0), (A1, a1), (RA, ra)] {
            self.set(register, value);
        }
        self.blocks = region.blocks.iter().map(|_| self.builder.create_block()).collect();
        if self.input.checks_stack {
            self.check_stack();
        }
        self.reload(self.input.facts.live[0] - PASSED);
        self.builder.ins().jump(self.blocks[0], &[]);
        for (id, block) in region.blocks.iter().enumerate() {
            self.builder.switch_to_block(self.blocks[id]);
            self.shapes = Shapes::new(self.input.constants[id]);
            for step in &block.steps {
                self.step(step);
            }
            self.builder.set_srcloc(SourceLoc::new(block.ending_pc));
            self.pay(self.debts.before_ending(id));
            let dirty = dirty_at_ending(block, self.input.facts.dirty[id]);
            self.ending(id, &block.ending, dirty);
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
        self.builder.switch_to_block(leaves);
        let pc = self.constant(u64::from(self.input.region.entry));
        self.leave(PASSED, pc);
        self.builder.switch_to_block(goes_on);
    }

    fn cold_block(&mut self) -> ir::Block {
        let block = self.builder.create_block();
        self.builder.set_cold_block(block);
        block
    }

    /// Adds to the gas counter; a carry is out of gas.
    fn pay(&mut self, gas: u64) {
        if gas == 0 {
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
                self.builder.switch_to_block(traps);
                self.exit(ExitReason::Trap);
                self.builder.switch_to_block(goes_on);
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
                self.call(ending, *callee, *link, *back, dirty);
            }
            Ending::Call { callee, link, back } => {
                let target = self.constant(*callee);
                self.call_indirect(ending, target, *link, *back, dirty);
            }
            Ending::CallIndirect { rs1, imm, link, back } => {
                let target = self.jump_target(*rs1, *imm);
                self.call_indirect(ending, target, *link, *back, dirty);
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
                if is_tail_call(ending) {
                    self.tail_call_indirect(target, dirty);
                } else if candidates.is_empty() {
                    self.leave(dirty, target);
                } else {
                    self.jump_table(*rs1, *imm, target, candidates, dirty);
                }
            }
            Ending::Return => self.return_checked(dirty),
            Ending::Ecall { back } => self.host_call(id, ending, *back, dirty),
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

    /// Goes to a target, paying what is owed on the edge.
    fn jump(&mut self, from: BlockId, target: Target, dirty: Registers) {
        match target {
            Target::Block(to) => {
                self.pay(self.debts.on_edge(from, to));
                self.builder.ins().jump(self.blocks[to], &[]);
            }
            Target::Away(next) => {
                self.pay(self.debts.on_exit(from));
                self.go_away(next, dirty);
            }
        }
    }

    /// Goes to another region: by a call that returns for this one, where it is known, else by the dispatcher.
    fn go_away(&mut self, next: u64, dirty: Registers) {
        if !self.input.summaries.knows(next) {
            let pc = self.constant(next);
            return self.leave(dirty, pc);
        }
        self.spill(dirty - PASSED);
        let function = self.callees.function(self.builder.func, next as u32);
        let arguments = self.arguments(None);
        let call = self.builder.ins().call(function, &arguments);
        let summary = self.input.summaries.of(next);
        self.take_results(call, true);
        self.return_after_tail_call(dirty_after_call(dirty, summary));
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
        let holds = self.compare(condition, a, b);
        let mut edges = Vec::with_capacity(2);
        let mut block_for = |this: &mut Self, target: Target| match target {
            Target::Block(to) if this.debts.on_edge(from, to) == 0 => this.blocks[to],
            _ => {
                let edge = this.builder.create_block();
                edges.push((edge, target));
                edge
            }
        };
        let taken_block = block_for(self, taken);
        let fall_block = block_for(self, fall);
        self.builder.ins().brif(holds, taken_block, &[], fall_block, &[]);
        for (edge, target) in edges {
            self.builder.switch_to_block(edge);
            self.jump(from, target, dirty);
        }
    }

    /// Target of `jalr`: zext32(rs1) + imm, even.
    fn jump_target(&mut self, rs1: u8, imm: i32) -> Value {
        let value = self.get(rs1);
        let address = self.zero_extended(value);
        let sum = self.builder.ins().iadd_imm_s(address, i64::from(imm));
        self.builder.ins().band_imm_s(sum, -2)
    }

    /// Arguments of a native call; ra is the link, or what it is now.
    fn arguments(&mut self, link: Option<u64>) -> [Value; 6] {
        let ra = match link {
            Some(link) => self.constant(link),
            None => self.get(RA),
        };
        [
            self.base,
            self.gas_value(),
            self.get(SP),
            self.get(A0),
            self.get(A1),
            ra,
        ]
    }

    /// Takes the results of a native call.
    fn take_results(&mut self, call: ir::Inst, a0_changes: bool) {
        let &[gas, a0] = self.builder.inst_results(call) else {
            unreachable!("native functions return two values")
        };
        self.set_gas(gas);
        if a0_changes {
            self.set(A0, a0);
        }
    }

    /// A call to a region of the batch.
    fn call(&mut self, ending: &Ending, callee: u64, link: u64, back: Target, dirty: Registers) {
        let summary = self.input.summaries.of(callee);
        self.spill(dirty - PASSED);
        let function = self.callees.function(self.builder.func, callee as u32);
        let arguments = self.arguments(Some(link));
        let call = self.builder.ins().call(function, &arguments);
        self.take_results(call, summary.writes.contains(A0));
        self.come_back(ending, link, back, dirty_after_call(dirty, summary));
    }

    /// Goes on behind a call.
    fn come_back(&mut self, ending: &Ending, link: u64, back: Target, dirty: Registers) {
        let link = self.constant(link);
        self.set(RA, link);
        match back {
            Target::Block(to) => {
                self.reload(reloaded(ending, self.input.facts.live[to], self.input.summaries));
                self.builder.ins().jump(self.blocks[to], &[]);
            }
            Target::Away(next) => {
                let pc = self.constant(next);
                self.leave(dirty, pc);
            }
        }
    }

    /// The native function at a guest address. Where there is none, leaves for the dispatcher; `dirty` has to be stored
    /// for that.
    fn look_up(&mut self, target: Value, dirty: Registers) -> Value {
        let text = self.input.text;
        let start = self.constant(u64::from(text.start));
        let offset = self.builder.ins().isub(target, start);
        let len = self.constant(text.bytes.len() as u64);
        let inside = self.compare(IntCC::UnsignedLessThan, offset, len);
        let misses = self.cold_block();
        let looks = self.builder.create_block();
        let found = self.builder.create_block();
        self.builder.ins().brif(inside, looks, &[], misses, &[]);
        self.builder.switch_to_block(looks);
        let table = self.load_context(layout::ENTRIES);
        // Eight bytes for each halfword of text.
        let scaled = self.builder.ins().ishl_imm_u(offset, 2);
        let slot = self.builder.ins().iadd(table, scaled);
        let flags = MemFlagsData::trusted().with_alias_region(Some(self.context));
        let native = self.builder.ins().load(types::I64, flags, slot, 0);
        self.builder.ins().brif(native, found, &[], misses, &[]);
        self.builder.switch_to_block(misses);
        self.leave(dirty, target);
        self.builder.switch_to_block(found);
        native
    }

    fn call_indirect(&mut self, ending: &Ending, target: Value, link: u64, back: Target, dirty: Registers) {
        let link_value = self.constant(link);
        self.set(RA, link_value);
        self.spill(dirty - RETURNED);
        let native = self.look_up(target, dirty & Registers::one(A0) | Registers::one(RA));
        let arguments = self.arguments(Some(link));
        let call = self.builder.ins().call_indirect(self.native, native, &arguments);
        self.take_results(call, true);
        self.come_back(ending, link, back, DIRTY_AFTER_UNKNOWN);
    }

    /// A jump through a register, made as a call that returns for this function.
    fn tail_call_indirect(&mut self, target: Value, dirty: Registers) {
        self.spill(dirty - RETURNED);
        let native = self.look_up(target, dirty & RETURNED);
        let arguments = self.arguments(None);
        let call = self.builder.ins().call_indirect(self.native, native, &arguments);
        self.take_results(call, true);
        self.return_after_tail_call(DIRTY_AFTER_UNKNOWN);
    }

    /// Returns for a function that was called instead of jumped to: it has returned to the ra that it was given.
    fn return_after_tail_call(&mut self, dirty: Registers) {
        self.return_checked(dirty);
    }

    /// Returns natively where ra is what it was at entry, else leaves for the dispatcher.
    fn return_checked(&mut self, dirty: Registers) {
        let ra = self.get(RA);
        if ra != self.first_ra {
            let is_expected = self.compare(IntCC::Equal, ra, self.first_ra);
            let returns = self.builder.create_block();
            let leaves = self.cold_block();
            self.builder.ins().brif(is_expected, returns, &[], leaves, &[]);
            self.builder.switch_to_block(leaves);
            let address = self.zero_extended(ra);
            let pc = self.builder.ins().band_imm_s(address, -2);
            self.leave(dirty, pc);
            self.builder.switch_to_block(returns);
        }
        self.spill((dirty & self.input.facts.writes) - RETURNED);
        let (gas, a0) = (self.gas_value(), self.get(A0));
        self.builder.ins().return_(&[gas, a0]);
    }

    /// A jump to one of the addresses that data names. By its index, where it is a jump table that can be seen through;
    /// else by a search for the address.
    fn jump_table(&mut self, register: u8, imm: i32, target: Value, candidates: &[(u32, BlockId)], dirty: Registers) {
        let block_of = |this: &Self, target: u32| {
            let found = candidates.binary_search_by_key(&target, |&(address, _)| address).ok()?;
            Some(this.blocks[candidates[found].1])
        };
        let misses = self.cold_block();
        let mut switch = Switch::new();
        let index = match self.switch(register, imm) {
            Some(table) => {
                for (i, &address) in table.targets.iter().enumerate() {
                    if let Some(block) = block_of(self, address) {
                        switch.set_entry(i as u128, block);
                    }
                }
                table.index
            }
            None => {
                for &(address, block) in candidates {
                    switch.set_entry(u128::from(address), self.blocks[block]);
                }
                target
            }
        };
        switch.emit(&mut self.builder, index, misses);
        self.builder.switch_to_block(misses);
        self.leave(dirty, target);
    }

    /// Calls the host, which sees and changes what `ecall` allows.
    fn host_call(&mut self, from: BlockId, ending: &Ending, back: Target, dirty: Registers) {
        self.spill(dirty & HOST_VISIBLE);
        let gas = self.gas_value();
        self.store_context(layout::GAS, gas);
        let pc = self.constant(u64::from(self.input.region.blocks[from].ending_pc));
        self.store_context(layout::PC, pc);
        let signature = self.helper_signature(SIGNATURE_HOST, 1, true);
        let shim = self.load_context(layout::HOST_CALL);
        let call = self.builder.ins().call_indirect(signature, shim, &[self.base]);
        let ends = self.builder.inst_results(call)[0];
        let leaves = self.cold_block();
        let goes_on = self.builder.create_block();
        self.builder.ins().brif(ends, leaves, &[], goes_on, &[]);
        self.builder.switch_to_block(leaves);
        self.spill(dirty - HOST_VISIBLE);
        self.exit(ExitReason::Ended);
        self.builder.switch_to_block(goes_on);
        let gas = self.load_context(layout::GAS);
        self.set_gas(gas);
        match back {
            Target::Block(to) => {
                self.reload(reloaded(ending, self.input.facts.live[to], self.input.summaries));
                self.builder.ins().jump(self.blocks[to], &[]);
            }
            Target::Away(next) => {
                let pc = self.constant(next);
                self.leave(dirty - HOST_VISIBLE, pc);
            }
        }
    }

    /// Goes on at `pc` by the dispatcher, with the context complete.
    fn leave(&mut self, dirty: Registers, pc: Value) {
        self.spill(dirty);
        let gas = self.gas_value();
        self.store_context(layout::GAS, gas);
        self.store_context(layout::PC, pc);
        self.exit(ExitReason::Jump);
    }

    /// Drops the host stack and returns from the trampoline.
    fn exit(&mut self, reason: ExitReason) {
        let signature = self.helper_signature(SIGNATURE_EXIT, 2, false);
        let stub = self.load_context(layout::EXIT);
        let reason = self.constant(reason as u64);
        self.builder.ins().call_indirect(signature, stub, &[self.base, reason]);
        self.builder.ins().trap(UNREACHABLE);
    }

    fn helper_signature(&mut self, slot: usize, parameters: usize, returns: bool) -> SigRef {
        if let Some(signature) = self.helper_signatures[slot] {
            return signature;
        }
        let mut signature = Signature::new(self.builder.func.signature.call_conv);
        signature.params = vec![AbiParam::new(types::I64); parameters];
        signature.returns = vec![AbiParam::new(types::I64); usize::from(returns)];
        let signature = self.builder.import_signature(signature);
        self.helper_signatures[slot] = Some(signature);
        signature
    }
}
