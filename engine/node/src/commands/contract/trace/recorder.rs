//! What a transaction did, as a tree of frames: written down while it is executed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_executor::{HostEvent, Jump, Stopped, TracedEnd, TracedFrame, Tracer};
use millrace_jit::End;
use millrace_jit::profile::backtrace::Backtrace;
use millrace_types::{Address, Amount, Gas, Hash};

use super::functions::{Functions, Ranges, Used};
use super::programs::{Programs, Symbols};

/// Most steps that are kept of a trace; those behind are counted.
const MAX_STEPS: usize = 20_000;
/// Deepest frames that are kept: a trace is printed by recursion, and a chain may let its contracts call deeper.
pub const MAX_DEPTH: usize = 512;
/// Bytes that are kept of a key, a value, an input or an output.
const MAX_EXCERPT: usize = 1024;
/// Most frames whose place at a failure is looked up.
const MAX_STACKS: usize = 64;
/// Jumps that are looked at for the newest line of a contract's own source.
const LOOKED_BACK: usize = 256;

/// The beginning of some bytes, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excerpt {
    /// At most [`MAX_EXCERPT`].
    pub bytes: Vec<u8>,
    /// Of all.
    pub len: usize,
}

impl Excerpt {
    fn of(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes[..bytes.len().min(MAX_EXCERPT)].to_vec(),
            len: bytes.len(),
        }
    }

    /// All of them, if they were kept.
    pub fn whole(&self) -> Option<&[u8]> {
        (self.bytes.len() == self.len).then_some(&self.bytes)
    }
}

/// What a host call did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A slot was read.
    Read {
        /// Whether it lasts no longer than the transaction.
        is_transient: bool,
        /// Its key.
        key: Excerpt,
        /// What it holds.
        value: Option<Excerpt>,
    },
    /// A slot was written.
    Written {
        /// As above.
        is_transient: bool,
        /// Its key.
        key: Excerpt,
        /// What it held; not known of transient slots.
        before: Option<Excerpt>,
        /// What it holds now.
        after: Option<Excerpt>,
    },
    /// A counter was added to.
    Added {
        /// Its key.
        key: Excerpt,
        /// What was added.
        amount: Amount,
    },
    /// A log was emitted.
    Log {
        /// Its topics.
        topics: Vec<Hash>,
        /// Its data.
        data: Excerpt,
    },
    /// Units were moved, or not.
    Transfer {
        /// To whom.
        to: Address,
        /// How many.
        value: Amount,
        /// Whether they were.
        moved: bool,
    },
    /// A call or a creation came to no frame.
    Refused {
        /// The contract, if it is known.
        to: Option<Address>,
        /// The status that the caller got.
        status: u64,
    },
}

/// A step of a frame.
#[derive(Clone, Debug)]
pub enum Step {
    /// A host call did something, for so much gas.
    Event(Event, Gas),
    /// Another frame ran.
    Call(Box<Frame>),
}

/// How a frame ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With success.
    Returned,
    /// With a revert.
    Reverted,
    /// With a trap: what, and where.
    Trapped(String, u64),
}

/// A frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Whether it was the first run of a new contract.
    pub is_initialiser: bool,
    /// The contract.
    pub contract: Address,
    /// Hash of its code.
    pub code_hash: Hash,
    /// Who called it.
    pub caller: Address,
    /// Units that came along.
    pub value: Amount,
    /// Its input.
    pub input: Excerpt,
    /// Gas that it was given.
    pub gas: Gas,
    /// Price of its entry; none if it never ran.
    pub entry_gas: Option<Gas>,
    /// What it did, in order.
    pub steps: Vec<Step>,
    /// How it ended.
    pub ended: Ended,
    /// What it returned or reverted with.
    pub output: Excerpt,
    /// Gas that it used, frames that it called included.
    pub gas_used: Gas,
    /// Where it stood when it reverted or trapped.
    pub stack: Option<Stack>,
}

