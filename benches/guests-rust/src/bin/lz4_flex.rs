//! 64 KiB of text packed and unpacked, `work` times.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;

use guests_rust::{Digest, Random, program};
use lz4_flex::block::{compress, decompress};

program!(run, 640 << 10);

fn run(work: u64) -> u64 {
    let mut random = Random(1);
    let mut text: Vec<u8> = Vec::new();
    while text.len() < 64 << 10 {
        let number = random.number();
        let back = 1 + (number >> 8) as usize % text.len().max(1);
        if number.is_multiple_of(3) && back < text.len() {
            let start = text.len() - back;
            text.extend_from_within(start..start + back.min(4 + (number >> 40) as usize % 30));
        } else {
            text.extend_from_slice(&number.to_le_bytes());
        }
    }
    let mut digest = Digest::default();
    for i in 0..work {
        let packed = compress(&text);
        let unpacked = decompress(&packed, text.len()).expect("it was packed by this program");
        let at = (i as usize * 997) % text.len();
        digest.add(packed.len() as u64 ^ u64::from(unpacked[at]));
        text[at] = text[at].wrapping_add(1);
    }
    digest.finish()
}
