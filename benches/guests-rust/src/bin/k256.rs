//! ECDSA on secp256k1: `work` verifications, every eighth of a forged signature.
#![no_std]
#![no_main]

use guests_rust::{Digest, program};
use k256::ecdsa::signature::{Signer as _, Verifier as _};
use k256::ecdsa::{Signature, SigningKey, VerifyingKey};

program!(run);

fn run(work: u64) -> u64 {
    let key = SigningKey::from_slice(&[7; 32]).expect("a number below the group's order");
    let public = VerifyingKey::from(&key);
    let messages: [[u8; 32]; 4] = core::array::from_fn(|i| [i as u8; 32]);
    let signatures: [Signature; 4] = messages.map(|message| key.sign(&message));
    let mut digest = Digest::default();
    for i in 0..work as usize {
        let forged = usize::from(i % 8 == 7);
        let verified = public.verify(&messages[(i + forged) % 4], &signatures[i % 4]);
        assert_eq!(verified.is_ok(), forged == 0);
        digest.add(u64::from(verified.is_ok()));
    }
    digest.bytes(&signatures[3].to_bytes());
    digest.finish()
}
