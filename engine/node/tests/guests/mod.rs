//! Guests that the tests of commands run, built by a stock toolchain.

use std::path::{Path, PathBuf};
use std::process::Command;

use millrace_tests::tools;

/// Builds a source that lies beside this file into `directory`, as `name.elf`.
pub fn build(source: &str, extra: &str, directory: &Path, name: &str) -> PathBuf {
    let output = directory.join(name).with_extension("elf");
    let gcc = tools::find("riscv64-unknown-elf-gcc", "gcc-riscv64-unknown-elf");
    let flags = "-march=rv64imac -mabi=lp64 -mcmodel=medany -static -nostdlib -O1 -ffreestanding";
    let status = Command::new(gcc)
        .args(flags.split(' '))
        .args(extra.split_whitespace())
        .arg(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/guests")
                .join(source),
        )
        .arg("-o")
        .arg(&output)
        .status();
    assert!(
        status.expect("the compiler starts").success(),
        "{source} does not compile"
    );
    output
}
