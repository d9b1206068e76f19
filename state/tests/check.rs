//! Checking a store that nobody has open.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use millrace_state::check::{Condition, Report, check};
use millrace_state::files::{Files as _, MemoryFiles};
use millrace_state::log::{LogConfig, OpenLogError};
use millrace_state::{Changes, Config, Genesis, Store, VersionId};
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

const HEIGHTS: u64 = 30;

fn id(height: u64) -> VersionId {
    VersionId([height as u8; 32])
}

fn config() -> Config {
    Config {
        retention: 8,
        sweep_bits: 3,
        log: LogConfig {
            segment_bytes: 8_000,
            ..LogConfig::default()
        },
        ..Config::default()
    }
}

/// A store of some segments, of which some were forgotten.
fn files() -> MemoryFiles {
    let files = MemoryFiles::default();
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut changes = || -> Changes {
        (0..12)
            .map(|_| {
                let mut path = [0; 32];
                path[0] = random.random_range(0..60);
                (path, Some(vec![random.random(); 64].into()))
            })
            .collect()
    };
    let genesis = Genesis {
        id: id(0),
        height: 0,
        changes: changes(),
    };
    let store = Store::open_in(Arc::new(files.clone()), config(), genesis).unwrap();
    for height in 1..=HEIGHTS {
        store
            .insert(id(height - 1), id(height), height, changes())
            .unwrap();
        store.commit(id(height)).unwrap();
        store.set_finalized(id(height)).unwrap();
        store.persist(id(height)).unwrap();
    }
    files
}

fn checked(files: &MemoryFiles) -> Report {
    check(files, |_, _| {}).unwrap()
}

fn whole(report: &Report) -> Vec<u64> {
    let versions = report.versions.iter();
    versions
        .filter(|version| version.condition == Condition::Whole)
        .map(|version| version.height)
        .collect()
}

/// A copy with a byte changed.
fn damaged(files: &MemoryFiles, name: &str, offset: u64) -> MemoryFiles {
    let copy = MemoryFiles::default();
    for other in files.list().unwrap() {
        let from = files.open(&other).unwrap();
        let mut bytes = vec![0; from.len().unwrap() as usize];
        from.read(&mut bytes, 0).unwrap();
        if other == name {
            bytes[offset as usize] ^= 0x10;
        }
        copy.create(&other).unwrap().write(&bytes, 0).unwrap();
    }
    copy
}

#[test]
fn a_store_that_is_whole_is_found_whole() {
    let files = files();
    let mut told = Vec::new();
    let report = check(&files, |done, all| told.push((done, all))).unwrap();
    assert!(report.damage.is_empty() && report.torn.is_none(), "{report:?}");
    let retained: Vec<u64> = (HEIGHTS - 7..=HEIGHTS).collect();
    assert!(whole(&report).ends_with(&retained), "{report:?}");
    assert!(
        report
            .versions
            .iter()
            .all(|v| !matches!(v.condition, Condition::Damaged(_)))
    );
    assert_eq!(told.last(), Some(&(report.versions.len(), report.versions.len())));
    let names = files.list().unwrap();
    assert!(
        names.len() > 3 && names[0] != "00000000000000000000.log",
        "{names:?}"
    );
}

/// Bytes all over the files: what is wrong is named, what is called whole can be read to the last value, and the rest is not
/// given up.
#[test]
fn damage_is_named_and_what_is_whole_is_saved() {
    let files = files();
    let (mut named, mut saved) = (0, 0);
    for name in files.list().unwrap() {
        let len = files.open(&name).unwrap().len().unwrap();
        for offset in (0..len).step_by(211) {
            let copy = damaged(&files, &name, offset);
            let report = checked(&copy);
            let is_named = report.damage.iter().any(|error| match error {
                OpenLogError::Damaged { place, .. } => place.file == name && place.offset <= offset,
                OpenLogError::Gap { .. } => true,
                _ => false,
            });
            // What was last written may go without a word: nobody says that it was durable.
            let is_torn = report.torn.as_ref().is_some_and(|(place, _)| place.file == name);
            assert!(is_named || is_torn, "{name} {offset}: {report:?}");
            named += u32::from(is_named);
            saved += whole(&report).len();
            for version in &report.versions {
                assert!(version.height <= HEIGHTS && version.id == id(version.height));
            }
        }
    }
    assert!(named > 50 && saved > 100, "{named} named, {saved} saved");
}

#[test]
fn missing_segments_are_named() {
    let files = files();
    let names = files.list().unwrap();
    files.remove(&names[1]).unwrap();
    let report = checked(&files);
    assert!(!report.damage.is_empty());
    assert!(
        report
            .versions
            .iter()
            .any(|v| matches!(v.condition, Condition::Damaged(_))),
        "{report:?}"
    );
}
