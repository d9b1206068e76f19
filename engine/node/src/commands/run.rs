//! `millrace run`: a static ELF on the bare host.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use millrace_jit::image::{Debug, Location};
use millrace_jit::machine::MAX_GAS_LIMIT;
use millrace_jit::profile::backtrace::{Backtrace, Frame};
use millrace_jit::{CodeCache, End, Instance, Outcome, Program, Trap, TrapKind};
use serde_json::{Value, json};

use super::code_cache::{CodeCacheArgs, CodeCachePlan};
use super::profile::{self, ProfileArgs, TierName, choose_tier};
use super::program::{self, MachineArgs};
use crate::bare::{BareHost, lay_out_stack};

/// Status after a trap: what a shell shows for a process that SIGABRT ended.
const TRAPPED: u8 = 134;
/// Status when nobody reads the output: what a shell shows for a process that SIGPIPE ended.
const BROKEN_PIPE: u8 = 141;
/// Status when the output cannot be written, or this command fails otherwise.
const FAILED: u8 = 1;
/// Status when the program or the usage is refused.
const REFUSED: u8 = 2;

/// Run a freestanding static RISC-V ELF on the bare host.
///
/// The guest has two system calls, by their Linux numbers: `write` (64) to descriptors 1 and 2, and `exit` (93, 94).
/// Its exit status is the command's. A trap ends with status 134 and a message that names kind, pc, function and, where
/// the file has debug information, the line, then who called whom as far as the guest's stack shows it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The program: ELF64, RISC-V, statically linked.
    program: PathBuf,
    /// The program's arguments, after its name.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
    /// How the program is executed; the results are the same [default: interpreter, with --profile jit].
    #[arg(long, value_enum)]
    tier: Option<TierName>,
    /// Most gas that the run may use.
    #[arg(long, value_name = "GAS", default_value_t = MAX_GAS_LIMIT, value_parser = clap::value_parser!(u64).range(..=MAX_GAS_LIMIT))]
    gas: u64,
    /// Print one JSON object on stderr when done. Its `outcome` is authoritative: a guest may exit with any status.
    #[arg(long)]
    stats: bool,
    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    code_cache: CodeCacheArgs,
    #[command(flatten)]
    profile: ProfileArgs,
}

/// How the command ended, before it is told to anyone.
struct Report {
    status: u8,
    outcome: &'static str,
    message: Option<String>,
    details: Value,
}

/// Runs the program. The exit status is the guest's, or one of those above.
pub fn run(args: &Args) -> ExitCode {
    let plan = args.profile.plan();
    let chosen =
        choose_tier(args.tier, plan.as_ref().map(|plan| plan.kind), TierName::Jit).and_then(|tier| {
            Ok((
                tier,
                CodeCachePlan::choose(args.code_cache.code_cache.clone(), None, tier)?,
            ))
        });
    let (tier, code_cache) = match chosen {
        Ok(chosen) => chosen,
        Err(failure) => {
            report_line(&format!("millrace: {failure}"));
            return ExitCode::from(REFUSED);
        }
    };
    let started = plan.as_ref().map_or(Ok(()), |plan| plan.start());
    let opened = started.and_then(|()| code_cache.map(|plan| plan.open()).transpose());
    let report = match opened {
        Ok(code_cache) => execute(args, tier, code_cache.as_ref()),
        Err(failure) => failed(failure.to_string()),
    };
    if let Err(failure) = profile::finish() {
        // The program's own end is what the status is for.
        report_line(&format!("millrace: {failure}"));
    }
    if let Some(message) = &report.message {
        report_line(&format!("millrace: {message}"));
    }
    if args.stats {
        let mut stats = json!({ "outcome": report.outcome, "status": report.status, "tier": tier.name() });
        if let (Some(stats), Value::Object(details)) = (stats.as_object_mut(), report.details) {
            stats.extend(details);
        }
        report_line(&stats.to_string());
    }
    ExitCode::from(report.status)
}

