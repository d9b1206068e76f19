//! Headers: from where the client began to the newest that is certified.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};
use millrace_types::settlement::{HeaderError, check_header};
use millrace_types::{ChainSpec, ExecutionReceipt, Hash, Header, Height, codec};

use crate::evidence::{Branch, Evidence};
use crate::settle::Settled;
use crate::start::capacity;
use crate::verifier::{self, CertificateError, CertificateVerifier};
use crate::window::{Kept, Window};

/// The most headers of one call of [`LightClient::advance`].
pub const MAX_BATCH: usize = 1024;

/// How many of the newest heights a client answers for, unless told otherwise.
pub const DEFAULT_WINDOW: usize = 1024;

/// A header, and its certificate unless a later header of the same batch has one.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct CertifiedHeader {
    /// The header.
    pub header: Header,
    /// What makes it final.
    pub certificate: Option<Certificate>,
}

/// A certificate: bytes that mean something to the consensus alone.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Certificate(#[borsh(deserialize_with = "codec::bytes")] pub Vec<u8>);

/// Why headers do not extend what is final.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AdvanceError {
    /// Too many headers at once.
    #[error("{found} headers at once: at most {MAX_BATCH}, send the rest after")]
    TooMany {
        /// Headers given.
        found: usize,
    },
    /// The last header has no certificate, so nothing vouches for it.
    #[error("the last header, at height {height}, has no certificate")]
    Uncertified {
        /// Its height.
        height: Height,
    },
    /// A header does not name the one before as its parent.
    #[error("the header at height {height} does not follow the one before it in the batch")]
    Unlinked {
        /// Its height.
        height: Height,
    },
    /// Heights are missing between what is final and the batch.
    #[error("the batch begins at height {found}, next is {next}")]
    Gap {
        /// The batch's first height.
        found: Height,
        /// The height that is due.
        next: Height,
    },
    /// All headers are older than what is kept, so they cannot be compared.
    #[error("the batch ends at height {found}, the oldest kept is {oldest}")]
    Forgotten {
        /// The batch's last height.
        found: Height,
        /// The oldest height kept.
        oldest: Height,
    },
    /// A certificate does not hold.
    #[error("certificate of height {height}: {error}")]
    Certificate {
        /// The certified height.
        height: Height,
        /// Why.
        error: CertificateError,
    },
    /// A certified header breaks a rule of headers: those who certify are at fault.
    #[error("certified header at height {height}: {error}")]
    Header {
        /// Its height.
        height: Height,
        /// The rule.
        error: HeaderError,
    },
    /// A header on another branch than what the client began with: another genesis, whose keys may certify this chain
    /// too, or another block than the trusted one, which has no certificate that would make it evidence.
    #[error("the headers lead to {found} at height {height}, trusted is {trusted}")]
    OtherChain {
        /// The height.
        height: Height,
        /// The batch's block there.
        found: Hash,
        /// The trusted block there.
        trusted: Hash,
    },
    /// Two certified branches: those who certify are at fault, and this proves it.
    #[error("certified headers contradict what is final at height {height}: evidence is attached")]
    Conflict {
        /// A height at which both have a block.
        height: Height,
        /// For everyone else to check.
        evidence: Box<Evidence>,
    },
}

/// Follows one chain.
pub struct LightClient {
    pub(crate) spec: ChainSpec,
    pub(crate) verifier: Box<dyn CertificateVerifier>,
    /// Implied by the chain spec.
    pub(crate) genesis: ExecutionReceipt,
    pub(crate) window: Window,
    pub(crate) settled: BTreeMap<Height, Settled>,
}

impl core::fmt::Debug for LightClient {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("LightClient")
            .field("chain", &self.spec.name)
            .field("finalized_height", &self.finalized_height())
            .field("executed_height", &self.executed_height())
            .finish_non_exhaustive()
    }
}

