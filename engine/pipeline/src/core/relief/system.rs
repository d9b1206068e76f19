//! The system whose states are explored: a real [`Core`], real credits and wakeups, a proposer, and an environment that
//! does its worst.
//!
//! ```text
//!            build, finalize                    tasks
//!   proposer ───────────────▶ requests ─▶ core ───────▶ in flight ─▶ executed, as late as the environment likes
//!       ▲                                  │  └───────▶ bodies to be written, likewise
//!       └────────── inbox ◀────────────────┘ answers, Work, Credit; the proposer's own timer
//! ```
//!
//! Every arrow is a queue in order; each [`Action`] moves one thing along one of them, and the environment chooses which.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use millrace_types::block::HEADER_VERSION;
use millrace_types::receipt::settlement_hash;
use millrace_types::{Block, Body, ChainSpec, ExecutionReceipt, Hash, Header, merkle};

use super::outside::{Outside, receipt, transaction};
use crate::admission::Summary;
use crate::api::{BuildAnswer, BuildRequest, Event, NotNow};
use crate::config::EngineConfig;
use crate::core::{Core, Effect, Executed, Left, Start};
use crate::mailbox::Credits;
use crate::pressure::{Bounds, Ladder};
use crate::reply::Reply;
use crate::testing::{address, spec};
use crate::tree::Node;
use crate::wakeups::Wakeups;

/// Time goes on in steps of this. A block's place in time matters only beside the distance that the ladder asks for,
/// which is one step or two.
pub(super) const STEP_MS: u64 = 10;
/// What the ladder is told that blocks take, for a distance of one step, and of two.
const SERVICE_MS: [u64; 2] = [8, 16];

/// How the proposer waits after "not now".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Patience {
    /// For word of work, or a timer of its own: `consensus-plugins/solo`.
    Timer,
    /// For word of work alone: `consensus-plugins/longest-chain`.
    Work,
}

/// Which system.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variant {
    pub(super) k: u64,
    pub(super) age: u64,
    pub(super) has_ladder: bool,
    pub(super) patience: Patience,
    /// Others propose too: between two turns of this node a block of theirs may become final, which settles what they
    /// like within the rules, whether that is executed here or not.
    pub(super) has_others: bool,
    /// Whether what blocks take changes.
    pub(super) has_two_paces: bool,
    /// Whether bodies wait for the disk as long as the environment likes, or no time at all.
    pub(super) has_slow_disk: bool,
    /// Whether the pool is filled and emptied as the environment likes, or always filled.
    pub(super) has_idle_pool: bool,
    /// Whether empty blocks are asked for.
    pub(super) wants_empty: bool,
    pub(super) is_pipelined: bool,
    /// The engine is broken on purpose: word of work is lost.
    pub(super) loses_work: bool,
}

/// What moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Action {
    /// The core takes the oldest request.
    Take,
    /// The proposer takes the oldest message.
    Hear,
    /// Time goes on by a step.
    Pass,
    /// The oldest block in flight is executed and its receipt durable; the pace that follows.
    Execute {
        pace: usize,
    },
    /// The oldest body that is to be written is durable.
    Write,
    /// A transaction comes into the pool, or the pool is empty.
    Fill,
    Drain,
    /// A block of somebody else becomes final, which settles up to so far below itself.
    Other {
        lag: u64,
    },
}

impl Variant {
    /// Nothing is asked about a longer time.
    pub(super) fn longest_ms(&self) -> u64 {
        if self.has_two_paces { 2 * STEP_MS } else { STEP_MS }
    }
}

impl Action {
    /// What happens in the end if it stays possible; the rest the environment may leave undone for ever.
    pub(super) const FAIR: usize = 5;

    pub(super) fn fair_class(self) -> Option<usize> {
        match self {
            Self::Take => Some(0),
            Self::Hear => Some(1),
            Self::Pass => Some(2),
            Self::Execute { .. } => Some(3),
            Self::Write => Some(4),
            Self::Fill | Self::Drain | Self::Other { .. } => None,
        }
    }
}

/// What a step was good for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Gain {
    /// A height was settled, and told.
    pub(super) settles: bool,
    /// This node built a block with transactions.
    pub(super) includes: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Request {
    Build,
    Finalize(Arc<Block>),
}

