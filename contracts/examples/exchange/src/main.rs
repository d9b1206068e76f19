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
//! what goes in, 3 of 1,000 stay in the pool before the price is found. Reverts with `EmptyPool`, `PoolExists`,
//! `NoSuchPool`, `InsufficientBalance`, `BelowLeast`, `AmountTooLarge` (2^56 or more).
#![cfg_attr(target_os = "none", no_std, no_main)]

use millrace_contract::contract;

#[contract]
mod exchange {
    use millrace_contract::storage::Map;
    use millrace_contract::{Address, Error, Event, host, storage};

    /// Reserves and amounts stay below this, so that no product of two overflows.
    pub const LIMIT: u128 = 1 << 56;

    #[storage]
    struct Storage {
        /// By pool and whether it is token a.
        #[key("reserve/")]
        reserves: Map<(u32, bool), u128>,
        /// By owner, pool and whether it is token a.
        #[key("balance/")]
        balances: Map<(Address, u32, bool), u128>,
    }

    /// Tokens were exchanged.
    #[derive(Event)]
    struct Swap {
        #[topic]
        caller: Address,
        pool: u32,
        a_for_b: bool,
        amount: u128,
        out: u128,
    }

    #[derive(Error)]
    enum ExchangeError {
        /// A pool has both tokens.
        EmptyPool,
        /// The pool is open already.
        PoolExists,
        /// No pool of this number is open.
        NoSuchPool,
        /// The caller has fewer tokens than go in.
        InsufficientBalance,
        /// Less would come out than asked for.
        BelowLeast,
        /// An amount or sum is 2^56 or more.
        AmountTooLarge,
    }

    #[init]
    fn init() {}

    /// Opens a pool with these reserves.
    #[call(0x01)]
    fn open(pool: u32, a: u128, b: u128) -> Result<(), ExchangeError> {
        if a == 0 || b == 0 {
            return Err(ExchangeError::EmptyPool);
        }
        if STORAGE.reserves.get(&(pool, true)).is_some() {
            return Err(ExchangeError::PoolExists);
        }
        STORAGE.reserves.set(&(pool, true), bounded(a)?);
        STORAGE.reserves.set(&(pool, false), bounded(b)?);
        Ok(())
    }

    /// Puts `amount` of one token in for at least `least` of the other, and returns how much comes out.
    #[call(0x02)]
    fn swap(pool: u32, a_for_b: bool, amount: u128, least: u128) -> Result<u128, ExchangeError> {
        let amount = bounded(amount)?;
        let reserve = |is_a: bool| {
            STORAGE
                .reserves
                .get(&(pool, is_a))
                .ok_or(ExchangeError::NoSuchPool)
        };
        let from = reserve(a_for_b)?;
        let to = reserve(!a_for_b)?;
        let priced = amount * 997;
        let out = priced * to / (from * 1_000 + priced);
        if out < least {
            return Err(ExchangeError::BelowLeast);
        }
        let caller = host::caller();
        let paid = (caller, pool, a_for_b);
        let got = (caller, pool, !a_for_b);
        let left = STORAGE
            .balances
            .get_or_zero(&paid)
            .checked_sub(amount)
            .ok_or(ExchangeError::InsufficientBalance)?;
        STORAGE.balances.set(&paid, left);
        let sum = STORAGE.balances.get_or_zero(&got) + out;
        STORAGE.balances.set(&got, bounded(sum)?);
        STORAGE.reserves.set(&(pool, a_for_b), bounded(from + amount)?);
        STORAGE.reserves.set(&(pool, !a_for_b), to - out);
        Swap {
            caller,
            pool,
            a_for_b,
            amount,
            out,
        }
        .emit();
        Ok(out)
    }

    /// Gives the caller tokens of a pool.
    #[call(0x03)]
    fn deposit(pool: u32, is_a: bool, amount: u128) -> Result<(), ExchangeError> {
        let key = (host::caller(), pool, is_a);
        let sum = STORAGE.balances.get_or_zero(&key) + bounded(amount)?;
        STORAGE.balances.set(&key, bounded(sum)?);
        Ok(())
    }

    /// How much of a token a pool has.
    #[call(0x10)]
    fn reserve(pool: u32, is_a: bool) -> u128 {
        STORAGE.reserves.get_or_zero(&(pool, is_a))
    }

    /// How much of a pool's token an account has.
    #[call(0x11)]
    fn balance(owner: Address, pool: u32, is_a: bool) -> u128 {
        STORAGE.balances.get_or_zero(&(owner, pool, is_a))
    }

    fn bounded(amount: u128) -> Result<u128, ExchangeError> {
        if amount < LIMIT {
            Ok(amount)
        } else {
            Err(ExchangeError::AmountTooLarge)
        }
    }
}

#[cfg(test)]
mod tests;
