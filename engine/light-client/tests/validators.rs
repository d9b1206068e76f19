//! Validators that change: whose certificate counts at which height, and what a checkpoint has to carry.
#![allow(clippy::unwrap_used)]

mod common;

use common::rotating::{self, EPOCH};
use common::*;
use millrace_light_client::{
    AdvanceError, Certificate, CertificateError, CertifiedHeader, CheckpointError, Contradiction,
    LightClient, StartError,
};
use millrace_types::{Commitment, Header};

const LENGTH: u64 = 5 * EPOCH;

fn chains() -> [Chain; 2] {
    OPTIONS.map(|commitment| Chain::of(rotating_spec(commitment), LENGTH))
}

/// A block's header, certified by the validators of another epoch.
fn certified_by(chain: &Chain, height: u64, epoch: u64) -> CertifiedHeader {
    let header = chain.blocks[height as usize].header.clone();
    let certificate = rotating::certify(chain.spec.chain_id, header.hash(), &rotating::set(epoch, 0));
    CertifiedHeader {
        header,
        certificate: Some(Certificate(certificate)),
    }
}

fn refused(error: &AdvanceError) -> bool {
    matches!(
        error,
        AdvanceError::Certificate {
            error: CertificateError::Invalid { .. },
            ..
        }
    )
}

#[test]
fn a_chain_is_followed_over_epochs_and_proves_what_it_proves_under_fixed_validators() {
    for chain in chains() {
        let client = chain.synced();
        assert_eq!(client.finalized_height(), LENGTH);
        let executed = client.executed_height();
        assert!(executed > 4 * EPOCH);
        let answer = chain.account(executed, &user_address());
        let proven = client.verify_account(executed, &user_address(), answer).unwrap();
        assert_eq!(proven.value, chain.account(executed, &user_address()).account);
    }
}

#[test]
fn a_certificate_counts_at_its_own_validators_heights_alone() {
    for chain in chains() {
        for height in 1..=LENGTH {
            let mut client = chain.client();
            client.advance(&chain.batch(1..height)).unwrap();
            for epoch in 0..6 {
                let outcome = client.advance(&[certified_by(&chain, height, epoch)]);
                match epoch == rotating::epoch_of(height) {
                    true => assert_eq!(outcome, Ok(())),
                    false if client.finalized_height() == height => {}
                    false => assert!(refused(&outcome.unwrap_err()), "height {height}, epoch {epoch}"),
                }
            }
        }
    }
}

#[test]
fn validators_that_an_uncertified_header_announces_certify_nothing() {
    for chain in chains() {
        // One certificate vouches for the rest of an epoch, and for nothing across its end.
        let mut client = chain.client();
        let mut within = chain.batch(1..=EPOCH);
        within[..EPOCH as usize - 1]
            .iter_mut()
            .for_each(|entry| entry.certificate = None);
        client.advance(&within).unwrap();
        let mut across = chain.batch(EPOCH + 1..=2 * EPOCH + 1);
        across[..EPOCH as usize]
            .iter_mut()
            .for_each(|entry| entry.certificate = None);
        assert!(refused(&client.advance(&across).unwrap_err()));
        assert_eq!(client.finalized_height(), EPOCH);

        // An attacker's set, announced in a header that only this set's certificates stand behind.
        let mut forged = chain.fork(EPOCH as usize - 1);
        forged.build(EPOCH - 1, 3);
        forged.build(EPOCH - 1, 3);
        let mut batch = forged.batch(EPOCH..=EPOCH + 1);
        batch[0].certificate = None;
        let mut client = chain.client();
        client.advance(&chain.batch(1..EPOCH)).unwrap();
        assert!(refused(&client.advance(&batch).unwrap_err()));
        assert_eq!(client.finalized_height(), EPOCH - 1);
    }
}

