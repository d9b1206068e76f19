//! BLAKE3 in its portable form: `work` times over 16 KiB.
#![no_std]
#![no_main]

use guests_rust::{Digest, Random, program};

program!(run);

fn run(work: u64) -> u64 {
    let mut data = [0; 16 << 10];
    Random(1).fill(&mut data);
    let mut digest = Digest::default();
    for _ in 0..work {
        let hash = blake3::hash(&data);
        data[..32].copy_from_slice(hash.as_bytes());
        digest.bytes(hash.as_bytes());
    }
    digest.finish()
}
