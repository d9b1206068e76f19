//! A chain in memory with contracts put into its state.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millrace_benches::host::cpu_time;
use millrace_executor::gas::MAX_GAS;
use millrace_executor::{BlockContext, Executor, ReadOnlyCall, Tier, genesis_changes};
use millrace_types::chain_spec::{ConsensusSpec, GenesisAccount};
use millrace_types::keys::SecretKey;
use millrace_types::state::{Account, Path, account_path, code_hash, code_path, storage_path};
use millrace_types::{Address, ChainSpec, Outcome, Payload, SignedTransaction, Transaction};

/// State, executor, block.
pub struct Chain {
    executor: Executor,
    spec: Arc<ChainSpec>,
    state: BTreeMap<Path, Arc<[u8]>>,
    block: BlockContext,
}

/// Who sends transactions.
pub fn sender() -> SecretKey {
    SecretKey::from_seed([7; 32])
}

impl Chain {
    /// One rich sender; limits that nothing here meets.
    pub fn new(tier: Tier) -> Self {
        let account = GenesisAccount {
            address: sender().address(),
            balance: 1 << 120,
        };
        let consensus = ConsensusSpec {
            id: "bench/1".into(),
            parameters: Vec::new(),
        };
        let mut spec = ChainSpec::development(7, 1_000, vec![account], consensus);
        spec.limits.block_gas = 1 << 50;
        spec.limits.transaction_gas = 1 << 50;
        spec.limits.transaction_bytes = u32::MAX;
        spec.limits.block_write_bytes = u64::MAX;
        spec.limits.log_bytes = u32::MAX;
        spec.limits.journal_entries = u32::MAX;
        let state = genesis_changes(&spec)
            .into_iter()
            .map(|(path, value)| (path, value.expect("genesis removes nothing")))
            .collect();
        let block = BlockContext {
            height: 3,
            timestamp_ms: 123_456,
            proposer: Address([0xee; 32]),
            gas_limit: spec.limits.block_gas,
        };
        let spec = Arc::new(spec);
        Self {
            executor: Self::executor(&spec, tier),
            spec,
            state,
            block,
        }
    }

    fn executor(spec: &Arc<ChainSpec>, tier: Tier) -> Executor {
        Executor::new(Arc::clone(spec))
            .expect("the spec is one that this build executes")
            .with_tier(tier)
    }

    /// Forgets every program that was run.
    pub fn forget_programs(&mut self, tier: Tier) {
        self.executor = Self::executor(&self.spec, tier);
    }

    /// Puts a contract into the state.
    pub fn install(&mut self, address: Address, code: &[u8]) {
        let hash = code_hash(code);
        let account = Account {
            nonce: 0,
            balance: 1 << 60,
            code_hash: Some(hash),
        };
        self.state.insert(code_path(&hash), code.into());
        let record = borsh::to_vec(&account).expect("an account has an encoding");
        self.state.insert(account_path(&address), record.into());
    }

    /// Puts a slot of a contract into the state.
    pub fn store(&mut self, contract: &Address, key: &[u8], value: Vec<u8>) {
        self.state.insert(storage_path(contract, key), value.into());
    }

    /// CPU time and gas of a call.
    ///
    /// # Panics
    /// Unless it succeeds.
    pub fn call(&self, to: Address, input: Vec<u8>) -> (Duration, u64) {
        let call = ReadOnlyCall {
            from: sender().address(),
            to,
            value: 0,
            input,
            gas_limit: MAX_GAS,
        };
        let start = cpu_time();
        let outcome = self.executor.call_read_only(&self.block, &call, &self.state);
        let time = cpu_time().saturating_sub(start);
        let outcome = outcome.expect("the state is all there");
        assert_eq!(outcome.outcome, Outcome::Success, "{:?}", outcome.traps);
        (time, outcome.gas_used)
    }

    /// The sender's transaction with its next nonce.
    pub fn sign(&self, payload: Payload) -> SignedTransaction {
        let key = sender();
        Transaction {
            chain_id: self.spec.chain_id,
            public_key: key.public_key().0,
            nonce: 0,
            gas_limit: self.spec.limits.transaction_gas,
            gas_price: 1,
            payload,
        }
        .sign(&key)
    }

    /// CPU time and gas of a transaction, with the check of its signature. What it does is not kept.
    ///
    /// # Panics
    /// Unless it succeeds.
    pub fn transact(&self, transaction: &SignedTransaction) -> (Duration, u64) {
        let start = cpu_time();
        transaction.verify().expect("the sender signed it");
        let output = self
            .executor
            .execute_transaction(&self.block, 0, transaction, &self.state);
        let time = cpu_time().saturating_sub(start);
        let receipt = output.expect("it is admissible").receipt;
        assert_eq!(receipt.outcome, Outcome::Success);
        (time, receipt.gas_used)
    }
}
