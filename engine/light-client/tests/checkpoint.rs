//! Checkpoints: a client goes on where it was, and takes nothing that is damaged, newer, forged or of another chain.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use millrace_light_client::checkpoint::{DOMAIN, MAGIC, MAX_CHECKPOINT_BYTES};
use millrace_light_client::verifier::{MAX_VERIFIER_STATE_BYTES, MakeVerifier};
use millrace_light_client::{
    AdvanceError, CertificateError, CertificateVerifier, CheckpointError, Contradiction, LightClient,
    NoCheckpoint, StartError, Verifiers, trusted_ancestors,
};
use millrace_types::{Commitment, Hash, Header, SecretKey};
use proptest::prelude::*;

fn resume(bytes: &[u8], genesis: Hash) -> Result<LightClient, CheckpointError> {
    LightClient::resume(bytes, genesis, &Verifiers::built_in())
}

/// A chain, its client at some height, and the checkpoint there.
fn kept(commitment: Commitment, length: u64, stop: u64) -> (Chain, LightClient, Vec<u8>) {
    let chain = Chain::new(commitment, length);
    let mut client = chain.client();
    client.advance(&chain.batch(1..=stop)).unwrap();
    let bytes = client.checkpoint().unwrap();
    (chain, client, bytes)
}

/// The same content with another version or content, and the hash that fits.
fn sealed(version: u16, content: &[u8]) -> Vec<u8> {
    let version = version.to_le_bytes();
    let hash = DOMAIN.hash(&[&version, content]);
    [&MAGIC[..], &version, &hash.0, content].concat()
}

#[test]
fn a_client_goes_on_where_it_was() {
    for commitment in OPTIONS {
        for stop in [1, 2, 9, 40, 100] {
            let (chain, client, bytes) = kept(commitment, 120, stop);
            let mut resumed = resume(&bytes, client.genesis_hash()).unwrap();
            assert_eq!(resumed.finalized(), client.finalized());
            assert_eq!(resumed.executed_height(), client.executed_height());
            assert_eq!(
                resumed.checkpoint().unwrap(),
                bytes,
                "the same place is the same file"
            );
            // The newest state can be proven at once, and so can all that come.
            let executed = resumed.executed_height();
            if executed > 0 {
                let settled_by = resumed.settled_by(executed).unwrap();
                resumed
                    .settle(settled_by, &chain.blocks[settled_by as usize].settles)
                    .unwrap();
            }
            for height in stop + 1..=120 {
                resumed.advance(&[chain.certified(height)]).unwrap();
                resumed
                    .settle(height, &chain.blocks[height as usize].settles)
                    .unwrap();
            }
            for height in executed..=resumed.executed_height() {
                let built = &chain.blocks[height as usize];
                assert_eq!(
                    resumed.state_root(height).unwrap().0,
                    built.receipt.post_state_root
                );
            }
        }
    }
}

#[test]
fn a_checkpoint_has_no_more_headers_than_it_takes() {
    let (chain, client, bytes) = kept(Commitment::DelayedRoot, 300, 300);
    let resumed = resume(&bytes, client.genesis_hash()).unwrap();
    let headers = resumed.headers().count() as u64;
    assert_eq!(headers, trusted_ancestors(&chain.spec) + 64 + 1);
    let header = chain.spec.limits.header_bytes();
    let spec = borsh::to_vec(&chain.spec).unwrap().len();
    assert!(bytes.len() <= headers as usize * header + spec + 200);
}

#[test]
fn there_is_none_before_something_certified_was_followed() {
    let chain = Chain::new(Commitment::ExecutionReceipts, 3);
    assert_eq!(
        chain.client().checkpoint(),
        Err(NoCheckpoint::Nothing { height: 0 })
    );
    let headers: Vec<_> = chain.blocks.iter().map(|built| built.header.clone()).collect();
    let trusted = headers[3].hash();
    let client = LightClient::from_trusted(chain.spec, &Verifiers::built_in(), trusted, headers).unwrap();
    assert_eq!(client.checkpoint(), Err(NoCheckpoint::Nothing { height: 3 }));
}

#[test]
fn what_is_damaged_is_said_to_be() {
    let (_, client, bytes) = kept(Commitment::ExecutionReceipts, 6, 6);
    let genesis = client.genesis_hash();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x40;
        let error = resume(&changed, genesis).err().unwrap();
        match at < MAGIC.len() {
            true => assert_eq!(error, CheckpointError::NotACheckpoint),
            false => assert!(
                matches!(error, CheckpointError::Damaged { .. }),
                "byte {at}: {error}"
            ),
        }
    }
    for len in 0..bytes.len() {
        let error = resume(&bytes[..len], genesis).err().unwrap();
        let fits = match len {
            0..16 => error == CheckpointError::NotACheckpoint,
            16..50 => error == CheckpointError::Cut { found: len },
            _ => matches!(error, CheckpointError::Damaged { .. }),
        };
        assert!(fits, "{len} bytes: {error}");
    }
    let found = MAX_CHECKPOINT_BYTES + 1;
    let limit = MAX_CHECKPOINT_BYTES;
    let error = resume(&vec![0; found], genesis).err().unwrap();
    assert_eq!(error, CheckpointError::TooLong { found, limit });
}

#[test]
fn what_is_newer_or_of_another_chain_is_named() {
    let (_, client, bytes) = kept(Commitment::ExecutionReceipts, 6, 6);
    let found = client.genesis_hash();
    let error = resume(&sealed(2, &bytes[50..]), found).err().unwrap();
    assert_eq!(error, CheckpointError::Newer { found: 2 });
    let expected = Hash([3; 32]);
    let error = resume(&bytes, expected).err().unwrap();
    assert_eq!(error, CheckpointError::OtherChain { found, expected });
}

