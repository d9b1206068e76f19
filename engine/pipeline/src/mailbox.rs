//! The way into the ordering thread: a bounded queue of requests, and the credits of finalized blocks.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use millrace_types::{Block, Hash};

use crate::api::{BuildAnswer, BuildRequest, SetHeadAnswer, StopReason, ValidateAnswer};
use crate::core::Left;
use crate::inbox::{Inbox, Sender, inbox};
use crate::reply::Reply;

/// A request to the ordering thread.
#[derive(Debug)]
pub(crate) enum Request {
    /// [`crate::Engine::build`].
    Build(BuildRequest, Reply<BuildAnswer>),
    /// [`crate::Engine::validate`].
    Validate(Box<Block>, Reply<ValidateAnswer>),
    /// [`crate::Engine::announce`].
    Announce(Box<Block>),
    /// [`crate::Engine::submit_finalized`], a credit spent.
    Finalize(Box<Block>, Vec<u8>),
    /// [`crate::Engine::import_block`].
    Import(Box<Block>),
    /// [`crate::Engine::set_head`].
    SetHead(Hash, Reply<SetHeadAnswer>),
    /// [`crate::Engine::finalize`], a credit spent.
    FinalizeKnown(Hash, Vec<u8>),
    /// [`crate::Engine::stop`] and [`crate::Engine::report_plugin_fault`].
    Stop(StopReason),
}

/// Whatever the ordering thread reacts to.
#[derive(Debug)]
pub(crate) enum Input {
    /// From a handle.
    Request(Request),
    /// From the journal: body and certificate of a finalized block are durable.
    BodyDurable(Hash),
    /// From the journal: a task has left the ring, and what it had to make durable is.
    Left(Left),
    /// From a worker: the signatures of a block were checked, as far as they are good.
    Prepared(Hash),
    /// From a stage or the journal: it goes no further.
    Fault(StopReason),
}

/// The sending end for the engine's own threads, whose messages are bounded by what is in flight. Never blocks.
#[derive(Clone)]
pub(crate) struct Inputs(Sender<Input>);

impl Inputs {
    /// Sends. Once the ordering thread has ended, nobody is told.
    pub(crate) fn send(&self, input: Input) {
        self.0.send(input);
    }
}

/// The sending end for requests, which are counted. Never blocks.
pub(crate) struct Mailbox {
    inputs: Inputs,
    waiting: AtomicUsize,
    bound: usize,
}

impl Mailbox {
    /// A mailbox that holds `bound` requests, beside messages of the engine's own threads.
    pub(crate) fn new(bound: usize) -> (Self, Inputs, Inbox<Input>) {
        let (sender, inbox) = inbox();
        let inputs = Inputs(sender);
        (
            Self {
                inputs: inputs.clone(),
                waiting: AtomicUsize::new(0),
                bound,
            },
            inputs,
            inbox,
        )
    }

    /// Leaves a request, or gives it back when too many wait.
    pub(crate) fn post(&self, request: Request) -> Result<(), Box<Request>> {
        let counted = self
            .waiting
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |waiting| {
                (waiting < self.bound).then_some(waiting + 1)
            });
        if counted.is_err() {
            return Err(Box::new(request));
        }
        self.inputs.send(Input::Request(request));
        Ok(())
    }

    /// Leaves a request that is never refused.
    pub(crate) fn post_always(&self, request: Request) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        self.inputs.send(Input::Request(request));
    }

    /// Whether a request would be taken now.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Acquire) < self.bound
    }

    /// A request was taken out.
    pub(crate) fn taken(&self) {
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Room for finalized blocks: one credit per block from submission until its slot is free again.
pub(crate) struct Credits {
    available: AtomicU64,
    refused: AtomicBool,
}

impl Credits {
    /// All credits there.
    pub(crate) fn new(blocks: u64) -> Self {
        Self {
            available: AtomicU64::new(blocks),
            refused: AtomicBool::new(false),
        }
    }

    /// Spends one. `false`: there is none, and the next [`Self::give_back`] will answer `true`.
    pub(crate) fn spend(&self) -> bool {
        loop {
            if self.take_one() {
                return true;
            }
            self.refused.store(true, Ordering::SeqCst);
            // A credit that came back between the two lines above may have missed the flag: look again, so that
            // no refusal is left without an announcement.
            if self.available.load(Ordering::SeqCst) == 0 {
                return false;
            }
        }
    }

    /// Spends as many as there are, up to `wanted`; answers how many.
    pub(crate) fn spend_up_to(&self, wanted: u64) -> u64 {
        (0..wanted).take_while(|_| self.take_one()).count() as u64
    }

    /// Gives one back; `true` when a submission was refused since the last time this was so.
    pub(crate) fn give_back(&self) -> bool {
        self.available.fetch_add(1, Ordering::SeqCst);
        self.refused.swap(false, Ordering::SeqCst)
    }

    /// Blocks that would be taken now.
    pub(crate) fn available(&self) -> u64 {
        self.available.load(Ordering::SeqCst)
    }

    fn take_one(&self) -> bool {
        self.available
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |credits| {
                credits.checked_sub(1)
            })
            .is_ok()
    }
}

#[cfg(test)]
impl Credits {
    /// The same at another place.
    pub(crate) fn copy(&self) -> Self {
        Self {
            available: AtomicU64::new(self.available()),
            refused: AtomicBool::new(self.refused.load(Ordering::SeqCst)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_announced_exactly_once_when_there_is_room_again() {
        let credits = Credits::new(2);
        assert!(credits.spend() && credits.spend());
        assert!(!credits.spend());
        assert!(credits.give_back());
        assert!(!credits.give_back());
        assert_eq!(credits.available(), 2);
    }
}
