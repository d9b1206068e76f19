//! What certificates of a consensus say, and the certificate of a single signer.
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

/// The consensus of a longest chain whose blocks one key declares final. Its `ConsensusSpec::parameters` are that
/// key's public key, 32 bytes.
pub const LONGEST_CHAIN_CONSENSUS_ID: &str = "longest-chain/1";

/// Why a chain spec names no single signer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SignerParametersError {
    /// It names another consensus.
    #[error("consensus.id is {found:?}, not {expected:?}")]
    Consensus {
        /// The id found.
        found: String,
        /// The id asked for.
        expected: &'static str,
    },
    /// Its parameters are no public key.
    #[error("consensus.parameters of {consensus_id} are the signer's public key: 32 bytes, not {found}")]
    Length {
        /// The consensus.
        consensus_id: &'static str,
        /// Bytes found.
        found: usize,
    },
}

/// A block's certificate where one key makes blocks final, under [`SOLO_CONSENSUS_ID`] or
/// [`LONGEST_CHAIN_CONSENSUS_ID`]: 72 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct SoloCertificate {
    /// The signer's count of what it certified: the block's height.
    pub view: u64,
    /// Ed25519 (ZIP-215) by the signer over [`Statement::signing_hash`].
    #[cfg_attr(feature = "serde", serde(with = "crate::json::array"))]
    pub signature: [u8; 64],
}

impl SoloCertificate {
    /// Bytes of its encoding.
    pub const BYTES: usize = 72;

    /// Certifies a block under [`SOLO_CONSENSUS_ID`].
    #[must_use]
    pub fn sign(chain_id: u64, view: u64, block_hash: Hash, sequencer: &SecretKey) -> Self {
        Self::sign_under(SOLO_CONSENSUS_ID, chain_id, view, block_hash, sequencer)
    }

    /// Certifies a block under a consensus of a single signer.
    #[must_use]
    pub fn sign_under(
        consensus_id: &str,
        chain_id: u64,
        view: u64,
        block_hash: Hash,
        signer: &SecretKey,
    ) -> Self {
        let statement = statement(consensus_id, chain_id, view, block_hash);
        Self {
            view,
            signature: signer.sign(&statement.signing_hash()),
        }
    }

    /// Checks that the sequencer certified the block under [`SOLO_CONSENSUS_ID`].
    ///
    /// # Errors
    /// If key or signature do not count.
    pub fn verify(
        &self,
        chain_id: u64,
        block_hash: Hash,
        sequencer: &PublicKey,
    ) -> Result<(), SignatureError> {
        self.verify_under(SOLO_CONSENSUS_ID, chain_id, block_hash, sequencer)
    }

    /// Checks that the signer certified the block under a consensus.
    ///
    /// # Errors
    /// If key or signature do not count.
    pub fn verify_under(
        &self,
        consensus_id: &str,
        chain_id: u64,
        block_hash: Hash,
        signer: &PublicKey,
    ) -> Result<(), SignatureError> {
        let statement = statement(consensus_id, chain_id, self.view, block_hash);
        signer.verify(&statement.signing_hash(), &self.signature)
    }

    /// The signer that a chain spec names, whose consensus has to be `consensus_id`.
    ///
    /// # Errors
    /// If its consensus is another one, or its parameters are not 32 bytes.
    pub fn signer(spec: &ChainSpec, consensus_id: &'static str) -> Result<PublicKey, SignerParametersError> {
        if spec.consensus.id != consensus_id {
            return Err(SignerParametersError::Consensus {
                found: spec.consensus.id.clone(),
                expected: consensus_id,
            });
        }
        let parameters = spec.consensus.parameters.as_slice();
        let key = parameters.try_into().map_err(|_| SignerParametersError::Length {
            consensus_id,
            found: parameters.len(),
        })?;
        Ok(PublicKey(key))
    }
}

fn statement(consensus_id: &str, chain_id: u64, view: u64, block_hash: Hash) -> Statement {
    Statement {
        chain_id,
        consensus_id: consensus_id.into(),
        view,
        block_hash,
    }
}
