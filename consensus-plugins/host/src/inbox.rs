//! What waits to be delivered to a plugin: completions, proposals, timers and merged news, in order of arrival.
//!
//! ```text
//!   token:  begin ──▶ under way ── complete / abort ──▶ answered ── next ──▶ free again
//! ```
//!
//! Bounded without ever blocking or dropping: completions by the number of tokens, proposals by number, news ("up to
//! here") by merging: of each kind only the newest waits, at the place of the first. Word of work alone moves: it never
//! comes before the answer to a build that was there when it came.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use millrace_plugin_abi::Status;
use millrace_plugin_abi::status::{INVALID, OK, STOPPED, TRANSIENT};

use crate::engine::{BlockBytes, BuildAnswer, HashBytes, HeadAnswer, Verdict};
use crate::error::ProposalsFull;
use crate::shared::instant_now;

#[cfg(test)]
mod tests;

/// Requests under way at most.
pub const MAX_REQUESTS: usize = 1024;
/// Which of the news is word of work.
const WORK: usize = 1;
/// Waiting proposals at most.
pub const MAX_PROPOSALS: usize = 64;

/// Something to deliver. A completion without an answer was aborted.
pub enum Delivery {
    /// Completes a build.
    Built(u64, Option<BuildAnswer>),
    /// Completes a validation.
    Verdict(u64, Option<Verdict>),
    /// Completes a `set_head`.
    Head(u64, Option<HeadAnswer>),
    /// Completes a read of the store.
    Value(u64, Option<Option<Vec<u8>>>),
    /// Completes a write of the store.
    Stored(u64, Option<Result<(), String>>),
    /// Completes a timer: due, or cancelled.
    Timer(u64, Option<()>),
    /// A proposal to vote on.
    Proposal(BlockBytes),
    /// Room for finalized blocks: how many, with how much gas.
    Credit(u64, u64),
    /// Settled up to this block.
    Settled(HashBytes, u64),
    /// Durable up to this block.
    Finalized(HashBytes, u64),
    /// The head moved unasked.
    HeadMoved(HashBytes, u64),
    /// A build may succeed now.
    Work,
}

/// What a token asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestKind {
    /// `request_block`.
    Build,
    /// `validate`.
    Validate,
    /// `set_head`.
    SetHead,
    /// `kv_get`.
    Get,
    /// `kv_put`, `kv_remove`.
    Put,
    /// `timer_set`.
    Timer,
}

impl RequestKind {
    fn aborted(self, token: u64) -> Delivery {
        match self {
            Self::Build => Delivery::Built(token, None),
            Self::Validate => Delivery::Verdict(token, None),
            Self::SetHead => Delivery::Head(token, None),
            Self::Get => Delivery::Value(token, None),
            Self::Put => Delivery::Stored(token, None),
            Self::Timer => Delivery::Timer(token, None),
        }
    }
}

/// What the plugin's thread does next.
pub enum Next {
    /// Deliver this.
    Deliver(Delivery),
    /// Everything owed was delivered: call the plugin's `stop`.
    Stop,
    /// The plugin failed: never enter it again.
    Closed,
}

/// The inbox.
#[derive(Default)]
pub struct Inbox {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    stopping: bool,
    closed: bool,
    queue: VecDeque<Entry>,
    news: [Option<Delivery>; 5],
    requests: BTreeMap<u64, Request>,
    timers: BTreeSet<(Instant, u64)>,
    proposals: usize,
}

enum Entry {
    Answer(u64, Delivery),
    Proposal(BlockBytes),
    News(usize),
}

struct Request {
    kind: RequestKind,
    answered: bool,
}

impl Inbox {
    /// Takes a token into use. Anything but `OK` begins nothing.
    pub fn begin(&self, token: u64, kind: RequestKind) -> Status {
        self.lock().begin(token, kind)
    }

    /// Answers a request. What was answered before, by stop for example, stays as it is.
    pub fn complete(&self, token: u64, delivery: Delivery) {
        self.lock().answer(token, delivery);
        self.wake.notify_one();
    }

    /// Begins a timer.
    pub fn timer_set(&self, token: u64, delay: Duration) -> Status {
        let Some(due) = instant_now().checked_add(delay) else {
            return INVALID;
        };
        let mut state = self.lock();
        let status = state.begin(token, RequestKind::Timer);
        if status == OK {
            state.timers.insert((due, token));
            self.wake.notify_one();
        }
        status
    }

    /// Cancels a timer that waits.
    pub fn timer_cancel(&self, token: u64) -> Status {
        let mut state = self.lock();
        if state.stopping || state.closed {
            return STOPPED;
        }
        let Some(entry) = state.timers.iter().find(|(_, timer)| *timer == token).copied() else {
            return INVALID;
        };
        state.timers.remove(&entry);
        state.answer(token, Delivery::Timer(token, None));
        self.wake.notify_one();
        OK
    }

