//! Executing one block over the store: what the stages, recovery and replay have in common.

use std::sync::Arc;

use millrace_executor::{BlockContext, BlockOutput, ExecutionError, Executor, ReadError, StateReader};
use millrace_state::{CommitError, InsertError, Store, View};
use millrace_types::state::{Account, Path, account_path};
use millrace_types::{Address, Block, ExecutionReceipt, Hash, TransactionReceipt};

use crate::admission::StateFault;
use crate::core::decode_account;
use crate::task::{Outcome, version};

/// Why a block that must execute did not.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The state that it follows is not held.
    #[error("the state after the parent {parent} of block {block} is not held")]
    NoParentState {
        /// The block.
        block: Hash,
        /// Its parent.
        parent: Hash,
    },
    /// The executor gave up. An admitted transaction that is not payable is one of its reasons, and a bug.
    #[error("executing block {block}: {error}")]
    Executor {
        /// The block.
        block: Hash,
        /// Why.
        error: Box<ExecutionError>,
    },
    /// The store did not take the result.
    #[error("storing the state after block {block}: {error}")]
    Insert {
        /// The block.
        block: Hash,
        /// Why.
        error: Box<InsertError>,
    },
    /// The store gave no root.
    #[error("the state root of block {block}: {error}")]
    Commit {
        /// The block.
        block: Hash,
        /// Why.
        error: Box<CommitError>,
    },
}

/// A view as the executor reads it.
pub(crate) struct Reader(pub(crate) View);

impl StateReader for Reader {
    fn get(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError> {
        self.0
            .get(path)
            .map_err(|error| ReadError::Failed(error.to_string()))
    }
}

/// Executes `block` on its parent's state and adds the result to the store, readable by the next block at once. To be
/// called on a thread with the stack that the executor asks for.
pub(crate) fn execute(
    executor: &Executor,
    store: &Store,
    hash: Hash,
    block: &Block,
) -> Result<Outcome, ExecuteError> {
    let reader = parent_state(store, hash, block)?;
    let context = BlockContext::of(&block.header);
    let output = executor.execute_block(&context, &block.body.transactions, &reader);
    keep(store, hash, block, output)
}

/// The state that a block is executed on.
pub(crate) fn parent_state(store: &Store, hash: Hash, block: &Block) -> Result<Reader, ExecuteError> {
    let parent = block.header.parent_hash;
    let view = store.view(version(&parent));
    view.map(Reader)
        .ok_or(ExecuteError::NoParentState { block: hash, parent })
}

/// Adds what a block's execution came to to the store.
pub(crate) fn keep(
    store: &Store,
    hash: Hash,
    block: &Block,
    output: Result<BlockOutput, ExecutionError>,
) -> Result<Outcome, ExecuteError> {
    let output = output.map_err(|error| ExecuteError::Executor {
        block: hash,
        error: Box::new(error),
    })?;
    store
        .insert(
            version(&block.header.parent_hash),
            version(&hash),
            block.header.height,
            output.changes.into(),
        )
        .map_err(|error| ExecuteError::Insert {
            block: hash,
            error: Box::new(error),
        })?;
    let (gas_used, gas_charged) = (output.gas_used, output.gas_charged);
    Ok(Outcome {
        receipts: output.receipts.into(),
        gas_used,
        gas_charged,
    })
}

/// Computes the root after an executed block, and with it the receipt.
pub(crate) fn root(
    store: &Store,
    hash: Hash,
    block: &Block,
    outcome: &Outcome,
) -> Result<ExecutionReceipt, ExecuteError> {
    let commit = store
        .commit(version(&hash))
        .map_err(|error| ExecuteError::Commit {
            block: hash,
            error: Box::new(error),
        })?;
    Ok(outcome.receipt(block.header.height, hash, Hash(commit.root)))
}

/// Both, one after the other.
pub(crate) fn execute_whole(
    executor: &Executor,
    store: &Store,
    hash: Hash,
    block: &Block,
) -> Result<(ExecutionReceipt, Arc<[TransactionReceipt]>), ExecuteError> {
    let outcome = execute(executor, store, hash, block)?;
    let receipt = root(store, hash, block, &outcome)?;
    Ok((receipt, outcome.receipts))
}

/// The state after `block`.
pub(crate) fn state_after(store: &Store, block: &Hash) -> Result<View, StateFault> {
    store
        .view(version(block))
        .ok_or_else(|| StateFault(format!("the state after block {block} is not held any more")))
}

/// An account in a state.
pub(crate) fn account_in(state: &View, address: &Address) -> Result<Account, StateFault> {
    let record = state
        .get(&account_path(address))
        .map_err(|error| StateFault(error.to_string()))?;
    decode_account(record.as_deref(), address)
}
