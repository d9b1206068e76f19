//! Where a client begins: at genesis, or at a header whose hash is trusted for another reason.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use millrace_types::chain_spec::InvalidChainSpec;
use millrace_types::settlement::{HeaderError, check_header};
use millrace_types::{ChainSpec, ExecutionReceipt, Hash, Header, Height};

use crate::client::{DEFAULT_WINDOW, LightClient};
use crate::genesis;
use crate::verifier::{CertificateVerifier, Verifiers};
use crate::window::{Kept, Window};

/// Why a client cannot start.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StartError {
    /// The chain spec itself is wrong.
    #[error(transparent)]
    Spec(#[from] InvalidChainSpec),
    /// Nobody here can check the chain's certificates.
    #[error("no verifier for consensus {id:?}; known: {known}")]
    UnknownConsensus {
        /// The chain's consensus id.
        id: String,
        /// Ids that there are verifiers for.
        known: String,
    },
    /// The verifier refuses the chain's parameters.
    #[error("consensus.parameters: {reason}")]
    Parameters {
        /// Why.
        reason: String,
    },
    /// No header to begin at.
    #[error("a trusted header needs at least itself")]
    NoHeader,
    /// Headers whose last is not the trusted one.
    #[error("the last header is {found}, trusted is {trusted}")]
    Untrusted {
        /// Hash of the last header given.
        found: Hash,
        /// The hash that is trusted.
        trusted: Hash,
    },
    /// A header that cannot follow the one before.
    #[error("header at height {height}: {error}")]
    Header {
        /// Its height.
        height: Height,
        /// Why.
        error: HeaderError,
    },
    /// A hash alone does not say who the validators are where they change.
    #[error(
        "the validators of consensus {id:?} change, and a hash does not say who they are at height {height}: begin at genesis or from a checkpoint"
    )]
    Validators {
        /// The chain's consensus id.
        id: String,
        /// The first height.
        height: Height,
    },
    /// The verifier refuses the state that was kept for it.
    #[error("the validators of the checkpoint: {reason}")]
    VerifierState {
        /// The verifier's words.
        reason: String,
    },
}

impl LightClient {
    /// A client that trusts the chain spec alone and begins at genesis.
    ///
    /// # Errors
    /// If the spec is invalid or `verifiers` has none for its consensus.
    pub fn new(spec: ChainSpec, verifiers: &Verifiers) -> Result<Self, StartError> {
        Self::begin(spec, verifiers, None, None)
    }

    /// A client that begins at a header whose hash its owner trusts for a reason of its own. `headers` end in that
    /// header; what leads there lets the client open settlements of the first blocks after it, for which it needs
    /// 2 x `max_receipt_lag` + 2 ancestors ([`trusted_ancestors`]).
    ///
    /// Nothing below the trusted header is compared with anybody's certificates: who trusts a hash of a fork follows
    /// the fork. Under a consensus whose validators change this fails, unless the headers begin at genesis, since a
    /// hash does not say who they are; [`LightClient::resume`] takes a checkpoint, which does.
    ///
    /// # Errors
    /// As [`LightClient::new`]; and if the headers do not follow each other to `trusted`.
    pub fn from_trusted(
        spec: ChainSpec,
        verifiers: &Verifiers,
        trusted: Hash,
        headers: Vec<Header>,
    ) -> Result<Self, StartError> {
        Self::from_headers(spec, verifiers, trusted, headers, None)
    }

    /// `state` is the verifier's after all of `headers`, if there is one.
    pub(crate) fn from_headers(
        spec: ChainSpec,
        verifiers: &Verifiers,
        trusted: Hash,
        headers: Vec<Header>,
        state: Option<&[u8]>,
    ) -> Result<Self, StartError> {
        let mut headers = headers.into_iter();
        let first = headers.next().ok_or(StartError::NoHeader)?;
        let mut client = Self::begin(spec, verifiers, Some(first), state)?;
        for header in headers {
            let parent = client.window.newest();
            check_header(&header, &parent.header, &parent.hash, &client.spec).map_err(|error| {
                StartError::Header {
                    height: header.height,
                    error,
                }
            })?;
            let hash = header.hash();
            if state.is_none() {
                client.verifier.finalized(&header, &hash);
            }
            client.window.push(Kept {
                header,
                hash,
                certificate: None,
            });
        }
        let found = client.window.newest().hash;
        if found == trusted {
            Ok(client)
        } else {
            Err(StartError::Untrusted { found, trusted })
        }
    }

    fn begin(
        spec: ChainSpec,
        verifiers: &Verifiers,
        first: Option<Header>,
        state: Option<&[u8]>,
    ) -> Result<Self, StartError> {
        spec.validate()?;
        let mut verifier = make_verifier(&spec, verifiers)?;
        let genesis = Header::genesis(&spec, genesis::state_root(&spec));
        let header = first.unwrap_or_else(|| genesis.clone());
        let (height, hash) = (header.height, header.hash());
        if header.chain_id != spec.chain_id {
            let error = HeaderError::ChainId {
                found: header.chain_id,
                expected: spec.chain_id,
            };
            return Err(StartError::Header { height, error });
        }
        if height == 0 && header != genesis {
            return Err(StartError::Untrusted {
                found: hash,
                trusted: genesis.hash(),
            });
        }
        match state {
            Some(state) => {
                let restored = verifier.restore(state);
                restored.map_err(|reason| StartError::VerifierState { reason })?;
            }
            None if height > 0 && !verifier.validators_are_fixed() => {
                let id = spec.consensus.id;
                return Err(StartError::Validators { id, height });
            }
            None => verifier.finalized(&header, &hash),
        }
        let capacity = capacity(&spec, DEFAULT_WINDOW);
        let kept = Kept {
            header,
            hash,
            certificate: None,
        };
        let genesis = ExecutionReceipt::of_genesis(&genesis).expect("a genesis header implies a receipt");
        Ok(Self {
            window: Window::new(kept, capacity),
            spec,
            verifier,
            genesis,
            settled: BTreeMap::new(),
        })
    }
}

/// How many ancestors of a header it takes to open what the header settles: the newest settled height may be K below
/// it, the header that settles that height anywhere between, and the first height that this one settles K below again.
#[must_use]
pub fn trusted_ancestors(spec: &ChainSpec) -> u64 {
    spec.max_receipt_lag.saturating_mul(2).saturating_add(2)
}

fn make_verifier(
    spec: &ChainSpec,
    verifiers: &Verifiers,
) -> Result<Box<dyn CertificateVerifier>, StartError> {
    let id = &spec.consensus.id;
    let make = verifiers.find(id).ok_or_else(|| StartError::UnknownConsensus {
        id: id.to_string(),
        known: verifiers.ids().collect::<Vec<_>>().join(", "),
    })?;
    make(spec).map_err(|reason| StartError::Parameters { reason })
}

/// Headers to keep so that every height of the window can be settled: its settling header may be K above, and that
/// one's parent and ancestors K + 1 below.
pub(crate) fn capacity(spec: &ChainSpec, window: usize) -> usize {
    let lag = usize::try_from(spec.max_receipt_lag).unwrap_or(usize::MAX);
    window.saturating_add(lag).saturating_add(2)
}
