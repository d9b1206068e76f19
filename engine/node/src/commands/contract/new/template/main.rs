//! A counter that anyone may advance and its owner may reset.
#![cfg_attr(target_os = "none", no_std, no_main)]

use millrace_contract::storage::Item;
use millrace_contract::{Address, Revert, contract, host};

const COUNT: Item<u64> = Item::new(b"count");
const OWNER: Item<Address> = Item::new(b"owner");
const ADVANCED: [u8; 32] = host::topic("advanced");

contract! {
    init => init(start: u64);
    0x01 => add(n: u64) -> u64;
    0x02 => reset();
    0x10 => get() -> u64;
}

fn init(start: u64) {
    COUNT.set(start);
    OWNER.set(host::caller());
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

fn reset() -> Result<(), Revert> {
    if OWNER.get() != Some(host::caller()) {
        return Err("only the owner resets".into());
    }
    COUNT.set(0);
    Ok(())
}

fn get() -> u64 {
    COUNT.get_or_zero()
}

#[cfg(test)]
mod tests;
