//! A log of records: appended, made durable in groups, read at random, forgotten from the front.
//!
//! ```text
//!   00000000000000000000.log   00000000000000000214.log   00000000000000000430.log
//!   ├ head: first, hash before ├ head                     ├ head
//!   ├ record 0                 ├ record 214               ├ record 430
//!   ├ record 1                 ├ …                        ├ …
//!   └ …            (sealed)    └ …            (sealed)    └ last record ◀─ append
//! ```
//!
//! Reading order: `record` (bytes), `scan` (what a file holds), this module (append, sync, read, remove), [`error`].
//!
//! Each record's hash covers the hash of the one before it, so that a record vouches for all before it. And each says how
//! far the log was durable when it was written: if a record is torn, but a later one says that it had been durable, then
//! the disk has lost something it promised, and the log refuses to open. Else the tail is what a power failure leaves
//! of writes that nobody had promised, and is cut off.
//!
//! Invariants:
//! - a record is acknowledged ([`Log::sync`] returned) only when it, all before it, and the names of their files are
//!   durable;
//! - opening gives an unbroken row of records that were appended in this order, which ends at or behind the last one
//!   acknowledged;
//! - after the first failure of the disk nothing is written any more.

pub mod error;
mod record;
mod scan;
mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

pub use error::{OpenLogError, Place, ReadLogError, WriteError};
pub use record::{FORMAT_VERSION, MAX_PAYLOAD, RecordHash};
pub use snapshot::{Position, Snapshot};

use crate::files::{File, Files};
use record::{HEAD, Head, SEGMENT_HEAD, Salt, SegmentHead};
use rustix::rand::GetRandomFlags;
use scan::{Depth, Scanned};

/// Segments are not longer than this and a record, so that a position's half is enough.
const MOST_SEGMENT_BYTES: u64 = 1 << 31;

/// How a log is set up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogConfig {
    /// A segment that has as many bytes is sealed, and the next begun; 2 GiB at most.
    pub segment_bytes: u64,
    /// Whether opening reads all of every segment, instead of records' heads in those that are sealed.
    pub checks_sealed: bool,
}

impl Default for LogConfig {
    /// Segments of 64 MiB.
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            checks_sealed: false,
        }
    }
}

/// What opening found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovered {
    /// Bytes behind the last whole record that were cut off, with where they began: what was being written when the
    /// power failed.
    pub torn: Option<(Place, u64)>,
}

/// A record, read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Its number, from 0 on.
    pub sequence: u64,
    /// The writer's.
    pub label: u64,
    /// What it holds.
    pub payload: Vec<u8>,
}

/// A log. Any number of threads may append, sync and read at once. Reading waits for no disk but its own.
#[derive(Debug)]
pub struct Log {
    files: Arc<dyn Files>,
    config: LogConfig,
    /// Held by whoever appends, also while the disk works.
    end: Mutex<End>,
    /// Never held while the disk works. Taken behind the other.
    index: Mutex<Index>,
    /// Told when a sync ended.
    synced: Condvar,
    /// What readers take. Held to copy or exchange the pointer only.
    snapshot: RwLock<Arc<Snapshot>>,
}

/// Where the next record goes.
#[derive(Debug)]
struct End {
    segment: Arc<Segment>,
    /// Bytes of the segment.
    offset: u64,
    /// Hash of the last record.
    last: RecordHash,
}

/// What there is.
#[derive(Debug)]
struct Index {
    /// By sequence of their first record. There is at least one.
    segments: BTreeMap<u64, Arc<Segment>>,
    records: BTreeMap<u64, Entry>,
    /// Sequence of the next record.
    next: u64,
    /// Records below this are durable.
    durable: u64,
    /// Whether somebody is syncing.
    is_syncing: bool,
    poison: Option<WriteError>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// First record of its segment.
    segment: u64,
    offset: u64,
    head: Head,
}

#[derive(Debug)]
struct Segment {
    /// Sequence of its first record.
    first: u64,
    ordinal: u32,
    salt: Salt,
    name: String,
    file: Box<dyn File>,
}

