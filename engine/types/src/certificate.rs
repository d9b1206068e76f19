//! What certificates of a consensus say, and the certificate of a single sequencer.
//!
//! A certificate is opaque to the engine. Whatever its form, its signatures are over a [`Statement`], which binds
//! chain, consensus, view and block: none can be replayed on another chain, under another consensus, or for another
//! block.

use alloc::string::String;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::codec;
use crate::hash::domains;
use crate::keys::{PublicKey, SecretKey, SignatureError};
use crate::{ChainSpec, Hash};

/// What is signed about a block.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct Statement {
    /// The chain.
    pub chain_id: u64,
    /// The consensus, as the chain spec names it.
    #[borsh(deserialize_with = "codec::text")]
    pub consensus_id: String,
    /// The consensus' own count of attempts: epoch, round or view; its meaning is the plugin's.
    pub view: u64,
    /// The block.
    pub block_hash: Hash,
}

impl Statement {
    /// What signatures are over.
    #[must_use]
    pub fn signing_hash(&self) -> Hash {
        codec::hash_of(&domains::CERTIFICATE, self)
    }
}

/// The consensus of a single sequencer. Its `ConsensusSpec::parameters` are the sequencer's public key, 32 bytes.
pub const SOLO_CONSENSUS_ID: &str = "solo/1";

/// The most bytes of a certificate of any consensus.
pub const MAX_CERTIFICATE_BYTES: usize = 1 << 20;

/// Why a chain spec names no sequencer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SoloParametersError {
    /// It names another consensus.
    #[error("consensus.id is {found:?}, not {SOLO_CONSENSUS_ID:?}")]
    Consensus {
        /// The id found.
        found: String,
    },
    /// Its parameters are no public key.
    #[error(
        "consensus.parameters of {SOLO_CONSENSUS_ID} are the sequencer's public key: 32 bytes, not {found}"
    )]
    Length {
        /// Bytes found.
        found: usize,
    },
}

/// A block's certificate under [`SOLO_CONSENSUS_ID`]: 72 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct SoloCertificate {
    /// The sequencer's count of its proposals.
    pub view: u64,
    /// Ed25519 (ZIP-215) by the sequencer over [`Statement::signing_hash`].
    #[cfg_attr(feature = "serde", serde(with = "crate::json::array"))]
    pub signature: [u8; 64],
}

impl SoloCertificate {
    /// Bytes of its encoding.
    pub const BYTES: usize = 72;

    /// Certifies a block.
    #[must_use]
    pub fn sign(chain_id: u64, view: u64, block_hash: Hash, sequencer: &SecretKey) -> Self {
        Self {
            view,
            signature: sequencer.sign(&Self::statement(chain_id, view, block_hash).signing_hash()),
        }
    }

    /// Checks that the sequencer certified the block.
    ///
    /// # Errors
    /// If key or signature do not count.
    pub fn verify(
        &self,
        chain_id: u64,
        block_hash: Hash,
        sequencer: &PublicKey,
    ) -> Result<(), SignatureError> {
        sequencer.verify(
            &Self::statement(chain_id, self.view, block_hash).signing_hash(),
            &self.signature,
        )
    }

    /// The sequencer that a chain spec names.
    ///
    /// # Errors
    /// If its consensus is another one, or its parameters are not 32 bytes.
    pub fn sequencer(spec: &ChainSpec) -> Result<PublicKey, SoloParametersError> {
        if spec.consensus.id != SOLO_CONSENSUS_ID {
            return Err(SoloParametersError::Consensus {
                found: spec.consensus.id.clone(),
            });
        }
        let parameters = spec.consensus.parameters.as_slice();
        let key = parameters.try_into().map_err(|_| SoloParametersError::Length {
            found: parameters.len(),
        })?;
        Ok(PublicKey(key))
    }

    fn statement(chain_id: u64, view: u64, block_hash: Hash) -> Statement {
        Statement {
            chain_id,
            consensus_id: SOLO_CONSENSUS_ID.into(),
            view,
            block_hash,
        }
    }
}
