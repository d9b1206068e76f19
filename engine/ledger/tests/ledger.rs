//! What the ledger promises: whole batches, one receipt per hash, one block per finalized height, clear refusals.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{block, open, receipt, spec, transaction};
use millrace_ledger::{Batch, FORMAT_VERSION, Finalized, Inclusion, Ledger, LedgerError, LogKey, OpenError};
use millrace_types::{Address, Block, Hash, Log, Outcome, TransactionReceipt};

#[test]
fn what_was_committed_is_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.redb");
    let genesis = block(0, Hash::ZERO, 0, Vec::new());
    let first = block(1, genesis.hash(), 0, vec![transaction(0), transaction(1)]);
    let second = block(2, first.hash(), 1, Vec::new());
    let ledger = open(&path);
    let mut batch = Batch::new();
    batch.block(genesis.clone()).finalized(0, genesis.hash());
    batch
        .block(first.clone())
        .certificate(first.hash(), b"c1".to_vec())
        .finalized(1, first.hash());
    batch.execution(receipt(&first, 3), Vec::new());
    batch
        .block(second.clone())
        .finalized(2, second.hash())
        .plugin_value("solo/1", b"k".to_vec(), Some(b"v".to_vec()));
    ledger.commit(&batch).unwrap();
    drop(ledger);

    let ledger = open(&path);
    assert_eq!(
        ledger.last_finalized().unwrap(),
        Some(Finalized {
            height: 2,
            hash: second.hash()
        })
    );
    assert_eq!(ledger.finalized_hash(1).unwrap(), Some(first.hash()));
    assert_eq!(ledger.block(&first.hash()).unwrap(), Some(first.clone()));
    assert_eq!(ledger.certificate(&first.hash()).unwrap(), Some(b"c1".to_vec()));
    assert_eq!(ledger.receipt(&first.hash()).unwrap(), Some(receipt(&first, 3)));
    assert_eq!(ledger.settled_by(1).unwrap(), Some(2));
    assert_eq!(ledger.settled_by(2).unwrap(), None);
    assert_eq!(
        ledger.inclusions(&transaction(1).hash()).unwrap(),
        vec![Inclusion {
            block: first.hash(),
            index: 1
        }]
    );
    assert_eq!(ledger.plugin_value("solo/1", b"k").unwrap(), Some(b"v".to_vec()));
    assert_eq!(ledger.plugin_value("other/1", b"k").unwrap(), None);
}

#[test]
fn a_second_receipt_for_one_hash_is_refused_and_the_first_kept() {
    let ledger = Ledger::in_memory(&spec("one")).unwrap();
    let first = block(1, Hash::ZERO, 0, Vec::new());
    let mut batch = Batch::new();
    batch
        .block(first.clone())
        .execution(receipt(&first, 3), Vec::new());
    ledger.commit(&batch).unwrap();
    ledger.commit(&batch).expect("the same receipt again is harmless");

    let mut other = Batch::new();
    other.execution(receipt(&first, 4), Vec::new());
    let error = ledger.commit(&other).unwrap_err();
    assert!(
        matches!(error, LedgerError::ReceiptConflict { block } if block == first.hash()),
        "{error}"
    );
    assert_eq!(ledger.receipt(&first.hash()).unwrap(), Some(receipt(&first, 3)));
}

#[test]
fn a_finalized_height_never_changes_and_a_refused_batch_leaves_nothing() {
    let ledger = Ledger::in_memory(&spec("one")).unwrap();
    let (one, other) = (
        block(1, Hash::ZERO, 0, Vec::new()),
        block(1, Hash([1; 32]), 0, Vec::new()),
    );
    let mut batch = Batch::new();
    batch.block(one.clone()).finalized(1, one.hash());
    ledger.commit(&batch).unwrap();

    let mut conflict = Batch::new();
    conflict.block(other.clone()).finalized(1, other.hash());
    let error = ledger.commit(&conflict).unwrap_err();
    assert!(
        matches!(error, LedgerError::FinalityConflict { height: 1, .. }),
        "{error}"
    );
    assert_eq!(
        ledger.header(&other.hash()).unwrap(),
        None,
        "nothing of a refused batch is stored"
    );
}

