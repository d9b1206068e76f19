//! The state that an execution reads, whoever holds it.

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_types::state::{Account, Path};

use crate::error::{ExecutionError, ReadError};
use crate::journal::{AccountWrite, Writes, account_value, supply_exceeded};

/// Values by path, as they are before the execution.
///
/// Duties of an implementation: for the length of one execution, equal paths get equal answers; a value is answered
/// whole; `None` means that the state holds nothing there, never that it is not known (that is
/// [`ReadError::Unavailable`]). It is called from the thread that executes, several executions at a time.
pub trait StateReader {
    /// The value under `path`.
    ///
    /// # Errors
    /// [`ReadError`] ends the execution at once; nothing of it counts.
    fn get(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError>;

    /// The account under `path`, where nothing but accounts lies; the default account where there is none.
    ///
    /// # Errors
    /// As [`Self::get`]; [`ExecutionError::CorruptState`] if what lies there is no account.
    fn account(&self, path: &Path) -> Result<Account, ExecutionError> {
        decode_account(path, self.get(path)?.as_deref())
    }

    /// The value under `path`, as it may be: like accounts where [`Self::is_guess`].
    ///
    /// # Errors
    /// As [`Self::get`].
    fn guess(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError> {
        self.get(path)
    }

    /// Whether accounts are answered as they may be before the execution, others being still under way. What the
    /// execution needs of them is then checked when it counts.
    fn is_guess(&self) -> bool {
        false
    }
}

/// The account that lies under `path`.
pub(crate) fn decode_account(path: &Path, bytes: Option<&[u8]>) -> Result<Account, ExecutionError> {
    match bytes {
        None => Ok(Account::default()),
        Some(bytes) => borsh::from_slice(bytes).map_err(|_| ExecutionError::CorruptState {
            path: *path,
            what: "no account record decodes from it",
        }),
    }
}

impl<T: StateReader + ?Sized> StateReader for &T {
    fn get(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError> {
        (**self).get(path)
    }

    fn account(&self, path: &Path) -> Result<Account, ExecutionError> {
        (**self).account(path)
    }

    fn guess(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError> {
        (**self).guess(path)
    }

    fn is_guess(&self) -> bool {
        (**self).is_guess()
    }
}

impl<T: StateReader + ?Sized> StateReader for Arc<T> {
    fn get(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError> {
        (**self).get(path)
    }

    fn account(&self, path: &Path) -> Result<Account, ExecutionError> {
        (**self).account(path)
    }

    fn guess(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError> {
        (**self).guess(path)
    }

    fn is_guess(&self) -> bool {
        (**self).is_guess()
    }
}

/// A state in memory.
impl StateReader for BTreeMap<Path, Arc<[u8]>> {
    fn get(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError> {
        Ok(self.get(path).cloned())
    }
}

/// Values that an execution writes: `None` removes. A value may equal the one before.
pub type Changes = BTreeMap<Path, Option<Arc<[u8]>>>;

/// What transactions wrote so far, on top of a state.
pub(crate) struct Overlay<'a> {
    base: &'a dyn StateReader,
    slots: Changes,
    accounts: BTreeMap<Path, Account>,
}

impl<'a> Overlay<'a> {
    /// Nothing changed yet.
    pub(crate) fn new(base: &'a dyn StateReader) -> Self {
        Self {
            base,
            slots: Changes::new(),
            accounts: BTreeMap::new(),
        }
    }

    /// Lays what a transaction did on top.
    ///
    /// # Errors
    /// Those of reading the accounts, and of balances that no supply reaches.
    pub(crate) fn apply(&mut self, writes: Writes) -> Result<(), ExecutionError> {
        debug_assert!(
            writes.counters.is_empty(),
            "counters are read where nothing is guessed"
        );
        self.slots.extend(writes.slots);
        for AccountWrite { path, change, need } in writes.accounts {
            if change.is_none() {
                continue;
            }
            let before = self.account(&path)?;
            debug_assert!(need.holds(&before), "what was seen is what is there");
            let after = change.apply(&before).map_err(|_| supply_exceeded(&path))?;
            self.accounts.insert(path, after);
        }
        Ok(())
    }

    /// Everything changed so far.
    pub(crate) fn into_changes(self) -> Changes {
        let mut changes = self.slots;
        let accounts = self.accounts.iter();
        changes.extend(accounts.map(|(path, account)| (*path, account_value(account))));
        changes
    }
}

impl StateReader for Overlay<'_> {
    fn get(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError> {
        match self.slots.get(path) {
            Some(value) => Ok(value.clone()),
            None => self.base.get(path),
        }
    }

    fn account(&self, path: &Path) -> Result<Account, ExecutionError> {
        match self.accounts.get(path) {
            Some(account) => Ok(*account),
            None => self.base.account(path),
        }
    }
}
