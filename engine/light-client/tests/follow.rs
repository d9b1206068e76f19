//! Headers: what is followed, and what is refused.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use millrace_light_client::client::Certificate;
use millrace_light_client::genesis::state_root;
use millrace_light_client::{
    AdvanceError, CertificateError, CertifiedHeader, LightClient, MAX_BATCH, RootError, SettleError,
    StartError, Verifiers, trusted_ancestors,
};
use millrace_types::certificate::{LONGEST_CHAIN_CONSENSUS_ID, SOLO_CONSENSUS_ID};
use millrace_types::settlement::{HeaderError, SettlementError};
use millrace_types::{ChainSpec, Commitment, Hash, Header, SecretKey};

const B: Commitment = Commitment::ExecutionReceipts;

#[test]
fn the_genesis_root_is_that_of_the_state() {
    for commitment in OPTIONS {
        let chain = Chain::genesis(commitment);
        assert_eq!(state_root(&chain.spec), chain.newest().receipt.post_state_root);
        assert_eq!(chain.client().genesis_hash(), chain.newest().header.hash());
    }
    let empty = ChainSpec {
        accounts: vec![],
        ..spec(B)
    };
    assert_eq!(state_root(&empty), Hash::ZERO);
    let single = ChainSpec {
        accounts: spec(B).accounts[1..2].to_vec(),
        ..spec(B)
    };
    assert_ne!(state_root(&single), Hash::ZERO);
}

#[test]
fn heights_follow_the_newest_finalized_header() {
    for commitment in OPTIONS {
        let chain = Chain::new(commitment, 12);
        let mut client = chain.client();
        assert_eq!((client.finalized_height(), client.executed_height()), (0, 0));
        for height in 1..=12 {
            client.advance(&[chain.certified(height)]).unwrap();
            let header = &chain.blocks[height as usize].header;
            assert_eq!(
                (client.finalized_height(), client.executed_height()),
                (height, header.settled_height)
            );
            assert_eq!(client.finalized(), (header, header.hash()));
        }
    }
}

#[test]
fn one_certificate_vouches_for_ancestors() {
    let chain = Chain::new(B, 12);
    let mut batch = chain.batch(1..=12);
    batch[..11].iter_mut().for_each(|entry| entry.certificate = None);
    let mut client = chain.client();
    client.advance(&batch).unwrap();
    assert_eq!(client.finalized_height(), 12);

    batch[11].certificate = None;
    assert_eq!(
        chain.client().advance(&batch),
        Err(AdvanceError::Uncertified { height: 12 })
    );
}

#[test]
fn redelivery_and_overlap_are_harmless() {
    let chain = Chain::new(B, 12);
    let mut client = chain.client();
    client.advance(&chain.batch(1..=6)).unwrap();
    client.advance(&chain.batch(1..=6)).unwrap();
    client.advance(&chain.batch(3..=4)).unwrap();
    client.advance(&[]).unwrap();
    assert_eq!(client.finalized_height(), 6);
    client.advance(&chain.batch(4..=12)).unwrap();
    assert_eq!(client.finalized_height(), 12);
    let genesis = CertifiedHeader {
        certificate: Some(Certificate(vec![])),
        ..chain.certified(0)
    };
    client.advance(&[genesis]).unwrap();
}

#[test]
fn gaps_and_unlinked_headers_are_refused() {
    let chain = Chain::new(B, 6);
    let mut client = chain.client();
    assert_eq!(
        client.advance(&chain.batch(2..=3)),
        Err(AdvanceError::Gap { found: 2, next: 1 })
    );
    assert_eq!(
        client.advance(&chain.batch([1, 3])),
        Err(AdvanceError::Unlinked { height: 3 })
    );
    assert_eq!(client.finalized_height(), 0);
    let many = vec![chain.certified(2); MAX_BATCH + 1];
    assert_eq!(
        client.advance(&many),
        Err(AdvanceError::TooMany { found: MAX_BATCH + 1 })
    );
}

