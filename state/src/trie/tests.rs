//! Against the model, which knows nothing of pages.

use std::sync::Arc;

use millrace_proof::verify;
use proptest::prelude::*;
use rand::seq::IteratorRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::changes::{Changes, Value};
use crate::error::ReadError;
use crate::files::simulated::Disk;
use crate::log::{Log, LogConfig};
use crate::model;

/// So many bytes that a few updates fill a segment.
const SEGMENT: u64 = 20_000;

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: SEGMENT,
        checks_sealed: false,
    }
}

fn open(disk: &Disk) -> Log {
    Log::open(Arc::new(disk.clone()), config()).unwrap().0
}

fn header(_: &Trie, _: &ChangesDigest) -> Header {
    [7; size_of::<Header>()]
}

fn write(trie: &Trie, log: &Log, changes: &Changes, sweep: Option<&Sweep>, part: usize) -> Trie {
    // One thread and several do the same, to the byte but for what they refer to.
    let how = |threads| How {
        sweep,
        label: 0,
        record_bytes: part,
        threads,
    };
    let alone = trie.write(log, &log.snapshot(), changes, how(1), header).unwrap();
    let written = trie.write(log, &log.snapshot(), changes, how(3), header).unwrap();
    assert_eq!(written.trie.root(), alone.trie.root());
    assert_eq!(written.digest, alone.digest);
    assert_eq!(written.digest, digest(changes));
    let snapshot = log.snapshot();
    let at = snapshot.at(written.position).unwrap();
    assert_eq!(
        at.bytes[..size_of::<Header>()],
        header(&written.trie, &written.digest)
    );
    written.trie
}

/// A path whose nibbles are mostly one of two, so that paths share many and pages are deep; sometimes any.
fn path(random: &mut ChaCha8Rng) -> Path {
    if random.random_bool(0.2) {
        return random.random();
    }
    let mut path = [0; 32];
    for _ in 0..random.random_range(0..6) {
        let bit = match random.random_range(0..4) {
            0 => random.random_range(248..256),
            1 => random.random_range(0..16),
            _ => random.random_range(0..256),
        };
        path[bit / 8] ^= 0x80 >> (bit % 8);
    }
    path
}

fn changes(random: &mut ChaCha8Rng, paths: &mut Vec<Path>, most: usize) -> Changes {
    let count = random.random_range(0..=most);
    let mut writes: Vec<(Path, Option<Value>)> = Vec::new();
    for _ in 0..count {
        let path = match paths.iter().choose(random) {
            Some(path) if random.random_bool(0.6) => *path,
            _ => path(random),
        };
        paths.push(path);
        let len = [0, 1, 64, 64, 64, 200][random.random_range(0..6)];
        let value = random
            .random_bool(0.65)
            .then(|| vec![random.random_range(0..3_u8); len].into());
        writes.push((path, value));
    }
    writes.into_iter().collect()
}

fn assert_same(trie: &Trie, log: &Log, expected: &model::Trie, random: &mut ChaCha8Rng, paths: &[Path]) {
    let snapshot = log.snapshot();
    assert_eq!(trie.root(), expected.root());
    let all: Vec<_> = trie.iter(&snapshot).map(Result::unwrap).collect();
    let expected_all: Vec<_> = expected.iter().map(|(path, value)| (path, &value[..])).collect();
    assert_eq!(all, expected_all);
    let mut asked: Vec<Path> = (0..6).map(|_| path(random)).collect();
    asked.extend(paths.iter().copied().choose_multiple(random, 6));
    asked.sort();
    asked.dedup();
    for path in &asked {
        let value = expected.get(path);
        assert_eq!(trie.get(&snapshot, path).unwrap(), value.map(|value| &value[..]));
        let proof = trie.prove(&snapshot, path).unwrap();
        assert_eq!(proof, expected.prove(path));
        let hash = value.map(|value| millrace_proof::hash_value(value));
        assert_eq!(verify(&trie.root(), path, &proof), Ok(hash));
    }
    let batch = trie.prove_batch(&snapshot, &asked).unwrap();
    assert_eq!(batch, expected.prove_batch(&asked));
}

#[test]
fn updates_reads_and_proofs_are_those_of_the_model() {
    for seed in 0..60 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let disk = Disk::default();
        let mut log = open(&disk);
        let (mut trie, mut expected) = (Trie::default(), model::Trie::default());
        let mut paths = Vec::new();
        let part = [usize::MAX, 3000, 1][seed as usize % 3];
        let mut older = Vec::new();
        for _ in 0..12 {
            let changes = changes(&mut random, &mut paths, 40);
            older.push((trie, expected.clone()));
            trie = write(&trie, &log, &changes, None, part);
            expected = expected.updated(&changes);
            assert_same(&trie, &log, &expected, &mut random, &paths);
        }
        // Older versions and forks of them are what they were, before and after a restart.
        for _ in 0..2 {
            for (trie, expected) in &older {
                assert_same(trie, &log, expected, &mut random, &paths);
                let changes = changes(&mut random, &mut paths, 10);
                let fork = write(trie, &log, &changes, None, part);
                assert_same(&fork, &log, &expected.updated(&changes), &mut random, &paths);
            }
            drop(log);
            log = open(&disk);
        }
    }
}

