//! The state that an execution reads, whoever holds it.

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_types::state::Path;

use crate::error::ReadError;

/// Values by path, as they are before the execution.
///
/// Duties of an implementation: for the length of one execution, equal paths get equal answers; a value is answered
/// whole; `None` means that the state holds nothing there, never that it is not known (that is
/// [`ReadError::Unavailable`]). It is called from the thread that executes, several executions at a time.
pub trait StateReader: Send + Sync {
    /// The value under `path`.
    ///
    /// # Errors
    /// [`ReadError`] ends the execution at once; nothing of it counts.
    fn get(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError>;
}

impl<T: StateReader + ?Sized> StateReader for &T {
    fn get(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError> {
        (**self).get(path)
    }
}

impl<T: StateReader + ?Sized> StateReader for Arc<T> {
    fn get(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError> {
        (**self).get(path)
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

/// Changes on top of a state.
pub struct Overlay<'a> {
    base: &'a dyn StateReader,
    changes: Changes,
}

impl<'a> Overlay<'a> {
    /// Nothing changed yet.
    #[must_use]
    pub fn new(base: &'a dyn StateReader) -> Self {
        Self {
            base,
            changes: Changes::new(),
        }
    }

    /// Lays `changes` on top.
    pub fn apply(&mut self, changes: Changes) {
        self.changes.extend(changes);
    }

    /// Everything changed so far.
    #[must_use]
    pub fn into_changes(self) -> Changes {
        self.changes
    }
}

impl StateReader for Overlay<'_> {
    fn get(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError> {
        match self.changes.get(path) {
            Some(value) => Ok(value.clone()),
            None => self.base.get(path),
        }
    }
}
