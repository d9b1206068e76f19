//! A lazy DFA finds addresses, numbers and dates in 16 KiB of log, `work` times.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::string::String;

use guests_rust::{Digest, Random, program};
use regex_automata::hybrid::regex::Regex;

program!(run);

fn log() -> String {
    let mut random = Random(1);
    let mut text = String::new();
    while text.len() < 16 << 10 {
        let (a, b) = (random.number(), random.number());
        text += &match a % 3 {
            0 => format!(
                "2026-{:02}-{:02} block {} took {} ms\n",
                a % 12 + 1,
                b % 28 + 1,
                b % 99999,
                a % 7000
            ),
            1 => format!(
                "peer {:x}@example.org said hello; {} more wait\n",
                a >> 40,
                b % 50
            ),
            _ => format!("account 0x{b:016x} grew to {}.{}\n", a >> 30, b % 100),
        };
    }
    text
}

fn run(work: u64) -> u64 {
    let text = log();
    let pattern = r"[0-9]{4}-[0-9]{2}-[0-9]{2}|0x[0-9a-f]+|[a-z0-9]+@[a-z]+\.[a-z]{2,}|[0-9]+(\.[0-9]+)?";
    let regex = Regex::new(pattern).expect("a well-formed pattern");
    let mut cache = regex.create_cache();
    let mut digest = Digest::default();
    for _ in 0..work {
        for found in regex.find_iter(&mut cache, &text) {
            digest.add((found.start() << 32 | found.end()) as u64);
        }
    }
    digest.finish()
}