#[test]
fn a_forged_place_is_refused_though_its_hash_fits() {
    let (chain, client, bytes) = kept(Commitment::DelayedRoot, 9, 9);
    let genesis = client.genesis_hash();
    // A fork of somebody who may not certify, and a certificate of another block.
    let mut fork = chain.fork(6);
    fork.key = SecretKey::from_seed([66; 32]);
    (7..=9).for_each(|_| fork.build(6, 2));
    let content = |from: &Chain, certificate: &[u8]| {
        let newest = borsh::to_vec(&chain.blocks[9].header).unwrap();
        let forged = borsh::to_vec(&from.blocks[9].header).unwrap();
        let at = bytes
            .windows(newest.len())
            .position(|window| window == newest)
            .unwrap();
        let mut content = bytes[50..].to_vec();
        content.splice(at - 50..at - 50 + newest.len(), forged);
        let end = content.len() - certificate.len();
        content[end..].copy_from_slice(certificate);
        sealed(1, &content)
    };
    let certificate = |chain: &Chain, height| chain.certified(height).certificate.unwrap().0;
    assert!(resume(&content(&chain, &certificate(&chain, 9)), genesis).is_ok());
    let error = resume(&content(&fork, &certificate(&fork, 9)), genesis)
        .err()
        .unwrap();
    assert!(
        matches!(
            error,
            CheckpointError::Start(StartError::Header { height: 9, .. })
        ),
        "{error}"
    );
    for forged in [certificate(&fork, 9), certificate(&chain, 8)] {
        let error = resume(&content(&chain, &forged), genesis).err().unwrap();
        assert!(
            matches!(error, CheckpointError::Certificate { height: 9, .. }),
            "{error}"
        );
    }
}

#[test]
fn a_header_that_is_longer_than_the_chain_allows_is_refused_though_it_is_certified() {
    let mut chain = Chain::new(Commitment::ExecutionReceipts, 5);
    let resume_at = |chain: &Chain| {
        let (spec, header) = (borsh::to_vec(&chain.spec).unwrap(), &chain.blocks[5].header);
        let certificate = chain.certified(5).certificate.unwrap().0;
        let content = borsh::to_vec(&(spec, Vec::<u8>::new(), vec![header], certificate)).unwrap();
        resume(&sealed(1, &content), chain.client().genesis_hash())
    };
    assert_eq!(resume_at(&chain).unwrap().finalized_height(), 5);
    let limit = chain.spec.limits.consensus_data_bytes as usize;
    chain.blocks[5].header.consensus_data = vec![7; limit + 1];
    let error = resume_at(&chain).err().unwrap();
    assert!(matches!(error, CheckpointError::Content(_)), "{error}");
}

/// A verifier whose state is long.
struct Fat(usize);

impl CertificateVerifier for Fat {
    fn max_certificate_bytes(&self) -> usize {
        100
    }

    fn validators_are_fixed(&self) -> bool {
        false
    }

    fn verify(&self, _: &Header, _: &Hash, _: &[u8]) -> Result<(), CertificateError> {
        Ok(())
    }

    fn save(&self) -> Vec<u8> {
        vec![0; self.0]
    }
}

#[test]
fn validators_that_take_too_much_are_not_kept() {
    let chain = Chain::new(Commitment::ExecutionReceipts, 2);
    let kept = |make: MakeVerifier| {
        let mut verifiers = Verifiers::none();
        verifiers.register(&chain.spec.consensus.id, make);
        let mut client = LightClient::new(chain.spec.clone(), &verifiers).unwrap();
        client.advance(&chain.batch(1..=2)).unwrap();
        client.checkpoint()
    };
    assert!(kept(|_| Ok(Box::new(Fat(MAX_VERIFIER_STATE_BYTES)))).is_ok());
    let error = kept(|_| Ok(Box::new(Fat(MAX_VERIFIER_STATE_BYTES + 1)))).unwrap_err();
    let NoCheckpoint::TooLong { found, limit, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(
        (found, limit),
        (MAX_VERIFIER_STATE_BYTES + 1, MAX_VERIFIER_STATE_BYTES)
    );
}

#[test]
fn a_branch_that_contradicts_a_checkpoint_is_evidence() {
    for commitment in OPTIONS {
        let (chain, client, bytes) = kept(commitment, 12, 12);
        let mut fork = chain.fork(7);
        (8..=12).for_each(|_| fork.build(7, 1));
        let mut resumed = resume(&bytes, client.genesis_hash()).unwrap();
        let Err(AdvanceError::Conflict { height, evidence }) = resumed.advance(&fork.batch(8..=12)) else {
            panic!("no conflict");
        };
        assert_eq!(height, 8);
        let shown = evidence.verify(&chain.client()).unwrap();
        assert!(
            matches!(shown, Contradiction::Blocks { height: 8, .. }),
            "{shown:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_content_that_only_hashes_right_brings_a_client_anywhere_else(
        commitment in 0..2_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (chain, client, bytes) = kept(OPTIONS[commitment], 8, 8);
        let mut content = bytes[50..].to_vec();
        for (at, byte) in changes {
            let at = at.index(content.len());
            content[at] = byte;
        }
        if let Some(cut) = cut {
            content.truncate(cut.index(content.len()));
        }
        if let Ok(resumed) = resume(&sealed(1, &content), client.genesis_hash()) {
            for header in resumed.headers() {
                prop_assert_eq!(header, &chain.blocks[header.height as usize].header);
            }
        }
    }
}
