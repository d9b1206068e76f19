//! SIGKILL at random moments, under load, on one data directory: what a client has seen stays, and the ledger is what a
//! sequential node would have written.
//!
//! While the chain runs, senders keep its pool full and a recorder asks for every finalized block, every execution
//! receipt and every transaction's receipt as soon as it is there. What the recorder holds when the process dies was
//! served, so it must be served again, word for word, by the process after it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use millrace_ledger::Ledger;
use millrace_pipeline::{ReplayReport, replay_check};
use millrace_types::{Address, ChainSpec, Payload, SignedTransaction};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::chain::Chain;
use crate::rpc::{Failed, Rpc};
use crate::wallet::{CALL_GAS, Wallet, example};
use crate::{is_long, seed};

/// Accounts that send at once.
const SENDERS: usize = 4;
/// Pause of a sender whose transaction was refused for now, and of the recorder when there is nothing new.
const PAUSE: Duration = Duration::from_millis(5);

/// What a client saw: facts that must never change.
#[derive(Default)]
struct Seen {
    /// Finalized blocks by height.
    blocks: BTreeMap<u64, Value>,
    /// Execution receipts by height.
    executions: BTreeMap<u64, Value>,
    /// Transaction receipts by transaction.
    transactions: BTreeMap<String, Value>,
}

impl Seen {
    fn extend(&mut self, later: Self) {
        self.blocks.extend(later.blocks);
        self.executions.extend(later.executions);
        self.transactions.extend(later.transactions);
    }

    /// Asks for everything again.
    fn must_be_served_by(&self, rpc: &mut Rpc) {
        for (height, before) in &self.blocks {
            let now = rpc.call("getBlock", json!([height]));
            assert_eq!(now["hash"], *before, "the finalized block of height {height}");
        }
        for (height, before) in &self.executions {
            let now = rpc.call("getExecutionReceipt", json!([height]));
            assert_same(before, &now);
        }
        for (hash, before) in &self.transactions {
            let now = rpc.call("getTransactionReceipt", json!([hash, true]));
            assert_same(before, &now);
        }
    }
}

/// Two answers about one receipt: only that it is settled may be news.
fn assert_same(before: &Value, now: &Value) {
    let mut expected = before.clone();
    if expected["settled_by"].is_null() {
        expected["settled_by"] = now["settled_by"].clone();
    }
    assert_eq!(*now, expected, "a receipt changed that a client had seen");
}

/// Heights behind the newest execution from which on a record begins: a chain that is faster than its recorder would leave
/// it behind for ever.
const BEHIND: u64 = 20;

/// Records what the node at `url` serves from height `next` on, or from near its head, until it is gone.
fn record(url: &str, mut next: u64) -> Seen {
    let mut seen = Seen::default();
    // Its end is the end of the node.
    let _: Result<(), Failed> = (|| {
        let mut rpc = Rpc::connect(url)?;
        let heights = rpc.try_call("status", json!([]))?["heights"].clone();
        next = next.max(heights["executed"].as_u64().unwrap().saturating_sub(BEHIND));
        let mut executed = next;
        loop {
            let block = rpc.try_call("getBlock", json!([next]))?;
            if block["finalized"] == true {
                seen.blocks.insert(next, block["hash"].clone());
                next += 1;
            }
            if executed < next && record_execution(&mut rpc, executed, &mut seen)? {
                executed += 1;
            } else if block["finalized"] != true {
                thread::sleep(PAUSE);
            }
        }
    })();
    seen
}

/// Records the receipts of one height, if it is executed.
fn record_execution(rpc: &mut Rpc, height: u64, seen: &mut Seen) -> Result<bool, Failed> {
    let receipt = rpc.try_call("getExecutionReceipt", json!([height]))?;
    if receipt.is_null() {
        return Ok(false);
    }
    seen.executions.insert(height, receipt);
    let block = rpc.try_call("getBlock", json!([height]))?;
    for hash in block["transactions"].as_array().unwrap() {
        let receipt = rpc.try_call("getTransactionReceipt", json!([hash, true]))?;
        assert!(
            !receipt.is_null(),
            "height {height} is executed, {hash} has no receipt"
        );
        seen.transactions
            .insert(hash.as_str().unwrap().to_owned(), receipt);
    }
    Ok(true)
}

