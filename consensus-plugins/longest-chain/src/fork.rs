//! Forks on demand: a branch is withheld until it is one block longer than the chain.
//!
//! While a branch is withheld every slot that is won goes to it, so the chain stands still and the branch overtakes it:
//! the head then loses exactly as many blocks as were drawn.

use millrace_plugin_sdk::types::{Hash, Height};
use millrace_plugin_sdk::{BlockMark, Level, Metric, Step};

use crate::chain::LongestChain;
use crate::lottery::Slot;

/// Won slots that a withheld branch may take for each of its blocks before it is given up. An engine that cannot
/// execute side branches declines their blocks from the K-th on.
const PATIENCE_SLOTS: u64 = 8;
const STUCK: &str =
    "the engine builds no block on it; forks of K blocks need one that executes announced proposals";

/// A branch that is withheld.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fork {
    /// Its newest block.
    pub(crate) tip: BlockMark,
    /// It is shown once it is this high.
    goal: Height,
    slots_left: u64,
}

impl LongestChain {
    /// How many blocks the withheld branch still needs, if there is one.
    #[must_use]
    pub fn blocks_to_withhold(&self) -> Option<u64> {
        self.fork.map(|fork| fork.goal - fork.tip.height)
    }

    /// At a slot that is won: begins a fork if it is time, and gives up one that does not come about.
    pub(crate) fn tend_fork(&mut self, slot: Slot, step: &mut Step) {
        match &mut self.fork {
            None => self.begin_fork(slot, step),
            Some(fork) if fork.slots_left == 0 => self.give_up_fork(STUCK, step),
            Some(fork) => fork.slots_left -= 1,
        }
    }

    fn begin_fork(&mut self, slot: Slot, step: &mut Step) {
        let Some(forks) = self.config.forks.filter(|_| slot >= self.fork_due) else {
            return;
        };
        let head = self.head.mark;
        // Not while a longer chain is about to be the head, nor twice from the same head: an idle chain stays idle.
        if self.tree.longest().height > head.height || self.last_forked == Some(head.hash) {
            return;
        }
        // Drawn by the slot in which it was due, so that waiting for a chain long enough favours no depth.
        let depth = self.config.lottery.depth(self.fork_due, forks.depth);
        let base = head.height.checked_sub(depth);
        let Some(tip) = base.and_then(|height| self.tree.ancestor(&head.hash, height)) else {
            return;
        };
        step.log(
            Level::Info,
            format!(
                "withholding a branch {depth} blocks below head {} at height {}",
                head.hash, head.height
            ),
        );
        self.fork = Some(Fork {
            tip,
            goal: head.height + 1,
            slots_left: PATIENCE_SLOTS * (depth + 1),
        });
    }

    /// The fork is over; the next one is due a while from now.
    fn end_fork(&mut self, head: Hash) {
        self.fork = None;
        self.last_forked = Some(head);
        self.fork_due = self.slot + self.config.forks.map_or(0, |forks| forks.every_slots);
    }

    /// The withheld branch has a block more: if it is the longest now, everybody learns of it.
    pub(crate) fn grow_fork(&mut self, tip: BlockMark, step: &mut Step) {
        let Some(fork) = &mut self.fork else { return };
        fork.tip = tip;
        if tip.height >= fork.goal {
            let slot = self.current_slot(step) + 1;
            self.tree.show(&tip.hash, slot);
            self.end_fork(tip.hash);
            step.metric(Metric::Counter, "forks", 1.0);
        }
    }

    /// The withheld branch does not come about; the chain goes on without.
    pub(crate) fn give_up_fork(&mut self, why: &str, step: &mut Step) {
        let Some(fork) = self.fork else { return };
        step.log(
            Level::Warn,
            format!("the withheld branch of {} is given up: {why}", fork.tip.hash),
        );
        step.metric(Metric::Counter, "forks_given_up", 1.0);
        if !self.is_on_head_chain(&fork.tip) {
            self.tree.remove(&fork.tip.hash);
        }
        self.end_fork(self.head.mark.hash);
    }

    /// After a branch was lost, which may have been the withheld one.
    pub(crate) fn forget_lost_fork(&mut self) {
        self.fork = self.fork.filter(|fork| self.tree.contains(&fork.tip.hash));
    }
}
