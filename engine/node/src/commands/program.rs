//! Reading a program from a file, as `run` and `inspect` do.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use millrace_jit::machine::{NEWEST, machine};
use millrace_jit::{ImageError, Machine, Program};

/// Files above this are not read: stripped of debug information, no valid program comes near.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// Why a file gave no program.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is larger than any program.
    #[error("{} has more than {MAX_FILE_BYTES} bytes, the limit for a program file: strip debug information from it", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is no program of the machine.
    #[error("{} is refused by machine version {version}: {source}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// The machine's version.
        version: u16,
        /// The rule that it breaks.
        source: ImageError,
    },
}

/// The machine that the command line runs programs on unless it is told otherwise.
pub fn newest_machine() -> &'static Machine {
    machine(NEWEST).expect("the newest version is part of every build")
}

/// Which machine a command takes.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct MachineArgs {
    /// Version of the machine; chains name theirs in the chain spec.
    #[arg(long, value_name = "VERSION", default_value_t = NEWEST, value_parser = clap::value_parser!(u16).range(1..=i64::from(NEWEST)))]
    machine_version: u16,
}

impl MachineArgs {
    /// The machine with that version.
    pub fn machine(self) -> &'static Machine {
        machine(self.machine_version).expect("versions from 1 to the newest are part of every build")
    }
}

/// All bytes of the file.
///
/// # Errors
/// If it cannot be read, or is larger than any program.
pub fn read(path: &Path) -> Result<Vec<u8>, ProgramError> {
    let unreadable = |source| ProgramError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(ProgramError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(bytes)
}

/// Validates the bytes of the file at `path`.
///
/// # Errors
/// The first rule that the file breaks.
pub fn load(path: &Path, elf: &[u8], machine: &'static Machine) -> Result<Program, ProgramError> {
    Program::load(elf, machine).map_err(|source| ProgramError::Refused {
        path: path.to_owned(),
        version: machine.version,
        source,
    })
}
