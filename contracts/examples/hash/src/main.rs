//! A hash workload: a chain of hashes from a seed, each round over the 32 bytes of the one before.
//!
//! | selector | function | output |
//! |---|---|---|
//! | (init) | no input | |
//! | `0x01` | `sha256_in_guest(rounds: u32, seed: [u8; 32])` | hash: 32 bytes |
//! | `0x02` | `sha256_by_host(rounds: u32, seed: [u8; 32])` | hash: 32 bytes |
//! | `0x03` | `blake3_by_host(rounds: u32, seed: [u8; 32])` | hash: 32 bytes |
//! | `0x04` | `keccak256_by_host(rounds: u32, seed: [u8; 32])` | hash: 32 bytes |
//!
//! No storage and no logs: zero rounds return the seed, and `0x01` and `0x02` agree.
#![cfg_attr(target_os = "none", no_std, no_main)]

use millrace_contract::contract;

#[contract]
mod hash {
    use millrace_contract::host;
    use sha2::{Digest, Sha256};

    #[init]
    fn init() {}

    fn chain(rounds: u32, seed: [u8; 32], hash: impl Fn(&[u8]) -> [u8; 32]) -> [u8; 32] {
        (0..rounds).fold(seed, |link, _| hash(&link))
    }

    /// So many rounds of SHA-256 in the contract's own code.
    #[call(0x01)]
    fn sha256_in_guest(rounds: u32, seed: [u8; 32]) -> [u8; 32] {
        chain(rounds, seed, |bytes| Sha256::digest(bytes).into())
    }

    /// So many rounds of SHA-256 by host calls.
    #[call(0x02)]
    fn sha256_by_host(rounds: u32, seed: [u8; 32]) -> [u8; 32] {
        chain(rounds, seed, host::sha256)
    }

    /// So many rounds of BLAKE3 by host calls.
    #[call(0x03)]
    fn blake3_by_host(rounds: u32, seed: [u8; 32]) -> [u8; 32] {
        chain(rounds, seed, host::blake3)
    }

    /// So many rounds of Keccak-256 by host calls.
    #[call(0x04)]
    fn keccak256_by_host(rounds: u32, seed: [u8; 32]) -> [u8; 32] {
        chain(rounds, seed, host::keccak256)
    }
}

#[cfg(test)]
mod tests;
