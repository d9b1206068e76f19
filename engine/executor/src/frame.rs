//! Frames: one run of a contract in fresh memory, from its price of entry to its end.
//!
//! ```text
//! price of entry ──less gas than that──▶ trapped (out of gas)
//!   │ live pages over the limit ───────▶ trapped (transaction_pages)
//!   ▼
//! Instance::run ──ecall──▶ host ──call, create──▶ run_frame (one deeper)
//!   │
//!   ├─ returned ─▶ effects stand
//!   ├─ reverted ─▶ effects undone, unused gas back
//!   ├─ trapped ──▶ effects undone, all gas used
//!   └─ aborted ──▶ the whole execution is abandoned
//! ```

use millrace_jit::machine::PAGE_BYTES;
use millrace_jit::{End, Instance, Jump, Observer, Outcome, Trap, TrapKind};
use millrace_types::{Address, Amount, Gas};

use crate::error::ExecutionError;
use crate::execution::{Execution, FrameTrap};
use crate::gas::GasSchedule;
use crate::journal::Checkpoint;
use crate::program_cache::Code;
use crate::trace::{Stopped, TracedEnd, TracedFrame, Tracer};

/// What a frame is for; `call_kind` tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CallKind {
    /// An ordinary call.
    Call = 0,
    /// The first run of a new contract.
    Initialise = 1,
}

/// What a frame is started with. Value has been moved already.
pub(crate) struct FrameRequest {
    pub(crate) kind: CallKind,
    pub(crate) code: Code,
    pub(crate) contract: Address,
    pub(crate) caller: Address,
    pub(crate) value: Amount,
    pub(crate) input: Vec<u8>,
    pub(crate) gas: Gas,
    /// 1 for the transaction's own call.
    pub(crate) depth: u32,
}

/// How a frame ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FrameEnd {
    Returned,
    Reverted,
    Trapped,
}

/// What a frame came to.
pub(crate) struct FrameResult {
    pub(crate) end: FrameEnd,
    /// Empty after a trap.
    pub(crate) output: Vec<u8>,
    pub(crate) gas_used: Gas,
}

/// A running frame: the host of its instance (`crate::host`).
pub(crate) struct Frame<'f, 'a> {
    pub(crate) execution: &'f mut Execution<'a>,
    pub(crate) kind: CallKind,
    pub(crate) contract: Address,
    pub(crate) caller: Address,
    pub(crate) value: Amount,
    pub(crate) input: Vec<u8>,
    pub(crate) depth: u32,
    /// Output of the newest `call` or `create`.
    pub(crate) return_data: Vec<u8>,
    /// What this frame returns or reverts with.
    pub(crate) output: Vec<u8>,
    /// Pages that this frame holds of the transaction's live pages.
    pub(crate) pages: u32,
}

/// Runs a frame. Unless it returns, everything since `checkpoint` is undone.
///
/// # Errors
/// The execution is abandoned.
pub(crate) fn run_frame(
    execution: &mut Execution<'_>,
    checkpoint: Checkpoint,
    request: FrameRequest,
) -> Result<FrameResult, ExecutionError> {
    let gas = request.gas;
    let (contract, depth) = (request.contract, request.depth);
    let tracer = execution.rules.tracer;
    if let Some(tracer) = tracer {
        tracer.enters(&traced(&request));
    }
    let result = match enter(execution, request) {
        Ok((end, output, gas_used)) => match end {
            End::Returned => Ok((FrameEnd::Returned, output, gas_used)),
            End::Reverted => Ok((FrameEnd::Reverted, output, gas_used)),
            End::Trapped(trap) => Err(trap),
            End::Aborted => return Err(execution.take_abandoned()),
        },
        Err(kind) => Err(Trap { kind, pc: 0 }),
    };
    if let Some(tracer) = tracer {
        match &result {
            Ok((end, output, gas_used)) => {
                let end = match end {
                    FrameEnd::Returned => TracedEnd::Returned,
                    FrameEnd::Reverted | FrameEnd::Trapped => TracedEnd::Reverted,
                };
                tracer.leaves(&end, output, *gas_used);
            }
            Err(trap) => tracer.leaves(&TracedEnd::Trapped(trap.clone()), &[], gas),
        }
    }
    let result = match result {
        Ok((end, output, gas_used)) => FrameResult {
            end,
            output,
            gas_used,
        },
        Err(trap) => trapped(execution, contract, depth, trap, gas),
    };
    if result.end != FrameEnd::Returned {
        execution.journal.undo_to(checkpoint);
    }
    debug_assert!(result.gas_used <= gas, "a frame uses at most what it was given");
    Ok(result)
}

/// A frame that never starts, because its gas does not cover the first run of its code. It has done nothing.
pub(crate) fn unpaid_frame(
    execution: &mut Execution<'_>,
    contract: Address,
    depth: u32,
    gas: Gas,
) -> FrameResult {
    let trap = Trap {
        kind: TrapKind::OutOfGas,
        pc: 0,
    };
    trapped(execution, contract, depth, trap, gas)
}

