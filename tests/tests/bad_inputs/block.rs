//! Proposals that nobody may vote for.

use std::cell::LazyCell;
use std::rc::Rc;

use millrace_pipeline::ValidateAnswer;
use millrace_types::receipt::settlement_hash;
use millrace_types::{
    Amount, Block, ChainSpec, ExecutionReceipt, Hash, Payload, SignedTransaction, codec, merkle,
};

use super::chain::{Chain, key, named, sealed, spec, spec_a, transfer, unsigned};
use super::{Case, case, check};

/// Its root and its sums follow from what the transactions are, which nobody changes.
pub fn valid(chain: &Chain) -> Block {
    let height = chain.engine.last_finalized().height;
    chain.next(vec![transfer(0, height), transfer(1, 0)])
}

#[test]
fn the_unchanged_blocks_are_accepted() {
    for spec in [spec(), spec_a()] {
        let chain = Chain::of(spec.clone(), 2);
        let block = valid(&chain);
        assert_eq!(chain.validate(&block), ValidateAnswer::Valid);
        Block::decode(&codec::encode(&block), &spec).unwrap();
        assert_eq!(block.header.settled_height, 2, "there is settlement to damage");
    }
}

/// A call of this many bytes in all.
pub fn call_of(size: usize) -> SignedTransaction {
    let payload = |input: Vec<u8>| Payload::Call {
        to: key(0).address(),
        value: 0,
        input,
    };
    let call = |input| {
        let mut transaction = unsigned(0);
        transaction.gas_limit = 5_000_000;
        transaction.payload = payload(input);
        transaction.sign(&key(1))
    };
    let without = call(Vec::new()).byte_len();
    call(vec![0; size - without])
}

type Shared = Rc<LazyCell<Chain, Box<dyn FnOnce() -> Chain>>>;

fn shared(spec: ChainSpec, blocks: u64) -> Shared {
    Rc::new(LazyCell::new(Box::new(move || Chain::of(spec, blocks))))
}

/// What the engine says to the valid block, changed. Stands for hashes: `{block}`, `{parent}`, `{genesis}`.
fn proposal(name: &'static str, chain: &Shared, change: fn(&mut Block), expected: &'static str) -> Case {
    let chain = Rc::clone(chain);
    let vote = move || {
        let valid = valid(&chain);
        let mut block = valid.clone();
        change(&mut block);
        let names = [
            (block.hash(), "{block}"),
            (valid.header.parent_hash, "{parent}"),
            (chain.engine.genesis().hash, "{genesis}"),
            (block.header.transactions_root, "{root}"),
            (
                merkle::transactions_root(&block.body.transactions),
                "{body's root}",
            ),
            (valid.header.settlement_hash, "{settlement}"),
            (settlement_hash(&block.body.receipts), "{body's settlement}"),
        ];
        let names = [&names[..], &roots(&chain, &valid)].concat();
        match chain.validate(&block) {
            ValidateAnswer::Valid => Ok(()),
            ValidateAnswer::Invalid(reason) => Err(named(reason.to_string(), &names)),
            ValidateAnswer::Pending(reason) => Err(named(reason.to_string(), &names)),
            other => Err(format!("{other:?}")),
        }
    };
    case(name, vote, expected)
}

/// Changes the receipts, and the header's commitment with them.
fn settle(block: &mut Block, change: impl FnOnce(&mut Vec<ExecutionReceipt>)) {
    change(&mut block.body.receipts);
    block.header.settlement_hash = settlement_hash(&block.body.receipts);
}

/// Roots that execution found, which the chain's gas prices go into.
fn roots(chain: &Chain, valid: &Block) -> Vec<(Hash, &'static str)> {
    let parent = chain.engine.header(&valid.header.parent_hash).unwrap().unwrap();
    let receipt = valid.body.receipts.first();
    [
        (receipt.map(|receipt| receipt.post_state_root), "{state}"),
        (
            receipt.map(|receipt| receipt.transaction_receipts_root),
            "{receipts}",
        ),
        (valid.header.delayed_state_root, "{state}"),
        (parent.delayed_state_root, "{parent's state}"),
    ]
    .into_iter()
    .filter_map(|(hash, name)| Some((hash?, name)))
    .collect()
}

