//! Replaying a ledger from a state in the middle of its chain.

use std::sync::Arc;

use millrace_ledger::{Batch, Ledger};
use millrace_pipeline::checkpoint::{Checkpoint, CheckpointError};
use millrace_pipeline::{
    OpenError, ReplayError, ReplayReport, replay_check, replay_check_from, vouched_by_ledger,
};
use millrace_state::files::{Directory, MemoryFiles};
use millrace_state::{Config, Store, VersionId, export};
use millrace_types::{Commitment, ExecutionReceipt, Hash, TransactionReceipt};

use crate::old::{Old, old};

impl Old {
    /// A store in memory with the state after a block alone, as a file carries it.
    fn state(&self, block: &Hash, root: &Hash) -> Store {
        let files = Arc::new(Directory::open(self.states.path()).unwrap());
        let kept = Store::open_existing(files, Config::default()).unwrap();
        let view = kept.view(VersionId(block.0)).unwrap();
        let mut stream = Vec::new();
        export::export(&view, kept.genesis(), 1 << 16, &mut stream, |_| {}).unwrap();
        let files = Arc::new(MemoryFiles::default());
        export::import(
            files.clone(),
            Config::default(),
            &root.0,
            &mut &stream[..],
            |_| {},
        )
        .unwrap();
        Store::open_existing(files, Config::default()).unwrap()
    }

    /// Replays `ledger` from the state of the checkpoint.
    fn replay(&self, ledger: &Ledger, checkpoint: &Checkpoint) -> Result<ReplayReport, ReplayError> {
        let vouched = vouched_by_ledger(checkpoint, &self.spec, ledger)?;
        let store = self.state(&vouched.state.hash, &vouched.root);
        replay_check_from(&self.spec, ledger, &vouched, store)
    }

    /// The ledger of a node that began with the checkpoint and has executed everything since.
    fn imported(&self, checkpoint: &Checkpoint) -> Ledger {
        let ledger = Ledger::in_memory(&self.spec).unwrap();
        let last = checkpoint.last().unwrap();
        let vouched = checkpoint.verify(&self.spec, &last.hash).unwrap();
        vouched.write(&ledger).unwrap();
        for height in last.height + 1..=self.last.height {
            let block = self.block(height);
            let mut batch = Batch::new();
            batch.finalized(height, block.hash()).block(block);
            ledger.commit(&batch).unwrap();
        }
        for height in vouched.state.height..=self.last.height {
            let hash = self.block(height).hash();
            let receipt = self.ledger.receipt(&hash).unwrap().unwrap();
            let transactions = self.ledger.transaction_receipts(&hash).unwrap().unwrap();
            let mut batch = Batch::new();
            batch.execution(receipt, transactions);
            ledger.commit(&batch).unwrap();
        }
        ledger
    }
}

impl Old {
    /// The whole ledger, with what an execution gave at one height told otherwise.
    fn bent(&self, at: u64, bend: impl Fn(&mut ExecutionReceipt, &mut Vec<TransactionReceipt>)) -> Ledger {
        let ledger = Ledger::in_memory(&self.spec).unwrap();
        for height in 0..=self.last.height {
            let block = self.block(height);
            let hash = block.hash();
            ledger
                .commit(Batch::new().block(block).finalized(height, hash))
                .unwrap();
            if height == 0 {
                continue;
            }
            let mut receipt = self.ledger.receipt(&hash).unwrap().unwrap();
            let mut transactions = self.ledger.transaction_receipts(&hash).unwrap().unwrap();
            if height == at {
                bend(&mut receipt, &mut transactions);
            }
            ledger
                .commit(Batch::new().execution(receipt, transactions))
                .unwrap();
        }
        ledger
    }
}

#[test]
fn a_replay_from_any_settled_height_comes_to_the_same() {
    for commitment in [Commitment::ExecutionReceipts, Commitment::DelayedRoot] {
        let chain = old(commitment, 14);
        let whole = replay_check(&chain.spec, &chain.ledger).unwrap();
        assert_eq!((whole.last, whole.root), (chain.last, chain.root));
        let newest = Checkpoint::of(&chain.ledger, None).unwrap();
        let settled = newest.verify(&chain.spec, &chain.last.hash).unwrap().state.height;
        assert!(settled > 4, "{settled}");
        for height in 1..=settled {
            let checkpoint = Checkpoint::of(&chain.ledger, Some(height)).unwrap();
            for ledger in [chain.ledger.clone(), chain.imported(&checkpoint)] {
                let report = chain.replay(&ledger, &checkpoint).unwrap();
                assert_eq!((report.last, report.root), (chain.last, chain.root));
                assert_eq!(report.from.height, height);
                assert_eq!(report.blocks, chain.last.height - height, "each was executed");
                assert_eq!(report.without_receipt, 0, "each was compared");
            }
        }
    }
}