fn trapped(
    execution: &mut Execution<'_>,
    contract: Address,
    depth: u32,
    trap: Trap,
    gas: Gas,
) -> FrameResult {
    tracing::debug!(%contract, depth, ?trap, "frame trapped");
    execution.note_trap(FrameTrap {
        contract,
        depth,
        trap,
    });
    FrameResult {
        end: FrameEnd::Trapped,
        output: Vec::new(),
        gas_used: gas,
    }
}

/// Charges entry, takes the pages and runs the instance.
fn enter(execution: &mut Execution<'_>, request: FrameRequest) -> Result<(End, Vec<u8>, Gas), TrapKind> {
    let entry = entry_price(execution, &request);
    let gas = request.gas.checked_sub(entry).ok_or(TrapKind::OutOfGas)?;
    let FrameRequest {
        kind,
        code,
        contract,
        caller,
        value,
        input,
        depth,
        ..
    } = request;
    let pages = live_pages(&code, &input);
    take_pages(execution, pages)?;
    execution.journal.note_run(&code.hash);
    let (tier, diagnoses) = (execution.rules.tier, execution.rules.diagnoses_traps);
    let tracer = execution.rules.tracer;
    let mut frame = Frame {
        execution,
        kind,
        contract,
        caller,
        value,
        input,
        depth,
        return_data: Vec::new(),
        output: Vec::new(),
        pages,
    };
    let entry_pc = u64::from(code.program.entry());
    let mut instance = Instance::new(code.program);
    let mut outcome = match tracer {
        None => instance.run(tier, gas, &mut frame),
        Some(tracer) => run_traced(&mut instance, entry_pc, gas, &mut frame, tracer),
    };
    if diagnoses && let End::Trapped(trap) = &mut outcome.end {
        *trap = instance.diagnose(trap);
    }
    let Frame {
        execution,
        output,
        pages,
        ..
    } = frame;
    execution.live_pages -= pages;
    Ok((outcome.end, output, entry + outcome.gas_used))
}

/// Runs while `tracer` watches.
#[cold]
fn run_traced(
    instance: &mut Instance,
    entry: u64,
    gas: Gas,
    frame: &mut Frame<'_, '_>,
    tracer: &dyn Tracer,
) -> Outcome {
    /// A tracer sees more than jumps.
    struct Jumps<'t>(&'t dyn Tracer);
    impl Observer for Jumps<'_> {
        fn jumped(&self, jump: Jump) {
            self.0.jumped(jump);
        }
    }
    tracer.starts(entry, gas);
    let ran = instance.run_observed(gas, frame, &Jumps(tracer));
    tracer.stopped(&Stopped {
        end: &ran.outcome.end,
        pc: ran.pc,
        gas_left: ran.gas_left,
    });
    ran.outcome
}

fn traced(request: &FrameRequest) -> TracedFrame<'_> {
    TracedFrame {
        is_initialiser: request.kind == CallKind::Initialise,
        contract: request.contract,
        code_hash: request.code.hash,
        caller: request.caller,
        value: request.value,
        input: &request.input,
        gas: request.gas,
        depth: request.depth,
    }
}

/// What a frame pays before its first instruction.
fn entry_price(execution: &Execution<'_>, request: &FrameRequest) -> Gas {
    let is_first = !execution.journal.has_run(&request.code.hash);
    price_of_entry(execution.rules.schedule, &request.code, request.kind, is_first)
}

/// What a frame of `code` pays before its first instruction: its pages, and its text when the program is new to the
/// transaction; an initialiser also for the validation of its text.
pub(crate) fn price_of_entry(schedule: &GasSchedule, code: &Code, kind: CallKind, is_first: bool) -> Gas {
    let program = &code.program;
    let weights = &program.machine().weights;
    let text = u64::from(program.text_len());
    let mut price = u64::from(program.entry_pages()) * u64::from(weights.entry_page);
    price += u64::from(code.read_only_pages) * schedule.entry_read_only_page;
    if is_first {
        price += text * u64::from(weights.first_call_text_byte);
        price += schedule.first_run.of(code.len);
    }
    if kind == CallKind::Initialise {
        price += text * u64::from(weights.deploy_text_byte);
    }
    price
}

/// Pages that a frame holds from its start: stack, image, and its copy of the input.
pub(crate) fn live_pages(code: &Code, input: &[u8]) -> u32 {
    let input = u32::try_from(input.len().div_ceil(PAGE_BYTES as usize)).unwrap_or(u32::MAX);
    (code.program.entry_pages() + code.read_only_pages).saturating_add(input)
}

/// Adds to the transaction's live pages.
pub(crate) fn take_pages(execution: &mut Execution<'_>, pages: u32) -> Result<(), TrapKind> {
    let limit = execution.rules.limits.transaction_pages;
    match execution.live_pages.checked_add(pages) {
        Some(live) if live <= limit => {
            execution.live_pages = live;
            Ok(())
        }
        _ => Err(TrapKind::Host(
            "transaction_pages: the transaction's limit of live pages",
        )),
    }
}
