//! The state machine: a network of virtual miners, and the node that watches it.

use core::time::Duration;

use millrace_plugin_sdk::types::certificate::LONGEST_CHAIN_CONSENSUS_ID;
use millrace_plugin_sdk::types::{Hash, Height};
use millrace_plugin_sdk::{
    BlockBytes, BlockMark, BuildRequest, ChainState, Declined, Event, Level, Metric, StartError, Step,
    Stepped, Submitted, Token,
};

use crate::config::{Config, EmptyBlocks};
use crate::fork::Fork;
use crate::head::{Finality, Head};
use crate::lottery::{Miner, Slot};
use crate::tree::{Block, Tree};

/// The longest chain.
#[derive(Debug)]
pub struct LongestChain {
    pub(crate) config: Config,
    pub(crate) chain_id: u64,
    /// K of the chain.
    max_receipt_lag: u64,
    pub(crate) tree: Tree,
    making: Making,
    pub(crate) fork: Option<Fork>,
    /// When the next fork on demand is due.
    pub(crate) fork_due: Slot,
    /// The head that the last fork on demand led to, or was given up at.
    pub(crate) last_forked: Option<Hash>,
    pub(crate) head: Head,
    pub(crate) finality: Finality,
    /// The newest slot that was looked at.
    pub(crate) slot: Slot,
    /// When the last block was asked for that was then built.
    proposed_ms: u64,
    /// Once the head is this high, all that somebody waits for is final.
    wanted_up_to: Height,
    ended: bool,
}

/// A block in the making; one at a time.
#[derive(Debug)]
enum Making {
    Nothing,
    /// The engine has nothing to build now. Word of work within the slot is another try.
    Declined {
        plan: Plan,
    },
    Building {
        token: Token,
        plan: Plan,
        allow_empty: bool,
        asked_ms: u64,
    },
    Importing {
        token: Token,
        plan: Plan,
        block: BlockBytes,
    },
    /// There was no room for it; a credit event follows.
    Full {
        plan: Plan,
        block: BlockBytes,
    },
}

/// Who makes a block, when, and on what.
#[derive(Clone, Copy, Debug)]
struct Plan {
    slot: Slot,
    winner: Miner,
    parent: BlockMark,
    /// Part of a branch that is withheld.
    withheld: bool,
}

impl Stepped for LongestChain {
    const CONSENSUS_ID: &'static str = LONGEST_CHAIN_CONSENSUS_ID;
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const NEEDS_FORK_CHOICE: bool = true;

    fn start(chain: &ChainState, step: &mut Step) -> Result<Self, StartError> {
        let config = Config::read(chain).map_err(StartError::Configuration)?;
        let finalized = BlockMark {
            hash: chain.finalized_hash,
            height: chain.finalized_height,
        };
        step.log(
            Level::Info,
            format!(
                "{} miners with seed {} go on after block {} at height {}",
                config.lottery.miners, config.lottery.seed, finalized.hash, finalized.height
            ),
        );
        let slot = step.now_ms() / config.slot_ms;
        let mut this = Self {
            chain_id: chain.chain_id,
            max_receipt_lag: chain.max_receipt_lag,
            tree: Tree::new(finalized),
            making: Making::Nothing,
            fork: None,
            fork_due: slot + config.forks.map_or(0, |forks| forks.every_slots),
            last_forked: None,
            head: Head::at(finalized),
            finality: Finality::Idle,
            slot,
            proposed_ms: step.now_ms(),
            wanted_up_to: 0,
            ended: false,
            config,
        };
        this.wait_for_slot(step);
        Ok(this)
    }

    fn on_event(&mut self, event: Event, step: &mut Step) {
        if self.ended {
            return;
        }
        match event {
            Event::Timer { .. } => self.on_timer(step),
            Event::Work => self.on_work(step),
            Event::BlockBuilt { token, result } => self.on_built(token, result, step),
            Event::Submitted { token, outcome } => {
                self.on_imported(token, outcome, step);
                self.on_finalized(token, outcome, step);
            }
            Event::HeadMoved { token, result } => self.on_head_moved(token, result, step),
            Event::Credit { .. } => self.on_credit(step),
            _ => {}
        }
    }
}

impl LongestChain {
    /// The head, as far as the engine has said.
    #[must_use]
    pub fn head(&self) -> BlockMark {
        self.head.mark
    }

    /// The newest block that the engine took over as final.
    #[must_use]
    pub fn finalized(&self) -> BlockMark {
        self.tree.root()
    }

    /// The slot of `step`'s time.
    pub(crate) fn current_slot(&self, step: &Step) -> Slot {
        step.now_ms() / self.config.slot_ms
    }

