//! Input, output, and what a frame knows of its surroundings.

use millrace_jit::machine::PAGE_BYTES;
use millrace_jit::{Ecall, Flow, TrapKind};

use super::{NONE, Step, charge_words, check_readable, check_writable, copy_out, read, write};
use crate::frame::{Frame, take_pages};

impl Frame<'_, '_> {
    pub(super) fn input_len(&mut self, call: &mut Ecall<'_>) -> Step {
        call.charge(self.schedule().context.base)?;
        call.results[0] = self.input.len() as u64;
        Ok(())
    }

    pub(super) fn input_read(&mut self, call: &mut Ecall<'_>) -> Step {
        let [dst, offset, len, ..] = call.args;
        self.charge_copy(call, dst, len)?;
        copy_out(call, &self.input, dst, offset, len)
    }

    pub(super) fn return_data(&mut self, call: &mut Ecall<'_>) -> Step {
        let [dst, offset, len, ..] = call.args;
        self.charge_copy(call, dst, len)?;
        copy_out(call, &self.return_data, dst, offset, len)
    }

    /// Charges a copy of at most `len` bytes to `dst`.
    fn charge_copy(&mut self, call: &mut Ecall<'_>, dst: u64, len: u64) -> Step {
        let price = self.schedule().context;
        call.charge(price.base)?;
        check_writable(call, dst, len)?;
        charge_words(call, price, len)
    }

    /// `return` and `revert`: ends the frame with output. That of a transaction's own frame stands in its receipt, so it
    /// is paid like a log's data.
    pub(super) fn end(&mut self, call: &mut Ecall<'_>, flow: Flow) -> Step {
        let [pointer, len, ..] = call.args;
        let price = self.schedule().context;
        call.charge(price.base)?;
        check_readable(call, pointer, len)?;
        if len > u64::from(self.execution.rules.limits.return_bytes) {
            return Err(Flow::Trap(TrapKind::Host(
                "return_bytes: the limit of a frame's output",
            )));
        }
        let words = if self.depth == 1 {
            self.schedule().log
        } else {
            price
        };
        charge_words(call, words, len)?;
        self.output = read(call, pointer, len)?.to_vec();
        Err(flow)
    }

    pub(super) fn call_kind(&mut self, call: &mut Ecall<'_>) -> Step {
        call.charge(self.schedule().context.base)?;
        call.results[0] = self.kind as u64;
        Ok(())
    }

    pub(super) fn gas_left(&mut self, call: &mut Ecall<'_>) -> Step {
        call.charge(self.schedule().context.base)?;
        call.results[0] = call.gas_left();
        Ok(())
    }

    /// Writes `bytes` to `a0`.
    pub(super) fn put_context<const N: usize>(&mut self, call: &mut Ecall<'_>, bytes: [u8; N]) -> Step {
        let price = self.schedule().context;
        call.charge(price.base)?;
        check_writable(call, call.args[0], N as u64)?;
        charge_words(call, price, N as u64)?;
        write(call, call.args[0], &bytes)
    }

    pub(super) fn block_context(&mut self, call: &mut Ecall<'_>) -> Step {
        let rules = self.execution.rules;
        let mut bytes = [0; 64];
        let words = [
            rules.block.height,
            rules.block.timestamp_ms,
            rules.chain_id,
            rules.block.gas_limit,
        ];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes[32..].copy_from_slice(&rules.block.proposer.0);
        self.put_context(call, bytes)
    }

    pub(super) fn heap_grow(&mut self, call: &mut Ecall<'_>) -> Step {
        let pages = call.args[0];
        let machine = self.execution.rules.machine;
        call.charge(self.schedule().context.base)?;
        let room = machine.layout.heap_max_bytes / PAGE_BYTES - call.memory.heap_pages();
        let Some(pages) = u32::try_from(pages).ok().filter(|pages| *pages <= room) else {
            call.results[0] = NONE;
            return Ok(());
        };
        call.charge(u64::from(pages) * u64::from(machine.weights.heap_page))?;
        take_pages(self.execution, pages).map_err(Flow::Trap)?;
        self.pages += pages;
        call.results[0] = call.memory.grow_heap(pages).expect("the room was checked");
        Ok(())
    }
}
