//! Where a client was, as bytes: to go on from there another time.
//!
//! ```text
//!   magic (16) │ version u16 │ hash (32) │ content, borsh
//! ```
//!
//! The hash is BLAKE3 in keyed mode, key [`DOMAIN`], over the version and the content. Magic, version and hash keep their
//! places and the hash its meaning in every version, so that damage and a newer version are told apart. Content of
//! version 1: the chain spec (bytes), the verifier's state (bytes), headers (list, in order of height), and the
//! certificate of the last (bytes).
//!
//! The hash finds damage, not forgery. Under a consensus with fixed validators forgery is found too: the spec hashes to
//! the genesis that the caller trusts, and the last header's certificate is checked again. Where validators change, the
//! file says who they are, and is to be kept as the genesis hash is.

use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};
use millrace_types::chain_spec::ReadChainSpecError;
use millrace_types::hash::Domain;
use millrace_types::{ChainSpec, DecodeError, Hash, Header, Height, codec};

use crate::client::LightClient;
use crate::start::{StartError, trusted_ancestors};
use crate::verifier::{self, CertificateError, MAX_VERIFIER_STATE_BYTES, Verifiers};

/// What every checkpoint begins with.
pub const MAGIC: [u8; 16] = *b"millrace light\r\n";
/// The version that this build writes, and the newest that it reads.
pub const VERSION: u16 = 1;
/// The key of the hash.
pub const DOMAIN: Domain = Domain::new("millrace/light-checkpoint");
/// The most bytes of a checkpoint.
pub const MAX_CHECKPOINT_BYTES: usize = 64 << 20;
/// Heights that a client answers for at once after it goes on from a checkpoint, beside those that opening takes.
pub const CHECKPOINT_WINDOW: u64 = 64;

const HEAD_BYTES: usize = MAGIC.len() + 2 + 32;

#[derive(BorshSerialize, BorshDeserialize)]
struct Content {
    #[borsh(deserialize_with = "codec::bytes")]
    spec: Vec<u8>,
    #[borsh(deserialize_with = "codec::bytes")]
    verifier: Vec<u8>,
    #[borsh(deserialize_with = "codec::list")]
    headers: Vec<Header>,
    #[borsh(deserialize_with = "codec::bytes")]
    certificate: Vec<u8>,
}

/// Why there is no checkpoint of a client.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoCheckpoint {
    /// The client has nothing that it did not begin with.
    #[error(
        "nothing certified was followed yet: the newest header is the one at height {height} that the client began with"
    )]
    Nothing {
        /// The height where it began.
        height: Height,
    },
    /// Longer than anybody would read.
    #[error("{what} has {found} bytes: at most {limit} are kept")]
    TooLong {
        /// `a checkpoint` or `the verifier's state`.
        what: &'static str,
        /// Its bytes.
        found: usize,
        /// The limit.
        limit: usize,
    },
}