#[test]
fn certificates_by_others_or_for_others_are_refused() {
    let chain = Chain::new(B, 3);
    let refused = |certificate: Option<Certificate>| {
        let mut client = chain.client();
        let error = client
            .advance(&[CertifiedHeader {
                certificate,
                ..chain.certified(1)
            }])
            .unwrap_err();
        assert_eq!(client.finalized_height(), 0);
        match error {
            AdvanceError::Certificate { height: 1, error } => error,
            other => panic!("{other}"),
        }
    };
    let mut forger = Chain::new(B, 3);
    forger.key = SecretKey::from_seed([66; 32]);
    assert!(matches!(
        refused(forger.certified(1).certificate),
        CertificateError::Invalid { .. }
    ));
    assert!(matches!(
        refused(chain.certified(2).certificate),
        CertificateError::Invalid { .. }
    ));
    let mut elsewhere = Chain::new(B, 3);
    elsewhere.spec.chain_id = 8;
    assert!(matches!(
        refused(elsewhere.certified(1).certificate),
        CertificateError::Invalid { .. }
    ));
    assert!(matches!(
        refused(Some(Certificate(vec![0; 71]))),
        CertificateError::Malformed { .. }
    ));
    let error = refused(Some(Certificate(vec![0; 73])));
    assert_eq!(error, CertificateError::TooLong { len: 73, limit: 72 });
}

#[test]
fn a_longest_chain_is_followed_by_the_certificates_of_its_own_id() {
    let mut spec = spec(B);
    spec.consensus.id = LONGEST_CHAIN_CONSENSUS_ID.into();
    let mut chain = Chain::genesis_of(spec);
    chain.build(0, 0);
    let mut client = chain.client();
    client.advance(&[chain.certified(1)]).unwrap();
    assert_eq!(client.finalized_height(), 1);

    let mut client = chain.client();
    chain.spec.consensus.id = SOLO_CONSENSUS_ID.into();
    let error = client.advance(&[chain.certified(1)]).unwrap_err();
    assert!(
        matches!(
            error,
            AdvanceError::Certificate {
                height: 1,
                error: CertificateError::Invalid { .. }
            }
        ),
        "the same key's signature under another consensus does not count: {error}"
    );
}

#[test]
fn a_certificate_does_not_excuse_a_broken_rule() {
    let chain = Chain::new(B, 3);
    let refused = |change: fn(&mut Header)| {
        let mut broken = chain.fork(3);
        change(&mut broken.blocks[3].header);
        let mut client = chain.client();
        let error = client.advance(&broken.batch(1..=3)).unwrap_err();
        assert_eq!(client.finalized_height(), 2);
        match error {
            AdvanceError::Header { height: 3, error } => error,
            other => panic!("{other}"),
        }
    };
    assert_eq!(
        refused(|header| header.chain_id = 8),
        HeaderError::ChainId {
            found: 8,
            expected: 7
        }
    );
    assert!(matches!(
        refused(|header| header.timestamp_ms = 0),
        HeaderError::Timestamp { .. }
    ));
    assert!(matches!(
        refused(|header| header.settled_height = 3),
        HeaderError::SettledHeight { .. }
    ));
    assert!(matches!(
        refused(|header| header.delayed_state_root = Some(Hash::ZERO)),
        HeaderError::DelayedRootPresence { .. }
    ));
}

#[test]
fn settlements_are_those_of_their_header() {
    for commitment in OPTIONS {
        let chain = Chain::new(commitment, 12);
        let mut client = chain.client();
        client.advance(&chain.batch(1..=12)).unwrap();
        let settling = chain
            .blocks
            .iter()
            .find(|built| built.settles.len() == 2)
            .unwrap();
        let at = settling.header.height;
        let mut refused = |receipts: &[_]| match client.settle(at, receipts).unwrap_err() {
            SettleError::Settlement { settled_by, error } if settled_by == at => error,
            other => panic!("{other}"),
        };
        let good = settling.settles.clone();
        assert!(matches!(
            refused(&good[..1]),
            SettlementError::Count {
                found: 1,
                expected: 2
            }
        ));
        assert!(matches!(
            refused(&[good[1].clone(), good[0].clone()]),
            SettlementError::Height { .. }
        ));
        let mut forged = good.clone();
        forged[1].post_state_root = Hash::ZERO;
        assert!(matches!(refused(&forged), SettlementError::Hash { .. }));
        let unknown = client.settle(13, &good).unwrap_err();
        assert_eq!(
            unknown,
            SettleError::NotKept {
                height: 13,
                oldest: 0,
                newest: 12
            }
        );

        client.settle(at, &good).unwrap();
        let (receipt, provenance) = client.receipt(good[1].height).unwrap();
        assert_eq!((receipt, provenance.settled_by), (&good[1], at));
        assert_eq!(provenance.settling_hash, settling.header.hash());
    }
}

