//! New nodes that begin with an imported state and the blocks around it.

use std::path::Path;
use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use millrace_ledger::Ledger;
use millrace_pipeline::checkpoint::{Checkpoint, CheckpointError, MakeCheckpointError};
use millrace_pipeline::{Engine, EngineConfig, OpenError, ReplayError, replay_check};
use millrace_state::files::Directory;
use millrace_state::{Config, Store, VersionId, export};
use millrace_types::{Block, Commitment, ExecutionReceipt, Hash, TransactionReceipt};

use crate::common::*;
use crate::old::{Old, kept_in, old};

impl Old {
    /// The newest height of which there is a checkpoint.
    fn settled(&self) -> u64 {
        let executed = self.block(self.last.height).header.settled_height;
        self.block(executed).header.settled_height
    }

    /// Carries the state after a block to another directory.
    fn carry_state(&self, block: &Hash, root: &Hash, to: &Path) {
        let files = Arc::new(Directory::open(self.states.path()).unwrap());
        let store = Store::open_existing(files, Config::default()).unwrap();
        let view = store.view(VersionId(block.0)).unwrap();
        let mut stream = Vec::new();
        export::export(&view, store.genesis(), 1 << 16, &mut stream, |_| {}).unwrap();
        let files = Arc::new(Directory::open(to).unwrap());
        export::import(files, Config::default(), &root.0, &mut &stream[..], |_| {}).unwrap();
    }
}

#[test]
fn a_node_goes_on_from_any_settled_height() {
    for commitment in [Commitment::ExecutionReceipts, Commitment::DelayedRoot] {
        let old = old(commitment, 14);
        let settled = old.settled();
        assert!(settled > 4, "{settled}");
        for height in (1..=settled).map(Some).chain([None]) {
            let checkpoint = Checkpoint::of(&old.ledger, height).unwrap();
            let decoded = Checkpoint::decode(&checkpoint.encode()).unwrap();
            assert_eq!(decoded, checkpoint);
            let last = decoded.last().unwrap();
            let vouched = decoded.verify(&old.spec, &last.hash).unwrap();
            assert_eq!(vouched.last, last);
            assert_eq!(vouched.state.height, height.unwrap_or(settled));
            assert_eq!(Some(vouched.state.hash), decoded.state_block());
            if height.is_none() {
                assert_eq!(last, old.last, "by default nothing is left out");
            }

            let new = tempfile::tempdir().unwrap();
            old.carry_state(&vouched.state.hash, &vouched.root, new.path());
            let ledger = Ledger::in_memory(&old.spec).unwrap();
            vouched.write(&ledger).unwrap();
            // Twice, the second time from what it has written itself.
            for from in [last.height, old.last.height] {
                let mut chain = Chain::open(old.spec.clone(), ledger.clone(), kept_in(new.path()));
                assert_eq!(chain.engine.last_finalized().height, from);
                for height in from + 1..=old.last.height {
                    let block = old.block(height);
                    assert_eq!(chain.validate(&block), millrace_pipeline::ValidateAnswer::Valid);
                    chain.finalize(&block);
                }
                chain.wait_until_executed(old.last.height);
                assert_eq!(chain.root(), old.root, "{commitment:?}, {height:?}");
                chain.engine.stop();
            }
            let mut chain = Chain::open(old.spec.clone(), ledger.clone(), kept_in(new.path()));
            submit_rounds(&chain, 14, 1);
            chain.run_until_idle();
            assert!(chain.head.height > old.last.height, "it makes blocks of its own");
            chain.engine.stop();
            // It can be copied on.
            let next = Checkpoint::of(&ledger, None).unwrap();
            next.verify(&old.spec, &next.last().unwrap().hash).unwrap();
        }
    }
}

