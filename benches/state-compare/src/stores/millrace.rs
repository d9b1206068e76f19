//! Millrace's own.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use millrace_state::files::Directory;
use millrace_state::{Changes, Config, Genesis, Path, Root, Store, VersionId, verify_value};

use super::{Held, Times, time_each};
use crate::accounts::Write;
use crate::figures::{cpu_time, timed};

/// Versions until the store begins to move what is old, as it is set up by default.
pub const EPOCH: u64 = 512;

/// The store in a directory; versions are final at once.
pub struct Millrace {
    store: Store,
    height: u64,
}

fn id_of(height: u64) -> VersionId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&height.to_be_bytes());
    VersionId(id)
}

impl Millrace {
    /// Opens the one in a directory, or begins one that is empty.
    pub fn open(directory: &FilePath) -> Result<Self> {
        let genesis = Genesis {
            id: id_of(0),
            height: 0,
            changes: Changes::default(),
        };
        let store = Store::open_in(Arc::new(Directory::open(directory)?), Config::default(), genesis)?;
        let height = store.persisted().height;
        Ok(Self { store, height })
    }
}

impl super::Store for Millrace {
    fn commit(&mut self, writes: &[Write]) -> Result<Times> {
        let (parent, height) = (id_of(self.height), self.height + 1);
        let id = id_of(height);
        let values = writes.iter().map(|(path, value)| (*path, Some(value[..].into())));
        let changes = Changes::from_iter(values);
        let cpu = cpu_time();
        let (root, committed) = timed(|| -> Result<()> {
            self.store.insert(parent, id, height, changes)?;
            self.store.commit(id)?;
            Ok(())
        });
        committed?;
        let (sync, persisted) = timed(|| self.store.persist(id));
        let cpu = cpu_time() - cpu;
        persisted?;
        self.store.set_finalized(id)?;
        self.height = height;
        Ok(Times {
            root,
            durable: root + sync,
            cpu,
        })
    }

    fn height(&self) -> u64 {
        self.height
    }

    fn root(&self) -> Result<Root> {
        let view = self
            .store
            .view(id_of(self.height))
            .context("the newest version is held")?;
        view.root().context("it was committed")
    }

    fn read(&self, paths: &[Path]) -> Result<Vec<(Duration, Option<Vec<u8>>)>> {
        let view = self
            .store
            .view(id_of(self.height))
            .context("the newest version is held")?;
        time_each(paths, |path| Ok(view.get(path)?), |value| value.to_vec())
    }

    fn prove(&self, height: u64, held: &[Held]) -> Result<Vec<Duration>> {
        let view = self.store.view(id_of(height)).context("the version is held")?;
        ensure!(view.height() == height, "ids are made of heights");
        let root = view.root().context("it was committed")?;
        let each = held.iter().map(|(path, value)| {
            let (time, proof) = timed(|| view.prove(path));
            verify_value(&root, path, value.as_ref().map(|value| &value[..]), &proof?)?;
            Ok(time)
        });
        each.collect()
    }
}
