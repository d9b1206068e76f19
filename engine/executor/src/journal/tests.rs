//! Undoing, against copies of what there was.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::error::ReadError;

type Memory = BTreeMap<Path, Arc<[u8]>>;

fn address(index: u8) -> Address {
    Address([index; 32])
}

fn state() -> Memory {
    let account = |balance| Account {
        nonce: 0,
        balance,
        code_hash: None,
    };
    let record = |index: u8| {
        (
            account_path(&address(index)),
            encode_account(&account(u128::from(index) * 100)),
        )
    };
    let slot = |index: u8| ([index; 32], Arc::from([index]));
    [record(1), record(2), slot(3), slot(4)].into()
}

/// Everything that can be seen of a journal.
#[derive(PartialEq, Debug)]
struct Seen {
    accounts: Vec<Account>,
    slots: Vec<Option<Arc<[u8]>>>,
    transient: Vec<Option<Arc<[u8]>>>,
    warm: (BTreeSet<Address>, BTreeSet<Path>),
    programs: BTreeSet<Hash>,
    logs: (Vec<Log>, u64),
}

fn see(journal: &mut Journal<'_>) -> Seen {
    Seen {
        accounts: (0..4)
            .map(|index| journal.account(&address(index)).unwrap())
            .collect(),
        slots: (0..6).map(|index| journal.slot(&[index; 32]).unwrap()).collect(),
        transient: (0..3)
            .map(|index| journal.transient(address(0), &[index]))
            .collect(),
        warm: (journal.warm_accounts.clone(), journal.warm_slots.clone()),
        programs: journal.programs.clone(),
        logs: (journal.logs.clone(), journal.log_bytes),
    }
}

#[derive(Clone, Debug)]
enum Change {
    Transfer(u8, u8, u128),
    Nonce(u8),
    Slot(u8, Option<u8>),
    Transient(u8, Option<u8>),
    Warm(u8),
    WarmSlot(u8),
    Program(u8),
    Log(u8),
}

fn change() -> impl Strategy<Value = Change> {
    let byte = || prop::option::of(any::<u8>());
    prop_oneof![
        (0..4u8, 0..4u8, 0..250u128).prop_map(|(from, to, amount)| Change::Transfer(from, to, amount)),
        (0..4u8).prop_map(Change::Nonce),
        (0..6u8, byte()).prop_map(|(slot, value)| Change::Slot(slot, value)),
        (0..3u8, byte()).prop_map(|(slot, value)| Change::Transient(slot, value)),
        (0..4u8).prop_map(Change::Warm),
        (0..6u8).prop_map(Change::WarmSlot),
        (0..3u8).prop_map(Change::Program),
        any::<u8>().prop_map(Change::Log),
    ]
}

fn apply(journal: &mut Journal<'_>, change: &Change) {
    let value = |byte: &Option<u8>| byte.map(|byte| Arc::from([byte]));
    match change {
        Change::Transfer(from, to, amount) => {
            let covered = journal.account(&address(*from)).unwrap().balance >= *amount;
            assert_eq!(
                journal.transfer(&address(*from), &address(*to), *amount),
                Ok(covered)
            );
        }
        Change::Nonce(index) => journal
            .update_account(&address(*index), |account| account.nonce += 1)
            .unwrap(),
        Change::Slot(index, byte) => journal.set_slot([*index; 32], value(byte)),
        Change::Transient(index, byte) => journal.set_transient(address(0), &[*index], value(byte)),
        Change::Warm(index) => drop(journal.warm_account(&address(*index))),
        Change::WarmSlot(index) => drop(journal.warm_slot(&[*index; 32])),
        Change::Program(index) => journal.note_run(&Hash([*index; 32])),
        Change::Log(byte) => {
            let log = Log {
                address: address(0),
                topics: Vec::new(),
                data: vec![*byte],
            };
            journal.log(log, u64::from(*byte));
        }
    }
}