#[test]
fn a_node_that_lost_its_imported_state_says_so() {
    let old = old(Commitment::ExecutionReceipts, 14);
    let checkpoint = Checkpoint::of(&old.ledger, None).unwrap();
    let ledger = Ledger::in_memory(&old.spec).unwrap();
    let vouched = checkpoint.verify(&old.spec, &old.last.hash).unwrap();
    vouched.write(&ledger).unwrap();
    let begins = ledger.begins_at().unwrap();
    assert!(begins > 1);
    let opened = Engine::open(old.spec.clone(), ledger.clone(), EngineConfig::default());
    assert!(
        matches!(opened, Err(OpenError::BeginsLater { begins: found }) if found == begins),
        "{:?}",
        opened.err()
    );
    let replayed = replay_check(&old.spec, &ledger).unwrap_err();
    assert!(
        matches!(replayed, ReplayError::NoBeginning { begins: found } if found == begins),
        "{replayed}"
    );
    // What is not there is not given, and a part of it is no start either.
    for height in 1..begins {
        assert!(matches!(
            Checkpoint::of(&ledger, Some(height)),
            Err(MakeCheckpointError::Missing { .. } | MakeCheckpointError::NotSettled { .. })
        ));
    }
    assert!(matches!(vouched.write(&ledger), Err(CheckpointError::NotEmpty)));
    let whole = Ledger::in_memory(&old.spec).unwrap();
    assert!(matches!(
        Checkpoint::of(&whole, None),
        Err(MakeCheckpointError::OnlyGenesis)
    ));
    assert!(matches!(
        Checkpoint::of(&old.ledger, Some(old.last.height + 1)),
        Err(MakeCheckpointError::NotSettled { .. })
    ));
    assert_eq!(old.ledger.begins_at().unwrap(), 0);
}

/// What a checkpoint is made of.
#[derive(Clone, BorshSerialize, BorshDeserialize)]
struct Parts {
    height: u64,
    blocks: Vec<(Block, Vec<u8>)>,
    executions: Vec<(ExecutionReceipt, Vec<TransactionReceipt>)>,
}

impl Parts {
    /// The same without certificates, which only the consensus plugin and light clients can tell.
    fn bare(mut self) -> Self {
        self.blocks
            .iter_mut()
            .for_each(|(_, certificate)| certificate.clear());
        self
    }
}

fn is_taken(bytes: &[u8], old: &Old) -> bool {
    Checkpoint::decode(bytes).is_ok_and(|checkpoint| checkpoint.verify(&old.spec, &old.last.hash).is_ok())
}

#[test]
fn no_forged_checkpoint_is_taken() {
    for commitment in [Commitment::ExecutionReceipts, Commitment::DelayedRoot] {
        let old = old(commitment, 12);
        let parts: Parts = borsh::from_slice(&Checkpoint::of(&old.ledger, None).unwrap().encode()).unwrap();
        let parts = parts.bare();
        let bytes = borsh::to_vec(&parts).unwrap();
        assert!(is_taken(&bytes, &old));
        // The height of the state comes first; see below.
        for at in (8..bytes.len()).step_by(7) {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << (at % 8);
            assert!(!is_taken(&bytes, &old), "byte {at}");
        }
        for len in (0..bytes.len()).step_by(61) {
            assert!(!is_taken(&bytes[..len], &old), "cut to {len}");
        }
        let changed = |change: &dyn Fn(&mut Parts)| {
            let mut parts = parts.clone();
            change(&mut parts);
            is_taken(&borsh::to_vec(&parts).unwrap(), &old)
        };
        for at in 0..parts.blocks.len() {
            assert!(
                !changed(&|parts| drop(parts.blocks.remove(at))),
                "without block {at}"
            );
            assert!(!changed(&|parts| parts
                .blocks
                .insert(at, parts.blocks[at].clone())));
        }
        for at in 1..parts.blocks.len() {
            assert!(!changed(&|parts| parts.blocks.swap(at - 1, at)));
        }
        for at in 0..parts.executions.len() {
            assert!(
                !changed(&|parts| drop(parts.executions.remove(at))),
                "without receipt {at}"
            );
            assert!(!changed(&|parts| parts.executions.truncate(at)));
            assert!(!changed(&|parts| parts.executions[at].1.clear()) || parts.executions[at].1.is_empty());
        }
        for height in 0..parts.height + 5 {
            // An older state is as true as the newest, where everything that a node needs from there on is there.
            let is_taken = changed(&|parts| parts.height = height);
            let settles = parts
                .blocks
                .iter()
                .find(|(block, _)| block.header.height == height);
            let first = parts.executions[0].0.height;
            let reaches = settles.is_some_and(|(block, _)| block.header.settled_height.max(1) >= first);
            assert_eq!(is_taken, reaches && height <= parts.height, "{height}");
        }
        // One that has more, from genesis on.
        let genesis = old.block(0);
        assert!(!changed(&|parts| parts
            .blocks
            .insert(0, (genesis.clone(), Vec::new()))));
        // Another chain's.
        let mut other = old.spec.clone();
        other.chain_id += 1;
        let checkpoint = Checkpoint::decode(&bytes).unwrap();
        assert!(checkpoint.verify(&other, &old.last.hash).is_err());
        let wrong = checkpoint.verify(&old.spec, &Hash([7; 32])).unwrap_err();
        assert!(wrong.to_string().contains("trusted"), "{wrong}");
    }
}
