//! What is written: accounts with random paths, and values that can be told from the path and a number.

use millrace_state::{Path, Root};
use nomt_core::hasher::{Blake3Hasher, ValueHasher};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Bytes of a value.
pub const VALUE_BYTES: usize = 64;

/// Writes that a state is built by at once: what they take in memory stays small beside the state.
const BUILT_AT_ONCE: usize = 250_000;

/// An account's value.
pub type Value = [u8; VALUE_BYTES];

/// A write.
pub type Write = (Path, Value);

/// What an account holds after it was written `count` times, the first time included.
fn value(path: &Path, count: u32) -> Value {
    let mut value = [0; VALUE_BYTES];
    let mut hasher = blake3::Hasher::new_keyed(path);
    hasher.update(&count.to_le_bytes());
    hasher.finalize_xof().fill(&mut value);
    value
}

/// Accounts, and how often each was written.
#[derive(Clone)]
pub struct Accounts {
    rng: ChaCha8Rng,
    paths: Vec<Path>,
    counts: Vec<u32>,
}

impl Accounts {
    /// No accounts yet.
    pub fn new() -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(1),
            paths: Vec::new(),
            counts: Vec::new(),
        }
    }

    /// Adds accounts until there are `count`; gives their first writes in parts.
    pub fn grow(
        &mut self,
        count: usize,
        mut write: impl FnMut(&[Write]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        while self.paths.len() < count {
            let from = self.paths.len();
            let new = (count - from).min(BUILT_AT_ONCE);
            let rng = &mut self.rng;
            self.paths.extend((0..new).map(|_| rng.random::<Path>()));
            self.counts.resize(self.paths.len(), 1);
            let mut writes: Vec<Write> = self.paths[from..]
                .iter()
                .map(|path| (*path, value(path, 1)))
                .collect();
            writes.sort_unstable();
            write(&writes)?;
        }
        Ok(())
    }

    /// New values for `count` random accounts, by ascending path.
    pub fn update(&mut self, count: usize) -> Vec<Write> {
        let chosen = rand::seq::index::sample(&mut self.rng, self.paths.len(), count.min(self.paths.len()));
        let mut writes: Vec<Write> = chosen
            .into_iter()
            .map(|index| {
                self.counts[index] += 1;
                (self.paths[index], value(&self.paths[index], self.counts[index]))
            })
            .collect();
        writes.sort_unstable();
        writes
    }

    /// Random paths with what they hold.
    pub fn present(&mut self, count: usize) -> Vec<(Path, Option<Value>)> {
        let indices = (0..count).map(|_| self.rng.random_range(0..self.paths.len()));
        let indices: Vec<usize> = indices.collect();
        let held = |index| {
            (
                self.paths[index],
                Some(value(&self.paths[index], self.counts[index])),
            )
        };
        indices.into_iter().map(held).collect()
    }

    /// Random paths that hold nothing.
    pub fn absent(&mut self, count: usize) -> Vec<(Path, Option<Value>)> {
        (0..count).map(|_| (self.rng.random(), None)).collect()
    }

    /// The root, by the rules of `nomt-core`.
    pub fn root(&self) -> Root {
        let accounts = self.paths.iter().zip(&self.counts);
        let mut leaves: Vec<_> = accounts
            .map(|(path, count)| (*path, Blake3Hasher::hash_value(&value(path, *count))))
            .collect();
        leaves.sort_unstable();
        nomt_core::update::build_trie::<Blake3Hasher>(0, leaves, |_| {})
    }
}
