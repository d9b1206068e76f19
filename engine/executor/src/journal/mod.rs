//! What one transaction did to the state so far, and how to undo it.
//!
//! The journal lies over a [`StateReader`] and holds current values: accounts, storage and code by path, transient
//! slots, logs, what is warm, which programs ran. Every change records what it replaced; [`Journal::undo_to`] takes
//! back everything since a [`Checkpoint`], newest first. A frame that reverts or traps leaves nothing here.
//!
//! Reads are kept too, so that one transaction reads a path from the state at most once. A write to a storage slot
//! reads nothing: two transactions that only write the same slot do not depend on each other's reads.

mod account;
mod slot;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millrace_types::state::{Account, Path, account_path, code_path};
use millrace_types::{Address, Amount, Hash, Log};

use crate::error::{ExecutionError, ReadError};
use crate::genesis::encode_account;
use crate::reader::StateReader;
pub(crate) use account::{AccountChange, AccountNeed};
use account::{Entry, OutOfRange};
pub(crate) use slot::{Count, NoCounter, added};
use slot::{Slot, SlotValue};

/// A transient slot's name: contract, key.
type TransientKey = (Address, Vec<u8>);

/// What a change replaced.
enum Undo {
    Account(Address, AccountChange),
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
    accounts: BTreeMap<Address, Entry>,
    slots: BTreeMap<Path, Slot>,
    /// The most that was added to slots that were not read: so much room they must have.
    room: BTreeMap<Path, Count>,
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
    pub(crate) writes: Writes,
    pub(crate) logs: Vec<Log>,
}

/// What a transaction does to the state, and what it needs of the accounts that it did it on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Writes {
    /// Values of storage slots and code, by ascending path; `None` removes.
    pub(crate) slots: Vec<(Path, Option<Arc<[u8]>>)>,
    /// What is added to counters that were not read.
    pub(crate) counters: Vec<(Path, Count)>,
    /// Slots that must be counters with so much room.
    pub(crate) room: Vec<(Path, Count)>,
    pub(crate) accounts: Vec<AccountWrite>,
}

impl Writes {
    /// Units for one account.
    pub(crate) fn credit(address: &Address, amount: Amount) -> Self {
        let account = AccountWrite {
            path: account_path(address),
            change: AccountChange::credit(amount),
            need: AccountNeed::default(),
        };
        Self {
            accounts: vec![account],
            ..Self::default()
        }
    }
}

/// An account that a transaction changed or depended on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AccountWrite {
    pub(crate) path: Path,
    pub(crate) change: AccountChange,
    pub(crate) need: AccountNeed,
}

