//! The stepped mode: event and time in, actions out.
//!
//! [`Driver`] carries a [`Stepped`] plugin through the threaded interface: it gives each event to the plugin, then
//! performs the actions in order. What an action brings at once (a submission's fate, a refused request) comes back as
//! an event after the others, so that a plugin sees one kind of input only. The same events at the same times give the
//! same actions: tokens are counted, and the pressure is part of the input.

use core::num::NonZeroU64;
use core::time::Duration;
use std::collections::VecDeque;

use millrace_plugin_abi::PressureValues;
use millrace_types::{Address, Hash, TimestampMs};

use crate::Bytes;
use crate::event::{Declined, Event, HeadDeclined, Submitted, Token};
use crate::host::{Host, Level, Metric};
use crate::plugin::{ChainState, Plugin, StartError};

/// A consensus plugin without I/O. It must not read a clock, chance or the environment: whatever it needs comes in.
pub trait Stepped: Send + Sized + 'static {
    /// See [`Plugin::CONSENSUS_ID`].
    const CONSENSUS_ID: &'static str;
    /// See [`Plugin::VERSION`].
    const VERSION: &'static str;
    /// Whether the plugin cannot do without the capability `fork-choice/1`. If so it is not started on a node that does
    /// not offer it, and the operator is told.
    const NEEDS_FORK_CHOICE: bool = false;

    /// Begins. Whatever was finalized after the block that `chain` names is handed over again.
    ///
    /// # Errors
    /// If it cannot; the reason is for the operator and says what to change.
    fn start(chain: &ChainState, step: &mut Step) -> Result<Self, StartError>;

    /// One event.
    fn on_event(&mut self, event: Event, step: &mut Step);

    /// Ends. Every request has completed before, and no action would be taken any more.
    fn on_stop(self) {}
}

/// A block to be built.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BuildRequest {
    /// The parent.
    pub parent_hash: Hash,
    /// Who receives the tips.
    pub proposer: Address,
    /// Gas at most; `None` for the chain's limit. The engine's own limits hold as well.
    pub max_gas: Option<u64>,
    /// Canonical bytes at most; `None` for the chain's limit.
    pub max_bytes: Option<u64>,
    /// The block's timestamp; `None` for now. Raised to the parent's if it is less.
    pub timestamp_ms: Option<TimestampMs>,
    /// The header's consensus data.
    pub consensus_data: Vec<u8>,
    /// Build even if the block carries no transaction and settles nothing that anyone waits for.
    pub allow_empty: bool,
}

/// What a plugin wants done.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Action {
    /// See [`Step::request_block`].
    RequestBlock(Token, BuildRequest),
    /// See [`Step::validate`].
    Validate(Token, Bytes),
    /// See [`Step::announce_proposal`].
    AnnounceProposal(Bytes),
    /// See [`Step::submit_finalized`]: block and certificate.
    SubmitFinalized(Token, Bytes, Bytes),
    /// See [`Step::import_block`].
    ImportBlock(Token, Bytes),
    /// See [`Step::set_head`].
    SetHead(Token, Hash),
    /// See [`Step::finalize`]: block and certificate.
    Finalize(Token, Hash, Bytes),
    /// See [`Step::set_timer`].
    SetTimer(Token, Duration),
    /// See [`Step::cancel_timer`].
    CancelTimer(Token),
    /// See [`Step::kv_get`].
    KvGet(Token, Vec<u8>),
    /// See [`Step::kv_put`].
    KvPut(Token, Vec<u8>, Vec<u8>),
    /// See [`Step::kv_remove`].
    KvRemove(Token, Vec<u8>),
    /// See [`Step::log`].
    Log(Level, String),
    /// See [`Step::metric`].
    Metric(Metric, String, f64),
    /// See [`Step::fatal`].
    Fatal(String),
}

/// One step: its time and the engine's pressure go in, actions come out.
#[derive(Debug)]
pub struct Step {
    now_ms: u64,
    pressure: Option<PressureValues>,
    next_token: NonZeroU64,
    actions: Vec<Action>,
}

impl Step {
    /// A step at a time, with a pressure, whose first token is `next_token`. For drivers.
    #[must_use]
    pub fn new(now_ms: u64, pressure: Option<PressureValues>, next_token: NonZeroU64) -> Self {
        Self {
            now_ms,
            pressure,
            next_token,
            actions: Vec::new(),
        }
    }

    /// The token that the next step begins with, and the actions, in order. For drivers.
    #[must_use]
    pub fn finish(self) -> (NonZeroU64, Vec<Action>) {
        (self.next_token, self.actions)
    }

