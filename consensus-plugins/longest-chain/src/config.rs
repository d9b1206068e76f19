//! What the operator configures, as JSON. Every key but `secret_key` has a default:
//!
//! ```json
//! {"secret_key": "0x…", "seed": 0, "slot_ms": 500, "won_slots_percent": 50, "miners": 4, "propagation_slots": 1,
//!  "finality_depth": 6, "fork_every_slots": 0, "fork_depth": [1, 3], "empty_blocks": "when_needed"}
//! ```

use millrace_plugin_sdk::ChainState;
use millrace_plugin_sdk::types::certificate::LONGEST_CHAIN_CONSENSUS_ID;
use millrace_plugin_sdk::types::{PublicKey, SecretKey};
use serde::Deserialize;

use crate::lottery::Lottery;

/// Slots longer than this are taken for a mistake of units.
pub const MAX_SLOT_MS: u64 = 3_600_000;
/// Virtual miners at most.
pub const MAX_MINERS: u32 = 1_000;
/// Slots that a block may need to reach all miners. Beyond it miners hardly ever hear of each other in time.
pub const MAX_PROPAGATION_SLOTS: u64 = 100;
/// Blocks above a final one at most: the plugin keeps them in memory, and so does the engine.
pub const MAX_FINALITY_DEPTH: u64 = 512;
/// Slots from one fork to the next at most.
pub const MAX_FORK_EVERY_SLOTS: u64 = 1_000_000;

/// How deep forks go where the operator does not say.
const DEFAULT_MAX_FORK_DEPTH: u64 = 3;

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The finalizer's key; its public key is the chain spec's.
    pub key: SecretKey,
    /// Who wins which slot.
    pub lottery: Lottery,
    /// Length of a slot, in milliseconds.
    pub slot_ms: u64,
    /// A block reaches the other miners this many slots after the one it was made in; 0: before the next slot.
    pub propagation_slots: u64,
    /// A block is final once so many blocks lie above it on the head chain.
    pub finality_depth: u64,
    /// Forks on demand, or none.
    pub forks: Option<Forks>,
    /// Whether an idle chain goes on.
    pub empty_blocks: EmptyBlocks,
}

/// Forks on demand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forks {
    /// Slots from the end of one to the beginning of the next, at least.
    pub every_slots: u64,
    /// Blocks that the head loses.
    pub depth: ForkDepth,
}

/// From `min` to `max` blocks, both at least 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ForkDepth {
    /// At least.
    pub min: u64,
    /// At most.
    pub max: u64,
}

/// Whether an idle chain goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmptyBlocks {
    /// Empty blocks only until the last block that somebody waits for is final and settled; then the chain pauses until
    /// there is work.
    #[default]
    WhenNeeded,
    /// A block in every slot that is won.
    Always,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with a secret_key")]
struct Raw {
    secret_key: String,
    #[serde(default)]
    seed: u64,
    #[serde(default = "default_slot_ms")]
    slot_ms: u64,
    #[serde(default = "default_won_slots_percent")]
    won_slots_percent: u64,
    #[serde(default = "default_miners")]
    miners: u32,
    #[serde(default = "default_propagation_slots")]
    propagation_slots: u64,
    #[serde(default = "default_finality_depth")]
    finality_depth: u64,
    #[serde(default)]
    fork_every_slots: u64,
    fork_depth: Option<RawDepth>,
    #[serde(default)]
    empty_blocks: EmptyBlocks,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(untagged, expecting = "fork_depth is a number, or a range as [1, 3]")]
enum RawDepth {
    Exactly(u64),
    Range([u64; 2]),
}

fn default_slot_ms() -> u64 {
    500
}
fn default_won_slots_percent() -> u64 {
    50
}
fn default_miners() -> u32 {
    4
}
fn default_propagation_slots() -> u64 {
    1
}
fn default_finality_depth() -> u64 {
    6
}

