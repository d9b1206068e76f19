//! Kinds of load: which contract, which calls. Inputs are those of `contracts/README.md`.

use millrace_types::hash::Domain;
use millrace_types::keys::SecretKey;
use millrace_types::{Address, Gas, GasPrice, Payload};

/// Units per gas of every load transaction: above the burned minimum, so that the proposer earns tips.
pub const GAS_PRICE: GasPrice = 2;
/// More than twice what the dearest call of a load uses.
pub const CALL_GAS: Gas = 4_000_000;
/// Enough for the largest example many times over.
pub const DEPLOY_GAS: Gas = 150_000_000;

/// What the transactions of a load do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LoadKind {
    /// Native transfers between the development accounts.
    Transfer,
    /// Transfers of the example token between them.
    Token,
    /// Increments of the example counter: every transaction writes one slot.
    Counter,
    /// Hashing in guest code: little state, much execution.
    Hash,
}

pub static TOKEN: &[u8] = include_bytes!("../../../../contracts/artifacts/token.elf");
pub static COUNTER: &[u8] = include_bytes!("../../../../contracts/artifacts/counter.elf");
pub static EXCHANGE: &[u8] = include_bytes!("../../../../contracts/artifacts/exchange.elf");
pub static HASH: &[u8] = include_bytes!("../../../../contracts/artifacts/hash.elf");

const TOKEN_SUPPLY: u128 = 1 << 100;
const TOKENS_EACH: u128 = 1 << 80;
/// Selectors of the examples.
const TOKEN_TRANSFER: u8 = 0x01;
pub const COUNTER_INCREMENT: u8 = 0x01;
pub const COUNTER_TALLY: u8 = 0x03;
const EXCHANGE_SWAP: u8 = 0x02;
const HASH_GUEST_ROUNDS: u8 = 0x01;

const DRAW: Domain = Domain::new("millrace/dev-load/1");

impl LoadKind {
    /// The transaction that deploys the load's contract.
    pub fn deploy(self) -> Option<Payload> {
        let (code, input) = match self {
            Self::Transfer => return None,
            Self::Token => (TOKEN, token_init()),
            Self::Counter => (COUNTER, Vec::new()),
            Self::Hash => (HASH, Vec::new()),
        };
        Some(Payload::Deploy {
            code: code.to_vec(),
            value: 0,
            input,
        })
    }

    /// Calls that create every slot which the load will write.
    pub fn first_calls(self, contract: Address, accounts: &[Address]) -> Vec<Payload> {
        let call = |input| Payload::Call {
            to: contract,
            value: 0,
            input,
        };
        match self {
            Self::Token => accounts
                .iter()
                .skip(1)
                .map(|to| call(token_transfer(to, TOKENS_EACH)))
                .collect(),
            Self::Counter => vec![call(vec![COUNTER_INCREMENT])],
            Self::Transfer | Self::Hash => Vec::new(),
        }
    }

    /// Transaction `index`: a function of kind, seed and index alone.
    pub fn payload(
        self,
        seed: u64,
        index: u64,
        contract: Option<Address>,
        accounts: &[SecretKey],
    ) -> Payload {
        let draw = DRAW.hash(&[&seed.to_le_bytes(), &index.to_le_bytes()]).0;
        let number =
            |at: usize| u64::from_le_bytes(draw[at..at + 8].try_into().expect("eight bytes of a hash"));
        let to =
            accounts[usize::try_from(number(0) % accounts.len() as u64).expect("below a length")].address();
        let amount = u128::from(number(8) % 1_000 + 1);
        let call = |input| Payload::Call {
            to: contract.unwrap_or_default(),
            value: 0,
            input,
        };
        match self {
            Self::Transfer => Payload::Transfer { to, value: amount },
            Self::Token => call(token_transfer(&to, amount)),
            Self::Counter => call(vec![COUNTER_INCREMENT]),
            Self::Hash => call(hash_rounds(100, &draw)),
        }
    }
}

fn token_init() -> Vec<u8> {
    let name = b"Millrace Development Token";
    let mut input = TOKEN_SUPPLY.to_le_bytes().to_vec();
    input.extend_from_slice(&u32::try_from(name.len()).expect("short").to_le_bytes());
    input.extend_from_slice(name);
    input
}

pub fn token_transfer(to: &Address, amount: u128) -> Vec<u8> {
    let mut input = vec![TOKEN_TRANSFER];
    input.extend_from_slice(&to.0);
    input.extend_from_slice(&amount.to_le_bytes());
    input
}

/// Sells token a of a pool.
pub fn swap(pool: u32, amount: u128) -> Vec<u8> {
    let mut input = vec![EXCHANGE_SWAP];
    input.extend_from_slice(&pool.to_le_bytes());
    input.push(1);
    input.extend_from_slice(&amount.to_le_bytes());
    input.extend_from_slice(&0_u128.to_le_bytes());
    input
}

pub fn hash_rounds(rounds: u32, seed: &[u8; 32]) -> Vec<u8> {
    let mut input = vec![HASH_GUEST_ROUNDS];
    input.extend_from_slice(&rounds.to_le_bytes());
    input.extend_from_slice(seed);
    input
}
