//! Finalized blocks: from submission to acknowledgement and execution.

use std::sync::Arc;

use millrace_types::certificate::MAX_CERTIFICATE_BYTES;
use millrace_types::{Block, Hash, Height};

use super::{Awaiting, Core, Effect, Executed, Finalized, InFlight, Left, World};
use crate::admission::{self, Invalid, StateFault};
use crate::api::{
    BlockRef, Event, HeadCause, HeadRefused, PluginFault, SetHeadAnswer, StopReason, ValidateAnswer,
};
use crate::task::Purpose;
use crate::tree::{Node, Standing};

/// What a submitted block is to the finalized chain.
enum Place {
    /// The child of the newest.
    Next,
    /// Finalized before.
    Again,
    /// Neither.
    Fault(PluginFault),
}

impl Core {
    /// [`crate::Engine::submit_finalized`], a credit spent; without certificate, a block that recovery found in the
    /// ledger.
    pub(crate) fn on_finalized(
        &mut self,
        block: Arc<Block>,
        certificate: Option<Vec<u8>>,
        now_ms: u64,
        world: &dyn World,
        effects: &mut Vec<Effect>,
    ) {
        let hash = block.hash();
        if self.is_stopped() {
            return effects.push(Effect::ReturnCredit);
        }
        match self.place(&hash, &block, certificate.as_deref(), world) {
            Ok(Place::Next) => {
                if self.take_in(hash, block, effects) {
                    self.take_over(&[hash], certificate, now_ms, world, effects);
                }
            }
            Ok(Place::Again) => effects.push(Effect::ReturnCredit),
            Ok(Place::Fault(fault)) => self.stop(StopReason::PluginFault(fault), effects),
            Err(fault) => self.node_fault(&fault, effects),
        }
    }

    /// [`crate::Engine::finalize`], a credit spent: the block and its ancestors, which are in the tree.
    pub(crate) fn on_finalize(
        &mut self,
        hash: Hash,
        certificate: Vec<u8>,
        now_ms: u64,
        world: &dyn World,
        effects: &mut Vec<Effect>,
    ) {
        if self.is_stopped() {
            return effects.push(Effect::ReturnCredit);
        }
        match self.place_known(&hash, &certificate, world) {
            Ok(Place::Next) => {}
            Ok(Place::Again) => return effects.push(Effect::ReturnCredit),
            Ok(Place::Fault(fault)) => return self.stop(StopReason::PluginFault(fault), effects),
            Err(fault) => return self.node_fault(&fault, effects),
        }
        let branch = self.tree.unfinalized_to(&hash);
        effects.push(Effect::SpendCredits(branch.len() as u64 - 1));
        self.take_over(&branch, Some(certificate), now_ms, world, effects);
    }

    /// Body and certificate of a finalized block are durable. Blocks come in order.
    pub(crate) fn on_body_durable(&mut self, hash: &Hash, effects: &mut Vec<Effect>) {
        if self.config.pipelining {
            self.acknowledge(hash, effects);
            self.tell_stopped(effects);
        }
    }

    /// A task has left the ring: what it had to make durable is. Tasks come in order, and after
    /// [`Self::on_body_durable`] of their blocks.
    pub(crate) fn on_left(&mut self, left: Left, now_ms: u64, world: &dyn World, effects: &mut Vec<Effect>) {
        let task = self.take_left(&left);
        let is_executed = left.executed.is_some();
        match left.executed {
            Some(executed) => self.note_execution(&task, executed, now_ms, effects),
            None if task.purpose == Purpose::Final => {}
            None => self.keep_or_discard(&task, effects),
        }
        if task.purpose == Purpose::Final {
            effects.push(Effect::ReturnCredit);
            // What recovery found was acknowledged when it was taken over.
            if !self.config.pipelining && task.block.height > self.acknowledged.height {
                self.acknowledge(&task.block.hash, effects);
            }
        }
        self.advance_executed(effects);
        self.dispatch(now_ms, world, effects);
        self.retry_waiting(world, effects);
        self.speculate(now_ms, effects);
        self.observe(self.head);
        if is_executed {
            effects.push(Effect::WorkPossible);
        }
        self.tell_stopped(effects);
    }