/// A block whose second transaction is this one.
pub fn with(block: &mut Block, transaction: SignedTransaction) {
    block.body.transactions[1] = transaction;
    *block = sealed(block.clone());
}

fn header_cases(chain: &Shared) -> Vec<Case> {
    vec![
        proposal(
            "block: unknown version",
            chain,
            |block| block.header.version = 2,
            "header: header version 2, known is 1",
        ),
        proposal(
            "block: other chain",
            chain,
            |block| block.header.chain_id = 8,
            "header: chain id 8, this chain's is 7",
        ),
        proposal(
            "block: height skipped",
            chain,
            |block| block.header.height += 1,
            "header: height 4 after parent height 2",
        ),
        proposal(
            "block: unknown parent",
            chain,
            |block| block.header.parent_hash = Hash([7; 32]),
            "the parent 0x0707070707070707070707070707070707070707070707070707070707070707 is unknown",
        ),
        proposal(
            "block: before its parent",
            chain,
            |block| block.header.timestamp_ms = 4_999,
            "header: timestamp 4999 ms before its parent's 5000 ms",
        ),
        proposal(
            "block: allows more gas than the chain",
            chain,
            |block| block.header.gas_limit = 30_000_001,
            "header: gas limit 30000001, more than limits.block_gas = 30000000",
        ),
        proposal(
            "block: consensus data too long",
            chain,
            |block| block.header.consensus_data = vec![0; 65],
            "header: consensus_data has 65 bytes, more than its limit of 64",
        ),
        proposal(
            "block: seal too long",
            chain,
            |block| block.header.seal = vec![0; 129],
            "header: seal has 129 bytes, more than its limit of 128",
        ),
        proposal(
            "block: settles itself",
            chain,
            |block| block.header.settled_height = 3,
            "header: settled height 3 at height 3: allowed is 1 ..= 2",
        ),
        proposal(
            "block: settles less than its parent",
            chain,
            |block| block.header.settled_height = 0,
            "header: settled height 0 at height 3: allowed is 1 ..= 2",
        ),
        proposal(
            "block: settles without a hash",
            chain,
            |block| block.header.settlement_hash = Hash::ZERO,
            "settlement: the receipts hash to {settlement}, the header says 0x0000000000000000000000000000000000000000000000000000000000000000",
        ),
        proposal(
            "block: a settlement hash for nothing",
            chain,
            |block| {
                block.header.settled_height = 1;
                block.body.receipts.clear();
            },
            "settlement: the receipts hash to {body's settlement}, the header says {settlement}",
        ),
        proposal(
            "block: option B with a delayed root",
            chain,
            |block| block.header.delayed_state_root = Some(Hash::ZERO),
            "header: delayed state root is present: it is under option A, and only there",
        ),
        proposal(
            "block: wrong transactions root",
            chain,
            |block| block.header.transactions_root = Hash([7; 32]),
            "transactions root {root}, the body has {body's root}",
        ),
    ]
}

