//! Who may certify a block: one verifier per consensus id.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use millrace_types::certificate::{LONGEST_CHAIN_CONSENSUS_ID, SOLO_CONSENSUS_ID, SoloCertificate};
use millrace_types::{ChainSpec, Hash, Header, Height, PublicKey, codec};

/// Why a certificate does not certify a block.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CertificateError {
    /// Longer than any certificate of this consensus; not looked at.
    #[error("the certificate has {len} bytes, those of this consensus at most {limit}")]
    TooLong {
        /// Its length.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// Not in the form of this consensus.
    #[error("the certificate does not decode: {reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
    /// Well-formed, but not by those who may certify this block, or not for this block.
    #[error("the certificate does not hold: {reason}")]
    Invalid {
        /// What is wrong.
        reason: String,
    },
}

/// Checks the certificates of one consensus on one chain.
///
/// Duties: an answer is a function of the chain spec, the headers passed to [`finalized`](Self::finalized) and the
/// arguments; hostile bytes cost time and memory in proportion to their length at most.
///
/// Where validators change, a certificate is judged by the validators of *its header's* height. The verifier knows
/// them for every height that the client keeps and for the next ones, as far as final headers say: [`verify`](Self::verify)
/// is asked about old heights too, when somebody shows another branch. Who certifies a height must follow from
/// headers that were final before: a set that is announced by a header which the same certificate vouches for is
/// refused, since anybody can announce a set and certify with it.
///
/// ```text
///   restore ─▶ verify, finalized, forget, verify, … ─▶ save        once for each client
/// ```
pub trait CertificateVerifier: Send + Sync {
    /// The most bytes of a certificate. Longer ones are refused unseen.
    fn max_certificate_bytes(&self) -> usize;

    /// Checks that `certificate` makes the block final whose header and hash are given, under the validators in
    /// force at the header's height.
    ///
    /// # Errors
    /// If it does not, or if no header that is final says who they are.
    fn verify(&self, header: &Header, block_hash: &Hash, certificate: &[u8]) -> Result<(), CertificateError>;

    /// Whether the validators of all heights follow from the chain spec alone.
    fn validators_are_fixed(&self) -> bool;

    /// Takes note of a header that has become final; called once for each, in order of height. A consensus whose
    /// validators change reads the hash of the next set from `consensus_data` here.
    fn finalized(&mut self, _header: &Header, _block_hash: &Hash) {}

    /// Nothing below this height will be asked about any more: sets that were in force below alone can go.
    fn forget(&mut self, _oldest: Height) {}

    /// What [`restore`](Self::restore) needs to answer as this verifier does; at most [`MAX_VERIFIER_STATE_BYTES`].
    fn save(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Takes a saved state in place of what [`finalized`](Self::finalized) was called with. It may come from a file
    /// that somebody damaged: bytes that are no state are refused.
    ///
    /// # Errors
    /// Why they are none.
    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        match state.len() {
            0 => Ok(()),
            found => Err(alloc::format!(
                "{found} bytes, though the chain spec says who the validators are"
            )),
        }
    }
}

/// The most bytes that a verifier may save.
pub const MAX_VERIFIER_STATE_BYTES: usize = 1 << 20;

/// Makes a verifier for a chain, or says why its `consensus.parameters` do not allow one.
pub type MakeVerifier = fn(&ChainSpec) -> Result<Box<dyn CertificateVerifier>, String>;

/// Verifiers by consensus id.
#[derive(Clone, Debug)]
pub struct Verifiers(BTreeMap<String, MakeVerifier>);

impl Verifiers {
    /// No verifier at all.
    #[must_use]
    pub fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// Those that come with this crate: `solo/1` and `longest-chain/1`.
    #[must_use]
    pub fn built_in() -> Self {
        let mut verifiers = Self::none();
        verifiers.register(SOLO_CONSENSUS_ID, |spec| {
            SignerVerifier::make(spec, SOLO_CONSENSUS_ID)
        });
        verifiers.register(LONGEST_CHAIN_CONSENSUS_ID, |spec| {
            SignerVerifier::make(spec, LONGEST_CHAIN_CONSENSUS_ID)
        });
        verifiers
    }

    /// Adds a verifier, or replaces the one of the same id.
    pub fn register(&mut self, consensus_id: &str, make: MakeVerifier) {
        self.0.insert(consensus_id.to_string(), make);
    }

    pub(crate) fn find(&self, consensus_id: &str) -> Option<MakeVerifier> {
        self.0.get(consensus_id).copied()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl Default for Verifiers {
    fn default() -> Self {
        Self::built_in()
    }
}

/// `solo/1` and `longest-chain/1`: one key, whose signature is the certificate.
struct SignerVerifier {
    consensus_id: &'static str,
    chain_id: u64,
    signer: PublicKey,
}

impl SignerVerifier {
    fn make(spec: &ChainSpec, consensus_id: &'static str) -> Result<Box<dyn CertificateVerifier>, String> {
        let signer = SoloCertificate::signer(spec, consensus_id).map_err(|error| error.to_string())?;
        Ok(Box::new(Self {
            consensus_id,
            chain_id: spec.chain_id,
            signer,
        }))
    }
}

impl CertificateVerifier for SignerVerifier {
    fn max_certificate_bytes(&self) -> usize {
        SoloCertificate::BYTES
    }

    fn validators_are_fixed(&self) -> bool {
        true
    }

    fn verify(
        &self,
        _header: &Header,
        block_hash: &Hash,
        certificate: &[u8],
    ) -> Result<(), CertificateError> {
        let certificate: SoloCertificate =
            codec::decode(certificate, SoloCertificate::BYTES).map_err(|error| {
                CertificateError::Malformed {
                    reason: error.to_string(),
                }
            })?;
        certificate
            .verify_under(self.consensus_id, self.chain_id, *block_hash, &self.signer)
            .map_err(|error| CertificateError::Invalid {
                reason: error.to_string(),
            })
    }
}

/// Checks a certificate's length and then the certificate.
pub(crate) fn check(
    verifier: &dyn CertificateVerifier,
    header: &Header,
    block_hash: &Hash,
    certificate: &[u8],
) -> Result<(), CertificateError> {
    let (len, limit) = (certificate.len(), verifier.max_certificate_bytes());
    if len > limit {
        return Err(CertificateError::TooLong { len, limit });
    }
    verifier.verify(header, block_hash, certificate)
}
