//! Frozen roots and proof bytes, as printed in `docs/spec/state.md`. A change here is a change of the chain's rules.

#![allow(clippy::unwrap_used)]

mod model;

use millrace_proof::{Path, hash_value, verify, verify_batch};
use model::Model;

const A: Path = [0x00; 32];
const B: Path = [0x40; 32];
const C: Path = [0xff; 32];
const ABSENT: Path = [0x80; 32];

/// The first `size` of: A holds "a", B holds "b", C holds "c".
fn trie(size: usize) -> Model {
    [(A, b"a"), (B, b"b"), (C, b"c")]
        .into_iter()
        .take(size)
        .map(|(path, value)| (path, hash_value(value)))
        .collect()
}

fn check_proof(size: usize, path: Path, expected: &str) {
    let model = trie(size);
    let proof = model::prove(&model, &path);
    assert_eq!(
        hex::encode(proof.to_bytes()),
        expected,
        "{size} values, path {}",
        hex::encode(path)
    );
    assert_eq!(
        verify(&model::root(&model), &path, &proof),
        Ok(model.get(&path).copied())
    );
}

#[test]
fn roots_are_frozen() {
    let roots = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "beccd8a08990d0126b0e5167d3ca008bfaf553d8ee7affbc530c6d9ef33939d7",
        "18e2390f87e9bc86343bda5f4bd85b5df6506668509b8416e07130774eac08b9",
        "257bf79e6c7ae1da09b26f0857497b5aa8e71b7042bcfa0b34b0f0d8f91f5cb3",
    ];
    for (size, expected) in roots.into_iter().enumerate() {
        assert_eq!(hex::encode(model::root(&trie(size))), expected, "{size} values");
    }
}

#[test]
fn proofs_are_frozen() {
    check_proof(0, A, "000000");
    check_proof(
        1,
        A,
        "0117762fddd969a453925d65717ac3eea21320b66b54342fde15128d6caf21215f0000",
    );
    check_proof(
        1,
        C,
        "02000000000000000000000000000000000000000000000000000000000000000017762fddd969a453925d65717ac3eea21320b66b54342fde15128d6caf21215f0000",
    );
    check_proof(
        2,
        C,
        "00010080209aee052517fbb27da39bb5fe997ae29e0aaf345961df9216a2af44068464ef",
    );
    check_proof(
        3,
        B,
        "0110e5cf3d3c8a4f9f3468c8cc58eea84892a22fdadbc1acb22410190044c1d5530200c0d00e30b8d6bd8076124062b4dcd43c90daced5fd3cd12b27ecdeec7fed6659f1beccd8a08990d0126b0e5167d3ca008bfaf553d8ee7affbc530c6d9ef33939d7",
    );
    check_proof(
        3,
        ABSENT,
        "02ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffea7aa1fc9efdbe106dbb70369a75e9671fa29d52bd55536711bf197477b8f021010080209aee052517fbb27da39bb5fe997ae29e0aaf345961df9216a2af44068464ef",
    );
}

#[test]
fn batch_proofs_are_frozen() {
    let model = trie(3);
    let paths = [A, ABSENT, C];
    let proof = model::batch(&model::batch_steps(&model, &paths));
    assert_eq!(
        hex::encode(proof.to_bytes()),
        "040000000304010204000000b027190153e20ee4a1c6af86a9bc4adf534eb157f21e1a80d53835003ab959d717762fddd969a453925d65717ac3eea21320b66b54342fde15128d6caf21215fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffea7aa1fc9efdbe106dbb70369a75e9671fa29d52bd55536711bf197477b8f021"
    );
    let held: Vec<_> = paths.iter().map(|path| model.get(path).copied()).collect();
    assert_eq!(verify_batch(&model::root(&model), &paths, &proof), Ok(held));
}
