//! The one writer of the ledger, on a thread of its own: what waits is made durable together.
//!
//! It takes blocks and executions from a queue, as many as are there, writes them in one commit, and then reports them in
//! the order of the queue. A block is queued before it is published to the ring for anything but speculation, so its
//! execution is queued after it: no receipt is durable before its body (protocol rule 18).

use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use millrace_ledger::{Batch, Ledger, LedgerError};
use millrace_types::{Block, ExecutionReceipt, Hash, TransactionReceipt};

use crate::api::{PluginFault, StopReason};
use crate::core::{Executed, Finalized, Left};
use crate::inbox::{Receiver, Sender, inbox};
use crate::mailbox::{Input, Inputs};

/// The most entries of one commit.
const GROUP: usize = 256;

/// Something to be made durable.
pub(crate) enum Entry {
    /// A block that is to be executed before it is final. Not reported.
    Body(Arc<Block>),
    /// Blocks that one certificate makes final, ascending: durable together, each reported as [`Input::BodyDurable`].
    Finalized {
        blocks: Vec<Finalized>,
        /// Of the last of them.
        certificate: Vec<u8>,
    },
    /// A task leaves the ring with a block's execution. Reported as [`Input::Left`], before `done` is signalled: so
    /// tasks that leave after it are reported after it.
    Execution {
        receipt: ExecutionReceipt,
        receipts: Arc<[TransactionReceipt]>,
        done: mpsc::SyncSender<()>,
    },
    /// A task leaves the ring, and there is nothing to write. Reported as [`Input::Left`].
    Left { hash: Hash },
    /// The last entry.
    Close,
}

/// The queue's end for writers. Never blocks; what is in it is bounded by credits and by the ring.
#[derive(Clone)]
pub(crate) struct Journal(Sender<Entry>);

impl Journal {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gave no thread.
    pub(crate) fn start(ledger: Ledger, inputs: Inputs) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (sender, inbox) = inbox();
        let thread = thread::Builder::new()
            .name("millrace-journal".into())
            .spawn(move || run(&ledger, &inbox.open(), &inputs))?;
        Ok((Self(sender), thread))
    }

    /// Queues an entry. After a failed commit or [`Entry::Close`] it is dropped.
    pub(crate) fn push(&self, entry: Entry) {
        self.0.send(entry);
    }
}

fn run(ledger: &Ledger, entries: &Receiver<Entry>, inputs: &Inputs) {
    while let Some(first) = entries.recv() {
        let mut group = vec![first];
        while group.len() < GROUP
            && let Some(next) = entries.try_recv()
        {
            group.push(next);
        }
        let closing = group.iter().any(|entry| matches!(entry, Entry::Close));
        if let Err(error) = commit(ledger, &group) {
            // After a failed commit nothing may be published that came in or behind it.
            inputs.send(Input::Fault(stop_reason(&error, &group)));
            return;
        }
        for entry in group {
            report(entry, inputs);
        }
        if closing {
            return;
        }
    }
}

fn commit(ledger: &Ledger, group: &[Entry]) -> Result<(), LedgerError> {
    let mut batch = Batch::new();
    for entry in group {
        match entry {
            Entry::Body(block) => {
                batch.block(Arc::clone(block));
            }
            Entry::Finalized { blocks, certificate } => {
                for Finalized { block, body } in blocks {
                    if let Some(body) = body {
                        batch.block(Arc::clone(body));
                    }
                    batch.finalized(block.height, block.hash);
                }
                if let Some(last) = blocks.last() {
                    batch.certificate(last.block.hash, certificate.clone());
                }
            }
            Entry::Execution {
                receipt, receipts, ..
            } => {
                batch.execution(receipt.clone(), Arc::clone(receipts));
            }
            Entry::Left { .. } | Entry::Close => {}
        }
    }
    ledger.commit(&batch)
}

fn report(entry: Entry, inputs: &Inputs) {
    match entry {
        Entry::Finalized { blocks, .. } => {
            for finalized in blocks {
                inputs.send(Input::BodyDurable(finalized.block.hash));
            }
        }
        Entry::Execution {
            receipt,
            receipts,
            done,
        } => {
            let transactions = u32::try_from(receipts.len()).unwrap_or(u32::MAX);
            inputs.send(Input::Left(Left {
                hash: receipt.block_hash,
                executed: Some(Executed {
                    receipt,
                    transactions,
                }),
            }));
            // The worker that waits may be gone; then nobody needs to know.
            let _ = done.send(());
        }
        Entry::Left { hash } => inputs.send(Input::Left(Left { hash, executed: None })),
        Entry::Body(_) | Entry::Close => {}
    }
}

fn stop_reason(error: &LedgerError, group: &[Entry]) -> StopReason {
    match error {
        LedgerError::ReceiptConflict { block } => {
            let ours = group.iter().find_map(|entry| match entry {
                Entry::Execution { receipt, .. } if receipt.block_hash == *block => Some(receipt),
                _ => None,
            });
            StopReason::Divergence {
                height: ours.map_or(0, |receipt| receipt.height),
                theirs: format!("the receipt of block {block} that is in this node's own ledger"),
                ours: format!("{ours:?}"),
            }
        }
        LedgerError::FinalityConflict {
            height,
            stored,
            given,
        } => {
            let (block, height, finalized) = (*given, *height, *stored);
            StopReason::PluginFault(PluginFault::Conflicting {
                block,
                height,
                finalized,
            })
        }
        error => StopReason::NodeFault {
            what: error.to_string(),
        },
    }
}
