//! The log on a disk that fails.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::files::Directory;
use crate::files::simulated::{Disk, Fault};

/// So small that histories of a few records have several.
const SEGMENT: u64 = 700;

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: SEGMENT,
        checks_sealed: true,
    }
}

fn open(disk: &Disk) -> Result<(Log, Recovered, Vec<Record>), OpenLogError> {
    let (log, recovered) = Log::open(Arc::new(disk.clone()), config())?;
    let records = log.range().map(|sequence| log.read(sequence).unwrap()).collect();
    Ok((log, recovered, records))
}

/// What record n of every history holds: the same again when a history is repeated, as a chain's blocks are.
fn payload(sequence: u64) -> Vec<u8> {
    let mut random = ChaCha8Rng::seed_from_u64(sequence);
    let len = match random.random_range(0..4) {
        0 => 0,
        1 => random.random_range(0..2_000),
        _ => random.random_range(0..100),
    };
    (0..len).map(|_| random.random()).collect()
}

/// What a history came to before the disk stopped it.
#[derive(Default, Debug)]
struct Told {
    appended: u64,
    /// Records below this were said to be durable.
    durable: u64,
    /// Records from this on were not to be forgotten.
    wanted: u64,
}

/// Appends, syncs and forgets as a seed says, until the disk fails or so many steps are done.
fn history(disk: &Disk, seed: u64, steps: u32) -> Told {
    let mut told = Told::default();
    let Ok((log, _, records)) = open(disk) else {
        return told;
    };
    told.appended = log.range().end;
    assert!(
        records
            .iter()
            .all(|record| record.payload == payload(record.sequence))
    );
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for _ in 0..steps {
        let result = match random.random_range(0..10) {
            0..6 => log
                .append(told.appended * 10, &payload(told.appended))
                .map(|sequence| {
                    assert_eq!(sequence, told.appended);
                    told.appended += 1;
                }),
            6..9 => match told.appended.checked_sub(1) {
                Some(last) => log.sync(last).map(|()| told.durable = told.appended),
                None => Ok(()),
            },
            _ => {
                let before = told.durable.saturating_sub(3);
                told.wanted = told.wanted.max(before);
                log.remove_before(before).map(|first| assert!(first <= before))
            }
        };
        told.durable = told.durable.max(log.durable().min(told.appended));
        if let Err(error) = result {
            assert!(matches!(error, WriteError::Poisoned { .. }), "{error}");
            // Nothing goes on behind a failure.
            assert_eq!(log.append(0, b"more").unwrap_err(), error);
            assert_eq!(log.remove_before(told.appended).unwrap_err(), error);
            break;
        }
    }
    told
}

/// Opens a disk behind a failure, checks what is there, and goes on with it.
fn recovers(disk: &Disk, told: &Told, seed: u64) {
    let (log, _, records) = open(disk).unwrap_or_else(|error| panic!("{error}; seed {seed}, {told:?}"));
    let range = log.range();
    assert!(range.end >= told.durable, "{range:?} of {told:?}, seed {seed}");
    assert!(
        range.end <= told.appended + 1,
        "{range:?} of {told:?}, seed {seed}"
    );
    assert!(range.start <= told.wanted, "{range:?} of {told:?}, seed {seed}");
    assert_eq!(records.len() as u64, range.end - range.start);
    for (record, sequence) in records.iter().zip(range.clone()) {
        assert_eq!(record.sequence, sequence);
        assert_eq!(record.label, sequence * 10);
        assert_eq!(record.payload, payload(sequence), "seed {seed}");
        assert_eq!(log.read(sequence).unwrap(), *record);
    }
    // What was lost is written again, then something else: no ghost of the first writing comes back.
    let mut end = range.end;
    if seed.is_multiple_of(2) {
        end = log.append(end * 10, &payload(end)).unwrap() + 1;
    }
    log.append(7, b"another branch").unwrap();
    log.sync(end).unwrap();
    drop(log);
    let (_, recovered, records) = open(&disk.killed()).unwrap();
    assert_eq!(recovered.torn, None);
    assert_eq!(records.last().unwrap().payload, b"another branch");
    assert_eq!(records.last().unwrap().sequence, end);
}

