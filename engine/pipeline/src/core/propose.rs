//! Proposals: what to settle, what to include, when to hold back.

use millrace_mempool::BlockRoom;
use millrace_types::block::HEADER_VERSION;
use millrace_types::receipt::settlement_hash;
use millrace_types::{Block, Body, Commitment, ExecutionReceipt, Hash, Header, SignedTransaction};

use super::{Core, Effect, World};
use crate::admission::{Admission, Branch, Candidate, NotAdmitted, StateFault, transactions_root};
use crate::api::{BuildAnswer, BuildRefused, BuildRequest, NotNow};
use crate::builder::{self, Settling, overhead_bytes};
use crate::pressure::{Allowance, Rung};
use crate::reply::Reply;
use crate::tree::{Node, Standing, TreeBranch};

/// Why there is no block.
enum NoBlock {
    NotNow(NotNow),
    Refused(BuildRefused),
    Fault(StateFault),
}

impl From<NotNow> for NoBlock {
    fn from(reason: NotNow) -> Self {
        Self::NotNow(reason)
    }
}

impl From<BuildRefused> for NoBlock {
    fn from(reason: BuildRefused) -> Self {
        Self::Refused(reason)
    }
}

impl Core {
    /// [`crate::Engine::build`].
    pub(crate) fn on_build(
        &mut self,
        request: BuildRequest,
        reply: Reply<BuildAnswer>,
        now_ms: u64,
        world: &dyn World,
        effects: &mut Vec<Effect>,
    ) {
        self.observe(request.parent);
        let answer = match self.build(&request, now_ms, world) {
            Ok(block) => {
                self.no_block = false;
                self.ladder.note_proposed(block.body.transactions.is_empty());
                self.counters.blocks_built += 1;
                BuildAnswer::Built(Box::new(block))
            }
            Err(NoBlock::NotNow(reason)) => {
                self.no_block = matches!(reason, NotNow::LagLimit { .. });
                self.counters.builds_declined += 1;
                if let NotNow::Delay { for_ms } = reason {
                    self.work_at_ms = Some(now_ms.saturating_add(for_ms));
                }
                tracing::debug!(%reason, "no block to propose now");
                BuildAnswer::NotNow(reason)
            }
            Err(NoBlock::Refused(reason)) => BuildAnswer::Refused(reason),
            Err(NoBlock::Fault(fault)) => {
                self.node_fault(&fault, effects);
                let reason = self.stopped.clone().expect("a fault stops the engine");
                BuildAnswer::Refused(BuildRefused::Stopped(reason))
            }
        };
        effects.push(Effect::AnswerBuild(reply, answer));
    }

    fn build(&self, request: &BuildRequest, now_ms: u64, world: &dyn World) -> Result<Block, NoBlock> {
        let parent = self.parent_to_build_on(request, world)?;
        let branch = self
            .tree
            .branch(&request.parent, world)
            .ok_or(BuildRefused::Conflicting {
                parent: request.parent,
            })?;
        let allowance = self.ladder.allowance();
        let timestamp_ms = request
            .timestamp_ms
            .unwrap_or(now_ms)
            .max(parent.block.header.timestamp_ms);
        self.keep_distance(parent, now_ms, &allowance)?;
        let settling = builder::settle(
            parent.height() + 1,
            parent.settled_height(),
            branch.executed_height(),
            &self.spec,
        )?;
        let mut header = Header {
            version: HEADER_VERSION,
            chain_id: self.spec.chain_id,
            height: parent.height() + 1,
            parent_hash: request.parent,
            timestamp_ms,
            proposer: request.proposer,
            transactions_root: Hash::ZERO,
            gas_limit: self.spec.limits.block_gas,
            settled_height: settling.to,
            settlement_hash: Hash::ZERO,
            delayed_state_root: None,
            consensus_data: request.consensus_data.clone(),
            seal: Vec::new(),
        };
        let receipts = self.settle(&mut header, &settling, &branch);
        let transactions = if allowance.max_transactions > 0 {
            self.fill(&mut header, request, &allowance, &branch, world)
                .map_err(NoBlock::Fault)?
        } else {
            Vec::new()
        };
        if transactions.is_empty() {
            let under_pressure = self.ladder.rung() == Rung::Empty;
            builder::check_empty(
                header.height,
                &settling,
                parent.last_non_empty,
                under_pressure,
                request.allow_empty,
            )?;
            header.transactions_root = transactions_root(&[]);
        }
        Ok(Block {
            header,
            body: Body {
                transactions,
                receipts,
            },
        })
    }

