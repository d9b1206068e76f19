//! Reads and overlay writes while the disk stands still: `cargo bench -p millrace-benches --bench state_stall -- --help`.
//!
//! One thread plays execution: every few milliseconds it reads accounts of the newest version and inserts the next one. Another
//! commits and persists what was inserted. In turns the disk works, and stands still: every write and sync waits until it
//! goes on, so that versions pile up without roots, up to as many as there are credits. Each read and each insertion is timed
//! by the clock, and each value that is read compared.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

#[path = "../../state/tests/common/gate.rs"]
mod gate;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use clap::Parser;
use gate::{Gate, Gated};
use millrace_benches::host;
use millrace_benches::report::save_json;
use millrace_state::files::Directory;
use millrace_state::{Changes, Config, Genesis, Path, Store, Value, VersionId};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::json;

/// Measures reads and overlay writes while the disk stands still.
#[derive(Parser)]
struct Arguments {
    /// Accounts
    #[arg(long, default_value_t = 200_000)]
    accounts: usize,
    /// Updates of a version, and three times as many reads
    #[arg(long, default_value_t = 200)]
    updates: usize,
    /// Milliseconds from version to version
    #[arg(long, default_value_t = 10)]
    every_ms: u64,
    /// Versions that may be without a root
    #[arg(long, default_value_t = 256)]
    credits: u64,
    /// How often the disk stands still, for two seconds each time, and works as long in between
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds of each
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Also write everything to benches/results/NAME.json
    #[arg(long, value_name = "NAME")]
    save: Option<String>,
    /// What cargo passes to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Instant {
    Instant::now()
}

/// The disk works, and nearly everything is written.
const WORKS: usize = 0;
/// Nothing is written.
const STANDS_STILL: usize = 1;
/// The disk works, and what has piled up is written.
const CATCHES_UP: usize = 2;
/// Versions without a root when nothing is piled up.
const FEW: u64 = 8;

/// What was timed in one of these.
#[derive(Default)]
struct Times {
    reads: Vec<Duration>,
    inserts: Vec<Duration>,
    /// Versions without a root, at most.
    deepest: u64,
    /// Times that there was no credit.
    refused: u64,
}

fn quantile(times: &mut [Duration], share: f64) -> f64 {
    times.sort_unstable();
    let index = (times.len() as f64 * share) as usize;
    let time = times.get(index.min(times.len().saturating_sub(1)));
    time.map_or(0.0, |time| time.as_secs_f64() * 1e6)
}

fn id(height: u64) -> VersionId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&height.to_le_bytes());
    VersionId(id)
}

fn value(random: &mut ChaCha8Rng) -> Value {
    random.random::<[u8; 64]>().as_slice().into()
}

/// Commits what comes, until nothing more does.
fn commit_all(store: &Store, inserted: mpsc::Receiver<u64>, committed: &AtomicU64) {
    while let Ok(mut height) = inserted.recv() {
        store.commit(id(height)).unwrap();
        // As many as have come meanwhile become durable together.
        while let Ok(next) = inserted.try_recv() {
            height = next;
            store.commit(id(height)).unwrap();
        }
        store.persist(id(height)).unwrap();
        store.set_finalized(id(height)).unwrap();
        committed.store(height, Ordering::Release);
    }
}

