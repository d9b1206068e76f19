//! Restarts: clean ones, ones that stopped between any two durable steps, and real kills.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use millrace_ledger::{Batch, Ledger};
use millrace_pipeline::{BlockRef, Engine, EngineConfig, Event, OpenError, replay_check};
use millrace_types::{Block, ChainSpec, ExecutionReceipt, Hash};

use crate::common::*;
use crate::model::Model;

/// A chain that ran to its end: its blocks, receipts and root.
struct Reference {
    ledger: Ledger,
    last: BlockRef,
    root: Hash,
}

fn reference(spec: &ChainSpec, rounds: u64) -> Reference {
    let ledger = Ledger::in_memory(spec).unwrap();
    let mut chain = Chain::open(spec.clone(), ledger.clone(), EngineConfig::default());
    submit_rounds(&chain, 0, rounds);
    chain.run_until_idle();
    chain.wait_until_executed(chain.head.height);
    Reference {
        ledger,
        last: chain.head,
        root: chain.root(),
    }
}

fn hash_at(ledger: &Ledger, height: u64) -> Hash {
    ledger.finalized_hash(height).unwrap().unwrap()
}

fn block_at(ledger: &Ledger, height: u64) -> Block {
    ledger.block(&hash_at(ledger, height)).unwrap().unwrap()
}

/// A ledger as a crash left it: finalized up to one height, executed up to another.
fn crashed(spec: &ChainSpec, from: &Ledger, finalized: u64, executed: u64) -> Ledger {
    copied(spec, from, finalized, executed, |_| {})
}

/// The same, with receipts that `change` changes.
fn copied(
    spec: &ChainSpec,
    from: &Ledger,
    finalized: u64,
    executed: u64,
    change: impl Fn(&mut ExecutionReceipt),
) -> Ledger {
    let ledger = Ledger::in_memory(spec).unwrap();
    for height in 0..=finalized {
        let (block, hash) = (block_at(from, height), hash_at(from, height));
        let mut batch = Batch::new();
        batch
            .certificate(hash, certificate(&block))
            .block(block)
            .finalized(height, hash);
        if (1..=executed).contains(&height) {
            let receipts = from.transaction_receipts(&hash).unwrap().unwrap();
            let mut receipt = from.receipt(&hash).unwrap().unwrap();
            change(&mut receipt);
            batch.execution(receipt, receipts);
        }
        ledger.commit(&batch).unwrap();
    }
    ledger
}

#[test]
fn a_crash_between_any_two_durable_steps_leads_back_to_the_same_roots() {
    let spec = spec();
    let reference = reference(&spec, 16);
    for finalized in 0..=reference.last.height {
        for executed in finalized.saturating_sub(spec.max_receipt_lag)..=finalized {
            for pipelining in [true, false] {
                let ledger = crashed(&spec, &reference.ledger, finalized, executed);
                let config = EngineConfig {
                    pipelining,
                    queue_blocks: 1,
                    ..EngineConfig::default()
                };
                let mut chain = Chain::open(spec.clone(), ledger.clone(), config);
                let told = chain.engine.last_finalized().height;
                // Where the plugin starts from: after everything that it may have ordered durably, executed or not.
                assert_eq!(told, finalized);
                // The plugin goes on from there; some blocks it hands over were there already.
                for height in told + 1..=reference.last.height {
                    chain.finalize(&block_at(&reference.ledger, height));
                }
                chain.wait_until_executed(reference.last.height);
                assert_eq!(
                    chain.root(),
                    reference.root,
                    "finalized {finalized}, executed {executed}"
                );
                for height in 1..=reference.last.height {
                    let hash = hash_at(&ledger, height);
                    assert_eq!(
                        ledger.receipt(&hash).unwrap(),
                        reference.ledger.receipt(&hash).unwrap()
                    );
                }
            }
        }
    }
}

#[test]
fn a_chain_that_is_restarted_after_every_block_comes_to_the_same_end() {
    let spec = spec();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.redb");
    let mut heights = Vec::new();
    loop {
        let ledger = Ledger::open(&path, &spec).unwrap();
        let mut chain = Chain::open(spec.clone(), ledger, kept_in(directory.path()));
        let next = heights.len() as u64;
        if next < 10 {
            submit_rounds(&chain, next, 1);
        }
        let Some(block) = chain.next_block() else { break };
        heights.push(block.header.height);
        chain.engine.stop();
    }
    let ledger = Ledger::open(&path, &spec).unwrap();
    let report = replay_check(&spec, &ledger).unwrap();
    assert_eq!(report.transactions, 10 * u64::from(ACCOUNTS));
    assert_eq!(
        report.without_receipt, 0,
        "stopping waits until everything is durable"
    );
    assert_eq!(heights, (1..=report.last.height).collect::<Vec<_>>());
}