/// The transaction that a sender sends with this nonce: transfers and calls in turn. The first sender's first one
/// creates the counter, so that one that died with the pool is simply sent again.
fn transaction(sender: usize, wallets: &[Wallet], nonce: u64) -> SignedTransaction {
    let wallet = &wallets[sender];
    let counter = Address::of_deploy(&wallets[0].address, 0);
    if sender == 0 && nonce == 0 {
        return wallet.deploy(0, example("counter"), Vec::new());
    }
    let payload = if nonce.is_multiple_of(2) {
        let to = wallets[(sender + 1) % wallets.len()].address;
        Payload::Transfer {
            to,
            value: u128::from(nonce) + 1,
        }
    } else {
        Payload::Call {
            to: counter,
            value: 0,
            input: vec![0x01],
        }
    };
    wallet.sign(nonce, CALL_GAS, payload)
}

/// Sends from one account until the node is gone.
fn send_without_end(url: &str, sender: usize, wallets: &[Wallet], acknowledged: &AtomicU64) {
    // Its end is the end of the node.
    let _: Result<(), Failed> = (|| {
        let mut rpc = Rpc::connect(url)?;
        let address = wallets[sender].address_text();
        let mut nonce = rpc.pending_nonce(&address)?;
        loop {
            match rpc.send(&transaction(sender, wallets, nonce)) {
                Ok(_) => {
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                    nonce += 1;
                }
                Err(Failed::Refused(refusal)) => {
                    assert_eq!(refusal.code, -32011, "refused for now, if at all: {refusal:?}");
                    thread::sleep(PAUSE);
                }
                Err(gone) => return Err(gone),
            }
        }
    })();
}

/// Runs the chain under load for a moment and kills it; answers what the recorder saw, and how often the head moved to
/// another branch.
fn run_and_kill(chain: Chain, moment: Duration, from: u64, acknowledged: &Arc<AtomicU64>) -> (Seen, usize) {
    let (url, wallets) = (chain.url.clone(), chain.wallets.clone());
    let recorder = thread::spawn({
        let url = url.clone();
        move || record(&url, from)
    });
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (url, wallets, acknowledged) = (url.clone(), wallets.clone(), Arc::clone(acknowledged));
            thread::spawn(move || send_without_end(&url, sender, &wallets, &acknowledged))
        })
        .collect();
    thread::sleep(moment);
    let reorgs = chain.kill_and_count_reorgs();
    for sender in senders {
        sender.join().unwrap();
    }
    (recorder.join().unwrap(), reorgs)
}

/// Replays a copy of the dead node's ledger, so that the next node finds it as the dead one left it.
fn replay(directory: &Path) -> ReplayReport {
    let spec = std::fs::read_to_string(directory.join("chain-spec.json")).unwrap();
    let mut spec: serde_json::Value = serde_json::from_str(&spec).unwrap();
    assert_eq!(spec.as_object_mut().unwrap().remove("format"), Some(1.into()));
    let spec: ChainSpec = serde_json::from_value(spec).unwrap();
    let copy = tempfile::tempdir().unwrap();
    let path = copy.path().join("ledger.redb");
    std::fs::copy(directory.join("ledger.redb"), &path).unwrap();
    let ledger = Ledger::open(&path, &spec).unwrap_or_else(|error| panic!("after a kill: {error}"));
    replay_check(&spec, &ledger).unwrap_or_else(|error| panic!("after a kill: {error}"))
}

/// How a chain is run before it is killed.
struct Runs<'a> {
    /// Switches, one of them drawn each time.
    ways: [&'a [&'a str]; 4],
    /// Milliseconds until it is killed.
    moments: Range<u64>,
}

/// Short ones: each dies soon after it has begun.
const SHORT: Runs = Runs {
    ways: [
        &["--block-interval-ms", "20"],
        &["--block-interval-ms", "20", "--slow-execution", "30"],
        &["--block-interval-ms", "5"],
        &["--block-interval-ms", "20", "--pipelining", "off"],
    ],
    moments: 50..800,
};

