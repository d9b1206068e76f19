//! What one transaction did to the state so far, and how to undo it.
//!
//! The journal lies over a [`StateReader`] and holds current values: accounts, storage and code by path, transient
//! slots, logs, what is warm, which programs ran. Every change records what it replaced; [`Journal::undo_to`] takes
//! back everything since a [`Checkpoint`], newest first. A frame that reverts or traps leaves nothing here.
//!
//! Reads are kept too, so that one transaction reads a path from the state at most once. A write to a storage slot
//! reads nothing: two transactions that only write the same slot do not depend on each other's reads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millrace_types::state::{Account, Path, account_path, code_path};
use millrace_types::{Address, Amount, Hash, Log};

use crate::error::ExecutionError;
use crate::genesis::encode_account;
use crate::reader::{Changes, StateReader};

/// A value by path that was read or written.
#[derive(Clone)]
struct Slot {
    value: Option<Arc<[u8]>>,
    written: bool,
}

/// An account that was read or written.
struct AccountEntry {
    before: Account,
    now: Account,
}

/// A transient slot's name: contract, key.
type TransientKey = (Address, Vec<u8>);

/// What a change replaced.
enum Undo {
    Account(Address, Account),
    Slot(Path, Option<Slot>),
    Transient(TransientKey, Option<Arc<[u8]>>),
    WarmAccount(Address),
    WarmSlot(Path),
    Program(Hash),
    Log(u64),
}

/// A moment to return to.
#[derive(Clone, Copy)]
pub(crate) struct Checkpoint(usize);

/// See the module's documentation.
pub(crate) struct Journal<'a> {
    reader: &'a dyn StateReader,
    accounts: BTreeMap<Address, AccountEntry>,
    slots: BTreeMap<Path, Slot>,
    transient: BTreeMap<TransientKey, Arc<[u8]>>,
    warm_accounts: BTreeSet<Address>,
    warm_slots: BTreeSet<Path>,
    programs: BTreeSet<Hash>,
    logs: Vec<Log>,
    log_bytes: u64,
    undo: Vec<Undo>,
}

/// What a transaction leaves behind.
pub(crate) struct JournalOutput {
    pub(crate) changes: Changes,
    pub(crate) logs: Vec<Log>,
}

impl<'a> Journal<'a> {
    pub(crate) fn new(reader: &'a dyn StateReader) -> Self {
        Self {
            reader,
            accounts: BTreeMap::new(),
            slots: BTreeMap::new(),
            transient: BTreeMap::new(),
            warm_accounts: BTreeSet::new(),
            warm_slots: BTreeSet::new(),
            programs: BTreeSet::new(),
            logs: Vec::new(),
            log_bytes: 0,
            undo: Vec::new(),
        }
    }

    pub(crate) fn checkpoint(&self) -> Checkpoint {
        Checkpoint(self.undo.len())
    }

    /// Takes back everything since `checkpoint`, newest first.
    pub(crate) fn undo_to(&mut self, checkpoint: Checkpoint) {
        debug_assert!(
            checkpoint.0 <= self.undo.len(),
            "frames end in the order they nest"
        );
        while self.undo.len() > checkpoint.0 {
            let Some(undo) = self.undo.pop() else { break };
            match undo {
                Undo::Account(address, account) => {
                    let entry = self
                        .accounts
                        .get_mut(&address)
                        .expect("a changed account was read first");
                    entry.now = account;
                }
                Undo::Slot(path, Some(slot)) => drop(self.slots.insert(path, slot)),
                Undo::Slot(path, None) => drop(self.slots.remove(&path)),
                Undo::Transient(key, Some(value)) => drop(self.transient.insert(key, value)),
                Undo::Transient(key, None) => drop(self.transient.remove(&key)),
                Undo::WarmAccount(address) => drop(self.warm_accounts.remove(&address)),
                Undo::WarmSlot(path) => drop(self.warm_slots.remove(&path)),
                Undo::Program(hash) => drop(self.programs.remove(&hash)),
                Undo::Log(bytes) => {
                    self.logs.pop();
                    self.log_bytes -= bytes;
                }
            }
        }
    }

    /// The account as it is now; the default account where there is none.
    pub(crate) fn account(&mut self, address: &Address) -> Result<Account, ExecutionError> {
        if let Some(entry) = self.accounts.get(address) {
            return Ok(entry.now);
        }
        let account = read_account(self.reader, address)?;
        self.accounts.insert(
            *address,
            AccountEntry {
                before: account,
                now: account,
            },
        );
        Ok(account)
    }

    /// Replaces the account by what `change` makes of it.
    pub(crate) fn update_account<R>(
        &mut self,
        address: &Address,
        change: impl FnOnce(&mut Account) -> R,
    ) -> Result<R, ExecutionError> {
        let before = self.account(address)?;
        let mut now = before;
        let result = change(&mut now);
        if now != before {
            let entry = self
                .accounts
                .get_mut(address)
                .expect("the account was read above");
            entry.now = now;
            self.undo.push(Undo::Account(*address, before));
        }
        Ok(result)
    }

    /// Takes `amount` from the account if it has that much, and says whether it had.
    pub(crate) fn debit(&mut self, address: &Address, amount: Amount) -> Result<bool, ExecutionError> {
        self.update_account(address, |account| match account.balance.checked_sub(amount) {
            Some(rest) => {
                account.balance = rest;
                true
            }
            None => false,
        })
    }