    /// A block's receipt is durable.
    pub(super) fn note_execution(
        &mut self,
        task: &InFlight,
        executed: Executed,
        now_ms: u64,
        effects: &mut Vec<Effect>,
    ) {
        let Executed {
            receipt,
            transactions,
        } = executed;
        let its_turn_ms = task.since_ms.max(self.last_executed_ms);
        self.ladder.note_service(now_ms.saturating_sub(its_turn_ms));
        self.last_executed_ms = now_ms;
        self.counters.blocks_executed += 1;
        self.counters.transactions_executed += u64::from(transactions);
        self.counters.gas_charged += receipt.gas_charged;
        metrics::counter!("millrace_transactions_executed_total").increment(u64::from(transactions));
        self.kept.retain(|kept| *kept != receipt.block_hash);
        let hash = receipt.block_hash;
        let is_known = |node: &Node| {
            let is_of_node = |work: &Arc<_>| Arc::ptr_eq(work, &task.work);
            task.purpose == Purpose::Final
                || node.receipt.is_some()
                || node.work.as_ref().is_some_and(is_of_node)
        };
        let is_last = !self.has_task(&hash);
        match self.tree.get_mut(&hash) {
            Some(node) if is_known(node) => {
                node.work = None;
                node.receipt = Some(receipt);
            }
            // It left the tree while its receipt was written, and may have come back: what was executed of it was dropped
            // then. The last of its tasks in the ring clears away what they leave.
            _ if task.purpose == Purpose::Head && is_last => self.drop_late(task, effects),
            _ => {}
        }
    }

    fn drop_late(&mut self, task: &InFlight, effects: &mut Vec<Effect>) {
        if let Some(node) = self.tree.get_mut(&task.block.hash) {
            node.work = None;
        }
        if task.block.height >= self.tree.lowest() {
            effects.push(Effect::Discard(task.block.hash));
        }
    }

    /// Admits finalized blocks, as far as execution allows, and sends them on.
    pub(super) fn admit_awaiting(&mut self, now_ms: u64, world: &dyn World, effects: &mut Vec<Effect>) {
        while let Some(next) = self.awaiting.front().copied() {
            if self.is_stopped() || self.count(Purpose::Final) >= self.capacity {
                return;
            }
            let hash = next.block.hash;
            match self.judge_again(&hash, world, effects) {
                Ok(Standing::Valid(_)) => {}
                Ok(Standing::Waiting) => return,
                Ok(Standing::Invalid(reason)) => return self.stop_for_invalid(&hash, reason, effects),
                Err(fault) => return self.node_fault(&fault, effects),
            }
            self.awaiting.pop_front();
            self.publish(&hash, Purpose::Final, next.since_ms.min(now_ms), effects);
            let finals = self.count(Purpose::Final) as u64;
            self.counters.max_in_flight = self.counters.max_in_flight.max(finals);
            if !self.tree.leads_to(&hash, &self.head) {
                self.move_head(hash, HeadCause::Finality, effects);
            }
            self.admitted_settled = self.tree.get(&hash).map_or(0, Node::settled_height);
            self.prune();
        }
    }

    /// Forgets what no later verdict and no acknowledgement looks at.
    fn prune(&mut self) {
        self.tree
            .prune_below(self.admitted_settled.min(self.acknowledged.height));
    }

    fn place(
        &self,
        hash: &Hash,
        block: &Block,
        certificate: Option<&[u8]>,
        world: &dyn World,
    ) -> Result<Place, StateFault> {
        let (hash, height) = (*hash, block.header.height);
        let last = self.tree.finalized();
        if height <= last.height {
            let finalized = self.finalized_at(height, world)?;
            if finalized == Some(hash) {
                return Ok(Place::Again);
            }
            let Some(finalized) = finalized else {
                // Below the beginning of a ledger that began with an imported state: final, and not known here.
                return Ok(Place::Again);
            };
            return Ok(Place::Fault(PluginFault::Conflicting {
                block: hash,
                height,
                finalized,
            }));
        }
        if let Some(fault) = too_long(&hash, certificate.unwrap_or_default()) {
            return Ok(Place::Fault(fault));
        }
        if block.header.parent_hash == last.hash && height == last.height + 1 {
            return Ok(Place::Next);
        }
        if height == last.height + 1 {
            return Ok(Place::Fault(PluginFault::Conflicting {
                block: hash,
                height,
                finalized: last.hash,
            }));
        }
        Ok(Place::Fault(PluginFault::UnknownParent {
            block: hash,
            height,
            last: last.height,
        }))
    }

