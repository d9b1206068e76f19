//! Transactions of anyone, without a key and without fees, that do change the state: what tests of contracts run.
//!
//! From the first instruction on it is a transaction like any other: the same frames, prices, limits and effects. No chain
//! executes one.

use std::collections::BTreeSet;

use millrace_types::state::Path;
use millrace_types::{Address, Gas, Hash, Log, Outcome, Payload};

use crate::context::{BlockContext, Rules};
use crate::error::{ExecutionError, NotAdmissible};
use crate::execution::Execution;
use crate::executor::Executor;
use crate::gas::MAX_GAS;
use crate::reader::{Changes, Overlay, StateReader};
use crate::transaction::{Diagnostics, run_payload};

/// What an unsigned transaction came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnsignedOutput {
    /// How it ended.
    pub outcome: Outcome,
    /// What the contract returned or reverted with.
    pub output: Vec<u8>,
    /// Gas of its frames, without what a transaction costs for itself.
    pub gas_used: Gas,
    /// The contract that a deploy made.
    pub created: Option<Address>,
    /// Logs; empty unless it succeeded.
    pub logs: Vec<Log>,
    /// What it writes to the state.
    pub changes: Changes,
    /// Which of the paths in `changes` are those of accounts; the others are storage slots and code.
    pub accounts: BTreeSet<Path>,
    /// Traps, and why code is no program.
    pub diagnostics: Diagnostics,
}

impl Executor {
    /// Runs `payload` as a transaction of `sender` on `state`, its frames with `gas` (at most [`MAX_GAS`]). The sender's
    /// next nonce is used, its balance covers the value, and no fee is taken.
    ///
    /// # Errors
    /// [`ExecutionError::NotAdmissible`] if the balance does not cover the value; the others are faults of this machine.
    pub fn execute_unsigned(
        &self,
        block: &BlockContext,
        sender: &Address,
        payload: &Payload,
        gas: Gas,
        state: &dyn StateReader,
    ) -> Result<UnsignedOutput, ExecutionError> {
        let rules = Rules {
            // Somebody waits for the reason.
            diagnoses_traps: true,
            ..self.rules(block)
        };
        let mut execution = Execution::new(rules, *sender, state);
        let (nonce, value) = (execution.journal.nonce(sender)?, payload.value());
        if !execution.journal.covers(sender, value)? {
            let balance = execution.journal.balance(sender)?;
            return Err(ExecutionError::NotAdmissible {
                index: 0,
                transaction: Hash::ZERO,
                reason: NotAdmissible::Unpayable {
                    balance,
                    needed: value,
                },
            });
        }
        let created = match payload {
            Payload::Deploy { .. } => Some(Address::of_deploy(sender, nonce)),
            Payload::Transfer { .. } | Payload::Call { .. } => None,
        };
        execution.journal.pay_in_advance(sender, value)?;
        let end = run_payload(&mut execution, sender, nonce, payload, gas.min(MAX_GAS))?;
        let is_success = end.outcome == Outcome::Success;
        if !is_success {
            execution.journal.credit(sender, value)?;
        }
        let created = created.filter(|_| is_success);
        let diagnostics = Diagnostics {
            traps: execution.traps,
            image_error: end.image_error,
        };
        let journal = execution.journal.finish();
        let accounts = journal.writes.accounts.iter().map(|write| write.path).collect();
        let mut overlay = Overlay::new(state);
        overlay.apply(journal.writes)?;
        Ok(UnsignedOutput {
            outcome: end.outcome,
            output: end.output,
            gas_used: end.gas_used,
            created,
            logs: journal.logs,
            changes: overlay.into_changes(),
            accounts,
            diagnostics,
        })
    }
}