    fn wait_for_slot(&mut self, step: &mut Step) {
        let next_ms = (self.current_slot(step) + 1).saturating_mul(self.config.slot_ms);
        step.set_timer(Duration::from_millis(next_ms.saturating_sub(step.now_ms())));
    }

    fn on_timer(&mut self, step: &mut Step) {
        self.wait_for_slot(step);
        // Whatever did not come about in the last slot is tried again in this one.
        self.move_head(step);
        let slot = self.current_slot(step);
        if slot > self.slot {
            self.slot = slot;
            self.take_slot(slot, step);
        }
    }

    fn take_slot(&mut self, slot: Slot, step: &mut Step) {
        let Some(winner) = self.config.lottery.winner(slot) else {
            return;
        };
        if !matches!(self.making, Making::Nothing | Making::Declined { .. }) {
            step.metric(Metric::Counter, "slots_missed", 1.0);
            return;
        }
        self.making = Making::Nothing;
        self.tend_fork(slot, step);
        let (parent, withheld) = match &self.fork {
            Some(fork) => (fork.tip, true),
            None => (self.tree.longest_known_to(winner, slot), false),
        };
        let plan = Plan {
            slot,
            winner,
            parent,
            withheld,
        };
        self.ask(plan, self.config.empty_blocks == EmptyBlocks::Always, step);
    }

    /// Whether no block is made on `parent` now, because the engine wants distance or finality is behind.
    fn is_held_back(&self, parent: &BlockMark, step: &Step) -> bool {
        let engines_ms = step.pressure().map_or(0, |pressure| pressure.min_interval_ms);
        let too_early = step.now_ms() < self.proposed_ms.saturating_add(engines_ms);
        // What is not final is kept here and in the engine, whose room for it is bounded. Finality falls behind when
        // the engine answers "again": then the chain has to wait for it.
        let unfinal = parent.height - self.tree.root().height;
        too_early || unfinal >= self.config.finality_depth + self.max_receipt_lag
    }

    fn ask(&mut self, plan: Plan, allow_empty: bool, step: &mut Step) {
        // Finality may have passed the parent by since the slot began.
        if !self.tree.contains(&plan.parent.hash) {
            return;
        }
        if self.is_held_back(&plan.parent, step) {
            step.metric(Metric::Counter, "slots_held_back", 1.0);
            return;
        }
        let some = |limit: u64| (limit > 0).then_some(limit);
        let pressure = step.pressure().copied().unwrap_or_default();
        let token = step.request_block(BuildRequest {
            parent_hash: plan.parent.hash,
            proposer: self.config.lottery.address(plan.winner),
            max_gas: some(pressure.max_gas),
            max_bytes: some(pressure.max_bytes),
            timestamp_ms: Some(plan.slot.saturating_mul(self.config.slot_ms)),
            consensus_data: consensus_data(plan.slot, plan.winner),
            allow_empty,
        });
        self.making = Making::Building {
            token,
            plan,
            allow_empty,
            asked_ms: step.now_ms(),
        };
    }

    fn on_work(&mut self, step: &mut Step) {
        let Making::Declined { plan } = self.making else {
            return;
        };
        self.making = Making::Nothing;
        let is_wanted = !plan.withheld || self.fork.is_some_and(|fork| fork.tip == plan.parent);
        if plan.slot == self.current_slot(step) && is_wanted {
            self.ask(plan, self.config.empty_blocks == EmptyBlocks::Always, step);
        }
    }

    fn on_built(&mut self, token: Token, result: Result<BlockBytes, Declined>, step: &mut Step) {
        let (plan, allow_empty, asked_ms) = match self.making {
            Making::Building {
                token: asked,
                plan,
                allow_empty,
                asked_ms,
            } if asked == token => (plan, allow_empty, asked_ms),
            _ => return,
        };
        self.making = Making::Nothing;
        match result {
            Ok(block) if block.parent_hash == plan.parent.hash && block.height == plan.parent.height + 1 => {
                self.proposed_ms = asked_ms;
                step.metric(Metric::Counter, "blocks", 1.0);
                if !allow_empty {
                    let final_at = block.height.saturating_add(self.config.finality_depth);
                    self.wanted_up_to = self.wanted_up_to.max(final_at);
                }
                self.import(plan, block, step);
            }
            Ok(block) => self.give_up(
                format!(
                    "asked for a block on {}, was given {} at height {}",
                    plan.parent.hash, block.hash, block.height
                ),
                step,
            ),
            // Nobody waits for this block itself, but somebody may wait for one below to become final.
            Err(Declined::NotNow(_)) if !allow_empty && self.goes_on_empty(&plan) => {
                self.ask(plan, true, step);
            }
            Err(Declined::NotNow(why)) => {
                step.log(Level::Trace, why);
                self.making = Making::Declined { plan };
            }
            Err(Declined::Aborted(_)) => {}
            Err(Declined::Stopped) => self.ended = true,
            Err(why @ (Declined::UnknownParent | Declined::Invalid(_))) => {
                self.refused(&plan, &format!("the engine builds nothing on it: {why}"), step);
            }
        }
    }