fn is_long() -> bool {
    #[expect(clippy::disallowed_methods, reason = "how long a test takes decides nothing")]
    std::env::var("MILLRACE_LONG").is_ok_and(|value| value != "0")
}

/// The power fails in front of every call of many histories, and leaves several images each.
#[test]
fn after_a_power_failure_everything_acknowledged_is_there() {
    let (histories, images) = if is_long() { (150, 12) } else { (25, 6) };
    let mut count = 0;
    for seed in 0..histories {
        let whole = Disk::default();
        history(&whole, seed, 60);
        for call in 0..=whole.calls() {
            let disk = Disk::default();
            disk.fail_at(call, Fault::Cut);
            let told = history(&disk, seed, 60);
            for image in 0..images {
                let mut random = ChaCha8Rng::seed_from_u64(seed << 32 | call << 8 | image);
                let after = disk.crash(&mut random);
                recovers(&after, &told, random.random());
                count += 1;
            }
        }
    }
    println!("{count} images");
}

/// The power fails again while the log is being opened, and again.
#[test]
fn opening_may_be_interrupted() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for seed in 0..200 {
        let disk = Disk::default();
        disk.fail_at(random.random_range(5..80), Fault::Cut);
        let told = history(&disk, seed, 60);
        let mut after = disk.crash(&mut random);
        for _ in 0..4 {
            after.fail_at(random.random_range(0..6), Fault::Cut);
            let _ = open(&after).map(|_| ());
            after = after.crash(&mut random);
        }
        recovers(&after, &told, random.random());
    }
}

/// What a process wrote and did not sync is there for the next one, and durable from then on.
#[test]
fn what_opening_finds_is_durable() {
    for seed in 0..50 {
        let disk = Disk::default();
        let (log, ..) = open(&disk).unwrap();
        for sequence in 0..7 {
            log.append(sequence * 10, &payload(sequence)).unwrap();
        }
        drop(log);
        let killed = disk.killed();
        let (log, ..) = open(&killed).unwrap();
        assert_eq!(log.durable(), 7);
        let told = Told {
            appended: 7,
            durable: 7,
            wanted: 0,
        };
        recovers(&killed.crash(&mut ChaCha8Rng::seed_from_u64(seed)), &told, seed);
    }
}

#[test]
fn every_call_may_fail() {
    for seed in 0..12 {
        let whole = Disk::default();
        history(&whole, seed, 60);
        for call in 0..whole.calls() {
            for fault in [Fault::Io, Fault::Full] {
                let disk = Disk::default();
                disk.fail_at(call, fault);
                let told = history(&disk, seed, 60);
                recovers(&disk.killed(), &told, seed);
                recovers(&disk.crash(&mut ChaCha8Rng::seed_from_u64(call)), &told, seed);
            }
        }
    }
}

