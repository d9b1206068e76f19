//! The input's bytes are code, behind an entry that sets all registers: any instructions in any order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use millrace_tests::programs::choices::Choices;
use millrace_tests::programs::fuzz;
use millrace_tests::programs::generate::raw;

fuzz_target!(|bytes: &[u8]| {
    // The first two bytes choose where things lie and what the gas limit is.
    let (head, code) = bytes.split_at(bytes.len().min(2));
    let mut choices = Choices::given(head);
    let guest = raw(&mut choices, code, "a fuzzer's bytes".to_owned());
    fuzz::check(&guest, &mut choices);
});
