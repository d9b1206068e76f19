//! A counter that anyone may advance and its owner may reset.
#![cfg_attr(target_os = "none", no_std, no_main)]

use millrace_contract::contract;

#[contract]
mod counter {
    use millrace_contract::storage::Item;
    use millrace_contract::{Address, Error, Event, host, storage};

    #[storage]
    struct Storage {
        count: Item<u64>,
        owner: Item<Address>,
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
        /// The caller is not who deployed the contract.
        NotTheOwner,
    }

    /// The count begins at `start`, and the deployer owns it.
    #[init]
    fn init(start: u64) {
        STORAGE.count.set(start);
        STORAGE.owner.set(host::caller());
    }

    /// Adds `n` and returns the new count.
    #[call(0x01)]
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

    /// Sets the count to 0; the owner's alone.
    #[call(0x02)]
    fn reset() -> Result<(), CounterError> {
        if STORAGE.owner.get() != Some(host::caller()) {
            return Err(CounterError::NotTheOwner);
        }
        STORAGE.count.set(0);
        Ok(())
    }

    /// The count.
    #[call(0x10)]
    fn get() -> u64 {
        STORAGE.count.get_or_zero()
    }
}

#[cfg(test)]
mod tests;
