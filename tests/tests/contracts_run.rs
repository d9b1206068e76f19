//! The committed contract ELFs do on the executor what their documentation says, on every tier alike.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::sync::Arc;

use borsh::BorshDeserialize as _;
use millrace_executor::{BlockContext, Executor, Tier, TransactionOutput, genesis_changes, on_large_stack};
use millrace_types::chain_spec::{ConsensusSpec, GenesisAccount};
use millrace_types::keys::SecretKey;
use millrace_types::state::{Account, Path, account_path, storage_path};
use millrace_types::{
    Address, ChainSpec, Gas, Hash, Outcome, Payload, SignedTransaction, Transaction, TransactionReceipt,
};

const GAS: Gas = 20_000_000;
const SUPPLY: u128 = 1_000_000;

/// A chain's state, and the executors that change it one transaction at a time: one for each tier.
struct World {
    executors: [Executor; 3],
    state: BTreeMap<Path, Arc<[u8]>>,
    nonces: [u64; 3],
    timestamp_ms: u64,
}

fn key(index: u8) -> SecretKey {
    SecretKey::from_seed([index; 32])
}

fn address(index: u8) -> Address {
    key(index).address()
}

fn elf(name: &str) -> Vec<u8> {
    let path = format!("{}/../contracts/artifacts/{name}.elf", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).unwrap()
}

/// A `bytes` or `str` argument.
fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_le_bytes()[..], bytes].concat()
}

