//! Keccak-256: `work` times over 16 KiB.
#![no_std]
#![no_main]

use guests_rust::{Digest, Random, program};
use tiny_keccak::{Hasher as _, Keccak};

program!(run);

fn run(work: u64) -> u64 {
    let mut data = [0; 16 << 10];
    Random(1).fill(&mut data);
    let mut digest = Digest::default();
    for _ in 0..work {
        let mut hash = [0; 32];
        let mut keccak = Keccak::v256();
        keccak.update(&data);
        keccak.finalize(&mut hash);
        data[..32].copy_from_slice(&hash);
        digest.bytes(&hash);
    }
    digest.finish()
}
