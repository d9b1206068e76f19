//! What a fuzzer found worth keeping, on every tier: `tests/fuzz/README.md` says where it comes from.

use millrace_tests::programs::fuzz;
use millrace_tests::tools::number;

/// Inputs of the fuzz target `programs`, one in a line, in hexadecimal digits; those that reach most come first.
const INPUTS: &str = include_str!("../../fuzz/inputs/programs.hex");
/// How many are replayed, unless the run is long.
const SHORT: usize = 80;

fn bytes(line: &str) -> Vec<u8> {
    let digit = |digit: &u8| {
        let value = char::from(*digit).to_digit(16);
        value.expect("the corpus has hexadecimal digits alone") as u8
    };
    let (pairs, rest) = line.as_bytes().as_chunks::<2>();
    assert!(rest.is_empty(), "half a byte: {line}");
    pairs
        .iter()
        .map(|[high, low]| digit(high) << 4 | digit(low))
        .collect()
}

#[test]
fn what_a_fuzzer_found_worth_keeping_agrees() {
    let most = if number("MILLRACE_LONG", 0) > 0 {
        usize::MAX
    } else {
        SHORT
    };
    let mut count = 0;
    for line in INPUTS.lines().take(most) {
        fuzz::check_decisions(&bytes(line));
        count += 1;
    }
    println!("{count} inputs");
    assert!(count >= SHORT, "{count} inputs are too few");
}