fn name_of(first: u64) -> String {
    format!("{first:020}.log")
}

/// Creates a segment whose first record will be `first`, behind one with the hash `before`, and makes it durable.
fn begin_segment(
    files: &dyn Files,
    first: u64,
    ordinal: u32,
    before: RecordHash,
) -> io::Result<Arc<Segment>> {
    let name = name_of(first);
    let file = files.create(&name)?;
    // Chance decides here what a file's bytes are, and nothing that is read from them: no root, no order, no receipt.
    let mut salt = [0; 32];
    if rustix::rand::getrandom(&mut salt, GetRandomFlags::empty())? != salt.len() {
        return Err(io::Error::other("the system has no random numbers"));
    }
    let head = SegmentHead {
        first,
        ordinal,
        before,
        salt,
    };
    file.write(&head.to_bytes(), 0)?;
    file.sync()?;
    files.sync()?;
    Ok(Arc::new(Segment {
        first,
        ordinal,
        salt,
        name,
        file,
    }))
}

/// What was found, to be read: all but the last segment as they lie on the disk.
fn read_all(found: &Scanned) -> io::Result<Snapshot> {
    let mut snapshot = Snapshot::default();
    let last = found.segments.keys().next_back();
    for (first, segment) in &found.segments {
        let name = Arc::from(&*segment.name);
        snapshot = if last == Some(first) {
            let start = SEGMENT_HEAD as u32;
            let mut bytes = vec![0; (found.end as usize).saturating_sub(SEGMENT_HEAD)];
            segment.file.read(&mut bytes, u64::from(start))?;
            snapshot.with_last(segment.ordinal, name, start, bytes)
        } else {
            snapshot.with_sealed(segment.ordinal, name, segment.file.contents()?)
        };
    }
    Ok(snapshot)
}

/// A log that is looked at without being opened.
#[derive(Debug)]
pub struct Inspected {
    /// What can be read.
    pub snapshot: Snapshot,
    /// Number, label and position of each whole record.
    pub records: Vec<(u64, u64, Position)>,
    /// What opening would refuse for, in the order in which it lies.
    pub damage: Vec<OpenLogError>,
    /// What opening would cut off, which nobody had promised.
    pub torn: Option<(Place, u64)>,
}

/// Looks at all of a log, changes nothing, and goes on behind damage.
///
/// # Errors
/// [`OpenLogError::Io`].
pub fn inspect(files: &dyn Files) -> Result<Inspected, OpenLogError> {
    let found = scan::scan(files, Depth::Rescue)?;
    let snapshot = read_all(&found).map_err(|source| OpenLogError::Io {
        doing: "reading what was found".to_owned(),
        source,
    })?;
    let records = found.records.values();
    let records = records.filter_map(|entry| entry.place(&found.segments)).collect();
    Ok(Inspected {
        snapshot,
        records,
        damage: found.damage,
        torn: found.torn,
    })
}

/// Looks whether the segments of a log are of a format that this build reads. Reads their heads alone, and changes nothing.
///
/// # Errors
/// [`OpenLogError::NewerFormat`] and [`OpenLogError::Io`].
pub fn check_format(files: &dyn Files) -> Result<(), OpenLogError> {
    for name in scan::segment_names(files)? {
        let file = files.open(&name).map_err(|source| OpenLogError::Io {
            doing: format!("reading {name}"),
            source,
        })?;
        scan::check_format(&*file, &name)?;
    }
    Ok(())
}

