//! Receipts of a header, and the roots of executed heights.

use alloc::vec::Vec;

use millrace_types::settlement::{SettlementError, check_settlement};
use millrace_types::{ExecutionReceipt, Hash, Height};

use crate::client::LightClient;
use crate::evidence::Opening;

/// Where a verified value comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Provenance {
    /// The block after whose execution the value holds.
    pub height: Height,
    /// The finalized header that commits to that execution: the one that settles it, or, under option A with a
    /// checkpoint, the oldest kept that still carries its root. Genesis settles itself.
    pub settled_by: Height,
    /// Hash of that header.
    pub settling_hash: Hash,
}

/// A receipt that a finalized header commits to.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    receipt: ExecutionReceipt,
    settled_by: Height,
    settling_hash: Hash,
}

/// Why receipts are not taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SettleError {
    /// The settling header, its parent, or a block that it settles is not (or no longer) kept.
    #[error("height {height} is not kept: {oldest} ..= {newest} are; advance, or begin at an earlier header")]
    NotKept {
        /// The height that is missing.
        height: Height,
        /// The oldest kept.
        oldest: Height,
        /// The newest kept.
        newest: Height,
    },
    /// They are not the header's.
    #[error("receipts settled by height {settled_by}: {error}")]
    Settlement {
        /// The settling header's height.
        settled_by: Height,
        /// Why.
        error: SettlementError,
    },
}

/// Why there is no root, or no receipt, of a height.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RootError {
    /// No finalized header commits to its execution yet.
    #[error("height {height} is not settled: finalized headers commit to execution up to height {executed}")]
    NotSettled {
        /// The height asked about.
        height: Height,
        /// The newest that is settled.
        executed: Height,
    },
    /// A finalized header commits to it, but its receipts have not been brought.
    #[error("the receipts that the header at height {settled_by} settles are needed: pass them to settle()")]
    Unopened {
        /// The height asked about.
        height: Height,
        /// The height whose receipts are needed.
        settled_by: Height,
    },
    /// So old that its settling header is no longer kept.
    #[error("height {height} is too old: headers are kept from height {oldest} on")]
    Forgotten {
        /// The height asked about.
        height: Height,
        /// The oldest kept.
        oldest: Height,
    },
}

impl LightClient {
    /// The height of the header that settles `height`, if it is final and kept.
    #[must_use]
    pub fn settled_by(&self, height: Height) -> Option<Height> {
        self.settling(height).ok().map(|provenance| provenance.settled_by)
    }

    /// Takes the receipts that the finalized header at `settled_by` settles, from whoever has them: its settlement
    /// hash says whether they are right, under either commitment option.
    ///
    /// # Errors
    /// If they are not, or the headers needed to tell are not kept. Nothing is taken then.
    pub fn settle(&mut self, settled_by: Height, receipts: &[ExecutionReceipt]) -> Result<(), SettleError> {
        let (oldest, newest) = (self.window.oldest().header.height, self.finalized_height());
        let kept = |height| {
            self.window.get(height).ok_or(SettleError::NotKept {
                height,
                oldest,
                newest,
            })
        };
        let settling = kept(settled_by)?;
        let parent_settled = match settled_by.checked_sub(1) {
            Some(parent) => kept(parent)?.header.settled_height,
            None => 0,
        };
        if parent_settled < settling.header.settled_height {
            kept(parent_settled + 1)?;
        }
        let ancestor = |height| self.window.get(height).map_or(Hash::ZERO, |kept| kept.hash);
        check_settlement(&settling.header, parent_settled, receipts, ancestor)
            .map_err(|error| SettleError::Settlement { settled_by, error })?;
        let settling_hash = settling.hash;
        for receipt in receipts {
            let settled = Settled {
                receipt: receipt.clone(),
                settled_by,
                settling_hash,
            };
            self.settled.insert(receipt.height, settled);
        }
        Ok(())
    }

    /// The execution receipt of a settled height, once [`settle`](Self::settle) has taken it; that of genesis is
    /// implied by the chain spec.
    ///
    /// # Errors
    /// If there is none here.
    pub fn receipt(&self, height: Height) -> Result<(&ExecutionReceipt, Provenance), RootError> {
        if height == 0 {
            let settling_hash = self.genesis.block_hash;
            return Ok((
                &self.genesis,
                Provenance {
                    height,
                    settled_by: 0,
                    settling_hash,
                },
            ));
        }
        if let Some(settled) = self.settled.get(&height) {
            let Settled {
                receipt,
                settled_by,
                settling_hash,
            } = settled;
            let (settled_by, settling_hash) = (*settled_by, *settling_hash);
            return Ok((
                receipt,
                Provenance {
                    height,
                    settled_by,
                    settling_hash,
                },
            ));
        }
        let settled_by = self.settling(height)?.settled_by;
        Err(RootError::Unopened { height, settled_by })
    }

    /// The state root after `height`, and which finalized header commits to it: from the chain spec for genesis,
    /// from the receipts taken, or under option A from a header that carries the root of this height.
    ///
    /// # Errors
    /// If no finalized header is known to commit to a root of this height.
    pub fn state_root(&self, height: Height) -> Result<(Hash, Provenance), RootError> {
        let opened = self
            .receipt(height)
            .map(|(receipt, provenance)| (receipt.post_state_root, provenance));
        let carried = self
            .window
            .settling(height)
            .filter(|kept| kept.header.settled_height == height);
        match (
            opened,
            carried.and_then(|kept| Some((kept, kept.header.delayed_state_root?))),
        ) {
            (Err(_), Some((kept, root))) => {
                let (settled_by, settling_hash) = (kept.header.height, kept.hash);
                Ok((
                    root,
                    Provenance {
                        height,
                        settled_by,
                        settling_hash,
                    },
                ))
            }
            (opened, _) => opened,
        }
    }

    /// What the header at `settled_by` settles, in a form that others can check, if the client has taken its receipts
    /// and kept a certificate: one side of [`Evidence::Receipts`](crate::Evidence::Receipts).
    #[must_use]
    pub fn opening(&self, settled_by: Height) -> Option<Opening> {
        let branch = self.window.branch(settled_by)?;
        let of_this = self
            .settled
            .values()
            .filter(|settled| settled.settled_by == settled_by);
        let receipts: Vec<_> = of_this.map(|settled| settled.receipt.clone()).collect();
        (!receipts.is_empty()).then_some(Opening { branch, receipts })
    }

    /// The finalized header that settles `height`. The oldest header kept may not be the first that covers it.
    fn settling(&self, height: Height) -> Result<Provenance, RootError> {
        let oldest = self.window.oldest().header.height;
        match self.window.settling(height) {
            None => Err(RootError::NotSettled {
                height,
                executed: self.executed_height(),
            }),
            Some(kept) if kept.header.height == oldest && oldest > 0 => {
                Err(RootError::Forgotten { height, oldest })
            }
            Some(kept) => Ok(Provenance {
                height,
                settled_by: kept.header.height,
                settling_hash: kept.hash,
            }),
        }
    }
}