proptest! {
    #[test]
    fn undoing_restores_what_was_seen_at_each_checkpoint(
        levels in prop::collection::vec(prop::collection::vec(change(), 0..12), 1..6),
    ) {
        let state = state();
        let mut journal = Journal::new(&state);
        let mut seen = Vec::new();
        for changes in &levels {
            seen.push((journal.checkpoint(), see(&mut journal)));
            changes.iter().for_each(|change| apply(&mut journal, change));
        }
        for (checkpoint, expected) in seen.into_iter().rev() {
            journal.undo_to(checkpoint);
            prop_assert_eq!(see(&mut journal), expected);
        }
        prop_assert_eq!(journal.finish().changes, Changes::new());
    }

    #[test]
    fn undone_changes_are_as_if_they_had_never_been(
        kept in prop::collection::vec(change(), 0..20),
        undone in prop::collection::vec(change(), 0..20),
        after in prop::collection::vec(change(), 0..20),
    ) {
        let state = state();
        let (mut with, mut without) = (Journal::new(&state), Journal::new(&state));
        kept.iter().for_each(|change| apply(&mut with, change));
        let checkpoint = with.checkpoint();
        undone.iter().for_each(|change| apply(&mut with, change));
        with.undo_to(checkpoint);
        after.iter().for_each(|change| apply(&mut with, change));
        kept.iter().chain(&after).for_each(|change| apply(&mut without, change));
        let (with, without) = (with.finish(), without.finish());
        prop_assert_eq!((with.changes, with.logs), (without.changes, without.logs));
    }
}

#[test]
fn accounts_that_become_empty_are_removed_and_unchanged_ones_not_written() {
    let state = state();
    let mut journal = Journal::new(&state);
    assert_eq!(journal.transfer(&address(1), &address(2), 100), Ok(true));
    assert_eq!(journal.transfer(&address(2), &address(3), 50), Ok(true));
    assert_eq!(journal.transfer(&address(3), &address(2), 50), Ok(true));
    let changes = journal.finish().changes;
    let expected = Account {
        nonce: 0,
        balance: 300,
        code_hash: None,
    };
    assert_eq!(
        changes,
        Changes::from([
            (account_path(&address(1)), None),
            (account_path(&address(2)), Some(encode_account(&expected))),
        ])
    );
}

#[test]
fn a_written_slot_is_a_change_also_when_it_is_removed_or_the_same() {
    let state = state();
    let mut journal = Journal::new(&state);
    journal.set_slot([3; 32], Some(Arc::from([3])));
    journal.set_slot([4; 32], None);
    journal.slot(&[5; 32]).unwrap();
    let changes = journal.finish().changes;
    assert_eq!(
        changes,
        Changes::from([([3; 32], Some(Arc::from([3]))), ([4; 32], None)])
    );
}

/// Counts reads.
struct Counting(Memory, AtomicUsize);

impl StateReader for Counting {
    fn get(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        StateReader::get(&self.0, path)
    }
}

#[test]
fn a_path_is_read_once_and_a_write_reads_nothing() {
    let state = Counting(state(), AtomicUsize::new(0));
    let mut journal = Journal::new(&state);
    journal.set_slot([3; 32], None);
    assert_eq!(journal.slot(&[3; 32]), Ok(None));
    assert_eq!(state.1.load(Ordering::Relaxed), 0);
    for _ in 0..3 {
        let checkpoint = journal.checkpoint();
        journal.slot(&[4; 32]).unwrap();
        journal.transfer(&address(1), &address(2), 1).unwrap();
        journal.undo_to(checkpoint);
    }
    assert_eq!(state.1.load(Ordering::Relaxed), 3);
}

#[test]
fn a_balance_beyond_any_supply_is_damage() {
    let state = state();
    let mut journal = Journal::new(&state);
    assert_eq!(
        journal.credit(&address(1), Amount::MAX),
        Err(supply_exceeded(&address(1)))
    );
}
