//! A disk that can be made to stand still. `benches/benches/state_stall.rs` uses it too.

#![allow(dead_code, reason = "each of its users needs a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io;
use std::sync::{Arc, Condvar, Mutex};

use millrace_state::files::{Contents, File, Files};

/// What changes files waits while it is shut.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_shut: bool,
    /// How many wait, and how many have come while it was shut.
    waiting: u32,
    stopped: u64,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.stopped += u64::from(state.is_shut);
        state.waiting += 1;
        self.changed.notify_all();
        state = self.changed.wait_while(state, |state| state.is_shut).unwrap();
        state.waiting -= 1;
    }

    /// Shuts or opens it.
    pub fn set(&self, is_shut: bool) {
        self.state.lock().unwrap().is_shut = is_shut;
        self.changed.notify_all();
    }

    /// Returns when somebody waits.
    pub fn wait_for_waiting(&self) {
        let state = self.state.lock().unwrap();
        drop(
            self.changed
                .wait_while(state, |state| state.waiting == 0)
                .unwrap(),
        );
    }

    /// How many have met it shut.
    pub fn stopped(&self) -> u64 {
        self.state.lock().unwrap().stopped
    }
}

/// Files, or one of them, behind a gate.
#[derive(Debug)]
pub struct Gated<T>(pub T, pub Arc<Gate>);

impl<T: Files> Files for Gated<T> {
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

    fn contents(&self) -> io::Result<Contents> {
        self.0.contents()
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