impl Entry {
    /// Number, label and position.
    fn place(&self, segments: &BTreeMap<u64, Arc<Segment>>) -> Option<(u64, u64, Position)> {
        let segment = segments.get(&self.segment)?;
        let start = u32::try_from(self.offset).ok()?;
        let position = Position::new(segment.ordinal, start.checked_add(HEAD as u32)?);
        Some((self.head.sequence, self.head.label, position))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    /// Opens the log in a directory, or begins one.
    ///
    /// # Errors
    /// [`OpenLogError`]. Nothing that was durable has been changed then.
    pub fn open(files: Arc<dyn Files>, mut config: LogConfig) -> Result<(Self, Recovered), OpenLogError> {
        config.segment_bytes = config.segment_bytes.min(MOST_SEGMENT_BYTES);
        let depth = if config.checks_sealed {
            Depth::All
        } else {
            Depth::Heads
        };
        let mut found = scan::scan(&*files, depth)?;
        let failed = |doing: &str| {
            let doing = doing.to_owned();
            move |source| OpenLogError::Io { doing, source }
        };
        let newest = found.segments.values().next_back().map(Arc::clone);
        if let Some((place, _)) = &found.torn {
            match newest.as_ref().filter(|segment| segment.name == place.file) {
                // Old bytes behind the end would look like records again, once the same ones were written in front.
                Some(segment) => segment
                    .file
                    .set_len(place.offset)
                    .map_err(failed("cutting the torn end off"))?,
                None => files
                    .remove(&place.file)
                    .map_err(failed("removing a segment without a head"))?,
            }
        }
        let segment = match newest {
            Some(segment) => {
                // What was read may never have been synced.
                let synced = segment.file.sync().and_then(|()| files.sync());
                synced.map_err(failed("making durable what was found"))?;
                segment
            }
            None => {
                let begun = begin_segment(&*files, found.next, 0, found.last);
                let segment = begun.map_err(failed("beginning the first segment"))?;
                found.segments.insert(segment.first, Arc::clone(&segment));
                found.end = SEGMENT_HEAD as u64;
                segment
            }
        };
        let snapshot = read_all(&found).map_err(failed("reading what was found"))?;
        let log = Self {
            files,
            snapshot: RwLock::new(Arc::new(snapshot)),
            config,
            end: Mutex::new(End {
                segment,
                offset: found.end,
                last: found.last,
            }),
            index: Mutex::new(Index {
                segments: found.segments,
                records: found.records,
                next: found.next,
                durable: found.next,
                is_syncing: false,
                poison: None,
            }),
            synced: Condvar::new(),
        };
        Ok((log, Recovered { torn: found.torn }))
    }

    /// The records there are: the oldest, and one above the newest.
    #[must_use]
    pub fn range(&self) -> std::ops::Range<u64> {
        let index = lock(&self.index);
        index.first()..index.next
    }

    /// What there is: number, label and position of each record, in order.
    #[must_use]
    pub fn records(&self) -> Vec<(u64, u64, Position)> {
        let index = lock(&self.index);
        let records = index.records.values();
        records.filter_map(|entry| entry.place(&index.segments)).collect()
    }

    /// The label of the oldest record.
    #[must_use]
    pub fn oldest_label(&self) -> Option<u64> {
        let index = lock(&self.index);
        index.records.values().next().map(|entry| entry.head.label)
    }

    /// Records below this number are durable.
    #[must_use]
    pub fn durable(&self) -> u64 {
        lock(&self.index).durable
    }

    /// What the log holds now, to be read in place.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes what readers take. Whoever does holds [`Self::end`].
    fn change_snapshot(&self, change: impl FnOnce(Snapshot) -> Snapshot) {
        let changed = Arc::new(change((*self.snapshot()).clone()));
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = changed;
    }

    /// Appends a record, and gives its number. It is durable when [`Self::sync`] says so.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn append(&self, label: u64, payload: &[u8]) -> Result<u64, WriteError> {
        let (sequence, _) =
            self.append_with(label, payload.len(), |_, bytes| bytes.extend_from_slice(payload))?;
        Ok(sequence)
    }

