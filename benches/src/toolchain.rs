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
    const fn name(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Native => "native",
            Self::NativeWithFeatures => "native-with-features",
        }
    }

    const fn clang_flags(self) -> &'static str {
        match self {
            Self::Guest => {
                "--target=riscv64-unknown-elf -march=rv64imac_zba_zbb_zbs_zicond -mno-strict-align -mabi=lp64 -mcmodel=medany"
            }
            Self::Native => "--target=x86_64-linux-gnu -march=x86-64-v2",
            Self::NativeWithFeatures => "--target=x86_64-linux-gnu -march=x86-64-v2 -mbmi -mbmi2 -mlzcnt",
        }
    }

    /// Target triple and flags.
    const fn rustc(self) -> (&'static str, &'static str) {
        const X86_64: &str = "x86_64-unknown-linux-gnu";
        match self {
            Self::Guest => (
                "riscv64imac-unknown-none-elf",
                "-Ctarget-feature=+zba,+zbb,+zbs,+zicond,+unaligned-scalar-mem",
            ),
            Self::Native => (X86_64, "-Ctarget-cpu=x86-64-v2 -Crelocation-model=static"),
            Self::NativeWithFeatures => (
                X86_64,
                "-Ctarget-cpu=x86-64-v2 -Crelocation-model=static -Ctarget-feature=+bmi1,+bmi2,+lzcnt",
            ),
        }
    }
}

/// Builds `program` for `target`: an executable. C goes into `directory`, Rust into its workspace's own target
/// directory, where the next build finds it.
///
/// # Panics
/// If the compiler is missing (the message says how to get it) or refuses the source.
#[must_use]
pub fn build(program: &Program, target: Target, directory: &Path) -> PathBuf {
    match program.language {
        Language::C => build_c(program.name, target, "", directory),
        Language::Rust => build_rust(target).join(program.name),
    }
}

/// Builds a C program for the guest without symbols, as it is kept in `artifacts/`.
///
/// # Panics
/// As [`build`].
#[must_use]
pub fn build_stripped(program: &Program, directory: &Path) -> PathBuf {
    build_c(program.name, Target::Guest, "-s", directory)
}

/// The sources of C programs.
#[must_use]
pub fn c_sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guests")
}

fn build_c(name: &str, target: Target, more: &str, directory: &Path) -> PathBuf {
    let output = directory.join(format!("{name}.{}", target.name()));
    let linker = tools::find("ld.lld-19", "lld-19");
    let flags = format!(
        "-fno-pie -static --ld-path={} {} {more}",
        linker.display(),
        target.clang_flags()
    );
    clang(&[c_sources().join(format!("{name}.c"))], &flags, &output);
    output
}

/// Compiles and links with the options that every C program is built with, and `flags`.
///
/// # Panics
/// If the compiler is missing (the message says how to get it) or refuses the source.
pub fn clang(sources: &[PathBuf], flags: &str, output: &Path) {
    let result = Command::new(tools::find("clang-19", "clang-19"))
        .args(["-O2", "-ffreestanding", "-nostdlib"])
        .args(flags.split_whitespace())
        .args(sources)
        .arg("-o")
        .arg(output)
        .output()
        .expect("the compiler starts");
    assert!(
        result.status.success(),
        "{sources:?} does not compile with {flags}:\n{}",
        String::from_utf8_lossy(&result.stderr)
    );
}

/// Builds every program of `guests-rust` with the distribution's own compiler, whose library sources let the library
/// be built with the same options, and for the guest without a downloaded target.
fn build_rust(target: Target) -> PathBuf {
    let linker = tools::find("ld.lld-19", "lld-19");
    let rustc = Path::new("/usr/bin/rustc");
    assert!(
        rustc.exists(),
        "Rust guests are built by Debian's rustc-web with rust-web-src: tests/install-tools.sh installs them"
    );
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests-rust");
    let output = workspace.join("target").join(target.name());
    let (triple, flags) = target.rustc();
    // Backends that would be chosen by the host's features or by word size are named: one source on all sides.
    let common =
        "-Clinker-flavor=ld.lld --cfg curve25519_dalek_backend=\"serial\" --cfg curve25519_dalek_bits=\"64\"";
    let mut build = Command::new(env!("CARGO"));
    // Nothing of the settings that this process was built with may reach the programs.
    for variable in [
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_ENCODED_RUSTFLAGS",
    ] {
        build.env_remove(variable);
    }
    build
        .current_dir(&workspace)
        .env("RUSTC", rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env(
            "RUSTFLAGS",
            format!("-Clinker={} {common} {flags}", linker.display()),
        )
        .args(["build", "--release", "--locked", "--quiet", "--target", triple])
        .args([
            "-Zbuild-std=core,alloc",
            "-Zbuild-std-features=compiler-builtins-mem",
        ])
        .arg("--target-dir")
        .arg(&output);
    let status = build.status().expect("cargo starts");
    assert!(status.success(), "guests-rust does not build for {target:?}");
    output.join(triple).join("release")
}