#[derive(Clone, Debug)]
pub(super) enum Message {
    Timer,
    Built(Arc<Block>),
    NotNow,
    Work,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Phase {
    Waiting,
    Declined,
    Building,
}

/// The proposer, as `consensus-plugins/solo/src/sequencer.rs` has it, with no interval of its own. That it is never
/// refused for want of credits is asserted.
#[derive(Clone, Debug)]
pub(super) struct Proposer {
    pub(super) phase: Phase,
    pub(super) head: Hash,
    pub(super) turn_ms: Option<u64>,
    pub(super) asked_ms: u64,
    pub(super) proposed_ms: u64,
}

/// A state of the system.
pub(super) struct System {
    pub(super) variant: Variant,
    pub(super) core: Core,
    pub(super) credits: Credits,
    pub(super) wakeups: Wakeups,
    pub(super) outside: Outside,
    pub(super) bodies: VecDeque<Hash>,
    pub(super) requests: VecDeque<Request>,
    pub(super) inbox: VecDeque<Message>,
    pub(super) proposer: Proposer,
    pub(super) is_others_turn: bool,
    pub(super) now_ms: u64,
    /// What was answered and shown on the way into this state: for the tally only.
    pub(super) seen: BTreeSet<&'static str>,
}

impl System {
    /// At genesis.
    pub(super) fn new(variant: Variant) -> Self {
        let spec = ChainSpec {
            max_receipt_lag: variant.k,
            receipt_age: variant.age,
            ..spec()
        };
        let config = EngineConfig {
            pressure_delay_ms: STEP_MS,
            pipelining: variant.is_pipelined,
            speculation: false,
            ..EngineConfig::default()
        };
        let header = Header::genesis(&spec, Hash::ZERO);
        let hash = header.hash();
        let block = Arc::new(Block {
            header: header.clone(),
            body: Body::default(),
        });
        let receipt = ExecutionReceipt::of_genesis(&header).expect("a genesis header has its root");
        let genesis = Node::of_finalized(hash, block, Summary::default(), Some(receipt), 0);
        // The least that `start` in engine.rs provides.
        let capacity = usize::try_from(variant.k).expect("K is small") + 2;
        let now_ms = header.timestamp_ms + 10 * STEP_MS;
        let start = Start { chain: vec![genesis] };
        let mut core = Core::new(Arc::new(spec.clone()), config, capacity, start);
        if !variant.has_ladder {
            core.ladder = Ladder::new(Bounds {
                max_receipt_lag: u64::MAX,
                receipt_age: u64::MAX,
                ..Bounds::of(&spec, STEP_MS)
            });
        }
        Self {
            variant,
            core,
            credits: Credits::new(capacity as u64),
            wakeups: Wakeups::default(),
            outside: Outside {
                is_filled: !variant.has_idle_pool,
                sent: BTreeMap::from([(hash, 0)]),
            },
            bodies: VecDeque::new(),
            requests: VecDeque::new(),
            inbox: VecDeque::from([Message::Timer]),
            proposer: Proposer {
                phase: Phase::Waiting,
                head: hash,
                turn_ms: None,
                asked_ms: 0,
                proposed_ms: 0,
            },
            is_others_turn: variant.has_others,
            now_ms,
            seen: BTreeSet::new(),
        }
    }

    /// Transactions wait in the pool.
    pub(super) fn is_filled(&self) -> bool {
        self.outside.is_filled
    }

    /// A finalized block that has to be settled is not: one with transactions, or any where empty blocks go on.
    pub(super) fn has_unsettled(&self) -> bool {
        let tip = self.finalized();
        let owed = if self.variant.wants_empty {
            tip.height()
        } else {
            tip.last_non_empty
        };
        owed > self.core.settled
    }

    pub(super) fn finalized(&self) -> &Node {
        let hash = self.core.tree.finalized().hash;
        self.core
            .tree
            .get(&hash)
            .expect("the newest finalized block is kept")
    }

    /// What may happen now.
    pub(super) fn actions(&self) -> Vec<Action> {
        let mut actions = vec![Action::Pass];
        if !self.requests.is_empty() {
            actions.push(Action::Take);
        }
        if !self.inbox.is_empty() {
            actions.push(Action::Hear);
        }
        if !self.bodies.is_empty() {
            actions.push(Action::Write);
        }
        let first = self.core.in_flight.front();
        if first.is_some_and(|task| !self.bodies.contains(&task.block.hash)) {
            actions.push(Action::Execute { pace: 0 });
            if self.variant.has_two_paces {
                actions.push(Action::Execute { pace: 1 });
            }
        }
        if self.variant.has_idle_pool {
            let is_filled = self.outside.is_filled;
            actions.push(if is_filled { Action::Drain } else { Action::Fill });
        }
        let is_free = self.proposer.phase != Phase::Building && self.requests.is_empty();
        if self.is_others_turn && is_free && self.credits.available() > 0 {
            let parent = self.finalized();
            let height = parent.height() + 1;
            let most = self.variant.k.min(height - parent.settled_height());
            // The extremes: all is settled, or as little as the rules allow.
            actions.extend(
                BTreeSet::from([1, most])
                    .into_iter()
                    .map(|lag| Action::Other { lag }),
            );
        }
        actions
    }

