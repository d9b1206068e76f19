//! Why a plugin is refused, cannot be started or did not stop. Every message names the file and the mend.

use std::io;
use std::path::PathBuf;

use millrace_plugin_abi::{ABI_MAJOR, ABI_MINOR, SCHEMA};

use crate::engine::BlockBytes;
use crate::status::PluginFailure;

/// Files larger than this are not read: no plugin is, and a mistaken path may be anything.
pub const MAX_FILE_BYTES: u64 = 512 << 20;

/// Why a file is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be opened or read.
    #[error("cannot read the consensus plugin {path}: {source}; check the path and its permissions", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder, a device, or far too large.
    #[error("{path} is no consensus plugin: {what}; give the path of the plugin's shared object (.so)", path = path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is.
        what: String,
    },
    /// The sealed copy cannot be made.
    #[error("cannot make a sealed copy of the consensus plugin {path}: {source}; the node needs memfd_create, file seals and free memory", path = path.display())]
    Seal {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file's hash is not the pinned one.
    #[error(
        "the consensus plugin {path} has BLAKE3 hash {found}, but the configuration pins {expected}; install the pinned file, or pin the new hash if the change is meant",
        path = path.display()
    )]
    Pin {
        /// The file.
        path: PathBuf,
        /// The pin, as hexadecimal.
        expected: String,
        /// The file's hash, as hexadecimal.
        found: String,
    },
    /// Not a shared object that this machine could load.
    #[error("{path} is no shared object for this machine: {what}; build the plugin as a cdylib (or with cc -shared -fPIC) for {machine}", path = path.display(), machine = crate::elf::MACHINE)]
    NotASharedObject {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A shared object, but not a plugin.
    #[error(
        "{path} is a shared object but no Millrace plugin: it has no .note.millrace section; export the plugin with export_plugin! of millrace-plugin-sdk, or MILLRACE_PLUGIN_NOTE of millrace_plugin.h",
        path = path.display()
    )]
    NoNote {
        /// The file.
        path: PathBuf,
    },
    /// The note is damaged.
    #[error("{path} has a damaged Millrace note: {what}; rebuild the plugin with export_plugin! or MILLRACE_PLUGIN_NOTE", path = path.display())]
    BadNote {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Built for another major version of the ABI.
    #[error(
        "the consensus plugin {path} is built for plugin ABI {major}.{minor}, but this node speaks {ABI_MAJOR}.{ABI_MINOR}; rebuild the plugin with millrace-plugin-sdk of ABI {ABI_MAJOR}, or run a node of ABI {major}",
        path = path.display()
    )]
    AbiVersion {
        /// The file.
        path: PathBuf,
        /// The plugin's major version.
        major: u16,
        /// The plugin's minor version.
        minor: u16,
    },
    /// Built for another encoding of blocks.
    #[error(
        "the consensus plugin {path} reads blocks of schema {found}, but this node writes schema {SCHEMA}; rebuild the plugin with the millrace-plugin-sdk of this node's release",
        path = path.display()
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// The plugin's schema.
        found: u32,
    },
    /// Another consensus than the chain's.
    #[error(
        "the consensus plugin {path} is {found}, but the chain spec names {expected}; configure the plugin for {expected}, or the chain that runs {found}",
        path = path.display()
    )]
    Identity {
        /// The file.
        path: PathBuf,
        /// What the chain spec names.
        expected: String,
        /// What the note says.
        found: String,
    },
    /// The entry symbol is missing, or too small for any table.
    #[error(
        "the consensus plugin {path} has a Millrace note but exports no table `millrace_plugin`: {what}; export it with export_plugin!, or define `const MillracePlugin millrace_plugin` with default visibility",
        path = path.display()
    )]
    NoTable {
        /// The file.
        path: PathBuf,
        /// What is missing.
        what: String,
    },
    /// The system's loader refused it.
    #[error("the system cannot load the consensus plugin {path}: {reason}; install the libraries that it needs, or build it for this system", path = path.display())]
    Dlopen {
        /// The file.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// The table is not what the ABI says.
    #[error("the consensus plugin {path} exports a damaged table: {what}; rebuild it with millrace-plugin-sdk or millrace_plugin.h of ABI {ABI_MAJOR}.{ABI_MINOR}", path = path.display())]
    BadTable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// No thread for the plugin.
    #[error("cannot start a thread for the consensus plugin {path}: {source}; raise the limit of threads", path = path.display())]
    Thread {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a plugin did not start. It is not entered again; loading it anew is possible.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// `start` was called before.
    #[error("the consensus plugin {plugin} was started before; load it anew to start it again")]
    StartedBefore {
        /// Its consensus id.
        plugin: String,
    },
    /// The operator's configuration, or the chain spec's parameters, are wrong.
    #[error("the consensus plugin {plugin} ({path}) refuses its configuration: {reason}", path = path.display())]
    Configuration {
        /// Its consensus id.
        plugin: String,
        /// The file.
        path: PathBuf,
        /// Its own words.
        reason: String,
    },
    /// The plugin finds this node's tables wrong.
    #[error("the consensus plugin {plugin} ({path}) refuses this node's ABI {ABI_MAJOR}.{ABI_MINOR}: {reason}; rebuild the plugin for this node, or run a node that offers what it needs", path = path.display())]
    Abi {
        /// Its consensus id.
        plugin: String,
        /// The file.
        path: PathBuf,
        /// Its own words.
        reason: String,
    },
    /// It failed.
    #[error("{0}")]
    Failed(PluginFailure),
}

/// Why a plugin did not stop as it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// It has not come back.
    #[error(
        "the consensus plugin {plugin} has not returned from {call} within {waited_ms} ms of being stopped; everything else is stopped and what is acknowledged is durable, so the process leaves without it"
    )]
    Deadline {
        /// Its consensus id.
        plugin: String,
        /// Where it is.
        call: String,
        /// How long was waited.
        waited_ms: u64,
    },
    /// It failed, now or before.
    #[error("{0}")]
    Failed(PluginFailure),
}

/// 64 proposals wait already. Carries the block that was not taken.
#[derive(Debug, thiserror::Error)]
#[error("64 proposals wait for the consensus plugin already; offer this one again later, or drop it")]
pub struct ProposalsFull(pub BlockBytes);
