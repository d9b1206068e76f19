//! Hashes and signatures, against published vectors.

use millrace_executor::host::number;
use millrace_types::Hash;

use crate::common::{SCRATCH, Script, World, key, result_of};

const UNMAPPED: u64 = 0x8000_0000;

fn digest(number: u64, message: &[u8]) -> String {
    let mut script = Script::new();
    let pointer = script.data(message);
    let script = script.host(number, &[pointer, message.len() as u64, SCRATCH]);
    let answers = World::new().answers(script.returning(32));
    answers
        .scratch(0, 32)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn digests_are_those_of_the_standards() {
    for (number, message, expected) in [
        (
            number::BLAKE3,
            "",
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
        ),
        (
            number::BLAKE3,
            "abc",
            "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
        ),
        (
            number::SHA256,
            "",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (
            number::SHA256,
            "abc",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            number::KECCAK256,
            "",
            "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470",
        ),
        (
            number::KECCAK256,
            "abc",
            "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45",
        ),
    ] {
        assert_eq!(
            digest(number, message.as_bytes()),
            expected,
            "host call {number:#x} of {message:?}"
        );
    }
}

#[test]
fn a_digest_may_be_written_over_its_message() {
    let script = Script::new().host(number::BLAKE3, &[SCRATCH, 64, SCRATCH + 8]);
    let answers = World::new().answers(script.returning(40));
    assert_eq!(answers.scratch(8, 32), blake3::hash(&[0; 64]).as_bytes());
}

/// The answer of `ed25519_verify`.
fn verify(public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> u64 {
    let mut script = Script::new();
    let (key, text, signature) = (
        script.data(public_key),
        script.data(message),
        script.data(signature),
    );
    let script = script.host(
        number::ED25519_VERIFY,
        &[key, text, message.len() as u64, signature],
    );
    World::new().answers(script.returning(0)).a0(0)
}

#[test]
fn signatures_are_verified() {
    let key = key(0);
    let (public_key, message) = (key.public_key().0, Hash([9; 32]));
    let signature = key.sign(&message);
    assert_eq!(verify(&public_key, &message.0, &signature), 1);
    assert_eq!(verify(&public_key, &[8; 32], &signature), 0, "another message");
    assert_eq!(
        verify(&public_key, &message.0[..31], &signature),
        0,
        "a shorter message"
    );
    let mut wrong = signature;
    wrong[3] ^= 1;
    assert_eq!(verify(&public_key, &message.0, &wrong), 0, "another signature");
    assert_eq!(
        verify(&[2; 32], &message.0, &signature),
        0,
        "a key that is no point"
    );
}

#[test]
fn zip_215_takes_what_strict_rules_refuse() {
    // The identity as key and as R, s = 0: the cofactored equation holds for every message.
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut signature = [0; 64];
    signature[0] = 1;
    assert_eq!(verify(&identity, b"any message", &signature), 1);
    // The same point with its y coordinate not reduced.
    let mut unreduced = [0xff; 32];
    unreduced[0] = 0xee;
    unreduced[31] = 0x7f;
    assert_eq!(verify(&unreduced, b"any message", &signature), 1);
    // s = the group's order is not reduced, and never taken.
    let order = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    signature[32..].copy_from_slice(&order);
    assert_eq!(verify(&identity, b"any message", &signature), 0);
}

#[test]
fn ranges_that_are_not_mapped_trap() {
    let good = SCRATCH;
    for number in [number::BLAKE3, number::SHA256, number::KECCAK256] {
        let message = format!("access fault: read of 8 bytes at {UNMAPPED:#x}");
        assert_eq!(result_of(number, &[UNMAPPED, 8, good]), message);
        let message = format!("access fault: write of 32 bytes at {UNMAPPED:#x}");
        assert_eq!(result_of(number, &[good, 8, UNMAPPED]), message);
    }
    for (arguments, len) in [
        ([UNMAPPED, good, 5, good], 32),
        ([good, UNMAPPED, 5, good], 5),
        ([good, good, 5, UNMAPPED], 64),
    ] {
        let message = format!("access fault: read of {len} bytes at {UNMAPPED:#x}");
        assert_eq!(result_of(number::ED25519_VERIFY, &arguments), message);
    }
}
