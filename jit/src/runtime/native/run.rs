//! Running a program over both tiers: the dispatcher.
//!
//! ```text
//!            ┌───────────────── pc has a native function ───────────────┐
//!            ▼                                                          │
//!   trampoline ─▶ native code ─▶ exit: returned, jump ──▶ dispatcher ───┤
//!                     │                     ▲                           ▼ no function
//!                     ├─ host call shim ─▶ ended                     tier 0 ─▶ a jump to a native function
//!                     └─ fault, out of gas ─▶ trap                      └─▶ ended, trap
//! ```

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use super::code::NativeCode;
use super::layout::{Context, ExitReason};
use super::tiers::Tiering;
use super::{float_unit, signals, stack, trampoline};
use crate::float;
use crate::image::Program;
use crate::interpreter::{self, Advance, Start, Transfer};
use crate::isa::{Extension, Op};
use crate::runtime::memory::CONTEXT_OFFSET;
use crate::runtime::{End, Flow, Host, Memory, Outcome, Trap, TrapKind};

const RA: usize = 1;

/// What a run came to.
pub(crate) struct Ran {
    /// `None` where it strayed: where a jump through a register led, registers that the code took for dead may matter. It
    /// has to start over in exact code.
    pub(crate) outcome: Option<Outcome>,
    /// x0 to x31 at the end.
    pub(crate) registers: [u64; 32],
    /// Gas that tier 0 and the host calls it made used, before what they gave back.
    pub(crate) interpreted: u64,
}

/// A run that is going on, as host calls see it.
pub(crate) struct Run<'a> {
    host: &'a mut dyn Host,
    memory: *mut Memory,
    /// How a host call ended the run.
    flow: Option<Flow>,
    /// What a host call panicked with.
    panic: Option<Box<dyn Any + Send>>,
}

/// Runs `program` from its start until it ends, in native code where `code` has some.
pub(crate) fn run(
    start: Start,
    program: &Arc<Program>,
    code: &NativeCode,
    memory: &mut Memory,
    host: &mut dyn Host,
) -> Ran {
    let base = memory.base();
    // It belongs to this memory alone, is large enough and aligned to a page.
    let context = memory.context().cast::<Context>();
    let permissions = memory.permissions();
    let memory: *mut Memory = memory;
    let mut run = Run {
        host,
        memory,
        flow: None,
        panic: None,
    };
    {
        // SAFETY: as above, and nobody else has a reference to it. Its bytes are the kernel's zeros or what an earlier run
        // left, and a record of integers and pointers may have any.
        let whole = unsafe { &mut *context };
        // By name, so that no field is forgotten.
        let Context {
            hart,
            host_stack,
            stack_limit,
            entries,
            host_call: host_call_shim,
            exit,
            permissions: table,
            float,
            clmul: low,
            clmulh: high,
            clmulr: reversed,
            run: current,
        } = whole;
        // SAFETY: the memory is live and borrowed by this run alone.
        hart.restart(start, unsafe { &*memory });
        *host_stack = 0;
        *stack_limit = stack::limit();
        *entries = code.entries();
        *host_call_shim = host_call as *const () as usize;
        *exit = trampoline::exit as *const () as usize;
        *table = permissions;
        *float = float_operation as *const () as usize;
        *low = clmul as *const () as usize;
        *high = clmulh as *const () as usize;
        *reversed = clmulr as *const () as usize;
        *current = (&raw mut run).cast();
    }
    let has_floats = program.machine().supports(Extension::F);
    let mut interpreted = 0;
    let mut was_native = false;
    let end = loop {
        // SAFETY: nobody else has a reference to the context while the dispatcher runs.
        let hart = unsafe { &mut (*context).hart };
        let function = code.entry(hart.pc);
        if function == 0 {
            // SAFETY: the memory is live and borrowed by this run alone.
            let memory = unsafe { &mut *memory };
            let before = hart.gas_left();
            let mut tiering = Tiering {
                program,
                code,
                was_native,
            };
            let end = interpreter::advance(hart, program, memory, &mut *run.host, &mut tiering);
            interpreted += before - hart.gas_left();
            match end {
                Advance::Watched => continue,
                Advance::Strayed => break None,
                Advance::Ended(end) => break Some(end),
            }
        }
        was_native = true;
        hart.gas = !hart.gas;
        if has_floats {
            float_unit::put_right();
        }
        let reason = {
            let _guard = signals::Guard::new(code, base);
            // SAFETY: the context is complete, the function is of this program, whose code lives as long as `code`, and
            // the stack has room down to the limit, which is what `stack::limit` is for.
            ExitReason::of(unsafe { trampoline::enter(base, function) })
        };
        // SAFETY: as above; native code has been left.
        let hart = unsafe { &mut (*context).hart };
        hart.gas = !hart.gas;
        let transfer = match reason {
            ExitReason::Returned => {
                // To wherever ra says, which need not be what it was.
                hart.pc = u64::from(hart.registers[RA] as u32) & !1;
                Some(Transfer::Return)
            }
            ExitReason::Jump => None,
            ExitReason::Return => Some(Transfer::Return),
            ExitReason::Call => Some(Transfer::Call),
            ExitReason::JumpIndirect => Some(Transfer::Jump),
            ExitReason::HostReturn => Some(Transfer::HostReturn),
            ExitReason::Trap => {
                break Some(End::Trapped(Trap {
                    kind: TrapKind::Undetermined,
                    pc: 0,
                }));
            }
            ExitReason::Ended => {
                if let Some(panic) = run.panic.take() {
                    resume_unwind(panic);
                }
                let flow = run.flow.take().expect("a host call ended the run");
                break Some(hart.end_of(flow).expect("it did not go on"));
            }
        };
        if transfer.is_some_and(|transfer| !code.liveness(program).permits(transfer, hart.pc)) {
            break None;
        }
    };
    // SAFETY: as above.
    let hart = unsafe { &(*context).hart };
    Ran {
        outcome: end.map(|end| Outcome {
            instructions: None,
            ..hart.outcome(end)
        }),
        registers: hart.registers(),
        interpreted,
    }
}