    /// Gives `amount` to the account. Total supply stays below 2^127, so an overflow means a damaged state.
    pub(crate) fn credit(&mut self, address: &Address, amount: Amount) -> Result<(), ExecutionError> {
        let fits = self.update_account(address, |account| credit(account, amount))?;
        fits.then_some(()).ok_or_else(|| supply_exceeded(address))
    }

    /// Moves `amount`, if `from` has it, and says whether it had.
    pub(crate) fn transfer(
        &mut self,
        from: &Address,
        to: &Address,
        amount: Amount,
    ) -> Result<bool, ExecutionError> {
        if !self.debit(from, amount)? {
            return Ok(false);
        }
        self.credit(to, amount)?;
        Ok(true)
    }

    /// The value under a storage or code path.
    pub(crate) fn slot(&mut self, path: &Path) -> Result<Option<Arc<[u8]>>, ExecutionError> {
        if let Some(slot) = self.slots.get(path) {
            return Ok(slot.value.clone());
        }
        let value = self.reader.get(path)?;
        self.slots.insert(
            *path,
            Slot {
                value: value.clone(),
                written: false,
            },
        );
        Ok(value)
    }

    /// Writes or, with `None`, removes the value under a storage or code path.
    pub(crate) fn set_slot(&mut self, path: Path, value: Option<Arc<[u8]>>) {
        let before = self.slots.insert(path, Slot { value, written: true });
        self.undo.push(Undo::Slot(path, before));
    }

    /// The code blob with that hash.
    pub(crate) fn code(&mut self, code_hash: &Hash) -> Result<Arc<[u8]>, ExecutionError> {
        let path = code_path(code_hash);
        let missing = ExecutionError::CorruptState {
            path,
            what: "an account names code that is not there",
        };
        self.slot(&path)?.ok_or(missing)
    }

    /// The value of a transient slot.
    pub(crate) fn transient(&self, contract: Address, key: &[u8]) -> Option<Arc<[u8]>> {
        self.transient.get(&(contract, key.to_vec())).cloned()
    }

    /// Writes or, with `None`, removes a transient slot.
    pub(crate) fn set_transient(&mut self, contract: Address, key: &[u8], value: Option<Arc<[u8]>>) {
        let key = (contract, key.to_vec());
        let before = match value {
            Some(value) => self.transient.insert(key.clone(), value),
            None => self.transient.remove(&key),
        };
        self.undo.push(Undo::Transient(key, before));
    }

    /// Makes the account warm and says whether it was cold.
    pub(crate) fn warm_account(&mut self, address: &Address) -> bool {
        let cold = self.warm_accounts.insert(*address);
        if cold {
            self.undo.push(Undo::WarmAccount(*address));
        }
        cold
    }

    /// Makes the storage slot warm and says whether it was cold.
    pub(crate) fn warm_slot(&mut self, path: &Path) -> bool {
        let cold = self.warm_slots.insert(*path);
        if cold {
            self.undo.push(Undo::WarmSlot(*path));
        }
        cold
    }

    /// Whether the program has run in this transaction, in a frame that was not undone.
    pub(crate) fn has_run(&self, code_hash: &Hash) -> bool {
        self.programs.contains(code_hash)
    }

    /// Notes that the program runs.
    pub(crate) fn note_run(&mut self, code_hash: &Hash) {
        if self.programs.insert(*code_hash) {
            self.undo.push(Undo::Program(*code_hash));
        }
    }

    /// Bytes of the logs that stand, as `log_bytes` counts them.
    pub(crate) fn log_bytes(&self) -> u64 {
        self.log_bytes
    }

    /// Appends a log that counts `bytes`.
    pub(crate) fn log(&mut self, log: Log, bytes: u64) {
        self.logs.push(log);
        self.log_bytes += bytes;
        self.undo.push(Undo::Log(bytes));
    }

    /// Everything that stands. Accounts that are as they were are not in it; accounts that became empty are removed.
    pub(crate) fn finish(self) -> JournalOutput {
        let mut changes = Changes::new();
        for (address, entry) in &self.accounts {
            if entry.now != entry.before {
                changes.insert(account_path(address), account_value(&entry.now));
            }
        }
        for (path, slot) in self.slots {
            if slot.written {
                changes.insert(path, slot.value);
            }
        }
        JournalOutput {
            changes,
            logs: self.logs,
        }
    }
}

/// The account under `address` in a state; the default account where there is none.
pub(crate) fn read_account(reader: &dyn StateReader, address: &Address) -> Result<Account, ExecutionError> {
    let path = account_path(address);
    match reader.get(&path)? {
        None => Ok(Account::default()),
        Some(bytes) => borsh::from_slice(&bytes).map_err(|_| ExecutionError::CorruptState {
            path,
            what: "no account record decodes from it",
        }),
    }
}

/// What the state holds for an account: nothing, if it is empty.
pub(crate) fn account_value(account: &Account) -> Option<Arc<[u8]>> {
    (*account != Account::default()).then(|| encode_account(account))
}

/// Adds to the balance and says whether it fits.
#[must_use]
pub(crate) fn credit(account: &mut Account, amount: Amount) -> bool {
    match account.balance.checked_add(amount) {
        Some(sum) => {
            account.balance = sum;
            true
        }
        None => false,
    }
}

/// The damage that an overflowing balance shows.
pub(crate) fn supply_exceeded(address: &Address) -> ExecutionError {
    ExecutionError::CorruptState {
        path: account_path(address),
        what: "its balance exceeds the total supply",
    }
}

#[cfg(test)]
mod tests;
