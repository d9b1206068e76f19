//! Calls that change nothing: what RPC answers reads and gas estimates with.

use millrace_jit::ImageError;
use millrace_types::receipt::Failure;
use millrace_types::{Address, Amount, Gas, Log, Outcome};

use crate::context::Rules;
use crate::error::ExecutionError;
use crate::execution::{Execution, FrameTrap, NoProgram};
use crate::frame::{CallKind, FrameEnd, FrameRequest, FrameResult, run_frame, unpaid_frame};
use crate::gas::MAX_GAS;
use crate::program_cache::Code;
use crate::reader::StateReader;

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
    // With the supply, which is less, it fits an amount: no credit of this run overflows.
    if call.value > MAX_VALUE {
        return Err(ExecutionError::TooMuchValue { value: call.value });
    }
    let mut execution = Execution::new(rules, call.from, state);
    let Some(code_hash) = execution.journal.code_hash(&call.to)? else {
        return Ok(ReadOnlyOutcome::failed(Failure::NoCode, None));
    };
    let gas = call.gas_limit.min(MAX_GAS);
    let result = match execution.program(&code_hash, gas)? {
        Ok(code) => run(&mut execution, call, code, gas)?,
        Err(NoProgram::Unpaid) => unpaid_frame(&mut execution, call.to, 1, gas),
        Err(NoProgram::Invalid(error)) => {
            return Ok(ReadOnlyOutcome::failed(Failure::InvalidProgram, Some(error)));
        }
    };
    let FrameResult {
        end,
        output,
        gas_used,
    } = result;
    let outcome = match end {
        FrameEnd::Returned => Outcome::Success,
        FrameEnd::Reverted => Outcome::Reverted,
        FrameEnd::Trapped => Outcome::Trapped,
    };
    let traps = execution.traps;
    let logs = execution.journal.finish().logs;
    Ok(ReadOnlyOutcome {
        outcome,
        output,
        gas_used,
        logs,
        traps,
        image_error: None,
    })
}

fn run(
    execution: &mut Execution<'_>,
    call: &ReadOnlyCall,
    code: Code,
    gas: Gas,
) -> Result<FrameResult, ExecutionError> {
    execution.journal.warm_account(&call.from);
    execution.journal.warm_account(&call.to);
    let checkpoint = execution.journal.checkpoint();
    execution.journal.credit(&call.to, call.value)?;
    let request = FrameRequest {
        kind: CallKind::Call,
        code,
        contract: call.to,
        caller: call.from,
        value: call.value,
        input: call.input.clone(),
        gas,
        depth: 1,
    };
    run_frame(execution, checkpoint, request)
}

impl ReadOnlyOutcome {
    fn failed(failure: Failure, image_error: Option<ImageError>) -> Self {
        Self {
            outcome: Outcome::Failed(failure),
            output: Vec::new(),
            gas_used: 0,
            logs: Vec::new(),
            traps: Vec::new(),
            image_error,
        }
    }
}
