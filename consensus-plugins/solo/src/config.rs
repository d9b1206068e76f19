//! What the operator configures, as JSON: `{"secret_key": "0x…", "block_interval_ms": 500, "empty_blocks": "when_needed"}`.

use millrace_plugin_sdk::ChainState;
use millrace_plugin_sdk::types::certificate::SOLO_CONSENSUS_ID;
use millrace_plugin_sdk::types::{PublicKey, SecretKey};
use serde::Deserialize;

/// Intervals above this are taken for a mistake of units.
pub const MAX_BLOCK_INTERVAL_MS: u64 = 3_600_000;

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The sequencer's key; its public key is the chain spec's.
    pub key: SecretKey,
    /// Milliseconds between two proposals at least; 0 for as fast as the engine takes them.
    pub block_interval_ms: u64,
    /// Whether an idle chain goes on.
    pub empty_blocks: EmptyBlocks,
}

/// Whether an idle chain goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmptyBlocks {
    /// Empty blocks only until the last block with transactions is settled; then the chain pauses until there is work.
    #[default]
    WhenNeeded,
    /// A block at every interval.
    Always,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with a secret_key")]
struct Raw {
    secret_key: String,
    #[serde(default = "default_interval_ms")]
    block_interval_ms: u64,
    #[serde(default)]
    empty_blocks: EmptyBlocks,
}

fn default_interval_ms() -> u64 {
    1000
}

impl Config {
    /// Reads the configuration and checks it against the chain spec's consensus.
    ///
    /// # Errors
    /// What is wrong, and what it should be. Never shows the secret key.
    pub fn read(chain: &ChainState) -> Result<Self, String> {
        if chain.consensus_id != SOLO_CONSENSUS_ID {
            return Err(format!(
                "the chain spec names {}, this plugin is {SOLO_CONSENSUS_ID}",
                chain.consensus_id
            ));
        }
        let sequencer = <[u8; 32]>::try_from(chain.parameters.as_slice()).map(PublicKey).map_err(|_| {
            format!(
                "the chain spec's consensus parameters are {} bytes; {SOLO_CONSENSUS_ID} has the sequencer's public key there, 32 bytes",
                chain.parameters.len()
            )
        })?;
        let raw: Raw = serde_json::from_slice(&chain.config).map_err(|error| {
            format!(
                "{error}; the configuration is JSON: {{\"secret_key\": \"0x…\", \"block_interval_ms\": 1000, \"empty_blocks\": \"when_needed\" or \"always\"}}"
            )
        })?;
        if raw.block_interval_ms > MAX_BLOCK_INTERVAL_MS {
            return Err(format!(
                "block_interval_ms is {}, at most {MAX_BLOCK_INTERVAL_MS} (an hour) makes sense",
                raw.block_interval_ms
            ));
        }
        let key: SecretKey = raw
            .secret_key
            .parse()
            .map_err(|_| "secret_key is not 32 bytes of hexadecimal with 0x in front".to_owned())?;
        if key.public_key() != sequencer {
            return Err(format!(
                "secret_key belongs to {}, but the chain spec's sequencer is {sequencer}; configure the sequencer's key",
                key.public_key()
            ));
        }
        Ok(Self {
            key,
            block_interval_ms: raw.block_interval_ms,
            empty_blocks: raw.empty_blocks,
        })
    }
}
