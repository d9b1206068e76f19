//! Contracts in C: a folder with one `.c` file and no Cargo.toml, compiled by clang.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Built;
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
pub fn source(directory: &Path) -> Option<PathBuf> {
    if directory.join("Cargo.toml").exists() {
        return None;
    }
    let entries = std::fs::read_dir(directory).ok()?;
    let mut sources = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"));
    let first = sources.next()?;
    sources.next().is_none().then_some(first)
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
    let object = tempfile::NamedTempFile::new()
        .map_err(|error| Failure::new(format!("contract build: a file for the compiler: {error}")))?;
    let compiler = COMPILERS
        .into_iter()
        .find(|compiler| Command::new(compiler).arg("--version").output().is_ok())
        .ok_or_else(|| Failure::new("no clang is in the PATH: `apt install clang lld`"))?;
    let status = Command::new(compiler)
        .args(FLAGS)
        .arg(format!("-ffile-prefix-map={}=contract", directory.display()))
        .arg("-I")
        .arg(directory)
        .arg("-o")
        .arg(object.path())
        .arg(source)
        .status()
        .map_err(|error| Failure::new(format!("{compiler}: {error}")))?;
    if !status.success() {
        return Err(Failure::new(format!(
            "{compiler} refuses {}; it says why above",
            source.display()
        )));
    }
    let elf = std::fs::read(object.path())
        .map_err(|error| Failure::new(format!("contract build: {}: {error}", object.path().display())))?;
    Ok(Built {
        name,
        elf,
        toolchain: compiler.to_owned(),
    })
}