#[test]
fn finalized_blocks_beyond_the_queue_are_executed_after_a_restart() {
    // All finalized, nothing executed: more than K + 2 slots hold.
    let spec = ChainSpec {
        max_receipt_lag: 1024,
        receipt_age: 1024,
        ..spec()
    };
    let spec = ChainSpec {
        limits: millrace_types::chain_spec::Limits {
            block_bytes: 1 << 20,
            ..spec.limits.clone()
        },
        ..spec
    };
    let source = Ledger::in_memory(&spec).unwrap();
    let mut chain = Chain::open(spec.clone(), source.clone(), config_with_retention());
    submit_rounds(&chain, 0, 30);
    for _ in 0..30 {
        chain.next_block().expect("a block for every round");
    }
    chain.wait_until_executed(30);
    let root = chain.root();
    let ledger = crashed(&spec, &source, 30, 0);
    let mut again = Chain::open(spec, ledger, config_with_retention());
    again.wait_until_executed(30);
    assert_eq!(again.root(), root);
}

fn config_with_retention() -> EngineConfig {
    EngineConfig {
        retention_blocks: 2048,
        ..EngineConfig::default()
    }
}

/// With states in a directory.
fn kept_in(directory: &Path) -> EngineConfig {
    EngineConfig {
        state_directory: Some(directory.join("state")),
        ..EngineConfig::default()
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A ledger of another length than the directory of states, in front and behind: what each has is taken, and the rest
/// executed again.
#[test]
fn states_and_ledger_need_not_end_at_the_same_block() {
    let spec = spec();
    let reference = reference(&spec, 12);
    let last = reference.last.height;
    let work = tempfile::tempdir().unwrap();
    // The directory as it is after each block.
    let at = |height: u64| work.path().join(format!("at-{height}"));
    {
        let running = work.path().join("running");
        let ledger = Ledger::in_memory(&spec).unwrap();
        let mut chain = Chain::open(spec.clone(), ledger, kept_in(&running));
        copy(&running.join("state"), &at(0).join("state"));
        for height in 1..=last {
            chain.finalize(&block_at(&reference.ledger, height));
            chain.wait_until_executed(height);
            copy(&running.join("state"), &at(height).join("state"));
        }
    }
    for kept in 0..=last {
        for finalized in [0, kept.saturating_sub(1), kept, (kept + 2).min(last), last] {
            for executed in [finalized.saturating_sub(spec.max_receipt_lag), finalized] {
                let ledger = crashed(&spec, &reference.ledger, finalized, executed);
                let mut chain = Chain::open(spec.clone(), ledger.clone(), kept_in(&at(kept)));
                for height in finalized + 1..=last {
                    chain.finalize(&block_at(&reference.ledger, height));
                }
                chain.wait_until_executed(last);
                assert_eq!(chain.root(), reference.root, "kept {kept}, finalized {finalized}");
                chain.engine.stop();
                drop(chain);
                // And once more, from what that left.
                let mut chain = Chain::open(spec.clone(), ledger.clone(), kept_in(&at(kept)));
                chain.wait_until_executed(last);
                assert_eq!(chain.root(), reference.root, "kept {kept}, finalized {finalized}");
            }
        }
    }
}

/// What is below the state that was kept is not executed again: nobody notices there that the ledger differs.
#[test]
fn a_start_executes_nothing_that_is_kept() {
    let spec = spec();
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::in_memory(&spec).unwrap();
    let mut chain = Chain::open(spec.clone(), ledger.clone(), kept_in(directory.path()));
    submit_rounds(&chain, 0, 12);
    chain.run_until_idle();
    let last = chain.head.height;
    chain.wait_until_executed(last);
    let root = chain.root();
    chain.engine.stop();
    drop(chain);
    let ledger = copied(&spec, &ledger, last, last, |receipt| {
        receipt.gas_used += u64::from(receipt.height == 1);
    });
    let chain = Chain::open(spec.clone(), ledger.clone(), kept_in(directory.path()));
    assert_eq!(chain.root(), root);
    chain.engine.stop();
    drop(chain);
    // Without the directory it is.
    let error = Engine::open(spec.clone(), ledger.clone(), EngineConfig::default()).err();
    assert!(
        matches!(error, Some(OpenError::Divergence { height: 1, .. })),
        "{error:?}"
    );
    // Another ledger's states are refused.
    let other = ChainSpec {
        chain_id: spec.chain_id + 1,
        ..spec.clone()
    };
    let elsewhere = Ledger::in_memory(&other).unwrap();
    let error = Engine::open(other, elsewhere, kept_in(directory.path())).err();
    assert!(
        error
            .as_ref()
            .is_some_and(|error| error.to_string().contains("another chain")),
        "{error:?}"
    );
    // Two engines do not share a directory.
    let _chain = Chain::open(spec.clone(), ledger, kept_in(directory.path()));
    let ledger = Ledger::in_memory(&spec).unwrap();
    let error = Engine::open(spec, ledger, kept_in(directory.path())).err();
    assert!(
        error
            .as_ref()
            .is_some_and(|error| error.to_string().contains("in use by another process")),
        "{error:?}"
    );
}

const CHILD: &str = "MILLRACE_PIPELINE_CHILD";

/// What the child process runs until it is killed: a chain under load that tells of every receipt it shows.
#[test]
fn child_process() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the parent test passes the directory by the environment"
    )]
    let Ok(directory) = std::env::var(CHILD) else {
        return;
    };
    let spec = spec();
    let ledger = Ledger::open(&Path::new(&directory).join("ledger.redb"), &spec).unwrap();
    let config = EngineConfig {
        slow_execution_ms: 2,
        ..kept_in(Path::new(&directory))
    };
    let mut chain = Chain::open(spec, ledger, config);
    let mut told = 0;
    loop {
        let nonce = chain.engine.pending_nonce(&address(0));
        submit_rounds(&chain, nonce, 1);
        if let Turn::NotNow(_) = chain.turn() {
            chain.wait_for(|event| *event == Event::Work);
        }
        for event in &chain.seen[told..] {
            if let Event::Executed { receipt, .. } = event {
                let line = format!(
                    "receipt {} {} {}\n",
                    receipt.height, receipt.block_hash, receipt.post_state_root
                );
                std::io::stdout().write_all(line.as_bytes()).unwrap();
            }
        }
        told = chain.seen.len();
        while let Ok(event) = chain.events.try_recv() {
            chain.seen.push(event);
        }
    }
}

