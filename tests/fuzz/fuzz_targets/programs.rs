//! The input's bytes are the generator's decisions: nearly every input is a valid program that ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use millrace_tests::programs::choices::Choices;
use millrace_tests::programs::fuzz;
use millrace_tests::programs::generate::{Shape, generate};

fuzz_target!(|bytes: &[u8]| {
    let mut choices = Choices::given(bytes);
    let shape = Shape {
        budget: 5000,
        depth: 200,
        traps: choices.chance(50),
        ..Shape::OURS
    };
    let guest = generate(&mut choices, shape, "a fuzzer's decisions".to_owned());
    fuzz::check(&guest, &mut choices);
});