fn main() {
    let arguments = Arguments::parse();
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let gate = Arc::new(Gate::default());
    let files = Gated(Directory::open(directory.path()).unwrap(), Arc::clone(&gate));
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let paths: Vec<Path> = (0..arguments.accounts).map(|_| random.random()).collect();
    let mut expected: BTreeMap<Path, Value> = paths.iter().map(|path| (*path, value(&mut random))).collect();
    let changes: Changes = expected
        .iter()
        .map(|(path, value)| (*path, Some(value.clone())))
        .collect();
    let genesis = Genesis {
        id: id(0),
        height: 0,
        changes,
    };
    let store = Store::open_in(Arc::new(files), Config::default(), genesis).unwrap();

    let (committed, is_done) = (AtomicU64::new(0), AtomicBool::new(false));
    let is_behind = AtomicBool::new(false);
    let phase = AtomicUsize::new(WORKS);
    let (to_commit, inserted) = mpsc::channel();
    let mut times = [Times::default(), Times::default(), Times::default()];
    std::thread::scope(|scope| {
        scope.spawn(|| commit_all(&store, inserted, &committed));
        scope.spawn(|| {
            let time = Duration::from_secs_f64(arguments.seconds);
            for _ in 0..arguments.rounds {
                std::thread::sleep(time);
                gate.set(true);
                phase.store(STANDS_STILL, Ordering::Release);
                std::thread::sleep(time);
                phase.store(CATCHES_UP, Ordering::Release);
                gate.set(false);
                std::thread::sleep(time / 2);
                while is_behind.load(Ordering::Acquire) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                phase.store(WORKS, Ordering::Release);
            }
            is_done.store(true, Ordering::Release);
        });
        let mut height = 0;
        let mut next = now();
        while !is_done.load(Ordering::Acquire) {
            next += Duration::from_millis(arguments.every_ms);
            std::thread::sleep(next.saturating_duration_since(now()));
            let behind = height - committed.load(Ordering::Acquire);
            is_behind.store(behind > FEW, Ordering::Release);
            let times = &mut times[phase.load(Ordering::Acquire)];
            times.deepest = times.deepest.max(behind);
            if behind >= arguments.credits {
                times.refused += 1;
                continue;
            }
            let view = store.view(id(height)).unwrap();
            for _ in 0..3 * arguments.updates {
                let path = paths[random.random_range(0..paths.len())];
                let begin = now();
                let read = view.get(&path).unwrap();
                times.reads.push(begin.elapsed());
                assert_eq!(read, expected.get(&path).cloned(), "at height {height}");
            }
            let updates: Vec<(Path, Value)> = (0..arguments.updates)
                .map(|_| (paths[random.random_range(0..paths.len())], value(&mut random)))
                .collect();
            let changes: Changes = updates
                .iter()
                .map(|(path, value)| (*path, Some(value.clone())))
                .collect();
            expected.extend(updates);
            let begin = now();
            store
                .insert(id(height), id(height + 1), height + 1, changes)
                .unwrap();
            times.inserts.push(begin.elapsed());
            height += 1;
            to_commit.send(height).unwrap();
        }
        drop(to_commit);
    });
    assert!(gate.stopped() > 0, "somebody met a disk that stood still");

    let mut rows = Vec::new();
    println!(
        "{:<14}{:<12}{:>9}{:>10}{:>10}{:>10}{:>12}",
        "disk", "what", "count", "p50 us", "p99 us", "p99.9 us", "most us"
    );
    for (disk, times) in ["works", "stands still", "catches up"]
        .into_iter()
        .zip(&mut times)
    {
        for (what, times) in [("read", &mut times.reads), ("insertion", &mut times.inserts)] {
            let [p50, p99, p999, most] = [0.5, 0.99, 0.999, 1.0].map(|share| quantile(times, share));
            println!(
                "{disk:<14}{what:<12}{:>9}{p50:>10.2}{p99:>10.2}{p999:>10.2}{most:>12.1}",
                times.len()
            );
            rows.push(json!({
                "disk": disk, "what": what, "count": times.len(), "p50_us": p50, "p99_us": p99, "p99.9_us": p999,
                "most_us": most,
            }));
        }
        println!(
            "{disk:<14}{} versions without a root at most, {} times without a credit",
            times.deepest, times.refused
        );
    }
    let p99 = |row: usize| rows[row]["p99_us"].as_f64().unwrap();
    println!(
        "p99 while it stands still, over while it works: reads {:.2}, insertions {:.2}",
        p99(2) / p99(0),
        p99(3) / p99(1)
    );
    if let Some(name) = &arguments.save {
        let everything = json!({
            "machine": host::describe(),
            "accounts": arguments.accounts,
            "updates": arguments.updates,
            "every_ms": arguments.every_ms,
            "seconds": arguments.seconds,
            "rounds": arguments.rounds,
            "rows": rows,
            "deepest": times.each_ref().map(|times| times.deepest),
            "without_credit": times.each_ref().map(|times| times.refused),
        });
        println!("saved in {}", save_json(name, &everything).display());
    }
}
