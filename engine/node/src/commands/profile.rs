//! `--tier`, `--profile` and what belongs to them, for every command that executes programs.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use millrace_executor::Tier;
use millrace_jit::profile;
use serde::{Deserialize, Serialize};

use super::program;
use crate::failure::Failure;

/// How programs are executed, by the names that people give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TierName {
    /// The reference interpreter.
    Interpreter,
    /// Native code: a program is compiled before it first runs.
    Jit,
    /// The interpreter at once, native code for what becomes hot.
    Auto,
}

impl TierName {
    /// The tier.
    pub fn tier(self) -> Tier {
        match self {
            Self::Interpreter => Tier::Interpreter,
            Self::Jit => Tier::Jit,
            Self::Auto => Tier::Auto,
        }
    }

    /// The name, as it is given.
    pub fn name(self) -> &'static str {
        match self {
            Self::Interpreter => "interpreter",
            Self::Jit => "jit",
            Self::Auto => "auto",
        }
    }
}

/// Whom guests are shown to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProfileName {
    /// `perf report` and other tools: names, by /tmp/perf-PID.map.
    Perfmap,
    /// `perf inject --jit`: names, code and source lines, by jit-PID.dump.
    Jitdump,
    /// gdb and lldb: names and source lines, by their interface for code made at run time.
    Gdb,
}

/// The options.
#[derive(Args, Clone, Debug)]
pub struct ProfileArgs {
    /// Shows the guest functions behind native code to perf or gdb; docs/profiling.md has a session.
    #[arg(long, value_enum, value_name = "KIND")]
    profile: Option<ProfileName>,
    /// Where jit-PID.dump goes [default: the current directory].
    #[arg(long, value_name = "DIR", requires = "profile")]
    profile_dir: Option<PathBuf>,
    /// An ELF with the symbols and lines of programs that were stripped of theirs and have the same text; may be given
    /// often.
    #[arg(long, value_name = "FILE", requires = "profile")]
    profile_symbols: Vec<PathBuf>,
}

impl ProfileArgs {
    /// The profile that is asked for.
    pub fn plan(&self) -> Option<ProfilePlan> {
        Some(ProfilePlan {
            kind: self.profile?,
            directory: self.profile_dir.clone().unwrap_or_else(|| PathBuf::from(".")),
            symbols: self.profile_symbols.clone(),
        })
    }
}

/// A profile to be made.
#[derive(Clone, Debug)]
pub struct ProfilePlan {
    /// Whom guests are shown to.
    pub kind: ProfileName,
    /// Where its file goes, if the kind has one that can go anywhere.
    pub directory: PathBuf,
    /// ELF files with symbols.
    pub symbols: Vec<PathBuf>,
}

impl ProfilePlan {
    /// Begins the profile, before any program is loaded.
    ///
    /// # Errors
    /// When its file cannot be made, or a file with symbols is none.
    pub fn start(&self) -> Result<(), Failure> {
        let kind = match self.kind {
            ProfileName::Perfmap => profile::Kind::PerfMap,
            ProfileName::Jitdump => profile::Kind::JitDump,
            ProfileName::Gdb => profile::Kind::Gdb,
        };
        let file =
            profile::install(kind, &self.directory).map_err(|error| Failure::new(error.to_string()))?;
        if let Some(file) = file {
            tracing::info!(file = %file.display(), "the profile goes to this file");
        }
        for path in &self.symbols {
            let elf = program::read(path).map_err(|error| Failure::new(error.to_string()))?;
            if !profile::add_symbols(&elf, &label(path), program::newest_machine()) {
                let path = path.display();
                return Err(Failure::new(format!(
                    "{path} is no program of this machine, so that it has no symbols for one; `millrace inspect {path}` says why"
                )));
            }
        }
        Ok(())
    }
}

/// Ends the profile in order, if there is one.
///
/// # Errors
/// When a part of it could not be written.
pub fn finish() -> Result<(), Failure> {
    for label in profile::unused_symbols() {
        tracing::warn!(
            "no program that was loaded has the text of {label}, whose symbols were given: build them with the same compiler \
             and settings, or strip that file and run it"
        );
    }
    profile::finish().map_err(|error| Failure::new(error.to_string()))
}

/// What a profile calls the program in the file at `path`.
pub fn label(path: &Path) -> String {
    path.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// How to execute when nobody says: a profile shows native code, so that there has to be some.
///
/// # Errors
/// When a profile is asked for and native code is ruled out.
pub fn choose_tier(
    given: Option<TierName>,
    profile: Option<ProfileName>,
    native: TierName,
) -> Result<TierName, Failure> {
    match (given, profile) {
        (Some(TierName::Interpreter), Some(_)) => Err(Failure::new(
            "a profile shows native code, and the interpreter has none; choose tier jit or auto, or leave the profile",
        )),
        (Some(given), _) => Ok(given),
        (None, Some(_)) => Ok(native),
        (None, None) => Ok(TierName::Interpreter),
    }
}