    /// Whether a block that carries nothing is made all the same.
    fn goes_on_empty(&self, plan: &Plan) -> bool {
        plan.withheld || plan.parent.height < self.wanted_up_to
    }

    fn import(&mut self, plan: Plan, block: BlockBytes, step: &mut Step) {
        // Finality may have passed by while it was built.
        if !self.tree.contains(&plan.parent.hash) {
            return;
        }
        let token = step.import_block(block.bytes.clone());
        self.making = Making::Importing { token, plan, block };
    }

    fn on_imported(&mut self, token: Token, outcome: Submitted, step: &mut Step) {
        let (plan, block) = match &self.making {
            Making::Importing {
                token: asked,
                plan,
                block,
            } if *asked == token => (*plan, block.clone()),
            _ => return,
        };
        self.making = Making::Nothing;
        match outcome {
            Submitted::Accepted => self.take(plan, &block, step),
            Submitted::Again => {
                step.metric(Metric::Counter, "again", 1.0);
                self.making = Making::Full { plan, block };
            }
            Submitted::Stopped => self.ended = true,
            Submitted::Invalid | Submitted::UnknownParent => {
                let why = format!("the engine refuses {} on it: {outcome:?}", block.hash);
                self.refused(&plan, &why, step);
            }
        }
    }

    /// The engine has the block: it is on its way to the miners, or withheld from them.
    fn take(&mut self, plan: Plan, block: &BlockBytes, step: &mut Step) {
        if !self.tree.contains(&plan.parent.hash) {
            return;
        }
        let mark = BlockMark {
            hash: block.hash,
            height: block.height,
        };
        let arrives = plan.slot + self.config.propagation_slots + 1;
        self.tree.insert(Block {
            mark,
            parent: plan.parent.hash,
            slot: plan.slot,
            maker: (!plan.withheld).then_some(plan.winner),
            known_from: (!plan.withheld).then_some(arrives),
        });
        if plan.withheld {
            // The engine may execute it ahead, so that the branch can settle what it executed.
            step.announce_proposal(block.bytes.clone());
            self.grow_fork(mark, step);
        }
        self.move_head(step);
    }

    fn on_credit(&mut self, step: &mut Step) {
        if let Making::Full { plan, block } = &self.making {
            let (plan, block) = (*plan, block.clone());
            self.making = Making::Nothing;
            self.import(plan, block, step);
        }
        if matches!(self.finality, Finality::Full) {
            self.finality = Finality::Idle;
            self.finalize_next(step);
        }
    }

    /// The engine does not go on from the plan's parent. It may drop side branches for want of room; the head it may not.
    fn refused(&mut self, plan: &Plan, why: &str, step: &mut Step) {
        if plan.withheld {
            self.give_up_fork(why, step);
        } else if plan.parent == self.head.mark || !self.is_on_head_chain(&plan.parent) {
            self.lose(plan.parent, why, step);
        } else {
            step.log(
                Level::Warn,
                format!("no side branch from {}: {why}", plan.parent.hash),
            );
        }
    }

    /// The engine does not go on with `block`. That ends a side branch, and this plugin if the head is on it.
    pub(crate) fn lose(&mut self, block: BlockMark, why: &str, step: &mut Step) {
        if !self.tree.contains(&block.hash) {
            return;
        }
        let named = format!("{} at height {}", block.hash, block.height);
        if self.is_on_head_chain(&block) {
            return self.give_up(format!("the head's chain ends with {named}: {why}"), step);
        }
        step.log(Level::Warn, format!("the branch from {named} is lost: {why}"));
        // What the head is on its way to stays: the answer to that says how it ends.
        if !self.head.is_moving_to(&block, &self.tree) {
            step.metric(Metric::Counter, "branches_lost", 1.0);
            self.tree.remove(&block.hash);
            self.forget_lost_fork();
        }
    }

    pub(crate) fn is_on_head_chain(&self, block: &BlockMark) -> bool {
        self.tree.is_on_branch(block, &self.head.mark.hash)
    }

    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    pub(crate) fn give_up(&mut self, reason: String, step: &mut Step) {
        self.ended = true;
        step.fatal(reason);
    }
}

/// The header's consensus data: slot (u64) and winner (u32), little endian, so that everybody can draw again.
fn consensus_data(slot: Slot, winner: Miner) -> Vec<u8> {
    [&slot.to_le_bytes()[..], &winner.to_le_bytes()].concat()
}