/// Zeros behind a text, to 32 bytes.
fn padded(text: &str) -> [u8; 32] {
    topic(text).0
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
        let state = state.collect();
        let spec = Arc::new(spec);
        let executor = |tier| Executor::new(spec.clone()).unwrap().with_tier(tier);
        Self {
            executors: [Tier::Interpreter, Tier::Jit, Tier::Auto].map(executor),
            state,
            nonces: [0; 3],
            timestamp_ms: 1,
        }
    }

    fn run(&mut self, sender: u8, payload: Payload) -> TransactionReceipt {
        let spec = self.executors[0].spec();
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
        let [output, jit, auto] = self
            .executors
            .each_ref()
            .map(|executor| self.execute(executor, &signed));
        for other in [jit, auto] {
            assert_eq!(
                (&output.receipt, &output.changes),
                (&other.receipt, &other.changes)
            );
        }
        for (path, value) in output.changes {
            match value {
                Some(value) => self.state.insert(path, value),
                None => self.state.remove(&path),
            };
        }
        assert_eq!(output.diagnostics.traps, []);
        output.receipt
    }

    fn execute(&self, executor: &Executor, signed: &SignedTransaction) -> TransactionOutput {
        let spec = executor.spec();
        let block = BlockContext {
            height: 1,
            timestamp_ms: self.timestamp_ms,
            proposer: Address([9; 32]),
            gas_limit: spec.limits.block_gas,
        };
        on_large_stack(spec, || {
            executor.execute_transaction(&block, 0, signed, &self.state)
        })
        .unwrap()
        .unwrap()
    }

    fn deploy(&mut self, sender: u8, name: &str, input: Vec<u8>) -> Address {
        self.deploy_with(sender, name, 0, input)
    }

    fn deploy_with(&mut self, sender: u8, name: &str, value: u128, input: Vec<u8>) -> Address {
        let code = elf(name);
        let receipt = self.run(sender, Payload::Deploy { code, value, input });
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

    /// A call that brings value.
    fn pay(&mut self, sender: u8, to: Address, value: u128, input: Vec<u8>) -> TransactionReceipt {
        self.run(sender, Payload::Call { to, value, input })
    }

    fn balance(&self, of: &Address) -> u128 {
        let record = self.state.get(&account_path(of));
        record.map_or(0, |record| Account::try_from_slice(record).unwrap().balance)
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
    assert_eq!(reverted_with(&receipt), "InsufficientBalance");
    assert!(receipt.gas_used < GAS / 4, "a revert gives unused gas back");
    let receipt = world.call(1, token, 0x03, &[&address(0).0, &bob.0, &1_u128.to_le_bytes()]);
    assert_eq!(reverted_with(&receipt), "InsufficientAllowance");
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
    assert_eq!(reverted_with(&receipt), "Overflow");
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

#[test]
fn a_wallet_pays_once_when_enough_owners_signed() {
    let mut world = World::new();
    let owners: Vec<u8> = (0..3).flat_map(|owner| key(owner).public_key().0).collect();
    let input = [&2_u32.to_le_bytes()[..], &3_u32.to_le_bytes(), &owners].concat();
    let wallet = world.deploy_with(0, "multisig", 1_000, input);
    let shop = Address([0x50; 32]);
    let order = [
        &padded("millrace/example-multisig/1")[..],
        &world.executors[0].spec().chain_id.to_le_bytes(),
        &wallet.0,
        &0_u64.to_le_bytes(),
        &shop.0,
        &300_u128.to_le_bytes(),
        blake3::hash(b"").as_bytes(),
    ]
    .concat();
    let order = Hash(*blake3::hash(&order).as_bytes());
    let approvals = |owners: &[u8]| {
        let sign = |owner: &u8| [&u32::from(*owner).to_le_bytes()[..], &key(*owner).sign(&order)].concat();
        let count = u32::try_from(owners.len()).unwrap();
        [
            count.to_le_bytes().to_vec(),
            owners.iter().flat_map(sign).collect(),
        ]
        .concat()
    };
    let mut execute = |approvals: &[u8]| {
        world.call(
            2,
            wallet,
            0x02,
            &[&shop.0, &300_u128.to_le_bytes(), &[0; 4], approvals],
        )
    };
    assert_eq!(reverted_with(&execute(&approvals(&[1]))), "NotEnoughApprovals");
    assert_eq!(reverted_with(&execute(&approvals(&[1, 1]))), "UnsortedApprovals");
    let paid = execute(&approvals(&[0, 1]));
    assert_eq!(
        (paid.outcome, paid.logs[0].topics[0]),
        (Outcome::Success, topic("executed"))
    );
    println!("two approvals of a wallet use {} gas", paid.gas_used);
    assert_eq!(reverted_with(&execute(&approvals(&[0, 1]))), "BadSignature");
    assert_eq!((world.balance(&shop), world.balance(&wallet)), (300, 700));
}

#[test]
fn an_auction_holds_bids_and_gives_them_back() {
    let mut world = World::new();
    let auction = world.deploy(
        2,
        "auction",
        [&100_u64.to_le_bytes()[..], &50_u128.to_le_bytes()].concat(),
    );
    assert_eq!(reverted_with(&world.pay(0, auction, 49, vec![0x01])), "BidTooLow");
    for (bidder, amount) in [(0, 50), (1, 60), (0, 70)] {
        assert_eq!(
            world.pay(bidder, auction, amount, vec![0x01]).outcome,
            Outcome::Success
        );
    }
    let highest = [&[1][..], &address(0).0, &70_u128.to_le_bytes()].concat();
    assert_eq!(world.output(2, auction, 0x10, &[]), highest);
    assert_eq!(world.output(1, auction, 0x02, &[]), 60_u128.to_le_bytes());
    assert_eq!(
        reverted_with(&world.call(1, auction, 0x02, &[])),
        "NothingToWithdraw"
    );
    assert_eq!(reverted_with(&world.call(1, auction, 0x03, &[])), "NotOver");
    world.timestamp_ms = 100;
    assert_eq!(reverted_with(&world.pay(1, auction, 90, vec![0x01])), "Over");
    let settled = world.call(1, auction, 0x03, &[]);
    assert_eq!(settled.logs[0].topics, [topic("settled"), Hash(address(0).0)]);
    assert_eq!(world.balance(&auction), 50, "what the winner outbid of its own");
}

#[test]
fn a_registry_makes_tokens_and_moves_them_by_a_generated_client() {
    let mut world = World::new();
    let registry = world.deploy(0, "registry", vec![]);
    let name = sized(b"Wind");
    let launched = world.output(
        1,
        registry,
        0x02,
        &[&sized(&elf("token")), &500_u128.to_le_bytes(), &name],
    );
    let token = Address(launched.try_into().unwrap());
    assert_eq!(
        world.output(0, registry, 0x10, &[&name]),
        [&[1][..], &token.0].concat()
    );
    assert_eq!(
        world.output(0, token, 0x10, &[&address(1).0]),
        500_u128.to_le_bytes()
    );

    let (to, amount) = (address(2), 200_u128.to_le_bytes());
    let refused = world.call(1, registry, 0x03, &[&name, &to.0, &amount]);
    assert_eq!(reverted_with(&refused), "NotAllowed");
    world.output(1, token, 0x02, &[&registry.0, &1_000_u128.to_le_bytes()]);
    let refused = world.call(1, registry, 0x03, &[&name, &to.0, &501_u128.to_le_bytes()]);
    assert_eq!(reverted_with(&refused), "TooFewTokens");
    let paid = world.call(1, registry, 0x03, &[&name, &to.0, &amount]);
    assert_eq!((paid.outcome, paid.logs[0].address), (Outcome::Success, token));
    assert_eq!(world.output(0, token, 0x10, &[&to.0]), amount);

    let second = world.token();
    world.output(0, registry, 0x01, &[&second.0]);
    assert_eq!(
        reverted_with(&world.call(0, registry, 0x01, &[&second.0])),
        "NameTaken"
    );
    assert_eq!(
        reverted_with(&world.call(0, registry, 0x01, &[&registry.0])),
        "NotAToken"
    );
    assert_eq!(
        world.output(0, registry, 0x12, &[&[1, 0, 0, 0]]),
        [&[1][..], &second.0].concat()
    );
}

#[test]
fn an_airdrop_pays_a_share_that_is_in_its_tree() {
    let mut world = World::new();
    let share = |index: u32, amount: u128| {
        let account = Address([0xd0 + u8::try_from(index).unwrap(); 32]);
        [&index.to_le_bytes()[..], &account.0, &amount.to_le_bytes()].concat()
    };
    let leaf = |share: &[u8]| {
        let bytes = [&padded("millrace/example-airdrop/1")[..], share].concat();
        *blake3::hash(&bytes).as_bytes()
    };
    let shares = [share(0, 10), share(1, 20)];
    let leaves = shares.each_ref().map(|share| leaf(share));
    let root = *blake3::hash(&leaves.concat()).as_bytes();
    let airdrop = world.deploy_with(0, "airdrop", 100, [&root[..], &2_u32.to_le_bytes()].concat());
    let mut claim =
        |share: &[u8], sibling: &[u8; 32]| world.call(2, airdrop, 0x01, &[share, &[1, 0, 0, 0], sibling]);
    assert_eq!(reverted_with(&claim(&share(1, 21), &leaves[0])), "BadProof");
    let paid = claim(&shares[1], &leaves[0]);
    assert_eq!(
        (paid.outcome, paid.logs[0].topics[0]),
        (Outcome::Success, topic("claimed"))
    );
    assert_eq!(reverted_with(&claim(&shares[1], &leaves[0])), "AlreadyClaimed");
    assert_eq!(world.balance(&Address([0xd1; 32])), 20);
    assert_eq!(world.output(0, airdrop, 0x10, &[&[1, 0, 0, 0]]), [1]);
}

#[test]
fn a_contract_in_c_keeps_deposits_until_their_time() {
    let mut world = World::new();
    let timelock = world.deploy(0, "timelock", vec![]);
    let lock = |until_ms: u64| [&[0x01][..], &until_ms.to_le_bytes()].concat();
    let locked = world.pay(1, timelock, 1 << 40, lock(500));
    let deposit = [&(1_u128 << 40).to_le_bytes()[..], &500_u64.to_le_bytes()].concat();
    assert_eq!(locked.logs[0].topics, [topic("locked"), Hash(address(1).0)]);
    assert_eq!(locked.logs[0].data, deposit);
    assert_eq!(
        reverted_with(&world.pay(1, timelock, 5, lock(499))),
        "ShorterLock"
    );
    assert_eq!(reverted_with(&world.pay(1, timelock, 0, lock(600))), "NoValue");
    assert_eq!(world.pay(1, timelock, 5, lock(600)).outcome, Outcome::Success);
    let path = storage_path(&timelock, &[b"deposit/".as_slice(), &address(1).0].concat());
    let deposit = [&((1_u128 << 40) + 5).to_le_bytes()[..], &600_u64.to_le_bytes()].concat();
    assert_eq!(*world.state[&path], deposit);
    assert_eq!(world.output(0, timelock, 0x10, &[&address(1).0]), deposit);
    assert_eq!(world.output(0, timelock, 0x10, &[&address(0).0]), [0; 24]);

    world.timestamp_ms = 599;
    assert_eq!(reverted_with(&world.call(1, timelock, 0x02, &[])), "StillLocked");
    world.timestamp_ms = 600;
    assert_eq!(
        world.output(1, timelock, 0x02, &[]),
        ((1_u128 << 40) + 5).to_le_bytes()
    );
    assert_eq!((world.balance(&timelock), world.state.get(&path)), (0, None));
    assert_eq!(
        reverted_with(&world.call(1, timelock, 0x02, &[])),
        "NothingLocked"
    );
    for (input, message) in [
        (&[][..], "the input ends inside an argument"),
        (&[0x01, 1], "the input ends inside an argument"),
        (&[0x02, 1], "the input has bytes after its last argument"),
        (&[0x03], "unknown selector"),
    ] {
        assert_eq!(reverted_with(&world.pay(0, timelock, 0, input.to_vec())), message);
    }
    assert_eq!(
        reverted_with(&world.pay(0, timelock, 1, vec![0x02])),
        "this function takes no value"
    );
}
