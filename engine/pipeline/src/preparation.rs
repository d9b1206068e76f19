//! Signatures of blocks, checked by workers before the ordering thread needs them.
//!
//! A block whose signatures this node has not seen waits for its verdict, as one waits for execution, while its
//! transactions are checked a chunk at a time by whoever has nothing more urgent to do. What was checked is remembered
//! ([`Recent`]), so the verdict finds all of it known; a signature that does not verify is not, and the verdict names it.
//!
//! Nothing here decides anything: a block that is not prepared, or whose transactions were forgotten meanwhile, is checked
//! by the verdict itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_queue::SegQueue;
use millrace_scheduler::{Crew, Recent};
use millrace_types::{Block, Hash, SignedTransaction, keys};

use crate::mailbox::{Input, Inputs};

/// Signatures of one batch: enough that batching pays, few enough that several workers share a block.
const CHUNK: usize = 64;
/// Blocks with fewer transactions are not worth another thread.
const LEAST_TRANSACTIONS: usize = 16;
/// Transactions that are looked up to find out whether a block's signatures are known.
const SAMPLES: usize = 8;

/// A block on its way.
struct Preparation {
    hash: Hash,
    block: Arc<Block>,
    /// Chunks that are not checked yet.
    left: AtomicUsize,
}

/// Transactions of a block from here on.
struct Chunk {
    of: Arc<Preparation>,
    from: usize,
}

/// The work, and who does it.
pub(crate) struct Preparations {
    chunks: SegQueue<Chunk>,
    crew: Crew,
}

impl Preparations {
    pub(crate) fn new(crew: Crew) -> Self {
        Self {
            chunks: SegQueue::new(),
            crew,
        }
    }

    /// Whether workers should check the block's signatures: there are some, and as far as a few of them tell they are not
    /// known.
    pub(crate) fn pays(block: &Block, verified: &Recent) -> bool {
        let transactions = &block.body.transactions;
        transactions.len() >= LEAST_TRANSACTIONS
            && transactions
                .iter()
                .step_by(transactions.len() / SAMPLES)
                .any(|signed| !verified.contains(&signed.hash().0))
    }

    /// Lets workers check the block's signatures. [`Input::Prepared`] tells that they have.
    pub(crate) fn begin(&self, hash: Hash, block: Arc<Block>) {
        let transactions = block.body.transactions.len();
        let of = Arc::new(Preparation {
            hash,
            block,
            left: AtomicUsize::new(transactions.div_ceil(CHUNK)),
        });
        for from in (0..transactions).step_by(CHUNK) {
            let of = Arc::clone(&of);
            self.chunks.push(Chunk { of, from });
            self.crew.wake_one();
        }
    }

    /// Whether [`Self::step`] would find something.
    pub(crate) fn has_work(&self) -> bool {
        !self.chunks.is_empty()
    }

    /// Checks one chunk, if there is one.
    pub(crate) fn step(&self, verified: &Recent, inputs: &Inputs) -> bool {
        let Some(Chunk { of, from }) = self.chunks.pop() else {
            return false;
        };
        let transactions = &of.block.body.transactions;
        let chunk = &transactions[from..transactions.len().min(from + CHUNK)];
        if catch_unwind(AssertUnwindSafe(|| check(chunk, verified))).is_err() {
            tracing::error!(block = %of.hash, "checking signatures panicked; the verdict checks them again");
        }
        if of.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            inputs.send(Input::Prepared(of.hash));
        }
        true
    }
}

/// Remembers those that verify.
fn check(chunk: &[SignedTransaction], verified: &Recent) {
    let unknown: Vec<(Hash, &SignedTransaction)> = chunk
        .iter()
        .map(|signed| (signed.hash(), signed))
        .filter(|(hash, _)| !verified.contains(&hash.0))
        .collect();
    let signed = unknown.iter().map(|(_, signed)| *signed);
    let good = match keys::verify_batch(signed) {
        Ok(()) => unknown.len(),
        Err(error) => error.index,
    };
    for (hash, _) in &unknown[..good] {
        verified.insert(&hash.0);
    }
}