impl LightClient {
    /// Changes for how many of the newest heights the client answers; at least one. It keeps
    /// `max_receipt_lag` + 2 headers more, which opening settlements takes.
    #[must_use]
    pub fn with_window(mut self, heights: usize) -> Self {
        self.window.set_capacity(capacity(&self.spec, heights.max(1)));
        self
    }

    /// The chain spec.
    #[must_use]
    pub fn spec(&self) -> &ChainSpec {
        &self.spec
    }

    /// Checks certificates of this chain.
    #[must_use]
    pub fn verifier(&self) -> &dyn CertificateVerifier {
        &*self.verifier
    }

    /// Hash of the genesis header.
    #[must_use]
    pub fn genesis_hash(&self) -> Hash {
        self.genesis.block_hash
    }

    /// The newest height that is final.
    #[must_use]
    pub fn finalized_height(&self) -> Height {
        self.window.newest().header.height
    }

    /// The newest height whose execution a finalized header commits to: the newest with a state that can be proven.
    #[must_use]
    pub fn executed_height(&self) -> Height {
        self.window.newest().header.settled_height
    }

    /// The newest finalized header and its hash.
    #[must_use]
    pub fn finalized(&self) -> (&Header, Hash) {
        let newest = self.window.newest();
        (&newest.header, newest.hash)
    }

    /// The finalized header at `height` and its hash, while it is kept.
    #[must_use]
    pub fn header(&self, height: Height) -> Option<(&Header, Hash)> {
        self.window.get(height).map(|kept| (&kept.header, kept.hash))
    }

    /// All headers kept, in order of height.
    pub fn headers(&self) -> impl Iterator<Item = &Header> {
        self.window.iter().map(|kept| &kept.header)
    }

    /// Takes headers of consecutive heights, in order. They may begin at or below what is final already. Headers in
    /// front of a certified one become final with it.
    ///
    /// # Errors
    /// The first fault. Certified headers in front of it have been taken.
    pub fn advance(&mut self, batch: &[CertifiedHeader]) -> Result<(), AdvanceError> {
        let Some(last) = batch.last() else { return Ok(()) };
        if batch.len() > MAX_BATCH {
            return Err(AdvanceError::TooMany { found: batch.len() });
        }
        if last.certificate.is_none() {
            return Err(AdvanceError::Uncertified {
                height: last.header.height,
            });
        }
        let hashes = link(batch)?;
        self.check_genesis(&batch[0].header, hashes[0])?;
        let oldest = self.window.oldest().header.height;
        if last.header.height < oldest {
            return Err(AdvanceError::Forgotten {
                found: last.header.height,
                oldest,
            });
        }
        // Headers below the window are vouched for, or contradicted, by the first that is in it.
        let mut from = batch.partition_point(|entry| entry.header.height < oldest);
        for run in batch[from..].chunk_by(|entry, _| entry.certificate.is_none()) {
            self.advance_run(run, &hashes[from..from + run.len()])?;
            from += run.len();
        }
        Ok(())
    }

    /// Headers that reach down to genesis reach this chain's. A certificate names a chain by its id alone, so the keys of
    /// two chains with one id and different genesis headers contradict nothing.
    fn check_genesis(&self, first: &Header, hash: Hash) -> Result<(), AdvanceError> {
        let trusted = self.genesis_hash();
        match genesis_below(first, hash) {
            Some(found) if found != trusted => Err(AdvanceError::OtherChain {
                height: 0,
                found,
                trusted,
            }),
            _ => Ok(()),
        }
    }

