//! A counter that anyone may advance.
//!
//! | selector | function | output |
//! |---|---|---|
//! | (init) | no input; the count starts at 0 | |
//! | `0x01` | `increment()` | new count: `u64` |
//! | `0x02` | `add(n: u64)` | new count: `u64` |
//! | `0x03` | `tally(n: u64)` | |
//! | `0x10` | `get()` | count: `u64` |
//! | `0x11` | `tallied()` | sum: `u128` |
//!
//! Storage: `count` holds the count, 8 bytes little endian. Log of both changes: topic `advanced`, data: the new
//! count, 8 bytes little endian. Reverts with `Overflow`.
//!
//! `tally` adds to another number, which it does not read: calls of it run beside each other (gas version 2). It lies under
//! `tally`, 16 bytes little endian.
#![cfg_attr(target_os = "none", no_std, no_main)]

use millrace_contract::contract;

#[contract]
mod counter {
    use millrace_contract::storage::{Counter, Item};
    use millrace_contract::{Error, Event, storage};

    #[storage]
    struct Storage {
        count: Item<u64>,
        tally: Counter,
    }

    /// The count changed.
    #[derive(Event)]
    struct Advanced {
        count: u64,
    }

    #[derive(Error)]
    enum CounterError {
        /// The count would pass 2^64 - 1.
        Overflow,
    }

    #[init]
    fn init() {
        STORAGE.count.set(0);
    }

    /// Adds 1 and returns the new count.
    #[call(0x01)]
    fn increment() -> Result<u64, CounterError> {
        add(1)
    }

    /// Adds `n` and returns the new count.
    #[call(0x02)]
    fn add(n: u64) -> Result<u64, CounterError> {
        let count = STORAGE
            .count
            .get_or_zero()
            .checked_add(n)
            .ok_or(CounterError::Overflow)?;
        STORAGE.count.set(count);
        Advanced { count }.emit();
        Ok(count)
    }

    /// Adds `n` to another number without reading it; needs gas version 2.
    #[call(0x03)]
    fn tally(n: u64) {
        STORAGE.tally.add(n.into());
    }

    /// The count.
    #[call(0x10)]
    fn get() -> u64 {
        STORAGE.count.get_or_zero()
    }

    /// What `tally` added so far.
    #[call(0x11)]
    fn tallied() -> u128 {
        STORAGE.tally.get()
    }
}

#[cfg(test)]
mod tests;
