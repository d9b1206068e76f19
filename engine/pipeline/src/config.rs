//! What an operator may choose. Nothing here changes validity, order, gas or a root.

use std::path::PathBuf;
use std::sync::Arc;

use millrace_executor::{CodeCache, Tier};
use millrace_mempool::PoolConfig;

/// Configuration of one engine.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// `false`: strictly in turn; a finalized block is acknowledged when it is executed and its receipt durable, and
    /// nothing is built or voted on before. The baseline of every overlap figure.
    pub pipelining: bool,
    /// Block slots between consensus and execution: finalized blocks that may wait. Raised to K + 2 if it is less.
    pub queue_blocks: usize,
    /// Threads that execute blocks and compute roots.
    pub workers: usize,
    /// Unfinalized blocks kept at once, over all branches. Above that, side branches go first; a branch that is as long
    /// grows no further.
    pub max_unfinalized_blocks: usize,
    /// Executes proposals ahead of their turn, when nothing more urgent waits. Never without `pipelining`.
    pub speculation: bool,
    /// Proposals whose results are kept in memory until their turn comes, those that are at it counted.
    pub max_speculative_blocks: usize,
    /// Requests of consensus that may wait for an answer.
    pub max_requests: usize,
    /// Distance between blocks that pressure asks for once shrinking does not help, until it is known what blocks take.
    pub pressure_delay_ms: u64,
    /// States kept below the newest settled height, in blocks.
    pub retention_blocks: u64,
    /// Where states are kept; `None`: in memory, and a start executes the ledger from genesis.
    pub state_directory: Option<PathBuf>,
    /// How contracts are executed; results are equal.
    pub tier: Tier,
    /// Where the native code of contracts outlasts the process.
    pub code_cache: Option<Arc<CodeCache>>,
    /// Development switch: every block's execution takes this much longer.
    pub slow_execution_ms: u64,
    /// Bounds of the transaction pool.
    pub pool: PoolConfig,
    /// Events that a subscriber may be behind.
    pub event_buffer: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            pipelining: true,
            queue_blocks: 16,
            workers: 2,
            max_unfinalized_blocks: 256,
            speculation: true,
            max_speculative_blocks: 4,
            max_requests: 1024,
            pressure_delay_ms: 250,
            retention_blocks: 1024,
            state_directory: None,
            tier: Tier::default(),
            code_cache: None,
            slow_execution_ms: 0,
            pool: PoolConfig::default(),
            event_buffer: 4096,
        }
    }
}

impl EngineConfig {
    /// Blocks that may be executed ahead of their turn.
    pub(crate) fn max_speculations(&self) -> usize {
        if self.speculation && self.pipelining {
            self.max_speculative_blocks
        } else {
            0
        }
    }
}
