//! What the store promises beyond contents: names, finality, retention, refusals, threads, depth.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use millrace_state::files::MemoryFiles;
use millrace_state::log::LogConfig;
use millrace_state::{
    Changes, CommitError, Config, DiscardError, FinalizeError, Genesis, InsertError, OpenError, Path,
    PersistError, ProveError, Store, VersionId, verify_batch, verify_value,
};

const GENESIS: VersionId = VersionId([0; 32]);

fn id(number: u64) -> VersionId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&number.to_be_bytes());
    VersionId(id)
}

/// One write of `number` under its own path.
fn write(number: u64) -> Changes {
    Changes::from_iter([(id(number).0, Some(number.to_be_bytes()[..].into()))])
}

fn store(retention: u64) -> Store {
    Store::open(
        Config {
            retention,
            ..Config::default()
        },
        Genesis {
            id: GENESIS,
            height: 0,
            changes: write(0),
        },
    )
    .unwrap()
}

/// Inserts the versions `numbers`, one above the other, on `parent` at `height`; commits them if asked.
fn extend(
    store: &Store,
    parent: VersionId,
    height: u64,
    numbers: std::ops::RangeInclusive<u64>,
    commit: bool,
) {
    let (mut parent, mut height) = (parent, height);
    for number in numbers {
        height += 1;
        store.insert(parent, id(number), height, write(number)).unwrap();
        if commit {
            store.commit(id(number)).unwrap();
        }
        parent = id(number);
    }
}

fn is_held(store: &Store, number: u64) -> bool {
    store.view(id(number)).is_some()
}

#[test]
fn handles_and_views_go_to_any_thread() {
    fn check<T: Send + Sync + Clone>() {}
    check::<Store>();
    check::<millrace_state::View>();
    check::<Changes>();
}

#[test]
fn a_store_without_retention_is_refused() {
    let genesis = Genesis {
        id: GENESIS,
        height: 0,
        changes: Changes::default(),
    };
    let config = Config {
        retention: 0,
        ..Config::default()
    };
    let refused = Store::open(config, genesis).err();
    assert!(matches!(refused, Some(OpenError::NoRetention)), "{refused:?}");
}

#[test]
fn an_empty_state_has_the_zero_root_and_proves_absence() {
    let genesis = Genesis {
        id: GENESIS,
        height: 7,
        changes: Changes::default(),
    };
    let store = Store::open(Config::default(), genesis).unwrap();
    let view = store.view(GENESIS).unwrap();
    assert_eq!(
        (view.id(), view.height(), view.root()),
        (GENESIS, 7, Some([0; 32]))
    );
    verify_value(&[0; 32], &[5; 32], None, &view.prove(&[5; 32]).unwrap()).unwrap();
    assert_eq!(view.iter().count(), 0);
}

#[test]
fn an_empty_value_is_present() {
    let store = store(8);
    let changes = Changes::from_iter([([9; 32], Some([][..].into()))]);
    store.insert(GENESIS, id(1), 1, changes).unwrap();
    let root = store.commit(id(1)).unwrap().root;
    let view = store.view(id(1)).unwrap();
    assert_eq!(view.get(&[9; 32]).unwrap().as_deref(), Some(&[][..]));
    verify_value(&root, &[9; 32], Some(b""), &view.prove(&[9; 32]).unwrap()).unwrap();
}

#[test]
fn the_last_of_several_writes_to_a_path_counts() {
    let value = |byte: u8| Some(vec![byte].into());
    let changes = Changes::from_iter([
        ([2; 32], value(1)),
        ([1; 32], value(2)),
        ([2; 32], None),
        ([2; 32], value(3)),
    ]);
    let written: Vec<_> = changes
        .iter()
        .map(|(path, value)| (path[0], value.unwrap()[0]))
        .collect();
    assert_eq!(written, [(1, 2), (2, 3)]);
    assert_eq!(changes.get(&[3; 32]), None);
}

