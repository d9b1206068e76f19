//! 64 KiB of text packed once, unpacked `work` times.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;

use guests_rust::{Digest, Random, program};
use miniz_oxide::{deflate, inflate};

program!(run, 640 << 10);

const WORDS: [&str; 16] = [
    "block ",
    "state ",
    "root ",
    "gas ",
    "of ",
    "the ",
    "and ",
    "header ",
    "is ",
    "proof ",
    "in ",
    "a ",
    "vote ",
    "certificate ",
    "to ",
    "receipt\n",
];

fn run(work: u64) -> u64 {
    let mut random = Random(1);
    let mut text = Vec::new();
    while text.len() < 64 << 10 {
        let number = random.number();
        text.extend_from_slice(WORDS[(number % 16) as usize].as_bytes());
        if number >> 60 == 0 {
            text.push((number >> 32) as u8);
        }
    }
    let packed = deflate::compress_to_vec_zlib(&text, 6);
    let mut digest = Digest::default();
    digest.bytes(&packed);
    for i in 0..work {
        let unpacked = inflate::decompress_to_vec_zlib(&packed).expect("it was packed by this program");
        assert_eq!(unpacked.len(), text.len());
        digest.add(u64::from(unpacked[(i as usize * 997) % text.len()]));
    }
    digest.finish()
}
