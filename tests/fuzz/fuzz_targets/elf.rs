//! The input is a file: what is valid runs the same on all tiers, and nothing panics.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use millrace_jit::Program;
use millrace_jit::machine::machine;
use millrace_tests::programs::fuzz;

fuzz_target!(|bytes: &[u8]| {
    let machine = machine(1).expect("version 1 is part of every build");
    if Program::load(bytes, machine).is_ok() {
        let load = || Arc::new(Program::load(bytes, machine).expect("it was valid before"));
        fuzz::check_program(load);
    }
});
