//! `work` times a document of transactions parsed into a tree, changed, and written again.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::string::String;

use guests_rust::{Digest, Random, program};
use serde_json::Value;

program!(run);

fn document() -> String {
    let mut random = Random(1);
    let mut text = String::from("{\"chain\": \"test\", \"transactions\": [");
    for i in 0..64 {
        let comma = if i == 0 { "" } else { ", " };
        text += &format!(
            "{comma}{{\"nonce\": {i}, \"from\": \"{:#018x}\", \"value\": {}, \"note\": \"line\\n\\u00e9 {}\", \
             \"ok\": {}, \"path\": [1, -2, {}], \"more\": null}}",
            random.number(),
            random.number() >> 12,
            "text ".repeat((random.number() % 8) as usize),
            random.number().is_multiple_of(2),
            random.number() % 1000,
        );
    }
    text + "]}"
}

fn run(work: u64) -> u64 {
    let mut text = document();
    let mut digest = Digest::default();
    for i in 0..work {
        let mut tree: Value = serde_json::from_str(&text).expect("it was written by this program");
        let transactions = tree["transactions"].as_array_mut().expect("an array");
        let first = transactions.remove((i % 64) as usize);
        digest.add(first["value"].as_u64().expect("a number"));
        transactions.push(first);
        text = serde_json::to_string(&tree).expect("plain values");
        digest.add(text.len() as u64);
    }
    digest.bytes(text.as_bytes());
    digest.finish()
}