#[test]
fn lookups_in_changes_find_all_paths_however_they_are_spread() {
    for shift in [0, 8, 24, 31] {
        let path = |number: u16| {
            let mut path = [0x42; 32];
            path[shift.min(30)..shift.min(30) + 2].copy_from_slice(&number.to_be_bytes());
            path
        };
        let changes: Changes = (0..1000)
            .map(|n| (path(n * 2), (n % 3 != 0).then(|| vec![1].into())))
            .collect();
        for number in 0..2000 {
            let expected = (number % 2 == 0).then_some(number / 2 % 3 != 0);
            assert_eq!(changes.get(&path(number)).map(|value| value.is_some()), expected);
        }
    }
}

#[test]
fn a_version_is_readable_before_it_has_a_root_and_provable_after() {
    let store = store(8);
    store.insert(GENESIS, id(1), 1, write(1)).unwrap();
    let before = store.view(id(1)).unwrap();
    assert_eq!(
        before.get(&id(0).0).unwrap().as_deref(),
        Some(&0u64.to_be_bytes()[..])
    );
    assert_eq!(
        before.get(&id(1).0).unwrap().as_deref(),
        Some(&1u64.to_be_bytes()[..])
    );
    assert_eq!(before.root(), None);
    let refused = ProveError::NotCommitted { id: id(1), height: 1 };
    assert_eq!(before.prove(&[0; 32]), Err(refused.clone()));
    assert_eq!(before.prove_batch(&[[0; 32]]), Err(refused));

    let commit = store.commit(id(1)).unwrap();
    assert_eq!(
        store.commit(id(1)),
        Ok(commit),
        "a second commit answers the same"
    );
    assert_eq!(
        before.root(),
        Some(commit.root),
        "a view taken earlier sees the root"
    );
    let proof = before.prove(&id(1).0).unwrap();
    verify_value(&commit.root, &id(1).0, Some(&1u64.to_be_bytes()), &proof).unwrap();
    assert_eq!(
        before.prove_batch(&[[1; 32], [0; 32]]),
        Err(ProveError::PathsNotAscending)
    );
    assert_eq!(before.prove_batch(&[]), Err(ProveError::PathsNotAscending));
}

#[test]
fn refusals_name_the_reason_and_change_nothing() {
    let store = store(8);
    extend(&store, GENESIS, 0, 1..=2, false);
    let before = store.stats();
    let refused = [
        (
            store.insert(id(9), id(10), 3, write(1)),
            InsertError::UnknownParent {
                id: id(10),
                parent: id(9),
            },
        ),
        (
            store.insert(id(2), id(10), 4, write(1)),
            InsertError::WrongHeight {
                id: id(10),
                height: 4,
                expected: 3,
            },
        ),
        (
            store.insert(id(1), id(2), 2, write(7)),
            InsertError::Conflict { id: id(2), height: 2 },
        ),
        (
            store.insert(GENESIS, id(2), 2, write(2)),
            InsertError::Conflict { id: id(2), height: 2 },
        ),
        (
            store.insert(id(1), id(2), 3, write(2)),
            InsertError::Conflict { id: id(2), height: 2 },
        ),
        (
            store.insert(id(2), GENESIS, 3, write(0)),
            InsertError::Conflict {
                id: GENESIS,
                height: 0,
            },
        ),
    ];
    for (answer, expected) in refused {
        assert_eq!(answer, Err(expected));
    }
    assert_eq!(store.commit(id(9)), Err(CommitError::UnknownVersion(id(9))));
    let unordered = CommitError::ParentNotCommitted {
        id: id(2),
        parent: id(1),
    };
    assert_eq!(store.commit(id(2)), Err(unordered));
    assert_eq!(store.persist(id(9)), Err(PersistError::UnknownVersion(id(9))));
    assert_eq!(store.persist(id(1)), Err(PersistError::NotCommitted(id(1))));
    assert_eq!(
        store.set_finalized(id(9)),
        Err(FinalizeError::UnknownVersion(id(9)))
    );
    assert_eq!(store.discard(id(9)), Err(DiscardError::UnknownVersion(id(9))));
    assert_eq!(store.discard(GENESIS), Err(DiscardError::Final(GENESIS)));
    assert_eq!(store.stats(), before);
    let message = store.insert(id(1), id(2), 2, write(7)).unwrap_err().to_string();
    assert!(
        message.contains("two executions differ") && message.contains("height 2"),
        "{message}"
    );
}

