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
//! count, 8 bytes little endian. Reverts with `the count would overflow`.
//!
//! `tally` adds to another number, which it does not read: calls of it run beside each other (gas version 2). It lies under
//! `tally`, 16 bytes little endian.
#![cfg_attr(target_os = "none", no_std, no_main)]

use millrace_contract::storage::{Counter, Item};
use millrace_contract::{Revert, contract, host};

const COUNT: Item<u64> = Item::new(b"count");
const TALLY: Counter = Counter::new(b"tally");
const ADVANCED: [u8; 32] = host::topic("advanced");

contract! {
    init => init();
    0x01 => increment() -> u64;
    0x02 => add(n: u64) -> u64;
    0x03 => tally(n: u64);
    0x10 => get() -> u64;
    0x11 => tallied() -> u128;
}

fn init() {
    COUNT.set(0);
}

fn increment() -> Result<u64, Revert> {
    add(1)
}

fn add(n: u64) -> Result<u64, Revert> {
    let count = COUNT
        .get_or_zero()
        .checked_add(n)
        .ok_or("the count would overflow")?;
    COUNT.set(count);
    host::log(&[ADVANCED], &count.to_le_bytes());
    Ok(count)
}

fn tally(n: u64) {
    TALLY.add(n.into());
}

fn tallied() -> u128 {
    TALLY.get()
}

fn get() -> u64 {
    COUNT.get_or_zero()
}

#[cfg(test)]
mod tests;
