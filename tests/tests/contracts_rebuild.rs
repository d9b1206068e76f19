//! The committed contract ELFs are what their sources build to, and what the machine accepts.

use std::path::Path;
use std::process::Command;

use millrace_jit::Program;
use millrace_jit::machine::machine;

const EXAMPLES: [&str; 9] = [
    "airdrop", "auction", "counter", "exchange", "hash", "multisig", "registry", "timelock", "token",
];

/// The status of `build.sh --check` on a machine without the recorded toolchain.
const NO_TOOLCHAIN: i32 = 3;

fn contracts() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../contracts"))
}

#[test]
fn rebuilt_contracts_equal_the_committed_ones() {
    let output = Command::new(contracts().join("build.sh"))
        .arg("--check")
        .output()
        .expect("bash is there, and the script is executable");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    match output.status.code() {
        Some(0) => {}
        Some(NO_TOOLCHAIN) => println!("skipped: {said}"),
        status => panic!("contracts/build.sh --check ended with {status:?}:\n{said}"),
    }
}

#[test]
fn committed_contracts_are_valid_programs_with_stock_layout() {
    let machine = machine(1).expect("version 1 is the first");
    for name in EXAMPLES {
        let path = contracts().join(format!("artifacts/{name}.elf"));
        let elf = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let program = Program::load(&elf, machine).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(
            elf.len() < 32 << 10,
            "{name} has {} bytes; a deploy carries them all",
            elf.len()
        );
        assert!(
            program.segments().len() <= 3,
            "{name}: constants, text, and data at most"
        );
    }
}
