//! What headers may say after their parents, and which receipts they settle.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use millrace_types::receipt::settlement_hash;
use millrace_types::settlement::{HeaderError, SettlementError, check_header, check_settlement};
use millrace_types::{ChainSpec, Commitment, ExecutionReceipt, Hash, Header, merkle};

fn parent(spec: &ChainSpec) -> Header {
    Header {
        height: 9,
        settled_height: 7,
        settlement_hash: settlement_hash(&[execution_receipt(7)]),
        delayed_state_root: (spec.commitment == Commitment::DelayedRoot).then(|| hash(0x11)),
        ..header()
    }
}

/// A valid child of [`parent`] that settles `count` heights.
fn child(spec: &ChainSpec, count: u64) -> Header {
    let parent = parent(spec);
    let receipts = receipts(8, count);
    let root = receipts
        .last()
        .map_or(hash(0x11), |receipt| receipt.post_state_root);
    Header {
        height: 10,
        parent_hash: parent.hash(),
        settled_height: 7 + count,
        settlement_hash: settlement_hash(&receipts),
        delayed_state_root: parent.delayed_state_root.map(|_| root),
        ..parent
    }
}

fn receipts(first: u64, count: u64) -> Vec<ExecutionReceipt> {
    (first..first + count).map(execution_receipt).collect()
}

fn ancestor(height: u64) -> Hash {
    execution_receipt(height).block_hash
}

fn specs() -> [ChainSpec; 2] {
    [Commitment::ExecutionReceipts, Commitment::DelayedRoot]
        .map(|commitment| ChainSpec { commitment, ..spec() })
}

fn check(spec: &ChainSpec, count: u64, change: impl Fn(&mut Header)) -> Result<(), HeaderError> {
    let (parent, mut header) = (parent(spec), child(spec, count));
    change(&mut header);
    check_header(&header, &parent, &parent.hash(), spec)
}

#[test]
fn a_child_settles_none_some_or_all() {
    for spec in specs() {
        for count in 0..=2 {
            assert_eq!(check(&spec, count, |_| ()), Ok(()));
            assert_eq!(
                check_settlement(&child(&spec, count), 7, &receipts(8, count), ancestor),
                Ok(())
            );
        }
    }
}

#[test]
fn every_rule_of_headers() {
    for spec in specs() {
        let check = |change: fn(&mut Header)| check(&spec, 1, change).unwrap_err();
        assert_eq!(
            check(|header| header.version = 2),
            HeaderError::Version { found: 2 }
        );
        assert_eq!(
            check(|header| header.chain_id = 1),
            HeaderError::ChainId {
                found: 1,
                expected: 42
            }
        );
        assert_eq!(
            check(|header| header.height = 11),
            HeaderError::Height { found: 11, parent: 9 }
        );
        let expected = parent(&spec).hash();
        assert_eq!(
            check(|header| header.parent_hash = Hash::ZERO),
            HeaderError::ParentHash {
                found: Hash::ZERO,
                expected
            }
        );
        let parent_ms = parent(&spec).timestamp_ms;
        assert_eq!(
            check(|header| header.timestamp_ms -= 1),
            HeaderError::Timestamp {
                found: parent_ms - 1,
                parent: parent_ms
            }
        );
        let limit = spec.limits.block_gas;
        assert_eq!(
            check(|header| header.gas_limit = u64::MAX),
            HeaderError::GasLimit {
                found: u64::MAX,
                limit
            }
        );
        for (change, part) in [
            ((|header| header.seal = vec![0; 4097]) as fn(&mut Header), "seal"),
            (|header| header.consensus_data = vec![0; 4097], "consensus_data"),
        ] {
            assert_eq!(
                check(change),
                HeaderError::TooLong {
                    part,
                    found: 4097,
                    limit: 4096
                }
            );
        }
        for (change, found) in [
            ((|header| header.settled_height = 6) as fn(&mut Header), 6),
            (|header| header.settled_height = 10, 10),
            (|header| header.settled_height = u64::MAX, u64::MAX),
        ] {
            assert_eq!(
                check(change),
                HeaderError::SettledHeight {
                    found,
                    parent: 7,
                    height: 10
                }
            );
        }
        assert_eq!(
            check(|header| header.settlement_hash = Hash::ZERO),
            HeaderError::SettlementHash {
                found: Hash::ZERO,
                count: 1
            }
        );
    }
}

#[test]
fn a_settlement_hash_without_settlement() {
    let error = check(&spec(), 0, |header| header.settlement_hash = hash(1));
    assert_eq!(
        error,
        Err(HeaderError::SettlementHash {
            found: hash(1),
            count: 0
        })
    );
}