/// Every byte of a log that was acknowledged is changed in turn.
#[test]
fn damage_is_named_and_never_believed() {
    let disk = Disk::default();
    let (log, ..) = open(&disk).unwrap();
    for sequence in 0..12 {
        log.append(sequence * 10, &payload(sequence)).unwrap();
        log.sync(sequence).unwrap();
    }
    let names = disk.list().unwrap();
    assert!(names.len() > 2, "{names:?}");
    let mut refused = 0;
    for name in &names {
        let len = disk.open(name).unwrap().len().unwrap();
        for offset in 0..len {
            let damaged = disk.killed();
            damaged.damage(name, offset as usize, (offset % 8) as u8);
            match open(&damaged) {
                Ok((_, recovered, records)) => {
                    // Only the end may go: nothing behind it says that it had been durable.
                    assert_eq!(records.len(), 11, "{name} {offset}");
                    assert!(recovered.torn.is_some(), "{name} {offset}");
                    for record in records {
                        assert_eq!(record.payload, payload(record.sequence));
                    }
                }
                Err(OpenLogError::Damaged {
                    place,
                    sequence,
                    last_label,
                }) => {
                    refused += 1;
                    assert_eq!(place.file, *name);
                    assert!(place.offset <= offset);
                    assert_eq!(last_label, sequence.saturating_sub(1) * 10);
                }
                Err(OpenLogError::Gap { .. }) => refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
    }
    println!("{refused} refused");
    assert!(refused > 1_000);
}

#[test]
fn damage_while_the_log_is_open_is_found_by_who_reads_it() {
    let disk = Disk::default();
    let (log, ..) = open(&disk).unwrap();
    for sequence in 0..8 {
        log.append(0, &[payload(sequence), vec![1]].concat()).unwrap();
    }
    let name = disk.list().unwrap().remove(0);
    let last = disk.open(&name).unwrap().len().unwrap() as usize - 1;
    disk.damage(&name, last, 3);
    let damaged: Vec<u64> = (0..8).filter(|&sequence| log.read(sequence).is_err()).collect();
    assert_eq!(damaged.len(), 1);
    let error = log.read(damaged[0]).unwrap_err();
    assert!(
        matches!(&error, ReadLogError::Damaged { place, .. } if place.file == name),
        "{error}"
    );
}

#[test]
fn files_of_others_are_left_alone() {
    let disk = Disk::default();
    disk.create("notes.txt").unwrap().write(b"mine", 0).unwrap();
    disk.create("7.log").unwrap().write(b"mine too", 0).unwrap();
    let (log, ..) = open(&disk).unwrap();
    log.append(0, b"a").unwrap();
    log.sync(0).unwrap();
    let (_, _, records) = open(&disk.killed()).unwrap();
    assert_eq!(records.len(), 1);
    assert!(disk.list().unwrap().contains(&"notes.txt".to_owned()));
}

#[test]
fn a_missing_segment_is_a_gap() {
    let disk = Disk::default();
    let (log, ..) = open(&disk).unwrap();
    for sequence in 0..40 {
        log.append(0, &payload(sequence)).unwrap();
    }
    drop(log);
    let names = disk.list().unwrap();
    disk.remove(&names[1]).unwrap();
    let error = open(&disk).unwrap_err();
    assert!(matches!(&error, OpenLogError::Damaged { .. }), "{error}");
}

#[test]
fn records_are_forgotten_by_segments() {
    let disk = Disk::default();
    let (log, ..) = open(&disk).unwrap();
    for sequence in 0..40 {
        log.append(0, &payload(sequence)).unwrap();
    }
    let first = log.remove_before(20).unwrap();
    assert!((10..=20).contains(&first), "{first}");
    assert_eq!(log.range(), first..40);
    let error = log.read(first - 1).unwrap_err();
    assert!(matches!(error, ReadLogError::Missing { .. }), "{error}");
    assert_eq!(log.read(first).unwrap().payload, payload(first));
    assert_eq!(log.remove_before(1_000).unwrap(), log.range().start);
    assert!(log.range().end == 40 && log.range().start < 40);
}

#[test]
fn threads_share_syncs() {
    let disk = Disk::default();
    let (log, ..) = open(&disk).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let sequence = log.append(0, b"something").unwrap();
                    log.sync(sequence).unwrap();
                    assert!(log.durable() > sequence);
                    assert_eq!(log.read(sequence).unwrap().payload, b"something");
                }
            });
        }
    });
    let (_, _, records) = open(&disk.killed()).unwrap();
    assert_eq!(records.len(), 400);
}

#[test]
fn a_real_directory_has_one_owner() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let files = Arc::new(Directory::open(&path).unwrap());
    let (log, _) = Log::open(files, config()).unwrap();
    for sequence in 0..30 {
        assert_eq!(log.append(sequence * 10, &payload(sequence)).unwrap(), sequence);
    }
    log.sync(29).unwrap();
    let error = Directory::open(&path).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert!(error.to_string().contains("in use by another process"), "{error}");
    let error = Directory::look_at(&path).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    drop(log);
    let files = Arc::new(Directory::open(&path).unwrap());
    let (log, _) = Log::open(files, config()).unwrap();
    let records: Vec<_> = log.range().map(|sequence| log.read(sequence).unwrap()).collect();
    assert_eq!(records.len(), 30);
    assert!(
        records
            .iter()
            .all(|record| record.payload == payload(record.sequence))
    );
}