    fn parent_to_build_on(&self, request: &BuildRequest, world: &dyn World) -> Result<&Node, NoBlock> {
        if let Some(reason) = &self.stopped {
            return Err(BuildRefused::Stopped(reason.clone()).into());
        }
        let parent = request.parent;
        let Some(node) = self.tree.get(&parent) else {
            return Err(match world.stored_height(&parent) {
                Ok(Some(height)) if height <= self.tree.finalized().height => {
                    BuildRefused::Conflicting { parent }.into()
                }
                Ok(_) => BuildRefused::UnknownParent { parent }.into(),
                Err(fault) => NoBlock::Fault(fault),
            });
        };
        let (size, limit) = (
            request.consensus_data.len() as u64,
            u64::from(self.spec.limits.consensus_data_bytes),
        );
        if size > limit {
            return Err(BuildRefused::FieldTooLong {
                field: "consensus_data",
                size,
                limit,
            }
            .into());
        }
        if node.height() < self.tree.finalized().height {
            return Err(BuildRefused::Conflicting { parent }.into());
        }
        match node.standing {
            Standing::Invalid(_) => Err(BuildRefused::ParentNotValid { parent }.into()),
            Standing::Waiting => Err(NotNow::AwaitingExecution {
                height: node.settled_height(),
            }
            .into()),
            Standing::Valid(_) if !self.config.pipelining && node.receipt.is_none() => {
                Err(NotNow::ParentNotExecuted {
                    height: node.height(),
                }
                .into())
            }
            Standing::Valid(_) => Ok(node),
        }
    }

    fn keep_distance(&self, parent: &Node, now_ms: u64, allowance: &Allowance) -> Result<(), NotNow> {
        let at = parent
            .block
            .header
            .timestamp_ms
            .saturating_add(allowance.min_interval_ms);
        // A parent's time ahead of this clock (it was set back, or the parent's proposer's runs ahead) tells no
        // distance, and waiting for it could take for ever; the K rule still holds.
        let is_ahead = parent.block.header.timestamp_ms > now_ms;
        let for_ms = at.saturating_sub(now_ms);
        if for_ms > 0 && !is_ahead {
            Err(NotNow::Delay { for_ms })
        } else {
            Ok(())
        }
    }

    /// Fills in the settlement; answers the receipts that the body carries.
    fn settle(
        &self,
        header: &mut Header,
        settling: &Settling,
        branch: &TreeBranch<'_>,
    ) -> Vec<ExecutionReceipt> {
        let receipts: Vec<ExecutionReceipt> = (settling.from..=settling.to)
            .map(|height| branch.receipt_at(height).expect("what is settled is executed"))
            .collect();
        header.settlement_hash = settlement_hash(&receipts);
        match self.spec.commitment {
            Commitment::ExecutionReceipts => receipts,
            Commitment::DelayedRoot => {
                let newest = branch
                    .receipt_at(settling.to)
                    .expect("what is settled is executed");
                header.delayed_state_root = Some(newest.post_state_root);
                Vec::new()
            }
        }
    }

    /// Takes transactions from the pool, each admitted as a validator would, and commits to them.
    fn fill(
        &self,
        header: &mut Header,
        request: &BuildRequest,
        allowance: &Allowance,
        branch: &TreeBranch<'_>,
        world: &dyn World,
    ) -> Result<Vec<SignedTransaction>, StateFault> {
        let limits = &self.spec.limits;
        let max_bytes = allowance.max_bytes.min(request.max_bytes.unwrap_or(u64::MAX));
        let room = BlockRoom {
            gas: allowance
                .max_gas
                .min(request.max_gas.unwrap_or(u64::MAX))
                .min(header.gas_limit),
            bytes: max_bytes
                .min(limits.block_bytes.into())
                .saturating_sub(overhead_bytes(&self.spec)),
            transactions: allowance.max_transactions.min(limits.block_transactions),
        };
        let candidates = world.candidates(header.settled_height, header.height, branch, room);
        let (mut transactions, mut hashes) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        let admitted_header = header.clone();
        let mut admission = Admission::new(&self.spec, &admitted_header, branch);
        for signed in candidates {
            let candidate = Candidate::of(&signed, signed.hash());
            let gas = admission.gas() + u128::from(signed.transaction.gas_limit);
            let fits = bytes + candidate.size <= room.bytes
                && gas <= u128::from(room.gas)
                && (hashes.len() as u64) < u64::from(room.transactions);
            if !fits {
                continue;
            }
            match admission.admit(&candidate) {
                Ok(()) => {
                    bytes += candidate.size;
                    hashes.push(candidate.hash);
                    transactions.push(signed);
                }
                Err(NotAdmitted::Invalid(reason)) => {
                    tracing::trace!(transaction = %candidate.hash, %reason, "not in this block");
                }
                Err(NotAdmitted::Fault(fault)) => return Err(fault),
            }
        }
        header.transactions_root = transactions_root(&hashes);
        Ok(transactions)
    }
}