/// Host calls of native code. Gives whether the run ends.
extern "C" fn host_call(base: *mut u8) -> u64 {
    // SAFETY: native code passes the base that it was entered with, whose context the dispatcher filled in; native code
    // and dispatcher wait for this call, so nobody else uses either.
    let (hart, run) = unsafe {
        let context = base.sub(CONTEXT_OFFSET).cast::<Context>();
        (&mut (*context).hart, &mut *(*context).run)
    };
    hart.gas = !hart.gas;
    let ends = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the memory is live and borrowed by this run alone.
        match hart.ecall(unsafe { &mut *run.memory }, run.host) {
            Flow::Continue => 0,
            flow => {
                run.flow = Some(flow);
                1
            }
        }
    }));
    hart.gas = !hart.gas;
    ends.unwrap_or_else(|panic| {
        run.panic = Some(panic);
        1
    })
}

/// Floating-point operations of native code: an operation's number with its rounding mode in bits 8 and above. Native
/// code has looked at the dynamic rounding mode.
extern "C" fn float_operation(base: *mut u8, operation: u64, a: u64, b: u64, c: u64) -> u64 {
    // SAFETY: as in `host_call`.
    let fcsr = unsafe { &mut (*base.sub(CONTEXT_OFFSET).cast::<Context>()).hart.fcsr };
    let op = Op::ALL[usize::from(operation as u8)];
    float::execute(op, (operation >> 8) as u8, [a, b, c], fcsr).expect("rounding modes are valid here")
}

extern "C" fn clmul(a: u64, b: u64) -> u64 {
    interpreter::carryless_multiply(a, b) as u64
}

extern "C" fn clmulh(a: u64, b: u64) -> u64 {
    (interpreter::carryless_multiply(a, b) >> 64) as u64
}

extern "C" fn clmulr(a: u64, b: u64) -> u64 {
    (interpreter::carryless_multiply(a, b) >> 63) as u64
}
