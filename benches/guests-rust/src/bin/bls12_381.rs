//! `work` pairings on BLS12-381.
#![no_std]
#![no_main]

use bls12_381::{G1Affine, G1Projective, G2Affine, G2Projective, Scalar, pairing};
use guests_rust::{Digest, program};

program!(run);

fn run(work: u64) -> u64 {
    let left = G1Projective::generator() * Scalar::from(0x1234_5678_9abc_def0);
    let mut right = G2Projective::generator();
    let mut digest = Digest::default();
    for _ in 0..work {
        let once = pairing(&G1Affine::from(left), &G2Affine::from(right));
        let twice = pairing(&G1Affine::from(left.double()), &G2Affine::from(right));
        assert_eq!(once + once, twice, "a pairing is bilinear");
        right += G2Projective::generator();
        digest.bytes(&G2Affine::from(right).to_compressed());
    }
    digest.finish()
}
