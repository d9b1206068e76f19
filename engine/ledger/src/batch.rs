//! What a commit can hold.

use std::sync::Arc;

use millrace_types::{Block, ExecutionReceipt, Hash, Height, TransactionReceipt};

/// Records that become durable together. Records of equal key and value may be written again.
#[derive(Debug, Default, Clone)]
pub struct Batch {
    pub(crate) blocks: Vec<(Hash, Arc<Block>)>,
    pub(crate) certificates: Vec<(Hash, Vec<u8>)>,
    pub(crate) finalized: Vec<(Height, Hash)>,
    pub(crate) executions: Vec<(ExecutionReceipt, Arc<[TransactionReceipt]>)>,
    pub(crate) plugin_values: Vec<(String, Vec<u8>, Option<Vec<u8>>)>,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
            && self.certificates.is_empty()
            && self.finalized.is_empty()
            && self.executions.is_empty()
            && self.plugin_values.is_empty()
    }

    /// A block: header, body and the index of its transactions.
    pub fn block(&mut self, block: impl Into<Arc<Block>>) -> &mut Self {
        let block = block.into();
        self.blocks.push((block.hash(), block));
        self
    }

    /// The certificate that finalizes `block`.
    pub fn certificate(&mut self, block: Hash, certificate: Vec<u8>) -> &mut Self {
        self.certificates.push((block, certificate));
        self
    }

    /// `block` is finalized at `height`; the heights that it settles are indexed. Ascending heights.
    pub fn finalized(&mut self, height: Height, block: Hash) -> &mut Self {
        self.finalized.push((height, block));
        self
    }

    /// A block was executed.
    pub fn execution(
        &mut self,
        receipt: ExecutionReceipt,
        transactions: impl Into<Arc<[TransactionReceipt]>>,
    ) -> &mut Self {
        self.executions.push((receipt, transactions.into()));
        self
    }

    /// A plugin's own durable value; `None` removes it.
    pub fn plugin_value(&mut self, plugin: &str, key: Vec<u8>, value: Option<Vec<u8>>) -> &mut Self {
        self.plugin_values.push((plugin.to_owned(), key, value));
        self
    }
}
