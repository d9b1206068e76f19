//! `millrace contract test`: a contract's own tests, on the executor of a chain.
//!
//! ```text
//! cargo test ─▶ a test ─▶ Mock ──socket──▶ server ─▶ World ─▶ Executor, interpreter ─┐ equal, or
//!                                                        └──▶ Executor, native code ─┘ the test fails
//! ```
//!
//! The tests are those that plain `cargo test` runs on the host in memory; the SDK's `Mock` finds the socket by the
//! environment variable [`SOCKET`] and leaves everything to the other side: [`protocol`], [`server`], [`world`],
//! [`mod@bench`].

mod bench;
mod protocol;
mod server;
mod world;

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use millrace_types::ChainSpec;
use serde_json::json;

use self::bench::Bench;
use super::build::project::{Project, cargo, no_cargo};
use super::build::{build, interface};
use super::check::RulesArgs;
use crate::commands::{print_json, print_text};
use crate::failure::Failure;

/// Names the socket to the SDK (`contracts/sdk/src/mock/remote.rs`).
pub const SOCKET: &str = "MILLRACE_CONTRACT_HOST";
/// Names the program under test to it.
pub const PROGRAM: &str = "MILLRACE_CONTRACT_PROGRAM";

/// Runs a contract's tests on the executor, in the interpreter and as native code both, and shows what gas they took.
#[derive(clap::Args, Debug)]
pub struct TestArgs {
    /// The contract's folder.
    #[arg(default_value = ".")]
    directory: PathBuf,
    /// The program, where the package has several.
    #[arg(long, value_name = "NAME")]
    bin: Option<String>,
    /// Rules of which chain; without it, those of `millrace dev`.
    #[command(flatten)]
    rules: RulesArgs,
    /// Prints one JSON object; what cargo says goes to stderr.
    #[arg(long)]
    json: bool,
    /// What the tests are started with: a filter, `--nocapture`.
    #[arg(last = true)]
    arguments: Vec<String>,
}

impl TestArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the contract does not build, a test fails, the tiers differ, or no test ran on the executor.
    pub fn run(self) -> Result<(), Failure> {
        let project = Project::find(&self.directory, self.bin.as_deref())?;
        let built = build(&project)?;
        let described = interface(&project)?;
        let (executor, _) = self.rules.executor()?;
        let bench = Arc::new(Bench::new(
            built.stripped()?,
            built.elf,
            described.map(|described| described.interface),
            ChainSpec::clone(executor.spec()),
        ));
        bench.set_project(project.clone());
        let folder = tempfile::tempdir()
            .map_err(|error| Failure::new(format!("contract test: a folder for the socket: {error}")))?;
        let socket = folder.path().join("host");
        server::listen(&socket, Arc::clone(&bench))
            .map_err(|error| Failure::new(format!("contract test: {}: {error}", socket.display())))?;
        let mut tests = cargo(&project.directory);
        tests.args(["test", "--package", &project.package]);
        if project.is_one_of_several {
            // Tests of another program would find this one's code under their own contract.
            tests.args(["--bin", &project.program]);
        }
        tests
            .arg("--")
            .args(&self.arguments)
            .env(SOCKET, &socket)
            .env(PROGRAM, &project.program);
        if self.json {
            tests.stdout(Stdio::from(std::io::stderr()));
        }
        let status = tests.status().map_err(|error| no_cargo(&error))?;
        let (worlds, differences) = bench.counts();
        if self.json {
            print_json(&json!({
                "passed": status.success() && differences == 0 && worlds > 0,
                "worlds": worlds,
                "differences": differences,
                "gas": bench.gas_as_json(),
            }));
        } else if worlds > 0 {
            print_text(&format!(
                "{worlds} worlds on the executor, interpreter and native code alike\n\n{}",
                bench.gas_as_text()
            ))?;
        }
        verdict(status.success(), worlds, differences)
    }
}

fn verdict(passed: bool, worlds: u64, differences: u64) -> Result<(), Failure> {
    if differences > 0 {
        return Err(Failure::new(format!(
            "interpreter and native code differ in {differences} transactions: a fault of millrace, not of the contract; \
             please report it with the contract"
        )));
    }
    if !passed {
        return Err(Failure::new("tests failed on the executor; they say why above"));
    }
    if worlds == 0 {
        return Err(Failure::new(
            "no test made a `Mock`: nothing ran on the executor. Does the filter leave one out, or is the SDK older \
             than this program?",
        ));
    }
    Ok(())
}
