//! The executor's scripted contract, on a node: it performs the host calls that its input lists.
#![allow(dead_code, reason = "a part of what the executor's own tests use")]

#[path = "../../../../engine/executor/tests/suite/common/guest.rs"]
pub mod guest;
#[path = "../../../../engine/executor/tests/suite/common/script.rs"]
pub mod script;

use millrace_executor::host::number;
use millrace_types::{Address, Gas, Payload, SignedTransaction};

pub use guest::SCRATCH;
pub use script::Script;

use crate::node::Node;
use crate::sequencer;

/// Gas of a call of these tests: many fit a block.
pub const CALL_GAS: Gas = 3_000_000;

/// What deploys a copy: its initialiser does nothing.
pub fn deploy() -> Payload {
    Payload::Deploy {
        code: guest::elf(),
        value: 0,
        input: Script::new().finish(),
    }
}

/// Deploys as many copies from account 15 on a chain that is at its genesis, and settles them.
pub fn deploy_some(node: &mut Node, copies: u64) -> Vec<Address> {
    let hashes: Vec<_> = (0..copies)
        .map(|nonce| {
            let signed = sequencer::sign(15, nonce, CALL_GAS, 1, deploy());
            node.chain.engine.submit_transaction(signed).unwrap()
        })
        .collect();
    node.settle();
    let engine = &node.chain.engine;
    let created = hashes.iter().map(|hash| {
        let place = engine.transaction(hash).unwrap().unwrap();
        let receipts = engine.transaction_receipts(&place.block.hash).unwrap().unwrap();
        receipts[place.index as usize].created.expect("it was deployed")
    });
    created.collect()
}

/// A call that performs a script.
pub fn run(from: u8, nonce: u64, to: Address, input: Vec<u8>) -> SignedTransaction {
    let value = 0;
    sequencer::sign(from, nonce, CALL_GAS, 1, Payload::Call { to, value, input })
}

/// A topic of these tests.
pub fn topic(n: u8) -> [u8; 32] {
    [n; 32]
}

/// Ends with 8 bytes of output, which [`call_or_trap`] looks for.
pub fn answering(script: Script) -> Vec<u8> {
    script.host(number::RETURN, &[SCRATCH, 8]).input()
}

/// Calls a contract with all the gas that may be passed on, and traps unless it answered.
pub fn call_or_trap(script: Script, to: &Address, input: &[u8]) -> Script {
    let mut script = script.call(to, 0, Gas::MAX, input);
    // A script cannot look at a status. Another call, to nobody, has a reserved word that makes it a trap, and what was answered,
    // which is zeros, takes its place.
    const RESERVED: usize = 72;
    let mut request = [0; 80];
    request[RESERVED] = 1;
    let request = script.data(&request);
    script
        .host(number::RETURN_DATA, &[request + RESERVED as u64, 0, 8])
        .host(number::CALL, &[request])
}