#[test]
fn looking_at_a_directory_makes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let missing = Directory::look_at(&path).unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    assert!(!path.exists());
    std::fs::create_dir(&path).unwrap();
    let files = Directory::look_at(&path).unwrap();
    crate::log::check_format(&files).unwrap();
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
    drop(files);
    // Where there is a lock it is held meanwhile, so that nothing changes under whoever looks.
    drop(Directory::open(&path).unwrap());
    let files = Directory::look_at(&path).unwrap();
    assert_eq!(
        Directory::open(&path).unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );
    drop(files);
    Directory::open(&path).unwrap();
}

/// A segment's head is durable before a record is written behind it: a file with records and without a head was damaged,
/// and is not taken for one that had just been begun.
#[test]
fn a_segment_that_lost_its_head_is_not_thrown_away() {
    let disk = Disk::default();
    let files: Arc<dyn Files> = Arc::new(disk.clone());
    let (log, _) = Log::open(files, LogConfig::default()).unwrap();
    for sequence in 0..12 {
        log.append(sequence * 10, &payload(sequence)).unwrap();
        log.sync(sequence).unwrap();
    }
    drop(log);
    let name = name_of(0);
    for offset in 0..SEGMENT_HEAD {
        let damaged = disk.killed();
        damaged.damage(&name, offset, 0);
        match open(&damaged) {
            Err(OpenLogError::Damaged { place, .. }) => assert_eq!((&place.file, place.offset), (&name, 0)),
            Err(other) => panic!("byte {offset}: {other}"),
            Ok((_, recovered, records)) => panic!("byte {offset}: {} records, {recovered:?}", records.len()),
        }
        assert_eq!(
            damaged.list().unwrap(),
            std::slice::from_ref(&name),
            "byte {offset}"
        );
    }
}

/// What an older build takes for damage, or for a head that was never finished, must not be cut off or refused as such.
#[test]
fn a_log_of_a_newer_format_is_refused_as_that_and_left_alone() {
    let disk = Disk::default();
    let files: Arc<dyn Files> = Arc::new(disk.clone());
    let (log, _) = Log::open(files, LogConfig::default()).unwrap();
    log.append(0, &payload(0)).unwrap();
    log.sync(0).unwrap();
    drop(log);
    let name = name_of(0);
    let newer = disk.killed();
    let mut head = [0; SEGMENT_HEAD];
    newer.open(&name).unwrap().read(&mut head, 0).unwrap();
    let of_format = |format: &str| {
        let mut key = [0; 32];
        key[..format.len()].copy_from_slice(format.as_bytes());
        *blake3::keyed_hash(&key, &head[32..]).as_bytes()
    };
    assert_eq!(of_format("millrace/state-log/1"), head[..32]);
    for (offset, byte) in of_format("millrace/state-log/12").into_iter().enumerate() {
        let changed = head[offset] ^ byte;
        (0..8)
            .filter(|bit| changed >> bit & 1 == 1)
            .for_each(|bit| newer.damage(&name, offset, bit));
    }
    assert!(check_format(&disk.killed()).is_ok());
    for refused in [
        check_format(&newer).unwrap_err(),
        open(&newer).map(|_| ()).unwrap_err(),
    ] {
        assert!(
            matches!(&refused, OpenLogError::NewerFormat { file, found: 12, known: 1 } if *file == name),
            "{refused}"
        );
    }
    assert_eq!(newer.list().unwrap(), std::slice::from_ref(&name));
}

/// A disk that tells of a failed sync once, as Linux does: whoever syncs the same file at the same time hears of nothing.
#[derive(Debug)]
struct Once {
    disk: Disk,
    gates: Arc<Gates>,
}

#[derive(Debug, Default)]
struct Gates {
    /// Whether the next sync of a file fails.
    fails: std::sync::atomic::AtomicBool,
    /// Syncs of files so far.
    syncs: std::sync::atomic::AtomicU32,
}

