//! Contracts in C: a folder with one `.c` file and no Cargo.toml, compiled by clang with the SDK's header at hand.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Built, Described};
use crate::commands::contract::interface::{Interface, InterfaceError};
use crate::commands::contract::new::sdk;
use crate::failure::Failure;

const COMPILERS: [&str; 4] = ["clang", "clang-19", "clang-20", "clang-18"];
/// The machine's extensions that clang takes without being told that they are experimental, for size, freestanding.
const FLAGS: [&str; 13] = [
    "--target=riscv64-unknown-elf",
    "-march=rv64imac_zba_zbb_zbc_zbs_zicond",
    "-mabi=lp64",
    "-mcmodel=medany",
    "-Os",
    "-g1",
    "-std=c17",
    "-ffreestanding",
    "-fno-builtin",
    "-nostdlib",
    "-static",
    "-fuse-ld=lld",
    "-Wl,--gc-sections",
];

/// The one C file of a folder that is no cargo project.
///
/// # Errors
/// When there are several.
pub fn source(directory: &Path) -> Result<Option<PathBuf>, Failure> {
    if directory.join("Cargo.toml").exists() {
        return Ok(None);
    }
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Ok(None);
    };
    let mut sources: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
        .collect();
    match sources.len() {
        0 | 1 => Ok(sources.pop()),
        several => Err(Failure::new(format!(
            "{} holds {several} files in C: a contract is one file, which includes the others (name them .h or .inc)",
            directory.display()
        ))),
    }
}

/// Compiles and links it.
///
/// # Errors
/// When there is no clang, or it refuses the source.
pub fn build(source: &Path) -> Result<Built, Failure> {
    let name = source
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let directory = source.parent().unwrap_or(Path::new("."));
    let failed = |what: &Path, error: std::io::Error| {
        Failure::new(format!("contract build: {}: {error}", what.display()))
    };
    let sdk = tempfile::tempdir().map_err(|error| failed(&std::env::temp_dir(), error))?;
    let (header, object) = (sdk.path().join("millrace.h"), sdk.path().join("object"));
    std::fs::write(&header, sdk::c_header()).map_err(|error| failed(&header, error))?;
    let compiler = COMPILERS
        .into_iter()
        .find(|compiler| Command::new(compiler).arg("--version").output().is_ok())
        .ok_or_else(|| Failure::new("no clang is in the PATH: `apt install clang lld`"))?;
    let status = Command::new(compiler)
        .args(FLAGS)
        .arg(format!("-ffile-prefix-map={}=contract", directory.display()))
        .arg(format!("-ffile-prefix-map={}=sdk", sdk.path().display()))
        // A header of the contract's own goes before.
        .arg("-I")
        .arg(directory)
        .arg("-I")
        .arg(sdk.path())
        .arg("-o")
        .arg(&object)
        .arg(source)
        .status()
        .map_err(|error| Failure::new(format!("{compiler}: {error}")))?;
    if !status.success() {
        return Err(Failure::new(format!(
            "{compiler} refuses {}; it says why above",
            source.display()
        )));
    }
    let elf = std::fs::read(&object).map_err(|error| failed(&object, error))?;
    Ok(Built {
        name,
        elf,
        toolchain: compiler.to_owned(),
    })
}

/// The interface that its author wrote beside it, if there is one.
///
/// # Errors
/// When the file is no interface.
pub fn interface(source: &Path) -> Result<Option<Described>, InterfaceError> {
    let path = source.with_file_name("interface.json");
    if !path.is_file() {
        return Ok(None);
    }
    Interface::text(&path).map(|(text, interface)| Some(Described { text, interface }))
}