    /// Milliseconds since the epoch; never falls.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// How busy the engine is; `None` before it first said.
    #[must_use]
    pub fn pressure(&self) -> Option<&PressureValues> {
        self.pressure.as_ref()
    }

    /// Requests a block. Completed by [`Event::BlockBuilt`].
    pub fn request_block(&mut self, request: BuildRequest) -> Token {
        self.with_token(|token| Action::RequestBlock(token, request))
    }

    /// Requests the verdict on a block. Completed by [`Event::Verdict`].
    pub fn validate(&mut self, block: Bytes) -> Token {
        self.with_token(|token| Action::Validate(token, block))
    }

    /// Tells of a proposal that is being voted on.
    pub fn announce_proposal(&mut self, block: Bytes) {
        self.actions.push(Action::AnnounceProposal(block));
    }

    /// Hands over a finalized block with its certificate. Completed by [`Event::Submitted`].
    pub fn submit_finalized(&mut self, block: Bytes, certificate: Bytes) -> Token {
        self.with_token(|token| Action::SubmitFinalized(token, block, certificate))
    }

    /// `fork-choice/1`: hands over a block that may become head. Completed by [`Event::Submitted`].
    pub fn import_block(&mut self, block: Bytes) -> Token {
        self.with_token(|token| Action::ImportBlock(token, block))
    }

    /// `fork-choice/1`: makes a block the head, once valid. Completed by [`Event::HeadMoved`].
    pub fn set_head(&mut self, head: Hash) -> Token {
        self.with_token(|token| Action::SetHead(token, head))
    }

    /// `fork-choice/1`: finalizes a block and its ancestors. Completed by [`Event::Submitted`].
    pub fn finalize(&mut self, block: Hash, certificate: Bytes) -> Token {
        self.with_token(|token| Action::Finalize(token, block, certificate))
    }

    /// Sets a timer. Completed by [`Event::Timer`], unless it is cancelled.
    pub fn set_timer(&mut self, delay: Duration) -> Token {
        self.with_token(|token| Action::SetTimer(token, delay))
    }

    /// Cancels a timer. If it is due already its event still comes.
    pub fn cancel_timer(&mut self, timer: Token) {
        self.actions.push(Action::CancelTimer(timer));
    }

    /// Reads the durable store. Completed by [`Event::KvValue`].
    pub fn kv_get(&mut self, key: &[u8]) -> Token {
        self.with_token(|token| Action::KvGet(token, key.to_vec()))
    }

    /// Writes the durable store. Completed by [`Event::KvStored`], once durable.
    pub fn kv_put(&mut self, key: &[u8], value: &[u8]) -> Token {
        self.with_token(|token| Action::KvPut(token, key.to_vec(), value.to_vec()))
    }

    /// Removes a key from the durable store. Completed by [`Event::KvStored`], once durable.
    pub fn kv_remove(&mut self, key: &[u8]) -> Token {
        self.with_token(|token| Action::KvRemove(token, key.to_vec()))
    }

    /// Writes to the node's log.
    pub fn log(&mut self, level: Level, message: impl Into<String>) {
        self.actions.push(Action::Log(level, message.into()));
    }

    /// Reports a metric, for example `proposals`. Names have 1 to 64 bytes of `a-z`, `0-9` and `_`.
    pub fn metric(&mut self, kind: Metric, name: &str, value: f64) {
        self.actions.push(Action::Metric(kind, name.to_owned(), value));
    }

    /// The plugin cannot go on: it is not entered again and the engine drains.
    pub fn fatal(&mut self, reason: impl Into<String>) {
        self.actions.push(Action::Fatal(reason.into()));
    }

    fn with_token(&mut self, action: impl FnOnce(Token) -> Action) -> Token {
        let token = Token(self.next_token);
        self.next_token = self.next_token.checked_add(1).unwrap_or(NonZeroU64::MIN);
        self.actions.push(action(token));
        token
    }
}

/// Events that one delivery may bring about before the plugin counts as spinning: one that answers
/// [`Submitted::Again`] by submitting at once would never come back.
const MAX_STEPS_PER_DELIVERY: usize = 1024;

/// Carries a [`Stepped`] plugin. What [`crate::export_plugin!`]`(stepped …)` exports.
#[derive(Debug)]
pub struct Driver<S> {
    plugin: S,
    performer: Performer,
}

#[derive(Debug)]
struct Performer {
    host: Host,
    next_token: NonZeroU64,
    /// The last whole reading: the record may be in the middle of being written.
    pressure: Option<PressureValues>,
    /// What actions brought at once.
    pending: VecDeque<Event>,
}

