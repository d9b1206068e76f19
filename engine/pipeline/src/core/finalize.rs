//! Finalized blocks: from submission to acknowledgement and execution.

use std::sync::Arc;

use millrace_types::certificate::MAX_CERTIFICATE_BYTES;
use millrace_types::{Block, Hash};

use super::{Core, Effect, Executed, InFlight, World};
use crate::admission::{self, Invalid, StateFault, Verdict};
use crate::api::{Event, PluginFault, StopReason, ValidateAnswer};
use crate::tree::Standing;

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
        block: Block,
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
            Ok(Place::Next) => self.take_over(hash, block, certificate, now_ms, world, effects),
            Ok(Place::Again) => effects.push(Effect::ReturnCredit),
            Ok(Place::Fault(fault)) => self.stop(StopReason::PluginFault(fault), effects),
            Err(fault) => self.node_fault(&fault, effects),
        }
    }

    /// Body and certificate of a finalized block are durable. Blocks come in order.
    pub(crate) fn on_body_durable(&mut self, hash: &Hash, effects: &mut Vec<Effect>) {
        if self.config.pipelining {
            self.acknowledge(hash, effects);
            self.tell_stopped(effects);
        }
    }

    /// The receipt of a finalized block is durable. Blocks come in order, and after [`Self::on_body_durable`].
    pub(crate) fn on_executed(
        &mut self,
        executed: Executed,
        now_ms: u64,
        world: &dyn World,
        effects: &mut Vec<Effect>,
    ) {
        let front = self
            .in_flight
            .pop_front()
            .expect("only blocks in flight are executed");
        let Executed {
            receipt,
            transactions,
        } = executed;
        assert_eq!(
            front.block.hash, receipt.block_hash,
            "blocks are executed in the order of finality"
        );
        let its_turn_ms = front.since_ms.max(self.last_executed_ms);
        self.ladder.note_service(now_ms.saturating_sub(its_turn_ms));
        self.last_executed_ms = now_ms;
        self.executed = front.block;
        self.counters.blocks_executed += 1;
        self.counters.transactions_executed += u64::from(transactions);
        self.counters.gas_charged += receipt.gas_charged;
        metrics::counter!("millrace_transactions_executed_total").increment(u64::from(transactions));
        metrics::gauge!("millrace_executed_height").set(front.block.height as f64);
        if let Some(node) = self.tree.get_mut(&receipt.block_hash) {
            node.receipt = Some(receipt.clone());
        }
        effects.push(Effect::ReturnCredit);
        // What recovery found was acknowledged when it was taken over.
        if !self.config.pipelining && receipt.height > self.acknowledged.height {
            self.acknowledge(&receipt.block_hash, effects);
        }
        effects.push(Effect::Emit(Event::Executed {
            receipt,
            transactions,
        }));
        self.admit_awaiting(now_ms, world, effects);
        self.retry_waiting(world, effects);
        self.observe(self.head);
        effects.push(Effect::WorkPossible);
        self.tell_stopped(effects);
    }

    /// Admits finalized blocks, as far as execution allows, and sends them on.
    pub(super) fn admit_awaiting(&mut self, now_ms: u64, world: &dyn World, effects: &mut Vec<Effect>) {
        while let Some(next) = self.awaiting.front().copied() {
            if self.is_stopped() || self.in_flight.len() >= self.capacity {
                return;
            }
            let hash = next.block.hash;
            match self.judge_finalized(&hash, world, effects) {
                Ok(Standing::Valid(_)) => {}
                Ok(Standing::Waiting) => return,
                Ok(Standing::Invalid(reason)) => return self.stop_for_invalid(&hash, reason, effects),
                Err(fault) => return self.node_fault(&fault, effects),
            }
            self.awaiting.pop_front();
            self.in_flight.push_back(InFlight {
                since_ms: next.since_ms.min(now_ms),
                ..next
            });
            self.counters.max_in_flight = self.counters.max_in_flight.max(self.in_flight.len() as u64);
            self.head = hash;
            let node = self.tree.get(&hash).expect("a finalized block is in the tree");
            let (block, settled) = (Arc::clone(&node.block), node.settled_height());
            self.tree.prune_below(settled);
            effects.push(Effect::Execute {
                hash,
                block: Arc::clone(&block),
            });
            effects.push(Effect::HeadMoved { included: block });
        }
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
            let finalized = match self.tree.finalized_at(height) {
                Some(finalized) => Some(finalized),
                None => world.finalized_hash(height)?,
            };
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
        let size = certificate.map_or(0, <[u8]>::len);
        if size > MAX_CERTIFICATE_BYTES {
            let (size, limit) = (size as u64, MAX_CERTIFICATE_BYTES as u64);
            return Ok(Place::Fault(PluginFault::CertificateTooLong {
                block: hash,
                size,
                limit,
            }));
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

    /// The next finalized block: it counts from now on, is written at once, and executed when it is admitted.
    fn take_over(
        &mut self,
        hash: Hash,
        block: Block,
        certificate: Option<Vec<u8>>,
        now_ms: u64,
        world: &dyn World,
        effects: &mut Vec<Effect>,
    ) {
        // What is in the tree was checked when it came there.
        if self.tree.get(&hash).is_none()
            && let Err(reason) = admission::check_commitments(&block, &self.spec)
        {
            let (height, reason) = (block.header.height, Box::new(reason));
            let block = hash;
            return self.stop(
                StopReason::ConsensusViolation {
                    block,
                    height,
                    reason,
                },
                effects,
            );
        }
        self.tree.insert(hash, Arc::new(block), Standing::Waiting);
        // A block that breaks the rules is not written. One that only differs from this node's own execution is: both
        // results are kept, and whoever mends this node finds the chain's.
        match self.judge_finalized(&hash, world, effects) {
            Ok(Standing::Invalid(reason)) if !reason.contradicts_execution() => {
                return self.stop_for_invalid(&hash, reason, effects);
            }
            Ok(_) => {}
            Err(fault) => return self.node_fault(&fault, effects),
        }
        for removed in self.tree.finalize(&hash) {
            self.answer_waiting(&removed, &ValidateAnswer::Conflicting, effects);
        }
        let node = self.tree.get(&hash).expect("it was just finalized");
        let block = node.reference();
        match certificate {
            Some(certificate) => {
                let block = Arc::clone(&node.block);
                effects.push(Effect::WriteFinalized {
                    hash,
                    block,
                    certificate,
                });
            }
            // Durable already, without pipelining too: consensus must not order another block in its place.
            None => self.acknowledge(&hash, effects),
        }
        self.awaiting.push_back(InFlight {
            block,
            since_ms: now_ms,
        });
        self.admit_awaiting(now_ms, world, effects);
    }

    /// The standing of a finalized block, found now if it can be.
    fn judge_finalized(
        &mut self,
        hash: &Hash,
        world: &dyn World,
        effects: &mut Vec<Effect>,
    ) -> Result<Standing, StateFault> {
        let node = self.tree.get(hash).expect("a finalized block is in the tree");
        if matches!(node.standing, Standing::Waiting) {
            let block = Arc::clone(&node.block);
            let verdict = self.judge(&block, world)?;
            if let Verdict::Invalid(reason) = &verdict {
                tracing::warn!(block = %hash, %reason, "a finalized block is invalid");
            }
            self.record(*hash, verdict, effects);
        }
        Ok(self
            .tree
            .get(hash)
            .map_or(Standing::Waiting, |node| node.standing.clone()))
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
    }
}
