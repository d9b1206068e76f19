//! Gas of transactions and host calls: one table per gas version. `docs/spec/gas.md` publishes and argues the values.
//! What instructions, memory pages and text cost is the machine's table (`millrace_jit::machine`).
//!
//! A unit is priced at 1 ns of a host call at most. Two rules shape the table. A price never depends
//! on what another sender's transaction left in the state (whether a slot existed, how long its value was), so a
//! transaction's gas is the same wherever it lands. And every byte that execution writes to the state is paid with at
//! least [`GasSchedule::written_byte`], so that a block's gas bounds a block's writes.

use millrace_types::state::Account;
use millrace_types::{Gas, Payload, SignedTransaction};

/// The most gas that any limit may name; sums of limits and prices then cannot wrap.
pub const MAX_GAS: Gas = 1 << 62;

/// A price with a part that grows by the started 8-byte word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Price {
    /// Charged always, before anything is looked at.
    pub base: Gas,
    /// Charged per started word of 8 bytes, after ranges were checked and before anything is done.
    pub word: Gas,
}

impl Price {
    /// The whole price for `len` bytes, saturating.
    #[must_use]
    pub const fn of(&self, len: u64) -> Gas {
        self.base.saturating_add(per_word(self.word, len))
    }
}

/// `price` for each started word of 8 bytes among `len` bytes, saturating.
#[must_use]
pub const fn per_word(price: Gas, len: u64) -> Gas {
    price.saturating_mul(len.div_ceil(8))
}

/// Everything that a gas version fixes beside the weights of instructions.
#[derive(Debug)]
pub struct GasSchedule {
    /// The version's number, as in the chain spec.
    pub version: u16,
    /// Every transaction: records of sender and receiver, receipt; words are those of its canonical bytes.
    pub transaction: Price,
    /// Verifying the sender's signature.
    pub signature: Gas,
    /// Deploying or creating a contract; words are those of the ELF file (validation, hash, storing it).
    pub deploy: Price,
    /// When a program runs for the first time in a transaction: finding, reading and validating its ELF file, of which
    /// the words are. The machine's weights price the text on top.
    pub first_run: Price,
    /// Per 4 KiB page of text and constants, when a frame starts.
    pub entry_read_only_page: Gas,
    /// Host calls that answer from what is at hand; words are those copied.
    pub context: Price,
    /// First access of a transaction to an account or a storage slot.
    pub cold_access: Gas,
    /// Every further access.
    pub warm_access: Gas,
    /// Per word of a storage or transient key.
    pub key_word: Gas,
    /// Writing or removing a storage slot, beside the access; words are those of the value.
    pub storage_write: Price,
    /// Reading, writing or removing a transient slot; words are those of a written value.
    pub transient: Price,
    /// A log; words are those of topics and data.
    pub log: Price,
    /// Moving value between accounts, beside the access.
    pub transfer: Gas,
    /// Calling a contract, beside the access; words are those of the input.
    pub call: Price,
    /// `blake3`.
    pub blake3: Price,
    /// `sha256`.
    pub sha256: Price,
    /// `keccak256`.
    pub keccak256: Price,
    /// `ed25519_verify`.
    pub ed25519_verify: Price,
    /// A frame keeps 1 / this of the gas it has left when it calls.
    pub reserve_divisor: Gas,
    /// Every byte written to the state (path and value) is paid with at least this.
    pub written_byte: Gas,
    /// Longest key of a storage or transient slot, in bytes.
    pub key_bytes: u64,
    /// Longest value of a storage or transient slot, in bytes.
    pub value_bytes: u64,
    /// Most topics of a log.
    pub log_topics: u64,
    /// Whether contracts can add to counters (`counter_add`).
    pub has_counters: bool,
}

static V2: GasSchedule = GasSchedule {
    version: 2,
    has_counters: true,
    ..V1
};

const V1: GasSchedule = GasSchedule {
    version: 1,
    transaction: Price {
        base: 20_000,
        word: 128,
    },
    signature: 20_000,
    deploy: Price {
        base: 60_000,
        word: 192,
    },
    first_run: Price { base: 5_000, word: 4 },
    entry_read_only_page: 250,
    context: Price { base: 150, word: 1 },
    cold_access: 10_000,
    warm_access: 150,
    key_word: 4,
    storage_write: Price {
        base: 10_000,
        word: 128,
    },
    transient: Price { base: 300, word: 32 },
    log: Price {
        base: 1_000,
        word: 64,
    },
    transfer: 20_000,
    call: Price { base: 2_000, word: 1 },
    blake3: Price { base: 100, word: 9 },
    sha256: Price { base: 200, word: 32 },
    keccak256: Price { base: 400, word: 24 },
    ed25519_verify: Price {
        base: 40_000,
        word: 16,
    },
    reserve_divisor: 64,
    written_byte: 16,
    key_bytes: 256,
    value_bytes: 16_384,
    log_topics: 4,
    has_counters: false,
};

static V1_TABLE: GasSchedule = V1;

/// The schedule with that version number, if this build knows it.
#[must_use]
pub fn schedule(version: u16) -> Option<&'static GasSchedule> {
    match version {
        1 => Some(&V1_TABLE),
        2 => Some(&V2),
        _ => None,
    }
}

/// Bytes of a path in the state.
const PATH_BYTES: u64 = 32;

impl GasSchedule {
    /// Most state bytes (paths and values) that a block of `block_gas` can write: what its gas pays for, and the
    /// proposer's record, which the tips change.
    #[must_use]
    pub fn most_written_bytes(&self, block_gas: Gas) -> u64 {
        let proposer = PATH_BYTES + account_bytes();
        (block_gas / self.written_byte).saturating_add(proposer)
    }

    /// What a frame may pass on of `left`.
    #[must_use]
    pub const fn forwardable(&self, left: Gas) -> Gas {
        left - left / self.reserve_divisor
    }
}

/// Gas that a transaction uses before anything runs: its bytes, its signature, and what a deploy costs whatever comes
/// of it. A pure function of the transaction, which admission computes too.
#[must_use]
pub fn intrinsic_gas(transaction: &SignedTransaction, schedule: &GasSchedule) -> Gas {
    let bytes = borsh::object_length(transaction).expect("a transaction in memory has a length") as u64;
    let deploy = match &transaction.transaction.payload {
        Payload::Deploy { code, .. } => schedule.deploy.of(code.len() as u64),
        Payload::Transfer { .. } | Payload::Call { .. } => 0,
    };
    schedule
        .transaction
        .of(bytes)
        .saturating_add(schedule.signature)
        .saturating_add(deploy)
}

/// Gas paid for: at least half the limit, so that room in blocks is not reserved for nothing.
#[must_use]
pub const fn charged_gas(used: Gas, limit: Gas) -> Gas {
    let half = limit.div_ceil(2);
    if used > half { used } else { half }
}

fn account_bytes() -> u64 {
    let largest = Account {
        nonce: 0,
        balance: 0,
        code_hash: Some(millrace_types::Hash::ZERO),
    };
    borsh::object_length(&largest).expect("an account in memory has a length") as u64
}
