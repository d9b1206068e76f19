//! A disk in memory that can lose its power at any moment, and fail at any call.
//!
//! It keeps what is durable apart from what was merely asked for. [`Disk::crash`] makes a disk as a power failure might
//! leave it: of each file's unsynced writes any subset of 512-byte sectors arrived, in any order; its length is that of
//! any moment since the last sync; names that were created or removed since the directory was synced may be there or not.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::Rng;

use super::{File, Files};

/// What arrives of a write together or not at all.
const SECTOR: usize = 512;

/// An error that a call is made to give.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// EIO.
    Io,
    /// ENOSPC, half of the bytes written.
    Full,
    /// The power fails before the call does anything.
    Cut,
}

/// The disk; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Debug, Default)]
struct State {
    contents: Vec<Contents>,
    /// Names as processes see them.
    names: BTreeMap<String, usize>,
    /// Names as they are on the disk.
    durable_names: BTreeMap<String, usize>,
    /// Changes of names since the directory was synced.
    unsynced: Vec<(String, Option<usize>)>,
    calls: u64,
    fault: Option<(u64, Fault)>,
}

#[derive(Clone, Debug, Default)]
struct Contents {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Since the last sync.
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Len(usize),
}

impl Contents {
    /// What a power failure may leave.
    fn crashed(&self, random: &mut impl Rng) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        // Sectors that arrived, beyond any length.
        let mut arrived = self.durable.clone();
        let mut lengths = vec![self.durable.len()];
        let mut len = self.durable.len();
        let keeps = random.random_range(0..=4_u32);
        for change in &self.unsynced {
            match change {
                Change::Len(to) => len = *to,
                Change::Write(offset, written) => {
                    len = len.max(offset + written.len());
                    let mut at = 0;
                    while at < written.len() {
                        let place = offset + at;
                        let part = (SECTOR - place % SECTOR).min(written.len() - at);
                        if random.random_ratio(keeps, 4) {
                            if arrived.len() < place + part {
                                arrived.resize(place + part, 0);
                            }
                            arrived[place..place + part].copy_from_slice(&written[at..at + part]);
                        }
                        at += part;
                    }
                }
            }
            lengths.push(len);
        }
        let len = lengths[random.random_range(0..lengths.len())];
        bytes.clear();
        bytes.extend_from_slice(&arrived[..arrived.len().min(len)]);
        bytes.resize(len, 0);
        bytes
    }
}

impl Disk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls so far that change the disk or sync it.
    pub(crate) fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// Makes the call with that number, from 0 on, fail.
    pub(crate) fn fail_at(&self, call: u64, fault: Fault) {
        self.lock().fault = Some((call, fault));
    }

    /// The disk as it is now, as an image of its own with all that was asked for: a process that ended, no power failure.
    pub(crate) fn killed(&self) -> Self {
        let mut state = self.lock().clone();
        (state.calls, state.fault) = (0, None);
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// The disk after a power failure.
    pub(crate) fn crash(&self, random: &mut impl Rng) -> Self {
        let before = self.lock();
        let mut names = before.durable_names.clone();
        for (name, file) in &before.unsynced {
            if random.random() {
                match file {
                    Some(file) => names.insert(name.clone(), *file),
                    None => names.remove(name),
                };
            }
        }
        let mut after = State::default();
        for (name, file) in names {
            let bytes = before.contents[file].crashed(random);
            after.durable_names.insert(name.clone(), after.contents.len());
            after.names.insert(name, after.contents.len());
            after.contents.push(Contents {
                now: bytes.clone(),
                durable: bytes,
                unsynced: Vec::new(),
            });
        }
        Self {
            state: Arc::new(Mutex::new(after)),
        }
    }

    /// Flips a bit, as a drive might, of what is durable too.
    pub(crate) fn damage(&self, name: &str, offset: usize, bit: u8) {
        let mut state = self.lock();
        let file = state.names[name];
        let contents = &mut state.contents[file];
        contents.now[offset] ^= 1 << bit;
        if let Some(byte) = contents.durable.get_mut(offset) {
            *byte ^= 1 << bit;
        }
    }
}

impl State {
    /// Counts a call, which fails if it is that one's turn.
    fn call(&mut self) -> Result<(), Fault> {
        let number = self.calls;
        self.calls += 1;
        match self.fault {
            Some((at, fault)) if at == number => Err(fault),
            _ => Ok(()),
        }
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        Self::from_raw_os_error(match fault {
            Fault::Io | Fault::Cut => 5,
            Fault::Full => 28,
        })
    }
}

impl Files for Disk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        let mut state = self.lock();
        state.call()?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.contents.len();
        state.contents.push(Contents::default());
        state.names.insert(name.into(), file);
        state.unsynced.push((name.into(), Some(file)));
        Ok(Box::new(Handle {
            disk: self.clone(),
            file,
        }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        let file = *self.lock().names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Handle {
            disk: self.clone(),
            file,
        }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.call()?;
        state.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        state.unsynced.push((name.into(), None));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.call()?;
        state.durable_names = state.names.clone();
        state.unsynced.clear();
        Ok(())
    }
}

#[derive(Debug)]
struct Handle {
    disk: Disk,
    file: usize,
}

impl File for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().contents[self.file].now.len() as u64)
    }

    fn read(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.disk.lock();
        let from = offset as usize;
        let found = state.contents[self.file].now.get(from..from + bytes.len());
        bytes.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        let result = state.call();
        let bytes = match result {
            Ok(()) => bytes,
            Err(Fault::Io | Fault::Cut) => &[],
            Err(Fault::Full) => &bytes[..bytes.len() / 2],
        };
        let contents = &mut state.contents[self.file];
        let from = offset as usize;
        if !bytes.is_empty() {
            if contents.now.len() < from + bytes.len() {
                contents.now.resize(from + bytes.len(), 0);
            }
            contents.now[from..from + bytes.len()].copy_from_slice(bytes);
            contents.unsynced.push(Change::Write(from, bytes.to_vec()));
        }
        Ok(result?)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.call()?;
        let contents = &mut state.contents[self.file];
        contents.now.resize(len as usize, 0);
        contents.unsynced.push(Change::Len(len as usize));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.lock();
        let result = state.call();
        let contents = &mut state.contents[self.file];
        match result {
            Ok(()) => {
                contents.durable = contents.now.clone();
                contents.unsynced.clear();
            }
            // The system takes the pages for clean: what did not arrive never will.
            Err(Fault::Io | Fault::Full) => contents.unsynced.clear(),
            Err(Fault::Cut) => {}
        }
        Ok(result?)
    }
}
