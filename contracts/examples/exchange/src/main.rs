//! An exchange: pools of two tokens each, in which the product of the reserves never falls.
//!
//! | selector | function | output |
//! |---|---|---|
//! | (init) | no input; there are no pools at first | |
//! | `0x01` | `open(pool: u32, a: u128, b: u128)` | |
//! | `0x02` | `swap(pool: u32, a_for_b: bool, amount: u128, least: u128)` | what comes out: `u128` |
//! | `0x03` | `deposit(pool: u32, is_a: bool, amount: u128)` | |
//! | `0x10` | `reserve(pool: u32, is_a: bool)` | `u128` |
//! | `0x11` | `balance(owner: Address, pool: u32, is_a: bool)` | `u128` |
//!
//! It shows who waits for whom, and is no product: a pool's tokens are numbers that `open` and `deposit` give to whoever
//! asks. Swaps of one pool depend on each other, those of different pools do not.
//!
//! Storage (16 bytes each, little endian): `reserve/` ‖ pool ‖ side, `balance/` ‖ owner ‖ pool ‖ side, a side being one
//! byte, 1 for a. Log of a swap: topics `swap`, caller; data: pool, side that goes in, what goes in, what comes out. Of
//! what goes in, 3 of 1,000 stay in the pool before the price is found. Reverts with `a pool has both tokens`, `the pool is
//! open already`, `no such pool`, `insufficient balance`, `less than asked for`, `the amount is too large`.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

use millrace_contract::storage::Map;
use millrace_contract::{Address, Revert, contract, host};

/// Reserves and amounts stay below this, so that no product of two overflows.
const LIMIT: u128 = 1 << 56;

const RESERVES: Map<(u32, bool), u128> = Map::new(b"reserve/");
const BALANCES: Map<(Address, [u8; 5]), u128> = Map::new(b"balance/");

const SWAP: [u8; 32] = host::topic("swap");

contract! {
    init => init();
    0x01 => open(pool: u32, a: u128, b: u128);
    0x02 => swap(pool: u32, a_for_b: bool, amount: u128, least: u128) -> u128;
    0x03 => deposit(pool: u32, is_a: bool, amount: u128);
    0x10 => reserve(pool: u32, is_a: bool) -> u128;
    0x11 => balance(owner: Address, pool: u32, is_a: bool) -> u128;
}

fn init() {}

fn open(pool: u32, a: u128, b: u128) -> Result<(), Revert> {
    if a == 0 || b == 0 {
        return Err("a pool has both tokens".into());
    }
    if RESERVES.get(&(pool, true)).is_some() {
        return Err("the pool is open already".into());
    }
    RESERVES.set(&(pool, true), bounded(a)?);
    RESERVES.set(&(pool, false), bounded(b)?);
    Ok(())
}

fn deposit(pool: u32, is_a: bool, amount: u128) -> Result<(), Revert> {
    let key = (host::caller(), token(pool, is_a));
    let sum = BALANCES.get_or_zero(&key) + bounded(amount)?;
    BALANCES.set(&key, bounded(sum)?);
    Ok(())
}

fn swap(pool: u32, a_for_b: bool, amount: u128, least: u128) -> Result<u128, Revert> {
    let amount = bounded(amount)?;
    let from = RESERVES.get(&(pool, a_for_b)).ok_or("no such pool")?;
    let to = RESERVES.get(&(pool, !a_for_b)).ok_or("no such pool")?;
    let priced = amount * 997;
    let out = priced * to / (from * 1_000 + priced);
    if out < least {
        return Err("less than asked for".into());
    }
    let caller = host::caller();
    let paid = (caller, token(pool, a_for_b));
    let got = (caller, token(pool, !a_for_b));
    let left = BALANCES
        .get_or_zero(&paid)
        .checked_sub(amount)
        .ok_or("insufficient balance")?;
    BALANCES.set(&paid, left);
    BALANCES.set(&got, bounded(BALANCES.get_or_zero(&got) + out)?);
    RESERVES.set(&(pool, a_for_b), bounded(from + amount)?);
    RESERVES.set(&(pool, !a_for_b), to - out);
    log(pool, a_for_b, amount, out, caller);
    Ok(out)
}

fn log(pool: u32, a_for_b: bool, amount: u128, out: u128, caller: Address) {
    let mut data = [0; 37];
    data[..5].copy_from_slice(&token(pool, a_for_b));
    data[5..21].copy_from_slice(&amount.to_le_bytes());
    data[21..].copy_from_slice(&out.to_le_bytes());
    host::log(&[SWAP, caller.0], &data);
}

fn reserve(pool: u32, is_a: bool) -> u128 {
    RESERVES.get_or_zero(&(pool, is_a))
}

fn balance(owner: Address, pool: u32, is_a: bool) -> u128 {
    BALANCES.get_or_zero(&(owner, token(pool, is_a)))
}

fn bounded(amount: u128) -> Result<u128, Revert> {
    if amount < LIMIT {
        Ok(amount)
    } else {
        Err("the amount is too large".into())
    }
}

/// A pool's side in a key: a map has two parts in its keys at most.
fn token(pool: u32, is_a: bool) -> [u8; 5] {
    let [p0, p1, p2, p3] = pool.to_le_bytes();
    [p0, p1, p2, p3, u8::from(is_a)]
}

#[cfg(test)]
mod tests;