#[derive(Debug)]
struct OnceFile(Box<dyn File>, Arc<Gates>);

impl Files for Once {
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        Ok(Box::new(OnceFile(
            self.disk.create(name)?,
            Arc::clone(&self.gates),
        )))
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        Ok(Box::new(OnceFile(self.disk.open(name)?, Arc::clone(&self.gates))))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn sync(&self) -> io::Result<()> {
        self.disk.sync()
    }
}

impl File for OnceFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read(bytes, offset)
    }
    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write(bytes, offset)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        use std::sync::atomic::Ordering;
        self.1.syncs.fetch_add(1, Ordering::SeqCst);
        if self.1.fails.swap(false, Ordering::SeqCst) {
            // The one that fails takes its time to say so.
            std::thread::sleep(std::time::Duration::from_millis(200));
            return Err(io::Error::from_raw_os_error(5));
        }
        self.0.sync()
    }
}

/// While one thread's sync fails another one seals the segment, which the system tells nothing of.
#[test]
fn a_sync_that_failed_is_not_covered_up_by_sealing() {
    use std::sync::atomic::Ordering;
    let gates = Arc::new(Gates::default());
    let files = Once {
        disk: Disk::default(),
        gates: Arc::clone(&gates),
    };
    let (log, _) = Log::open(Arc::new(files), config()).unwrap();
    log.append(0, &[1; SEGMENT as usize]).unwrap();
    let begun = gates.syncs.load(Ordering::SeqCst);
    gates.fails.store(true, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let syncing = scope.spawn(|| log.sync(0));
        while gates.syncs.load(Ordering::SeqCst) == begun {
            std::thread::yield_now();
        }
        // The segment is full: this seals it.
        let appended = log.append(10, b"more");
        assert!(syncing.join().unwrap().is_err());
        assert_eq!(log.durable(), 0, "{appended:?}");
        assert!(log.sync(0).is_err());
        assert!(appended.is_err());
    });
}

/// A payload that looks like heads does not pass for any: nobody knows a segment's salt who did not see its file.
#[test]
fn payloads_make_no_promises() {
    let disk = Disk::default();
    let files: Arc<dyn Files> = Arc::new(disk.clone());
    let (log, _) = Log::open(files, LogConfig::default()).unwrap();
    log.append(0, b"block 0").unwrap();
    log.sync(0).unwrap();
    let far = 1 << 40;
    let first = Head::new(&[0; 32], &[7; 32], [far, far, 0], b"");
    let second = Head::new(&[0; 32], &first.hash, [far + 1, far, 0], b"");
    let mut payload = first.to_bytes().to_vec();
    payload.extend(second.to_bytes());
    payload.resize(5000, 1);
    log.append(10, &payload).unwrap();
    drop(log);
    // The power fails, and a sector of the record, which nobody had promised, is not there.
    let torn = disk.killed();
    let file = torn.open(&name_of(0)).unwrap();
    file.write(&[0; 400], file.len().unwrap() - 400).unwrap();
    let (_, recovered, records) = open(&torn).unwrap();
    assert_eq!(records.len(), 1);
    assert!(recovered.torn.is_some());
}

/// The head of a durable record is lost, and one record stands behind it, which says that it had been durable.
#[test]
fn one_record_behind_a_lost_head_is_enough() {
    let disk = Disk::default();
    let files: Arc<dyn Files> = Arc::new(disk.clone());
    let (log, _) = Log::open(files, LogConfig::default()).unwrap();
    log.append(0, b"block 0").unwrap();
    log.append(10, b"block 1").unwrap();
    log.sync(1).unwrap();
    log.append(20, b"block 2").unwrap();
    drop(log);
    for offset in 0..HEAD {
        let damaged = disk.killed();
        damaged.damage(&name_of(0), SEGMENT_HEAD + HEAD + b"block 0".len() + offset, 0);
        let error = open(&damaged).unwrap_err();
        assert!(
            matches!(error, OpenLogError::Damaged { sequence: 1, .. }),
            "{error}"
        );
    }
}
