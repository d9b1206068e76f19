//! States of the system: which of them are one, and how to go on from one in more than one way.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use millrace_types::{Block, Height};

use super::system::{Message, Phase, Proposer, Request, STEP_MS, System};
use crate::core::{Core, InFlight};
use crate::pressure::Rung;
use crate::task::Purpose;
use crate::tree::Standing;

impl System {
    /// All that the future depends on, counted from the newest finalized block and from now: equal keys, equal futures.
    pub(super) fn key(&self) -> Vec<u8> {
        let core = &self.core;
        let tip = self.finalized();
        let (height, settled) = (tip.height(), tip.settled_height());
        let mut key = Vec::with_capacity(64);
        let longest_ms = self.variant.longest_ms();
        let below = |at: Height| byte(height - at);
        let age = |at_ms: u64| byte(self.now_ms.saturating_sub(at_ms).min(longest_ms) / STEP_MS);
        let until =
            |at_ms: Option<u64>| at_ms.map_or(u8::MAX, |at| byte(at.saturating_sub(self.now_ms) / STEP_MS));
        // Nobody looks at what is below s of the newest admitted block.
        for hash in core.tree.above(core.admitted_settled, &tip.hash) {
            let node = core.tree.get(&hash).expect("it was found there");
            let standing = match &node.standing {
                Standing::Waiting => 0,
                Standing::Valid(_) => 1,
                Standing::Invalid(reason) => panic!("{reason}"),
            };
            key.extend([
                byte(node.height() - node.settled_height()),
                standing,
                u8::from(node.receipt.is_some()),
            ]);
        }
        key.extend([
            u8::MAX,
            below(settled),
            // What is told as settled may be behind s(F), and what is owed is counted from it.
            below(core.settled),
            below(tip.last_non_empty.max(core.settled)),
            below(core.head().height()),
            below(core.acknowledged.height),
            below(core.executed.height),
            below(core.admitted_settled),
            byte(core.awaiting.len() as u64),
            byte(core.in_flight.len() as u64),
            until(core.work_at_ms),
            age(tip.block.header.timestamp_ms),
        ]);
        let (rung, entered_at_lag, empties, was_full, service_ms) = core.ladder.memory();
        let steps = match rung {
            Rung::Shrink { steps } => steps,
            Rung::Open | Rung::Delay | Rung::Empty => 0,
        };
        // An open ladder does not ask what entered it, and enough empty blocks are enough.
        let entered_at_lag = if rung == Rung::Open { 0 } else { entered_at_lag };
        key.extend([
            byte(rung.level()),
            steps,
            byte(entered_at_lag),
            byte(empties.min(self.variant.k)),
        ]);
        key.extend([
            u8::from(was_full),
            byte(service_ms),
            byte(self.credits.available()),
            byte(self.bodies.len() as u64),
        ]);
        key.extend(self.wakeups.flags().map(u8::from));
        key.extend([u8::from(self.outside.is_filled), u8::from(self.is_others_turn)]);
        let proposer = &self.proposer;
        let asked = if proposer.phase == Phase::Building {
            age(proposer.asked_ms)
        } else {
            0
        };
        key.extend([
            proposer.phase as u8,
            until(proposer.turn_ms),
            asked,
            age(proposer.proposed_ms),
        ]);
        let of_block = |block: &Block| {
            let header = &block.header;
            let is_empty = block.body.transactions.is_empty();
            [
                byte(header.height - header.settled_height),
                u8::from(is_empty),
                age(header.timestamp_ms),
            ]
        };
        for request in &self.requests {
            match request {
                Request::Build => key.push(1),
                Request::Finalize(block) => {
                    key.push(2);
                    key.extend(of_block(block));
                }
            }
        }
        for message in &self.inbox {
            match message {
                Message::Timer => key.push(3),
                Message::Work => key.push(4),
                Message::NotNow => key.push(5),
                Message::Built(block) => {
                    key.push(6);
                    key.extend(of_block(block));
                }
            }
        }
        key
    }

    /// For whoever reads a counterexample.
    pub(super) fn describe(&self) -> String {
        let tip = self.finalized();
        let (height, settled) = (tip.height(), tip.settled_height());
        let rung = self.core.ladder.rung();
        let executed = self.core.executed.height;
        let Proposer { phase, turn_ms, .. } = &self.proposer;
        let in_ms = turn_ms.map(|at| at - self.now_ms);
        let inbox: Vec<&str> = self
            .inbox
            .iter()
            .map(|message| match message {
                Message::Timer => "timer",
                Message::Built(_) => "built",
                Message::NotNow => "not now",
                Message::Work => "work",
            })
            .collect();
        format!(
            "finalized {height}, executed {executed}, settled {settled}, {rung}; {phase:?}, turn in {in_ms:?} ms, \
             {} requests, inbox {inbox:?}, pool filled: {}",
            self.requests.len(),
            self.outside.is_filled,
        )
    }

    /// The rung, and whether empty blocks gave way.
    pub(super) fn ladder(&self) -> (Rung, bool) {
        let (rung, _, empties, ..) = self.core.ladder.memory();
        (rung, empties >= self.variant.k)
    }

    pub(super) fn fork(&self) -> Self {
        let mut outside = self.outside.clone();
        outside
            .sent
            .retain(|block, _| self.core.tree.get(block).is_some());
        Self {
            variant: self.variant,
            core: fork(&self.core),
            credits: self.credits.copy(),
            wakeups: self.wakeups.copy(),
            outside,
            bodies: self.bodies.clone(),
            requests: self.requests.clone(),
            inbox: self.inbox.clone(),
            proposer: self.proposer.clone(),
            is_others_turn: self.is_others_turn,
            now_ms: self.now_ms,
            seen: BTreeSet::new(),
        }
    }
}
/// Another core in the same state. Replies cannot be doubled: nothing waits for one here.
fn fork(core: &Core) -> Core {
    assert!(
        core.waiting.is_empty() && core.wanted.is_none(),
        "nobody waits for an answer"
    );
    assert!(
        core.proposals.is_empty() && core.kept.is_empty(),
        "nothing is speculated on"
    );
    let in_flight = core.in_flight.iter().map(|task| {
        assert!(task.purpose == Purpose::Final && !task.is_abandoned);
        InFlight {
            block: task.block,
            purpose: task.purpose,
            since_ms: task.since_ms,
            // Nobody works on it: what is done of a block here is reported with its receipt.
            work: Arc::clone(&task.work),
            is_abandoned: false,
        }
    });
    Core {
        spec: Arc::clone(&core.spec),
        config: core.config.clone(),
        capacity: core.capacity,
        tree: core.tree.clone(),
        ladder: core.ladder.clone(),
        stopped: core.stopped.clone(),
        is_stop_told: core.is_stop_told,
        head: core.head,
        acknowledged: core.acknowledged,
        settled: core.settled,
        admitted_settled: core.admitted_settled,
        executed: core.executed,
        head_chain: Arc::clone(&core.head_chain),
        awaiting: core.awaiting.clone(),
        in_flight: in_flight.collect(),
        left: core.left,
        wanted: None,
        turned_away: core.turned_away.clone(),
        proposals: VecDeque::new(),
        kept: VecDeque::new(),
        waiting: Vec::new(),
        preparing: core.preparing.clone(),
        last_executed_ms: core.last_executed_ms,
        work_at_ms: core.work_at_ms,
        no_block: core.no_block,
        counters: core.counters,
    }
}

/// A small number of a key.
fn byte(number: u64) -> u8 {
    u8::try_from(number).expect("a system is small")
}