#[test]
fn records_of_unknown_blocks_are_refused() {
    let ledger = Ledger::in_memory(&spec("one")).unwrap();
    let unknown = block(1, Hash::ZERO, 0, Vec::new());
    let mut batch = Batch::new();
    batch.execution(receipt(&unknown, 0), Vec::new());
    assert!(matches!(
        ledger.commit(&batch),
        Err(LedgerError::MissingBlock {
            record: "receipt",
            ..
        })
    ));
    let mut batch = Batch::new();
    batch.finalized(1, unknown.hash());
    assert!(matches!(
        ledger.commit(&batch),
        Err(LedgerError::MissingBlock {
            record: "finality",
            ..
        })
    ));
    let mut batch = Batch::new();
    batch.certificate(unknown.hash(), Vec::new());
    assert!(matches!(
        ledger.commit(&batch),
        Err(LedgerError::MissingBlock {
            record: "certificate",
            ..
        })
    ));
}

#[test]
fn one_transaction_in_two_forks_has_two_inclusions() {
    let ledger = Ledger::in_memory(&spec("one")).unwrap();
    let one = block(1, Hash::ZERO, 0, vec![transaction(0)]);
    let other = block(1, Hash([1; 32]), 0, vec![transaction(1), transaction(0)]);
    let mut batch = Batch::new();
    batch.block(one.clone()).block(other.clone());
    ledger.commit(&batch).unwrap();
    let mut expected = vec![
        Inclusion {
            block: one.hash(),
            index: 0,
        },
        Inclusion {
            block: other.hash(),
            index: 1,
        },
    ];
    expected.sort_by_key(|inclusion| inclusion.block);
    assert_eq!(ledger.inclusions(&transaction(0).hash()).unwrap(), expected);
}

#[test]
fn the_wrong_chain_a_second_process_and_damage_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.redb");
    let ledger = open(&path);
    assert!(matches!(
        Ledger::open(&path, &spec("one")),
        Err(OpenError::InUse { .. })
    ));
    drop(ledger);
    let error = Ledger::open(&path, &spec("two")).unwrap_err();
    assert!(matches!(error, OpenError::OtherChain { .. }), "{error}");
    assert!(error.to_string().contains("ledger.redb"), "{error}");

    std::fs::write(&path, b"not a database at all".repeat(1000)).unwrap();
    let error = Ledger::open(&path, &spec("one")).unwrap_err();
    assert!(matches!(error, OpenError::Database { .. }), "{error}");
}

#[test]
fn a_look_at_a_ledger_changes_no_byte_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.redb");
    let missing = Ledger::inspect(&path, &spec("one"));
    assert!(missing.is_err() && !path.exists(), "{missing:?}");
    let ledger = open(&path);
    let in_use = Ledger::inspect(&path, &spec("one"));
    assert!(matches!(in_use, Err(OpenError::InUse { .. })), "{in_use:?}");
    // What a kill leaves.
    let killed = directory.path().join("killed.redb");
    std::fs::copy(&path, &killed).unwrap();
    drop(ledger);
    for path in [&path, &killed] {
        let before = std::fs::read(path).unwrap();
        Ledger::inspect(path, &spec("one")).unwrap();
        assert!(
            std::fs::read(path).unwrap() == before,
            "{}: it changed",
            path.display()
        );
    }
    let other = Ledger::inspect(&path, &spec("two"));
    assert!(matches!(other, Err(OpenError::OtherChain { .. })), "{other:?}");
    std::fs::write(&path, b"not a database at all".repeat(1000)).unwrap();
    let damaged = Ledger::inspect(&path, &spec("one"));
    assert!(matches!(damaged, Err(OpenError::Database { .. })), "{damaged:?}");
}

/// A plugin is never unloaded, and what it was given is never dropped: a process ends with its ledger open.
#[test]
fn a_settled_ledger_needs_no_mending_though_it_is_never_closed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.redb");
    let ledger = open(&path);
    let mut batch = Batch::new();
    let genesis = block(0, Hash::ZERO, 0, Vec::new());
    batch.block(genesis.clone()).finalized(0, genesis.hash());
    ledger.commit(&batch).unwrap();
    let ended = |name: &str| {
        let copy = directory.path().join(name);
        std::fs::copy(&path, &copy).unwrap();
        let is_walked = Arc::new(AtomicBool::new(false));
        let walks = is_walked.clone();
        let database = redb::Database::builder()
            .set_repair_callback(move |_| walks.store(true, Ordering::Relaxed))
            .open(&copy)
            .unwrap();
        drop(database);
        let is_walked = is_walked.load(Ordering::Relaxed);
        (is_walked, open(&copy).finalized_hash(0).unwrap())
    };
    let hash = Some(genesis.hash());
    assert_eq!(ended("before"), (true, hash));
    ledger.settle().unwrap();
    assert_eq!(ended("settled"), (false, hash));
    // What comes later is not lost.
    let first = block(1, genesis.hash(), 0, Vec::new());
    let mut batch = Batch::new();
    batch.block(first.clone()).finalized(1, first.hash());
    ledger.commit(&batch).unwrap();
    assert_eq!(ended("later"), (true, hash));
    drop(ledger);
}