#[test]
fn lag_is_bounded_by_k() {
    let lag = |max_receipt_lag| {
        check(
            &ChainSpec {
                max_receipt_lag,
                ..spec()
            },
            0,
            |_| (),
        )
    };
    assert_eq!(lag(3), Ok(()));
    assert_eq!(lag(2), Err(HeaderError::Lag { lag: 3, limit: 2 }));
}

#[test]
fn delayed_roots_belong_to_option_a() {
    let [option_b, option_a] = specs();
    let present = check(&option_b, 1, |header| header.delayed_state_root = Some(hash(1)));
    assert_eq!(present, Err(HeaderError::DelayedRootPresence { present: true }));
    let absent = check(&option_a, 1, |header| header.delayed_state_root = None);
    assert_eq!(absent, Err(HeaderError::DelayedRootPresence { present: false }));
    let changed = check(&option_a, 0, |header| header.delayed_state_root = Some(hash(1)));
    assert_eq!(
        changed,
        Err(HeaderError::DelayedRootChanged {
            found: hash(1),
            parent: hash(0x11)
        })
    );
}

#[test]
fn every_rule_of_settlement() {
    let [option_b, option_a] = specs();
    let header = child(&option_b, 2);
    let good = receipts(8, 2);
    let check = |receipts: &[ExecutionReceipt]| check_settlement(&header, 7, receipts, ancestor).unwrap_err();
    assert_eq!(
        check(&good[..1]),
        SettlementError::Count {
            found: 1,
            expected: 2
        }
    );
    assert_eq!(
        check(&receipts(8, 3)),
        SettlementError::Count {
            found: 3,
            expected: 2
        }
    );
    let swapped = [good[1].clone(), good[0].clone()];
    assert_eq!(
        check(&swapped),
        SettlementError::Height {
            position: 0,
            found: 9,
            expected: 8
        }
    );
    let mut forked = good.clone();
    forked[1].block_hash = hash(0xff);
    assert_eq!(
        check(&forked),
        SettlementError::Ancestor {
            height: 9,
            found: hash(0xff),
            expected: ancestor(9)
        }
    );
    let mut forged = good.clone();
    forged[0].post_state_root = hash(0xff);
    let found = settlement_hash(&forged);
    assert_eq!(
        check(&forged),
        SettlementError::Hash {
            found,
            expected: header.settlement_hash
        }
    );

    let mut other_root = child(&option_a, 2);
    other_root.delayed_state_root = Some(hash(1));
    assert_eq!(
        check_settlement(&other_root, 7, &good, ancestor),
        Err(SettlementError::DelayedRoot {
            found: good[1].post_state_root,
            expected: hash(1)
        })
    );
}

#[test]
fn headers_at_the_end_of_numbers_do_not_overflow() {
    let spec = spec();
    let parent = Header {
        height: u64::MAX,
        settled_height: u64::MAX - 1,
        ..parent(&spec)
    };
    let header = Header {
        height: 0,
        parent_hash: parent.hash(),
        ..parent.clone()
    };
    let error = check_header(&header, &parent, &parent.hash(), &spec);
    assert_eq!(
        error,
        Err(HeaderError::Height {
            found: 0,
            parent: u64::MAX
        })
    );
    assert_eq!(
        check_settlement(&parent, u64::MAX, &receipts(1, 1), ancestor),
        Err(SettlementError::Count {
            found: 1,
            expected: 0
        })
    );
}

#[test]
fn genesis_follows_from_the_spec_and_its_state() {
    let spec = spec();
    let genesis = Header::genesis(&spec, hash(3));
    assert_eq!(genesis.parent_hash, spec.hash());
    assert_eq!(genesis.delayed_state_root, Some(hash(3)));
    let receipt = ExecutionReceipt::of_genesis(&genesis).unwrap();
    assert_eq!((receipt.height, receipt.block_hash), (0, genesis.hash()));
    assert_eq!(receipt.post_state_root, hash(3));
    assert_eq!(receipt.transaction_receipts_root, merkle::receipts_root(&[]));
    assert_eq!(ExecutionReceipt::of_genesis(&header()), None);
}

#[test]
fn seals_are_outside_what_they_sign_and_inside_the_block_hash() {
    let unsealed = Header {
        seal: vec![],
        ..header()
    };
    assert_eq!(header().pre_seal_hash(), unsealed.pre_seal_hash());
    assert_ne!(header().hash(), unsealed.hash());
    assert_ne!(unsealed.hash(), unsealed.pre_seal_hash());
}
