//! What a trap was, found out afterwards.
//!
//! Native code pays for gas a line at a time and lets the hardware find faults, so it knows that a run trapped but not
//! by which instruction. The reference interpreter does: it runs the same program again in fresh memory, with the
//! recorded results of its host calls in place of the host, and comes to the same trap, with its kind and pc.

use std::sync::Arc;

use super::host::{Ecall, Flow, Host};
use super::memory::{Memory, Recorded};
use super::outcome::{End, Trap};
use crate::image::Program;
use crate::interpreter::{self, Hart};

/// Most bytes that a record takes; a run with more host calls than that is not replayed.
const MOST_BYTES: usize = 16 << 20;

/// One host call, or what was laid out before the run.
#[derive(Clone, Debug)]
struct Call {
    results: [u64; 2],
    gas_left: u64,
    heap_pages: u32,
    /// Ranges written, whose bytes are in `bytes` of the record, one behind the other.
    written: Vec<(u32, u32)>,
}

/// What a run got from its host.
#[derive(Clone, Debug)]
pub(super) struct Record {
    stack_pointer: u64,
    gas_limit: u64,
    calls: Vec<Call>,
    bytes: Vec<u8>,
    /// Whether it became too long to be kept.
    is_full: bool,
}

impl Record {
    /// A record that begins with what was written since the memory began to record.
    pub(super) fn new(stack_pointer: u64, gas_limit: u64, memory: &mut Memory) -> Self {
        let mut record = Self {
            stack_pointer,
            gas_limit,
            calls: Vec::new(),
            bytes: Vec::new(),
            is_full: false,
        };
        record.add([0; 2], gas_limit, memory);
        record
    }

    fn add(&mut self, results: [u64; 2], gas_left: u64, memory: &mut Memory) {
        let mut recorded = Recorded::default();
        memory.take_recorded(&mut recorded);
        if self.is_full {
            return;
        }
        for &(start, len) in &recorded.written {
            // What was writable once stays mapped.
            if let Ok(bytes) = memory.read(u64::from(start), u64::from(len)) {
                self.bytes.extend_from_slice(bytes);
            }
        }
        self.calls.push(Call {
            results,
            gas_left,
            heap_pages: recorded.heap_pages,
            written: recorded.written,
        });
        let bytes = self.bytes.len() + self.calls.len() * size_of::<Call>();
        if bytes > MOST_BYTES {
            *self = Self {
                calls: Vec::new(),
                bytes: Vec::new(),
                is_full: true,
                ..*self
            };
        }
    }

    /// Runs the program again, up to its trap. `None` where the record is not whole, the host has no memory for another
    /// instance, or the run does not trap, which would be a fault of a tier.
    pub(super) fn replay(&self, program: &Arc<Program>) -> Option<Replayed> {
        if self.is_full {
            return None;
        }
        let mut memory = Memory::try_new(program).ok()?;
        let mut player = Player {
            calls: &self.calls,
            bytes: &self.bytes,
        };
        let mut hart = Hart::new(u64::from(program.entry()), self.stack_pointer, self.gas_limit);
        let laid_out = player.apply(&mut memory).is_some();
        let outcome = interpreter::run(&mut hart, program, &mut memory, &mut player);
        match outcome.end {
            End::Trapped(trap) if laid_out => Some(Replayed {
                trap,
                memory,
                registers: hart.registers(),
            }),
            _ => {
                memory.give_back(program);
                None
            }
        }
    }
}

/// What a replay came to: memory and registers as the trap found them.
pub(super) struct Replayed {
    pub(super) trap: Trap,
    pub(super) memory: Memory,
    pub(super) registers: [u64; 32],
}

/// A host that records what it hands on.
pub(super) struct Recorder<'a> {
    pub(super) inner: &'a mut dyn Host,
    pub(super) record: &'a mut Record,
}

impl Host for Recorder<'_> {
    fn ecall(&mut self, call: &mut Ecall<'_>) -> Flow {
        let flow = self.inner.ecall(call);
        if flow == Flow::Continue {
            let (results, gas_left) = (call.results, call.gas_left());
            self.record.add(results, gas_left, call.memory);
        }
        flow
    }
}

/// A host that repeats a record.
struct Player<'a> {
    calls: &'a [Call],
    bytes: &'a [u8],
}

impl<'a> Player<'a> {
    /// Repeats what the next call did to memory.
    fn apply(&mut self, memory: &mut Memory) -> Option<&'a Call> {
        let (call, rest) = self.calls.split_first()?;
        self.calls = rest;
        if call.heap_pages > 0 {
            memory.grow_heap(call.heap_pages)?;
        }
        for &(start, len) in &call.written {
            let (bytes, rest) = self.bytes.split_at_checked(len as usize)?;
            self.bytes = rest;
            memory.write(u64::from(start), bytes).ok()?;
        }
        Some(call)
    }
}

impl Host for Player<'_> {
    fn ecall(&mut self, call: &mut Ecall<'_>) -> Flow {
        let Some(recorded) = self.apply(call.memory) else {
            return Flow::Abort;
        };
        call.results = recorded.results;
        let charged = call.gas_left().checked_sub(recorded.gas_left);
        match charged.map(|gas| call.charge(gas)) {
            Some(Ok(())) => Flow::Continue,
            _ => Flow::Abort,
        }
    }
}
