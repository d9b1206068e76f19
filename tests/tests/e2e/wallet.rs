//! An account with its key: signs transactions by the types' own rules, without the program's help.

use millrace_types::keys::SecretKey;
use millrace_types::{Address, Gas, Payload, SignedTransaction, Transaction};

/// Chain id of development chains.
pub const CHAIN_ID: u64 = 4860;
/// Enough for a call of the examples.
pub const CALL_GAS: Gas = 4_000_000;
/// Enough for a deploy of the examples.
pub const DEPLOY_GAS: Gas = 150_000_000;

/// An account that can sign.
#[derive(Clone)]
pub struct Wallet {
    /// Its key.
    pub key: SecretKey,
    /// Its address.
    pub address: Address,
}

impl Wallet {
    /// The account of a secret key in hex.
    pub fn new(secret: &str) -> Self {
        let key: SecretKey = secret.parse().expect("32 bytes of hex");
        let address = key.address();
        Self { key, address }
    }

    /// Its address as the RPC writes it.
    pub fn address_text(&self) -> String {
        self.address.to_string()
    }

    /// Its key as the command line takes it.
    pub fn secret_text(&self) -> String {
        let seed = self.key.to_seed();
        let digits: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("0x{digits}")
    }

    /// Signs a transaction at the lowest price.
    pub fn sign(&self, nonce: u64, gas_limit: Gas, payload: Payload) -> SignedTransaction {
        let unsigned = Transaction {
            chain_id: CHAIN_ID,
            public_key: self.key.public_key().0,
            nonce,
            gas_limit,
            gas_price: 1,
            payload,
        };
        unsigned.sign(&self.key)
    }

    /// Signs a call without value.
    pub fn call(&self, nonce: u64, to: Address, input: Vec<u8>) -> SignedTransaction {
        self.sign(nonce, CALL_GAS, Payload::Call { to, value: 0, input })
    }

    /// Signs a deploy without value.
    pub fn deploy(&self, nonce: u64, code: Vec<u8>, input: Vec<u8>) -> SignedTransaction {
        self.sign(
            nonce,
            DEPLOY_GAS,
            Payload::Deploy {
                code,
                value: 0,
                input,
            },
        )
    }
}

/// A built example contract.
pub fn example(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../contracts/artifacts")
        .join(format!("{name}.elf"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
