//! A consensus for tests whose validators change with every epoch, and which says so in headers and certificates alone.
//!
//! Epoch e has the heights e·E+1 ..= (e+1)·E. The `consensus_data` of an epoch's last header begin with the hash of the
//! next epoch's set; that of epoch 0 is in the chain spec. A certificate shows the set, and signatures of two of three.
#![allow(clippy::unwrap_used, dead_code)]

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};
use millrace_light_client::{CertificateError, CertificateVerifier, Verifiers};
use millrace_types::hash::Domain;
use millrace_types::{ChainSpec, Hash, Header, Height, PublicKey, SecretKey, Statement, codec};

/// Its name in a chain spec.
pub const ROTATING: &str = "rotating/1";
/// Heights of an epoch; more than K.
pub const EPOCH: u64 = 6;
const VALIDATORS: u8 = 3;
const QUORUM: usize = 2;

/// The keys of an epoch; `salt` makes another set.
pub fn set(epoch: u64, salt: u8) -> Vec<SecretKey> {
    let key =
        |place| SecretKey::from_seed([[epoch as u8, place, salt, 0xe7]; 8].concat().try_into().unwrap());
    (0..VALIDATORS).map(key).collect()
}

/// What a header announces of a set.
pub fn set_hash(set: &[SecretKey]) -> Hash {
    let keys: Vec<[u8; 32]> = set.iter().map(|key| key.public_key().0).collect();
    hash_of(&keys)
}

fn hash_of(keys: &[[u8; 32]]) -> Hash {
    codec::hash_of(&Domain::new("millrace/test-validators"), keys)
}

/// The epoch of a height above genesis.
pub fn epoch_of(height: Height) -> u64 {
    height.saturating_sub(1) / EPOCH
}

/// What the header at this height announces, if it is an epoch's last.
pub fn announcement(height: Height, salt: u8) -> Option<Hash> {
    (height > 0 && height.is_multiple_of(EPOCH)).then(|| set_hash(&set(height / EPOCH, salt)))
}

#[derive(BorshSerialize, BorshDeserialize)]
struct RotatingCertificate {
    #[borsh(deserialize_with = "codec::short_list::<3, _, _>")]
    keys: Vec<[u8; 32]>,
    #[borsh(deserialize_with = "codec::short_list::<3, _, _>")]
    signatures: Vec<(u8, [u8; 64])>,
}

fn statement(chain_id: u64, block_hash: Hash) -> Hash {
    let consensus_id = ROTATING.to_owned();
    Statement {
        chain_id,
        consensus_id,
        view: 0,
        block_hash,
    }
    .signing_hash()
}

/// A certificate by a set.
pub fn certify(chain_id: u64, block_hash: Hash, set: &[SecretKey]) -> Vec<u8> {
    let signed = statement(chain_id, block_hash);
    let signatures = set.iter().zip(0..).take(QUORUM);
    codec::encode(&RotatingCertificate {
        keys: set.iter().map(|key| key.public_key().0).collect(),
        signatures: signatures
            .map(|(key, place)| (place, key.sign(&signed)))
            .collect(),
    })
}

/// Verifiers that know it.
pub fn verifiers() -> Verifiers {
    let mut verifiers = Verifiers::built_in();
    verifiers.register(ROTATING, |spec: &ChainSpec| {
        let parameters = spec.consensus.parameters.as_slice();
        let first = parameters
            .try_into()
            .map_err(|_| "the hash of the first set: 32 bytes".to_owned())?;
        Ok(Box::new(Rotating {
            chain_id: spec.chain_id,
            sets: BTreeMap::from([(0, Hash(first))]),
        }))
    });
    verifiers
}

/// Knows the set's hash of every epoch that the client keeps headers of.
struct Rotating {
    chain_id: u64,
    sets: BTreeMap<u64, Hash>,
}

fn invalid(reason: &str) -> CertificateError {
    CertificateError::Invalid {
        reason: reason.to_owned(),
    }
}

impl CertificateVerifier for Rotating {
    fn max_certificate_bytes(&self) -> usize {
        4 + 3 * 32 + 4 + 3 * 65
    }

    fn validators_are_fixed(&self) -> bool {
        false
    }

    fn verify(&self, header: &Header, block_hash: &Hash, certificate: &[u8]) -> Result<(), CertificateError> {
        let limit = self.max_certificate_bytes();
        let shown: RotatingCertificate =
            codec::decode(certificate, limit).map_err(|error| CertificateError::Malformed {
                reason: error.to_string(),
            })?;
        let known = self.sets.get(&epoch_of(header.height));
        let known = known.ok_or_else(|| invalid("no final header announces this epoch's validators"))?;
        if hash_of(&shown.keys) != *known {
            return Err(invalid("other validators than those of this epoch"));
        }
        let signed = statement(self.chain_id, *block_hash);
        let mut signers = BTreeSet::new();
        for (place, signature) in &shown.signatures {
            let key = shown
                .keys
                .get(usize::from(*place))
                .ok_or_else(|| invalid("a signer that is none"))?;
            PublicKey(*key)
                .verify(&signed, signature)
                .map_err(|_| invalid("a signature"))?;
            signers.insert(place);
        }
        match signers.len() >= QUORUM {
            true => Ok(()),
            false => Err(invalid("too few signatures")),
        }
    }

    fn finalized(&mut self, header: &Header, _block_hash: &Hash) {
        if header.height > 0
            && header.height.is_multiple_of(EPOCH)
            && let Some(announced) = header.consensus_data.first_chunk::<32>()
        {
            self.sets.insert(header.height / EPOCH, Hash(*announced));
        }
    }

    fn forget(&mut self, oldest: Height) {
        self.sets = self.sets.split_off(&epoch_of(oldest));
    }

    fn save(&self) -> Vec<u8> {
        let sets: Vec<(u64, Hash)> = self.sets.iter().map(|(epoch, hash)| (*epoch, *hash)).collect();
        codec::encode(&sets)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        #[derive(BorshDeserialize)]
        struct Sets(#[borsh(deserialize_with = "codec::list")] Vec<(u64, Hash)>);
        let sets: Sets = codec::decode(state, 1 << 20).map_err(|error| error.to_string())?;
        self.sets = sets.0.into_iter().collect();
        Ok(())
    }
}
