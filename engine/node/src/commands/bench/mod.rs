//! `millrace bench`: how fast programs are on this machine, in every tier.

mod measure;
mod pipeline;
mod rpc;
mod table;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use millrace_jit::machine::MAX_GAS_LIMIT;

use super::program;
use measure::{Guest, Measured, measure};

/// Time programs on this machine.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    Jit(JitArgs),
    Pipeline(pipeline::PipelineArgs),
    Rpc(rpc::RpcArgs),
}

/// Time a program in every tier: the interpreter, tier 0 with what becomes hot compiled beside it, native code.
///
/// Without a program, some that are built in are timed. The program runs on the bare host, as with `millrace run`; what it
/// writes is compared between tiers and not shown. Times are CPU time of the thread that runs it: the least and the
/// median of the rounds. A tier that gives other output, another exit status or other gas is an error.
#[derive(Debug, clap::Args)]
pub struct JitArgs {
    /// The program: ELF64, RISC-V, statically linked.
    program: Option<PathBuf>,
    /// The program's arguments, after its name.
    #[arg(last = true, requires = "program")]
    args: Vec<OsString>,
    /// Rounds, each with every tier once.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Most gas that a run may use.
    #[arg(long, value_name = "GAS", default_value_t = MAX_GAS_LIMIT, value_parser = clap::value_parser!(u64).range(..=MAX_GAS_LIMIT))]
    gas: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// A program that is part of this one: name, ELF, and an argument that makes it run for some 10 ms.
type BuiltIn = (&'static str, &'static [u8], &'static str);

/// Kernels of `benches/guests`, each of which stresses one thing.
static BUILT_IN: [BuiltIn; 6] = [
    (
        "calls",
        include_bytes!("../../../../../benches/artifacts/calls.elf"),
        "100",
    ),
    (
        "bytecode",
        include_bytes!("../../../../../benches/artifacts/bytecode.elf"),
        "500000",
    ),
    (
        "vtable",
        include_bytes!("../../../../../benches/artifacts/vtable.elf"),
        "800",
    ),
    (
        "uint256",
        include_bytes!("../../../../../benches/artifacts/uint256.elf"),
        "300000",
    ),
    (
        "quicksort",
        include_bytes!("../../../../../benches/artifacts/quicksort.elf"),
        "20",
    ),
    (
        "sha256",
        include_bytes!("../../../../../benches/artifacts/sha256.elf"),
        "18000",
    ),
];

/// Status when this command fails, and when a program or the usage is refused.
const FAILED: u8 = 1;
const REFUSED: u8 = 2;

impl BenchCommand {
    /// Runs the command; gives the process's exit status.
    pub fn run(&self) -> ExitCode {
        let args = match self {
            Self::Jit(args) => args,
            Self::Pipeline(args) => return args.run(),
            Self::Rpc(args) => return args.run(),
        };
        match args.measure() {
            Ok(rows) => args.show(&rows),
            Err((status, message)) => {
                // Where stderr is closed there is no one to tell.
                let _ = writeln!(io::stderr(), "millrace: {message}");
                ExitCode::from(status)
            }
        }
    }
}

impl JitArgs {
    fn measure(&self) -> Result<Vec<Measured>, (u8, String)> {
        let failed = |error: measure::MeasureError| (FAILED, error.to_string());
        let Some(path) = &self.program else {
            let guests = BUILT_IN.iter().map(|(name, elf, argument)| Guest {
                name: (*name).to_owned(),
                elf,
                words: vec![name.as_bytes(), argument.as_bytes()],
            });
            return guests
                .map(|guest| measure(&guest, self.rounds, self.gas).map_err(failed))
                .collect();
        };
        let refused = |error: program::ProgramError| (REFUSED, error.to_string());
        let elf = program::read(path).map_err(refused)?;
        program::load(path, &elf, program::newest_machine()).map_err(refused)?;
        let words = std::iter::once(path.as_os_str()).chain(self.args.iter().map(OsString::as_os_str));
        let guest = Guest {
            name: path.display().to_string(),
            elf: &elf,
            words: words.map(OsStrExt::as_bytes).collect(),
        };
        Ok(vec![measure(&guest, self.rounds, self.gas).map_err(failed)?])
    }

    fn show(&self, rows: &[Measured]) -> ExitCode {
        let text = if self.json {
            format!("{}\n", table::json(rows))
        } else {
            table::table(rows)
        };
        match io::stdout().write_all(text.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                let _ = writeln!(io::stderr(), "millrace: cannot write to stdout: {error}");
                ExitCode::from(FAILED)
            }
            _ => ExitCode::SUCCESS,
        }
    }
}
