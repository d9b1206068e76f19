//! SHA-256 in software: `work` times over 16 KiB.
#![no_std]
#![no_main]

use guests_rust::{Digest, Random, program};
use sha2::{Digest as _, Sha256};

program!(run);

fn run(work: u64) -> u64 {
    let mut data = [0; 16 << 10];
    Random(1).fill(&mut data);
    let mut digest = Digest::default();
    for _ in 0..work {
        let hash = Sha256::digest(data);
        data[..32].copy_from_slice(&hash);
        digest.bytes(&hash);
    }
    digest.finish()
}
