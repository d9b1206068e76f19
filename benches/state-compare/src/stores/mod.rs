//! The stores, one file each, behind one trait.

mod jmt;
mod millrace;
mod nomt;

use std::path::Path as FilePath;
use std::time::Duration;

use anyhow::{Result, ensure};
use millrace_state::{Path, Root};

use crate::accounts::{Accounts, Value, Write};
use crate::figures::{drop_cached, timed};
pub use millrace::{EPOCH, Millrace};

/// A path with what it must hold.
pub type Held = (Path, Option<Value>);

/// How long a version took from the first call on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// Until its root was known.
    pub root: Duration,
    /// Until it was durable too.
    pub durable: Duration,
    /// What all threads of the process spent on a CPU until then.
    pub cpu: Duration,
}

/// Something that keeps accounts on disk.
pub trait Store {
    /// Makes a version of the newest one by writes of ascending, distinct paths. What the store takes is made of them before
    /// the clock runs.
    fn commit(&mut self, writes: &[Write]) -> Result<Times>;

    /// The newest version's height: how many there were.
    fn height(&self) -> u64;

    /// The newest version's root.
    fn root(&self) -> Result<Root>;

    /// Reads the newest version at each path; gives the times with what was found.
    fn read(&self, paths: &[Path]) -> Result<Vec<(Duration, Option<Vec<u8>>)>>;

    /// Proves what the paths hold in the version of that height; gives the times of proving. Proofs are verified.
    fn prove(&self, height: u64, held: &[Held]) -> Result<Vec<Duration>>;
}

/// A kind of store.
#[derive(Clone, Copy)]
pub struct Kind {
    /// In tables, and its directory.
    pub name: &'static str,
    /// Opens the one in a directory, or begins one.
    pub open: fn(&FilePath) -> Result<Box<dyn Store>>,
    /// Whether its roots are those of `nomt-core`.
    pub has_nomt_roots: bool,
    /// Whether it can prove what was in versions before the newest.
    pub keeps_versions: bool,
}

/// All of them; the first is what the others are compared with.
pub const ALL: [Kind; 3] = [
    Kind {
        name: "millrace",
        open: |directory| Ok(Box::new(Millrace::open(directory)?)),
        has_nomt_roots: true,
        keeps_versions: true,
    },
    Kind {
        name: "nomt",
        open: |directory| Ok(Box::new(nomt::NomtStore::open(directory)?)),
        has_nomt_roots: true,
        keeps_versions: false,
    },
    Kind {
        name: "jmt+redb",
        open: |directory| Ok(Box::new(jmt::JmtStore::open(directory)?)),
        has_nomt_roots: false,
        keeps_versions: true,
    },
];

/// One store of each kind, all with the same contents.
pub struct Stores {
    /// With what they are.
    pub all: Vec<(Kind, Box<dyn Store>)>,
    /// What they hold.
    pub accounts: Accounts,
}

impl Stores {
    /// With so many accounts, in directories below this one. Millrace has as many empty blocks behind them as make it begin
    /// to move what is old: it is as after some use, with clearing away in whatever is timed.
    pub fn build(directory: &FilePath, count: usize) -> Result<Self> {
        let open = |kind: &Kind| Ok((*kind, (kind.open)(&directory.join(kind.name))?));
        let mut all = ALL.iter().map(open).collect::<Result<Vec<_>>>()?;
        let mut accounts = Accounts::new();
        accounts.grow(count, |writes| {
            all.iter_mut()
                .try_for_each(|(_, store)| store.commit(writes).map(drop))
        })?;
        for _ in 0..EPOCH {
            all[0].1.commit(&[])?;
        }
        let stores = Self { all, accounts };
        stores.check()?;
        Ok(stores)
    }

    /// A block of random updates, given to one store after the other, each time to another one first. Gives the times in the
    /// order of [`ALL`].
    pub fn block(&mut self, updates: usize) -> Result<Vec<Times>> {
        let writes = self.accounts.update(updates);
        let count = self.all.len();
        let mut times = vec![Times::default(); count];
        let first = self.all[0].1.height() as usize;
        for index in (0..count).map(|turn| (first + turn) % count) {
            times[index] = self.all[index].1.commit(&writes)?;
        }
        Ok(times)
    }

    /// Compares roots with what they have to be.
    pub fn check(&self) -> Result<()> {
        let expected = self.accounts.root();
        for (kind, store) in self.all.iter().filter(|(kind, _)| kind.has_nomt_roots) {
            ensure!(store.root()? == expected, "{} has another root", kind.name);
        }
        Ok(())
    }

    /// Closes all stores and opens them again, with nothing of them in memory.
    pub fn reopen_cold(&mut self, directory: &FilePath) -> Result<()> {
        for (kind, store) in std::mem::take(&mut self.all) {
            drop(store);
            let directory = directory.join(kind.name);
            drop_cached(&directory)?;
            self.all.push((kind, (kind.open)(&directory)?));
        }
        Ok(())
    }
}

/// Times each of `paths`, and what was found there.
fn time_each<T>(
    paths: &[Path],
    mut read: impl FnMut(&Path) -> Result<Option<T>>,
    owned: impl Fn(T) -> Vec<u8>,
) -> Result<Vec<(Duration, Option<Vec<u8>>)>> {
    let each = paths.iter().map(|path| {
        let (time, found) = timed(|| read(path));
        Ok((time, found?.map(&owned)))
    });
    each.collect()
}