const REORG_CHILD: &str = "MILLRACE_PIPELINE_REORG_CHILD";

/// What the child process runs until it is killed: two branches that overtake each other, and finality behind them.
#[test]
fn reorg_child_process() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the parent test passes the directory by the environment"
    )]
    let Ok(directory) = std::env::var(REORG_CHILD) else {
        return;
    };
    let spec = spec();
    let ledger = Ledger::open(&Path::new(&directory).join("ledger.redb"), &spec).unwrap();
    let mut model = Model::new(&spec);
    let begins = ledger.last_finalized().unwrap().map_or(0, |last| last.height);
    let mut finalized = model.genesis;
    for height in 1..=begins {
        finalized = model.execute(block_at(&ledger, height));
    }
    let mut chain = Chain::open(spec, ledger, kept_in(Path::new(&directory)));
    assert_eq!(chain.head, model.reference(&finalized));
    loop {
        let start = model.height(&finalized);
        let tips = [1, 2].map(|name| {
            let branch = model.branch(&finalized, 6 + start % 3, name);
            for hash in &branch {
                chain.import(model.block(hash));
            }
            *branch.last().unwrap()
        });
        for tip in [tips[0], tips[1], tips[usize::from(start.is_multiple_of(2))]] {
            chain.move_to(tip);
            chain.wait_until_executed_to(tip);
            finalized = tip;
        }
        finalized = model.ancestor(&finalized, start + 4);
        chain.finalize_known(model.reference(&finalized));
        for event in chain.seen.drain(..) {
            if let Event::Executed { receipt, .. } = event {
                println!("{}", shown(&receipt));
            }
        }
    }
}