impl Config {
    /// Reads the configuration and checks it against the chain spec's consensus.
    ///
    /// # Errors
    /// Which key has which value, what it may be, and what to do. Never shows the secret key.
    pub fn read(chain: &ChainState) -> Result<Self, String> {
        let finalizer = finalizer(chain)?;
        let raw: Raw = serde_json::from_slice(&chain.config).map_err(|error| {
            format!(
                "{error}; the configuration is JSON: {{\"secret_key\": \"0x…\", \"seed\": 0, \"slot_ms\": 500, …}}; docs/spec/plugin-abi.md, longest-chain/1, lists the keys"
            )
        })?;
        raw.check_ranges()?;
        raw.check_room(chain)?;
        let key: SecretKey = raw
            .secret_key
            .parse()
            .map_err(|_| "secret_key is not 32 bytes of hexadecimal with 0x in front".to_owned())?;
        if key.public_key() != finalizer {
            return Err(format!(
                "secret_key belongs to {}, but the chain spec's finalizer is {finalizer}; configure the finalizer's key",
                key.public_key()
            ));
        }
        Ok(Self {
            key,
            lottery: Lottery {
                seed: raw.seed,
                miners: raw.miners,
                won_percent: raw.won_slots_percent,
            },
            slot_ms: raw.slot_ms,
            propagation_slots: raw.propagation_slots,
            finality_depth: raw.finality_depth,
            forks: raw.forks()?,
            empty_blocks: raw.empty_blocks,
        })
    }
}

fn finalizer(chain: &ChainState) -> Result<PublicKey, String> {
    if chain.consensus_id != LONGEST_CHAIN_CONSENSUS_ID {
        return Err(format!(
            "the chain spec names {}, this plugin is {LONGEST_CHAIN_CONSENSUS_ID}",
            chain.consensus_id
        ));
    }
    <[u8; 32]>::try_from(chain.parameters.as_slice()).map(PublicKey).map_err(|_| {
        format!(
            "the chain spec's consensus parameters are {} bytes; {LONGEST_CHAIN_CONSENSUS_ID} has the finalizer's public key there, 32 bytes",
            chain.parameters.len()
        )
    })
}

impl Raw {
    fn check_ranges(&self) -> Result<(), String> {
        range(
            "slot_ms",
            self.slot_ms,
            1,
            MAX_SLOT_MS,
            "it is a slot's length in milliseconds",
        )?;
        range(
            "won_slots_percent",
            self.won_slots_percent,
            1,
            100,
            "it says how many of a hundred slots bring a block",
        )?;
        range(
            "miners",
            self.miners.into(),
            1,
            MAX_MINERS.into(),
            "natural forks need 2 or more",
        )?;
        range(
            "propagation_slots",
            self.propagation_slots,
            0,
            MAX_PROPAGATION_SLOTS,
            "0 is a network without delay",
        )?;
        range(
            "finality_depth",
            self.finality_depth,
            1,
            MAX_FINALITY_DEPTH,
            "the node keeps so many blocks above finality, and K more: max_unfinalized_blocks",
        )?;
        range(
            "fork_every_slots",
            self.fork_every_slots,
            0,
            MAX_FORK_EVERY_SLOTS,
            "0 makes no fork on demand",
        )
    }

    /// The head's chain grows to so many blocks above finality before slots are held back.
    fn check_room(&self, chain: &ChainState) -> Result<(), String> {
        let (depth, lag) = (self.finality_depth, chain.max_receipt_lag);
        let needed = depth.saturating_add(lag);
        match chain.max_unfinalized_blocks {
            Some(kept) if kept < needed => Err(format!(
                "finality_depth = {depth} and max_receipt_lag = {lag} keep up to {needed} blocks above finality; this node keeps \
                 {kept} (engine.max_unfinalized_blocks): lower finality_depth, or raise that to {needed} and more for side branches"
            )),
            _ => Ok(()),
        }
    }

    fn forks(&self) -> Result<Option<Forks>, String> {
        const WHY: &str = "a deeper fork would undo what is final; lower it or raise finality_depth";
        let [min, max] = match self.fork_depth {
            None => [1, DEFAULT_MAX_FORK_DEPTH.min(self.finality_depth)],
            Some(RawDepth::Exactly(depth)) => [depth; 2],
            Some(RawDepth::Range(range)) => range,
        };
        range("fork_depth", min, 1, self.finality_depth, WHY)?;
        range("the end of fork_depth", max, min, self.finality_depth, WHY)?;
        Ok((self.fork_every_slots > 0).then_some(Forks {
            every_slots: self.fork_every_slots,
            depth: ForkDepth { min, max },
        }))
    }
}

fn range(key: &str, value: u64, min: u64, max: u64, why: &str) -> Result<(), String> {
    if (min..=max).contains(&value) {
        Ok(())
    } else {
        Err(format!("{key} is {value}, allowed is {min} to {max}: {why}"))
    }
}