    /// The finalized block at a height. The ledger hears of finality later than the tree, which forgets what is far below.
    fn finalized_at(&self, height: Height, world: &dyn World) -> Result<Option<Hash>, StateFault> {
        match self.tree.finalized_at(height) {
            Some(finalized) => Ok(Some(finalized)),
            None => world.finalized_hash(height),
        }
    }

    /// What finalizing a block by its hash is to the finalized chain.
    fn place_known(&self, hash: &Hash, certificate: &[u8], world: &dyn World) -> Result<Place, StateFault> {
        let last = self.tree.finalized();
        if let Some(node) = self.tree.get(hash) {
            return Ok(match too_long(hash, certificate) {
                Some(fault) => Place::Fault(fault),
                None if node.height() > last.height => Place::Next,
                None => Place::Again,
            });
        }
        let Some(height) = world.stored_height(hash)?.filter(|height| *height <= last.height) else {
            return Ok(Place::Fault(PluginFault::UnknownBlock { block: *hash }));
        };
        Ok(match self.finalized_at(height, world)? {
            Some(finalized) if finalized != *hash => Place::Fault(PluginFault::Conflicting {
                block: *hash,
                height,
                finalized,
            }),
            _ => Place::Again,
        })
    }

    /// Puts a submitted block into the tree; `false` when its body is not the header's, which stops the engine.
    fn take_in(&mut self, hash: Hash, block: Arc<Block>, effects: &mut Vec<Effect>) -> bool {
        // What is in the tree was checked when it came there.
        if self.tree.get(&hash).is_none()
            && let Err(reason) = admission::check_commitments(&block, &self.spec)
        {
            let (height, reason) = (block.header.height, Box::new(reason));
            let block = hash;
            self.stop(
                StopReason::ConsensusViolation {
                    block,
                    height,
                    reason,
                },
                effects,
            );
            return false;
        }
        self.tree.insert(hash, block, Standing::Waiting);
        true
    }

    /// The next finalized blocks, which are in the tree, ascending: they count from now on, are written at once, with the
    /// certificate of the last one (none: they are written already), and executed when they are admitted.
    fn take_over(
        &mut self,
        branch: &[Hash],
        certificate: Option<Vec<u8>>,
        now_ms: u64,
        world: &dyn World,
        effects: &mut Vec<Effect>,
    ) {
        // A block that breaks the rules is not written. One that only differs from this node's own execution is: both
        // results are kept, and whoever mends this node finds the chain's.
        for hash in branch {
            match self.judge_again(hash, world, effects) {
                Ok(Standing::Invalid(reason)) if !reason.contradicts_execution() => {
                    return self.stop_for_invalid(hash, reason, effects);
                }
                // What follows such a block is invalid for its sake.
                Ok(Standing::Invalid(_)) => break,
                Ok(_) => {}
                Err(fault) => return self.node_fault(&fault, effects),
            }
        }
        let blocks = branch
            .iter()
            .map(|hash| self.finalize_next(hash, now_ms, effects));
        let blocks = blocks.collect();
        match certificate {
            Some(certificate) => effects.push(Effect::WriteFinalized { blocks, certificate }),
            // Durable, without pipelining too: consensus must not order another block in its place.
            None => branch.iter().for_each(|hash| self.acknowledge(hash, effects)),
        }
        self.dispatch(now_ms, world, effects);
    }

    /// Makes a child of the finalized block final, and forgets what conflicts with it.
    fn finalize_next(&mut self, hash: &Hash, now_ms: u64, effects: &mut Vec<Effect>) -> Finalized {
        self.leave_losing_head(hash, effects);
        let removed = self.tree.finalize(hash);
        for node in &removed {
            self.answer_waiting(&node.hash, &ValidateAnswer::Conflicting, effects);
        }
        self.forget_removed(&removed, effects);
        let node = self.tree.get_mut(hash).expect("it was just finalized");
        let block = node.reference();
        let body = (!std::mem::replace(&mut node.is_written, true)).then(|| Arc::clone(&node.block));
        self.refuse_losing_wanted(block, effects);
        self.awaiting.push_back(Awaiting {
            block,
            since_ms: now_ms,
        });
        Finalized { block, body }
    }