impl<S: Stepped> Plugin for Driver<S> {
    const CONSENSUS_ID: &'static str = S::CONSENSUS_ID;
    const VERSION: &'static str = S::VERSION;

    fn start(host: Host, chain: ChainState) -> Result<Self, StartError> {
        if S::NEEDS_FORK_CHOICE && !host.offers_fork_choice() {
            return Err(StartError::Host(format!(
                "this node does not offer fork-choice/1, which {} cannot do without",
                S::CONSENSUS_ID
            )));
        }
        let mut performer = Performer {
            host,
            next_token: NonZeroU64::MIN,
            pressure: None,
            pending: VecDeque::new(),
        };
        let mut step = performer.step(chain.now_ms);
        let plugin = S::start(&chain, &mut step)?;
        performer.perform(step);
        let mut driver = Self { plugin, performer };
        driver.run(chain.now_ms);
        Ok(driver)
    }

    fn deliver(&mut self, event: Event, now_ms: u64) {
        self.performer.pending.push_back(event);
        self.run(now_ms);
    }

    fn stop(self, _deadline: Duration) {
        self.plugin.on_stop();
    }
}

impl<S: Stepped> Driver<S> {
    fn run(&mut self, now_ms: u64) {
        for _ in 0..MAX_STEPS_PER_DELIVERY {
            let Some(event) = self.performer.pending.pop_front() else {
                return;
            };
            let mut step = self.performer.step(now_ms);
            self.plugin.on_event(event, &mut step);
            self.performer.perform(step);
        }
        self.performer.host.fatal(
            "the plugin spins: 1,024 steps in one delivery; submit again at Event::Credit, not at Submitted::Again",
        );
    }
}

impl Performer {
    fn step(&mut self, now_ms: u64) -> Step {
        self.pressure = self.host.pressure().or(self.pressure);
        Step::new(now_ms, self.pressure, self.next_token)
    }

    fn perform(&mut self, step: Step) {
        let (next_token, actions) = step.finish();
        self.next_token = next_token;
        for action in actions {
            self.perform_one(action);
        }
    }

    fn perform_one(&mut self, action: Action) {
        let host = self.host;
        let at_once = match action {
            Action::RequestBlock(token, request) => {
                refused(host.request_block(token, &request), |why| Event::BlockBuilt {
                    token,
                    result: Err(why),
                })
            }
            Action::Validate(token, block) => refused(host.validate(token, &block), |why| Event::Verdict {
                token,
                result: Err(why),
            }),
            Action::SubmitFinalized(token, block, certificate) => Some(Event::Submitted {
                token,
                outcome: host.submit_finalized(&block, &certificate),
            }),
            Action::ImportBlock(token, block) => Some(fork_choice(token, host.import_block(&block))),
            Action::Finalize(token, block, certificate) => {
                Some(fork_choice(token, host.finalize(block, &certificate)))
            }
            Action::SetHead(token, head) => refused(host.set_head(token, head), |why| Event::HeadMoved {
                token: Some(token),
                result: Err(HeadDeclined::Declined(why)),
            }),
            Action::KvGet(token, key) => refused(host.kv_get(token, &key), |why| Event::KvValue {
                token,
                result: Err(why),
            }),
            Action::KvPut(token, key, value) => {
                refused(host.kv_put(token, &key, &value), |why| Event::KvStored {
                    token,
                    result: Err(why),
                })
            }
            Action::KvRemove(token, key) => refused(host.kv_remove(token, &key), |why| Event::KvStored {
                token,
                result: Err(why),
            }),
            Action::SetTimer(token, delay) => return self.set_timer(token, delay),
            Action::CancelTimer(token) => return host.cancel_timer(token),
            Action::AnnounceProposal(block) => return host.announce_proposal(&block),
            Action::Log(level, message) => return host.log(level, &message),
            Action::Metric(kind, name, value) => return host.metric(kind, &name, value),
            Action::Fatal(reason) => return host.fatal(&reason),
        };
        self.pending.extend(at_once);
    }

    /// A timer that is refused would be a plugin that sleeps for ever: better to end it by name.
    fn set_timer(&self, token: Token, delay: Duration) {
        match self.host.set_timer(token, delay) {
            Ok(()) | Err(Declined::Stopped) => {}
            Err(why) => self
                .host
                .fatal(&format!("a timer of {delay:?} was refused: {why}")),
        }
    }
}

fn refused(taken: Result<(), Declined>, event: impl FnOnce(Declined) -> Event) -> Option<Event> {
    taken.err().map(event)
}

fn fork_choice(token: Token, outcome: Result<Submitted, Declined>) -> Event {
    Event::Submitted {
        token,
        outcome: outcome.unwrap_or(Submitted::Invalid),
    }
}
