//! The committed contract ELFs do on the executor what their documentation says.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_executor::{BlockContext, Executor, genesis_changes, on_large_stack};
use millrace_types::chain_spec::{ConsensusSpec, GenesisAccount};
use millrace_types::keys::SecretKey;
use millrace_types::state::{Path, storage_path};
use millrace_types::{Address, ChainSpec, Gas, Hash, Outcome, Payload, Transaction, TransactionReceipt};

const GAS: Gas = 20_000_000;
const SUPPLY: u128 = 1_000_000;

/// A chain's state, and the executor that changes it one transaction at a time.
struct World {
    executor: Executor,
    state: BTreeMap<Path, Arc<[u8]>>,
    nonces: [u64; 3],
}

fn key(index: u8) -> SecretKey {
    SecretKey::from_seed([index; 32])
}

fn address(index: u8) -> Address {
    key(index).address()
}

fn topic(name: &str) -> Hash {
    let mut topic = [0; 32];
    topic[..name.len()].copy_from_slice(name.as_bytes());
    Hash(topic)
}

impl World {
    fn new() -> Self {
        let accounts = (0..3)
            .map(|i| GenesisAccount {
                address: address(i),
                balance: 1 << 60,
            })
            .collect();
        let consensus = ConsensusSpec {
            id: "none/1".into(),
            parameters: Vec::new(),
        };
        let spec = ChainSpec::development(7, 0, accounts, consensus);
        let state = genesis_changes(&spec)
            .into_iter()
            .filter_map(|(path, value)| Some((path, value?)));
        Self {
            state: state.collect(),
            executor: Executor::new(Arc::new(spec)).unwrap(),
            nonces: [0; 3],
        }
    }

    fn run(&mut self, sender: u8, payload: Payload) -> TransactionReceipt {
        let spec = self.executor.spec();
        let transaction = Transaction {
            chain_id: spec.chain_id,
            public_key: key(sender).public_key().0,
            nonce: self.nonces[usize::from(sender)],
            gas_limit: GAS,
            gas_price: spec.limits.min_gas_price,
            payload,
        };
        self.nonces[usize::from(sender)] += 1;
        let signed = transaction.sign(&key(sender));
        let block = BlockContext {
            height: 1,
            timestamp_ms: 1,
            proposer: Address([9; 32]),
            gas_limit: spec.limits.block_gas,
        };
        let output = on_large_stack(spec, || {
            self.executor.execute_transaction(&block, 0, &signed, &self.state)
        })
        .unwrap()
        .unwrap();
        for (path, value) in output.changes {
            match value {
                Some(value) => self.state.insert(path, value),
                None => self.state.remove(&path),
            };
        }
        assert_eq!(output.diagnostics.traps, []);
        output.receipt
    }

    fn deploy(&mut self, sender: u8, name: &str, input: Vec<u8>) -> Address {
        let path = format!("{}/../contracts/artifacts/{name}.elf", env!("CARGO_MANIFEST_DIR"));
        let code = std::fs::read(path).unwrap();
        let receipt = self.run(
            sender,
            Payload::Deploy {
                code,
                value: 0,
                input,
            },
        );
        assert_eq!(
            receipt.outcome,
            Outcome::Success,
            "{}",
            String::from_utf8_lossy(&receipt.output)
        );
        receipt.created.unwrap()
    }

    fn call(&mut self, sender: u8, to: Address, selector: u8, arguments: &[&[u8]]) -> TransactionReceipt {
        let input = [&[selector][..], &arguments.concat()].concat();
        self.run(sender, Payload::Call { to, value: 0, input })
    }

    fn output(&mut self, sender: u8, to: Address, selector: u8, arguments: &[&[u8]]) -> Vec<u8> {
        let receipt = self.call(sender, to, selector, arguments);
        assert_eq!(
            receipt.outcome,
            Outcome::Success,
            "{}",
            String::from_utf8_lossy(&receipt.output)
        );
        receipt.output
    }

    fn token(&mut self) -> Address {
        self.deploy(
            0,
            "token",
            [&SUPPLY.to_le_bytes()[..], b"\x04\0\0\0Mill"].concat(),
        )
    }
}

fn reverted_with(receipt: &TransactionReceipt) -> &str {
    assert_eq!(receipt.outcome, Outcome::Reverted);
    std::str::from_utf8(&receipt.output).unwrap()
}