/// A fork is made a hundred slots after the start, of half the interval each: so slots are short and runs long enough.
const FORKING: Runs = Runs {
    ways: [
        &["--block-interval-ms", "10"],
        &["--block-interval-ms", "10", "--slow-execution", "20"],
        &["--block-interval-ms", "5"],
        &["--block-interval-ms", "5", "--slow-execution", "5"],
    ],
    moments: 400..2_000,
};

/// Kills a chain so many times, restarting it on one directory with changing switches. Answers how often its head moved to
/// another branch.
fn kill_again_and_again(kills: u64, fixed: &[&str], runs: &Runs<'_>, seed: u64) -> usize {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().to_str().unwrap();
    let fixed = [&["--seed", "21", "--data-dir", place], fixed].concat();
    let mut reorgs = 0;
    let acknowledged = Arc::new(AtomicU64::new(0));
    let mut all = Seen::default();
    let mut last = Seen::default();
    for kill in 0..kills {
        let arguments = [&fixed[..], runs.ways[random.random_range(0..runs.ways.len())]].concat();
        if random.random_ratio(1, 4) {
            // Into the middle of opening and recovering, too.
            let moment = Duration::from_millis(random.random_range(0..200));
            let opening = Chain::spawn(&arguments);
            thread::sleep(moment);
            opening.kill();
        }
        let chain = Chain::start(&arguments);
        last.must_be_served_by(&mut chain.rpc());
        all.extend(std::mem::take(&mut last));
        let from = all.executions.keys().next_back().map_or(1, |height| height + 1);
        let moment = Duration::from_millis(random.random_range(runs.moments.clone()));
        let moved;
        (last, moved) = run_and_kill(chain, moment, from, &acknowledged);
        reorgs += moved;
        let report = replay(directory.path());
        println!(
            "kill {kill} after {moment:?} {:?}: {moved} reorganisations, saw {} receipts of blocks, {} of transactions; the ledger holds {} blocks, {} of them not executed yet, {} transactions, and replays to {}",
            &arguments[4..],
            last.executions.len(),
            last.transactions.len(),
            report.blocks,
            report.without_receipt,
            report.transactions,
            report.root,
        );
    }
    all.extend(last);
    assert!(all.transactions.len() as u64 >= 10 * kills, "there was load");
    end(
        directory.path(),
        &fixed,
        &all,
        acknowledged.load(Ordering::Relaxed),
    );
    reorgs
}

/// A last start: everything ever seen is there, the chain goes on, and it stands where the replay of its ledger ends.
fn end(directory: &Path, arguments: &[&str], all: &Seen, acknowledged: u64) {
    let chain = Chain::start(arguments);
    let mut rpc = chain.rpc();
    all.must_be_served_by(&mut rpc);
    let wallet = &chain.wallets[SENDERS];
    let to = wallet.address;
    let nonce = rpc.pending_nonce(&wallet.address_text()).unwrap();
    let transfer = wallet.sign(nonce, CALL_GAS, Payload::Transfer { to, value: 1 });
    let hash = rpc.send(&transfer).unwrap();
    assert_eq!(rpc.settled_receipt(&hash)["outcome"], "success");
    let newest = idle_height(&mut rpc);
    let receipt = rpc.call("getExecutionReceipt", json!([newest]));
    chain.kill();
    let report = replay(directory);
    println!(
        "{acknowledged} transactions acknowledged, {} in the ledger, the last root {}",
        report.transactions, report.root
    );
    assert_eq!(json!(report.last.height), newest);
    assert_eq!(json!(report.root), receipt["post_state_root"]);
    assert!(
        report.transactions <= acknowledged + 1,
        "nothing is in the ledger that nobody sent"
    );
}

/// Waits until the chain has nothing left to do: everything finalized is executed, and heights stay for a while. Answers
/// the finalized one.
fn idle_height(rpc: &mut Rpc) -> Value {
    let mut last = (Value::Null, 0);
    rpc.wait("the chain to be idle", |rpc| {
        let heights = rpc.call("status", json!([]))["heights"].clone();
        let is_behind = heights["finalized"].as_u64() > heights["executed"].as_u64();
        let same = !is_behind && heights == last.0;
        let times = if same { last.1 + 1 } else { 0 };
        last = (heights, times);
        (times >= 30).then(|| last.0["finalized"].clone())
    })
}

