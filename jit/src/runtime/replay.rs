//! Runs that happen again: to find out what a trap was, or in other code.
//!
//! Native code pays for gas a line at a time and lets the hardware find faults, so it knows that a run trapped but not
//! by which instruction. The reference interpreter does: it runs the same program again in fresh memory, with the
//! recorded results of its host calls in place of the host, and comes to the same trap, with its kind and pc.
//!
//! A run whose code made an assumption that did not hold starts over as well: with the recorded results as far as they go,
//! and then with the host itself, which does not notice.

use std::sync::Arc;

use super::host::{Ecall, Flow, Host};
use super::memory::{Memory, Recorded};
use super::outcome::{End, Trap};
use crate::image::Program;
use crate::interpreter::{self, Hart};

/// Most bytes that a record takes, the last call apart. A run with more host calls than that is not replayed, and goes on
/// in code that makes no assumptions.
const MOST_BYTES: usize = 16 << 20;

/// One host call, or what was laid out before the run.
#[derive(Clone, Debug)]
struct Call {
    results: [u64; 2],
    gas_left: u64,
    heap_pages: u32,
    /// How many ranges were written.
    ranges: u32,
}

/// Host calls in order. What they wrote stands in two lists for all of them, so that noting a call allocates nothing but
/// now and then.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    calls: Vec<Call>,
    /// First address and bytes of each range.
    ranges: Vec<(u32, u32)>,
    /// The bytes of all ranges.
    bytes: Vec<u8>,
}

impl Past {
    /// About how much memory it takes.
    fn len(&self) -> usize {
        self.bytes.len() + size_of_val(&*self.calls) + size_of_val(&*self.ranges)
    }

    fn player(&self) -> Player<'_> {
        Player {
            calls: &self.calls,
            ranges: &self.ranges,
            bytes: &self.bytes,
        }
    }
}

/// What a run got from its host.
#[derive(Clone, Debug)]
pub(super) struct Record {
    stack_pointer: u64,
    gas_limit: u64,
    past: Past,
    /// What the memory's own notes are exchanged with.
    spare: Recorded,
    /// Whether it became too long to be continued: no more is added, and it does not stand for the whole run.
    is_full: bool,
}

impl Record {
    /// A record that begins with what was written since the memory began to record.
    pub(super) fn new(stack_pointer: u64, gas_limit: u64, memory: &mut Memory) -> Self {
        let mut record = Self {
            stack_pointer,
            gas_limit,
            past: Past::default(),
            spare: Recorded::default(),
            is_full: false,
        };
        record.add([0; 2], gas_limit, memory);
        record
    }

    fn add(&mut self, results: [u64; 2], gas_left: u64, memory: &mut Memory) {
        let Self {
            past, spare: noted, ..
        } = self;
        if self.is_full {
            memory.stop_recording();
            return;
        }
        if !memory.has_recorded() {
            // Most calls only answer.
            past.calls.push(Call {
                results,
                gas_left,
                heap_pages: 0,
                ranges: 0,
            });
            self.is_full = past.len() > MOST_BYTES;
            return;
        }
        memory.take_recorded(noted);
        for &(start, len) in &noted.written {
            // What was writable once stays mapped.
            if let Ok(bytes) = memory.read(u64::from(start), u64::from(len)) {
                past.bytes.extend_from_slice(bytes);
            }
        }
        past.ranges.extend_from_slice(&noted.written);
        past.calls.push(Call {
            results,
            gas_left,
            heap_pages: noted.heap_pages,
            ranges: noted.written.len() as u32,
        });
        self.is_full = past.len() > MOST_BYTES;
    }

    /// What was recorded, for a run to start over with.
    pub(super) fn past(&self) -> Past {
        self.past.clone()
    }

    /// Runs the program again, up to its trap. `None` where the record is not whole, the host has no memory for another
    /// instance, or the run does not trap, which would be a fault of a tier.
    pub(super) fn replay(&self, program: &Arc<Program>) -> Option<Replayed> {
        if self.is_full {
            return None;
        }
        let mut memory = Memory::try_new(program).ok()?;
        let mut player = self.past.player();
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
    /// Whether the run ends, to be started over, when the record is full.
    pub(super) stops_when_full: bool,
    /// Whether it did.
    pub(super) stopped: bool,
}

impl<'a> Recorder<'a> {
    /// Goes on when the record is full.
    pub(super) fn new(inner: &'a mut dyn Host, record: &'a mut Record) -> Self {
        Self {
            inner,
            record,
            stops_when_full: false,
            stopped: false,
        }
    }
}

impl Host for Recorder<'_> {
    fn ecall(&mut self, call: &mut Ecall<'_>) -> Flow {
        let flow = self.inner.ecall(call);
        if flow == Flow::Continue {
            let (results, gas_left) = (call.results, call.gas_left());
            self.record.add(results, gas_left, call.memory);
            if self.stops_when_full && self.record.is_full {
                self.stopped = true;
                return Flow::Abort;
            }
        }
        flow
    }
}

/// A host that repeats what another one did, and is that other one from there on.
pub(super) struct Resumed<'a> {
    past: Player<'a>,
    present: &'a mut dyn Host,
    /// What the past writes again, which is recorded already.
    again: Recorded,
}

impl<'a> Resumed<'a> {
    /// Lays out fresh memory as it was before the run. `None` where that cannot be done again.
    pub(super) fn new(past: &'a Past, present: &'a mut dyn Host, memory: &mut Memory) -> Option<Self> {
        let mut resumed = Self {
            past: past.player(),
            present,
            again: Recorded::default(),
        };
        resumed.past.apply(memory)?;
        memory.take_recorded(&mut resumed.again);
        Some(resumed)
    }
}

impl Host for Resumed<'_> {
    fn ecall(&mut self, call: &mut Ecall<'_>) -> Flow {
        if self.past.calls.is_empty() {
            return self.present.ecall(call);
        }
        let flow = self.past.ecall(call);
        call.memory.take_recorded(&mut self.again);
        flow
    }
}

/// A host that repeats a record.
struct Player<'a> {
    calls: &'a [Call],
    ranges: &'a [(u32, u32)],
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
        let (ranges, rest) = self.ranges.split_at_checked(call.ranges as usize)?;
        self.ranges = rest;
        for &(start, len) in ranges {
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
