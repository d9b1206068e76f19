//! Fork choice: blocks that may become head, and the head that moves from one branch to another before it is final.
//!
//! Nothing is undone by moving the head: each block's state is an overlay on its parent's, and the head names another
//! one. What the old branch has in the ring is abandoned, what was executed of it stays while it is in the tree, and
//! moving back there costs nothing.
//!
//! ```text
//!   set_head ─▶ Valid ──────────────────────────────▶ moved
//!          └──▶ Waiting ─▶ wanted: its branch is executed until its verdict is found ─▶ moved | invalid
//!                             └─▶ superseded by the next set_head | refused, finality went another way
//!          └──▶ turned away, its chain longer than unfinalized blocks are kept ─▶ a fault of the plugin
//! ```

use std::sync::Arc;

use millrace_types::{Block, Hash, Height};

use super::{Core, Effect, World};
use crate::admission::{Invalid, Pending, StateFault, Verdict};
use crate::api::{
    BlockRef, Event, HeadCause, HeadMove, HeadRefused, PluginFault, SetHeadAnswer, StopReason, TurnedAway,
    ValidateAnswer,
};
use crate::reply::Reply;
use crate::task::Purpose;
use crate::tree::{Node, Standing};

/// Imports that were turned away and are remembered with the reason, for the `set_head` that follows.
const REMEMBERED: usize = 64;

/// A head that is to be set once its verdict is found.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) hash: Hash,
    pub(super) reply: Reply<SetHeadAnswer>,
}

impl Core {
    /// [`crate::Engine::import_block`].
    pub(crate) fn on_import(
        &mut self,
        block: Arc<Block>,
        now_ms: u64,
        world: &dyn World,
        effects: &mut Vec<Effect>,
    ) {
        let (hash, height, parent) = (block.hash(), block.header.height, block.header.parent_hash);
        self.turned_away.retain(|(other, _)| *other != hash);
        let answer = match self.validate(hash, block, now_ms, world, effects) {
            Ok(Some(answer)) => answer,
            Ok(None) => return self.wait_for_verdict(hash, None, effects),
            Err(fault) => return self.node_fault(&fault, effects),
        };
        let finalized = self.tree.finalized();
        let refused = match answer {
            // A verdict on a block that is in the tree stays there.
            ValidateAnswer::Invalid(_) if self.tree.get(&hash).is_some() => return,
            ValidateAnswer::Invalid(reason) => TurnedAway::Invalid(reason),
            ValidateAnswer::Conflicting => TurnedAway::Refused(HeadRefused::Conflicting {
                block: hash,
                finalized,
            }),
            ValidateAnswer::Pending(Pending::UnknownParent { .. }) => {
                tracing::debug!(block = %hash, %parent, "an imported block has an unknown parent");
                TurnedAway::Refused(HeadRefused::Unknown { block: hash })
            }
            ValidateAnswer::Early { by_ms } => TurnedAway::Refused(HeadRefused::Early { block: hash, by_ms }),
            ValidateAnswer::Busy => TurnedAway::Refused(HeadRefused::TooLong {
                block: hash,
                height,
                finalized: finalized.height,
                limit: self.config.max_unfinalized_blocks,
            }),
            ValidateAnswer::Valid
            | ValidateAnswer::Pending(_)
            | ValidateAnswer::Stopped(_)
            | ValidateAnswer::Aborted => return,
        };
        if let TurnedAway::Refused(reason @ HeadRefused::TooLong { .. }) = &refused {
            tracing::error!(%reason, "imported block turned away");
        }
        if self.turned_away.len() >= REMEMBERED {
            self.turned_away.pop_front();
        }
        self.turned_away.push_back((hash, refused));
    }

    /// [`crate::Engine::set_head`].
    pub(crate) fn on_set_head(
        &mut self,
        hash: Hash,
        reply: Reply<SetHeadAnswer>,
        now_ms: u64,
        world: &dyn World,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(reason) = &self.stopped {
            let answer = SetHeadAnswer::Stopped(reason.clone());
            return effects.push(Effect::AnswerHead(reply, answer));
        }
        if let Some(fault) = self.too_long(&hash) {
            let reason = StopReason::PluginFault(fault);
            self.stop(reason.clone(), effects);
            return effects.push(Effect::AnswerHead(reply, SetHeadAnswer::Stopped(reason)));
        }
        self.answer_wanted(SetHeadAnswer::Superseded, effects);
        match self.refusal(&hash, world) {
            Ok(None) => self.wanted = Some(Wanted { hash, reply }),
            Ok(Some(answer)) => {
                if let SetHeadAnswer::Refused(reason) = &answer {
                    tracing::error!(%reason, "head refused");
                }
                return effects.push(Effect::AnswerHead(reply, answer));
            }
            Err(fault) => {
                self.node_fault(&fault, effects);
                let reason = self.stopped.clone().expect("a fault stops the engine");
                return effects.push(Effect::AnswerHead(reply, SetHeadAnswer::Stopped(reason)));
            }
        }
        self.dispatch(now_ms, world, effects);
    }

