//! `jmt` on `redb`: a Jellyfish Merkle tree whose nodes and values are rows of a B-tree, all versions kept. Nothing is ever
//! pruned, which would take further writes.

use std::path::Path as FilePath;
use std::time::Duration;

use anyhow::{Context as _, Result};
use jmt::storage::{LeafNode, Node, NodeKey, TreeReader, TreeUpdateBatch};
use jmt::{JellyfishMerkleTree, KeyHash, OwnedValue, RootHash, SimpleHasher, Version};
use millrace_state::{Path, Root};
use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::{Held, Times, time_each};
use crate::accounts::Write;
use crate::figures::{cpu_time, timed};

/// Nodes by version and place.
const NODES: TableDefinition<&[u8], &[u8]> = TableDefinition::new("nodes");
/// Values by path and version.
const VALUES: TableDefinition<(&[u8; 32], u64), Option<&[u8]>> = TableDefinition::new("values");

/// BLAKE3, as the other stores hash.
struct Blake3(blake3::Hasher);

impl SimpleHasher for Blake3 {
    fn new() -> Self {
        Self(blake3::Hasher::new())
    }

    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finalize(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// The bytes of a node's key: the version first, so that the nodes of a version lie together.
fn key_of(key: &NodeKey) -> Result<Vec<u8>> {
    let mut bytes = borsh::to_vec(key)?;
    bytes[..8].reverse();
    Ok(bytes)
}

/// The tables as they are at a moment.
struct Reader {
    nodes: ReadOnlyTable<&'static [u8], &'static [u8]>,
    values: ReadOnlyTable<(&'static [u8; 32], u64), Option<&'static [u8]>>,
}

impl TreeReader for Reader {
    fn get_node_option(&self, key: &NodeKey) -> Result<Option<Node>> {
        let found = self.nodes.get(&key_of(key)?[..])?;
        Ok(found.map(|bytes| borsh::from_slice(bytes.value())).transpose()?)
    }

    fn get_value_option(&self, version: Version, key: KeyHash) -> Result<Option<OwnedValue>> {
        let newest = self.values.range((&key.0, 0)..=(&key.0, version))?.next_back();
        Ok(newest
            .transpose()?
            .and_then(|(_, value)| value.value().map(<[u8]>::to_vec)))
    }

    fn get_rightmost_leaf(&self) -> Result<Option<(NodeKey, LeafNode)>> {
        anyhow::bail!("only restoring asks for it")
    }
}

/// A database in a directory.
pub struct JmtStore {
    database: Database,
    height: u64,
}

impl JmtStore {
    /// Opens the one in a directory, or begins one.
    pub fn open(directory: &FilePath) -> Result<Self> {
        std::fs::create_dir_all(directory)?;
        let database = Database::create(directory.join("jmt.redb"))?;
        let transaction = database.begin_write()?;
        transaction.open_table(VALUES)?;
        let newest = transaction
            .open_table(NODES)?
            .last()?
            .map(|(key, _)| key.value()[..8].try_into());
        transaction.commit()?;
        let height = newest.transpose()?.map_or(0, u64::from_be_bytes);
        Ok(Self { database, height })
    }

    fn reader(&self) -> Result<Reader> {
        let transaction = self.database.begin_read()?;
        Ok(Reader {
            nodes: transaction.open_table(NODES)?,
            values: transaction.open_table(VALUES)?,
        })
    }

    fn write(&self, batch: &TreeUpdateBatch) -> Result<()> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut nodes = transaction.open_table(NODES)?;
            for (key, node) in batch.node_batch.nodes() {
                nodes.insert(&key_of(key)?[..], &borsh::to_vec(node)?[..])?;
            }
            let mut values = transaction.open_table(VALUES)?;
            for ((version, key), value) in batch.node_batch.values() {
                values.insert((&key.0, *version), value.as_deref())?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

impl super::Store for JmtStore {
    fn commit(&mut self, writes: &[Write]) -> Result<Times> {
        let height = self.height + 1;
        let written = |(path, value): &Write| (KeyHash(*path), Some(value.to_vec()));
        let writes: Vec<_> = writes.iter().map(written).collect();
        let cpu = cpu_time();
        let (root, updated) = timed(|| {
            let reader = self.reader()?;
            JellyfishMerkleTree::<_, Blake3>::new(&reader).put_value_set(writes, height)
        });
        let (_, batch) = updated?;
        let (sync, written) = timed(|| self.write(&batch));
        let cpu = cpu_time() - cpu;
        written?;
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
        let reader = self.reader()?;
        let RootHash(root) = JellyfishMerkleTree::<_, Blake3>::new(&reader).get_root_hash(self.height)?;
        Ok(root)
    }

    /// Past the tree, which a reader that trusts its disk does not need.
    fn read(&self, paths: &[Path]) -> Result<Vec<(Duration, Option<Vec<u8>>)>> {
        let reader = self.reader()?;
        let read = |path: &Path| reader.get_value_option(self.height, KeyHash(*path));
        time_each(paths, read, |value| value)
    }

    fn prove(&self, height: u64, held: &[Held]) -> Result<Vec<Duration>> {
        let reader = self.reader()?;
        let tree = JellyfishMerkleTree::<_, Blake3>::new(&reader);
        let root = tree.get_root_hash(height)?;
        let each = held.iter().map(|(path, value)| {
            let (time, proved) = timed(|| tree.get_with_proof(KeyHash(*path), height));
            let (_, proof) = proved?;
            proof
                .verify(root, KeyHash(*path), *value)
                .context("jmt's proof")?;
            Ok(time)
        });
        each.collect()
    }
}
