//! What a block's own subscribers are told: its transactions or its logs, each in a notification of its own.
//!
//! The receipts are read from the ledger when somebody wants them, once for all who want them at the same time, and kept only
//! while somebody is at them. A subscriber prepares a few kilobytes of notifications at a time; while it waits for its
//! peer to take them it holds those and nothing else, and reads the block again when it goes on.

use std::sync::{Arc, Weak};

use jsonrpsee::core::RpcResult;
use millrace_pipeline::{BlockRef, Engine, Event, LogFilter};
use millrace_types::TransactionReceipt;
use tokio::sync::Mutex;

use crate::encoding::Bytes;
use crate::error::{internal, ledger_error};
use crate::shapes::{EventView, PlacedLogView, outcome_name};

/// Bytes of notifications that are prepared at a time, about.
const CHUNK_BYTES: u64 = 64 << 10;
/// Of a notification beside what grows.
const VIEW_BYTES: u64 = 640;

type Receipts = Arc<Vec<TransactionReceipt>>;

/// An event, with the receipts of its block for those who want them.
pub(super) struct Told {
    pub(super) event: Event,
    receipts: Mutex<Weak<Vec<TransactionReceipt>>>,
}

impl Told {
    pub(super) fn new(event: Event) -> Self {
        Self {
            event,
            receipts: Mutex::default(),
        }
    }

    /// The receipts of a block, read unless somebody else has them in hand.
    pub(super) async fn receipts(&self, engine: &Engine, block: BlockRef) -> RpcResult<Receipts> {
        let mut known = self.receipts.lock().await;
        if let Some(receipts) = known.upgrade() {
            return Ok(receipts);
        }
        let engine = engine.clone();
        let reading = tokio::task::spawn_blocking(move || engine.transaction_receipts(&block.hash));
        let read = reading.await.map_err(|fault| internal(&fault))?;
        let read = read.map_err(|fault| ledger_error(&fault))?;
        let receipts =
            Arc::new(read.ok_or_else(|| internal(&format_args!("the receipts of {} are gone", block.hash)))?);
        *known = Arc::downgrade(&receipts);
        Ok(receipts)
    }
}

/// Which part of a block a subscriber wants.
pub(super) enum Part {
    /// Every transaction.
    Transactions,
    /// Logs.
    Logs(LogFilter),
}

/// What comes next of a block: a transaction, and a log of it.
#[derive(Clone, Copy, Default)]
pub(super) struct Place {
    transaction: usize,
    log: usize,
}

impl Part {
    /// The next events of a block, and moves `place` behind them; none when all is told.
    pub(super) fn chunk(
        &self,
        block: BlockRef,
        receipts: &[TransactionReceipt],
        place: &mut Place,
    ) -> Vec<EventView> {
        let (mut views, mut bytes) = (Vec::new(), 0);
        while let Some(receipt) = receipts.get(place.transaction)
            && bytes < CHUNK_BYTES
        {
            match self {
                Self::Transactions => {
                    place.transaction += 1;
                    views.push(transaction_view(block, receipt));
                    bytes += VIEW_BYTES;
                }
                Self::Logs(filter) => match receipt.logs.get(place.log) {
                    Some(log) => {
                        if filter.matches(log) {
                            views.push(log_view(block, receipt, place.log));
                            bytes += VIEW_BYTES + 2 * log.data.len() as u64;
                        }
                        place.log += 1;
                    }
                    None => {
                        let transaction = place.transaction + 1;
                        *place = Place { transaction, log: 0 };
                    }
                },
            }
        }
        views
    }
}

fn transaction_view(block: BlockRef, receipt: &TransactionReceipt) -> EventView {
    EventView::Transaction {
        hash: receipt.transaction_hash,
        height: block.height,
        block_hash: block.hash,
        index: receipt.index,
        outcome: outcome_name(receipt),
        gas_used: receipt.gas_used,
        gas_charged: receipt.gas_charged,
    }
}

fn log_view(block: BlockRef, receipt: &TransactionReceipt, index: usize) -> EventView {
    let log = &receipt.logs[index];
    EventView::Log(PlacedLogView {
        contract: log.address,
        topics: log.topics.clone(),
        data: Bytes(log.data.clone()),
        height: block.height,
        block_hash: block.hash,
        transaction_hash: receipt.transaction_hash,
        transaction_index: receipt.index,
        log_index: u32::try_from(index).unwrap_or(u32::MAX),
    })
}