/// Why a client does not go on from a checkpoint.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Something else than a checkpoint.
    #[error("this is no checkpoint of a light client: it does not begin with the magic bytes")]
    NotACheckpoint,
    /// Longer than any checkpoint; not looked at.
    #[error("the checkpoint has {found} bytes, more than {limit}")]
    TooLong {
        /// Its bytes.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// Shorter than what every checkpoint begins with.
    #[error("the checkpoint is damaged: it ends after {found} bytes")]
    Cut {
        /// Its bytes.
        found: usize,
    },
    /// Its hash is another one.
    #[error("the checkpoint is damaged: its content hashes to {found}, it says {expected}")]
    Damaged {
        /// Hash of what is there.
        found: Hash,
        /// The hash in it.
        expected: Hash,
    },
    /// Written by a newer build.
    #[error(
        "the checkpoint has version {found}, known are versions up to {VERSION}: it was written by a newer millrace"
    )]
    Newer {
        /// Its version.
        found: u16,
    },
    /// Whole, and yet no content of its version.
    #[error("the checkpoint's content: {0}")]
    Content(#[from] DecodeError),
    /// Its chain spec is none.
    #[error("the checkpoint's chain spec: {0}")]
    Spec(#[from] ReadChainSpecError),
    /// Of another chain.
    #[error("the checkpoint is of the chain with genesis {found}, trusted is {expected}")]
    OtherChain {
        /// Its chain.
        found: Hash,
        /// The chain asked for.
        expected: Hash,
    },
    /// Its headers, spec or validators are none that a client can begin with.
    #[error("the checkpoint: {0}")]
    Start(#[from] StartError),
    /// The certificate of its last header does not hold.
    #[error("the checkpoint's last header, at height {height}: {error}")]
    Certificate {
        /// Its height.
        height: Height,
        /// Why.
        error: CertificateError,
    },
}

impl LightClient {
    /// A checkpoint: the newest headers, the certificate of the last, and who certifies the next.
    ///
    /// # Errors
    /// If nothing certified was followed yet, or it would be too long.
    pub fn checkpoint(&self) -> Result<Vec<u8>, NoCheckpoint> {
        let height = self.finalized_height();
        let certificate = self.window.newest().certificate.clone();
        let certificate = certificate.ok_or(NoCheckpoint::Nothing { height })?;
        let within = |what, found, limit| match found <= limit {
            true => Ok(()),
            false => Err(NoCheckpoint::TooLong { what, found, limit }),
        };
        let verifier = self.verifier.save();
        within("the verifier's state", verifier.len(), MAX_VERIFIER_STATE_BYTES)?;
        let oldest = height.saturating_sub(trusted_ancestors(&self.spec) + CHECKPOINT_WINDOW);
        let kept = self.headers().filter(|header| header.height >= oldest);
        let content = codec::encode(&Content {
            spec: codec::encode(&self.spec),
            verifier,
            headers: kept.cloned().collect(),
            certificate,
        });
        within("a checkpoint", HEAD_BYTES + content.len(), MAX_CHECKPOINT_BYTES)?;
        let version = VERSION.to_le_bytes();
        let hash = DOMAIN.hash(&[&version, &content]);
        Ok([&MAGIC[..], &version, &hash.0, &content].concat())
    }

    /// A client that goes on from a checkpoint of the chain whose genesis header has this hash.
    ///
    /// # Errors
    /// If the bytes are damaged, of another chain, of a newer version, or not what a client can begin with.
    pub fn resume(checkpoint: &[u8], genesis: Hash, verifiers: &Verifiers) -> Result<Self, CheckpointError> {
        let found = checkpoint.len();
        if found > MAX_CHECKPOINT_BYTES {
            let limit = MAX_CHECKPOINT_BYTES;
            return Err(CheckpointError::TooLong { found, limit });
        }
        let Content {
            spec,
            verifier,
            headers,
            certificate,
        } = read(checkpoint)?;
        let spec = ChainSpec::decode(&spec)?;
        let found = Self::new(spec.clone(), verifiers)?.genesis_hash();
        if found != genesis {
            let expected = genesis;
            return Err(CheckpointError::OtherChain { found, expected });
        }
        for header in &headers {
            // Headers of a checkpoint are within the chain's limits as those from a server are.
            Header::decode(&codec::encode(header), &spec)?;
        }
        let trusted = headers.last().map_or(Hash::ZERO, Header::hash);
        let mut client = Self::from_headers(spec, verifiers, trusted, headers, Some(&verifier))?;
        let newest = client.window.newest();
        let (height, hash) = (newest.header.height, newest.hash);
        verifier::check(&*client.verifier, &newest.header, &hash, &certificate)
            .map_err(|error| CheckpointError::Certificate { height, error })?;
        client.window.certify_newest(certificate);
        Ok(client)
    }
}

fn read(checkpoint: &[u8]) -> Result<Content, CheckpointError> {
    let rest = checkpoint.strip_prefix(&MAGIC);
    let rest = rest.ok_or(CheckpointError::NotACheckpoint)?;
    let cut = CheckpointError::Cut {
        found: checkpoint.len(),
    };
    let split = rest.split_first_chunk::<2>();
    let split = split.and_then(|(version, rest)| Some((version, rest.split_first_chunk::<32>()?)));
    let (version, (expected, content)) = split.ok_or(cut)?;
    let (found, expected) = (DOMAIN.hash(&[version, content]), Hash(*expected));
    if found != expected {
        return Err(CheckpointError::Damaged { found, expected });
    }
    match u16::from_le_bytes(*version) {
        VERSION => Ok(codec::decode(content, content.len())?),
        found => Err(CheckpointError::Newer { found }),
    }
}