/// What the frames of one contract used, those that they called apart. Kept for each contract and not for each frame, so that it is
/// bounded by programs, whatever they do.
#[derive(Clone, Debug)]
pub struct ContractGas {
    /// The contract.
    pub contract: Address,
    /// Hash of its code.
    pub code_hash: Hash,
    /// For entering frames.
    pub entry: Gas,
    /// What traps took that nothing had used.
    pub lost: Gas,
    /// By functions, by their first addresses.
    pub functions: BTreeMap<u64, Used>,
    /// Their names.
    pub ranges: Arc<Ranges>,
}

/// Where a frame stood at its end.
#[derive(Clone, Debug)]
pub struct Stack {
    /// Function by function.
    pub backtrace: Backtrace,
    /// The newest lines of its author's own source that it came through, the newest first.
    pub came_through: Vec<millrace_jit::image::Frame>,
}

/// Everything that happened.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// The transaction's own frame; none where no code ran.
    pub root: Option<Frame>,
    /// Steps that were not kept.
    pub left_out: usize,
    /// Gas by contract, in the order in which they first ran.
    pub gas: Vec<ContractGas>,
}

/// A frame that is running.
struct Running {
    frame: Frame,
    /// Whether it is kept when it ends. Its place was taken when it began, so that no frame goes with the steps that it did.
    is_kept: bool,
    symbols: Arc<Symbols>,
    /// Its contract's place in [`Trace::gas`].
    account: usize,
    functions: Option<Functions>,
    /// Gas left when its run ended.
    left: Option<Gas>,
    /// Where the newest jumps stood and led, a ring.
    jumps: Vec<(u64, u64)>,
    newest: usize,
}

/// Writes a trace down.
pub struct Recorder<'p> {
    programs: &'p Programs<'p>,
    inner: RefCell<Inner>,
}

#[derive(Default)]
struct Inner {
    running: Vec<Running>,
    trace: Trace,
    steps: usize,
    /// Places in [`Trace::gas`].
    accounts: BTreeMap<(Address, Hash), usize>,
    /// Frames whose place at their end was looked up.
    stacks: usize,
}

impl<'p> Recorder<'p> {
    /// Nothing has happened yet.
    pub fn new(programs: &'p Programs<'p>) -> Self {
        Self {
            programs,
            inner: RefCell::default(),
        }
    }

    /// What was written down.
    pub fn finish(self) -> Trace {
        self.inner.into_inner().trace
    }
}

impl Inner {
    /// Whether one more step of the running frame is kept.
    fn has_room(&mut self) -> bool {
        let has_room = self.steps < MAX_STEPS && self.running.last().is_some_and(|running| running.is_kept);
        if has_room {
            self.steps += 1;
        } else {
            self.trace.left_out += 1;
        }
        has_room
    }
}