#[test]
fn roots_come_from_finalized_headers_alone() {
    for commitment in OPTIONS {
        let chain = Chain::new(commitment, 12);
        let mut client = chain.client();
        let genesis_root = chain.blocks[0].receipt.post_state_root;
        assert_eq!(client.state_root(0).unwrap().0, genesis_root);
        assert_eq!(
            client.state_root(1),
            Err(RootError::NotSettled {
                height: 1,
                executed: 0
            })
        );
        client.advance(&chain.batch(1..=12)).unwrap();
        let executed = client.executed_height();
        assert_eq!(
            client.state_root(executed + 1),
            Err(RootError::NotSettled {
                height: executed + 1,
                executed
            })
        );
        assert_eq!(client.state_root(0).unwrap().0, genesis_root);
        let settled_by = client.settled_by(executed).unwrap();
        let before = client.state_root(executed);
        match commitment {
            Commitment::DelayedRoot => assert_eq!(
                before.unwrap().0,
                chain.blocks[executed as usize].receipt.post_state_root
            ),
            Commitment::ExecutionReceipts => {
                assert_eq!(
                    before,
                    Err(RootError::Unopened {
                        height: executed,
                        settled_by
                    })
                );
            }
        }
        let client = chain.synced();
        for height in 0..=executed {
            let (root, provenance) = client.state_root(height).unwrap();
            let built = &chain.blocks[height as usize];
            assert_eq!(root, built.receipt.post_state_root);
            let settling = &chain.blocks[provenance.settled_by as usize];
            assert_eq!(settling.header.hash(), provenance.settling_hash);
            assert!(height == 0 || settling.settles.contains(&built.receipt));
        }
    }
}

#[test]
fn a_delayed_root_is_that_of_its_own_height_alone() {
    let chain = Chain::new(Commitment::DelayedRoot, 12);
    let mut client = chain.client();
    client.advance(&chain.batch(1..=12)).unwrap();
    let mut unopened = 0;
    for height in 1..=client.executed_height() {
        let settled_by = client.settled_by(height).unwrap();
        let carried = chain.blocks[settled_by as usize].header.settled_height == height;
        match client.state_root(height) {
            Ok((root, _)) => {
                assert!(carried, "height {height}");
                assert_eq!(root, chain.blocks[height as usize].receipt.post_state_root);
            }
            Err(error) => {
                assert!(!carried, "height {height}");
                assert_eq!(error, RootError::Unopened { height, settled_by });
                unopened += 1;
            }
        }
    }
    assert!(unopened > 0, "some header settles two heights");
}

#[test]
fn receipts_of_blocks_that_are_not_kept_are_not_said_to_be_wrong() {
    for commitment in OPTIONS {
        let chain = Chain::new(commitment, 20);
        let of = |height: u64| chain.blocks[height as usize].header.clone();
        let settling = (10..=20).find(|height| !chain.blocks[*height as usize].settles.is_empty());
        let settling = settling.unwrap();
        let first = chain.blocks[settling as usize].settles[0].height;
        assert!(first < settling - 1);
        let headers = (first + 1..=settling).map(of).collect();
        let trusted = of(settling).hash();
        let spec = chain.spec.clone();
        let mut client = LightClient::from_trusted(spec, &Verifiers::built_in(), trusted, headers).unwrap();
        let refused = client.settle(settling, &chain.blocks[settling as usize].settles);
        assert_eq!(
            refused,
            Err(SettleError::NotKept {
                height: first,
                oldest: first + 1,
                newest: settling
            })
        );
    }
}

#[test]
fn memory_is_a_window() {
    let chain = Chain::new(B, 40);
    let mut client = chain.client().with_window(5);
    for height in 1..=40 {
        client.advance(&[chain.certified(height)]).unwrap();
        client
            .settle(height, &chain.blocks[height as usize].settles)
            .unwrap();
        assert!(client.headers().count() <= 11);
    }
    let executed = client.executed_height();
    let oldest = client.headers().next().unwrap().height;
    assert_eq!(oldest, 30);
    for height in 35..=executed {
        assert_eq!(
            client.state_root(height).unwrap().0,
            chain.blocks[height as usize].receipt.post_state_root
        );
    }
    assert_eq!(
        client.state_root(3),
        Err(RootError::Forgotten { height: 3, oldest })
    );
    assert_eq!(
        client.advance(&chain.batch(1..=5)),
        Err(AdvanceError::Forgotten { found: 5, oldest })
    );
    assert_eq!(
        client.settle(3, &[]),
        Err(SettleError::NotKept {
            height: 3,
            oldest,
            newest: 40
        })
    );
    client.advance(&chain.batch(25..=40)).unwrap();
}

