//! Blocks from the pool to settlement, in every mode.

use millrace_pipeline::{Engine, EngineConfig, Event, NotNow, TransactionStatus};
use millrace_types::{ChainSpec, Commitment, Hash, SignedTransaction};
use proptest::prelude::*;

use crate::common::*;

const ROUNDS: u64 = 12;

/// Runs the same transfers through a chain; answers the final state root and the largest lag.
fn run(spec: ChainSpec, config: EngineConfig) -> (Hash, u64) {
    let mut chain = Chain::in_memory(spec, config);
    for round in 0..ROUNDS {
        for sender in 0..ACCOUNTS {
            let to = address((sender + 1) % ACCOUNTS);
            chain
                .engine
                .submit_transaction(transfer(sender, round, to, 10 + u128::from(sender)))
                .unwrap();
        }
    }
    chain.run_until_idle();
    chain.wait_until_executed(chain.head.height);
    let counters = chain.engine.counters();
    assert_eq!(counters.transactions_executed, ROUNDS * u64::from(ACCOUNTS));
    assert_eq!(counters.blocks_executed, counters.blocks_finalized);
    assert!(counters.max_lag <= chain.engine.spec().max_receipt_lag);
    (chain.root(), counters.max_lag)
}

#[test]
fn every_mode_executes_the_same_transactions_to_the_same_root() {
    let (expected, _) = run(spec(), EngineConfig::default());
    for commitment in [Commitment::ExecutionReceipts, Commitment::DelayedRoot] {
        for (lag, age) in [(1, 1), (2, 1), (2, 2), (4, 1), (4, 3)] {
            for pipelining in [true, false] {
                let spec = ChainSpec {
                    commitment,
                    max_receipt_lag: lag,
                    receipt_age: age,
                    ..spec()
                };
                let config = EngineConfig {
                    pipelining,
                    ..EngineConfig::default()
                };
                let (root, max_lag) = run(spec, config);
                assert_eq!(
                    root, expected,
                    "{commitment:?}, K {lag}, age {age}, pipelining {pipelining}"
                );
                assert!(max_lag <= lag);
            }
        }
    }
}

#[test]
fn a_transaction_is_pooled_then_finalized_then_executed_then_settled() {
    let mut chain = Chain::in_memory(spec(), EngineConfig::default());
    let hash = chain
        .engine
        .submit_transaction(transfer(0, 0, address(1), 5))
        .unwrap();
    assert_eq!(
        chain.engine.transaction_status(&hash).unwrap(),
        TransactionStatus::Pooled
    );
    assert_eq!(chain.engine.pending_nonce(&address(0)), 1);
    chain.run_until_idle();
    let status = chain.engine.transaction_status(&hash).unwrap();
    let TransactionStatus::Executed {
        block,
        index: 0,
        settled_by,
        canonical: true,
        ..
    } = status
    else {
        panic!("{status:?}");
    };
    assert_eq!(block.height, 1);
    chain.wait_for(|event| matches!(event, Event::Settled { to: 1, .. }));
    let settled_by = chain.engine.transaction_status(&hash).map(|status| match status {
        TransactionStatus::Executed { settled_by, .. } => settled_by,
        _ => settled_by,
    });
    assert_eq!(settled_by.unwrap(), Some(2));
    assert_eq!(chain.engine.settling_block(1).unwrap().unwrap().height, 2);
    assert_eq!(chain.engine.heights().settled, 1);
}

#[test]
fn an_idle_chain_proposes_nothing_and_is_told_when_there_is_work() {
    let mut chain = Chain::in_memory(spec(), EngineConfig::default());
    assert_eq!(chain.turn(), Turn::NotNow(NotNow::Idle));
    chain
        .engine
        .submit_transaction(transfer(0, 0, address(1), 5))
        .unwrap();
    chain.wait_for(|event| *event == Event::Work);
    assert!(matches!(chain.turn(), Turn::Block(_)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Good ones, and every kind of refusal that there is before the pool, in any mixture.
    #[test]
    fn transactions_that_are_submitted_together_get_the_answers_that_they_get_alone(
        kinds in prop::collection::vec((0..ACCOUNTS, 0..24_u8, 0..512_usize), 0..150),
    ) {
        let (alone, together) = (engine(), engine());
        let mut submitted: Vec<SignedTransaction> = Vec::new();
        for (index, (sender, kind, bit)) in (0..).zip(kinds) {
            let mut signed = transfer(sender, index / 20, address(1), 1);
            match kind {
                0 => signed.signature[bit / 8] ^= 1 << (bit % 8),
                1 => signed.transaction.chain_id += 1,
                2 => signed.transaction.gas_limit = 1,
                3 => signed.transaction.nonce += 1,
                4 => signed = submitted.last().cloned().unwrap_or(signed),
                _ => {}
            }
            submitted.push(signed);
        }
        let expected: Vec<_> = submitted
            .iter()
            .map(|signed| alone.submit_transaction(signed.clone()))
            .collect();
        let found = together.submit_transactions(submitted.clone());
        prop_assert_eq!(format!("{found:?}"), format!("{expected:?}"));
        prop_assert_eq!(together.pool(), alone.pool());
        // What is known already is not checked again, and what was refused is refused again.
        let again = together.submit_transactions(submitted);
        prop_assert!(again.iter().map(Result::is_ok).eq(expected.iter().map(Result::is_ok)));
        alone.stop();
        together.stop();
    }
}

fn engine() -> Engine {
    Chain::in_memory(spec(), EngineConfig::default()).engine
}