    /// The state after `action`.
    pub(super) fn after(&self, action: Action) -> (Self, Gain) {
        let mut next = self.fork();
        let mut gain = Gain::default();
        let mut effects = Vec::new();
        match action {
            Action::Take => next.take(&mut effects, &mut gain),
            Action::Hear => next.hear(),
            Action::Pass => next.pass(&mut effects),
            Action::Execute { pace } => next.execute(pace, &mut effects),
            Action::Write => {
                let hash = next.bodies.pop_front().expect("a body is to be written");
                next.core.on_body_durable(&hash, &mut effects);
            }
            Action::Fill => {
                next.outside.is_filled = true;
                if next.wakeups.take_transaction() {
                    next.offer_work();
                }
            }
            Action::Drain => next.outside.is_filled = false,
            Action::Other { lag } => next.take_others(lag, &mut effects),
        }
        next.core.on_tick(next.now_ms, &mut effects);
        next.perform(effects, &mut gain);
        next.check();
        (next, gain)
    }

    /// What must hold in every state.
    fn check(&self) {
        assert!(self.core.stopped.is_none(), "stopped: {:?}", self.core.stopped);
        let tip = self.finalized();
        let lag = tip.height() - tip.settled_height();
        assert!(
            lag <= self.variant.k,
            "{lag} blocks are not settled, K is {}",
            self.variant.k
        );
        let taken = self.core.in_flight.len() + self.core.awaiting.len();
        assert!(
            taken <= self.core.capacity,
            "{taken} blocks in {} slots",
            self.core.capacity
        );
    }

    /// As the driver does it: `Driver::take`, `Driver::request`.
    fn take(&mut self, effects: &mut Vec<Effect>, gain: &mut Gain) {
        match self.requests.pop_front().expect("there is a request") {
            Request::Build => {
                let earlier_waits = self.wakeups.begin_build();
                let request = BuildRequest {
                    parent: self.proposer.head,
                    proposer: address(0),
                    consensus_data: Vec::new(),
                    max_gas: None,
                    max_bytes: None,
                    timestamp_ms: None,
                    allow_empty: self.variant.wants_empty,
                };
                let reply = Reply::new(|_| {});
                self.core
                    .on_build(request, reply, self.now_ms, &self.outside, effects);
                match effects.pop() {
                    Some(Effect::AnswerBuild(_, answer)) => self.answer(answer, earlier_waits, gain),
                    other => panic!("a build is answered at once, not {other:?}"),
                }
            }
            Request::Finalize(block) => self.finalize(block, effects),
        }
    }

    /// As the driver does it: `Driver::answer_build`.
    fn answer(&mut self, answer: BuildAnswer, earlier_waits: bool, gain: &mut Gain) {
        let is_declined = matches!(answer, BuildAnswer::NotNow(_));
        let waits = matches!(&answer, BuildAnswer::NotNow(reason) if reason.is_over_with_a_transaction());
        self.wakeups.decide(waits, earlier_waits);
        match answer {
            BuildAnswer::Built(block) => {
                gain.includes = !block.body.transactions.is_empty();
                self.seen.insert(if gain.includes {
                    "full block"
                } else {
                    "empty block"
                });
                self.inbox.push_back(Message::Built(Arc::from(block)));
            }
            BuildAnswer::NotNow(reason) => {
                self.seen.insert(match reason {
                    NotNow::LagLimit { .. } => "lag limit",
                    NotNow::NothingToSettle { .. } => "nothing to settle",
                    NotNow::Idle => "idle",
                    NotNow::AwaitingExecution { .. } => "awaiting execution",
                    NotNow::Delay { .. } => "delay",
                    NotNow::ParentNotExecuted { .. } => "parent not executed",
                    NotNow::Busy => "busy",
                });
                self.inbox.push_back(Message::NotNow);
            }
            other => panic!("{other:?}"),
        }
        if is_declined && self.wakeups.was_overtaken() {
            self.inbox.push_back(Message::Work);
        }
    }

    fn finalize(&mut self, block: Arc<Block>, effects: &mut Vec<Effect>) {
        let parent = self.outside.sent[&block.header.parent_hash];
        let sent = parent + block.body.transactions.len() as u64;
        self.outside.sent.insert(block.hash(), sent);
        let certificate = Some(Vec::new());
        self.core
            .on_finalized(block, certificate, self.now_ms, &self.outside, effects);
    }

    fn execute(&mut self, pace: usize, effects: &mut Vec<Effect>) {
        let task = self.core.in_flight.front().expect("a block is in flight");
        let left = Left {
            hash: task.block.hash,
            executed: Some(Executed {
                receipt: receipt(task.block.height, task.block.hash),
                transactions: 0,
            }),
        };
        self.core.on_left(left, self.now_ms, &self.outside, effects);
        // Whatever was measured: what it is, is the environment's choice.
        self.core.ladder.set_service_ms(SERVICE_MS[pace]);
    }

