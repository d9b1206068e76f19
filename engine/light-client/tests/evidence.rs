//! Evidence: what shows that certifiers contradicted themselves, and what only looks like it.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use millrace_light_client::evidence::{MAX_BRANCH, MAX_EVIDENCE_BYTES};
use millrace_light_client::{
    AdvanceError, Contradiction, Evidence, EvidenceError, LightClient, MAX_BATCH, Verifiers,
};
use millrace_types::{ChainSpec, Commitment, Header};

const B: Commitment = Commitment::ExecutionReceipts;

#[test]
fn two_certified_branches_are_evidence() {
    let chain = Chain::new(B, 8);
    let mut fork = chain.fork(5);
    for _ in 6..=8 {
        fork.build(fork.newest().header.height, 1);
    }
    // The other branch shows its blocks at heights we have, above them, or with one certificate for all.
    let mut vouched = fork.batch(4..=8);
    vouched[..4].iter_mut().for_each(|entry| entry.certificate = None);
    for (ours, theirs) in [(8, fork.batch(6..=7)), (6, fork.batch(7..=8)), (7, vouched)] {
        let mut client = chain.client();
        client.advance(&chain.batch(1..=ours)).unwrap();
        let Err(AdvanceError::Conflict { evidence, .. }) = client.advance(&theirs) else {
            panic!("no conflict")
        };
        assert_eq!(client.finalized().1, chain.blocks[ours as usize].header.hash());

        let Ok(Contradiction::Blocks { height, hashes }) = evidence.verify(&client) else {
            panic!()
        };
        let expected = [&chain, &fork].map(|chain| chain.blocks[height as usize].header.hash());
        assert_eq!(hashes, expected);
        let Evidence::Blocks { first, second } = &*evidence else {
            panic!()
        };
        for branch in [first, second] {
            let begins = branch.headers[0].height;
            assert!(
                begins >= height,
                "what both have is left out: {begins} for {height}"
            );
        }
        let bytes = borsh::to_vec(&evidence).unwrap();
        assert_eq!(borsh::from_slice::<Evidence>(&bytes).unwrap(), *evidence);
    }
}

#[test]
fn what_only_looks_like_evidence() {
    let chain = Chain::new(B, 8);
    let mut fork = chain.fork(5);
    fork.build(5, 1);
    let mut client = chain.client();
    client.advance(&chain.batch(1..=8)).unwrap();
    let mut forged = fork.certified(6);
    forged.certificate = chain.certified(6).certificate;
    assert!(matches!(
        client.advance(&[forged]),
        Err(AdvanceError::Certificate { height: 6, .. })
    ));

    let Err(AdvanceError::Conflict { evidence, .. }) = client.advance(&[fork.certified(6)]) else {
        panic!()
    };
    let Evidence::Blocks { first, second } = *evidence else {
        panic!()
    };
    let check = |first: &millrace_light_client::Branch, second: &millrace_light_client::Branch| {
        Evidence::Blocks {
            first: first.clone(),
            second: second.clone(),
        }
        .verify(&client)
    };
    assert_eq!(check(&first, &first), Err(EvidenceError::Consistent));
    let mut empty = second.clone();
    empty.headers.clear();
    assert_eq!(check(&first, &empty), Err(EvidenceError::Length { found: 0 }));
    let mut long = second.clone();
    long.headers = vec![second.headers[0].clone(); MAX_BRANCH + 1];
    let found = MAX_BRANCH + 1;
    assert_eq!(check(&first, &long), Err(EvidenceError::Length { found }));
    let bytes = vec![0; MAX_EVIDENCE_BYTES + 1];
    assert!(matches!(
        Evidence::decode(&bytes),
        Err(millrace_types::DecodeError::TooLong { .. })
    ));
    let mut unlinked = second.clone();
    unlinked.headers.insert(0, chain.blocks[1].header.clone());
    assert_eq!(
        check(&first, &unlinked),
        Err(EvidenceError::Unlinked { position: 1 })
    );
    let mut uncertified = second;
    uncertified.certificate = first.certificate.clone();
    assert!(matches!(
        check(&first, &uncertified),
        Err(EvidenceError::Certificate(_))
    ));
}

#[test]
fn two_receipts_of_one_block_are_evidence() {
    let chain = Chain::new(B, 5);
    let mut fork = chain.fork(4);
    fork.blocks[3].receipt.gas_used += 1;
    fork.blocks[4].receipt.gas_used += 1;
    fork.build(4, 0);
    let opening = |chain: &Chain| {
        let mut client = chain.client();
        client.advance(&chain.batch(1..=5)).unwrap();
        assert!(client.opening(5).is_none(), "nothing settled yet");
        client.settle(5, &chain.newest().settles).unwrap();
        client.opening(5).unwrap()
    };
    let (first, second) = (opening(&chain), opening(&fork));
    let evidence = Evidence::Receipts {
        first: first.clone(),
        second: second.clone(),
    };
    let client = chain.client();
    let Ok(Contradiction::Receipts { block_hash, receipts }) = evidence.verify(&client) else {
        panic!()
    };
    assert_eq!(receipts.map(|receipt| receipt.block_hash), [block_hash; 2]);
    let same = Evidence::Receipts {
        first: first.clone(),
        second: first.clone(),
    };
    assert_eq!(same.verify(&client), Err(EvidenceError::Consistent));
    let mut unopened = second;
    unopened.receipts[0].gas_used += 1;
    let forged = Evidence::Receipts {
        first,
        second: unopened,
    };
    assert!(matches!(
        forged.verify(&client),
        Err(EvidenceError::Settlement { .. })
    ));
}