#[test]
fn receipts_and_roots_survive_kills_at_any_moment() {
    let kills = if is_long() { 20 } else { 5 };
    kill_again_and_again(kills, &["--commitment", "b"], &SHORT, seed("kill, option B"));
}

#[test]
fn receipts_and_roots_survive_kills_at_any_moment_under_option_a() {
    let kills = if is_long() { 20 } else { 2 };
    kill_again_and_again(
        kills,
        &["--commitment", "a"],
        &SHORT,
        seed("kill, option A").wrapping_add(1),
    );
}

/// The same while the head moves from branch to branch.
#[test]
fn receipts_and_roots_survive_kills_in_the_middle_of_reorgs() {
    let kills = if is_long() { 200 } else { 4 };
    let reorgs = kill_again_and_again(
        kills,
        &[
            "--consensus",
            "longest-chain",
            "--fork-depth",
            "6",
            "--max-receipt-lag",
            "8",
            "--log",
            "info",
        ],
        &FORKING,
        seed("kill, longest chain").wrapping_add(2),
    );
    println!("{reorgs} reorganisations");
    assert!(reorgs > 0, "no head moved to another branch");
}

/// Killed again and again while its directory is made, a chain starts all the same: nothing is left half made.
#[test]
fn a_chain_killed_while_it_is_made_can_be_made_again() {
    let mut random = ChaCha8Rng::seed_from_u64(seed("kill, a new chain"));
    for _ in 0..if is_long() { 40 } else { 6 } {
        let directory = tempfile::tempdir().unwrap();
        let arguments = ["--data-dir", directory.path().to_str().unwrap()];
        for _ in 0..3 {
            let opening = Chain::spawn(&arguments);
            thread::sleep(Duration::from_millis(random.random_range(0..60)));
            opening.kill();
        }
        let chain = Chain::start(&arguments);
        assert_eq!(chain.rpc().call("status", json!([]))["heights"]["executed"], 0);
    }
}

/// The chain's own load goes on after a kill: from the nonces that the ledger knows, with a contract of its own.
#[test]
fn a_load_goes_on_after_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().to_str().unwrap();
    let arguments = [
        "--data-dir",
        place,
        "--load",
        "token",
        "--block-interval-ms",
        "20",
    ];
    let chain = Chain::start(&arguments);
    chain.rpc().wait("some load", |rpc| {
        let status = rpc.call("status", json!([]));
        (status["counters"]["transactions_executed"].as_u64() > Some(100)).then_some(())
    });
    chain.kill();
    let summary = Chain::start(&[&arguments[..], &["--txs", "200"]].concat()).finish();
    assert!(
        summary["transactions_executed"].as_u64() >= Some(200),
        "{summary}"
    );
    let report = replay(directory.path());
    assert_eq!(json!(report.root), summary["last_root"]);
    assert_eq!(report.without_receipt, 0, "it ended in order");
}

/// Blocks that lose their places were executed for nothing: what is in them counts where it stays.
#[test]
fn a_load_on_forks_ends_when_all_of_it_is_on_the_chain() {
    let directory = tempfile::tempdir().unwrap();
    let forks = "--consensus longest-chain --fork-depth 6 --max-receipt-lag 8 --block-interval-ms 10";
    let load = "--load transfer --rate 100 --txs 500 --data-dir";
    let arguments = forks.split(' ').chain(load.split(' '));
    let arguments: Vec<&str> = arguments.chain([directory.path().to_str().unwrap()]).collect();
    let summary = Chain::start(&arguments).finish();
    println!("{summary}");
    assert_eq!(replay(directory.path()).transactions, 500);
}

/// A data directory belongs to one chain: other flags are refused, not mixed in.
#[test]
fn a_directory_of_another_chain_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().to_str().unwrap();
    Chain::start(&["--data-dir", place, "--seed", "1"]).kill();
    let mut other = Chain::spawn(&["--data-dir", place, "--seed", "2"]);
    let (status, log) = other.wait_for_failure();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("this chain was started with other flags"), "{log}");
}
