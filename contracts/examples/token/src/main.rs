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
//! with `insufficient balance`, `insufficient allowance`, `a name has at most 64 bytes`.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

use alloc::vec::Vec;

use millrace_contract::storage::{Blob, Item, Map};
use millrace_contract::{Address, Revert, contract, host};

/// The longest name, in bytes.
const MAX_NAME_BYTES: usize = 64;

const BALANCES: Map<Address, u128> = Map::new(b"balance/");
const ALLOWANCES: Map<(Address, Address), u128> = Map::new(b"allowance/");
const TOTAL_SUPPLY: Item<u128> = Item::new(b"total_supply");
const NAME: Blob = Blob::new(b"name");

const TRANSFER: [u8; 32] = host::topic("transfer");
const APPROVAL: [u8; 32] = host::topic("approval");

contract! {
    init => init(total_supply: u128, name: &str);
    0x01 => transfer(to: Address, amount: u128);
    0x02 => approve(spender: Address, amount: u128);
    0x03 => transfer_from(from: Address, to: Address, amount: u128);
    0x10 => balance_of(owner: Address) -> u128;
    0x11 => total_supply() -> u128;
    0x12 => allowance(owner: Address, spender: Address) -> u128;
    0x13 => name() -> Vec<u8>;
}

fn init(total_supply: u128, name: &str) -> Result<(), Revert> {
    if name.len() > MAX_NAME_BYTES {
        return Err("a name has at most 64 bytes".into());
    }
    NAME.set(name.as_bytes());
    TOTAL_SUPPLY.set(total_supply);
    BALANCES.set(&host::caller(), total_supply);
    Ok(())
}

fn transfer(to: Address, amount: u128) -> Result<(), Revert> {
    move_tokens(&host::caller(), &to, amount)
}

fn approve(spender: Address, amount: u128) {
    let owner = host::caller();
    ALLOWANCES.set(&(owner, spender), amount);
    host::log(&[APPROVAL, owner.0, spender.0], &amount.to_le_bytes());
}

fn transfer_from(from: Address, to: Address, amount: u128) -> Result<(), Revert> {
    let pair = (from, host::caller());
    let left = ALLOWANCES
        .get_or_zero(&pair)
        .checked_sub(amount)
        .ok_or("insufficient allowance")?;
    ALLOWANCES.set(&pair, left);
    move_tokens(&from, &to, amount)
}

/// Moves tokens. The sender's balance is written before the receiver's is read, so that they may be the same.
fn move_tokens(from: &Address, to: &Address, amount: u128) -> Result<(), Revert> {
    let left = BALANCES
        .get_or_zero(from)
        .checked_sub(amount)
        .ok_or("insufficient balance")?;
    BALANCES.set(from, left);
    let total = BALANCES
        .get_or_zero(to)
        .checked_add(amount)
        .expect("balances add up to the supply");
    BALANCES.set(to, total);
    host::log(&[TRANSFER, from.0, to.0], &amount.to_le_bytes());
    Ok(())
}

fn balance_of(owner: Address) -> u128 {
    BALANCES.get_or_zero(&owner)
}

fn total_supply() -> u128 {
    TOTAL_SUPPLY.get_or_zero()
}

fn allowance(owner: Address, spender: Address) -> u128 {
    ALLOWANCES.get_or_zero(&(owner, spender))
}

fn name() -> Vec<u8> {
    NAME.get().unwrap_or_default()
}

#[cfg(test)]
mod tests;