#[test]
fn a_newer_format_is_refused_with_both_versions() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.redb");
    drop(open(&path));
    let database = redb::Database::create(&path).unwrap();
    let write = database.begin_write().unwrap();
    let meta = redb::TableDefinition::<&[u8], &[u8]>::new("meta");
    write
        .open_table(meta)
        .unwrap()
        .insert(
            b"format".as_slice(),
            (FORMAT_VERSION + 1).to_le_bytes().as_slice(),
        )
        .unwrap();
    write.commit().unwrap();
    drop(database);
    let error = Ledger::open(&path, &spec("one")).unwrap_err();
    assert!(
        matches!(error, OpenError::NewerFormat { found, .. } if found == FORMAT_VERSION + 1),
        "{error}"
    );
}

#[test]
fn a_file_that_is_there_is_never_taken_for_a_new_ledger() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.redb");
    let refusal = || Ledger::open(&path, &spec("one")).unwrap_err().to_string();
    let mend = "restore it from a backup or start with an empty data directory";
    std::fs::write(&path, b"").unwrap();
    assert_eq!(
        refusal(),
        format!(
            "ledger {}: it has 0 bytes, fewer than any ledger; {mend}",
            path.display()
        )
    );
    std::fs::remove_file(&path).unwrap();
    drop(redb::Database::create(&path).unwrap());
    assert_eq!(
        refusal(),
        format!(
            "ledger {}: it is a database, but no ledger; {mend}",
            path.display()
        )
    );
    std::fs::remove_file(&path).unwrap();
    drop(open(&path));
    let files: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(files.len(), 1, "nothing is left of making it: {files:?}");
}

/// What `first` was executed to: one log.
fn with_a_log(first: &Block) -> Vec<TransactionReceipt> {
    vec![TransactionReceipt {
        transaction_hash: first.body.transactions[0].hash(),
        index: 0,
        outcome: Outcome::Success,
        gas_used: 1,
        gas_charged: 1,
        output: Vec::new(),
        logs: vec![Log {
            address: Address([5; 32]),
            topics: vec![Hash([6; 32])],
            data: Vec::new(),
        }],
        created: None,
    }]
}

#[test]
fn a_summary_of_its_logs_comes_with_a_receipt_and_is_absent_where_an_older_build_wrote() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.redb");
    let first = block(1, Hash::ZERO, 0, vec![transaction(0)]);
    let second = block(2, first.hash(), 0, vec![transaction(1)]);
    let execute = |ledger: &Ledger, block: &Block| {
        let mut batch = Batch::new();
        batch
            .block(block.clone())
            .execution(receipt(block, 3), with_a_log(block));
        ledger.commit(&batch).unwrap();
    };
    let ledger = open(&path);
    assert_eq!(ledger.log_summary(&first.hash()).unwrap(), None);
    execute(&ledger, &first);
    let summary = ledger.log_summary(&first.hash()).unwrap().unwrap();
    assert!(summary.may_have(LogKey::contract(&Address([5; 32]))));
    assert!(summary.may_have(LogKey::topic(0, &Hash([6; 32]))));
    assert!(!summary.may_have(LogKey::topic(1, &Hash([6; 32]))));
    drop(ledger);

    let database = redb::Database::open(&path).unwrap();
    let write = database.begin_write().unwrap();
    let table = redb::TableDefinition::<&[u8; 32], &[u8]>::new("log-summaries");
    assert!(write.delete_table(table).unwrap(), "as an older build left it");
    write.commit().unwrap();
    drop(database);
    let ledger = open(&path);
    assert_eq!(ledger.log_summary(&first.hash()).unwrap(), None);
    execute(&ledger, &second);
    assert!(ledger.log_summary(&second.hash()).unwrap().is_some());
    assert_eq!(ledger.log_summary(&first.hash()).unwrap(), None);
}
