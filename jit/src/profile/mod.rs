//! What lets the tools of Linux see guests through native code: names for `perf`, lines for `perf annotate`, symbols for
//! `gdb`, and backtraces of traps.
//!
//! ```text
//! ELF ─ Program::load ─▶ Guest: label, names, lines ─┐
//!                                                    ├─ describe ─▶ Native: name, code, lines ─▶ one of
//!         Cranelift ─▶ Batch: functions, places ─────┘                                           ├ PerfMap
//!                                                                                                ├ JitDump
//!                                                                                                └ Gdb
//! ```
//!
//! Reading order: [`Kind`] and [`install`]; `guest` (what is known of a program), `native` (what is told of its native
//! code), then the three receivers, `perf_map`, `jitdump` and `gdb` with its `symbol_file`; [`backtrace`] stands alone.
//!
//! Invariants:
//! - a process has at most one profile, from before its first program is loaded to its end; without one, a program keeps
//!   no copy of its file, and publishing native code looks at one atomic word;
//! - a batch is told of before any of its code can run, and a debugger forgets it before its memory is freed;
//! - a profile changes no result. One that cannot be written any more ends, and [`finish`] says why.

pub mod backtrace;
mod gdb;
mod guest;
mod jitdump;
mod native;
mod perf_map;
mod symbol_file;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use thiserror::Error;

pub(crate) use gdb::Registered;
pub(crate) use guest::Guest;

use crate::machine::Machine;
use crate::runtime::native::Batch;
use guest::SymbolFile;
use jitdump::JitDump;
use perf_map::PerfMap;

/// Whom native code is told to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `/tmp/perf-PID.map`, where `perf report` and many other tools look for names.
    PerfMap,
    /// `jit-PID.dump`: names, code and lines, for `perf inject --jit`.
    JitDump,
    /// The interface of debuggers for code made at run time: names and lines in `gdb` and `lldb`.
    Gdb,
}

/// Why there is no profile, or not all of it.
#[derive(Debug, Error)]
pub enum ProfileError {
    /// A profile is there.
    #[error("a profile is installed already; a process has one, for all its programs")]
    Installed,
    /// The file cannot be made.
    #[error("cannot create the profile {}: {source}; give a directory that can be written to", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The mapping that tells `perf record` of the file cannot be made.
    #[error("cannot map the profile {} as executable, which is how perf finds it: {source}; give a directory on a file system that is not mounted noexec", path.display())]
    Map {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Writing failed.
    #[error("the profile {} ends early: {source}; make room and run again", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Where native code is told to, for the whole process.
#[derive(Debug)]
enum Profile {
    PerfMap(Mutex<Written<PerfMap>>),
    JitDump(Mutex<Written<JitDump>>),
    Gdb,
}

/// A file that is written until that fails.
#[derive(Debug)]
struct Written<F> {
    file: F,
    failure: Option<ProfileError>,
}

static PROFILE: OnceLock<Profile> = OnceLock::new();
static SYMBOLS: Mutex<Vec<SymbolFile>> = Mutex::new(Vec::new());

/// Tells of all native code that is made from now on, of programs loaded from now on. Files go to `directory`, but for a
/// perf map, which has its place. Gives the file that is written, where there is one.
///
/// # Errors
/// [`ProfileError`]; there is no profile then.
pub fn install(kind: Kind, directory: &Path) -> Result<Option<PathBuf>, ProfileError> {
    let (profile, path) = match kind {
        Kind::PerfMap => {
            let map = PerfMap::create(Path::new("/tmp"))?;
            let path = map.path().to_owned();
            (Profile::PerfMap(Written::new(map)), Some(path))
        }
        Kind::JitDump => {
            let dump = JitDump::create(directory)?;
            let path = dump.path().to_owned();
            (Profile::JitDump(Written::new(dump)), Some(path))
        }
        Kind::Gdb => (Profile::Gdb, None),
    };
    PROFILE.set(profile).map_err(|_| ProfileError::Installed)?;
    Ok(path)
}

/// Names and lines for programs that were stripped of theirs: those of `elf`, for every program loaded from now on whose
/// text is the same, byte for byte. Gives whether the file has text at all.
pub fn add_symbols(elf: &[u8], label: &str, machine: &'static Machine) -> bool {
    let Some(file) = SymbolFile::of(elf, label, machine) else {
        return false;
    };
    SYMBOLS.lock().unwrap_or_else(PoisonError::into_inner).push(file);
    true
}

/// Labels of the files given to [`add_symbols`] whose text no program had so far.
#[must_use]
pub fn unused_symbols() -> Vec<String> {
    let files = SYMBOLS.lock().unwrap_or_else(PoisonError::into_inner);
    files
        .iter()
        .filter_map(SymbolFile::unused)
        .map(str::to_owned)
        .collect()
}

/// Ends the profile's file in order. What has been told so far is in it without this, too.
///
/// # Errors
/// [`ProfileError::Write`], if part of the profile is missing.
pub fn finish() -> Result<(), ProfileError> {
    match PROFILE.get() {
        None | Some(Profile::Gdb) => Ok(()),
        Some(Profile::PerfMap(map)) => Written::finish(map, PerfMap::close),
        Some(Profile::JitDump(dump)) => Written::finish(dump, JitDump::close),
    }
}

/// Whether there is a profile.
pub(crate) fn is_installed() -> bool {
    PROFILE.get().is_some()
}

/// Whether what is told has lines, so that native code must know which guest instructions it was made for.
pub(crate) fn has_lines() -> bool {
    matches!(PROFILE.get(), Some(Profile::JitDump(_) | Profile::Gdb))
}

/// Whether somebody wants to walk the native stack, and has nothing but frame pointers to go by.
pub(crate) fn walks_frames() -> bool {
    matches!(PROFILE.get(), Some(Profile::Gdb))
}

/// Tells of a batch, before any of its code can run. What comes back must not outlive the batch's memory.
pub(crate) fn publish(guest: &Guest, batch: &Batch) -> Option<Registered> {
    match PROFILE.get()? {
        Profile::PerfMap(map) => Written::write(map, |map| map.load(&native::describe(guest, batch))),
        Profile::JitDump(dump) => Written::write(dump, |dump| dump.load(&native::describe(guest, batch))),
        Profile::Gdb => return gdb::register(&native::describe(guest, batch)),
    }
    None
}

impl<F> Written<F> {
    fn new(file: F) -> Mutex<Self> {
        Mutex::new(Self { file, failure: None })
    }

    fn write(this: &Mutex<Self>, write: impl FnOnce(&mut F) -> Result<(), ProfileError>) {
        let mut this = this.lock().unwrap_or_else(PoisonError::into_inner);
        if this.failure.is_none() {
            this.failure = write(&mut this.file).err();
        }
    }

    fn finish(
        this: &Mutex<Self>,
        write: impl FnOnce(&mut F) -> Result<(), ProfileError>,
    ) -> Result<(), ProfileError> {
        Self::write(this, write);
        let failure = this.lock().unwrap_or_else(PoisonError::into_inner).failure.take();
        failure.map_or(Ok(()), Err)
    }
}

/// A new file at `path`, in place of whatever a process that had this one's number before may have left there. Nothing
/// that another user has put there is followed or written to.
fn create(path: &Path) -> Result<File, ProfileError> {
    let failed = |source| ProfileError::Create {
        path: path.to_owned(),
        source,
    };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(failed)
}