    /// Appends a record of `len` bytes, which `write` appends to the bytes it is given, told at which position they will
    /// lie. Gives number and position.
    ///
    /// # Errors
    /// [`WriteError`].
    ///
    /// # Panics
    /// If `write` appends another number of bytes.
    pub fn append_with(
        &self,
        label: u64,
        len: usize,
        write: impl FnOnce(Position, &mut Vec<u8>),
    ) -> Result<(u64, Position), WriteError> {
        if len > MAX_PAYLOAD {
            return Err(WriteError::TooLarge {
                len,
                limit: MAX_PAYLOAD,
            });
        }
        let mut end = lock(&self.end);
        let sequence = {
            let index = lock(&self.index);
            index.usable()?;
            index.next
        };
        if end.offset >= self.config.segment_bytes && sequence > end.segment.first {
            self.seal(&mut end, sequence)?;
        }
        let start = u32::try_from(end.offset).expect("segments are far smaller than 4 GiB");
        let position = Position::new(end.segment.ordinal, start + HEAD as u32);
        let mut bytes = Vec::with_capacity(HEAD + len);
        bytes.resize(HEAD, 0);
        write(position, &mut bytes);
        assert_eq!(
            bytes.len(),
            HEAD + len,
            "a record has the length that was announced"
        );
        let numbers = [sequence, self.durable(), label];
        let head = Head::new(&end.segment.salt, &end.last, numbers, &bytes[HEAD..]);
        bytes[..HEAD].copy_from_slice(&head.to_bytes());
        let written = end.segment.file.write(&bytes, end.offset);
        let mut index = lock(&self.index);
        index.poisoned_by("writing a record", written)?;
        let entry = Entry {
            segment: end.segment.first,
            offset: end.offset,
            head,
        };
        index.records.insert(sequence, entry);
        index.next += 1;
        drop(index);
        end.last = head.hash;
        end.offset += head.record_len();
        self.change_snapshot(|snapshot| snapshot.with_record(start, bytes));
        Ok((sequence, position))
    }

    /// Makes the last segment durable, and begins the next.
    ///
    /// Nobody else syncs meanwhile: a system tells of bytes that it could not write once, and whoever hears of none would
    /// take them for durable.
    fn seal(&self, end: &mut End, next: u64) -> Result<(), WriteError> {
        let index = lock(&self.index);
        let index = self.synced.wait_while(index, |index| index.is_syncing);
        let mut index = index.unwrap_or_else(PoisonError::into_inner);
        index.usable()?;
        index.is_syncing = true;
        drop(index);
        let begun = end
            .segment
            .file
            .sync()
            .and_then(|()| begin_segment(&*self.files, next, end.segment.ordinal + 1, end.last));
        let mut index = lock(&self.index);
        index.is_syncing = false;
        self.synced.notify_all();
        let mut segment = None;
        let result = begun.map(|begun| segment = Some(begun));
        index.poisoned_by("sealing a segment", result)?;
        if let Some(segment) = segment {
            // Where it cannot be mapped, it is read from memory.
            let contents = end.segment.file.contents().ok();
            self.change_snapshot(|snapshot| {
                let sealed = snapshot.sealed(contents);
                sealed.with_last(
                    segment.ordinal,
                    (*segment.name).into(),
                    SEGMENT_HEAD as u32,
                    Vec::new(),
                )
            });
            index.durable = index.durable.max(next);
            index.segments.insert(next, Arc::clone(&segment));
            end.segment = segment;
            end.offset = SEGMENT_HEAD as u64;
        }
        Ok(())
    }

