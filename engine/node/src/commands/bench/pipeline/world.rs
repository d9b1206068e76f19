//! A chain in memory with accounts and contracts, and blocks of one kind of load each.

use std::sync::Arc;

use millrace_executor::{BlockContext, Executor, ReadError, StateReader, genesis_changes};
use millrace_state::{Config, Genesis, Store, VersionId, View};
use millrace_types::chain_spec::{ConsensusSpec, GenesisAccount};
use millrace_types::keys::SecretKey;
use millrace_types::state::{Account, Path, account_path, code_hash, code_path, storage_path};
use millrace_types::{Address, ChainSpec, Payload, SignedTransaction, Transaction};

use crate::load::kind::{
    COUNTER, COUNTER_INCREMENT, COUNTER_TALLY, EXCHANGE, HASH, TOKEN, hash_rounds, swap, token_transfer,
};

/// Accounts that send, and as many that only receive.
pub const ACCOUNTS: usize = 10_000;
const GAS: u64 = 4_000_000;
const GAS_PRICE: u64 = 2;
const BALANCE: u128 = 1 << 80;
/// Pools of the exchange, and what each holds of both tokens.
const POOLS: u32 = 100;
const RESERVE: u128 = 1 << 50;

/// What all transactions of a block do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Load {
    /// Each from another sender to another receiver.
    Transfers,
    /// From any account to any other, so that who receives also sends.
    RandomTransfers,
    /// Calls of the example token, whose receivers are so many accounts.
    Token(usize),
    /// Increments of the example counter by reading and writing it.
    Counter,
    /// Additions to the tallies of so many of the example's counters, which read nothing.
    Tally(usize),
    /// Swaps of the example exchange, in so many pools.
    Swaps(u32),
    /// All transfers from one sender.
    OneSender,
    /// So many rounds of hashing in guest code.
    Compute(u32),
}

impl Load {
    /// In the table.
    pub fn name(self) -> String {
        match self {
            Self::Transfers => "transfers, conflict-free".into(),
            Self::RandomTransfers => "transfers, random".into(),
            Self::Token(accounts) => format!("token, {accounts} accounts"),
            Self::Counter => "hot counter, read and write".into(),
            Self::Tally(1) => "hot counter, added to".into(),
            Self::Tally(counters) => format!("{counters} counters, added to"),
            Self::Swaps(pools) => format!("swaps, {pools} pools"),
            Self::OneSender => "one sender's chain".into(),
            Self::Compute(rounds) => format!("compute, {rounds} rounds"),
        }
    }
}

/// See the module's documentation.
pub struct World {
    pub executor: Arc<Executor>,
    pub block: BlockContext,
    pub state: State,
    keys: Vec<SecretKey>,
}

/// A state in the store, as the pipeline reads it.
pub struct State(View);