    /// The fault of a head whose chain could not be taken whole, whatever else was let go of (protocol rule 20). Importing such
    /// a block is none: peers may have made it, and nobody has to follow it.
    fn too_long(&self, hash: &Hash) -> Option<PluginFault> {
        let (_, turned_away) = self.turned_away.iter().find(|(other, _)| other == hash)?;
        let TurnedAway::Refused(HeadRefused::TooLong { height, limit, .. }) = *turned_away else {
            return None;
        };
        let finalized = self.tree.finalized().height;
        let chain = height.saturating_sub(finalized);
        (chain > limit as u64).then_some(PluginFault::HeadTooLong {
            block: *hash,
            height,
            finalized,
            limit,
        })
    }

    /// Why a block cannot become head, as far as that is known now.
    fn refusal(&self, hash: &Hash, world: &dyn World) -> Result<Option<SetHeadAnswer>, StateFault> {
        let finalized = self.tree.finalized();
        let refused = |reason| Ok(Some(SetHeadAnswer::Refused(reason)));
        let below = |height: Height| HeadRefused::BelowFinality {
            block: *hash,
            height,
            finalized,
        };
        if let Some(node) = self.tree.get(hash) {
            return match &node.standing {
                _ if node.height() < finalized.height => refused(below(node.height())),
                Standing::Invalid(reason) => Ok(Some(self.invalid_head(hash, reason))),
                _ => Ok(None),
            };
        }
        if let Some((_, turned_away)) = self.turned_away.iter().find(|(other, _)| other == hash) {
            return Ok(Some(match turned_away.clone() {
                TurnedAway::Invalid(reason) => SetHeadAnswer::Invalid { block: *hash, reason },
                TurnedAway::Refused(reason) => SetHeadAnswer::Refused(reason),
            }));
        }
        match world.stored_height(hash)? {
            Some(height) if world.finalized_hash(height)? == Some(*hash) => refused(below(height)),
            Some(height) if height <= finalized.height => refused(HeadRefused::Conflicting {
                block: *hash,
                finalized,
            }),
            // Of a branch that was evicted, or of an earlier start: it has to be imported again.
            _ => refused(HeadRefused::Unknown { block: *hash }),
        }
    }

    /// The answer that names the block which is at fault.
    fn invalid_head(&self, hash: &Hash, reason: &Invalid) -> SetHeadAnswer {
        let ancestor = match reason {
            Invalid::Ancestor { ancestor } => self.tree.get(ancestor),
            _ => None,
        };
        match ancestor.map(|node| (node.hash, &node.standing)) {
            Some((block, Standing::Invalid(reason))) => SetHeadAnswer::Invalid {
                block,
                reason: reason.clone(),
            },
            _ => SetHeadAnswer::Invalid {
                block: *hash,
                reason: reason.clone(),
            },
        }
    }

    pub(super) fn answer_wanted(&mut self, answer: SetHeadAnswer, effects: &mut Vec<Effect>) {
        if let Some(wanted) = self.wanted.take() {
            effects.push(Effect::AnswerHead(wanted.reply, answer));
        }
    }

    /// Moves the head where it is wanted, if its verdict is found; else executes what the verdict waits for.
    pub(super) fn pursue_wanted(&mut self, now_ms: u64, world: &dyn World, effects: &mut Vec<Effect>) {
        let Some(target) = self.wanted.as_ref().map(|wanted| wanted.hash) else {
            return;
        };
        let branch = self.tree.unfinalized_to(&target);
        for hash in &branch {
            match self.judge_again(hash, world, effects) {
                Ok(Standing::Valid(_)) => {}
                Ok(Standing::Invalid(reason)) => {
                    let answer = self.invalid_head(hash, &reason);
                    return self.answer_wanted(answer, effects);
                }
                Ok(Standing::Waiting) => return self.execute_branch(&branch, now_ms, effects),
                Err(fault) => return self.node_fault(&fault, effects),
            }
        }
        // The newest finalized block may wait for its own verdict.
        if let Some(node) = self.tree.get(&target).filter(|node| node.is_valid()) {
            let head = node.reference();
            self.move_head(head.hash, HeadCause::ForkChoice, effects);
            self.answer_wanted(SetHeadAnswer::Moved { head }, effects);
        }
    }

