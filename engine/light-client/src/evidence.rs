//! Proof that those who certify blocks contradicted themselves. Anyone with the chain spec can check it.

use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};
use millrace_types::chain_spec::MAX_RECEIPT_LAG;
use millrace_types::receipt::settlement_hash;
use millrace_types::{DecodeError, ExecutionReceipt, Hash, Header, Height, codec};

use crate::client::{DEFAULT_WINDOW, LightClient, MAX_BATCH, genesis_below};
use crate::verifier::{self, CertificateError};

/// Headers, each the parent of the next, and the certificate of the last: it vouches for them all, and for the
/// parent of the first.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Branch {
    /// In order of height; at least one.
    #[borsh(deserialize_with = "codec::list")]
    pub headers: Vec<Header>,
    /// Over the last header.
    #[borsh(deserialize_with = "codec::bytes")]
    pub certificate: Vec<u8>,
}

/// A certified branch whose first header settles receipts.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Opening {
    /// The branch.
    pub branch: Branch,
    /// What the settlement hash of its first header commits to.
    #[borsh(deserialize_with = "codec::list")]
    pub receipts: Vec<ExecutionReceipt>,
}

/// A contradiction.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum Evidence {
    /// Two blocks were made final at one height.
    Blocks {
        /// One of them.
        first: Branch,
        /// The other.
        second: Branch,
    },
    /// One block was given two receipts, though a receipt is a function of the block.
    Receipts {
        /// A settlement of the block.
        first: Opening,
        /// Another.
        second: Opening,
    },
}

/// What a piece of evidence shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Contradiction {
    /// Two blocks at one height.
    Blocks {
        /// The height.
        height: Height,
        /// The blocks.
        hashes: [Hash; 2],
    },
    /// Two receipts of one block.
    Receipts {
        /// The block.
        block_hash: Hash,
        /// The receipts.
        receipts: [ExecutionReceipt; 2],
    },
}

/// Why something is no evidence.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EvidenceError {
    /// A branch without headers, or with more than any client would hand out.
    #[error("a branch has {found} headers: allowed is 1 ..= {MAX_BRANCH}")]
    Length {
        /// Its headers.
        found: usize,
    },
    /// A branch of another chain. Its keys may certify both, if the two share a chain id.
    #[error("a branch begins at genesis {found}, this chain at {expected}")]
    OtherChain {
        /// The branch's genesis header.
        found: Hash,
        /// This chain's.
        expected: Hash,
    },
    /// Headers that do not follow each other.
    #[error("header {position} of a branch does not follow the one before")]
    Unlinked {
        /// The first that does not.
        position: usize,
    },
    /// A certificate that does not hold.
    #[error("a branch is not certified: {0}")]
    Certificate(#[from] CertificateError),
    /// Receipts other than those which the header commits to.
    #[error("the receipts hash to {found}, the header says {expected}")]
    Settlement {
        /// Hash of the receipts.
        found: Hash,
        /// The header's settlement hash.
        expected: Hash,
    },
    /// Both sides may be true at once.
    #[error("the two sides do not contradict each other")]
    Consistent,
}

/// The most headers of a branch: as many as a client may hold without a certificate between them, which are those that it
/// began with and those of one call of [`LightClient::advance`].
#[expect(clippy::cast_possible_truncation, reason = "a thousand")]
pub const MAX_BRANCH: usize = DEFAULT_WINDOW + MAX_RECEIPT_LAG as usize + 2 + MAX_BATCH;