#[test]
fn finality_keeps_its_chain_and_its_descendants_and_drops_the_other_branches() {
    let store = store(100);
    extend(&store, GENESIS, 0, 1..=5, true);
    extend(&store, id(1), 1, 11..=15, true);
    extend(&store, id(3), 3, 23..=25, false);
    extend(&store, id(2), 2, 33..=33, false);
    let lost = store.view(id(15)).unwrap();

    store.set_finalized(id(3)).unwrap();
    assert_eq!(store.finalized(), (id(3), 3));
    assert!(
        [1, 2, 3, 4, 5, 23, 24, 25]
            .iter()
            .all(|number| is_held(&store, *number))
    );
    assert!((11..=15).chain([33]).all(|number| !is_held(&store, number)));
    assert_eq!(
        lost.get(&id(14).0).unwrap().as_deref(),
        Some(&14u64.to_be_bytes()[..]),
        "a view outlives its version"
    );

    store.set_finalized(id(3)).unwrap();
    for conflicting in [id(2), GENESIS] {
        let refused = FinalizeError::AgainstFinality {
            id: conflicting,
            finalized: id(3),
        };
        assert_eq!(store.set_finalized(conflicting), Err(refused));
    }
    let refused = InsertError::AgainstFinality {
        id: id(50),
        parent: id(2),
        finalized: id(3),
    };
    assert_eq!(store.insert(id(2), id(50), 3, write(50)), Err(refused));
    store.insert(id(1), id(2), 2, write(2)).unwrap();
    assert_eq!(store.discard(id(3)), Err(DiscardError::Final(id(3))));
    assert_eq!(store.discard(id(23)), Ok(3));
}

#[test]
fn retention_counts_from_the_finalized_version_down() {
    let store = store(4);
    extend(&store, GENESIS, 0, 1..=20, true);
    assert_eq!(
        store.stats().oldest_height,
        0,
        "nothing expires above the finalized version"
    );
    store.set_finalized(id(10)).unwrap();
    let held: Vec<u64> = (1..=20).filter(|number| is_held(&store, *number)).collect();
    assert_eq!(held, (7..=20).collect::<Vec<_>>());
    assert!(store.view(GENESIS).is_none());
    let oldest = store.view(id(7)).unwrap();
    verify_value(
        &oldest.root().unwrap(),
        &id(8).0,
        None,
        &oldest.prove(&id(8).0).unwrap(),
    )
    .unwrap();
}

#[test]
fn an_ancestor_stays_until_commits_have_passed_it() {
    let store = store(1);
    extend(&store, GENESIS, 0, 1..=6, false);
    store.set_finalized(id(4)).unwrap();
    assert_eq!(
        store.stats().versions,
        7,
        "nothing is committed above genesis yet"
    );
    for number in 1..=3 {
        store.commit(id(number)).unwrap();
    }
    store.set_finalized(id(5)).unwrap();
    assert_eq!((store.stats().oldest_height, store.stats().uncommitted), (3, 3));
    for number in 4..=6 {
        store.commit(id(number)).unwrap();
    }
    store.set_finalized(id(6)).unwrap();
    assert_eq!((store.stats().oldest_height, store.stats().versions), (6, 1));
    assert_eq!(store.view(id(6)).unwrap().iter().count(), 7);
}

#[test]
fn a_store_in_memory_is_persistent_up_to_genesis() {
    let store = store(2);
    extend(&store, GENESIS, 0, 1..=9, true);
    store.set_finalized(id(9)).unwrap();
    let genesis = store.persisted();
    assert_eq!((genesis.id, genesis.height), (GENESIS, 0));
    assert_eq!(store.persist(id(9)), Ok(genesis));
    assert_eq!(
        store.newest_persisted(|commit| commit.id == GENESIS),
        Some(genesis)
    );
    assert_eq!(store.newest_persisted(|commit| commit.height == 9), None);
}