#[test]
fn a_client_begins_at_a_header_that_is_trusted() {
    for commitment in OPTIONS {
        let chain = Chain::new(commitment, 20);
        let mut first = chain.client();
        first.advance(&chain.batch(1..=12)).unwrap();
        let saved: Vec<Header> = first.headers().skip(6).cloned().collect();
        let start = |trusted, headers| {
            LightClient::from_trusted(chain.spec.clone(), &Verifiers::built_in(), trusted, headers)
        };
        let mut client = start(first.finalized().1, saved.clone()).unwrap();
        assert_eq!(
            (client.finalized_height(), client.executed_height()),
            (12, first.executed_height())
        );
        client.advance(&chain.batch(13..=20)).unwrap();
        for height in 13..=20 {
            client
                .settle(height, &chain.blocks[height as usize].settles)
                .unwrap();
        }
        let executed = client.executed_height();
        assert_eq!(
            client.state_root(executed).unwrap().0,
            chain.blocks[executed as usize].receipt.post_state_root
        );

        let error = |result: Result<LightClient, StartError>| result.err().unwrap();
        let trusted = Hash([1; 32]);
        let found = first.finalized().1;
        assert_eq!(
            error(start(trusted, saved.clone())),
            StartError::Untrusted { found, trusted }
        );
        assert_eq!(error(start(trusted, vec![])), StartError::NoHeader);
        let gap = vec![saved[0].clone(), saved[2].clone()];
        assert!(matches!(
            error(start(found, gap)),
            StartError::Header { height: 8, .. }
        ));
        let mut genesis = chain.blocks[0].header.clone();
        genesis.gas_limit = 1;
        let (found, trusted) = (genesis.hash(), chain.client().genesis_hash());
        assert_eq!(
            error(start(found, vec![genesis])),
            StartError::Untrusted { found, trusted }
        );
        let elsewhere = Header {
            chain_id: 1,
            ..saved[0].clone()
        };
        assert!(matches!(
            error(start(elsewhere.hash(), vec![elsewhere])),
            StartError::Header { .. }
        ));
    }
}

#[test]
fn the_ancestors_of_a_trusted_block_open_what_it_settles_whatever_its_lag() {
    for commitment in OPTIONS {
        let mut chain = Chain::genesis(commitment);
        let lag = chain.spec.max_receipt_lag;
        // Nothing for as long as it is allowed, and then everything.
        for height in 1..=8 * lag {
            let settled = chain.newest().header.settled_height;
            chain.build(if height % lag == 1 { height - 1 } else { settled }, 0);
        }
        for trusted in 1..=8 * lag {
            let from = trusted.saturating_sub(trusted_ancestors(&chain.spec));
            let blocks = &chain.blocks[from as usize..=trusted as usize];
            let headers = blocks.iter().map(|built| built.header.clone()).collect();
            let hash = chain.blocks[trusted as usize].header.hash();
            let spec = chain.spec.clone();
            let mut client = LightClient::from_trusted(spec, &Verifiers::built_in(), hash, headers).unwrap();
            let executed = client.executed_height();
            let settled_by = client.settled_by(executed).unwrap();
            client
                .settle(settled_by, &chain.blocks[settled_by as usize].settles)
                .unwrap();
            let root = chain.blocks[executed as usize].receipt.post_state_root;
            assert_eq!(client.state_root(executed).unwrap().0, root);
        }
    }
}

#[test]
fn a_chain_needs_a_valid_spec_and_a_verifier() {
    let error = |spec, verifiers: &Verifiers| LightClient::new(spec, verifiers).err().unwrap().to_string();
    assert_eq!(
        error(spec(B), &Verifiers::none()),
        "no verifier for consensus \"solo/1\"; known: "
    );
    let mut other = spec(B);
    other.consensus.id = "other/1".into();
    assert_eq!(
        error(other, &Verifiers::built_in()),
        "no verifier for consensus \"other/1\"; known: longest-chain/1, solo/1"
    );
    let mut invalid = spec(B);
    invalid.max_receipt_lag = 0;
    assert!(error(invalid, &Verifiers::built_in()).contains("max_receipt_lag = 0"));
}
