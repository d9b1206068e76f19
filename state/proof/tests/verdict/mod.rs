//! What `nomt-core` says of our proofs.

use millrace_proof::{Path, Proof, Root, Terminal};
use nomt_core::hasher::Blake3Hasher;
use nomt_core::proof::{PathProof, PathProofTerminal};
use nomt_core::trie::LeafData;
use nomt_core::trie_pos::TriePosition;

/// The proof in the oracle's form.
fn oracle_form(proof: &Proof, path: &Path) -> PathProof {
    let leaf = |key_path: &Path, value_hash: &[u8; 32]| {
        PathProofTerminal::Leaf(LeafData {
            key_path: *key_path,
            value_hash: *value_hash,
        })
    };
    let terminal = match proof.terminal() {
        Terminal::Empty if proof.depth() == 0 => PathProofTerminal::Terminator(TriePosition::new()),
        Terminal::Empty => {
            PathProofTerminal::Terminator(TriePosition::from_path_and_depth(*path, proof.depth() as u16))
        }
        Terminal::Present(value_hash) => leaf(path, value_hash),
        Terminal::Other { path, value_hash } => leaf(path, value_hash),
    };
    PathProof {
        terminal,
        siblings: proof.siblings().collect(),
    }
}

/// What the oracle says that the proof proves.
pub fn of(proof: &Proof, path: &Path, root: Root) -> Option<Option<[u8; 32]>> {
    let own_leaf = PathProofTerminal::Leaf(LeafData {
        key_path: *path,
        value_hash: [0; 32],
    });
    let verified = oracle_form(proof, path)
        .verify::<Blake3Hasher>(own_leaf.path(), root)
        .ok()?;
    if verified.confirm_nonexistence(path).ok()? {
        return Some(None);
    }
    verified
        .terminal()
        .filter(|leaf| leaf.key_path == *path)
        .map(|leaf| Some(leaf.value_hash))
}