    /// News of room.
    pub fn credit(&self, blocks: u64, gas: u64) {
        self.news(0, Delivery::Credit(blocks, gas));
    }

    /// News of work.
    pub fn work(&self) {
        self.news(WORK, Delivery::Work);
    }

    /// News of settlement.
    pub fn settled(&self, hash: HashBytes, height: u64) {
        self.news(2, Delivery::Settled(hash, height));
    }

    /// News of durable finality.
    pub fn finalized(&self, hash: HashBytes, height: u64) {
        self.news(3, Delivery::Finalized(hash, height));
    }

    /// News of the head.
    pub fn head_moved(&self, hash: HashBytes, height: u64) {
        self.news(4, Delivery::HeadMoved(hash, height));
    }

    /// A proposal to vote on.
    pub fn proposal(&self, block: BlockBytes) -> Result<(), ProposalsFull> {
        let mut state = self.lock();
        if state.stopping || state.closed {
            return Ok(());
        }
        if state.proposals == MAX_PROPOSALS {
            return Err(ProposalsFull(block));
        }
        state.proposals += 1;
        state.queue.push_back(Entry::Proposal(block));
        self.wake.notify_one();
        Ok(())
    }

    /// Takes nothing more; what is owed is still delivered, then [`Next::Stop`].
    pub fn stop(&self) {
        let mut state = self.lock();
        if state.stopping || state.closed {
            return;
        }
        state.stopping = true;
        state.timers.clear();
        state.proposals = 0;
        state.news = Default::default();
        state.queue.retain(|entry| matches!(entry, Entry::Answer(..)));
        let unanswered: Vec<_> = state
            .requests
            .iter()
            .filter(|(_, r)| !r.answered)
            .map(|(token, r)| (*token, r.kind))
            .collect();
        for (token, kind) in unanswered {
            state.answer(token, kind.aborted(token));
        }
        self.wake.notify_all();
    }

    /// The plugin failed: nothing is delivered any more.
    pub fn close(&self) {
        let mut state = self.lock();
        *state = State {
            stopping: true,
            closed: true,
            ..State::default()
        };
        self.wake.notify_all();
    }

    /// Waits for what comes next.
    pub fn next(&self) -> Next {
        let mut state = self.lock();
        loop {
            if state.closed {
                return Next::Closed;
            }
            let until_due = state.fire_timers();
            if let Some(delivery) = state.pop() {
                return Next::Deliver(delivery);
            }
            if state.stopping {
                return Next::Stop;
            }
            state = match until_due {
                Some(wait) => self
                    .wake
                    .wait_timeout(state, wait)
                    .map_or_else(|e| e.into_inner().0, |(guard, _)| guard),
                None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn news(&self, kind: usize, delivery: Delivery) {
        let mut state = self.lock();
        if state.stopping || state.closed {
            return;
        }
        if state.news[kind].replace(delivery).is_none() {
            state.queue.push_back(Entry::News(kind));
        }
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn begin(&mut self, token: u64, kind: RequestKind) -> Status {
        if self.stopping || self.closed {
            return STOPPED;
        }
        if token == 0 || self.requests.contains_key(&token) {
            return INVALID;
        }
        if self.requests.len() == MAX_REQUESTS {
            return TRANSIENT;
        }
        self.requests.insert(
            token,
            Request {
                kind,
                answered: false,
            },
        );
        OK
    }

    fn answer(&mut self, token: u64, delivery: Delivery) {
        if let Some(request) = self.requests.get_mut(&token).filter(|request| !request.answered) {
            request.answered = true;
            let is_build = matches!(delivery, Delivery::Built(..));
            self.queue.push_back(Entry::Answer(token, delivery));
            if is_build {
                self.put_work_last();
            }
        }
    }

    /// Puts waiting word of work behind everything else: before the answer "not now" it would say nothing to a plugin,
    /// and what comes after the answer is merged with it.
    fn put_work_last(&mut self) {
        if self.news[WORK].is_some() {
            self.queue
                .retain(|entry| !matches!(entry, Entry::News(kind) if *kind == WORK));
            self.queue.push_back(Entry::News(WORK));
        }
    }

    /// Queues the timers that are due; returns how long until the next one is.
    fn fire_timers(&mut self) -> Option<Duration> {
        if self.timers.is_empty() {
            return None;
        }
        let now = instant_now();
        while let Some((due, token)) = self.timers.first().copied() {
            if due > now {
                return Some(due - now);
            }
            self.timers.pop_first();
            self.answer(token, Delivery::Timer(token, Some(())));
        }
        None
    }

    fn pop(&mut self) -> Option<Delivery> {
        match self.queue.pop_front()? {
            Entry::Answer(token, delivery) => {
                self.requests.remove(&token);
                Some(delivery)
            }
            Entry::Proposal(block) => {
                self.proposals -= 1;
                Some(Delivery::Proposal(block))
            }
            Entry::News(kind) => self.news[kind].take(),
        }
    }
}
