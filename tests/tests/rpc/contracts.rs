//! The chain of these tests, and transactions of every kind for it.

use millrace_types::{Address, Amount, ChainSpec, Payload, SignedTransaction, Transaction};

use crate::node::Node;
use crate::sequencer;

/// The example counter, as it is deployed.
pub static COUNTER: &[u8] = include_bytes!("../../../contracts/artifacts/counter.elf");
/// What the counter stores its count under.
pub const COUNT: &[u8] = b"count";
/// Input of `increment`.
pub const INCREMENT: &[u8] = &[0x01];
/// Input of `get`.
pub const GET: &[u8] = &[0x10];

const GAS: u64 = 50_000_000;

/// The pipeline's test chain, with room for contracts.
pub fn spec() -> ChainSpec {
    let mut spec = sequencer::spec();
    spec.limits.block_gas = 200_000_000;
    spec.limits.transaction_gas = GAS;
    spec
}

/// A signed transaction of account `from`.
pub fn sign(from: u8, nonce: u64, payload: Payload) -> SignedTransaction {
    let gas_limit = match payload {
        Payload::Transfer { .. } => sequencer::TRANSFER_GAS,
        Payload::Deploy { .. } | Payload::Call { .. } => GAS,
    };
    let transaction = Transaction {
        chain_id: spec().chain_id,
        public_key: [0; 32],
        nonce,
        gas_limit,
        gas_price: 1,
        payload,
    };
    transaction.sign(&sequencer::key(from))
}

/// A signed transfer.
pub fn transfer(from: u8, nonce: u64, to: Address, value: Amount) -> SignedTransaction {
    sign(from, nonce, Payload::Transfer { to, value })
}

/// A signed call.
pub fn call(from: u8, nonce: u64, to: Address, input: &[u8]) -> SignedTransaction {
    let input = input.to_vec();
    sign(from, nonce, Payload::Call { to, value: 0, input })
}

/// A call about as long as the chain allows.
pub fn long_call(from: u8, nonce: u64) -> SignedTransaction {
    call(from, nonce, sequencer::address(from), &[0; 190_000])
}

/// Makes the first block one that is long to tell, of account 0's nonce 0.
pub fn finalize_a_long_block(node: &mut Node) {
    node.chain.engine.submit_transaction(long_call(0, 0)).unwrap();
    node.next_block();
    node.wait_until_finalized(1);
}

/// Deploys the counter with account 0's nonce 0 and settles it; answers its address.
pub fn deploy_counter(node: &mut Node) -> Address {
    deploy(node, COUNTER.to_vec())
}

/// The same with that code.
pub fn deploy(node: &mut Node, code: Vec<u8>) -> Address {
    let payload = Payload::Deploy {
        code,
        value: 0,
        input: Vec::new(),
    };
    let engine = node.chain.engine.clone();
    let hash = engine.submit_transaction(sign(0, 0, payload)).unwrap();
    node.settle();
    let located = engine.transaction(&hash).unwrap().unwrap();
    let receipts = engine.transaction_receipts(&located.block.hash).unwrap().unwrap();
    receipts[located.index as usize].created.expect("it was deployed")
}
