//! A chain of one account book: a state in memory, an executor, senders with keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_executor::{BlockContext, BlockOutput, ExecutionError, Executor, genesis_changes};
use millrace_types::chain_spec::{ConsensusSpec, GenesisAccount};
use millrace_types::keys::SecretKey;
use millrace_types::state::{Account, Path, account_path, code_hash, code_path, storage_path};
use millrace_types::{
    Address, Amount, ChainSpec, Gas, GasPrice, Payload, SignedTransaction, Transaction, TransactionReceipt,
};

use super::guest::elf;
use super::script::Answers;

pub const SENDERS: u8 = 4;
pub const BALANCE: Amount = 1 << 80;
pub const GAS: Gas = 10_000_000;

/// The `index`-th sender's key.
pub fn key(index: u8) -> SecretKey {
    SecretKey::from_seed([index + 1; 32])
}

/// The account that a script of a test runs as, in the `index`-th place.
pub fn contract(index: u8) -> Address {
    Address([0xc0 + index; 32])
}

pub fn spec() -> ChainSpec {
    let accounts = (0..SENDERS).map(|index| GenesisAccount {
        address: key(index).address(),
        balance: BALANCE,
    });
    let consensus = ConsensusSpec {
        id: "test/1".into(),
        parameters: Vec::new(),
    };
    ChainSpec::development(7, 1_000, accounts.collect(), consensus)
}

pub struct World {
    pub executor: Executor,
    pub state: BTreeMap<Path, Arc<[u8]>>,
    pub block: BlockContext,
    pub gas_price: GasPrice,
    pub gas_limit: Gas,
}

impl World {
    pub fn new() -> Self {
        Self::with_spec(spec())
    }

    /// Scripted contracts are at `contract(0)` to `contract(3)`, with 1,000 units each.
    pub fn with_spec(spec: ChainSpec) -> Self {
        let mut state = BTreeMap::new();
        for (path, value) in genesis_changes(&spec) {
            state.insert(path, value.unwrap());
        }
        let code = elf();
        let hash = code_hash(&code);
        state.insert(code_path(&hash), code.into());
        for index in 0..4 {
            let account = Account {
                nonce: 0,
                balance: 1_000,
                code_hash: Some(hash),
            };
            state.insert(
                account_path(&contract(index)),
                borsh::to_vec(&account).unwrap().into(),
            );
        }
        let block = BlockContext {
            height: 3,
            timestamp_ms: 123_456,
            proposer: Address([0xee; 32]),
            gas_limit: spec.limits.block_gas,
        };
        let executor = Executor::new(Arc::new(spec)).unwrap();
        Self {
            executor,
            state,
            block,
            gas_price: 1,
            gas_limit: GAS,
        }
    }

    /// Puts a contract with that code into the state.
    pub fn install(&mut self, code: &[u8]) -> Address {
        let hash = code_hash(code);
        let account = Account {
            nonce: 0,
            balance: 0,
            code_hash: Some(hash),
        };
        self.state.insert(code_path(&hash), code.into());
        self.state.insert(
            account_path(&Address(hash.0)),
            borsh::to_vec(&account).unwrap().into(),
        );
        Address(hash.0)
    }

    pub fn account(&self, address: &Address) -> Account {
        let record = self.state.get(&account_path(address));
        record.map_or_else(Account::default, |bytes| borsh::from_slice(bytes).unwrap())
    }

    pub fn balance(&self, address: &Address) -> Amount {
        self.account(address).balance
    }

    pub fn stored(&self, contract: &Address, key: &[u8]) -> Option<Vec<u8>> {
        self.state
            .get(&storage_path(contract, key))
            .map(|value| value.to_vec())
    }

    /// A transaction of the `sender`-th sender with its next nonce.
    pub fn sign(&self, sender: u8, payload: Payload) -> SignedTransaction {
        let nonce = self.account(&key(sender).address()).nonce;
        self.sign_at(sender, nonce, payload)
    }

    pub fn sign_at(&self, sender: u8, nonce: u64, payload: Payload) -> SignedTransaction {
        let key = key(sender);
        Transaction {
            chain_id: self.executor.spec().chain_id,
            public_key: key.public_key().0,
            nonce,
            gas_limit: self.gas_limit,
            gas_price: self.gas_price,
            payload,
        }
        .sign(&key)
    }

    /// Executes a block and keeps what it changed.
    pub fn try_execute(&mut self, transactions: &[SignedTransaction]) -> Result<BlockOutput, ExecutionError> {
        let output = self
            .executor
            .execute_block(&self.block, transactions, &self.state)?;
        super::traced::check(&self.executor, &self.block, transactions, &self.state, &output);
        for (path, value) in &output.changes {
            match value {
                Some(value) => drop(self.state.insert(*path, Arc::clone(value))),
                None => drop(self.state.remove(path)),
            }
        }
        Ok(output)
    }

    pub fn execute(&mut self, transactions: &[SignedTransaction]) -> BlockOutput {
        self.try_execute(transactions).unwrap()
    }

    /// A block of one transaction of sender 0.
    pub fn run(&mut self, payload: Payload) -> TransactionReceipt {
        let transaction = self.sign(0, payload);
        self.execute(&[transaction]).receipts.remove(0)
    }

    /// Sender 0 calls the scripted contract 0.
    pub fn script(&mut self, input: Vec<u8>) -> TransactionReceipt {
        self.run(Payload::Call {
            to: contract(0),
            value: 0,
            input,
        })
    }

    /// Sender 0 calls the scripted contract 0, which succeeds.
    pub fn answers(&mut self, input: Vec<u8>) -> Answers {
        let receipt = self.script(input);
        assert_eq!(receipt.outcome, millrace_types::Outcome::Success);
        Answers(receipt.output)
    }

    /// Sender 0 calls the scripted contract 0, whose frame traps; the message of the trap.
    pub fn trap(&mut self, input: Vec<u8>) -> String {
        let transaction = self.sign(
            0,
            Payload::Call {
                to: contract(0),
                value: 0,
                input,
            },
        );
        let limit = transaction.transaction.gas_limit;
        let mut output = self.execute(&[transaction]);
        let receipt = output.receipts.remove(0);
        assert_eq!(receipt.outcome, millrace_types::Outcome::Trapped);
        assert_eq!(receipt.gas_used, limit, "a trap uses all gas");
        assert!(receipt.output.is_empty() && receipt.logs.is_empty());
        output.diagnostics[0].traps.last().unwrap().trap.kind.to_string()
    }
}

/// The message of the trap that the host call `number` with `arguments` ends in.
pub fn result_of(number: u64, arguments: &[u64]) -> String {
    World::new().trap(super::Script::new().host(number, arguments).finish())
}
