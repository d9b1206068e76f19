//! Code before it is sent: every reason for which the chain would refuse it, and what it costs before it does anything.
//!
//! The judgement is that of a deploy: the same loader, the same prices of entry, the same limits.

use std::sync::Arc;

use millrace_jit::{ImageError, Program};
use millrace_types::state::code_hash;
use millrace_types::{Address, Gas, Height, Payload, SignedTransaction, Transaction};

use crate::executor::Executor;
use crate::frame::{CallKind, live_pages, price_of_entry};
use crate::gas::intrinsic_gas;

/// Why no deploy of some code can succeed on a chain.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CodeFault {
    /// It is no program of the machine in force.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A transaction that carries it is too long.
    #[error(
        "a deploy without input has {len} bytes, limits.transaction_bytes of the chain is {limit}: strip symbols and \
         debug information, build for size (`-Os`, opt-level = \"z\"), or split the contract"
    )]
    TransactionBytes {
        /// Canonical bytes of the shortest deploy.
        len: u64,
        /// The chain's limit.
        limit: u32,
    },
    /// The gas that it takes before its first instruction is more than a transaction may have.
    #[error(
        "a deploy takes {needed} gas before the first instruction, limits.transaction_gas of the chain is {limit}: \
         build for size (`-Os`, opt-level = \"z\"), or split the contract"
    )]
    DeployGas {
        /// What it takes.
        needed: Gas,
        /// The chain's limit.
        limit: Gas,
    },
    /// A single frame holds more pages than a transaction may.
    #[error(
        "a frame holds {needed} pages of 4096 bytes before its heap grows, limits.transaction_pages of the chain is \
         {limit}: make data and bss smaller"
    )]
    Pages {
        /// What it holds.
        needed: u32,
        /// The chain's limit.
        limit: u32,
    },
}

/// Gas that is due before an instruction of the contract runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryGas {
    /// The transaction itself, without input: its bytes, its signature, and of a deploy the code.
    pub intrinsic: Gas,
    /// The frame: its pages, its text, and of a deploy the validation.
    pub frame: Gas,
}

impl EntryGas {
    /// Both together.
    #[must_use]
    pub fn total(&self) -> Gas {
        self.intrinsic.saturating_add(self.frame)
    }
}

/// What a deploy of some code comes to before it runs.
#[derive(Debug)]
pub struct CodeReport {
    /// Why the chain refuses it, all there is to say; empty when it does not.
    pub faults: Vec<CodeFault>,
    /// The program, if it is one.
    pub program: Option<Arc<Program>>,
    /// A deploy's, if it is a program.
    pub deploy: Option<EntryGas>,
    /// A call's, if it is a program.
    pub call: Option<EntryGas>,
}

impl Executor {
    /// Judges `code` by the rules at `height`, as a deploy would.
    #[must_use]
    pub fn examine_code(&self, height: Height, code: &[u8]) -> CodeReport {
        let (machine, schedule) = self.versions_at(height);
        let limits = &self.spec().limits;
        let of = |payload| without_signature(self.spec().chain_id, payload);
        let deploy = of(Payload::Deploy {
            code: code.to_vec(),
            value: 0,
            input: Vec::new(),
        });
        let mut faults = Vec::new();
        let len = borsh::object_length(&deploy).map_or(u64::MAX, |len| len as u64);
        if len > u64::from(limits.transaction_bytes) {
            faults.push(CodeFault::TransactionBytes {
                len,
                limit: limits.transaction_bytes,
            });
        }
        let Ok(code) = self.programs().load(&code_hash(code), code, machine) else {
            let broken = Program::broken_rules(code, machine);
            faults.extend(broken.into_iter().map(CodeFault::Image));
            return CodeReport {
                faults,
                program: None,
                deploy: None,
                call: None,
            };
        };
        let entry = |transaction, kind| EntryGas {
            intrinsic: intrinsic_gas(transaction, schedule),
            frame: price_of_entry(schedule, &code, kind, true),
        };
        let call = of(Payload::Call {
            to: Address([0; 32]),
            value: 0,
            input: Vec::new(),
        });
        let (deploy, call) = (entry(&deploy, CallKind::Initialise), entry(&call, CallKind::Call));
        if deploy.total() > limits.transaction_gas {
            faults.push(CodeFault::DeployGas {
                needed: deploy.total(),
                limit: limits.transaction_gas,
            });
        }
        let needed = live_pages(&code, &[]);
        if needed > limits.transaction_pages {
            faults.push(CodeFault::Pages {
                needed,
                limit: limits.transaction_pages,
            });
        }
        CodeReport {
            faults,
            program: Some(code.program),
            deploy: Some(deploy),
            call: Some(call),
        }
    }
}

/// A transaction of the length that every signed one with this payload has.
fn without_signature(chain_id: u64, payload: Payload) -> SignedTransaction {
    SignedTransaction {
        transaction: Transaction {
            chain_id,
            public_key: [0; 32],
            nonce: 0,
            gas_limit: 0,
            gas_price: 0,
            payload,
        },
        signature: [0; 64],
    }
}
