//! The input's bytes are the generator's decisions.
#![no_main]

use libfuzzer_sys::fuzz_target;
use millrace_tests::programs::fuzz;

fuzz_target!(|bytes: &[u8]| fuzz::check_decisions(bytes));