#[test]
fn what_was_swept_reaches_nothing_older() {
    for seed in 0..20 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let log = open(&Disk::default());
        let (mut trie, mut expected) = (Trie::default(), model::Trie::default());
        let mut paths = Vec::new();
        for _ in 0..10 {
            let changes = changes(&mut random, &mut paths, 60);
            trie = write(&trie, &log, &changes, None, usize::MAX);
            expected = expected.updated(&changes);
        }
        let bits = [0, 1, 3, 4, 6][seed as usize % 5];
        let before = log.records().last().unwrap().2;
        let segments = log.snapshot().first_segment()..before.segment();
        assert!(!segments.is_empty());
        for part in 0..1_u64 << bits {
            let mut path = [0; 32];
            path[..8].copy_from_slice(&part.checked_shl(64 - bits).unwrap_or(0).to_be_bytes());
            let sweep = Sweep {
                path,
                bits: bits as usize,
                before,
            };
            // With changes, and without.
            let most = [0, 20][part as usize % 2];
            let changes = changes(&mut random, &mut paths, most);
            trie = write(&trie, &log, &changes, Some(&sweep), usize::MAX);
            expected = expected.updated(&changes);
            assert_same(&trie, &log, &expected, &mut random, &paths);
        }
        while log.remove_oldest_before(before).unwrap() {}
        assert_eq!(log.snapshot().first_segment(), before.segment());
        assert_same(&trie, &log, &expected, &mut random, &paths);
    }
}

#[test]
fn what_was_written_again_with_the_same_value_stays_where_it_is() {
    let log = open(&Disk::default());
    let write_all = |value: u8| -> Changes {
        (0..100_u8)
            .map(|i| ([i; 32], Some(vec![value, i].into())))
            .collect()
    };
    let trie = write(&Trie::default(), &log, &write_all(1), None, usize::MAX);
    assert_eq!(
        write(&trie, &log, &write_all(1), None, usize::MAX).root,
        trie.root
    );
    assert_ne!(
        write(&trie, &log, &write_all(2), None, usize::MAX).root,
        trie.root
    );
}

/// Bits all over a sealed segment, one at a time: what is read is right, or refused.
#[test]
fn damage_is_refused_and_never_read() {
    let disk = Disk::default();
    let log = open(&disk);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut paths = Vec::new();
    let first = changes(&mut random, &mut paths, 40);
    let trie = write(&Trie::default(), &log, &first, None, usize::MAX);
    let expected = model::Trie::default().updated(&first);
    let name = crate::files::Files::list(&disk).unwrap().remove(0);
    // Until the segment is sealed, and one more.
    while log
        .snapshot()
        .at(Position::from_bytes((1_u64 << 32).to_le_bytes()))
        .is_none()
    {
        let more: Changes = [([random.random(); 32], Some(vec![0; 3000].into()))]
            .into_iter()
            .collect();
        write(&trie, &log, &more, None, usize::MAX);
        if log
            .snapshot()
            .at(Position::from_bytes(((1_u64 << 32) + 112).to_le_bytes()))
            .is_some()
        {
            break;
        }
    }
    drop(log);
    let len = 112 + 68 + 1 + 280 + 40 * 300;
    let (mut refused, mut read) = (0, 0);
    for offset in (112 + 68..len).step_by(7) {
        let damaged = disk.killed();
        damaged.damage(&name, offset, (offset % 8) as u8);
        // Heads are checked when the log is opened.
        let Ok((log, _)) = Log::open(Arc::new(damaged), config()) else {
            refused += 1;
            continue;
        };
        let snapshot = log.snapshot();
        for _ in 0..2 {
            for path in &paths {
                match trie.get(&snapshot, path) {
                    Ok(value) => {
                        assert_eq!(value, expected.get(path).map(|value| &value[..]));
                        read += 1;
                    }
                    Err(ReadError::Damaged(_)) => refused += 1,
                }
                if let Ok(proof) = trie.prove(&snapshot, path) {
                    assert_eq!(proof, expected.prove(path));
                }
            }
        }
    }
    assert!(refused > 100 && read > 100, "{refused} refused, {read} read");
}

proptest! {
    #[test]
    fn slots_are_the_bits_of_paths(path in any::<Path>(), level in 0..DEEPEST) {
        let bits = (level * LEVELS..(level + 1) * LEVELS).map(|i| {
            usize::from(i < 256 && millrace_proof::path::bit(&path, i))
        });
        prop_assert_eq!(slot_of(&path, level), bits.fold(0, |slot, bit| slot * 2 + bit));
    }
}
