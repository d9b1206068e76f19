//! Pays everyone in a list once, and keeps 32 bytes of the list: its Merkle root.
//!
//! Proofs are checked by `rs_merkle`, an ordinary crate from crates.io without the standard library; the hash is the
//! host's BLAKE3. A leaf is the hash of one [`Share`](airdrop::Share), 84 bytes, which no node is the hash of: nodes
//! hash 64 bytes. The tree is `rs_merkle`'s: a node without a sibling moves up unchanged.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

use millrace_contract::contract;

#[contract]
mod airdrop {
    use alloc::vec::Vec;

    use millrace_contract::storage::{Item, Map};
    use millrace_contract::{Address, Error, Event, Fixed, host, storage};
    use rs_merkle::{Hasher, MerkleProof};

    /// What every leaf begins with.
    pub const DOMAIN: [u8; 32] = host::topic("millrace/example-airdrop/1");

    #[storage]
    struct Storage {
        root: Item<[u8; 32]>,
        count: Item<u32>,
        claimed: Map<u32, bool>,
    }

    /// What one account gets: the hash of its encoding is a leaf.
    #[derive(Clone, Copy, Fixed)]
    pub struct Share {
        pub domain: [u8; 32],
        pub index: u32,
        pub account: Address,
        pub amount: u128,
    }

    /// The host's BLAKE3.
    #[derive(Clone)]
    pub struct Blake3;

    impl Hasher for Blake3 {
        type Hash = [u8; 32];

        fn hash(bytes: &[u8]) -> [u8; 32] {
            host::blake3(bytes)
        }
    }

    /// An account was paid its share.
    #[derive(Event)]
    struct Claimed {
        #[topic]
        account: Address,
        index: u32,
        amount: u128,
    }

    #[derive(Error)]
    enum AirdropError {
        /// The share is not in the list.
        BadProof,
        /// The share was paid already.
        AlreadyClaimed,
        /// The contract holds less than the share.
        Dry,
    }

    /// The root of a tree of `count` shares. What comes with the deploy is given away.
    #[init(payable)]
    fn init(root: [u8; 32], count: u32) {
        STORAGE.root.set(root);
        STORAGE.count.set(count);
    }

    /// Pays `account` its share; anyone may ask for it. `proof` are the siblings from the leaf up; more are passed over.
    #[call(0x01)]
    fn claim(index: u32, account: Address, amount: u128, proof: Vec<[u8; 32]>) -> Result<(), AirdropError> {
        let count = STORAGE.count.get_or_zero();
        if index >= count {
            return Err(AirdropError::BadProof);
        }
        let share = Share {
            domain: DOMAIN,
            index,
            account,
            amount,
        };
        let leaf = host::blake3(&share.to_bytes());
        let root = MerkleProof::<Blake3>::new(proof).root(&[index as usize], &[leaf], count as usize);
        if root.ok() != STORAGE.root.get() {
            return Err(AirdropError::BadProof);
        }
        if STORAGE.claimed.get_or_zero(&index) {
            return Err(AirdropError::AlreadyClaimed);
        }
        STORAGE.claimed.set(&index, true);
        host::transfer(&account, amount).map_err(|_| AirdropError::Dry)?;
        Claimed {
            account,
            index,
            amount,
        }
        .emit();
        Ok(())
    }

    /// Whether a share was paid.
    #[call(0x10)]
    fn is_claimed(index: u32) -> bool {
        STORAGE.claimed.get_or_zero(&index)
    }

    /// The root of the list.
    #[call(0x11)]
    fn root() -> [u8; 32] {
        STORAGE.root.get_or_zero()
    }
}

#[cfg(test)]
mod tests;
