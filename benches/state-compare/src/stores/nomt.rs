//! `nomt`: a hash table of the trie's pages and a B-tree of values, both written in place behind a journal, of the newest
//! version only. It reads and writes through `io_uring` alone on Linux, past the system's cache: where that is forbidden,
//! opening says so here, because `nomt` would end its threads.

use std::path::Path as FilePath;
use std::time::Duration;

use anyhow::{Result, ensure};
use millrace_state::{Path, Root};
use nomt::hasher::{Blake3Hasher, ValueHasher as _};
use nomt::trie::LeafData;
use nomt::{KeyReadWrite, Nomt, Options, SessionParams};

use super::{Held, Times, time_each};
use crate::accounts::Write;
use crate::figures::{cpu_time, timed};

/// A database in a directory.
pub struct NomtStore {
    nomt: Nomt<Blake3Hasher>,
    height: u64,
}

impl NomtStore {
    /// Opens the one in a directory, or begins one, with what is given by default: one thread that computes, caches of 256 MiB
    /// for pages and for leaves.
    pub fn open(directory: &FilePath) -> Result<Self> {
        let permission = nomt::check_iou_permissions();
        ensure!(
            matches!(permission, nomt::IoUringPermission::Allowed),
            "nomt needs io_uring, which this system does not allow"
        );
        let mut options = Options::new();
        options.path(directory);
        let nomt = Nomt::open(options)?;
        let height = nomt.sync_seqn().into();
        Ok(Self { nomt, height })
    }
}

impl super::Store for NomtStore {
    fn commit(&mut self, writes: &[Write]) -> Result<Times> {
        let written = |(path, value): &Write| (*path, KeyReadWrite::Write(Some(value.to_vec())));
        let writes = writes.iter().map(written).collect();
        let cpu = cpu_time();
        let (root, finished) = timed(|| self.nomt.begin_session(SessionParams::default()).finish(writes));
        let (sync, committed) = finished.map(|session| timed(|| session.commit(&self.nomt)))?;
        let cpu = cpu_time() - cpu;
        committed?;
        self.height += 1;
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
        Ok(self.nomt.root().into_inner())
    }

    fn read(&self, paths: &[Path]) -> Result<Vec<(Duration, Option<Vec<u8>>)>> {
        let session = self.nomt.begin_session(SessionParams::default());
        time_each(paths, |path| session.read(*path), |value| value)
    }

    fn prove(&self, height: u64, held: &[Held]) -> Result<Vec<Duration>> {
        ensure!(height == self.height, "nomt keeps the newest version only");
        let session = self.nomt.begin_session(SessionParams::default());
        let root = session.prev_root().into_inner();
        let each = held.iter().map(|(path, value)| {
            let (time, proof) = timed(|| session.prove(*path));
            let proof = proof?;
            let verified = proof.verify::<Blake3Hasher>(proof.terminal.path(), root);
            let verified = verified.map_err(|error| anyhow::anyhow!("{error:?}"))?;
            let is_so = match value {
                Some(value) => verified.confirm_value(&LeafData {
                    key_path: *path,
                    value_hash: Blake3Hasher::hash_value(value),
                }),
                None => verified.confirm_nonexistence(path),
            };
            ensure!(is_so.is_ok_and(|is_so| is_so), "nomt proves something else");
            Ok(time)
        });
        each.collect()
    }
}
