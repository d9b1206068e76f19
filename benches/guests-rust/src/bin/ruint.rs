//! What an EVM does with 256-bit integers: `work` rounds of products, quotients, remainders, powers modulo a prime.
#![no_std]
#![no_main]

use guests_rust::{Digest, Random, program};
use ruint::Uint;

program!(run);

type U256 = Uint<256, 4>;

fn run(work: u64) -> u64 {
    let mut random = Random(1);
    let mut number = || U256::from_limbs(core::array::from_fn(|_| random.number()));
    let mut digest = Digest::default();
    let mut sum = U256::ZERO;
    for i in 0..work {
        let (a, b, modulus) = (number(), number(), number() | U256::ONE);
        let short = b >> (i % 4 * 64) as usize;
        sum = sum.wrapping_add(a.wrapping_mul(b));
        sum ^= a / short;
        sum = sum.wrapping_add(a % short);
        sum ^= a.mul_mod(b, modulus);
        sum ^= a.add_mod(b, modulus);
        sum ^= a.wrapping_pow(short & U256::from(0xffff));
        digest.add(sum.as_limbs()[(i % 4) as usize]);
    }
    digest.finish()
}
