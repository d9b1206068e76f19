//! The one writer of the ledger, on a thread of its own: what waits is made durable together.
//!
//! It takes blocks and executions from a queue, as many as are there, writes them in one commit, and then reports them in
//! the order of the queue. A block is queued before it is published to the ring for anything but speculation, so its
//! execution is queued after it: no receipt is durable before its body (protocol rule 18).
//!
//! Nobody waits for it. A worker that comes to a task's last stage leaves its claim here and goes; when what the task had
//! to make durable is, the claim goes on to the keeper, and whoever has it last frees the slot.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use millrace_ledger::{Batch, Ledger, LedgerError};
use millrace_scheduler::Claim;
use millrace_types::{Block, ExecutionReceipt, TransactionReceipt};

use crate::api::{PluginFault, StopReason};
use crate::core::{Executed, Finalized, Left};
use crate::inbox::{Inbox, Receiver, Sender, inbox};
use crate::keeper::Keeper;
use crate::mailbox::{Input, Inputs};
use crate::task::BlockTask;
use crate::timing::{Timed, Timing};

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
    /// A task leaves the ring, with the block's execution if that is to be durable. Reported as [`Input::Left`] before the
    /// claim goes on to the keeper: so tasks that leave after it are reported after it.
    Leaves {
        claim: Claim<BlockTask>,
        execution: Option<Execution>,
    },
    /// The last entry.
    Close,
}

impl Entry {
    /// Whether a receipt is to become durable.
    fn has_receipt(&self) -> bool {
        matches!(
            self,
            Self::Leaves {
                execution: Some(_),
                ..
            }
        )
    }
}

/// What a task's execution leaves to the ledger.
#[derive(Debug)]
pub(crate) struct Execution {
    pub(crate) receipt: ExecutionReceipt,
    pub(crate) receipts: Arc<[TransactionReceipt]>,
}

/// The queue's end for writers. Never blocks; what is in it is bounded by credits and by the ring.
#[derive(Clone)]
pub(crate) struct Journal(Sender<Entry>);

impl Journal {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gave no thread.
    pub(crate) fn start(
        ledger: Ledger,
        keeper: Keeper,
        inputs: Inputs,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (journal, entries) = Self::queue();
        let thread = thread::Builder::new()
            .name("millrace-journal".into())
            .spawn(move || run(&ledger, &keeper, &entries.open(), &inputs))?;
        Ok((journal, thread))
    }

    /// The queue alone, as long as nobody writes what is in it.
    pub(crate) fn queue() -> (Self, Inbox<Entry>) {
        let (sender, inbox) = inbox();
        (Self(sender), inbox)
    }

    /// Queues an entry. After a failed commit or [`Entry::Close`] it is dropped.
    pub(crate) fn push(&self, entry: Entry) {
        self.0.send(entry);
    }
}

/// Writes what comes until [`Entry::Close`], until nobody is left who could queue anything, or until a commit fails.
pub(crate) fn run(ledger: &Ledger, keeper: &Keeper, entries: &Receiver<Entry>, inputs: &Inputs) {
    while let Some(first) = entries.recv() {
        let mut group = vec![first];
        while group.len() < GROUP
            && let Some(next) = entries.try_recv()
        {
            group.push(next);
        }
        let closing = group.iter().any(|entry| matches!(entry, Entry::Close));
        let timing = Timing::begin();
        if let Err(error) = commit(ledger, &group) {
            // After a failed commit nothing may be published that came in or behind it.
            inputs.send(Input::Fault(stop_reason(&error, &group)));
            return;
        }
        // One receipt at most: a task comes to its last stage when the one before has left it.
        if group.iter().any(Entry::has_receipt) {
            timing.end(Timed::Persist);
        }
        for entry in group {
            report(entry, keeper, inputs);
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
            Entry::Leaves { execution, .. } => {
                if let Some(Execution { receipt, receipts }) = execution {
                    batch.execution(receipt.clone(), Arc::clone(receipts));
                }
            }
            Entry::Close => {}
        }
    }
    ledger.commit(&batch)
}

fn report(entry: Entry, keeper: &Keeper, inputs: &Inputs) {
    match entry {
        Entry::Finalized { blocks, .. } => {
            for finalized in blocks {
                inputs.send(Input::BodyDurable(finalized.block.hash));
            }
        }
        Entry::Leaves { claim, execution } => {
            if execution.is_some() {
                claim.work.set_durable();
            }
            tracing::debug!(height = claim.height(), block = %claim.hash, purpose = ?claim.purpose, "left the ring");
            inputs.send(Input::Left(Left {
                hash: claim.hash,
                executed: execution.map(|Execution { receipt, receipts }| Executed {
                    receipt,
                    transactions: u32::try_from(receipts.len()).unwrap_or(u32::MAX),
                }),
            }));
            keeper.take(claim);
        }
        Entry::Body(_) | Entry::Close => {}
    }
}

fn stop_reason(error: &LedgerError, group: &[Entry]) -> StopReason {
    match error {
        LedgerError::ReceiptConflict { block } => {
            let ours = group.iter().find_map(|entry| match entry {
                Entry::Leaves {
                    execution: Some(Execution { receipt, .. }),
                    ..
                } if receipt.block_hash == *block => Some(receipt),
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
