//! Blocks that are not finalized: verdicts for votes, and parents for proposals.

use std::sync::Arc;

use millrace_types::{Block, Hash};

use super::{Core, Effect, Waiting, World};
use crate::admission::{self, Pending, StateFault, Verdict};
use crate::api::ValidateAnswer;
use crate::reply::Reply;
use crate::tree::Standing;

/// Blocks whose signatures are checked at once. Those of more are checked with their verdicts.
const MAX_PREPARATIONS: usize = 64;

impl Core {
    /// [`crate::Engine::validate`] with a reply, [`crate::Engine::announce`] without.
    pub(crate) fn on_validate(
        &mut self,
        block: Arc<Block>,
        reply: Option<Reply<ValidateAnswer>>,
        now_ms: u64,
        world: &dyn World,
        effects: &mut Vec<Effect>,
    ) {
        let hash = block.hash();
        let answer = self.validate(hash, block, now_ms, world, effects);
        self.propose(hash);
        match answer {
            Ok(Some(answer)) => {
                if let Some(reply) = reply {
                    effects.push(Effect::AnswerValidate(reply, answer));
                }
            }
            Ok(None) => self.wait_for_verdict(hash, reply, effects),
            Err(fault) => {
                self.node_fault(&fault, effects);
                if let (Some(reply), Some(reason)) = (reply, self.stopped.clone()) {
                    effects.push(Effect::AnswerValidate(reply, ValidateAnswer::Stopped(reason)));
                }
            }
        }
        self.speculate(now_ms, effects);
    }

    /// Whether the signatures of a block may be checked before it is judged: it is new, not too long, and not too many are
    /// being checked.
    pub(crate) fn wants_preparation(&self, hash: &Hash, block: &Block) -> bool {
        let limit = usize::try_from(self.spec.limits.block_transactions).unwrap_or(usize::MAX);
        !self.is_stopped()
            && self.preparing.len() < MAX_PREPARATIONS
            && block.body.transactions.len() <= limit
            && self.tree.get(hash).is_none()
            && self.tree.get(&block.header.parent_hash).is_some()
            && !self.preparing.contains(hash)
    }

    /// Signatures of a block are being checked: its verdict waits for [`Self::on_prepared`].
    pub(crate) fn on_preparing(&mut self, hash: Hash) {
        self.preparing.insert(hash);
    }

    /// They were checked.
    pub(crate) fn on_prepared(
        &mut self,
        hash: &Hash,
        now_ms: u64,
        world: &dyn World,
        effects: &mut Vec<Effect>,
    ) {
        self.preparing.remove(hash);
        self.dispatch(now_ms, world, effects);
        self.retry_waiting(world, effects);
        self.speculate(now_ms, effects);
        // A build on this block was declined meanwhile.
        effects.push(Effect::WorkPossible);
        self.tell_stopped(effects);
    }

    /// Tries again what waited for execution, parents first.
    pub(super) fn retry_waiting(&mut self, world: &dyn World, effects: &mut Vec<Effect>) {
        let mut waiting: Vec<_> = self.waiting.iter().map(|w| (w.height, w.hash)).collect();
        waiting.sort_unstable();
        waiting.dedup();
        for (_, hash) in waiting {
            let Some(block) = self.tree.get(&hash).map(|node| Arc::clone(&node.block)) else {
                continue;
            };
            match self.judge(&hash, &block, world) {
                Ok(verdict) => self.record(hash, verdict, effects),
                Err(fault) => return self.node_fault(&fault, effects),
            }
        }
    }

    /// The answer, or `None` when the block waits in the tree for its verdict.
    pub(super) fn validate(
        &mut self,
        hash: Hash,
        block: Arc<Block>,
        now_ms: u64,
        world: &dyn World,
        effects: &mut Vec<Effect>,
    ) -> Result<Option<ValidateAnswer>, StateFault> {
        if let Some(reason) = &self.stopped {
            return Ok(Some(ValidateAnswer::Stopped(reason.clone())));
        }
        // The tree knows blocks by their hashes: a body that is not the header's must not stand for the one that is.
        if let Err(reason) = admission::check_commitments(&block, &self.spec) {
            return Ok(Some(ValidateAnswer::Invalid(reason)));
        }
        if let Some(answer) = self.known_answer(&hash, &block, world)? {
            return Ok(Some(answer));
        }
        let limit = now_ms.saturating_add(self.spec.limits.timestamp_drift_ms);
        if block.header.timestamp_ms > limit {
            return Ok(Some(ValidateAnswer::Early {
                by_ms: block.header.timestamp_ms - limit,
            }));
        }
        if self.tree.get(&hash).is_some() {
            return Ok(None);
        }
        if self.tree.unfinalized() >= self.config.max_unfinalized_blocks {
            let wanted = self.wanted.as_ref().map(|wanted| wanted.hash);
            let spared = [Some(block.header.parent_hash), Some(self.head), wanted];
            let spared: Vec<Hash> = spared.into_iter().flatten().collect();
            let Some(evicted) = self.tree.evict(&spared) else {
                return Ok(Some(ValidateAnswer::Busy));
            };
            self.answer_waiting(&evicted.hash, &ValidateAnswer::Busy, effects);
            self.forget_removed(&[evicted], effects);
        }
        let verdict = self.judge(&hash, &block, world)?;
        self.tree.insert(hash, block, Standing::Waiting);
        let answer = match &verdict {
            Verdict::Valid(_) => Some(ValidateAnswer::Valid),
            Verdict::Invalid(reason) => Some(ValidateAnswer::Invalid(reason.clone())),
            Verdict::Pending(_) => None,
        };
        self.record(hash, verdict, effects);
        Ok(answer)
    }

    /// What can be said without looking into the block.
    fn known_answer(
        &self,
        hash: &Hash,
        block: &Block,
        world: &dyn World,
    ) -> Result<Option<ValidateAnswer>, StateFault> {
        if let Some(node) = self.tree.get(hash) {
            return Ok(match &node.standing {
                Standing::Valid(_) => Some(ValidateAnswer::Valid),
                Standing::Invalid(reason) => Some(ValidateAnswer::Invalid(reason.clone())),
                Standing::Waiting => None,
            });
        }
        let parent = block.header.parent_hash;
        match self.tree.get(&parent) {
            Some(node) if node.height() >= self.tree.finalized().height => Ok(None),
            Some(_) => Ok(Some(ValidateAnswer::Conflicting)),
            None if world.finalized_hash(block.header.height)? == Some(*hash) => {
                Ok(Some(ValidateAnswer::Valid))
            }
            None if world
                .stored_height(&parent)?
                .is_some_and(|height| height <= self.tree.finalized().height) =>
            {
                Ok(Some(ValidateAnswer::Conflicting))
            }
            None => Ok(Some(ValidateAnswer::Pending(Pending::UnknownParent { parent }))),
        }
    }

    pub(super) fn wait_for_verdict(
        &mut self,
        hash: Hash,
        reply: Option<Reply<ValidateAnswer>>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(node) = self.tree.get(&hash) else { return };
        let (height, settled) = (node.height(), node.settled_height());
        if self.waiting.len() < self.config.max_requests {
            self.waiting.push(Waiting { hash, height, reply });
        } else if let Some(reply) = reply {
            let pending = Pending::NotExecuted { height: settled };
            effects.push(Effect::AnswerValidate(reply, ValidateAnswer::Pending(pending)));
        }
    }
}
