//! A disk that stands still: readers and overlays do not notice.

#![allow(clippy::unwrap_used)]

use std::io;
use std::sync::{Arc, Condvar, Mutex};

use millrace_state::files::{File, Files, MemoryFiles};
use millrace_state::{Changes, Config, Genesis, Path, Store, VersionId};

/// Writes and syncs wait while it is shut.
#[derive(Debug, Default)]
struct Gate {
    /// Whether it is shut, and how many wait.
    state: Mutex<(bool, u32)>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        self.changed.notify_all();
        state = self.changed.wait_while(state, |(is_shut, _)| *is_shut).unwrap();
        state.1 -= 1;
    }

    fn set(&self, is_shut: bool) {
        self.state.lock().unwrap().0 = is_shut;
        self.changed.notify_all();
    }

    /// Returns when somebody waits.
    fn wait_for_waiting(&self) {
        let state = self.state.lock().unwrap();
        drop(
            self.changed
                .wait_while(state, |(_, waiting)| *waiting == 0)
                .unwrap(),
        );
    }
}

#[derive(Debug)]
struct Gated<T>(T, Arc<Gate>);

impl Files for Gated<MemoryFiles> {
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        self.1.pass();
        Ok(Box::new(Gated(self.0.create(name)?, Arc::clone(&self.1))))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        Ok(Box::new(Gated(self.0.open(name)?, Arc::clone(&self.1))))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.1.pass();
        self.0.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.1.pass();
        self.0.sync()
    }
}

impl File for Gated<Box<dyn File>> {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read(bytes, offset)
    }

    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.1.pass();
        self.0.write(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.1.pass();
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.1.pass();
        self.0.sync()
    }
}

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