#[test]
fn a_checkpoint_carries_the_validators() {
    for chain in chains() {
        for stop in 1..LENGTH {
            let mut client = chain.client();
            client.advance(&chain.batch(1..=stop)).unwrap();
            let bytes = client.checkpoint().unwrap();
            let genesis = client.genesis_hash();
            let mut resumed = LightClient::resume(&bytes, genesis, &rotating::verifiers()).unwrap();
            assert_eq!(resumed.finalized(), client.finalized());
            resumed.advance(&chain.batch(stop + 1..=LENGTH)).unwrap();
            assert_eq!(resumed.finalized_height(), LENGTH);
        }
    }
}

#[test]
fn a_hash_alone_is_no_beginning_where_validators_change() {
    for chain in chains() {
        let headers = |from: u64| -> Vec<Header> {
            let blocks = &chain.blocks[from as usize..=20];
            blocks.iter().map(|built| built.header.clone()).collect()
        };
        let trusted = chain.blocks[20].header.hash();
        let start = |from| {
            let spec = chain.spec.clone();
            LightClient::from_trusted(spec, &rotating::verifiers(), trusted, headers(from))
        };
        let error = start(8).err().unwrap();
        assert!(
            matches!(error, StartError::Validators { height: 8, .. }),
            "{error}"
        );
        // From genesis on, the headers say who the validators are.
        start(0).unwrap().advance(&chain.batch(21..=LENGTH)).unwrap();
    }
}

#[test]
fn a_branch_certified_by_validators_of_an_earlier_epoch_is_evidence() {
    for chain in chains() {
        let mut fork = chain.fork(EPOCH as usize + 1);
        fork.build(EPOCH + 1, 1);
        fork.build(EPOCH + 1, 1);
        let mut client = chain.client();
        client.advance(&chain.batch(1..=LENGTH)).unwrap();
        let theirs = fork.batch(EPOCH + 2..=EPOCH + 3);
        let Err(AdvanceError::Conflict { height, evidence }) = client.advance(&theirs) else {
            panic!("no conflict");
        };
        assert_eq!(height, EPOCH + 2);
        let shown = evidence.verify(&client).unwrap();
        assert!(matches!(shown, Contradiction::Blocks { height: at, .. } if at == height));
        // Who has not followed the chain that far cannot tell who the validators were.
        assert!(evidence.verify(&chain.client()).is_err());
    }
}

#[test]
fn validators_of_forgotten_heights_are_forgotten() {
    let chain = Chain::of(rotating_spec(Commitment::ExecutionReceipts), 10 * EPOCH);
    let mut client = chain.client().with_window(EPOCH as usize);
    for height in 1..=10 * EPOCH {
        client.advance(&[chain.certified(height)]).unwrap();
        let kept = client.headers().count() as u64;
        let epochs = client.verifier().save().len() as u64 / 40;
        assert!(epochs <= kept / EPOCH + 2, "{epochs} sets for {kept} headers");
    }
}

#[test]
fn validators_of_a_checkpoint_are_refused_when_they_are_none_or_others() {
    let chain = Chain::of(rotating_spec(Commitment::DelayedRoot), 2 * EPOCH);
    let client = chain.synced();
    let (bytes, genesis) = (client.checkpoint().unwrap(), client.genesis_hash());
    let state = client.verifier().save();
    let at = bytes
        .windows(state.len())
        .position(|window| window == state)
        .unwrap();
    let resume = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut changed = bytes.clone();
        change(&mut changed);
        let hash = millrace_light_client::checkpoint::DOMAIN.hash(&[&changed[16..18], &changed[50..]]);
        changed[18..50].copy_from_slice(&hash.0);
        LightClient::resume(&changed, genesis, &rotating::verifiers()).err()
    };
    assert_eq!(resume(&|_| {}), None);
    // Another set for the epoch in force.
    let others = resume(&|bytes| bytes[at + 4 + 2 * 40 - 1] ^= 1);
    assert!(
        matches!(others, Some(CheckpointError::Certificate { .. })),
        "{others:?}"
    );
    // A count that the bytes do not hold.
    let none = resume(&|bytes| bytes[at] = 0xff);
    assert!(
        matches!(
            none,
            Some(CheckpointError::Start(StartError::VerifierState { .. }))
        ),
        "{none:?}"
    );
}