    /// Moves the head away from a branch that loses against `hash`, the next finalized block, before it is forgotten.
    fn leave_losing_head(&mut self, hash: &Hash, effects: &mut Vec<Effect>) {
        let is_kept = self.tree.leads_to(hash, &self.head) || self.tree.leads_to(&self.head, hash);
        if is_kept {
            return;
        }
        let to = match self.tree.get(hash).filter(|node| node.is_valid()) {
            Some(node) => node.hash,
            // Valid, since the head descends from it.
            None => self.tree.finalized().hash,
        };
        self.move_head(to, HeadCause::Finality, effects);
    }

    /// A head that is wanted behind finality, or on a branch that lost, is not to be had any more.
    fn refuse_losing_wanted(&mut self, finalized: BlockRef, effects: &mut Vec<Effect>) {
        let Some(block) = self.wanted.as_ref().map(|wanted| wanted.hash) else {
            return;
        };
        let refused = match self.tree.get(&block).map(Node::height) {
            Some(height) if height >= finalized.height => return,
            Some(height) => HeadRefused::BelowFinality {
                block,
                height,
                finalized,
            },
            None => HeadRefused::Conflicting { block, finalized },
        };
        tracing::error!(reason = %refused, "head refused");
        self.answer_wanted(SetHeadAnswer::Refused(refused), effects);
    }

    fn stop_for_invalid(&mut self, hash: &Hash, reason: Invalid, effects: &mut Vec<Effect>) {
        let height = self.tree.get(hash).map_or(0, |node| node.height());
        let reason = match reason {
            Invalid::ReceiptDiffers {
                height,
                found,
                expected,
            } => StopReason::Divergence {
                height,
                theirs: format!("{found:?}"),
                ours: format!("{expected:?}"),
            },
            Invalid::SettlementDiffers {
                to, found, expected, ..
            } => StopReason::Divergence {
                height: to,
                theirs: format!("settlement hash {found}"),
                ours: format!("settlement hash {expected}"),
            },
            Invalid::RootDiffers {
                height,
                found,
                expected,
            } => StopReason::Divergence {
                height,
                theirs: format!("state root {found}"),
                ours: format!("state root {expected}"),
            },
            reason => {
                let reason = Box::new(reason);
                StopReason::ConsensusViolation {
                    block: *hash,
                    height,
                    reason,
                }
            }
        };
        self.stop(reason, effects);
    }

    /// Tells consensus that everything up to this block is durable.
    fn acknowledge(&mut self, hash: &Hash, effects: &mut Vec<Effect>) {
        let node = self.tree.get(hash).expect("a block is kept until it is executed");
        let (block, settled) = (node.reference(), node.settled_height());
        let transactions = u32::try_from(node.block.body.transactions.len()).unwrap_or(u32::MAX);
        self.acknowledged = block;
        self.counters.blocks_finalized += 1;
        self.counters.max_lag = self.counters.max_lag.max(block.height - settled);
        metrics::gauge!("millrace_finalized_height").set(block.height as f64);
        metrics::gauge!("millrace_settlement_lag").set((block.height - settled) as f64);
        effects.push(Effect::Emit(Event::Finalized { block, transactions }));
        if settled > self.settled {
            effects.push(Effect::Emit(Event::Settled {
                from: self.settled + 1,
                to: settled,
                by: block,
            }));
            self.settled = settled;
        }
        self.renew_head_chain();
        self.prune();
    }
}

/// The fault of a certificate that passes the bound.
fn too_long(block: &Hash, certificate: &[u8]) -> Option<PluginFault> {
    let (size, limit) = (certificate.len() as u64, MAX_CERTIFICATE_BYTES as u64);
    (size > limit).then_some(PluginFault::CertificateTooLong {
        block: *block,
        size,
        limit,
    })
}