fn body_cases(chain: &Shared) -> Vec<Case> {
    vec![
        proposal(
            "block: more transactions than allowed",
            chain,
            |block| {
                block.body.transactions = (0..9).map(|nonce| transfer(1, nonce)).collect();
                *block = sealed(block.clone());
            },
            "9 transactions, the chain allows 8",
        ),
        proposal(
            "block: more bytes than allowed",
            chain,
            |block| {
                block.body.transactions = vec![call_of(1 << 14); 4];
                *block = sealed(block.clone());
            },
            "block of 65844 bytes, the chain allows 65536",
        ),
        proposal(
            "block: gas limits above the header's",
            chain,
            |block| block.header.gas_limit = 119_999,
            "gas limits add up to 120000, the header allows 119999",
        ),
        proposal(
            "block: a receipt is missing",
            chain,
            |block| block.body.receipts.clear(),
            "settlement: the receipts hash to {body's settlement}, the header says {settlement}",
        ),
        proposal(
            "block: a receipt too many",
            chain,
            |block| settle(block, |receipts| receipts.push(receipts[0].clone())),
            "settlement: 2 receipts for 1 settled heights",
        ),
        proposal(
            "block: a receipt of another height",
            chain,
            |block| settle(block, |receipts| receipts[0].height = 1),
            "settlement: receipt 0 is for height 1, not 2",
        ),
        proposal(
            "block: a receipt of another block",
            chain,
            |block| settle(block, |receipts| receipts[0].block_hash = Hash([7; 32])),
            "settlement: the receipt of height 2 is for block 0x0707070707070707070707070707070707070707070707070707070707070707, the ancestor is {parent}",
        ),
        proposal(
            "block: receipts that the header does not commit to",
            chain,
            |block| block.body.receipts[0].gas_used = 7,
            "settlement: the receipts hash to {body's settlement}, the header says {settlement}",
        ),
        proposal(
            "block: a receipt that execution does not give",
            chain,
            |block| settle(block, |receipts| receipts[0].gas_used = 7),
            "the receipt of height 2 differs from execution: ExecutionReceipt { height: 2, block_hash: {parent}, status: Executed, post_state_root: {state}, transaction_receipts_root: {receipts}, gas_used: 7, gas_charged: 42944 }, executed ExecutionReceipt { height: 2, block_hash: {parent}, status: Executed, post_state_root: {state}, transaction_receipts_root: {receipts}, gas_used: 42944, gas_charged: 42944 }",
        ),
        proposal(
            "block: a transaction of another chain",
            chain,
            |block| {
                let mut transaction = unsigned(0);
                transaction.chain_id = 8;
                with(block, transaction.sign(&key(1)));
            },
            "transaction 1: chain id 8, this is chain 7",
        ),
        proposal(
            "block: a transaction longer than allowed",
            chain,
            |block| with(block, call_of((1 << 14) + 1)),
            "transaction 1: 16385 bytes, the chain allows 16384",
        ),
        proposal(
            "block: a transaction with too much gas",
            chain,
            |block| {
                let mut transaction = unsigned(0);
                transaction.gas_limit = 10_000_001;
                with(block, transaction.sign(&key(1)));
            },
            "transaction 1: gas limit 10000001, the chain allows 10000000",
        ),
        proposal(
            "block: a transaction with too little gas",
            chain,
            |block| {
                let mut transaction = unsigned(0);
                transaction.gas_limit = 20_000;
                with(block, transaction.sign(&key(1)));
            },
            "transaction 1: gas limit 20000 is below the intrinsic gas of 42944",
        ),
        proposal(
            "block: a transaction below the least price",
            chain,
            |block| {
                let mut transaction = unsigned(0);
                transaction.gas_price = 1;
                with(block, transaction.sign(&key(1)));
            },
            "transaction 1: gas price 1, the chain's minimum is 2",
        ),
        proposal(
            "block: a nonce skipped",
            chain,
            |block| with(block, transfer(1, 1)),
            "transaction 1: nonce 1, the sender's next is 0",
        ),
        proposal(
            "block: a transaction twice",
            chain,
            |block| with(block, block.body.transactions[0].clone()),
            "transaction 1: nonce 2, the sender's next is 3",
        ),
        proposal(
            "block: a nonce of an earlier block",
            chain,
            |block| with(block, transfer(0, 0)),
            "transaction 1: nonce 0, the sender's next is 3",
        ),
        proposal(
            "block: a value that the sender does not have",
            chain,
            |block| {
                let mut transaction = unsigned(0);
                transaction.payload = Payload::Transfer {
                    to: key(0).address(),
                    value: super::chain::BALANCE,
                };
                with(block, transaction.sign(&key(1)));
            },
            "transaction 1: unpayable: 1000000000 settled, 0 reserved in flight, 1000120000 needed",
        ),
        proposal(
            "block: a cost above 128 bits",
            chain,
            |block| {
                let mut transaction = unsigned(0);
                transaction.payload = Payload::Transfer {
                    to: key(0).address(),
                    value: Amount::MAX,
                };
                with(block, transaction.sign(&key(1)));
            },
            "transaction 1: unpayable: 1000000000 settled, 0 reserved in flight, 340282366920938463463374607431768211455 needed",
        ),
        proposal(
            "block: a wrong signature",
            chain,
            |block| {
                let mut transaction = transfer(1, 0);
                transaction.signature[0] ^= 1;
                with(block, transaction);
            },
            "transaction 1: the signature does not verify",
        ),
    ]
}

