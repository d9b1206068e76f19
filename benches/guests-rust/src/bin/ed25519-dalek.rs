//! Ed25519: `work` verifications, every eighth of a forged signature.
#![no_std]
#![no_main]

use ed25519_dalek::{Signature, Signer as _, SigningKey};
use guests_rust::{Digest, program};

program!(run);

fn run(work: u64) -> u64 {
    let key = SigningKey::from_bytes(&[7; 32]);
    let public = key.verifying_key();
    let messages: [[u8; 32]; 4] = core::array::from_fn(|i| [i as u8; 32]);
    let signatures: [Signature; 4] = messages.map(|message| key.sign(&message));
    let mut digest = Digest::default();
    for i in 0..work as usize {
        let forged = usize::from(i % 8 == 7);
        let verified = public.verify_strict(&messages[(i + forged) % 4], &signatures[i % 4]);
        assert_eq!(verified.is_ok(), forged == 0);
        digest.add(u64::from(verified.is_ok()));
    }
    digest.bytes(&signatures[3].to_bytes());
    digest.finish()
}