    /// The standing of a block of the tree, found now if it can be.
    pub(super) fn judge_again(
        &mut self,
        hash: &Hash,
        world: &dyn World,
        effects: &mut Vec<Effect>,
    ) -> Result<Standing, StateFault> {
        let node = self.tree.get(hash).expect("the block is in the tree");
        if matches!(node.standing, Standing::Waiting) {
            let block = Arc::clone(&node.block);
            let verdict = self.judge(hash, &block, world)?;
            if let Verdict::Invalid(reason) = &verdict {
                tracing::warn!(block = %hash, %reason, "a block is invalid");
            }
            self.record(*hash, verdict, effects);
        }
        let node = self.tree.get(hash);
        Ok(node.map_or(Standing::Waiting, |node| node.standing.clone()))
    }

    /// Makes a valid block the head. What is executed of its branch counts as executed from now on, and of the old one
    /// only what both share.
    pub(super) fn move_head(&mut self, to: Hash, cause: HeadCause, effects: &mut Vec<Effect>) {
        if to == self.head {
            return;
        }
        let (removed, added) = self.tree.between(&self.head, &to);
        let references = |nodes: &[&Node]| nodes.iter().map(|node| node.reference()).collect::<Vec<_>>();
        let blocks = |nodes: &[&Node]| {
            nodes
                .iter()
                .map(|node| Arc::clone(&node.block))
                .collect::<Vec<_>>()
        };
        let executed = self.executed.height;
        let removed_executed: Vec<_> = removed
            .iter()
            .filter(|node| node.height() <= executed)
            .copied()
            .collect();
        let shared = removed.last().and_then(|node| self.tree.get(&node.parent()));
        if let Some(shared) = shared.filter(|shared| shared.height() < executed) {
            self.executed = shared.reference();
        }
        let included = Effect::HeadMoved {
            removed: blocks(&removed),
            added: blocks(&added),
        };
        let head = self.tree.get(&to).expect("the head is in the tree").reference();
        let moved = HeadMove {
            head,
            cause,
            removed: references(&removed),
            removed_executed: references(&removed_executed),
            added: references(&added),
        };
        let depth = moved.removed.len();
        self.head = to;
        if depth > 0 {
            self.counters.reorgs += 1;
            metrics::counter!("millrace_reorged_blocks_total").increment(depth as u64);
            tracing::info!(head = %to, height = head.height, depth, ?cause, "the head moved to another branch");
            // Not the head chain above finality alone: a block that has just become final may still have its task for the
            // head in the ring, and tasks behind it need its state.
            let chain = self.tree.path_to(&to);
            self.abandon(
                |task| task.purpose == Purpose::Head && !chain.contains(&task.block.hash),
                effects,
            );
        }
        self.renew_head_chain();
        effects.push(included);
        effects.push(Effect::Emit(Event::HeadMoved(moved)));
        if depth > 0 {
            // Transactions that came back may be what a build waits for.
            effects.push(Effect::WorkPossible);
        }
        self.advance_executed(effects);
    }

    /// Follows the head chain as far as its receipts are durable.
    pub(super) fn advance_executed(&mut self, effects: &mut Vec<Effect>) {
        for hash in self.tree.above(self.executed.height, &self.head) {
            let Some(node) = self.tree.get(&hash) else { return };
            let Some(receipt) = node.receipt.clone() else {
                return;
            };
            let transactions = u32::try_from(node.block.body.transactions.len()).unwrap_or(u32::MAX);
            self.executed = node.reference();
            effects.push(Effect::Emit(Event::Executed {
                receipt,
                transactions,
            }));
        }
    }

    /// The blocks of the head chain above what is acknowledged, for readers.
    pub(super) fn renew_head_chain(&mut self) {
        self.head_chain = self.tree.above(self.acknowledged.height, &self.head).into();
    }

    /// The head, as it is shown: never behind what is acknowledged.
    pub(super) fn shown_head(&self) -> BlockRef {
        let head = self.head().reference();
        if head.height > self.acknowledged.height {
            head
        } else {
            self.acknowledged
        }
    }
}