fn option_a_cases() -> Vec<Case> {
    let chain = shared(spec_a(), 2);
    vec![
        proposal(
            "block: option A without a delayed root",
            &chain,
            |block| block.header.delayed_state_root = None,
            "header: delayed state root is not present: it is under option A, and only there",
        ),
        proposal(
            "block: option A with receipts",
            &chain,
            |block| {
                block.body.receipts = Chain::of(spec(), 2).next(Vec::new()).body.receipts;
            },
            "1 receipts in the body; under option A there are none",
        ),
        proposal(
            "block: option A with another root for nothing settled",
            &chain,
            |block| {
                block.header.settled_height = 1;
                block.header.settlement_hash = settlement_hash(&[]);
                block.header.delayed_state_root = Some(Hash([7; 32]));
            },
            "header: delayed state root 0x0707070707070707070707070707070707070707070707070707070707070707 differs from the parent's {parent's state}, but nothing is settled between them",
        ),
        proposal(
            "block: option A with another settlement",
            &chain,
            |block| block.header.settlement_hash = Hash([7; 32]),
            "settlement hash 0x0707070707070707070707070707070707070707070707070707070707070707 for heights 2 to 2 differs from execution: {settlement}",
        ),
        proposal(
            "block: option A with another root",
            &chain,
            |block| block.header.delayed_state_root = Some(Hash([7; 32])),
            "state root 0x0707070707070707070707070707070707070707070707070707070707070707 for height 2 differs from execution: {state}",
        ),
    ]
}

/// K = 1: what a wider window would let pass.
fn lag_case() -> Case {
    let spec = ChainSpec {
        max_receipt_lag: 1,
        ..spec()
    };
    proposal(
        "block: lags too far behind",
        &shared(spec, 2),
        |block| {
            block.header.settled_height = 1;
            block.header.settlement_hash = settlement_hash(&[]);
            block.body.receipts.clear();
        },
        "header: lag 2 (height - settled height), more than max_receipt_lag = 1",
    )
}

fn descendant_case(chain: &Shared) -> Case {
    let chain = Rc::clone(chain);
    let vote = move || {
        let mut bad = valid(&chain);
        bad.header.timestamp_ms = 1;
        assert!(matches!(chain.validate(&bad), ValidateAnswer::Invalid(_)));
        let mut child = valid(&chain);
        child.header.height += 1;
        child.header.parent_hash = bad.hash();
        match chain.validate(&child) {
            ValidateAnswer::Invalid(reason) => Err(named(reason.to_string(), &[(bad.hash(), "{parent}")])),
            other => Ok(other),
        }
    };
    case(
        "block: child of an invalid block",
        vote,
        "the ancestor {parent} is invalid",
    )
}

pub fn cases() -> Vec<Case> {
    let chain = shared(spec(), 2);
    let mut cases = header_cases(&chain);
    cases.extend(body_cases(&chain));
    cases.push(descendant_case(&chain));
    cases.push(lag_case());
    cases.extend(option_a_cases());
    cases
}

#[test]
fn blocks() {
    check("block", 40, &cases());
}
