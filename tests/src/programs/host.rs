//! The host of random programs: a little of Linux, some scripted calls, and a record of all it can see.

use millrace_jit::{Ecall, Flow, Host, Memory, TrapKind};

use super::guest::{Layout, SCRATCH, SEEN};

const WRITE: u64 = 64;
const EXIT: u64 = 93;
const ENOSYS: u64 = 38_u64.wrapping_neg();
/// Numbers from 1000 on that mean something here.
pub(super) const CALLS: u64 = 8;
/// Bytes at the top of the machine's own stack that each event digests.
const STACK_SEEN: u64 = 1024;
/// A run with more events than this is stopped: programs make far fewer.
const MOST_EVENTS: usize = 200_000;

/// All that an `ecall` shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// a7.
    pub number: u64,
    /// a0 to a5.
    pub args: [u64; 6],
    /// Gas left before the host charged anything.
    pub gas_left: u64,
    /// Pages of heap.
    pub heap_pages: u32,
    /// Digest of the memory that programs work on.
    pub memory: u64,
}

/// How a script ends a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// By returning.
    Return,
    /// By reverting.
    Revert,
    /// By refusing.
    Refuse,
    /// By saying that gas ran out.
    OutOfGas,
    /// By abandoning the run.
    Abort,
}

/// What the host does beyond what calls ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Script {
    /// The run ends this way at that call, counted from 0.
    pub end: Option<(usize, Ending)>,
    /// Calls that mean nothing to Linux mean something: they change memory, grow the heap, charge gas.
    pub acts: bool,
}

/// The host.
#[derive(Debug)]
pub struct Recorder {
    data: Option<u64>,
    script: Script,
    /// What was seen, in order.
    pub events: Vec<Event>,
    /// What was written to descriptor 1.
    pub output: Vec<u8>,
    /// What the program exited with.
    pub status: Option<u64>,
}

impl Recorder {
    /// Nothing seen yet. `layout` says which memory is digested; without one, the program has none of its own.
    #[must_use]
    pub fn new(layout: Option<Layout>, script: Script) -> Self {
        Self {
            data: layout.map(|layout| layout.data),
            script,
            events: Vec::new(),
            output: Vec::new(),
            status: None,
        }
    }

    fn digest(&self, memory: &Memory) -> u64 {
        let mut hasher = blake3::Hasher::new();
        if let Some(data) = self.data
            && let Ok(bytes) = memory.read(data, SEEN)
        {
            hasher.update(bytes);
        }
        if let Ok(bytes) = memory.read(0xffff_0000 - STACK_SEEN, STACK_SEEN) {
            hasher.update(bytes);
        }
        short(&hasher)
    }

    /// What a scripted call does. Everything follows from its arguments and from what came before.
    fn act(&self, call: &mut Ecall<'_>) -> Result<Flow, Flow> {
        let [first, second, third, ..] = call.args;
        let count = self.events.len() as u64;
        let mixed = (first ^ second.rotate_left(17) ^ count).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        match call.number - 1000 {
            1 => {
                let data = self.data.unwrap_or_default();
                let place = data + SCRATCH + mixed % 0x2000;
                let bytes = mixed.to_le_bytes();
                call.memory.write(place, &bytes).map_err(Flow::Trap)?;
                call.results[0] = place;
            }
            2 => {
                // Now and then past the sizes at which instructions get dearer.
                let pages = if mixed >> 60 == 0 { mixed % 700 } else { first % 4 };
                let old_end = call.memory.grow_heap(pages as u32);
                if let Some(end) = old_end
                    && pages > 0
                {
                    call.memory.write(end, &mixed.to_le_bytes()).map_err(Flow::Trap)?;
                }
                call.results[0] = old_end.unwrap_or(u64::MAX);
            }
            3 => call.results = [mixed, mixed.rotate_left(32)],
            4 => call.charge(first % 64)?,
            5 => {
                call.charge(first % 64)?;
                call.refund(second % 64 % (first % 64 + 1));
                call.results[1] = call.gas_left();
            }
            6 => {
                let bytes = call.memory.writable(second, third % 0x1000).map_err(Flow::Trap)?;
                bytes.iter_mut().for_each(|byte| *byte = byte.wrapping_mul(3));
            }
            7 => {
                return match mixed >> 57 {
                    0 => Ok(Flow::Return),
                    1 => Ok(Flow::Revert),
                    2 => Ok(Flow::Trap(TrapKind::Host("a rare refusal"))),
                    _ => {
                        call.results[0] = count;
                        Ok(Flow::Continue)
                    }
                };
            }
            _ => call.results[0] = ENOSYS,
        }
        Ok(Flow::Continue)
    }
}

/// The first eight bytes of a hash.
pub(super) fn short(hasher: &blake3::Hasher) -> u64 {
    let hash = hasher.finalize();
    let (bytes, _) = hash.as_bytes().split_first_chunk().expect("hashes are longer");
    u64::from_le_bytes(*bytes)
}

impl Host for Recorder {
    fn ecall(&mut self, call: &mut Ecall<'_>) -> Flow {
        let index = self.events.len();
        if index >= MOST_EVENTS {
            return Flow::Abort;
        }
        self.events.push(Event {
            number: call.number,
            args: call.args,
            gas_left: call.gas_left(),
            heap_pages: call.memory.heap_pages(),
            memory: self.digest(call.memory),
        });
        if let Some((at, ending)) = self.script.end
            && at == index
        {
            return match ending {
                Ending::Return => Flow::Return,
                Ending::Revert => Flow::Revert,
                Ending::Refuse => Flow::Trap(TrapKind::Host("the script says so")),
                Ending::OutOfGas => Flow::Trap(TrapKind::OutOfGas),
                Ending::Abort => Flow::Abort,
            };
        }
        match call.number {
            WRITE => match call.memory.read(call.args[1], call.args[2]) {
                Ok(bytes) => {
                    self.output.extend_from_slice(bytes);
                    call.results[0] = call.args[2];
                    Flow::Continue
                }
                Err(kind) => Flow::Trap(kind),
            },
            EXIT => {
                self.status = Some(call.args[0]);
                Flow::Return
            }
            number if self.script.acts && (1000..1000 + CALLS).contains(&number) => {
                self.act(call).unwrap_or_else(|flow| flow)
            }
            _ => {
                call.results[0] = ENOSYS;
                Flow::Continue
            }
        }
    }
}