impl Branch {
    /// Checks links, genesis and certificate; gives the hash of the parent of the first header and of every header.
    fn check(&self, client: &LightClient) -> Result<Vec<(Height, Hash)>, EvidenceError> {
        let found = self.headers.len();
        let (Some(first), Some(last), 1..=MAX_BRANCH) = (self.headers.first(), self.headers.last(), found)
        else {
            return Err(EvidenceError::Length { found });
        };
        let expected = client.genesis_hash();
        if let Some(found) = genesis_below(first, first.hash()).filter(|found| *found != expected) {
            return Err(EvidenceError::OtherChain { found, expected });
        }
        let mut hashes = Vec::new();
        if let Some(below) = first.height.checked_sub(1) {
            hashes.push((below, first.parent_hash));
        }
        for (position, header) in self.headers.iter().enumerate() {
            let follows = |(height, hash): &(Height, Hash)| {
                height.checked_add(1) == Some(header.height) && *hash == header.parent_hash
            };
            if position > 0 && !hashes.last().is_some_and(follows) {
                return Err(EvidenceError::Unlinked { position });
            }
            hashes.push((header.height, header.hash()));
        }
        let (_, last_hash) = hashes.last().expect("one hash for each header");
        verifier::check(client.verifier(), last, last_hash, &self.certificate)?;
        Ok(hashes)
    }
}

impl Opening {
    fn check(&self, client: &LightClient) -> Result<(), EvidenceError> {
        self.branch.check(client)?;
        let expected = self.branch.headers[0].settlement_hash;
        let found = settlement_hash(&self.receipts);
        if found == expected {
            Ok(())
        } else {
            Err(EvidenceError::Settlement { found, expected })
        }
    }
}

/// The most bytes of encoded evidence: two branches of [`MAX_BATCH`] headers of any usual chain.
pub const MAX_EVIDENCE_BYTES: usize = 16 << 20;

impl LightClient {
    /// What contradicts an opening that somebody else shows: the receipts that this client took for the same blocks.
    /// `None` if they agree, the client opened none of these blocks, or either side is not certified.
    #[must_use]
    pub fn contradiction(&self, second: Opening) -> Option<Evidence> {
        let differs = second.receipts.iter().find_map(|receipt| {
            let (ours, provenance) = self.receipt(receipt.height).ok()?;
            let differs = ours.block_hash == receipt.block_hash && ours != receipt;
            differs.then_some(provenance.settled_by)
        })?;
        let first = self.opening(differs)?;
        let evidence = Evidence::Receipts { first, second };
        evidence.verify(self).ok().map(|_| evidence)
    }
}

impl Evidence {
    /// Decodes evidence from its canonical bytes, of which there may be [`MAX_EVIDENCE_BYTES`].
    ///
    /// # Errors
    /// If there are more, or they are not canonical.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes, MAX_EVIDENCE_BYTES)
    }

    /// Checks the evidence with a client that knows the validators in question: under a consensus with fixed
    /// validators any client of the chain, otherwise one which has followed the chain to where the branches part and still
    /// keeps that height.
    ///
    /// # Errors
    /// If a side is not certified or of another chain, or the sides do not contradict each other.
    pub fn verify(&self, client: &LightClient) -> Result<Contradiction, EvidenceError> {
        match self {
            Self::Blocks { first, second } => {
                let (first, second) = (first.check(client)?, second.check(client)?);
                let clash = first.iter().find_map(|(height, hash)| {
                    let (_, other) = second.iter().find(|(at, other)| at == height && other != hash)?;
                    Some(Contradiction::Blocks {
                        height: *height,
                        hashes: [*hash, *other],
                    })
                });
                clash.ok_or(EvidenceError::Consistent)
            }
            Self::Receipts { first, second } => {
                first.check(client)?;
                second.check(client)?;
                let clash = first.receipts.iter().find_map(|receipt| {
                    let differs = |other: &&ExecutionReceipt| {
                        other.block_hash == receipt.block_hash && *other != receipt
                    };
                    let other = second.receipts.iter().find(differs)?;
                    let receipts = [receipt.clone(), other.clone()];
                    Some(Contradiction::Receipts {
                        block_hash: receipt.block_hash,
                        receipts,
                    })
                });
                clash.ok_or(EvidenceError::Consistent)
            }
        }
    }
}