    /// Returns when the record with this number, and all before it, are durable; at once if there is none. Callers that
    /// come while a sync is under way share the next one.
    ///
    /// # Errors
    /// [`WriteError`]; whether the record is durable is then known by opening the log again.
    pub fn sync(&self, sequence: u64) -> Result<(), WriteError> {
        let mut index = lock(&self.index);
        loop {
            if sequence < index.durable || sequence >= index.next {
                return Ok(());
            }
            index.usable()?;
            if index.is_syncing {
                index = self.synced.wait(index).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            index.is_syncing = true;
            // All before this lies in this segment, or in one that was synced when it was sealed.
            let up_to = index.next;
            let segment = index.segments.values().next_back().map(Arc::clone);
            drop(index);
            let result = segment.map_or(Ok(()), |segment| segment.file.sync());
            index = lock(&self.index);
            index.is_syncing = false;
            if result.is_ok() {
                index.durable = index.durable.max(up_to);
            }
            self.synced.notify_all();
            index.poisoned_by("syncing a segment", result)?;
        }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`ReadLogError`].
    pub fn read(&self, sequence: u64) -> Result<Record, ReadLogError> {
        let (entry, before, segment) = {
            let index = lock(&self.index);
            let missing = || ReadLogError::Missing {
                sequence,
                first: index.first(),
                end: index.next,
            };
            let entry = *index.records.get(&sequence).ok_or_else(missing)?;
            let before = sequence
                .checked_sub(1)
                .and_then(|before| index.records.get(&before))
                .map(|before| before.head.hash);
            let segment = Arc::clone(index.segments.get(&entry.segment).ok_or_else(missing)?);
            (entry, before, segment)
        };
        let place = || Place {
            file: segment.name.clone(),
            offset: entry.offset,
        };
        let failed = |source| ReadLogError::Io {
            place: place(),
            source,
        };
        let before = match before {
            Some(before) => before,
            // The oldest in the log: its segment knows.
            None => {
                scan::head_of(&*segment.file)
                    .map_err(failed)?
                    .ok_or_else(|| ReadLogError::Damaged {
                        place: place(),
                        sequence,
                    })?
                    .before
            }
        };
        let mut payload = vec![0; entry.head.len as usize];
        segment
            .file
            .read(&mut payload, entry.offset + HEAD as u64)
            .map_err(failed)?;
        if !entry.head.fits(&before, &payload) {
            return Err(ReadLogError::Damaged {
                place: place(),
                sequence,
            });
        }
        Ok(Record {
            sequence,
            label: entry.head.label,
            payload,
        })
    }

    /// Forgets records below this number, as far as whole segments go. Gives the oldest that is left.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn remove_before(&self, sequence: u64) -> Result<u64, WriteError> {
        let _only_one = lock(&self.end);
        self.remove_while(|_, next| next.first <= sequence)
    }

    /// Forgets the oldest segment, if it lies before a position as a whole and is not the last. Gives whether it did.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn remove_oldest_before(&self, position: Position) -> Result<bool, WriteError> {
        let _only_one = lock(&self.end);
        let before = lock(&self.index).first();
        let mut is_first = true;
        let after = self
            .remove_while(|oldest, _| std::mem::take(&mut is_first) && oldest.ordinal < position.segment())?;
        Ok(before != after)
    }

    /// Forgets segments, oldest first, while `is_gone` says so of one and the next.
    fn remove_while(&self, mut is_gone: impl FnMut(&Segment, &Segment) -> bool) -> Result<u64, WriteError> {
        let segments: Vec<Arc<Segment>> = {
            let index = lock(&self.index);
            index.usable()?;
            index.segments.values().map(Arc::clone).collect()
        };
        // The last segment stays. Oldest first, so that what a power failure leaves is a row without a gap.
        for pair in segments.windows(2).take_while(|pair| is_gone(&pair[0], &pair[1])) {
            let pair = [pair[0].first, pair[1].first];
            let removed = self
                .files
                .remove(&name_of(pair[0]))
                .and_then(|()| self.files.sync());
            let mut index = lock(&self.index);
            index.poisoned_by("removing a segment", removed)?;
            let gone = index.segments.remove(&pair[0]);
            index.records = index.records.split_off(&pair[1]);
            drop(index);
            if let Some(gone) = gone {
                self.change_snapshot(|snapshot| snapshot.without_below(gone.ordinal + 1));
            }
        }
        Ok(lock(&self.index).first())
    }
}

impl Index {
    fn first(&self) -> u64 {
        self.segments.keys().next().copied().unwrap_or(self.next)
    }

    fn usable(&self) -> Result<(), WriteError> {
        self.poison.clone().map_or(Ok(()), Err)
    }

    /// Poisons the log where the disk failed.
    fn poisoned_by(&mut self, doing: &str, result: io::Result<()>) -> Result<(), WriteError> {
        let Err(error) = result else { return Ok(()) };
        let poison = self.poison.get_or_insert_with(|| WriteError::Poisoned {
            doing: doing.into(),
            reason: error.to_string(),
        });
        Err(poison.clone())
    }
}