#[test]
fn an_opening_that_somebody_else_shows_is_held_against_our_receipts() {
    for commitment in OPTIONS {
        let chain = Chain::new(commitment, 6);
        let mut fork = chain.fork(5);
        let settled = fork.newest().header.settled_height;
        // Its certifiers say that the same blocks came to something else.
        for height in settled + 1..=5 {
            fork.blocks[height as usize].receipt.gas_used += 1;
        }
        fork.build(5, 0);
        let theirs = fork.synced().opening(6).unwrap();
        let client = chain.synced();
        if chain.newest().settles.is_empty() {
            assert_eq!(client.contradiction(theirs), None, "nothing of ours to compare");
            continue;
        }
        let evidence = client.contradiction(theirs.clone()).unwrap();
        assert!(matches!(
            evidence.verify(&chain.client()),
            Ok(Contradiction::Receipts { .. })
        ));
        assert_eq!(Evidence::decode(&borsh::to_vec(&evidence).unwrap()), Ok(evidence));
        let ours = client.opening(6).unwrap();
        assert_eq!(client.contradiction(ours), None, "the same receipts");
        let mut forged = theirs;
        forged.receipts[0].gas_charged += 1;
        assert_eq!(
            client.contradiction(forged),
            None,
            "not what the header commits to"
        );
    }
}

#[test]
fn no_changed_byte_of_evidence_proves_anything_else() {
    let chain = Chain::new(B, 8);
    let mut fork = chain.fork(5);
    (6..=8).for_each(|_| fork.build(5, 1));
    let mut client = chain.client();
    client.advance(&chain.batch(1..=8)).unwrap();
    let Err(AdvanceError::Conflict { evidence, .. }) = client.advance(&fork.batch(6..=8)) else {
        panic!("no conflict");
    };
    let bytes = borsh::to_vec(&evidence).unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x20;
        let verified = Evidence::decode(&changed).map(|evidence| evidence.verify(&client));
        // Both sides are certified, so that a changed byte leaves no valid side.
        assert!(!matches!(verified, Ok(Ok(_))), "byte {at}");
        assert!(Evidence::decode(&bytes[..at]).is_err());
    }
}

#[test]
fn another_chain_is_no_conflict_but_no_progress_either() {
    let mut other = Chain::genesis(B);
    other.blocks[0].header.timestamp_ms += 1;
    let genesis = other.blocks[0].header.hash();
    let header = Header {
        height: 1,
        parent_hash: genesis,
        ..other.blocks[0].header.clone()
    };
    other.blocks.push(Built {
        header,
        ..other.blocks[0].clone()
    });
    let mut client = Chain::genesis(B).client();
    let error = client.advance(&other.batch([1])).unwrap_err();
    let trusted = client.genesis_hash();
    assert_eq!(
        error,
        AdvanceError::OtherChain {
            height: 0,
            found: genesis,
            trusted
        }
    );
}

#[test]
fn the_keys_of_two_chains_with_one_id_contradict_nothing() {
    let ours = Chain::new(B, 8);
    let theirs = Chain::of(
        ChainSpec {
            genesis_timestamp_ms: 999,
            ..spec(B)
        },
        8,
    );
    let (found, trusted) = (theirs.client().genesis_hash(), ours.client().genesis_hash());
    let mut client = ours.client();
    client.advance(&ours.batch(1..=8)).unwrap();
    // Their headers are certified by the same key, for the same chain id.
    for first in [0, 1] {
        let mut batch = theirs.batch(first..=8);
        batch[..7].iter_mut().for_each(|entry| entry.certificate = None);
        assert_eq!(
            client.advance(&batch),
            Err(AdvanceError::OtherChain {
                height: 0,
                found,
                trusted
            })
        );
    }
    let branch = |chain: &Chain, heights: std::ops::RangeInclusive<usize>| millrace_light_client::Branch {
        certificate: chain.certified(*heights.end() as u64).certificate.unwrap().0,
        headers: chain.blocks[heights]
            .iter()
            .map(|built| built.header.clone())
            .collect(),
    };
    for (first, second) in [(1..=2, 1..=3), (5..=6, 1..=6), (5..=6, 0..=6)] {
        let evidence = Evidence::Blocks {
            first: branch(&ours, first),
            second: branch(&theirs, second),
        };
        let expected = trusted;
        assert_eq!(
            evidence.verify(&client),
            Err(EvidenceError::OtherChain { found, expected })
        );
    }
}

#[test]
fn evidence_of_whoever_began_with_the_most_headers_without_certificates_is_taken() {
    let spec = ChainSpec {
        max_receipt_lag: 600,
        ..spec(B)
    };
    let chain = Chain::of(spec, 1_300);
    let mut client = chain.client();
    client.advance(&chain.batch(1..=1_000)).unwrap();
    client.advance(&chain.batch(1_001..=1_300)).unwrap();
    let checkpoint = client.checkpoint().unwrap();
    let mut resumed =
        LightClient::resume(&checkpoint, client.genesis_hash(), &Verifiers::built_in()).unwrap();
    let oldest = resumed.headers().next().unwrap().height;
    let mut fork = chain.fork(oldest as usize);
    fork.build(fork.newest().header.settled_height, 1);
    let Err(AdvanceError::Conflict { evidence, .. }) = resumed.advance(&fork.batch([oldest + 1])) else {
        panic!("no conflict")
    };
    let Evidence::Blocks { first, .. } = &*evidence else {
        panic!()
    };
    assert!(first.headers.len() > MAX_BATCH, "{}", first.headers.len());
    assert!(evidence.verify(&chain.client()).is_ok());
}
