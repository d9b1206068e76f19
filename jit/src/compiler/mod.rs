//! RISC-V to native code by Cranelift.
//!
//! ```text
//! text ─ plan: entries ─▶ flow: regions, blocks ─▶ dataflow: dirty, live, summaries ─┐
//!      └ liveness: what is read after calls ─────┴▶ debt: where gas is paid ────────┤
//!                         executable batch ◀─ backend: Cranelift ◀─ translate: CLIF ◀┘
//! ```
//!
//! Reading order: [`flow`] recovers a [`region`], what becomes one native function; [`plan`] decides which regions there
//! are; [`inline`], [`unroll`] and [`loops`] rewrite them; [`liveness`] says which registers anybody still reads, over the
//! whole text; [`registers`], [`summary`], [`dataflow`], [`constants`], [`frame`], [`floats`] and [`debt`] say what is known,
//! stored, loaded and paid where; [`translate`] writes CLIF; [`backend`] has it compiled, in the order that [`schedule`]
//! restores and in the halves that [`narrow`] leaves, and linked.
//!
//! Invariants:
//! - the context holds whatever is alive whenever native code is left, so that tier 0 can go on from any exit;
//! - every cycle of native code pays for gas, and gas is exact at every host call and exit;
//! - what is assumed about how guests use registers, stacks and returns is checked, and a run for which it does not hold
//!   starts over in code that assumes nothing;
//! - work is linear in the text, whatever it holds.

mod backend;
mod constants;
mod dataflow;
mod debt;
mod floats;
mod flow;
mod frame;
mod inline;
mod liveness;
mod loops;
mod narrow;
mod plan;
mod region;
mod registers;
mod schedule;
mod summary;
mod translate;
mod unroll;

use thiserror::Error;

use crate::image::{Permissions, Program, Segment};
use crate::runtime::native::{Batch, NativeCode};
pub(crate) use backend::{MAX_UNCHECKED_STACK_BYTES, target_description};
use flow::{Region, Text};
pub(crate) use liveness::Liveness;
pub(crate) use plan::Survey;
pub use translate::Protection;

/// How to compile. Decides speed, and never a result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CompileOptions {
    /// How faults are found.
    pub protection: Protection,
    /// Run Cranelift's verifier over what is given to it.
    pub verify: bool,
    /// Use what this host's processor has beyond the baseline of its architecture.
    pub host_features: bool,
    /// Keep which guest instruction native code was made for.
    pub places: bool,
    /// Keep frame pointers, for profilers that walk host frames.
    pub frame_pointers: bool,
    /// Pay for gas. Code that does not is for measuring what that costs: what it gives for gas is wrong, and nothing ends it.
    pub meters: bool,
    /// Take the function with this number, in the order of their addresses, for one that Cranelift refuses: to test that
    /// nothing depends on what can be compiled.
    pub refuse: Option<usize>,
}

impl CompileOptions {
    /// What suits this process: faults by signals, where the handlers can be installed and the host's pages are the
    /// guest's, else explicit checks.
    #[must_use]
    pub fn for_this_process() -> Self {
        crate::runtime::native::options()
    }
}

/// Why there is no native code.
#[derive(Debug, Error)]
pub enum CompileError {
    /// Cranelift refused.
    #[error("Cranelift refused: {0}; the program runs in tier 0 with equal results; please report it")]
    Cranelift(String),
    /// Cranelift panicked.
    #[error(
        "Cranelift panicked on the function at {entry:#x}; it runs in tier 0 with equal results; please report it"
    )]
    Panicked {
        /// Guest address of the function.
        entry: u32,
    },
    /// A function needs too much of the host's stack.
    #[error(
        "the native frame of the function at {entry:#x} is too large; it runs in tier 0 with equal results"
    )]
    Frame {
        /// Guest address of the function.
        entry: u32,
    },
    /// No executable memory.
    #[error("no executable memory for native code: {0}; programs run in tier 0 with equal results")]
    Memory(String),
}

/// Text from its first even address on: places in it are counted in halfwords, and an odd byte in front of them, which a
/// file may have, is never executed.
fn text_of(program: &Program) -> Text<'_> {
    let (address, bytes) = program.text();
    let skipped = address % 2;
    Text {
        machine: program.machine(),
        start: address + skipped,
        bytes: bytes.get(skipped as usize..).unwrap_or_default(),
    }
}

fn bytes_of(segment: &Segment) -> (u32, &[u8]) {
    (segment.address, &segment.data)
}

/// Surveys a program's text.
pub(crate) fn survey(program: &Program) -> Survey {
    let data: Vec<(u32, &[u8])> = program.segments().iter().map(bytes_of).collect();
    Survey::of(text_of(program), program.entry(), program.function_hints(), &data)
}

/// Compiles everything that can be found from a program's entry, its symbols and its calls.
///
/// # Errors
/// [`CompileError`], where nothing can be compiled at all.
pub(crate) fn compile_program(
    program: &Program,
    survey: &Survey,
    liveness: &Liveness,
    options: &CompileOptions,
) -> Result<Batch, CompileError> {
    let mut regions = plan::whole_program(text_of(program), survey, liveness);
    compile(program, &mut regions, liveness, options)
}

/// Compiles the region at a hot address, and what it calls as far as `instructions` goes.
///
/// # Errors
/// [`CompileError`], where nothing can be compiled.
pub(crate) fn compile_around(
    program: &Program,
    survey: &Survey,
    code: &NativeCode,
    root: u32,
    instructions: usize,
    options: &CompileOptions,
) -> Result<Batch, CompileError> {
    let has_code = |pc: u32| code.entry(u64::from(pc)) != 0;
    let liveness = code.liveness(program);
    let mut regions = plan::around(text_of(program), survey, liveness, root, instructions, has_code);
    compile(program, &mut regions, liveness, options)
}

fn compile(
    program: &Program,
    regions: &mut [Region],
    liveness: &Liveness,
    options: &CompileOptions,
) -> Result<Batch, CompileError> {
    // A debugger wants to stop in each function, and to see its caller.
    if !options.frame_pointers {
        inline::inline(regions);
    }
    regions.iter_mut().for_each(unroll::unroll);
    regions.iter_mut().for_each(loops::separate);
    let read_only: Vec<(u32, &[u8])> = program
        .segments()
        .iter()
        .filter(|segment| segment.permissions != Permissions::ReadWrite)
        .map(bytes_of)
        .collect();
    let floats = program.survey().floats();
    backend::compile(text_of(program), &read_only, regions, liveness, floats, options)
}