#[test]
fn a_ledger_that_begins_above_genesis_says_from_where_it_can_be_replayed() {
    let chain = old(Commitment::ExecutionReceipts, 14);
    let newest = Checkpoint::of(&chain.ledger, None).unwrap();
    let ledger = chain.imported(&newest);
    let begins = ledger.begins_at().unwrap();
    let error = replay_check(&chain.spec, &ledger).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the ledger begins at height {begins}, above an imported state: replay from the file that was imported, or from one that was exported of height {} or above",
            begins - 1
        )
    );
    let early = Checkpoint::of(&chain.ledger, Some(1)).unwrap();
    let error = chain.replay(&ledger, &early).unwrap_err();
    // The ledger lacks even the block that the early file ends with.
    assert!(
        matches!(
            error,
            ReplayError::EndsBelow { .. } | ReplayError::BeginsAbove { height: 1, .. }
        ),
        "{error}"
    );
}

#[test]
fn a_file_of_another_chain_or_another_state_is_refused() {
    let chain = old(Commitment::ExecutionReceipts, 14);
    let checkpoint = Checkpoint::of(&chain.ledger, Some(3)).unwrap();

    let short = Ledger::in_memory(&chain.spec).unwrap();
    let genesis = chain.block(0);
    short
        .commit(Batch::new().finalized(0, genesis.hash()).block(genesis))
        .unwrap();
    let error = chain.replay(&short, &checkpoint).unwrap_err();
    assert!(matches!(error, ReplayError::EndsBelow { last: 0, .. }), "{error}");

    // The same height of a ledger that went elsewhere.
    let last = checkpoint.last().unwrap();
    let other = Ledger::in_memory(&chain.spec).unwrap();
    let (genesis, mut fork) = (chain.block(0), chain.block(last.height));
    fork.header.timestamp_ms += 1;
    let (begin, elsewhere) = (genesis.hash(), fork.hash());
    other
        .commit(Batch::new().block(genesis).finalized(0, begin))
        .unwrap();
    other
        .commit(Batch::new().block(fork).finalized(last.height, elsewhere))
        .unwrap();
    let error = chain.replay(&other, &checkpoint).unwrap_err();
    assert!(
        matches!(
            error,
            ReplayError::Checkpoint(CheckpointError::OtherBlock {
                trusted, .. }) if trusted == elsewhere
        ),
        "{error}"
    );

    let vouched = vouched_by_ledger(&checkpoint, &chain.spec, &chain.ledger).unwrap();
    let block = chain.block(2);
    let receipt = chain.ledger.receipt(&block.hash()).unwrap().unwrap();
    let store = chain.state(&block.hash(), &receipt.post_state_root);
    let error = replay_check_from(&chain.spec, &chain.ledger, &vouched, store).unwrap_err();
    assert!(
        matches!(error, ReplayError::OtherState { height: 3, found, .. } if found == receipt.post_state_root),
        "{error}"
    );
}

#[test]
fn what_the_ledger_says_wrongly_is_found_above_and_at_the_state() {
    let chain = old(Commitment::ExecutionReceipts, 14);
    let checkpoint = Checkpoint::of(&chain.ledger, Some(3)).unwrap();
    for height in 1..=chain.last.height {
        // Below the state nothing is looked at but what the checkpoint has.
        let is_seen = height >= 3;
        let ledger = chain.bent(height, |receipt, _| receipt.gas_used += 1);
        let found = chain.replay(&ledger, &checkpoint);
        if is_seen {
            assert!(
                matches!(&found, Err(ReplayError::Open(OpenError::Divergence { height: at, .. })) if *at == height),
                "height {height}: {found:?}"
            );
        }
        let ledger = chain.bent(height, |_, transactions| transactions.clear());
        let found = chain.replay(&ledger, &checkpoint);
        if is_seen && !chain.block(height).body.transactions.is_empty() {
            assert!(
                matches!(found, Err(ReplayError::TransactionReceipts { height: at, index: 0 }) if at == height),
                "height {height}: {found:?}"
            );
        }
    }
}