impl StateReader for State {
    fn get(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError> {
        self.0
            .get(path)
            .map_err(|error| ReadError::Failed(error.to_string()))
    }
}

fn contract(name: u8) -> Address {
    Address([name; 32])
}

/// Counters of their own, with the program of the one that is hot.
fn counter(index: usize) -> Address {
    let mut bytes = [0x77; 32];
    bytes[..8].copy_from_slice(&(index as u64).to_le_bytes());
    Address(bytes)
}

fn receiver(index: usize) -> Address {
    let mut bytes = [0x99; 32];
    bytes[..8].copy_from_slice(&(index as u64).to_le_bytes());
    Address(bytes)
}

impl World {
    /// Makes it; takes a second or two.
    ///
    /// # Errors
    /// The store's.
    pub fn new() -> Result<Self, String> {
        let key = |index: usize| {
            let mut seed = [0x5a; 32];
            seed[..8].copy_from_slice(&(index as u64).to_le_bytes());
            SecretKey::from_seed(seed)
        };
        let keys: Vec<SecretKey> = (0..ACCOUNTS).map(key).collect();
        let accounts = keys.iter().map(|key| GenesisAccount {
            address: key.address(),
            balance: BALANCE,
        });
        let consensus = ConsensusSpec {
            id: "bench/1".into(),
            parameters: Vec::new(),
        };
        let mut spec = ChainSpec::development(7, 1_000, accounts.collect(), consensus);
        spec.limits.block_gas = 1 << 50;
        spec.limits.block_write_bytes = u64::MAX;
        let block = BlockContext {
            height: 3,
            timestamp_ms: 123_456,
            proposer: Address([0xee; 32]),
            gas_limit: spec.limits.block_gas,
        };
        let mut changes = genesis_changes(&spec);
        let mut put = |path: Path, value: Vec<u8>| drop(changes.insert(path, Some(value.into())));
        let contracts = [(1, TOKEN), (2, COUNTER), (3, HASH), (4, EXCHANGE)];
        let contracts = contracts.map(|(name, code)| (contract(name), code));
        let counters = (0..ACCOUNTS).map(|index| (counter(index), COUNTER));
        for (address, code) in contracts.into_iter().chain(counters) {
            let hash = code_hash(code);
            let account = Account {
                nonce: 0,
                balance: 0,
                code_hash: Some(hash),
            };
            put(code_path(&hash), code.to_vec());
            put(
                account_path(&address),
                borsh::to_vec(&account).map_err(|error| error.to_string())?,
            );
        }
        put(storage_path(&contract(2), b"count"), vec![0; 8]);
        for counter in (0..ACCOUNTS).map(counter) {
            put(storage_path(&counter, b"tally"), vec![0; 16]);
        }
        for pool in 0..POOLS {
            for side in 0..2u8 {
                let reserve = [b"reserve/".as_slice(), &pool.to_le_bytes(), &[side]].concat();
                put(
                    storage_path(&contract(4), &reserve),
                    RESERVE.to_le_bytes().to_vec(),
                );
            }
        }
        for (index, key) in keys.iter().enumerate() {
            for pool in [0, index as u32 % POOLS] {
                let slot = [
                    b"balance/".as_slice(),
                    &key.address().0,
                    &pool.to_le_bytes(),
                    &[1],
                ]
                .concat();
                put(storage_path(&contract(4), &slot), RESERVE.to_le_bytes().to_vec());
            }
        }
        for address in keys
            .iter()
            .map(SecretKey::address)
            .chain((0..ACCOUNTS).map(receiver))
        {
            let slot = [b"balance/".as_slice(), &address.0].concat();
            put(storage_path(&contract(1), &slot), BALANCE.to_le_bytes().to_vec());
        }
        let version = VersionId([1; 32]);
        let genesis = Genesis {
            id: version,
            height: 2,
            changes: changes.into(),
        };
        let store = Store::open(Config::default(), genesis).map_err(|error| error.to_string())?;
        let executor = Executor::new(Arc::new(spec)).map_err(|error| error.to_string())?;
        Ok(Self {
            executor: Arc::new(executor),
            block,
            state: State(store.view(version).ok_or("the state is gone")?),
            keys,
        })
    }

    /// A block of so many transactions.
    pub fn block(&self, load: Load, len: usize) -> Vec<SignedTransaction> {
        let mut nonces = vec![0; ACCOUNTS];
        // A full cycle of the accounts in a scattered order: 7,919 is prime and does not divide their number.
        let scattered = |index: usize, salt: usize| (index * 7_919 + salt * 104_729) % ACCOUNTS;
        (0..len)
            .map(|index| {
                let from = match load {
                    Load::OneSender => 0,
                    _ => scattered(index, 0),
                };
                let call_at = |to, input| Payload::Call { to, value: 0, input };
                let call = |to: u8, input| call_at(contract(to), input);
                let payload = match load {
                    Load::Transfers | Load::OneSender => Payload::Transfer {
                        to: receiver(scattered(index, 1)),
                        value: 1,
                    },
                    Load::RandomTransfers => Payload::Transfer {
                        to: self.keys[scattered(index, 3)].address(),
                        value: 1,
                    },
                    Load::Token(accounts) => {
                        call(1, token_transfer(&receiver(scattered(index, 2) % accounts), 1))
                    }
                    Load::Counter => call(2, vec![COUNTER_INCREMENT]),
                    Load::Tally(counters) => call_at(
                        counter(scattered(index, 4) % counters),
                        [&[COUNTER_TALLY][..], &1_u64.to_le_bytes()].concat(),
                    ),
                    Load::Swaps(pools) => call(4, swap(from as u32 % pools, 1_000)),
                    Load::Compute(rounds) => call(3, hash_rounds(rounds, &[7; 32])),
                };
                nonces[from] += 1;
                let key = &self.keys[from];
                Transaction {
                    chain_id: self.executor.spec().chain_id,
                    public_key: key.public_key().0,
                    nonce: nonces[from] - 1,
                    gas_limit: GAS,
                    gas_price: GAS_PRICE,
                    payload,
                }
                .sign(key)
            })
            .collect()
    }
}