    /// Takes linked headers of which the last, and no other, is certified.
    fn advance_run(&mut self, run: &[CertifiedHeader], hashes: &[Hash]) -> Result<(), AdvanceError> {
        let (Some(first), Some(last), Some(last_hash)) = (run.first(), run.last(), hashes.last()) else {
            return Ok(());
        };
        let next = self.finalized_height().saturating_add(1);
        if first.header.height > next {
            return Err(AdvanceError::Gap {
                found: first.header.height,
                next,
            });
        }
        let (height, found) = self.meeting_point(run, hashes);
        let ours = self.window.get(height).map(|kept| kept.hash);
        if ours == Some(found) && last.header.height < next {
            return Ok(());
        }
        let certificate = last
            .certificate
            .as_ref()
            .map_or(&[][..], |certificate| &certificate.0);
        verifier::check(&*self.verifier, &last.header, last_hash, certificate).map_err(|error| {
            AdvanceError::Certificate {
                height: last.header.height,
                error,
            }
        })?;
        if ours != Some(found) {
            return Err(self.conflict(height, found, run, certificate));
        }
        let known = run.partition_point(|entry| entry.header.height < next);
        self.check_rules(&run[known..], &hashes[known..])?;
        for (entry, hash) in run[known..].iter().zip(&hashes[known..]) {
            let certificate = entry
                .certificate
                .as_ref()
                .map(|certificate| certificate.0.clone());
            self.window.push(Kept {
                header: entry.header.clone(),
                hash: *hash,
                certificate,
            });
            self.verifier.finalized(&entry.header, hash);
        }
        let oldest = self.window.oldest().header.height;
        self.settled = self.settled.split_off(&oldest);
        self.verifier.forget(oldest);
        Ok(())
    }

    /// The greatest height at which both the run and the window have a block, and the run's block there.
    fn meeting_point(&self, run: &[CertifiedHeader], hashes: &[Hash]) -> (Height, Hash) {
        let newest = self.finalized_height();
        let met = run
            .iter()
            .zip(hashes)
            .rev()
            .find(|(entry, _)| entry.header.height <= newest);
        met.map_or((newest, run[0].header.parent_hash), |(entry, hash)| {
            (entry.header.height, *hash)
        })
    }

    fn check_rules(&self, run: &[CertifiedHeader], hashes: &[Hash]) -> Result<(), AdvanceError> {
        let newest = self.window.newest();
        let (mut parent, mut parent_hash) = (&newest.header, &newest.hash);
        for (entry, hash) in run.iter().zip(hashes) {
            check_header(&entry.header, parent, parent_hash, &self.spec).map_err(|error| {
                AdvanceError::Header {
                    height: entry.header.height,
                    error,
                }
            })?;
            (parent, parent_hash) = (&entry.header, hash);
        }
        Ok(())
    }

    /// A certified run has block `found` at a height where another block is final.
    fn conflict(
        &self,
        height: Height,
        found: Hash,
        run: &[CertifiedHeader],
        certificate: &[u8],
    ) -> AdvanceError {
        // Evidence is from where the branches part upward: what both have proves nothing and is long.
        let parted = run.partition_point(|entry| entry.header.height < height);
        let headers = run[parted..].iter().map(|entry| entry.header.clone()).collect();
        let second = Branch {
            headers,
            certificate: certificate.to_vec(),
        };
        match self.window.branch(height) {
            Some(first) => AdvanceError::Conflict {
                height,
                evidence: Box::new(Evidence::Blocks { first, second }),
            },
            None => {
                let trusted = self.window.get(height).map_or(Hash::ZERO, |kept| kept.hash);
                AdvanceError::OtherChain {
                    height,
                    found,
                    trusted,
                }
            }
        }
    }
}

/// The genesis header's hash, as a header says that is it or its child.
pub(crate) fn genesis_below(header: &Header, hash: Hash) -> Option<Hash> {
    match header.height {
        0 => Some(hash),
        1 => Some(header.parent_hash),
        _ => None,
    }
}

/// Hashes of headers, each of which follows the one before.
fn link(batch: &[CertifiedHeader]) -> Result<Vec<Hash>, AdvanceError> {
    let mut hashes: Vec<Hash> = Vec::with_capacity(batch.len());
    let mut below = None;
    for CertifiedHeader { header, .. } in batch {
        if let Some((height, hash)) = below.zip(hashes.last())
            && (header.height.checked_sub(1) != Some(height) || header.parent_hash != *hash)
        {
            return Err(AdvanceError::Unlinked {
                height: header.height,
            });
        }
        below = Some(header.height);
        hashes.push(header.hash());
    }
    Ok(hashes)
}
