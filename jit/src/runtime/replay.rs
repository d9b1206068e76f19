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
use crate::interpreter::{self, Hart, Start};

/// Most bytes that a record takes, the last call apart. A run with more host calls than that is not replayed, and goes on
/// in code that makes no assumptions.
const MOST_BYTES: usize = 16 << 20;

/// The first word of a call: which words follow, in this order, and what was charged, in the bits above.
mod head {
    /// a0 follows: it is not what it was before the call.
    pub(super) const A0: u64 = 1;
    /// The same for a1.
    pub(super) const A1: u64 = 1 << 1;
    /// What happened to memory follows: pages of heap granted in the upper half, the number of ranges written in the lower.
    pub(super) const MEMORY: u64 = 1 << 2;
    /// What was charged follows, which does not fit above.
    pub(super) const DEAR: u64 = 1 << 3;
    /// Where the charge begins.
    pub(super) const CHARGE: u32 = 4;
}

/// Host calls in order. What they wrote stands in two lists for all of them, so that noting a call allocates nothing but
/// now and then.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    /// What was laid out before the run, then each call, in one to five words ([`head`]): most answer a word or none, and a
    /// run with many calls touches a page for each few hundred.
    words: Vec<u64>,
    /// First address and bytes of each range.
    ranges: Vec<(u32, u32)>,
    /// The bytes of all ranges.
    bytes: Vec<u8>,
}

impl Past {
    /// About how much memory it takes.
    fn len(&self) -> usize {
        self.bytes.len() + size_of_val(&*self.words) + size_of_val(&*self.ranges)
    }

    fn player(&self) -> Player<'_> {
        Player {
            words: &self.words,
            ranges: &self.ranges,
            bytes: &self.bytes,
        }
    }

    /// Notes a call: what it was given and answered, what it charged, and what it did to memory.
    #[inline(always)]
    fn add(&mut self, before: [u64; 2], after: [u64; 2], charge: u64, memory: Option<u64>) {
        let (a0, a1) = (before[0] != after[0], before[1] != after[1]);
        let is_dear = charge >> (u64::BITS - head::CHARGE) != 0;
        let mut first = if is_dear {
            head::DEAR
        } else {
            charge << head::CHARGE
        };
        first |= u64::from(a0) * head::A0 + u64::from(a1) * head::A1;
        first |= u64::from(memory.is_some()) * head::MEMORY;
        self.words.push(first);
        if a0 {
            self.words.push(after[0]);
        }
        if a1 {
            self.words.push(after[1]);
        }
        self.words.extend(memory);
        if is_dear {
            self.words.push(charge);
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
        record.add([0; 2], [0; 2], 0, memory);
        record
    }

    /// Adds a call, with what it was given in a0 and a1, what it answered there, and what it charged. Gives whether the
    /// record is full now.
    #[inline(always)]
    fn add(&mut self, before: [u64; 2], after: [u64; 2], charge: u64, memory: &mut Memory) -> bool {
        if self.is_full {
            self.end(memory);
            return true;
        }
        // Most calls only answer.
        let did = memory.has_recorded().then(|| self.add_memory(memory));
        self.past.add(before, after, charge, did);
        if self.past.len() > MOST_BYTES {
            self.is_full = true;
        }
        self.is_full
    }

    /// Adds no more.
    #[cold]
    fn end(&mut self, memory: &mut Memory) {
        self.is_full = true;
        memory.stop_recording();
    }

    /// Adds what a call did to memory. Gives the word for it.
    #[cold]
    fn add_memory(&mut self, memory: &mut Memory) -> u64 {
        let Self {
            past, spare: noted, ..
        } = self;
        memory.take_recorded(noted);
        for &(start, len) in &noted.written {
            // What was writable once stays mapped.
            if let Ok(bytes) = memory.read(u64::from(start), u64::from(len)) {
                past.bytes.extend_from_slice(bytes);
            }
        }
        past.ranges.extend_from_slice(&noted.written);
        u64::from(noted.heap_pages) << 32 | noted.written.len() as u64
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
        let laid_out = player.apply([0; 2], &mut memory).is_some();
        let start = Start {
            entry: u64::from(program.entry()),
            stack_pointer: self.stack_pointer,
            gas_limit: self.gas_limit,
        };
        let mut hart = Hart::new(start, &memory);
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
        let (before, gas_left) = ([call.args[0], call.args[1]], call.gas_left());
        match self.inner.ecall(call) {
            Flow::Continue => {}
            // Moved only where the run ends: what is larger than a register and was just written in part is slow to read.
            flow => return flow,
        }
        // A host gives back no more than it charged.
        let charge = gas_left - call.gas_left();
        let is_full = self.record.add(before, call.results, charge, call.memory);
        if is_full && self.stops_when_full {
            self.stopped = true;
            return Flow::Abort;
        }
        Flow::Continue
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
        resumed.past.apply([0; 2], memory)?;
        memory.take_recorded(&mut resumed.again);
        Some(resumed)
    }
}

impl Host for Resumed<'_> {
    fn ecall(&mut self, call: &mut Ecall<'_>) -> Flow {
        if self.past.words.is_empty() {
            return self.present.ecall(call);
        }
        let flow = self.past.ecall(call);
        call.memory.take_recorded(&mut self.again);
        flow
    }
}

/// A host that repeats a record.
struct Player<'a> {
    words: &'a [u64],
    ranges: &'a [(u32, u32)],
    bytes: &'a [u8],
}

impl Player<'_> {
    fn word(&mut self) -> Option<u64> {
        let (&word, rest) = self.words.split_first()?;
        self.words = rest;
        Some(word)
    }

    /// Repeats what the next call did to memory. Gives what it made of a0 and a1, and what it charged.
    fn apply(&mut self, before: [u64; 2], memory: &mut Memory) -> Option<([u64; 2], u64)> {
        let first = self.word()?;
        let [mut a0, mut a1] = before;
        if first & head::A0 != 0 {
            a0 = self.word()?;
        }
        if first & head::A1 != 0 {
            a1 = self.word()?;
        }
        if first & head::MEMORY != 0 {
            let did = self.word()?;
            self.apply_memory((did >> 32) as u32, did as u32, memory)?;
        }
        let charge = match first & head::DEAR {
            0 => first >> head::CHARGE,
            _ => self.word()?,
        };
        Some(([a0, a1], charge))
    }

    fn apply_memory(&mut self, heap_pages: u32, ranges: u32, memory: &mut Memory) -> Option<()> {
        if heap_pages > 0 {
            memory.grow_heap(heap_pages)?;
        }
        let (ranges, rest) = self.ranges.split_at_checked(ranges as usize)?;
        self.ranges = rest;
        for &(start, len) in ranges {
            let (bytes, rest) = self.bytes.split_at_checked(len as usize)?;
            self.bytes = rest;
            memory.write(u64::from(start), bytes).ok()?;
        }
        Some(())
    }
}

impl Host for Player<'_> {
    fn ecall(&mut self, call: &mut Ecall<'_>) -> Flow {
        let Some((results, charge)) = self.apply([call.args[0], call.args[1]], call.memory) else {
            return Flow::Abort;
        };
        call.results = results;
        match call.charge(charge) {
            Ok(()) => Flow::Continue,
            Err(_) => Flow::Abort,
        }
    }
}
