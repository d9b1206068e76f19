//! Undoing, against copies of what there was.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::error::ReadError;
use crate::reader::{Changes, Overlay};

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

fn account(journal: &mut Journal<'_>, index: u8) -> Account {
    let address = address(index);
    Account {
        nonce: journal.nonce(&address).unwrap(),
        balance: journal.balance(&address).unwrap(),
        code_hash: journal.code_hash(&address).unwrap(),
    }
}

/// What it leaves of `state`.
fn changes(journal: Journal<'_>, state: &Memory) -> Changes {
    let mut overlay = Overlay::new(state);
    overlay.apply(journal.finish().writes).unwrap();
    overlay.into_changes()
}

fn see(journal: &mut Journal<'_>) -> Seen {
    Seen {
        accounts: (0..4).map(|index| account(journal, index)).collect(),
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
            let covered = account(journal, *from).balance >= *amount;
            assert_eq!(
                journal.transfer(&address(*from), &address(*to), *amount),
                Ok(covered)
            );
        }
        Change::Nonce(index) => journal.count(&address(*index)),
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

/// A question to an account, or a change of it.
#[derive(Clone, Debug)]
enum Ask {
    Covers(u128),
    Balance,
    Nonce,
    Code,
    Take(u128),
    Give(u128),
    Count,
    SetCode(u8),
}

fn ask() -> impl Strategy<Value = Ask> {
    let amount = || 0..60u128;
    prop_oneof![
        5 => amount().prop_map(Ask::Covers),
        1 => Just(Ask::Balance),
        1 => Just(Ask::Nonce),
        1 => Just(Ask::Code),
        4 => amount().prop_map(Ask::Take),
        4 => amount().prop_map(Ask::Give),
        1 => Just(Ask::Count),
        1 => any::<u8>().prop_map(Ask::SetCode),
    ]
}

/// The answers of an account, and what it comes to.
fn answers(asks: &[Ask], before: &Account) -> (Vec<String>, AccountWrite) {
    let state = Memory::from([(account_path(&address(1)), encode_account(before))]);
    let mut journal = Journal::new(&state);
    let one = &address(1);
    let answers = asks
        .iter()
        .map(|ask| match ask {
            Ask::Covers(amount) => format!("{:?}", journal.covers(one, *amount)),
            Ask::Balance => format!("{:?}", journal.balance(one)),
            Ask::Nonce => format!("{:?}", journal.nonce(one)),
            Ask::Code => format!("{:?}", journal.code_hash(one)),
            Ask::Take(amount) => format!("{:?}", journal.transfer(one, &address(2), *amount)),
            Ask::Give(amount) => format!("{:?}", journal.credit(one, *amount)),
            Ask::Count => format!("{:?}", journal.count(one)),
            Ask::SetCode(byte) => format!("{:?}", journal.set_code(one, Hash([*byte; 32]))),
        })
        .collect();
    let writes = journal.finish().writes.accounts;
    let path = account_path(one);
    let write = writes.into_iter().find(|write| write.path == path);
    let (change, need) = (AccountChange::default(), AccountNeed::default());
    (answers, write.unwrap_or(AccountWrite { path, change, need }))
}

proptest! {
    #[test]
    fn an_account_that_has_what_was_needed_gives_the_same_answers(
        asks in prop::collection::vec(ask(), 0..8),
        balances in [0..100u128, 0..100u128],
        nonces in [0..2u64, 0..2u64],
        codes in [prop::option::of(0..2u8), prop::option::of(0..2u8)],
    ) {
        let [one, other] = [0, 1].map(|index| Account {
            nonce: nonces[index],
            balance: balances[index],
            code_hash: codes[index].map(|byte| Hash([byte; 32])),
        });
        let (first, write) = answers(&asks, &one);
        prop_assert!(write.need.holds(&one));
        let (second, its) = answers(&asks, &other);
        if write.need.holds(&other) {
            prop_assert_eq!((first, write.change), (second, its.change));
        } else {
            prop_assert!(!write.need.is_none());
        }
    }

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
        prop_assert_eq!(changes(journal, &state), Changes::new());
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
        prop_assert_eq!(&with.logs, &without.logs);
        prop_assert_eq!(changes(with, &state), changes(without, &state));
    }
}

#[test]
fn accounts_that_become_empty_are_removed_and_unchanged_ones_not_written() {
    let state = state();
    let mut journal = Journal::new(&state);
    assert_eq!(journal.transfer(&address(1), &address(2), 100), Ok(true));
    assert_eq!(journal.transfer(&address(2), &address(3), 50), Ok(true));
    assert_eq!(journal.transfer(&address(3), &address(2), 50), Ok(true));
    let changes = changes(journal, &state);
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
    let changes = changes(journal, &state);
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
fn a_path_is_read_once_and_neither_a_write_nor_a_credit_reads_anything() {
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
    // The slot, and who pays.
    assert_eq!(state.1.load(Ordering::Relaxed), 2);
}

#[test]
fn a_balance_beyond_any_supply_is_damage() {
    let state = state();
    let mut journal = Journal::new(&state);
    assert_eq!(account(&mut journal, 1).balance, 100);
    assert_eq!(
        journal.credit(&address(1), Amount::MAX),
        Err(supply_exceeded(&account_path(&address(1))))
    );
}
