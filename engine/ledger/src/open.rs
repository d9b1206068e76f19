//! Opening: one file, one chain, one format.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millrace_types::{ChainSpec, Hash};
use redb::{Builder, Database, DatabaseError, ReadableDatabase};

use crate::contain::contained;
use crate::overlay::Overlay;
use crate::{OpenError, tables};

/// The newest format of the file that this build reads and the one that it writes.
pub const FORMAT_VERSION: u32 = 1;

/// The database's header takes a page.
const LEAST_BYTES: u64 = 4096;

/// Memory that the database may take for pages of its file. Its own default is 1 GiB, which a node would grow into for days;
/// what is read again and again is the newest.
const CACHE_BYTES: usize = 128 << 20;

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
        if let Err(reason) = contained(|| drop(database)) {
            tracing::error!(
                reason,
                "the ledger's file is damaged: closing it failed; check the disk, restore a backup"
            );
        }
    }
}

impl Ledger {
    /// Opens or creates the ledger of the chain `spec` in the file `path`. The directory must exist. A file that is there
    /// is never taken for a new one, whatever became of it: it may have held finalized blocks.
    ///
    /// # Errors
    /// See [`OpenError`]: in use, damaged, of another chain, or of a newer format.
    pub fn open(path: &Path, spec: &ChainSpec) -> Result<Self, OpenError> {
        contained(|| Self::open_file(path, spec)).unwrap_or_else(|reason| {
            let what = format!("a page of the database does not decode ({reason})");
            Err(damaged(path, &what))
        })
    }

    fn open_file(path: &Path, spec: &ChainSpec) -> Result<Self, OpenError> {
        if !path.exists() {
            create(path, spec.hash())?;
        }
        check_file(path)?;
        let database = builder()
            .open(path)
            .map_err(|error| database_error(path, error))?;
        check_identity(&database, path, spec)?;
        Ok(Self::of(database))
    }

    /// Looks whether [`Self::open`] would open the file `path`, and changes nothing in it: what a kill left is mended in
    /// memory. No other process can open it meanwhile.
    ///
    /// # Errors
    /// As [`Self::open`]; a file that is missing is an error too.
    pub fn inspect(path: &Path, spec: &ChainSpec) -> Result<(), OpenError> {
        let look = || {
            check_file(path)?;
            let overlay = Overlay::of(path).map_err(|error| match error.kind() {
                ErrorKind::WouldBlock => OpenError::InUse {
                    path: path.to_owned(),
                },
                _ => io_error(path, error),
            })?;
            let database = builder()
                .create_with_backend(overlay)
                .map_err(|error| database_error(path, error))?;
            check_identity(&database, path, spec)
        };
        contained(look).unwrap_or_else(|reason| {
            let what = format!("a page of the database does not decode ({reason})");
            Err(damaged(path, &what))
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
        create_tables(&database, spec.hash()).map_err(|error| failed(&path, error))?;
        Ok(Self::of(database))
    }

    fn of(database: Database) -> Self {
        Self {
            database: Arc::new(Shared(Some(database))),
        }
    }
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// What can be seen of a file from outside.
fn check_file(path: &Path) -> Result<(), OpenError> {
    let file = std::fs::metadata(path).map_err(|error| io_error(path, error))?;
    if !file.is_file() {
        return Err(damaged(path, "it is no file"));
    }
    if file.len() < LEAST_BYTES {
        let what = format!("it has {} bytes, fewer than any ledger", file.len());
        return Err(damaged(path, &what));
    }
    Ok(())
}

/// Refuses the ledger of another chain.
fn check_identity(database: &impl ReadableDatabase, path: &Path, spec: &ChainSpec) -> Result<(), OpenError> {
    let (found, expected) = (identity(database, path)?, spec.hash());
    if found == expected {
        return Ok(());
    }
    Err(OpenError::OtherChain {
        path: path.to_owned(),
        found,
        expected,
    })
}

/// Makes a ledger beside `path` and puts it there whole, so that a crash leaves none or all of it. If another process
/// was faster, its file stays.
fn create(path: &Path, spec_hash: Hash) -> Result<(), OpenError> {
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    let made = Database::create(&draft)
        .map_err(|error| database_error(path, error))
        .and_then(|database| create_tables(&database, spec_hash).map_err(|error| failed(path, error)));
    let placed = made.and_then(|()| match std::fs::hard_link(&draft, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(io_error(path, error)),
        _ => Ok(()),
    });
    // One that stays behind is in nobody's way.
    let _ = std::fs::remove_file(&draft);
    placed?;
    sync_directory_of(path)
}

fn failed(path: &Path, error: redb::Error) -> OpenError {
    OpenError::Database {
        path: path.to_owned(),
        source: Box::new(error),
    }
}

fn io_error(path: &Path, error: std::io::Error) -> OpenError {
    failed(path, redb::Error::Io(error))
}

fn damaged(path: &Path, what: &str) -> OpenError {
    OpenError::Damaged {
        path: path.to_owned(),
        what: what.to_owned(),
    }
}

fn database_error(path: &Path, error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse {
            path: path.to_owned(),
        },
        error => failed(path, error.into()),
    }
}

/// A new file is durable only when its directory entry is.
fn sync_directory_of(path: &Path) -> Result<(), OpenError> {
    let parent = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    std::fs::File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| io_error(path, error))
}

/// The chain that the file belongs to.
fn identity(database: &impl ReadableDatabase, path: &Path) -> Result<Hash, OpenError> {
    let failed = |error: redb::Error| failed(path, error);
    let damaged = |what: &str| damaged(path, what);
    let transaction = database.begin_read().map_err(|error| failed(error.into()))?;
    let meta = match transaction.open_table(tables::META) {
        Ok(meta) => meta,
        Err(redb::TableError::TableDoesNotExist(_)) => {
            return Err(damaged("it is a database, but no ledger"));
        }
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
    Ok(Hash(chain))
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
        transaction.open_table(tables::LOG_SUMMARIES)?;
        transaction.open_table(tables::TRANSACTIONS)?;
        transaction.open_table(tables::SETTLED_BY)?;
        transaction.open_table(tables::PLUGIN)?;
    }
    transaction.commit()?;
    Ok(())
}