impl Tracer for Recorder<'_> {
    fn enters(&self, frame: &TracedFrame<'_>) {
        let symbols = self.programs.symbols(&frame.code_hash);
        let mut inner = self.inner.borrow_mut();
        let Inner { accounts, trace, .. } = &mut *inner;
        let account = *accounts
            .entry((frame.contract, frame.code_hash))
            .or_insert_with(|| {
                trace.gas.push(ContractGas {
                    contract: frame.contract,
                    code_hash: frame.code_hash,
                    entry: 0,
                    lost: 0,
                    functions: BTreeMap::new(),
                    ranges: Arc::clone(&symbols.ranges),
                });
                trace.gas.len() - 1
            });
        // The transaction's own frame is always kept, and what is done by a frame that is not kept is not kept either.
        let is_kept = match inner.running.last() {
            None => true,
            Some(_) if inner.running.len() >= MAX_DEPTH => {
                inner.trace.left_out += 1;
                false
            }
            Some(_) => inner.has_room(),
        };
        inner.running.push(Running {
            is_kept,
            frame: Frame {
                is_initialiser: frame.is_initialiser,
                contract: frame.contract,
                code_hash: frame.code_hash,
                caller: frame.caller,
                value: frame.value,
                input: Excerpt::of(frame.input),
                gas: frame.gas,
                entry_gas: None,
                steps: Vec::new(),
                ended: Ended::Returned,
                output: Excerpt::default(),
                gas_used: 0,
                stack: None,
            },
            symbols,
            account,
            functions: None,
            left: None,
            jumps: Vec::new(),
            newest: 0,
        });
    }

    fn starts(&self, entry: u64, gas_left: Gas) {
        let mut inner = self.inner.borrow_mut();
        let Some(running) = inner.running.last_mut() else {
            return;
        };
        running.frame.entry_gas = Some(running.frame.gas - gas_left);
        running.functions = Some(Functions::start(
            Arc::clone(&running.symbols.ranges),
            entry,
            gas_left,
        ));
    }

    fn stopped(&self, at: &Stopped<'_>) {
        let mut inner = self.inner.borrow_mut();
        let Some(running) = inner.running.last_mut() else {
            return;
        };
        running.left = Some(at.gas_left);
        // The transaction's own frame is the last; to look names and lines up takes long.
        let is_looked_up = running.is_kept && (inner.stacks < MAX_STACKS || inner.running.len() == 1);
        if matches!(at.end, End::Returned | End::Aborted) || !is_looked_up {
            return;
        }
        inner.stacks += 1;
        let Some(running) = inner.running.last_mut() else {
            return;
        };
        let ring = &running.jumps;
        let jumps = ring[running.newest..].iter().chain(&ring[..running.newest]);
        let jumps: Vec<_> = jumps.copied().collect();
        let waiting = running.functions.as_ref().map(Functions::returns_to);
        let stack = running.symbols.stack(at.pc, waiting.unwrap_or_default(), &jumps);
        running.frame.stack = Some(stack);
    }

    fn leaves(&self, end: &TracedEnd, output: &[u8], gas_used: Gas) {
        let mut inner = self.inner.borrow_mut();
        let Some(mut ended) = inner.running.pop() else {
            return;
        };
        ended.frame.ended = match end {
            TracedEnd::Returned => Ended::Returned,
            TracedEnd::Reverted => Ended::Reverted,
            TracedEnd::Trapped(trap) => Ended::Trapped(trap.kind.to_string(), trap.pc),
        };
        ended.frame.output = Excerpt::of(output);
        ended.frame.gas_used = gas_used;
        let account = &mut inner.trace.gas[ended.account];
        account.entry += ended.frame.entry_gas.unwrap_or_default();
        account.lost += match ended.left {
            Some(left) => gas_used.saturating_sub(ended.frame.gas - left),
            // It never ran.
            None => gas_used,
        };
        if let (Some(functions), Some(left)) = (ended.functions.take(), ended.left) {
            for (start, used) in functions.finish(left) {
                account.functions.entry(start).or_default().add(&used);
            }
        }
        let Some(caller) = inner.running.last_mut() else {
            inner.trace.root = Some(ended.frame);
            return;
        };
        if let Some(functions) = &mut caller.functions {
            functions.called(gas_used);
        }
        if ended.is_kept {
            caller.frame.steps.push(Step::Call(Box::new(ended.frame)));
        }
    }

    fn host_call(&self, event: &HostEvent<'_>, gas: Gas) {
        let mut inner = self.inner.borrow_mut();
        if !inner.has_room() {
            return;
        }
        let excerpt = |bytes: &Option<&[u8]>| bytes.map(Excerpt::of);
        let event = match event {
            HostEvent::StorageRead { key, value } | HostEvent::TransientRead { key, value } => Event::Read {
                is_transient: matches!(event, HostEvent::TransientRead { .. }),
                key: Excerpt::of(key),
                value: excerpt(value),
            },
            HostEvent::StorageWritten { key, before, after } => Event::Written {
                is_transient: false,
                key: Excerpt::of(key),
                before: excerpt(before),
                after: excerpt(after),
            },
            HostEvent::TransientWritten { key, after } => Event::Written {
                is_transient: true,
                key: Excerpt::of(key),
                before: None,
                after: excerpt(after),
            },
            HostEvent::CounterAdded { key, amount } => Event::Added {
                key: Excerpt::of(key),
                amount: *amount,
            },
            HostEvent::Log { topics, data } => Event::Log {
                topics: topics.to_vec(),
                data: Excerpt::of(data),
            },
            HostEvent::Transfer { to, value, moved } => Event::Transfer {
                to: *to,
                value: *value,
                moved: *moved,
            },
            HostEvent::Refused { to, status } => Event::Refused {
                to: *to,
                status: *status,
            },
        };
        if let Some(running) = inner.running.last_mut() {
            running.frame.steps.push(Step::Event(event, gas));
        }
    }

    fn jumped(&self, jump: Jump) {
        let mut inner = self.inner.borrow_mut();
        let Some(running) = inner.running.last_mut() else {
            return;
        };
        let place = (jump.from, jump.to);
        if running.jumps.len() < LOOKED_BACK {
            running.jumps.push(place);
        } else {
            running.jumps[running.newest] = place;
            running.newest = (running.newest + 1) % LOOKED_BACK;
        }
        if let Some(functions) = &mut running.functions {
            functions.jumped(jump);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::programs::Locals;
    use super::*;

    fn frame(contract: u8, input: &[u8]) -> TracedFrame<'_> {
        TracedFrame {
            is_initialiser: false,
            contract: Address([contract; 32]),
            code_hash: Hash([contract; 32]),
            caller: Address([0; 32]),
            value: 0,
            input,
            gas: 1_000_000,
            depth: 1,
        }
    }

    fn recorded(told: impl FnOnce(&Recorder<'_>)) -> Trace {
        let locals = Locals::default();
        let programs = Programs::new(&locals, Box::new(|_| None));
        let recorder = Recorder::new(&programs);
        told(&recorder);
        recorder.finish()
    }

    fn reads(recorder: &Recorder<'_>, count: usize) {
        for _ in 0..count {
            let (key, value) = (&b"key"[..], None);
            recorder.host_call(&HostEvent::StorageRead { key, value }, 7);
        }
    }

    fn trap() -> TracedEnd {
        let kind = millrace_jit::TrapKind::OutOfGas;
        TracedEnd::Trapped(millrace_jit::Trap { kind, pc: 2 })
    }

    #[test]
    fn a_frame_that_does_more_than_is_kept_is_kept_itself() {
        let trace = recorded(|recorder| {
            recorder.enters(&frame(1, b""));
            recorder.enters(&frame(2, b""));
            reads(recorder, MAX_STEPS + 5);
            recorder.enters(&frame(3, b""));
            reads(recorder, 10);
            recorder.leaves(&trap(), &[], 10);
            recorder.leaves(&trap(), &[], 100);
            reads(recorder, 1);
            recorder.leaves(&TracedEnd::Reverted, b"why", 1000);
        });
        let root = trace.root.unwrap();
        let [Step::Call(callee)] = &root.steps[..] else {
            panic!("{} steps", root.steps.len())
        };
        assert_eq!(callee.ended, Ended::Trapped("out of gas".to_owned(), 2));
        assert_eq!(callee.steps.len(), MAX_STEPS - 1);
        // Of the inner frame's neither it nor what it did.
        assert_eq!(trace.left_out, 6 + 1 + 10 + 1);
        assert_eq!(root.output.whole(), Some(&b"why"[..]));
    }

    #[test]
    fn frames_too_deep_to_be_printed_are_counted() {
        let trace = recorded(|recorder| {
            for _ in 0..5000 {
                recorder.enters(&frame(1, b""));
            }
            for _ in 0..5000 {
                recorder.leaves(&TracedEnd::Returned, &[], 1);
            }
        });
        let (mut depth, mut frame) = (1, trace.root.as_ref().unwrap());
        while let Some(Step::Call(callee)) = frame.steps.first() {
            (depth, frame) = (depth + 1, callee);
        }
        assert_eq!((depth, trace.left_out), (MAX_DEPTH, 5000 - MAX_DEPTH));
    }

    #[test]
    fn what_is_kept_of_bytes_is_bounded() {
        let long = [7; MAX_EXCERPT + 1];
        let trace = recorded(|recorder| {
            recorder.enters(&frame(1, &long));
            recorder.leaves(&TracedEnd::Returned, &long[1..], 1);
        });
        let root = trace.root.unwrap();
        assert_eq!((root.input.whole(), root.input.len), (None, MAX_EXCERPT + 1));
        assert_eq!(root.input.bytes.len(), MAX_EXCERPT);
        assert_eq!(root.output.whole(), Some(&long[1..]));
    }
}