#[test]
fn a_chain_of_many_uncommitted_versions_is_read_committed_and_dropped() {
    let store = store(1);
    let length = 20_000;
    extend(&store, GENESIS, 0, 1..=length, false);
    let newest = store.view(id(length)).unwrap();
    for number in (0..=length).step_by(97) {
        assert_eq!(
            newest.get(&id(number).0).unwrap().as_deref(),
            Some(&number.to_be_bytes()[..])
        );
    }
    assert_eq!(newest.iter().count() as u64, length + 1);
    for number in 1..=length {
        store.commit(id(number)).unwrap();
    }
    store.set_finalized(id(length)).unwrap();
    assert_eq!(store.stats().versions, 1);
    assert_eq!(store.view(id(length)).unwrap().iter().count() as u64, length + 1);
}

/// Paths that all share their first 30 bytes and half of them 255 bits with another.
fn hostile_paths() -> Vec<Path> {
    (0..2000u16)
        .map(|number| {
            let mut path = [0xa5; 32];
            path[30..].copy_from_slice(&number.to_be_bytes());
            path
        })
        .collect()
}

#[test]
fn paths_with_long_shared_prefixes_are_held_proved_and_dropped_on_a_small_stack() {
    let run = || {
        let paths = hostile_paths();
        let store = store(2);
        let all = paths.iter().map(|path| (*path, Some(path[..].into()))).collect();
        store.insert(GENESIS, id(1), 1, all).unwrap();
        let root = store.commit(id(1)).unwrap().root;
        let view = store.view(id(1)).unwrap();
        for path in paths.iter().step_by(50) {
            let proof = view.prove(path).unwrap();
            assert_eq!(proof.depth(), 256);
            verify_value(&root, path, Some(path), &proof).unwrap();
        }
        let batch = view.prove_batch(&paths).unwrap();
        assert!(
            verify_batch(&root, &paths, &batch)
                .unwrap()
                .iter()
                .all(Option::is_some)
        );

        let removed = paths[1..].iter().map(|path| (*path, None)).collect();
        store.insert(id(1), id(2), 2, removed).unwrap();
        store.commit(id(2)).unwrap();
        let view = store.view(id(2)).unwrap();
        assert_eq!(view.iter().count(), 2);
        assert_eq!(
            view.prove(&paths[0]).unwrap().depth(),
            1,
            "the lone leaf has risen"
        );
    };
    thread::Builder::new()
        .stack_size(256 * 1024)
        .spawn(run)
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn equal_contents_have_equal_roots_whatever_the_history() {
    let store = store(8);
    let large: Changes = (100..400)
        .map(|n| (id(n * 7919 % 10007).0, Some(vec![1; 40].into())))
        .collect();
    store.insert(GENESIS, id(1), 1, large.clone()).unwrap();
    let undone = large.iter().map(|(path, _)| (*path, None)).collect();
    store.insert(id(1), id(2), 2, undone).unwrap();
    store.commit(id(1)).unwrap();
    assert_eq!(store.commit(id(2)).unwrap().root, store.persisted().root);
    store.insert(id(2), id(3), 3, large).unwrap();
    assert_eq!(
        store.commit(id(3)).unwrap().root,
        store.view(id(1)).unwrap().root().unwrap()
    );
    let absent = Changes::from_iter([([0xee; 32], None), ([0xef; 32], None)]);
    store.insert(id(3), id(4), 4, absent).unwrap();
    assert_eq!(
        store.commit(id(4)).unwrap().root,
        store.view(id(3)).unwrap().root().unwrap()
    );
}

#[test]
fn threads_insert_commit_finalize_and_read_at_once() {
    let store = store(16);
    let done = AtomicBool::new(false);
    let heights = 400;
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                // Two inserters and two committers race for the same versions: every one of them is idempotent.
                for number in 1..=heights {
                    let parent = if number == 1 { GENESIS } else { id(number - 1) };
                    match store.insert(parent, id(number), number, write(number)) {
                        Ok(())
                        | Err(InsertError::UnknownParent { .. } | InsertError::AgainstFinality { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
            scope.spawn(|| {
                let mut next = 1;
                while next <= heights {
                    match store.commit(id(next)) {
                        Ok(commit) => {
                            assert_eq!(commit.height, next);
                            next += 1;
                        }
                        Err(CommitError::UnknownVersion(_)) if next <= store.finalized().1 => next += 1,
                        Err(CommitError::UnknownVersion(_)) => thread::yield_now(),
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        scope.spawn(|| {
            for number in (8..=heights).step_by(4) {
                while store.view(id(number)).is_none_or(|view| view.root().is_none()) {
                    thread::yield_now();
                }
                store.set_finalized(id(number)).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let (finalized, height) = store.finalized();
                let Some(view) = store.view(finalized) else {
                    continue;
                };
                for number in 0..=height {
                    let read = view.get(&id(number).0).unwrap();
                    assert_eq!(
                        read.as_deref(),
                        Some(&number.to_be_bytes()[..]),
                        "{number} at {height}"
                    );
                }
                assert_eq!(view.get(&id(height + 1).0).unwrap(), None);
            }
        });
    });
    let view = store.view(id(heights)).unwrap();
    assert_eq!(view.iter().count() as u64, heights + 1);
    assert_eq!(store.stats().oldest_height, heights - 15);
}

/// Versions of `branch` from height 1 to `to` above genesis, committed.
fn branch(store: &Store, number: u64, to: u64) {
    for height in 1..=to {
        let parent = if height == 1 {
            GENESIS
        } else {
            id(number * 100 + height - 1)
        };
        let value = [number as u8, height as u8];
        let changes = Changes::from_iter([([7; 32], Some(value.as_slice().into()))]);
        store
            .insert(parent, id(number * 100 + height), height, changes)
            .unwrap();
        store.commit(id(number * 100 + height)).unwrap();
    }
}

/// A store of which almost everything is forgotten that can be.
fn forgetful(files: &MemoryFiles) -> Store {
    let config = Config {
        retention: 1,
        sweep_bits: 0,
        log: LogConfig {
            segment_bytes: 1,
            ..LogConfig::default()
        },
        ..Config::default()
    };
    let genesis = Genesis {
        id: GENESIS,
        height: 0,
        changes: Changes::default(),
    };
    Store::open_in(Arc::new(files.clone()), config, genesis).unwrap()
}

/// What became final behind the last commit is written nowhere: nothing is forgotten by it that a restart may need, and
/// the branch that was final is there again.
#[test]
fn the_branch_that_was_final_is_there_after_a_restart() {
    let files = MemoryFiles::default();
    let store = forgetful(&files);
    branch(&store, 1, 6);
    branch(&store, 2, 5);
    store.set_finalized(id(205)).unwrap();
    for _ in 0..20 {
        store.persist(id(205)).unwrap();
    }
    assert_eq!(store.persisted().id, id(205));
    drop(store);
    let store = forgetful(&files);
    let found = store.newest_persisted(|commit| commit.id == id(205)).unwrap();
    assert_eq!(found.height, 5);
    let view = store.view(id(205)).unwrap();
    assert_eq!(view.get(&[7; 32]).unwrap().as_deref(), Some(&[2, 5][..]));
}

#[test]
fn what_is_persisted_is_held() {
    let store = forgetful(&MemoryFiles::default());
    branch(&store, 1, 5);
    store.persist(id(105)).unwrap();
    branch(&store, 2, 1);
    store.set_finalized(id(201)).unwrap();
    assert_eq!(store.persist(id(201)).unwrap().id, id(201));
    assert_eq!(store.persisted().id, id(201));
}

/// Several versions for each `persist`, each of a segment or more.
#[test]
fn the_log_does_not_grow_under_steady_load() {
    let store = forgetful(&MemoryFiles::default());
    let mut sizes = Vec::new();
    for height in 1..=400_u64 {
        let parent = if height == 1 { GENESIS } else { id(height - 1) };
        let value = vec![height as u8; 2000];
        let changes = Changes::from_iter([([7; 32], Some(value.into()))]);
        store.insert(parent, id(height), height, changes).unwrap();
        store.commit(id(height)).unwrap();
        store.set_finalized(id(height)).unwrap();
        if height % 10 == 0 {
            store.persist(id(height)).unwrap();
        }
        if height % 100 == 0 {
            sizes.push(store.stats().log_bytes);
        }
    }
    assert!(sizes[3] < 2 * sizes[0], "{sizes:?}");
}
