//! A chain in this process, with a consensus of one: what blocks and transactions are checked against.

use std::time::Duration;

use millrace_ledger::Ledger;
use millrace_pipeline::{
    BuildAnswer, BuildRequest, Engine, EngineConfig, EngineStatus, Event, Reply, StopReason, Submission,
    Subscription, ValidateAnswer,
};
use millrace_types::chain_spec::{ConsensusSpec, GenesisAccount, Limits};
use millrace_types::{
    Address, Amount, Block, ChainSpec, Commitment, Gas, GasPrice, Hash, Payload, SecretKey,
    SignedTransaction, Transaction, merkle,
};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// What each account has at genesis.
pub const BALANCE: Amount = 1_000_000_000;
/// Accounts at genesis.
const ACCOUNTS: u8 = 4;
/// The chain.
pub const CHAIN_ID: u64 = 7;
/// Enough for a transfer.
pub const TRANSFER_GAS: Gas = 60_000;

/// The key of account `n`.
pub fn key(n: u8) -> SecretKey {
    SecretKey::from_seed([n + 1; 32])
}

/// Option B, K = 4, small limits.
pub fn spec() -> ChainSpec {
    let accounts = (0..ACCOUNTS).map(|n| GenesisAccount {
        address: key(n).address(),
        balance: BALANCE,
    });
    let consensus = ConsensusSpec {
        id: "test/1".to_owned(),
        parameters: Vec::new(),
    };
    let mut spec = ChainSpec::development(CHAIN_ID, 1_000, accounts.collect(), consensus);
    spec.limits = Limits {
        block_gas: 30_000_000,
        block_bytes: 1 << 16,
        block_transactions: 8,
        transaction_gas: 10_000_000,
        transaction_bytes: 1 << 14,
        min_gas_price: 2,
        consensus_data_bytes: 64,
        seal_bytes: 128,
        ..spec.limits
    };
    spec
}

/// The same under option A.
pub fn spec_a() -> ChainSpec {
    ChainSpec {
        commitment: Commitment::DelayedRoot,
        ..spec()
    }
}

/// A transfer to be signed; edit it before.
pub fn unsigned(nonce: u64) -> Transaction {
    Transaction {
        chain_id: CHAIN_ID,
        public_key: [0; 32],
        nonce,
        gas_limit: TRANSFER_GAS,
        gas_price: price(),
        payload: Payload::Transfer {
            to: Address([9; 32]),
            value: 5,
        },
    }
}

fn price() -> GasPrice {
    spec().limits.min_gas_price
}

/// A signed transfer of account `from`.
pub fn transfer(from: u8, nonce: u64) -> SignedTransaction {
    unsigned(nonce).sign(&key(from))
}

/// A running engine.
pub struct Chain {
    pub engine: Engine,
    events: Subscription,
}

impl Chain {
    /// At genesis.
    pub fn new(spec: ChainSpec, config: EngineConfig) -> Self {
        let ledger = Ledger::in_memory(&spec).unwrap();
        let engine = Engine::open(spec, ledger, config).unwrap();
        let events = engine.subscribe();
        Self { engine, events }
    }

    /// With so many blocks finalized and executed, each of one transfer by account 0.
    pub fn of(spec: ChainSpec, blocks: u64) -> Self {
        let chain = Self::new(spec, EngineConfig::default());
        for nonce in 0..blocks {
            let block = chain.next(vec![transfer(0, nonce)]);
            assert_eq!(chain.submit(&block, vec![1]), Submission::Accepted);
            chain.wait(|event| matches!(event, Event::Executed { receipt, .. } if receipt.height > nonce));
        }
        chain
    }

    /// A valid child of the newest finalized block, with these transactions.
    pub fn next(&self, transactions: Vec<SignedTransaction>) -> Block {
        let request = BuildRequest {
            parent: self.engine.last_finalized().hash,
            proposer: Address([0xaa; 32]),
            consensus_data: Vec::new(),
            max_gas: None,
            max_bytes: None,
            timestamp_ms: Some(5_000),
            allow_empty: true,
        };
        let (reply, answer) = Reply::channel();
        self.engine.build(request, reply);
        let BuildAnswer::Built(mut block) = answer.recv_timeout(PATIENCE).unwrap() else {
            panic!("no block: {:?}", self.engine)
        };
        block.body.transactions = transactions;
        sealed(*block)
    }

    /// What the engine says to a proposal.
    pub fn validate(&self, block: &Block) -> ValidateAnswer {
        let (reply, answer) = Reply::channel();
        self.engine.validate(block.clone(), reply);
        answer.recv_timeout(PATIENCE).unwrap()
    }

    /// Finalizes.
    pub fn submit(&self, block: &Block, certificate: Vec<u8>) -> Submission {
        self.engine.submit_finalized(block.clone(), certificate)
    }

    /// Why the engine stopped, once it has.
    pub fn stopped(&self) -> StopReason {
        if let EngineStatus::Running = self.engine.status() {
            self.wait(|event| matches!(event, Event::Stopped { .. }));
        }
        match self.engine.status() {
            EngineStatus::Stopped { reason } => reason,
            EngineStatus::Running => panic!("it said that it stopped"),
        }
    }

    fn wait(&self, wanted: impl Fn(&Event) -> bool) {
        while !wanted(&self.events.recv_timeout(PATIENCE).unwrap()) {}
    }
}

/// The block with a header that commits to its transactions.
pub fn sealed(mut block: Block) -> Block {
    block.header.transactions_root = merkle::transactions_root(&block.body.transactions);
    block
}

/// The text with hashes replaced by what they are.
pub fn named(text: String, names: &[(Hash, &str)]) -> String {
    names
        .iter()
        .fold(text, |text, (hash, name)| text.replace(&hash.to_string(), name))
}
