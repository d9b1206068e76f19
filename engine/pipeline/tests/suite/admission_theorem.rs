//! Admitted implies payable and in order when executed: random chains of random transactions, settled as late and as
//! unevenly as the rules allow, on the real admission function and the real executor, which asserts it.

use millrace_pipeline::admission::{Invalid, Verdict};
use millrace_types::{ChainSpec, Commitment, Payload, SignedTransaction, Transaction};
use proptest::prelude::*;

use crate::common::*;
use crate::late::{LateChain, is_long_run};

/// What a random transaction is made of.
#[derive(Clone, Debug)]
struct Draw {
    sender: u8,
    to: u8,
    kind: u8,
    /// Of what the sender has, in 1/16; above 16 more than that.
    share: u8,
    nonce_off: bool,
    price: u64,
}

fn draw() -> impl Strategy<Value = Draw> {
    let off = prop::bool::weighted(0.05);
    (0..6_u8, 0..8_u8, 0..4_u8, 0..20_u8, off, 1..4_u64).prop_map(
        |(sender, to, kind, share, nonce_off, price)| Draw {
            sender,
            to,
            kind,
            share,
            nonce_off,
            price,
        },
    )
}

/// A block: its transactions and how much of what it may settle it does.
fn block_draw() -> impl Strategy<Value = (Vec<Draw>, u8)> {
    (prop::collection::vec(draw(), 0..8), any::<u8>())
}

/// A transaction near the edge of what the sender can pay *now*, which admission does not know.
fn transaction(chain: &LateChain, draw: &Draw, sent_before: u64) -> SignedTransaction {
    let now = chain.account(chain.tip().height, &address(draw.sender));
    let gas_limit = if draw.kind == 2 { 90_000 } else { TRANSFER_GAS };
    let value = now.balance / 16 * u128::from(draw.share);
    // Accounts 6 and 7 do not exist at genesis: they live from credits alone.
    let to = address(if draw.to >= 6 { draw.to + 30 } else { draw.to });
    let payload = match draw.kind {
        0 | 1 => Payload::Transfer { to, value },
        2 => Payload::Deploy {
            code: vec![0x7f; 40],
            value,
            input: Vec::new(),
        },
        _ => Payload::Call {
            to,
            value,
            input: vec![1; 20],
        },
    };
    let transaction = Transaction {
        chain_id: chain.spec.chain_id,
        public_key: [0; 32],
        nonce: now.nonce + sent_before + u64::from(draw.nonce_off),
        gas_limit,
        gas_price: draw.price,
        payload,
    };
    transaction.sign(&key(draw.sender))
}

/// Admits what can be admitted of `draws` and executes it. Answers how many were admitted and how many refused.
fn step(chain: &mut LateChain, draws: &[Draw], settle: u8) -> (usize, usize) {
    let may = chain.may_settle();
    let settled = may.start() + u64::from(settle) % (may.end() - may.start() + 1);
    let mut transactions: Vec<SignedTransaction> = Vec::new();
    for draw in draws {
        let sent = transactions
            .iter()
            .filter(|t| t.sender() == address(draw.sender))
            .count() as u64;
        transactions.push(transaction(chain, draw, sent));
    }
    let drawn = transactions.len();
    let (block, summary) = loop {
        let block = chain.block(settled, transactions.clone());
        match chain.judge(&block) {
            Verdict::Valid(summary) => break (block, summary),
            Verdict::Invalid(Invalid::Transaction { index, .. }) => {
                drop(transactions.remove(index as usize));
            }
            other => panic!("{other:?}"),
        }
    };
    chain.execute(block, summary);
    (transactions.len(), drawn - transactions.len())
}

fn cases() -> u32 {
    if is_long_run() { 4_000 } else { 48 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn what_is_admitted_is_payable_and_in_order_when_it_is_executed(
        blocks in prop::collection::vec(block_draw(), 1..16),
        lag in 1..6_u64,
        delayed in any::<bool>(),
    ) {
        let commitment = if delayed { Commitment::DelayedRoot } else { Commitment::ExecutionReceipts };
        let mut chain = LateChain::new(ChainSpec { max_receipt_lag: lag, commitment, ..spec() });
        for (draws, settle) in &blocks {
            step(&mut chain, draws, *settle);
        }
    }
}

#[test]
fn the_draws_are_admitted_and_refused_in_good_measure() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut admitted, mut refused) = (0, 0);
    for _ in 0..10 {
        let mut chain = LateChain::new(ChainSpec {
            max_receipt_lag: 4,
            ..spec()
        });
        for _ in 0..10 {
            let (draws, settle) = block_draw().new_tree(&mut runner).unwrap().current();
            let (yes, no) = step(&mut chain, &draws, settle);
            admitted += yes;
            refused += no;
        }
    }
    assert!(
        admitted > 100 && refused > 50,
        "{admitted} admitted, {refused} refused"
    );
}
