//! Accounts, storage, code, and calls that change nothing.

use millrace_executor::FrameTrap;
use millrace_types::{Address, Gas, Hash, Height, Payload};
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

/// Answer of `millrace_getState`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StateView {
    /// Where it was read.
    pub origin: StateOrigin,
    /// One for each path, in order.
    pub values: Vec<StateValueView>,
}

/// What lies at a path of the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StateValueView {
    /// The path.
    pub path: Hash,
    /// The canonical bytes of an account record, a storage value, or an ELF file; null when nothing lies there.
    pub value: Option<Bytes>,
    /// Canonical bytes of a state proof.
    pub proof: Option<Bytes>,
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

/// Parameter of `millrace_estimateGas`: a transaction that is not sent. Its sender is the zero address by default, and needs no
/// key, nonce or balance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum EstimateRequest {
    /// Moves units.
    Transfer {
        /// The receiver.
        to: Address,
        /// The sender.
        #[serde(default)]
        from: Option<Address>,
        /// Units.
        #[serde(default)]
        value: Option<Units>,
        /// The highest limit to try; the chain's by default, or the server's.
        #[serde(default)]
        gas_limit: Option<Gas>,
    },
    /// Deploys a contract.
    Deploy {
        /// The ELF file.
        code: Bytes,
        /// The sender.
        #[serde(default)]
        from: Option<Address>,
        /// Input of the initialiser.
        #[serde(default)]
        input: Bytes,
        /// Units.
        #[serde(default)]
        value: Option<Units>,
        /// As above.
        #[serde(default)]
        gas_limit: Option<Gas>,
    },
    /// Calls a contract.
    Call {
        /// The contract.
        to: Address,
        /// The sender.
        #[serde(default)]
        from: Option<Address>,
        /// Its input.
        #[serde(default)]
        input: Bytes,
        /// Units.
        #[serde(default)]
        value: Option<Units>,
        /// As above.
        #[serde(default)]
        gas_limit: Option<Gas>,
    },
}

impl EstimateRequest {
    /// A transaction of `from`.
    #[must_use]
    pub fn of(from: Address, payload: Payload) -> Self {
        let from = Some(from);
        match payload {
            Payload::Transfer { to, value } => Self::Transfer {
                to,
                from,
                value: Some(Units(value)),
                gas_limit: None,
            },
            Payload::Deploy { code, value, input } => Self::Deploy {
                code: Bytes(code),
                from,
                input: Bytes(input),
                value: Some(Units(value)),
                gas_limit: None,
            },
            Payload::Call { to, value, input } => Self::Call {
                to,
                from,
                input: Bytes(input),
                value: Some(Units(value)),
                gas_limit: None,
            },
        }
    }

    /// Sender, payload, and the highest limit.
    pub(crate) fn parts(self) -> (Address, Payload, Option<Gas>) {
        let units = |value: Option<Units>| value.unwrap_or_default().0;
        let (from, payload, gas_limit) = match self {
            Self::Transfer {
                to,
                from,
                value,
                gas_limit,
            } => {
                let value = units(value);
                (from, Payload::Transfer { to, value }, gas_limit)
            }
            Self::Deploy {
                code: Bytes(code),
                from,
                input: Bytes(input),
                value,
                gas_limit,
            } => {
                let value = units(value);
                (from, Payload::Deploy { code, value, input }, gas_limit)
            }
            Self::Call {
                to,
                from,
                input: Bytes(input),
                value,
                gas_limit,
            } => {
                let value = units(value);
                (from, Payload::Call { to, value, input }, gas_limit)
            }
        };
        (from.unwrap_or_default(), payload, gas_limit)
    }
}

/// Answer of `millrace_estimateGas`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GasEstimateView {
    /// The state it was tried on.
    pub origin: StateOrigin,
    /// `success`, or how it ends with the highest limit.
    pub outcome: String,
    /// The smallest limit with which it succeeds, intrinsic gas included; null when it does not.
    pub gas_limit: Option<Gas>,
    /// With one gas less it fails; false where the search was ended by its bound before that was certain.
    pub exact: bool,
    /// Gas used with that limit, intrinsic gas included; with the highest when it does not succeed.
    pub gas_used: Gas,
    /// Gas of the transaction before anything runs.
    pub intrinsic_gas: Gas,
    /// What it returned or reverted with.
    pub output: Bytes,
    /// The newest trap, when it trapped.
    pub trap: Option<TrapView>,
    /// Why the code is no program, when the outcome is `invalid_program`.
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
