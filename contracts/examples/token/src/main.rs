//! A fungible token whose whole supply belongs to its deployer at first.
//!
//! | selector | function | output |
//! |---|---|---|
//! | (init) | `init(total_supply: u128, name: str)` | |
//! | `0x01` | `transfer(to: Address, amount: u128)` | |
//! | `0x02` | `approve(spender: Address, amount: u128)` | |
//! | `0x03` | `transfer_from(from: Address, to: Address, amount: u128)` | |
//! | `0x10` | `balance_of(owner: Address)` | `u128` |
//! | `0x11` | `total_supply()` | `u128` |
//! | `0x12` | `allowance(owner: Address, spender: Address)` | `u128` |
//! | `0x13` | `name()` | `str` |
//!
//! Storage (values little endian): `balance/` ‖ owner and `allowance/` ‖ owner ‖ spender hold 16 bytes each,
//! `total_supply` 16 bytes, `name` its text. Balances are always written, zero too, and an absent one reads as
//! zero at the same cost: the gas of a transfer does not tell whether the receiver held tokens before.
//!
//! Logs: topics `transfer`, from, to, and topics `approval`, owner, spender; data: the amount, 16 bytes. Reverts
//! with `InsufficientBalance`, `InsufficientAllowance`, `NameTooLong`.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

use millrace_contract::contract;

/// The contract.
#[contract]
pub mod token {
    use alloc::string::String;

    use millrace_contract::storage::{Item, Map, Text};
    use millrace_contract::{Address, Error, Event, host, storage};

    /// The longest name, in bytes.
    const MAX_NAME_BYTES: usize = 64;

    #[storage]
    struct Storage {
        #[key("balance/")]
        balances: Map<Address, u128>,
        #[key("allowance/")]
        allowances: Map<(Address, Address), u128>,
        total_supply: Item<u128>,
        name: Text,
    }

    /// Tokens moved.
    #[derive(Event)]
    struct Transfer {
        #[topic]
        from: Address,
        #[topic]
        to: Address,
        amount: u128,
    }

    /// An owner lets another account move tokens.
    #[derive(Event)]
    struct Approval {
        #[topic]
        owner: Address,
        #[topic]
        spender: Address,
        amount: u128,
    }

    #[derive(Error)]
    enum TokenError {
        /// The sender has fewer tokens than it sends.
        InsufficientBalance,
        /// The owner allowed the caller fewer tokens than it moves.
        InsufficientAllowance,
        /// A name has at most 64 bytes.
        NameTooLong,
    }

    #[init]
    fn init(total_supply: u128, name: &str) -> Result<(), TokenError> {
        if name.len() > MAX_NAME_BYTES {
            return Err(TokenError::NameTooLong);
        }
        STORAGE.name.set(name);
        STORAGE.total_supply.set(total_supply);
        STORAGE.balances.set(&host::caller(), total_supply);
        Ok(())
    }

    /// Moves tokens of the caller.
    #[call(0x01)]
    fn transfer(to: Address, amount: u128) -> Result<(), TokenError> {
        move_tokens(&host::caller(), &to, amount)
    }

    /// Lets `spender` move so many of the caller's tokens, whatever it was allowed before.
    #[call(0x02)]
    fn approve(spender: Address, amount: u128) {
        let owner = host::caller();
        STORAGE.allowances.set(&(owner, spender), amount);
        Approval {
            owner,
            spender,
            amount,
        }
        .emit();
    }

    /// Moves tokens of `from` that it lets the caller move.
    #[call(0x03)]
    fn transfer_from(from: Address, to: Address, amount: u128) -> Result<(), TokenError> {
        let pair = (from, host::caller());
        let left = STORAGE
            .allowances
            .get_or_zero(&pair)
            .checked_sub(amount)
            .ok_or(TokenError::InsufficientAllowance)?;
        STORAGE.allowances.set(&pair, left);
        move_tokens(&from, &to, amount)
    }

    /// Moves tokens. The sender's balance is written before the receiver's is read, so that they may be the same.
    fn move_tokens(from: &Address, to: &Address, amount: u128) -> Result<(), TokenError> {
        let left = STORAGE
            .balances
            .get_or_zero(from)
            .checked_sub(amount)
            .ok_or(TokenError::InsufficientBalance)?;
        STORAGE.balances.set(from, left);
        let total = STORAGE
            .balances
            .get_or_zero(to)
            .checked_add(amount)
            .expect("balances add up to the supply");
        STORAGE.balances.set(to, total);
        Transfer {
            from: *from,
            to: *to,
            amount,
        }
        .emit();
        Ok(())
    }

    /// How many tokens an account has.
    #[call(0x10)]
    fn balance_of(owner: Address) -> u128 {
        STORAGE.balances.get_or_zero(&owner)
    }

    /// How many tokens there are.
    #[call(0x11)]
    fn total_supply() -> u128 {
        STORAGE.total_supply.get_or_zero()
    }

    /// How many tokens of `owner` `spender` may still move.
    #[call(0x12)]
    fn allowance(owner: Address, spender: Address) -> u128 {
        STORAGE.allowances.get_or_zero(&(owner, spender))
    }

    /// The token's name.
    #[call(0x13)]
    fn name() -> String {
        STORAGE.name.get().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
