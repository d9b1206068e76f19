//! A disk that stands still: readers and overlays do not notice.

#![allow(clippy::unwrap_used)]

#[path = "common/gate.rs"]
mod gate;

use std::sync::Arc;

use gate::{Gate, Gated};
use millrace_state::files::MemoryFiles;
use millrace_state::{Changes, Config, Genesis, Path, Store, VersionId};

fn id(height: u64) -> VersionId {
    VersionId([height as u8 + 1; 32])
}

fn path(height: u64) -> Path {
    [height as u8; 32]
}

fn changes(height: u64) -> Changes {
    let value = height.to_le_bytes().as_slice().into();
    [(path(height), Some(value))].into_iter().collect()
}

/// One commit stands in a write, one in a sync, one in both, all the while that others read, prove, insert, discard and
/// finalize. Would any of that wait for the disk, this test would not end.
#[test]
fn a_disk_that_stands_still_holds_up_commits_alone() {
    let gate = Arc::new(Gate::default());
    let files = Arc::new(Gated(MemoryFiles::default(), Arc::clone(&gate)));
    let genesis = Genesis {
        id: id(0),
        height: 0,
        changes: changes(0),
    };
    let store = Store::open_in(files, Config::default(), genesis).unwrap();
    for height in 1..=20 {
        store
            .insert(id(height - 1), id(height), height, changes(height))
            .unwrap();
    }
    for height in 1..=5 {
        store.commit(id(height)).unwrap();
    }
    gate.set(true);
    std::thread::scope(|scope| {
        let stuck = [
            scope.spawn(|| store.persist(id(5)).map(|_| ()).unwrap()),
            scope.spawn(|| store.commit(id(6)).map(|_| ()).unwrap()),
        ];
        gate.wait_for_waiting();
        for height in 21..=60 {
            store
                .insert(id(height - 1), id(height), height, changes(height))
                .unwrap();
            let view = store.view(id(height)).unwrap();
            for below in 0..=height {
                let value = view.get(&path(below)).unwrap().unwrap();
                assert_eq!(value[..], below.to_le_bytes());
            }
            assert_eq!(view.iter().count() as u64, height + 1);
        }
        let committed = store.view(id(5)).unwrap();
        committed.prove(&path(3)).unwrap();
        store.set_finalized(id(4)).unwrap();
        store.discard(id(50)).unwrap();
        assert_eq!((store.stats().newest_height, store.finalized().1), (49, 4));
        assert_eq!(store.persisted().height, 0);
        gate.set(false);
        stuck.into_iter().for_each(|thread| thread.join().unwrap());
    });
    store.persist(id(6)).unwrap();
    assert_eq!(store.persisted().height, 6);
}