    /// A block that somebody else proposed and everybody voted for.
    fn take_others(&mut self, lag: u64, effects: &mut Vec<Effect>) {
        assert!(self.credits.spend(), "it is asked for when there is a credit");
        let parent = self.finalized();
        let (hash, height, sent) = (parent.hash, parent.height() + 1, self.outside.sent[&parent.hash]);
        let settled_height = height - lag;
        let receipts: Vec<ExecutionReceipt> = (parent.settled_height() + 1..=settled_height)
            .map(|height| {
                let ancestor = self.core.tree.finalized_at(height);
                receipt(height, ancestor.expect("what is not settled is kept"))
            })
            .collect();
        let transactions = vec![transaction(sent)];
        let header = Header {
            version: HEADER_VERSION,
            chain_id: self.core.spec.chain_id,
            height,
            parent_hash: hash,
            timestamp_ms: self.now_ms,
            proposer: address(1),
            transactions_root: merkle::transactions_root(&transactions),
            gas_limit: self.core.spec.limits.block_gas,
            settled_height,
            settlement_hash: settlement_hash(&receipts),
            delayed_state_root: None,
            consensus_data: Vec::new(),
            seal: Vec::new(),
        };
        let body = Body {
            transactions,
            receipts,
        };
        let block = Arc::new(Block { header, body });
        self.proposer.head = block.hash();
        self.finalize(block, effects);
        // The next turn is this node's, and it may take its time.
        self.is_others_turn = false;
        self.proposer.phase = Phase::Waiting;
        self.set_turn(self.now_ms);
    }

    fn pass(&mut self, effects: &mut Vec<Effect>) {
        self.now_ms += STEP_MS;
        self.core.on_tick(self.now_ms, effects);
        if let Some(turn_ms) = self.proposer.turn_ms {
            self.set_turn(turn_ms);
        }
    }

    fn perform(&mut self, effects: Vec<Effect>, gain: &mut Gain) {
        for effect in effects {
            match effect {
                Effect::WriteFinalized { blocks, .. } => {
                    self.bodies
                        .extend(blocks.iter().map(|finalized| finalized.block.hash));
                    if !self.variant.has_slow_disk {
                        self.write_all(gain);
                    }
                }
                Effect::Emit(Event::Settled { .. }) => gain.settles = true,
                Effect::ReturnCredit => assert!(!self.credits.give_back(), "nobody was refused"),
                Effect::WorkPossible => self.offer_work(),
                Effect::Emit(_) | Effect::Execute(_) | Effect::HeadMoved { .. } => {}
                other => panic!("not in this system: {other:?}"),
            }
        }
    }

    fn write_all(&mut self, gain: &mut Gain) {
        while let Some(hash) = self.bodies.pop_front() {
            let mut effects = Vec::new();
            self.core.on_body_durable(&hash, &mut effects);
            self.perform(effects, gain);
        }
    }

    fn offer_work(&mut self) {
        if self.wakeups.take_build() && !self.variant.loses_work {
            self.inbox.push_back(Message::Work);
        }
    }
}

/// The proposer.
impl System {
    fn hear(&mut self) {
        match self.inbox.pop_front().expect("there is a message") {
            Message::Timer => self.take_turn(),
            Message::Work if self.proposer.phase == Phase::Declined => self.take_turn(),
            Message::Work => {}
            Message::NotNow => {
                self.proposer.phase = Phase::Declined;
                if self.variant.patience == Patience::Timer {
                    self.set_turn(self.now_ms + STEP_MS);
                }
            }
            Message::Built(block) => {
                assert!(self.credits.spend(), "a block that was built finds a credit");
                self.proposer.phase = Phase::Waiting;
                self.proposer.proposed_ms = self.proposer.asked_ms;
                self.proposer.head = block.hash();
                self.requests.push_back(Request::Finalize(block));
                self.is_others_turn = self.variant.has_others;
                self.set_turn(self.due_ms());
            }
        }
    }

    fn due_ms(&self) -> u64 {
        self.proposer.proposed_ms + self.core.pressure().min_interval_ms
    }

    fn take_turn(&mut self) {
        if self.proposer.phase == Phase::Building {
            return;
        }
        if self.now_ms < self.due_ms() {
            return self.set_turn(self.due_ms());
        }
        self.requests.push_back(Request::Build);
        self.proposer.phase = Phase::Building;
        self.proposer.asked_ms = self.now_ms;
    }

    /// The timer is set anew: one that has fired and was not heard yet is not this one.
    fn set_turn(&mut self, at_ms: u64) {
        self.inbox.retain(|message| !matches!(message, Message::Timer));
        let is_due = at_ms <= self.now_ms;
        self.proposer.turn_ms = (!is_due).then_some(at_ms);
        if is_due {
            self.inbox.push_back(Message::Timer);
        }
    }
}
