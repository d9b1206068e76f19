//! The first byte chooses a method of the RPC; the rest is what it is called with. Whatever that is, the answer is a word
//! about it that is no longer than a few lines.
#![no_main]

use libfuzzer_sys::fuzz_target;
use millrace_rpc::{judge_parameters, method_names};

/// A refusal quotes at most 80 characters of what was given, and names what the method takes.
const LONGEST: usize = 1_500;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, params)) = bytes.split_first() else {
        return;
    };
    let methods: Vec<&str> = method_names().collect();
    let method = methods[usize::from(*first) % methods.len()];
    // The server's own decoder has refused what is no UTF-8.
    let Ok(params) = std::str::from_utf8(params) else {
        return;
    };
    if let Err(refusal) = judge_parameters(method, params) {
        assert!(refusal.message().len() < LONGEST, "{}", refusal.message());
    }
});