#[test]
fn the_token_moves_balances_logs_them_and_stores_them_where_it_says() {
    let mut world = World::new();
    let token = world.token();
    let (alice, bob) = (address(0), address(1));
    let receipt = world.call(0, token, 0x01, &[&bob.0, &300_u128.to_le_bytes()]);
    assert_eq!((receipt.outcome, receipt.output), (Outcome::Success, vec![]));
    assert_eq!(receipt.logs.len(), 1);
    assert_eq!(
        receipt.logs[0].topics,
        [topic("transfer"), Hash(alice.0), Hash(bob.0)]
    );
    assert_eq!(receipt.logs[0].data, 300_u128.to_le_bytes());

    assert_eq!(world.output(2, token, 0x10, &[&bob.0]), 300_u128.to_le_bytes());
    assert_eq!(world.output(2, token, 0x11, &[]), SUPPLY.to_le_bytes());
    assert_eq!(world.output(2, token, 0x13, &[]), b"\x04\0\0\0Mill");
    let path = storage_path(&token, &[b"balance/".as_slice(), &bob.0].concat());
    assert_eq!(*world.state[&path], 300_u128.to_le_bytes());

    world.output(1, token, 0x02, &[&address(2).0, &200_u128.to_le_bytes()]);
    world.output(2, token, 0x03, &[&bob.0, &alice.0, &150_u128.to_le_bytes()]);
    assert_eq!(
        world.output(2, token, 0x12, &[&bob.0, &address(2).0]),
        50_u128.to_le_bytes()
    );
    assert_eq!(
        world.output(2, token, 0x10, &[&alice.0]),
        (SUPPLY - 150).to_le_bytes()
    );
}

#[test]
fn the_token_refuses_by_name_and_keeps_balances() {
    let mut world = World::new();
    let token = world.token();
    let bob = address(1);
    let receipt = world.call(1, token, 0x01, &[&address(0).0, &1_u128.to_le_bytes()]);
    assert_eq!(reverted_with(&receipt), "insufficient balance");
    assert!(receipt.gas_used < GAS / 4, "a revert gives unused gas back");
    let receipt = world.call(1, token, 0x03, &[&address(0).0, &bob.0, &1_u128.to_le_bytes()]);
    assert_eq!(reverted_with(&receipt), "insufficient allowance");
    assert_eq!(
        reverted_with(&world.call(1, token, 0x55, &[])),
        "unknown selector"
    );
    assert_eq!(
        reverted_with(&world.call(1, token, 0x10, &[&[0; 31]])),
        "the input ends inside an argument"
    );
    assert_eq!(world.output(1, token, 0x10, &[&bob.0]), 0_u128.to_le_bytes());
}

#[test]
fn a_token_transfer_costs_the_same_whoever_receives() {
    let mut world = World::new();
    let token = world.token();
    let mut gas = |to: u8| {
        world
            .call(0, token, 0x01, &[&address(to).0, &10_u128.to_le_bytes()])
            .gas_used
    };
    let first = gas(1);
    let again = gas(1);
    let other = gas(2);
    assert_eq!([first, again, other], [first; 3]);
    println!("a token transfer uses {first} gas");
}

#[test]
fn the_counter_counts_and_refuses_to_overflow() {
    let mut world = World::new();
    let counter = world.deploy(0, "counter", vec![]);
    assert_eq!(world.output(0, counter, 0x01, &[]), 1_u64.to_le_bytes());
    assert_eq!(
        world.output(1, counter, 0x02, &[&41_u64.to_le_bytes()]),
        42_u64.to_le_bytes()
    );
    assert_eq!(world.output(2, counter, 0x10, &[]), 42_u64.to_le_bytes());
    let receipt = world.call(0, counter, 0x02, &[&u64::MAX.to_le_bytes()]);
    assert_eq!(reverted_with(&receipt), "the count would overflow");
    assert_eq!(
        world.call(0, counter, 0x01, &[]).logs[0].topics,
        [topic("advanced")]
    );
}

#[test]
fn hashes_in_guest_code_and_by_the_host_agree() {
    let mut world = World::new();
    let contract = world.deploy(0, "hash", vec![]);
    let mut run = |selector: u8| world.output(0, contract, selector, &[&200_u32.to_le_bytes(), &[7; 32]]);
    let in_guest = run(0x01);
    assert_eq!(in_guest, run(0x02));
    let expected = (0..200).fold(Hash([7; 32]), |link, _| Hash(*blake3::hash(&link.0).as_bytes()));
    assert_eq!(run(0x03), expected.0);
    assert_ne!(run(0x04), in_guest);
}
