//! The root of the genesis state, from the chain spec: so that nobody has to be believed about it.

use alloc::vec::Vec;

use millrace_proof::path::bit;
use millrace_proof::{EMPTY, Node, Path, ValueHash, hash_internal, hash_leaf, hash_value};
use millrace_types::state::{Account, account_path};
use millrace_types::{ChainSpec, Hash, codec};

/// The root of the state at height 0: the records of all accounts of the chain spec that hold anything.
#[must_use]
pub fn state_root(spec: &ChainSpec) -> Hash {
    let mut leaves: Vec<(Path, ValueHash)> = spec
        .accounts
        .iter()
        .filter(|account| account.balance > 0)
        .map(|account| {
            let record = Account {
                nonce: 0,
                balance: account.balance,
                code_hash: None,
            };
            (
                account_path(&account.address),
                hash_value(&codec::encode(&record)),
            )
        })
        .collect();
    leaves.sort_unstable();
    // A spec that was not validated may name an account twice.
    leaves.dedup_by_key(|(path, _)| *path);
    Hash(node(&leaves, 0))
}

/// The node over `leaves`, which ascend by distinct paths that share their first `depth` bits: so recursion ends
/// before the paths do.
fn node(leaves: &[(Path, ValueHash)], depth: usize) -> Node {
    match leaves {
        [] => EMPTY,
        [(path, value_hash)] => hash_leaf(path, value_hash),
        _ => {
            let (left, right) = leaves.split_at(leaves.partition_point(|(path, _)| !bit(path, depth)));
            hash_internal(&node(left, depth + 1), &node(right, depth + 1))
        }
    }
}