impl<'a> Journal<'a> {
    pub(crate) fn new(reader: &'a dyn StateReader) -> Self {
        Self {
            reader,
            accounts: BTreeMap::new(),
            slots: BTreeMap::new(),
            room: BTreeMap::new(),
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
                Undo::Account(address, change) => self.entry(&address).change = change,
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

    /// The balance now.
    pub(crate) fn balance(&mut self, address: &Address) -> Result<Amount, ExecutionError> {
        let before = self.before(address)?;
        let balance = self.entry(address).balance(&before);
        balance.map_err(|OutOfRange| self.out_of_range(address))
    }

    /// Whether the balance covers `amount`.
    pub(crate) fn covers(&mut self, address: &Address, amount: Amount) -> Result<bool, ExecutionError> {
        let before = self.before(address)?;
        Ok(self.entry(address).covers(&before, amount))
    }

    /// The hash of the account's code now.
    pub(crate) fn code_hash(&mut self, address: &Address) -> Result<Option<Hash>, ExecutionError> {
        let before = self.before(address)?;
        Ok(self.entry(address).code_hash(&before))
    }

    /// The nonce now.
    pub(crate) fn nonce(&mut self, address: &Address) -> Result<u64, ExecutionError> {
        let before = self.before(address)?;
        Ok(self.entry(address).nonce(&before))
    }

    /// Uses a nonce and takes `amount`, which the caller knows to be covered.
    pub(crate) fn pay_in_advance(&mut self, address: &Address, amount: Amount) -> Result<(), ExecutionError> {
        self.count(address);
        self.lose(address, amount)
    }

    /// Whether answers may turn out wrong, so that what admission guarantees is better taken for granted than looked at.
    pub(crate) fn is_guess(&self) -> bool {
        self.reader.is_guess()
    }

    /// Takes for granted that the account has this nonce and covers `amount`.
    pub(crate) fn assume(&mut self, address: &Address, nonce: u64, amount: Amount) {
        self.entry(address).assume(nonce, amount);
    }

    /// Adds 1 to the nonce.
    pub(crate) fn count(&mut self, address: &Address) {
        let change = self.entry(address).counting();
        self.change(address, change);
    }

    /// Gives the account code.
    pub(crate) fn set_code(&mut self, address: &Address, code_hash: Hash) {
        let change = self.entry(address).with_code(code_hash);
        self.change(address, change);
    }

    /// Gives `amount` to the account, which is not read for it. Total supply stays below 2^127, so an overflow means a
    /// damaged state; it is found here or when the change is applied.
    pub(crate) fn credit(&mut self, address: &Address, amount: Amount) -> Result<(), ExecutionError> {
        let entry = self.entry(address);
        let fits = entry.gaining(amount).and_then(|change| match &entry.before {
            Some(before) => change.apply(before).map(|_| change),
            None => Ok(change),
        });
        match fits {
            Ok(change) => self.change(address, change),
            Err(OutOfRange) => return Err(self.out_of_range(address)),
        }
        Ok(())
    }

    fn lose(&mut self, address: &Address, amount: Amount) -> Result<(), ExecutionError> {
        let change = self.entry(address).losing(amount);
        let change = change.map_err(|OutOfRange| self.out_of_range(address))?;
        self.change(address, change);
        Ok(())
    }

    fn change(&mut self, address: &Address, to: AccountChange) {
        let entry = self.entry(address);
        let before = std::mem::replace(&mut entry.change, to);
        if before != to {
            self.undo.push(Undo::Account(*address, before));
        }
    }

    fn entry(&mut self, address: &Address) -> &mut Entry {
        self.accounts
            .entry(*address)
            .or_insert_with(|| Entry::new(address))
    }

    /// The account's record before the transaction; the default account where there is none.
    fn before(&mut self, address: &Address) -> Result<Account, ExecutionError> {
        let reader = self.reader;
        let entry = self.entry(address);
        match entry.before {
            Some(before) => Ok(before),
            None => Ok(*entry.before.insert(reader.account(&entry.path)?)),
        }
    }

    /// A balance below zero comes of a guess, one beyond the supply of a guess or of damage.
    fn out_of_range(&self, address: &Address) -> ExecutionError {
        if self.is_guess() {
            ReadError::Unavailable.into()
        } else {
            supply_exceeded(&account_path(address))
        }
    }

    /// Moves `amount`, if `from` has it, and says whether it had.
    pub(crate) fn transfer(
        &mut self,
        from: &Address,
        to: &Address,
        amount: Amount,
    ) -> Result<bool, ExecutionError> {
        if !self.covers(from, amount)? {
            return Ok(false);
        }
        self.lose(from, amount)?;
        self.credit(to, amount)?;
        Ok(true)
    }

    /// The value under a storage or code path.
    pub(crate) fn slot(&mut self, path: &Path) -> Result<Option<Arc<[u8]>>, ExecutionError> {
        let more = match self.slots.get(path) {
            Some(Slot {
                value: SlotValue::Known(value),
                ..
            }) => return Ok(value.clone()),
            Some(Slot {
                value: SlotValue::Added(more),
                ..
            }) => Some(*more),
            None => None,
        };
        let before = self.reader.get(path)?;
        let value = match more {
            None => before,
            // It was a counter with room by the guess that it was added to; if it is none now, that was wrong.
            Some(more) => Some(added(before.as_deref(), more).map_err(|_| ReadError::Unavailable)?),
        };
        self.slots.insert(
            *path,
            Slot {
                value: SlotValue::Known(value.clone()),
                written: more.is_some(),
            },
        );
        Ok(value)
    }

    /// Adds to the counter that a slot holds. It is not read where answers are guesses: transactions that add to one slot
    /// do not depend on each other.
    pub(crate) fn add(&mut self, path: Path, amount: Count) -> Result<Result<(), NoCounter>, ExecutionError> {
        let slot = match self.added_unread(&path, amount)? {
            Some(sum) => SlotValue::Added(sum),
            None => match added(self.slot(&path)?.as_deref(), amount) {
                Ok(sum) => SlotValue::Known(Some(sum)),
                Err(reason) => return Ok(Err(reason)),
            },
        };
        self.put(path, slot);
        Ok(Ok(()))
    }

    /// What was added to a slot with `amount` more, if it was not read and need not be.
    fn added_unread(&mut self, path: &Path, amount: Count) -> Result<Option<Count>, ExecutionError> {
        let so_far = match self.slots.get(path).map(|slot| &slot.value) {
            Some(SlotValue::Known(_)) => return Ok(None),
            Some(SlotValue::Added(sum)) => *sum,
            None => 0,
        };
        if !self.is_guess() {
            return Ok(None);
        }
        let Some(sum) = so_far.checked_add(amount) else {
            return Ok(None);
        };
        if added(self.reader.guess(path)?.as_deref(), sum).is_err() {
            // By the guess it traps, which depends on what exactly is there.
            return Ok(None);
        }
        let room = self.room.entry(*path).or_default();
        *room = sum.max(*room);
        Ok(Some(sum))
    }

    fn put(&mut self, path: Path, value: SlotValue) {
        let before = self.slots.insert(path, Slot { value, written: true });
        self.undo.push(Undo::Slot(path, before));
    }

    /// Writes or, with `None`, removes the value under a storage or code path.
    pub(crate) fn set_slot(&mut self, path: Path, value: Option<Arc<[u8]>>) {
        self.put(path, SlotValue::Known(value));
    }

    /// The code blob with that hash.
    pub(crate) fn code(&mut self, code_hash: &Hash) -> Result<Arc<[u8]>, ExecutionError> {
        let path = code_path(code_hash);
        self.slot(&path)?.ok_or_else(|| missing_code(path))
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

    /// Everything that stands. Accounts that are as they were are in it for what the transaction needs of them.
    pub(crate) fn finish(self) -> JournalOutput {
        let (mut slots, mut counters) = (Vec::new(), Vec::new());
        for (path, slot) in self.slots {
            match slot.value {
                SlotValue::Known(value) if slot.written => slots.push((path, value)),
                SlotValue::Known(_) => {}
                SlotValue::Added(amount) => counters.push((path, amount)),
            }
        }
        let accounts = self.accounts.values().map(|entry| AccountWrite {
            path: entry.path,
            change: entry.change,
            need: entry.need(),
        });
        JournalOutput {
            writes: Writes {
                slots,
                counters,
                room: self.room.into_iter().collect(),
                accounts: accounts
                    .filter(|write| !write.change.is_none() || !write.need.is_none())
                    .collect(),
            },
            logs: self.logs,
        }
    }
}

/// What the state holds for an account: nothing, if it is empty.
pub(crate) fn account_value(account: &Account) -> Option<Arc<[u8]>> {
    (*account != Account::default()).then(|| encode_account(account))
}

/// What lies under `path`, where some account's code should.
pub(crate) fn missing_code(path: Path) -> ExecutionError {
    ExecutionError::CorruptState {
        path,
        what: "an account names code that is not there",
    }
}

/// The damage that a balance beyond the supply shows.
pub(crate) fn supply_exceeded(path: &Path) -> ExecutionError {
    ExecutionError::CorruptState {
        path: *path,
        what: "its balance exceeds the total supply",
    }
}

#[cfg(test)]
mod tests;
