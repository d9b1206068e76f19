//! `millrace contract`: write, check, test, deploy, call and read contracts.
//!
//! [`new`] makes a project, [`build`] its ELF file, [`check`] judges one, [`mod@test`] runs a project's tests on the executor;
//! [`send`] speaks to a running chain, by the names of an [`interface`] and the values of [`values`]; [`trace`] shows what
//! happened there.

mod build;
mod check;
mod interface;
pub mod names;
mod new;
mod sections;
mod send;
mod test;
mod trace;
pub mod values;

pub use self::send::Input;
use crate::commands::run_async;
use crate::failure::Failure;

/// Makes, builds, checks and tests contracts; deploys, calls, reads and traces them.
#[derive(clap::Subcommand, Debug)]
pub enum ContractCommand {
    New(new::NewArgs),
    Build(build::BuildArgs),
    Check(check::CheckArgs),
    Test(test::TestArgs),
    Deploy(send::DeployArgs),
    Call(send::CallArgs),
    Read(send::ReadArgs),
    Trace(trace::TraceArgs),
}

impl ContractCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// When it fails; the failure says what of it.
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::New(args) => args.run(),
            Self::Build(args) => args.run(),
            Self::Check(args) => args.run(),
            Self::Test(args) => args.run(),
            Self::Deploy(args) => run_async(args.run()),
            Self::Call(args) => run_async(args.run()),
            Self::Read(args) => run_async(args.run()),
            Self::Trace(args) => run_async(args.run()),
        }
    }
}
