//! What is executed next: finalized blocks, then what leads to a wanted head, then the head chain, then speculation.
//!
//! The ring keeps the order in which tasks are put in, so a task is put in only behind its parent's, or when the
//! parent's state is there. Whatever a task of a block has done, the next task of the same block passes by
//! ([`Work`]): so evicting speculation costs nothing but the way through the ring, and a block that was executed ahead
//! of its turn is taken over by one more task, which has only to make it durable.
//!
//! ```text
//!                     announced, valid,          its turn comes                  the task leaves the ring
//!   proposals ──────▶ parent has a state ─▶ Speculation ─▶ kept (bounded) ─▶ Head or Final ─▶ receipt, node.receipt
//!       ▲                                       │ evicted      │ no room, or it lost
//!       └───────────────────────────────────────┘              └─▶ discarded, with what follows it
//! ```

use std::sync::Arc;

use millrace_types::Hash;

use super::{Core, Effect, InFlight, Left, World};
use crate::task::{BlockTask, Purpose, Work};
use crate::tree::{Node, Standing};

/// Tasks of the head chain that are in the ring at once: enough that every stage has one, and one waits for each.
pub(crate) const HEAD_TASKS: usize = 8;

impl Core {
    /// Sends on what may be executed, the most urgent first.
    pub(super) fn dispatch(&mut self, now_ms: u64, world: &dyn World, effects: &mut Vec<Effect>) {
        self.admit_awaiting(now_ms, world, effects);
        self.pursue_wanted(now_ms, world, effects);
        let head_chain = self.tree.unfinalized_to(&self.head);
        self.execute_branch(&head_chain, now_ms, effects);
        self.speculate(now_ms, effects);
    }

    /// Puts a block's task into the ring.
    pub(super) fn publish(
        &mut self,
        hash: &Hash,
        purpose: Purpose,
        since_ms: u64,
        effects: &mut Vec<Effect>,
    ) {
        if purpose > Purpose::Speculation {
            // A block that counts waits for the one that is executed at the moment, and for no other.
            self.evict_speculation(effects);
        }
        self.kept.retain(|kept| kept != hash);
        let node = self
            .tree
            .get_mut(hash)
            .expect("only blocks of the tree are executed");
        let work = match node.receipt {
            Some(_) => Arc::new(Work::durable()),
            None => Arc::clone(node.work.get_or_insert_default()),
        };
        if purpose == Purpose::Head && !std::mem::replace(&mut node.is_written, true) {
            effects.push(Effect::WriteBody(Arc::clone(&node.block)));
        }
        self.in_flight.push_back(InFlight {
            block: node.reference(),
            purpose,
            since_ms,
            work: Arc::clone(&work),
            is_abandoned: false,
        });
        let block = Arc::clone(&node.block);
        effects.push(Effect::Execute(BlockTask {
            hash: *hash,
            block,
            purpose,
            work,
        }));
    }

    /// Sends on what is not executed of a branch above finality, parents first.
    pub(super) fn execute_branch(&mut self, branch: &[Hash], now_ms: u64, effects: &mut Vec<Effect>) {
        // Those that are final go first; their descendants follow them.
        if self.is_stopped() || !self.awaiting.is_empty() {
            return;
        }
        for hash in branch {
            let Some(node) = self.tree.get(hash).filter(|node| node.is_valid()) else {
                return;
            };
            if node.receipt.is_some() || self.is_in_flight(hash, Purpose::Head) {
                continue;
            }
            let parent = node.parent();
            let is_next = self.tree.get(&parent).is_some_and(|node| node.receipt.is_some())
                || self.is_in_flight(&parent, Purpose::Head);
            if !is_next || self.count(Purpose::Head) >= HEAD_TASKS {
                return;
            }
            self.publish(hash, Purpose::Head, now_ms, effects);
        }
    }

    /// Whether a task of the block is in the ring that does not give way, for this purpose or a more urgent one.
    pub(super) fn is_in_flight(&self, hash: &Hash, purpose: Purpose) -> bool {
        let tasks = self.in_flight.iter();
        tasks
            .filter(|task| !task.is_abandoned && task.purpose >= purpose)
            .any(|task| task.block.hash == *hash)
    }

    /// Whether a task of the block is in the ring, also one that is abandoned: it may have been past the point where that
    /// stops it, and still make the receipt durable.
    pub(super) fn has_task(&self, hash: &Hash) -> bool {
        self.in_flight.iter().any(|task| task.block.hash == *hash)
    }

    /// Tasks of this purpose in the ring; those too that are abandoned take a slot.
    pub(super) fn count(&self, purpose: Purpose) -> usize {
        self.in_flight
            .iter()
            .filter(|task| task.purpose == purpose)
            .count()
    }

    /// Abandons the tasks that `is_unwanted` names, the newest first: so a worker that finds one abandoned finds those that
    /// follow it abandoned too, and no block gets a receipt, or needs a state, that its parent does not have.
    pub(super) fn abandon(&mut self, is_unwanted: impl Fn(&InFlight) -> bool, effects: &mut Vec<Effect>) {
        for (place, task) in self.in_flight.iter_mut().enumerate().rev() {
            if !task.is_abandoned && task.purpose < Purpose::Final && is_unwanted(task) {
                task.is_abandoned = true;
                effects.push(Effect::Abandon(self.left + place as u64));
            }
        }
    }

