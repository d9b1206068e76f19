//! The state of a chain as a node shows it, value by value, for an execution on this machine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jsonrpsee::core::ClientError;
use millrace_executor::{Changes, ReadError, StateReader};
use millrace_pipeline::BlockId;
use millrace_rpc::{BlockReference, MillraceClient as _};
use millrace_types::Hash;
use millrace_types::state::Path;
use tokio::runtime::Handle;

use crate::client::{Client, ClientFailure};

/// Paths of one request; a node takes no more.
const MAX_PATHS: usize = 64;

/// Bytes of values that are kept. The transactions of a block can read about as much; a node can answer without end.
const MAX_BYTES: usize = 2 << 30;
/// What a value takes beside its bytes.
const VALUE_BYTES: usize = 128;

/// How often a question is asked again that the node had no time for.
const MOST_WAITS: u32 = 100;
/// The longest that is waited before that.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// When to ask again, where the node says that it has no time for the question now.
fn retry_after(error: &ClientError) -> Option<Duration> {
    let ClientError::Call(error) = error else {
        return None;
    };
    let data: serde_json::Value = serde_json::from_str(error.data()?.get()).ok()?;
    let pause = Duration::from_millis(data["retry_after_ms"].as_u64()?.max(1));
    Some(pause.min(LONGEST_WAIT))
}

/// The state after one block. Read from threads that no runtime owns.
pub struct RemoteState {
    client: Client,
    runtime: Handle,
    block: BlockReference,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// What was answered, and what transactions since the block have written.
    known: BTreeMap<Path, Option<Arc<[u8]>>>,
    /// Bytes that were answered.
    bytes: usize,
    failure: Option<ClientFailure>,
}

impl Inner {
    /// Counts values of these lengths; whether they may be kept.
    fn has_room(&mut self, lens: impl Iterator<Item = usize>) -> bool {
        self.bytes = lens.fold(self.bytes, |sum, len| sum.saturating_add(len + VALUE_BYTES));
        self.bytes <= MAX_BYTES
    }
}

impl RemoteState {
    /// The state after `block`, as `client`'s node has it.
    pub fn new(client: Client, block: Hash) -> Self {
        Self {
            client,
            runtime: Handle::current(),
            block: BlockReference(BlockId::Hash(block)),
            inner: Mutex::default(),
        }
    }

    /// Asks for values ahead of their use, many at once.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn prefetch(&self, paths: impl IntoIterator<Item = Path>) -> Result<(), ClientFailure> {
        let paths: std::collections::BTreeSet<_> = paths.into_iter().collect();
        let paths: Vec<_> = paths.into_iter().collect();
        for some in paths.chunks(MAX_PATHS) {
            let values = self.ask(some).await?;
            self.lock().known.extend(values);
        }
        Ok(())
    }

    /// Lays what a transaction wrote on top.
    pub fn apply(&self, changes: Changes) {
        self.lock().known.extend(changes);
    }

    /// Why the node did not answer, if it did not.
    pub fn failure(&self) -> Option<ClientFailure> {
        self.lock().failure.take()
    }

    async fn ask(&self, paths: &[Path]) -> Result<Vec<(Path, Option<Arc<[u8]>>)>, ClientFailure> {
        let names: Vec<_> = paths.iter().copied().map(Hash).collect();
        let mut waits = 0;
        let view = loop {
            let view = self
                .client
                .http()
                .state(names.clone(), Some(self.block), None)
                .await;
            match view {
                Ok(view) => break view,
                // A node lets nobody ask for too much at once. A trace can wait.
                Err(error) if waits < MOST_WAITS => match retry_after(&error) {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return Err(self.client.failed(error)),
                },
                Err(error) => return Err(self.client.failed(error)),
            }
            waits += 1;
        };
        if self.block.0 != BlockId::Hash(view.origin.block_hash) {
            return Err(self
                .client
                .odd("it answered the state of another block than was asked"));
        }
        let is_of = |(path, value): (&Path, &millrace_rpc::shapes::StateValueView)| value.path.0 == *path;
        if view.values.len() != paths.len() || !paths.iter().zip(&view.values).all(is_of) {
            return Err(self.client.odd("it answered other paths than were asked"));
        }
        let lens = view
            .values
            .iter()
            .map(|value| value.value.as_ref().map_or(0, |bytes| bytes.0.len()));
        if !self.lock().has_room(lens) {
            let limit = MAX_BYTES >> 20;
            return Err(self
                .client
                .odd(&format!("this trace reads more than {limit} MiB of its state")));
        }
        let values = view.values.into_iter();
        Ok(values
            .map(|value| (value.path.0, value.value.map(|bytes| bytes.0.into())))
            .collect())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateReader for RemoteState {
    fn get(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError> {
        if let Some(value) = self.lock().known.get(path) {
            return Ok(value.clone());
        }
        match self.runtime.block_on(self.ask(&[*path])) {
            Ok(values) => {
                let value = values.into_iter().next().and_then(|(_, value)| value);
                self.lock().known.insert(*path, value.clone());
                Ok(value)
            }
            Err(failure) => {
                let reason = failure.to_string();
                self.lock().failure = Some(failure);
                Err(ReadError::Failed(reason))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_answers_without_end_does_not_fill_the_memory() {
        let long = 32 << 20;
        let mut inner = Inner::default();
        let kept = (0..1000)
            .take_while(|_| inner.has_room([long].into_iter()))
            .count();
        assert_eq!(kept, MAX_BYTES / long - 1);
        // Nothing takes room, too.
        let mut inner = Inner::default();
        let many = MAX_BYTES / VALUE_BYTES;
        assert!(inner.has_room(std::iter::repeat_n(0, many)) && !inner.has_room([0].into_iter()));
    }
}
