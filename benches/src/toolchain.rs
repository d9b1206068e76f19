//! One source, one compiler, both sides.
//!
//! A ratio to native says something of the machine only where everything else is equal: the guest and its native twin
//! come from the same file, the same LLVM and the same options, but for the target. What 1.0 is, is
//! [`Target::Native`]: x86-64-v2, which has SSE vectors but neither BMI nor AVX.

use std::path::{Path, PathBuf};
use std::process::Command;

use millrace_tests::tools;

use crate::programs::{Language, Program};

/// What a program is compiled for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// Machine version 1: RV64IMAC with Zba, Zbb, Zbs and Zicond.
    Guest,
    /// x86-64-v2: what ratios are to.
    Native,
    /// x86-64-v2 with the instructions that translated code may use on this host: BMI1, BMI2, LZCNT.
    NativeWithFeatures,
}

impl Target {
    const fn suffix(self) -> &'static str {
        match self {
            Self::Guest => "elf",
            Self::Native => "native",
            Self::NativeWithFeatures => "features",
        }
    }

    const fn clang_flags(self) -> &'static str {
        match self {
            Self::Guest => {
                "--target=riscv64-unknown-elf -march=rv64imac_zba_zbb_zbs_zicond -mabi=lp64 -mcmodel=medany"
            }
            Self::Native => "--target=x86_64-linux-gnu -march=x86-64-v2",
            Self::NativeWithFeatures => "--target=x86_64-linux-gnu -march=x86-64-v2 -mbmi -mbmi2 -mlzcnt",
        }
    }
}

/// Builds `program` for `target` into `directory`: an executable.
///
/// # Panics
/// If the compiler is missing (the message says how to get it) or refuses the source.
#[must_use]
pub fn build(program: &Program, target: Target, directory: &Path) -> PathBuf {
    match program.language {
        Language::C => build_c(program.name, target, directory),
    }
}

/// The sources of C programs.
#[must_use]
pub fn c_sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guests")
}

fn build_c(name: &str, target: Target, directory: &Path) -> PathBuf {
    let output = directory.join(format!("{name}.{}", target.suffix()));
    let clang = tools::find("clang-19", "clang-19");
    let linker = tools::find("ld.lld-19", "lld-19");
    let common = "-O2 -ffreestanding -fno-pie -static -nostdlib";
    let result = Command::new(clang)
        .args(common.split_whitespace())
        .arg(format!("--ld-path={}", linker.display()))
        .args(target.clang_flags().split_whitespace())
        .arg(c_sources().join(format!("{name}.c")))
        .arg("-o")
        .arg(&output)
        .output()
        .expect("the compiler starts");
    assert!(
        result.status.success(),
        "{name}.c does not compile for {target:?}:\n{}",
        String::from_utf8_lossy(&result.stderr)
    );
    output
}
