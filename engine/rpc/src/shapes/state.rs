//! Accounts, storage, code, and calls that change nothing.

use millrace_executor::FrameTrap;
use millrace_types::{Address, Gas, Hash, Height};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LogView;
use crate::encoding::{Bytes, Units};

/// The state that an answer was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StateOrigin {
    /// The block's height.
    pub height: Height,
    /// The block.
    pub block_hash: Hash,
    /// Root of the state after it.
    pub state_root: Hash,
}

/// Answer of `millrace_getAccount`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountView {
    /// Where it was read; null for `pending`.
    pub origin: Option<StateOrigin>,
    /// The account.
    pub address: Address,
    /// There is a record; null for `pending`.
    pub exists: Option<bool>,
    /// Transactions sent, or contracts created.
    pub nonce: u64,
    /// Units held; null for `pending`.
    pub balance: Option<Units>,
    /// Hash of its code.
    pub code_hash: Option<Hash>,
    /// Canonical bytes of a state proof.
    pub proof: Option<Bytes>,
}

/// Answer of `millrace_getStorage`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StorageView {
    /// Where it was read.
    pub origin: StateOrigin,
    /// The contract.
    pub contract: Address,
    /// The key.
    pub key: Bytes,
    /// The value; null when absent.
    pub value: Option<Bytes>,
    /// Canonical bytes of a state proof.
    pub proof: Option<Bytes>,
}

/// Answer of `millrace_getCode`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CodeView {
    /// Where it was read.
    pub origin: StateOrigin,
    /// The contract.
    pub contract: Address,
    /// Hash of its code; null without.
    pub code_hash: Option<Hash>,
    /// The ELF file; null without.
    pub code: Option<Bytes>,
    /// Canonical bytes of the state proof of the account record.
    pub account_proof: Option<Bytes>,
    /// Canonical bytes of the state proof of the code blob.
    pub code_proof: Option<Bytes>,
}

/// Parameter of `millrace_call`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CallRequest {
    /// The contract.
    pub to: Address,
    /// The caller that it sees; the zero address by default.
    #[serde(default)]
    pub from: Option<Address>,
    /// Its input.
    #[serde(default)]
    pub input: Bytes,
    /// Units that it sees.
    #[serde(default)]
    pub value: Option<Units>,
    /// Gas it may use; the server's limit by default.
    #[serde(default)]
    pub gas_limit: Option<Gas>,
}

/// Answer of `millrace_call`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallResult {
    /// The state it ran on.
    pub origin: StateOrigin,
    /// `success`, `reverted`, `trapped`, or why it never ran.
    pub outcome: String,
    /// What it returned or reverted with.
    pub output: Bytes,
    /// Gas used.
    pub gas_used: Gas,
    /// Events that it would emit.
    pub logs: Vec<LogView>,
    /// The newest trap, when it trapped.
    pub trap: Option<TrapView>,
    /// Why the contract's code is no program, when the outcome is `invalid_program`.
    pub image_error: Option<String>,
}

/// A trap of one frame. Diagnostics: receipts know only that there was one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrapView {
    /// The contract whose frame it was.
    pub contract: Address,
    /// Depth of the frame; the call itself is at 1.
    pub depth: u32,
    /// What happened, for people.
    pub kind: String,
    /// Guest address of the instruction; 0 when the frame never started.
    pub pc: u64,
}

impl From<&FrameTrap> for TrapView {
    fn from(trap: &FrameTrap) -> Self {
        Self {
            contract: trap.contract,
            depth: trap.depth,
            kind: trap.trap.kind.to_string(),
            pc: trap.trap.pc,
        }
    }
}
