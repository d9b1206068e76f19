//! Calls that change nothing: what RPC answers reads and gas estimates with.

use millrace_jit::ImageError;
use millrace_types::{Address, Amount, Gas, Log, Outcome, Payload};

use crate::context::Rules;
use crate::error::ExecutionError;
use crate::execution::{Execution, FrameTrap};
use crate::gas::MAX_GAS;
use crate::reader::StateReader;
use crate::transaction::run_payload;

/// The most value that a read-only call may bring: as much as no supply reaches.
const MAX_VALUE: Amount = 1 << 127;

/// A call to try.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadOnlyCall {
    /// The account that seems to call; needs no key, balance or nonce for it.
    pub from: Address,
    /// The contract.
    pub to: Address,
    /// Units that seem to come along; they are the contract's during the call. At most 2^127.
    pub value: Amount,
    /// Its input.
    pub input: Vec<u8>,
    /// Gas for the run alone: no intrinsic gas is charged. It bounds the work, so whoever takes calls from strangers
    /// bounds it; more than [`MAX_GAS`] counts as that.
    pub gas_limit: Gas,
}

/// What a call would come to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadOnlyOutcome {
    /// How it ended.
    pub outcome: Outcome,
    /// What the contract returned or reverted with.
    pub output: Vec<u8>,
    /// Gas of the run, without a transaction's intrinsic gas.
    pub gas_used: Gas,
    /// Logs it would have emitted; empty unless it succeeded.
    pub logs: Vec<Log>,
    /// The newest traps of its frames, oldest first.
    pub traps: Vec<FrameTrap>,
    /// Why the contract's code is no program of the machine in force.
    pub image_error: Option<ImageError>,
}

pub(crate) fn call_read_only(
    rules: Rules<'_>,
    call: &ReadOnlyCall,
    state: &dyn StateReader,
) -> Result<ReadOnlyOutcome, ExecutionError> {
    let payload = Payload::Call {
        to: call.to,
        value: call.value,
        input: call.input.clone(),
    };
    try_payload(rules, &call.from, &payload, call.gas_limit, state)
}

/// What a transaction of `from` would come to with so much gas beyond its intrinsic gas. Its value seems to come along.
pub(crate) fn try_payload(
    rules: Rules<'_>,
    from: &Address,
    payload: &Payload,
    gas: Gas,
    state: &dyn StateReader,
) -> Result<ReadOnlyOutcome, ExecutionError> {
    let value = payload.value();
    // With the supply, which is less, it fits an amount: no credit of this run overflows.
    if value > MAX_VALUE {
        return Err(ExecutionError::TooMuchValue { value });
    }
    let mut execution = Execution::new(rules, *from, state);
    let nonce = execution.journal.nonce(from)?;
    let end = run_payload(&mut execution, from, nonce, payload, gas.min(MAX_GAS))?;
    Ok(ReadOnlyOutcome {
        outcome: end.outcome,
        output: end.output,
        gas_used: end.gas_used,
        logs: execution.journal.finish().logs,
        traps: execution.traps,
        image_error: end.image_error,
    })
}
