//! Tokens by name: asks tokens who they are, makes new ones, and moves them for their owners.
//!
//! It knows the token by its interface alone: `import!` reads `artifacts/token.json` and makes a client whose methods
//! call, decode, and give the token's errors by name.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

use millrace_contract::contract;

#[contract]
mod registry {
    use alloc::string::String;

    use millrace_contract::client::Failure;
    use millrace_contract::storage::{Map, Vector};
    use millrace_contract::{Address, Error, Event, Revert, host, import, storage};

    import!("../../artifacts/token.json");

    /// A token that answers gets so much gas for saying its name: one that burns all of it does no harm.
    const QUESTION_GAS: u64 = 1_000_000;

    #[storage]
    struct Storage {
        /// By the BLAKE3 hash of the name.
        #[key("token/")]
        by_name: Map<[u8; 32], Address>,
        tokens: Vector<Address>,
    }

    /// A token has a name here.
    #[derive(Event)]
    struct Registered {
        #[topic]
        token: Address,
        total_supply: u128,
        name: String,
    }

    #[derive(Error)]
    enum RegistryError {
        /// What is at the address does not answer as a token does.
        NotAToken,
        /// Another token has this name.
        NameTaken,
        /// No token has this name.
        NoSuchToken,
        /// The caller allowed the registry to move fewer tokens: `approve` comes first.
        NotAllowed,
        /// The caller has fewer tokens.
        TooFewTokens,
    }

    #[init]
    fn init() {}

    /// Enters a token under the name that it says.
    #[call(0x01)]
    fn register(token: Address) -> Result<(), RegistryError> {
        let client = token::Client::new(token).with_gas(QUESTION_GAS);
        let name = client.name().map_err(|_| RegistryError::NotAToken)?;
        let total_supply = client.total_supply().map_err(|_| RegistryError::NotAToken)?;
        let key = host::blake3(name.as_bytes());
        if STORAGE.by_name.get(&key).is_some() {
            return Err(RegistryError::NameTaken);
        }
        STORAGE.by_name.set(&key, token);
        STORAGE.tokens.push(token);
        Registered {
            token,
            total_supply,
            name,
        }
        .emit();
        Ok(())
    }

    /// Makes a token from the ELF file `code`, gives its whole supply to the caller, and enters it.
    #[call(0x02)]
    fn launch(code: &[u8], total_supply: u128, name: &str) -> Result<Address, Revert> {
        let token = token::Code::new(code).create(total_supply, name)?;
        token.transfer(host::caller(), total_supply)?;
        register(token.address())?;
        Ok(token.address())
    }

    /// Moves tokens of the caller, who allowed the registry to do so.
    #[call(0x03)]
    fn pay(name: &str, to: Address, amount: u128) -> Result<(), Revert> {
        let token = token_of(name).ok_or(RegistryError::NoSuchToken)?;
        match token::Client::new(token).transfer_from(host::caller(), to, amount) {
            Ok(()) => Ok(()),
            Err(Failure::Named(token::Error::InsufficientAllowance)) => Err(RegistryError::NotAllowed.into()),
            Err(Failure::Named(token::Error::InsufficientBalance)) => Err(RegistryError::TooFewTokens.into()),
            Err(other) => Err(other.into()),
        }
    }

    /// The token of a name.
    #[call(0x10)]
    fn token_of(name: &str) -> Option<Address> {
        STORAGE.by_name.get(&host::blake3(name.as_bytes()))
    }

    /// How many tokens have a name.
    #[call(0x11)]
    fn count() -> u32 {
        STORAGE.tokens.len()
    }

    /// The token that was entered at this place, from 0 on.
    #[call(0x12)]
    fn token_at(index: u32) -> Option<Address> {
        STORAGE.tokens.get(index)
    }
}

#[cfg(test)]
mod tests;