    /// A task has left the ring without making anything durable: its result is kept while there is room, or dropped. The
    /// last task of a block decides.
    pub(super) fn keep_or_discard(&mut self, task: &InFlight, effects: &mut Vec<Effect>) {
        let hash = task.block.hash;
        if self.has_task(&hash) {
            return;
        }
        let Some(node) = self.tree.get_mut(&hash) else {
            if task.block.height >= self.tree.lowest() {
                effects.push(Effect::Discard(hash));
            }
            return;
        };
        if node.receipt.is_some() {
            return;
        }
        let is_of_node = node
            .work
            .as_ref()
            .is_some_and(|work| Arc::ptr_eq(work, &task.work));
        if is_of_node && task.work.is_executed() {
            self.kept.push_back(hash);
        } else {
            node.work = None;
            // An earlier task may have left something.
            effects.push(Effect::Discard(hash));
        }
        let most = self.config.max_speculations();
        while self.kept.len() > most && self.forget_oldest(&hash, effects) {}
        if self.kept.len() > most {
            self.forget(&hash, effects);
        }
    }

    /// What is known of blocks that left the tree goes too. Parents come first.
    pub(super) fn forget_removed(&mut self, removed: &[Node], effects: &mut Vec<Effect>) {
        self.abandon(
            |task| removed.iter().any(|node| node.hash == task.block.hash),
            effects,
        );
        for node in removed {
            let hash = node.hash;
            self.proposals.retain(|proposal| *proposal != hash);
            if self.kept.contains(&hash) {
                self.kept.retain(|kept| *kept != hash);
                self.counters.speculations_dropped += 1;
            }
            if node.has_state() {
                effects.push(Effect::Discard(hash));
            }
        }
    }
}

/// Speculation.
impl Core {
    /// A block may be voted on: it is worth executing ahead of its turn.
    pub(super) fn propose(&mut self, hash: Hash) {
        let is_new = self.config.max_speculations() > 0 && !self.proposals.contains(&hash);
        if is_new && self.tree.get(&hash).is_some_and(|node| !node.has_state()) {
            self.proposals.push_back(hash);
        }
    }

    /// Executes proposals on their parents' states, when nothing that counts waits.
    pub(super) fn speculate(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        if self.is_stopped() || !self.awaiting.is_empty() || self.wanted.is_some() || self.head_chain_waits()
        {
            return;
        }
        let most = self.config.max_speculations();
        for hash in std::mem::take(&mut self.proposals) {
            let Some(node) = self.tree.get(&hash) else {
                continue;
            };
            if node.has_state() || matches!(node.standing, Standing::Invalid(_)) {
                continue;
            }
            let parent = node.parent();
            let is_ready = node.is_valid()
                && (self.tree.get(&parent).is_some_and(Node::has_state)
                    || self.is_in_flight(&parent, Purpose::Speculation))
                && !self.is_in_flight(&hash, Purpose::Speculation)
                && self.count(Purpose::Speculation) < most;
            let has_room = |core: &Self| core.kept.len() + core.count(Purpose::Speculation) < most;
            if is_ready && (has_room(self) || self.forget_oldest(&hash, effects)) && has_room(self) {
                self.counters.speculations += 1;
                self.publish(&hash, Purpose::Speculation, now_ms, effects);
            } else {
                self.proposals.push_back(hash);
            }
        }
    }

    /// Whether a block of the head chain is neither executed nor in the ring.
    fn head_chain_waits(&self) -> bool {
        let tip = self.tree.get(&self.head);
        tip.is_some_and(|node| node.receipt.is_none()) && !self.is_in_flight(&self.head, Purpose::Head)
    }

    /// Takes speculation out of the way. What it has done is not lost, and it comes again behind what it gave way to.
    fn evict_speculation(&mut self, effects: &mut Vec<Effect>) {
        let evicted: Vec<Hash> = self
            .in_flight
            .iter()
            .filter(|task| !task.is_abandoned && task.purpose == Purpose::Speculation)
            .map(|task| task.block.hash)
            .collect();
        self.abandon(|task| task.purpose == Purpose::Speculation, effects);
        for hash in evicted.into_iter().rev() {
            self.proposals.push_front(hash);
        }
    }

    /// Drops the oldest result, with those that follow it, that neither `spared` nor a task in the ring needs. An abandoned
    /// task of a block that counted may still make its receipt durable, and a block with a receipt has a state.
    fn forget_oldest(&mut self, spared: &Hash, effects: &mut Vec<Effect>) -> bool {
        let may_count = |task: &&InFlight| !task.is_abandoned || task.purpose > Purpose::Speculation;
        let live = self.in_flight.iter().filter(may_count);
        let needed: Vec<Hash> = live
            .map(|task| task.block.hash)
            .chain([*spared])
            .flat_map(|hash| self.tree.unfinalized_to(&hash))
            .collect();
        let Some(victim) = self.kept.iter().find(|kept| !needed.contains(kept)).copied() else {
            return false;
        };
        self.forget(&victim, effects);
        true
    }

    /// Drops what speculation found of a block and of those that follow it.
    fn forget(&mut self, victim: &Hash, effects: &mut Vec<Effect>) {
        for hash in self.tree.descendants(victim) {
            if let Some(node) = self.tree.get_mut(&hash) {
                node.work = None;
            }
            let before = self.kept.len();
            self.kept.retain(|kept| *kept != hash);
            self.counters.speculations_dropped += (before - self.kept.len()) as u64;
        }
        effects.push(Effect::Discard(*victim));
    }
}

impl Core {
    /// The oldest task, which has left the ring.
    pub(super) fn take_left(&mut self, left: &Left) -> InFlight {
        let task = self
            .in_flight
            .pop_front()
            .expect("only tasks in the ring leave it");
        assert_eq!(task.block.hash, left.hash, "tasks leave the ring in their order");
        self.left += 1;
        task
    }
}

#[cfg(test)]
mod tests;
