//! Opening: one file, one chain, one format.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use millrace_types::{ChainSpec, Hash};
use redb::{Database, DatabaseError, ReadableDatabase};

use crate::OpenError;
use crate::tables;

/// The newest format of the file that this build reads and the one that it writes.
pub const FORMAT_VERSION: u32 = 1;

/// Shared handle of an open ledger. Cheap to clone; readers never wait for a commit.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub(crate) database: Arc<Shared>,
}

/// The database, whose own clean-up panics on some damaged files: closing must not end the process either.
#[derive(Debug)]
pub(crate) struct Shared(Option<Database>);

impl std::ops::Deref for Shared {
    type Target = Database;

    fn deref(&self) -> &Database {
        self.0.as_ref().expect("only drop takes the database")
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let database = self.0.take();
        let closed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(database)));
        if closed.is_err() {
            tracing::error!(
                "the ledger's file is damaged: closing it failed; check the disk, restore a backup"
            );
        }
    }
}

impl Ledger {
    /// Opens or creates the ledger of the chain `spec` in the file `path`. The directory must exist.
    ///
    /// # Errors
    /// See [`OpenError`]: in use, damaged, of another chain, or of a newer format.
    pub fn open(path: &Path, spec: &ChainSpec) -> Result<Self, OpenError> {
        contained(path, || {
            let is_new = !path.exists();
            let database = Database::create(path).map_err(|error| database_error(path, error))?;
            if is_new {
                sync_directory_of(path)?;
            }
            Self::prepare(database, path, spec)
        })
    }

    /// A ledger that lives in memory, for ephemeral chains and tests. Survives nothing.
    ///
    /// # Errors
    /// Only if memory runs out.
    pub fn in_memory(spec: &ChainSpec) -> Result<Self, OpenError> {
        let path = PathBuf::from("(in memory)");
        let database = Database::builder()
            .create_with_backend(redb::backends::InMemoryBackend::new())
            .map_err(|error| database_error(&path, error))?;
        Self::prepare(database, &path, spec)
    }

    fn prepare(database: Database, path: &Path, spec: &ChainSpec) -> Result<Self, OpenError> {
        let failed = |error: redb::Error| OpenError::Database {
            path: path.to_owned(),
            source: Box::new(error),
        };
        let expected = spec.hash();
        match identity(&database, path)? {
            Some(found) if found == expected => {}
            Some(found) => {
                return Err(OpenError::OtherChain {
                    path: path.to_owned(),
                    found,
                    expected,
                });
            }
            None => create_tables(&database, expected).map_err(failed)?,
        }
        Ok(Self {
            database: Arc::new(Shared(Some(database))),
        })
    }
}

fn database_error(path: &Path, error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse {
            path: path.to_owned(),
        },
        error => OpenError::Database {
            path: path.to_owned(),
            source: Box::new(error.into()),
        },
    }
}

/// The database panics on some damaged files; that is damage like any other.
fn contained(path: &Path, open: impl FnOnce() -> Result<Ledger, OpenError>) -> Result<Ledger, OpenError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(open)).unwrap_or_else(|_| {
        Err(OpenError::Damaged {
            path: path.to_owned(),
            what: "a page of the database does not decode".to_owned(),
        })
    })
}

/// A new file is durable only when its directory entry is.
fn sync_directory_of(path: &Path) -> Result<(), OpenError> {
    let parent = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    std::fs::File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| OpenError::Database {
            path: path.to_owned(),
            source: Box::new(redb::Error::Io(error)),
        })
}

/// The chain that the file belongs to; `None` for a file without tables.
fn identity(database: &Database, path: &Path) -> Result<Option<Hash>, OpenError> {
    let failed = |error: redb::Error| OpenError::Database {
        path: path.to_owned(),
        source: Box::new(error),
    };
    let damaged = |what: &str| OpenError::Damaged {
        path: path.to_owned(),
        what: what.to_owned(),
    };
    let transaction = database.begin_read().map_err(|error| failed(error.into()))?;
    let meta = match transaction.open_table(tables::META) {
        Ok(meta) => meta,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(failed(error.into())),
    };
    let value = |key: &str| -> Result<Option<Vec<u8>>, OpenError> {
        Ok(meta
            .get(key.as_bytes())
            .map_err(|error| failed(error.into()))?
            .map(|guard| guard.value().to_vec()))
    };
    let format = value("format")?.ok_or_else(|| damaged("it has no format version"))?;
    let format = u32::from_le_bytes(
        format
            .try_into()
            .map_err(|_| damaged("its format version has not 4 bytes"))?,
    );
    if format > FORMAT_VERSION {
        return Err(OpenError::NewerFormat {
            path: path.to_owned(),
            found: format,
            known: FORMAT_VERSION,
        });
    }
    let chain = value("chain-spec-hash")?.ok_or_else(|| damaged("it names no chain"))?;
    let chain = chain
        .try_into()
        .map_err(|_| damaged("its chain-spec hash has not 32 bytes"))?;
    Ok(Some(Hash(chain)))
}

/// Creates every table, so that readers need not handle missing ones.
fn create_tables(database: &Database, spec_hash: Hash) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(tables::META)?;
        meta.insert(b"format".as_slice(), FORMAT_VERSION.to_le_bytes().as_slice())?;
        meta.insert(b"chain-spec-hash".as_slice(), spec_hash.0.as_slice())?;
        transaction.open_table(tables::HEADERS)?;
        transaction.open_table(tables::BODIES)?;
        transaction.open_table(tables::CERTIFICATES)?;
        transaction.open_table(tables::FINALIZED)?;
        transaction.open_table(tables::RECEIPTS)?;
        transaction.open_table(tables::TRANSACTION_RECEIPTS)?;
        transaction.open_table(tables::TRANSACTIONS)?;
        transaction.open_table(tables::SETTLED_BY)?;
        transaction.open_table(tables::PLUGIN)?;
    }
    transaction.commit()?;
    Ok(())
}