#[test]
fn killed_in_the_middle_of_reorgs_it_keeps_every_receipt_that_it_showed() {
    let rounds = if is_long() { 40 } else { 4 };
    let seed = 0x2545_f491_4f6c_dd1d_u64;
    println!("seed {seed:#x}, {rounds} kills");
    let spec = spec();
    let directory = tempfile::tempdir().unwrap();
    let (mut random, mut seen, mut last) = (seed, Vec::new(), 0);
    for _ in 0..rounds {
        random = random
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        let child = start_child(directory.path(), REORG_CHILD, "restart::reorg_child_process");
        seen.extend(run_and_kill(
            child,
            (random >> 58) as usize,
            (random >> 40) % 50_000,
        ));
        let ledger = Ledger::open(&directory.path().join("ledger.redb"), &spec).unwrap();
        let report = replay_check(&spec, &ledger).unwrap();
        assert!(report.last.height >= last, "finality went back");
        last = report.last.height;
        for line in &seen {
            let hash: Hash = line.split(' ').rev().nth(1).unwrap().parse().unwrap();
            let receipt = ledger
                .receipt(&hash)
                .unwrap()
                .expect("a receipt that was shown is kept");
            assert!(line.ends_with(&shown(&receipt)), "{line}");
        }
    }
    let at_a_height = |line: &String| line.split(' ').rev().nth(2).unwrap().to_owned();
    let mut heights: Vec<String> = seen.iter().map(at_a_height).collect();
    heights.sort_unstable();
    heights.dedup();
    assert!(
        heights.len() < seen.len(),
        "no height was executed on two branches"
    );
}

fn is_long() -> bool {
    #[expect(clippy::disallowed_methods, reason = "asks for the long run")]
    let is_long = std::env::var("MILLRACE_LONG").is_ok();
    is_long
}

fn start_child(directory: &Path, variable: &str, test: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(variable, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Lets a child show `receipts` receipts, waits a little, kills it; answers all that it showed.
fn run_and_kill(mut child: Child, receipts: usize, wait_us: u64) -> Vec<String> {
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let is_receipt = |line: &String| line.contains("receipt ");
    let mut seen: Vec<String> = lines.by_ref().filter(is_receipt).take(receipts).collect();
    std::thread::sleep(std::time::Duration::from_micros(wait_us));
    child.kill().unwrap();
    child.wait().unwrap();
    seen.extend(lines.filter(is_receipt));
    seen
}

fn shown(receipt: &ExecutionReceipt) -> String {
    format!(
        "receipt {} {} {}",
        receipt.height, receipt.block_hash, receipt.post_state_root
    )
}

#[test]
fn killed_at_random_moments_it_serves_the_same_receipts_and_roots() {
    let rounds = if is_long() { 40 } else { 5 };
    let seed = 0x9e37_79b9_7f4a_7c15_u64;
    println!("seed {seed:#x}, {rounds} kills");
    let spec = spec();
    let directory = tempfile::tempdir().unwrap();
    let mut random = seed;
    let mut seen = Vec::new();
    for _ in 0..rounds {
        random = random
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        seen.extend(run_and_kill(
            start_child(directory.path(), CHILD, "restart::child_process"),
            (random >> 60) as usize,
            (random >> 40) % 20_000,
        ));
        let ledger = Ledger::open(&directory.path().join("ledger.redb"), &spec).unwrap();
        let report = replay_check(&spec, &ledger).unwrap();
        assert!(report.without_receipt <= spec.max_receipt_lag + 18, "{report:?}");
        for line in &seen {
            let height: u64 = line.split(' ').rev().nth(2).unwrap().parse().unwrap();
            let receipt = ledger.receipt(&hash_at(&ledger, height)).unwrap().unwrap();
            assert!(line.ends_with(&shown(&receipt)), "{line}");
        }
    }
    assert!(!seen.is_empty());
}

#[test]
fn a_retention_that_admission_outlives_is_refused() {
    let open = |retention_blocks| {
        let config = EngineConfig {
            retention_blocks,
            ..EngineConfig::default()
        };
        Engine::open(spec(), Ledger::in_memory(&spec()).unwrap(), config)
    };
    let least = spec().max_receipt_lag + 2;
    let refused = open(least - 1).err().unwrap();
    assert!(
        matches!(refused, OpenError::Retention { retention, least: needed, .. } if retention + 1 == needed && needed == least),
        "{refused}"
    );
    open(least).unwrap().stop();
}