/// A line on stderr; where that is closed there is no one to tell.
fn report_line(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn refused(message: String) -> Report {
    Report {
        status: REFUSED,
        outcome: "refused",
        details: json!({ "reason": message }),
        message: Some(message),
    }
}

/// The program did not run, and it is not its fault.
fn failed(message: String) -> Report {
    Report {
        status: FAILED,
        outcome: "failed",
        details: json!({ "reason": message }),
        message: Some(message),
    }
}

fn execute(args: &Args, tier: TierName, code_cache: Option<&Arc<CodeCache>>) -> Report {
    let elf = match program::read(&args.program) {
        Ok(elf) => elf,
        Err(error) => return refused(error.to_string()),
    };
    let loading = now();
    let mut program = match program::load(&args.program, &elf, args.machine.machine()) {
        Ok(program) => program,
        Err(error) => return refused(error.to_string()),
    };
    program.set_label(|| profile::label(&args.program));
    if let Some(code_cache) = code_cache {
        program.set_code_cache(Arc::clone(code_cache));
    }
    let program = Arc::new(program);
    let mut instance = Instance::new(program.clone());
    let words = std::iter::once(args.program.as_os_str()).chain(args.args.iter().map(OsString::as_os_str));
    let words: Vec<_> = words.map(OsStrExt::as_bytes).collect();
    if let Err(error) = lay_out_stack(&mut instance, args.machine.machine(), &words) {
        return refused(error.to_string());
    }
    let load_ns = nanoseconds(loading);
    let compiling = now();
    if let Err(error) = instance.prepare(tier.tier()) {
        return failed(error.to_string());
    }
    let compile_ns = if tier == TierName::Jit {
        nanoseconds(compiling)
    } else {
        0
    };
    let mut host = BareHost::new(io::stdout(), io::stderr(), io::stdout().is_terminal());
    let executing = now();
    let mut outcome = instance.run(tier.tier(), args.gas, &mut host);
    let execute_ns = nanoseconds(executing);
    let interpreted_gas = instance.interpreted_gas();
    if let End::Trapped(trap) = &mut outcome.end {
        *trap = instance.diagnose(trap);
    }
    let flushed = host.flush();
    let mut report = judge(&outcome, host.exit_status(), &elf, &program, &instance);
    if let (Err(error), None) = (flushed, &report.message) {
        report.outcome = "output_lost";
        (report.status, report.message) = match error.kind() {
            io::ErrorKind::BrokenPipe => (BROKEN_PIPE, None),
            _ => (
                FAILED,
                Some(format!("cannot write the program's output: {error}")),
            ),
        };
    }
    if let Value::Object(details) = &mut report.details {
        details.insert("gas_used".into(), outcome.gas_used.into());
        details.insert("interpreted_gas".into(), interpreted_gas.into());
        details.insert("instructions".into(), outcome.instructions.into());
        details.insert("load_ns".into(), load_ns.into());
        details.insert("compile_ns".into(), compile_ns.into());
        details.insert("execute_ns".into(), execute_ns.into());
        if let Some(code_cache) = code_cache {
            details.insert("code_cache".into(), counts(code_cache));
        }
    }
    report
}

/// What became of the cache's files.
fn counts(code_cache: &CodeCache) -> Value {
    let counted = code_cache.statistics();
    json!({
        "hits": counted.hits,
        "misses": counted.misses,
        "rejected": counted.rejected,
        "stored": counted.stored,
        "failed": counted.failed,
        "evicted": counted.evicted,
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "times are shown to people and decide nothing"
)]
fn now() -> Instant {
    Instant::now()
}

fn nanoseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn judge(
    outcome: &Outcome,
    exit_status: Option<u8>,
    elf: &[u8],
    program: &Program,
    instance: &Instance,
) -> Report {
    match (&outcome.end, exit_status) {
        (End::Trapped(trap), _) => trapped(trap, elf, program, instance),
        (_, Some(status)) => Report {
            status,
            outcome: "exited",
            message: None,
            details: json!({}),
        },
        (end, None) => unreachable!("the bare host ends a run by exit alone, not by {end:?}"),
    }
}

fn trapped(trap: &Trap, elf: &[u8], program: &Program, instance: &Instance) -> Report {
    if trap.kind == TrapKind::Undetermined {
        // Too long to be recorded, or no memory to run it again.
        let message = format!("{}; --tier interpreter says which and where", trap.kind);
        return Report {
            status: TRAPPED,
            outcome: "trapped",
            message: Some(message),
            details: json!({ "trap": { "kind": kind_name(trap.kind) } }),
        };
    }
    let debug = Debug::new(elf, program.machine());
    let symbol = debug
        .symbol_at(trap.pc)
        .map(|symbol| format!("{}+{:#x}", symbol.name, symbol.offset));
    let line = debug.line_at(trap.pc).as_ref().map(place);
    let backtrace = Backtrace::new(program, &debug, instance.memory(), instance.registers(), trap.pc);
    let mut message = format!("trap: {}, pc {:#x}", trap.kind, trap.pc);
    if let Some(symbol) = &symbol {
        message += &format!(", in {symbol}");
    }
    if let Some(line) = &line {
        message += &format!(", at {line}");
    }
    // One frame says no more than the message does.
    if backtrace.frames.len() > 1 {
        message += &format!("\n{backtrace}");
    }
    let frames: Vec<Value> = backtrace.frames.iter().map(frame_value).collect();
    let trap = json!({
        "kind": kind_name(trap.kind),
        "pc": trap.pc,
        "symbol": symbol,
        "line": line,
        "backtrace": frames,
    });
    Report {
        status: TRAPPED,
        outcome: "trapped",
        message: Some(message),
        details: json!({ "trap": trap }),
    }
}

fn place(at: &Location) -> String {
    format!("{}:{}", at.file, at.line)
}

fn frame_value(frame: &Frame) -> Value {
    let functions: Vec<Value> = frame
        .functions
        .iter()
        .map(|function| json!({ "function": function.function, "line": function.location.as_ref().map(place) }))
        .collect();
    json!({ "pc": frame.pc, "found_by": frame.found.name(), "functions": functions })
}

/// The kind's name for machines; the message has the particulars.
fn kind_name(kind: TrapKind) -> &'static str {
    match kind {
        TrapKind::IllegalInstruction => "illegal_instruction",
        TrapKind::FetchFault => "fetch_fault",
        TrapKind::Breakpoint => "breakpoint",
        TrapKind::AccessFault { .. } => "access_fault",
        TrapKind::Misaligned { .. } => "misaligned",
        TrapKind::OutOfGas => "out_of_gas",
        TrapKind::Host(_) => "host",
        _ => "other",
    }
}
