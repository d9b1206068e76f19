//! A node between a consensus that changes its mind and a disk that forgets, against a naive one that executes every
//! branch by itself: proposals on random parents, heads that move to random branches, finality, crashes. Blocks hold a few
//! transfers, or so many transfers and calls of a contract that all workers check their signatures and execute them.
//!
//! A run is drawn from its seed, which a failure names. `MILLRACE_LONG=1` makes 100,000 events.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::mpsc;

use millrace_ledger::{Batch, Ledger};
use millrace_pipeline::{
    BlockId, BuildAnswer, BuildRequest, EngineConfig, Event, Reply, SetHeadAnswer, Submission, Tag,
    ValidateAnswer,
};
use millrace_types::{Address, ChainSpec, Hash, Height, Payload, SignedTransaction};

use crate::common::{ACCOUNTS, Chain, PATIENCE, TRANSFER_GAS, address, empty_block, sign};
use crate::model::{Draft, Model};

/// Events of one run from genesis.
const EPISODE: u64 = 250;
/// Blocks above finality at most: below the engine's own cap.
const MOST_LIVE: usize = 150;
const DEEPEST: u64 = 20;
/// Accounts that send.
const SENDERS: u64 = 12;
static COUNTER: &[u8] = include_bytes!("../../../../contracts/artifacts/counter.elf");
/// Of a call, and of the contract's deployment.
const CALL_GAS: u64 = 1_000_000;
const DEPLOY_GAS: u64 = 5_000_000;

/// With room for many calls, and counters that are added to.
fn spec() -> ChainSpec {
    let mut spec = crate::common::spec();
    spec.limits.block_gas *= 10;
    spec.limits.block_write_bytes *= 10;
    spec.versions[0].gas = 2;
    spec
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) % bound
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What the events of an engine come to.
#[derive(Default)]
struct Story {
    /// Unknown until it is told: an engine that opens goes on with finalized blocks at once.
    head: Option<Hash>,
    /// Likewise.
    executed: Option<Height>,
    finalized: Height,
    safe: Height,
}

struct Run {
    random: Random,
    model: Model,
    chain: Option<Chain>,
    ledger: Ledger,
    states: PathBuf,
    finalized: Hash,
    head: Hash,
    /// Blocks above finality that do not conflict with it; all are handed over.
    live: BTreeSet<Hash>,
    story: Story,
    /// Answers to validations.
    verdicts: mpsc::Receiver<(Hash, ValidateAnswer)>,
    tell_verdict: mpsc::Sender<(Hash, ValidateAnswer)>,
    counted: Counted,
}

#[derive(Default, Debug)]
struct Counted {
    blocks: u64,
    /// That several workers share.
    large: u64,
    deepest: u64,
    reorgs: u64,
    restarts: u64,
    checks: u64,
    kept_receipts: u64,
    speculations: u64,
    executions: u64,
}

impl Run {
    fn new(seed: u64, states: PathBuf) -> Self {
        let spec = spec();
        let model = Model::new(&spec);
        let genesis = model.genesis;
        let (tell_verdict, verdicts) = mpsc::channel();
        let mut run = Self {
            random: Random(seed),
            model,
            chain: None,
            ledger: Ledger::in_memory(&spec).unwrap(),
            states,
            finalized: genesis,
            head: genesis,
            live: BTreeSet::new(),
            story: Story::default(),
            verdicts,
            tell_verdict,
            counted: Counted::default(),
        };
        run.open();
        run
    }

    fn open(&mut self) {
        let config = EngineConfig {
            state_directory: Some(self.states.clone()),
            queue_blocks: usize::try_from(1 + self.random.below(8)).unwrap(),
            max_speculative_blocks: usize::try_from(1 + self.random.below(4)).unwrap(),
            speculation: self.random.chance(80),
            workers: usize::try_from(1 + self.random.below(3)).unwrap(),
            ..EngineConfig::default()
        };
        self.chain = Some(Chain::open(spec(), self.ledger.clone(), config));
        self.story = Story {
            finalized: self.chain().head.height,
            ..Story::default()
        };
    }

    fn chain(&mut self) -> &mut Chain {
        self.chain.as_mut().unwrap()
    }

    fn height(&self, hash: &Hash) -> Height {
        self.model.height(hash)
    }

    fn event(&mut self) {
        let full = self.live.len() >= MOST_LIVE;
        match self.random.below(100) {
            _ if full => self.finalize(),
            0..=47 => self.propose(),
            48..=66 => self.choose_head(),
            67..=77 => self.reorg(),
            78..=84 => self.finalize(),
            85..=88 => self.build(),
            89..=91 => self.propose_invalid(),
            92..=97 => self.check(),
            _ => self.restart(),
        }
        self.listen();
    }

    /// A block that may still become final, the finalized one included. Rather a high one: trees grow deep.
    fn any_live(&mut self) -> Hash {
        let all: Vec<Hash> = self.live.iter().copied().chain([self.finalized]).collect();
        match self.random.below(10) {
            0..=4 => self.head,
            5..=7 => {
                let drawn: Vec<Hash> = (0..6).map(|_| self.random.of(&all)).collect();
                let highest = drawn.into_iter().max_by_key(|hash| self.height(hash));
                highest.unwrap()
            }
            _ => self.random.of(&all),
        }
    }

    fn propose(&mut self) {
        let parent = self.any_live();
        if self.height(&parent) < self.height(&self.finalized) + DEEPEST + 8 {
            self.propose_on(&parent);
        }
    }

    fn propose_on(&mut self, parent: &Hash) -> Hash {
        let transactions = self.transactions(parent);
        let draft = Draft {
            lag: 1 + self.random.below(4),
            name: u8::try_from(self.random.below(256)).unwrap(),
            ..Draft::default()
        };
        self.counted.large += u64::from(transactions.len() >= 32);
        let hash = self.model.add_with(parent, transactions, &draft);
        self.hand_over(hash);
        hash
    }

    /// What a block on `parent` holds. The first above genesis creates the contract, on every branch the same.
    fn transactions(&mut self, parent: &Hash) -> Vec<SignedTransaction> {
        let counter = Address::of_deploy(&address(0), 0);
        let mut nonces: Vec<u64> = (0..SENDERS)
            .map(|of| self.model.nonce(parent, u8::try_from(of).unwrap()))
            .collect();
        let mut transactions = Vec::new();
        let mut add = |from: u64, gas_limit, payload| {
            let nonce = &mut nonces[usize::try_from(from).unwrap()];
            transactions.push(sign(u8::try_from(from).unwrap(), *nonce, gas_limit, 1, payload));
            *nonce += 1;
        };
        if *parent == self.model.genesis {
            let code = COUNTER.to_vec();
            let input = Vec::new();
            add(
                0,
                DEPLOY_GAS,
                Payload::Deploy {
                    code,
                    value: 0,
                    input,
                },
            );
        }
        let random = &mut self.random;
        let count = if random.chance(25) {
            32 + random.below(24)
        } else {
            random.below(4)
        };
        for _ in 0..count {
            let from = random.below(SENDERS);
            let call = |input: Vec<u8>| Payload::Call {
                to: counter,
                value: 0,
                input,
            };
            let more = random.below(1000);
            // Increment; add, which reads and writes; tally, which reads nothing; and a call that traps.
            let payload = match random.below(if count > 3 { 8 } else { 16 }) {
                0 => call(vec![0x01]),
                1 => call([&[0x02][..], &more.to_le_bytes()].concat()),
                2 | 3 => call([&[0x03][..], &more.to_le_bytes()].concat()),
                4 => call(vec![0x09]),
                _ => {
                    let to = address(u8::try_from(random.below(ACCOUNTS.into())).unwrap());
                    let value = more.into();
                    add(from, TRANSFER_GAS, Payload::Transfer { to, value });
                    continue;
                }
            };
            add(from, CALL_GAS, payload);
        }
        transactions
    }

    fn hand_over(&mut self, hash: Hash) {
        self.counted.blocks += 1;
        self.live.insert(hash);
        let block = self.model.block(&hash).clone();
        match self.random.below(3) {
            0 => self.chain().import(&block),
            1 => self.chain().engine.announce(block),
            _ => {
                let tell = self.tell_verdict.clone();
                let reply = Reply::new(move |answer| drop(tell.send((hash, answer))));
                self.chain().engine.validate(block, reply);
            }
        }
    }

    fn propose_invalid(&mut self) {
        let parent = self.any_live();
        let mut block = empty_block(&spec(), &self.model.block(&parent).header);
        block.header.gas_limit += 1;
        let child = empty_block(&spec(), &block.header);
        for bad in [&block, &child] {
            self.chain().import(bad);
        }
        let of = [block.hash(), child.hash()];
        let hash = self.random.of(&of);
        // Unknown: the parent's own verdict waits, and the block with it.
        let (reply, answer) = Reply::channel();
        self.chain().engine.set_head(hash, reply);
        let answer = answer.recv_timeout(PATIENCE).unwrap();
        assert!(
            matches!(answer, SetHeadAnswer::Invalid { block: at, .. } if at == of[0]),
            "{answer:?}"
        );
    }

    fn choose_head(&mut self) {
        let to = self.any_live();
        if self.random.chance(30) {
            let other = self.any_live();
            let (reply, answer) = Reply::channel();
            self.chain().engine.set_head(other, reply);
            self.move_to(to);
            let answer = answer.recv_timeout(PATIENCE).unwrap();
            let is_fine = matches!(answer, SetHeadAnswer::Superseded)
                || matches!(answer, SetHeadAnswer::Moved { head } if head.hash == other);
            assert!(is_fine, "{answer:?}");
        } else {
            self.move_to(to);
        }
    }

    fn move_to(&mut self, to: Hash) {
        let meet = self.model.meet(&self.head, &to);
        let depth = self.height(&self.head) - self.height(&meet);
        self.counted.reorgs += u64::from(depth > 0);
        self.counted.deepest = self.counted.deepest.max(depth);
        self.chain().move_to(to);
        self.head = to;
        let heights = self.chain().engine.heights();
        assert_eq!(heights.head.hash, to);
    }

    /// To a new branch about as long as what it leaves behind, for which the head chain grows first if it has to.
    fn reorg(&mut self) {
        let depth = match self.random.below(10) {
            0 => 1 + self.random.below(DEEPEST),
            _ => 1 + self.random.below(6),
        };
        while self.height(&self.head) < self.height(&self.finalized) + depth {
            let head = self.head;
            let tip = self.propose_on(&head);
            self.move_to(tip);
        }
        let mut tip = self.model.ancestor(&self.head, self.height(&self.head) - depth);
        for _ in 0..=depth.saturating_sub(self.random.below(3)) {
            tip = self.propose_on(&tip);
        }
        self.move_to(tip);
    }

    fn finalize(&mut self) {
        let tip = if self.random.chance(75) {
            self.head
        } else {
            self.any_live()
        };
        let (from, to) = (self.height(&self.finalized), self.height(&tip));
        // A tree has to grow before a deep reorg can be.
        let is_full = self.live.len() >= MOST_LIVE;
        if to == from || (!is_full && to - from < self.random.below(DEEPEST + 8)) {
            return;
        }
        let up_to = from + 1 + self.random.below((to - from).min(5));
        let target = self.model.ancestor(&tip, up_to);
        let path = self.model.above(from, &target);
        if self.random.chance(50) {
            let reference = self.model.reference(&target);
            self.chain().finalize_known(reference);
        } else {
            self.submit(&path);
        }
        self.finalized = target;
        let model = &self.model;
        let leads_to = |tip: &Hash| model.height(tip) >= up_to && model.ancestor(tip, up_to) == target;
        if !leads_to(&self.head) {
            self.head = target;
        }
        self.live.retain(|hash| *hash != target && leads_to(hash));
    }

    fn submit(&mut self, path: &[Hash]) {
        for hash in path {
            let block = self.model.block(hash).clone();
            self.chain().finalize(&block);
        }
    }

    /// A proposal that the engine makes, of what its pool got back from lost blocks.
    fn build(&mut self) {
        let head = self.head;
        let chain = self.chain();
        let request = BuildRequest {
            parent: head,
            allow_empty: true,
            ..chain.request()
        };
        if let BuildAnswer::Built(block) = chain.build(request) {
            assert_eq!(chain.validate(&block), ValidateAnswer::Valid);
            let hash = self.model.execute(*block);
            self.hand_over(hash);
        }
    }

    /// Waits until nothing is left to do, and compares everything.
    fn check(&mut self) {
        self.counted.checks += 1;
        let (finalized, head) = (
            self.model.reference(&self.finalized),
            self.model.reference(&self.head),
        );
        let is_there = |chain: &Chain| {
            let heights = chain.engine.heights();
            heights.finalized == finalized && heights.head == head && heights.executed == head
        };
        let Self {
            chain, model, live, ..
        } = self;
        let chain = chain.as_mut().unwrap();
        while !is_there(chain) {
            chain.wait_for(|event| !matches!(event, Event::Work | Event::Credit { .. }));
        }
        let engine = &chain.engine;
        assert_eq!(
            engine.heights().settled,
            model.block(&finalized.hash).header.settled_height
        );
        for hash in model.above(0, &head.hash).iter().chain(&*live) {
            let known = model.get(hash);
            let is_canonical = model.ancestor(&head.hash, known.receipt.height) == *hash;
            let receipt = engine.receipt(hash).unwrap();
            assert!(
                receipt.is_some() || !is_canonical,
                "height {}",
                known.receipt.height
            );
            if let Some(receipt) = receipt {
                assert_eq!(receipt, known.receipt);
                let receipts = engine.transaction_receipts(hash).unwrap();
                assert_eq!(receipts.as_ref(), Some(&known.receipts));
            }
            assert_eq!(engine.is_canonical(&model.reference(hash)).unwrap(), is_canonical);
            if is_canonical {
                let at = engine.resolve(BlockId::Height(known.receipt.height)).unwrap();
                assert_eq!(at, Some(model.reference(hash)));
            }
        }
        let state = engine.state_at(BlockId::Tag(Tag::Executed)).unwrap();
        assert_eq!(state.root, model.get(&head.hash).receipt.post_state_root);
        for account in 0..ACCOUNTS {
            let path = millrace_types::state::account_path(&address(account));
            let bytes = state.view.get(&path).unwrap().unwrap();
            let found: millrace_types::state::Account =
                millrace_types::codec::decode(&bytes, bytes.len()).unwrap();
            assert_eq!(found.balance, model.balance(&head.hash, &address(account)));
            assert_eq!(found.nonce, model.nonce(&head.hash, account));
            assert!(engine.pending_nonce(&address(account)) >= found.nonce);
        }
        self.listen();
        assert!(self.story.head.is_none_or(|told| told == head.hash));
        assert!(self.story.executed.is_none_or(|told| told == head.height));
    }

    /// Follows what is told: it has to be a story without gaps, of the blocks that the heights name.
    fn listen(&mut self) {
        let chain = self.chain.as_mut().unwrap();
        while let Ok(event) = chain.events.try_recv() {
            chain.seen.push(event);
        }
        for event in std::mem::take(&mut chain.seen) {
            self.story.hear(&event, &self.model);
        }
        let heights = chain.engine.heights();
        assert!(heights.safe >= self.story.safe, "safe fell to {}", heights.safe);
        self.story.safe = heights.safe;
        while let Ok((hash, answer)) = self.verdicts.try_recv() {
            let is_lost = !self.live.contains(&hash);
            let is_fine = match answer {
                ValidateAnswer::Valid | ValidateAnswer::Pending(_) => true,
                ValidateAnswer::Stopped(_) | ValidateAnswer::Aborted | ValidateAnswer::Busy => true,
                ValidateAnswer::Conflicting => is_lost,
                _ => false,
            };
            assert!(is_fine, "{hash}: {answer:?}");
        }
    }

    /// Ends the engine, forgets some of what it wrote last, and starts another one on what is left. Consensus hands over
    /// again what is above the last block that it was told to be durable.
    fn restart(&mut self) {
        self.counted.restarts += 1;
        let chain = self.chain.take().unwrap();
        self.count(&chain);
        chain.engine.stop();
        drop(chain);
        if self.random.chance(15) {
            std::fs::remove_dir_all(&self.states).unwrap();
        }
        self.ledger = self.crashed();
        self.open();
        let at = self.chain().head;
        assert!(at.height <= self.height(&self.finalized));
        assert_eq!(self.model.ancestor(&self.finalized, at.height), at.hash);
        let path = self.model.above(at.height, &self.finalized.clone());
        self.submit(&path);
        let mut live: Vec<(Height, Hash)> = self.live.iter().map(|hash| (self.height(hash), *hash)).collect();
        live.sort_unstable();
        for (_, hash) in live {
            self.hand_over(hash);
        }
        let head = self.head;
        self.chain().move_to(head);
    }

    fn count(&mut self, chain: &Chain) {
        let counters = chain.engine.counters();
        self.counted.speculations += counters.speculations;
        self.counted.executions += counters.executions;
    }

    /// A ledger that lacks what was written last: some finality, some receipts, some blocks; never a receipt below one
    /// that is there, never a block below its receipt.
    fn crashed(&mut self) -> Ledger {
        let (old, new) = (self.ledger.clone(), Ledger::in_memory(&spec()).unwrap());
        let last = old.last_finalized().unwrap().unwrap();
        let finalized = last.height - self.random.below(4).min(last.height);
        let mut batch = Batch::new();
        let mut has_receipt = BTreeMap::new();
        let final_chain = std::iter::once(self.model.genesis).chain(self.model.above(0, &last.hash));
        let final_chain: Vec<Hash> = final_chain.collect();
        let mut above: Vec<(Height, Hash)> =
            self.live.iter().map(|hash| (self.height(hash), *hash)).collect();
        above.sort_unstable();
        let executed = last.height - self.random.below(6).min(last.height);
        for hash in final_chain.iter().chain(above.iter().map(|(_, hash)| hash)) {
            let height = self.height(hash);
            let Some(block) = old.block(hash).unwrap() else {
                continue;
            };
            let parent = block.header.parent_hash;
            if height <= finalized {
                batch.certificate(*hash, hash.0.to_vec()).finalized(height, *hash);
            } else if self.random.chance(20) {
                continue;
            }
            batch.block(block);
            let is_kept = if height <= last.height {
                height <= executed
            } else {
                self.random.chance(70)
            };
            let follows = height <= 1 || has_receipt.get(&parent) == Some(&true);
            let stored = old.receipt(hash).unwrap().filter(|_| is_kept && follows);
            has_receipt.insert(*hash, stored.is_some());
            if let Some(receipt) = stored {
                self.counted.kept_receipts += u64::from(height > finalized);
                batch.execution(receipt, old.transaction_receipts(hash).unwrap().unwrap());
            }
        }
        new.commit(&batch).unwrap();
        new
    }
}

impl Story {
    fn hear(&mut self, event: &Event, model: &Model) {
        match event {
            Event::HeadMoved(moved) => {
                let first = moved.removed.first().map(|block| block.hash);
                let before = first.or(moved.added.first().map(|block| model.parent(&block.hash)));
                let mut at = self.head.or(before).unwrap();
                for removed in &moved.removed {
                    assert_eq!(*removed, model.reference(&at), "removed from the tip down");
                    assert!(removed.height > self.finalized, "what is final is never removed");
                    at = model.parent(&at);
                }
                if let Some(executed) = self.executed {
                    let lost = moved.removed.iter().filter(|block| block.height <= executed);
                    assert_eq!(
                        moved.removed_executed.iter().collect::<Vec<_>>(),
                        lost.collect::<Vec<_>>()
                    );
                    if !moved.removed.is_empty() {
                        self.executed = Some(executed.min(model.height(&at)));
                    }
                }
                for added in &moved.added {
                    assert_eq!(model.parent(&added.hash), at, "added from there up");
                    at = added.hash;
                }
                assert_eq!(at, moved.head.hash);
                self.head = Some(at);
            }
            Event::Executed { receipt, .. } => {
                if let Some(executed) = self.executed {
                    assert_eq!(receipt.height, executed + 1, "none is left out, none told twice");
                }
                if let Some(head) = &self.head {
                    assert_eq!(model.ancestor(head, receipt.height), receipt.block_hash);
                }
                assert_eq!(*receipt, model.get(&receipt.block_hash).receipt);
                self.executed = Some(receipt.height);
            }
            Event::Finalized { block, .. } => {
                assert_eq!(block.height, self.finalized + 1);
                self.finalized = block.height;
            }
            Event::Stopped { reason } => panic!("{reason}"),
            Event::Lagged { missed } => panic!("{missed} events missed"),
            Event::Settled { .. } | Event::Credit { .. } | Event::Work => {}
        }
    }
}

fn episode(seed: u64) -> Counted {
    println!("seed {seed:#x}");
    let directory = tempfile::tempdir().unwrap();
    let mut run = Run::new(seed, directory.path().join("state"));
    for _ in 0..EPISODE {
        run.event();
    }
    run.check();
    let chain = run.chain.take().unwrap();
    run.count(&chain);
    run.counted
}

#[test]
fn random_trees_come_to_what_a_naive_node_computes() {
    #[expect(
        clippy::disallowed_methods,
        reason = "asks for the long run, or for one seed again"
    )]
    let (is_long, again) = (
        std::env::var("MILLRACE_LONG").is_ok(),
        std::env::var("MILLRACE_SEED").ok(),
    );
    let episodes = if is_long { 100_000 / EPISODE } else { 12 };
    let mut seeds = Random(0x9e37_79b9_7f4a_7c15);
    let mut seeds: Vec<u64> = (0..episodes).map(|_| seeds.below(u64::MAX)).collect();
    if let Some(seed) = &again {
        let digits = seed.trim_start_matches("0x");
        seeds = vec![u64::from_str_radix(digits, 16).unwrap()];
    }
    let (mut deepest, mut large) = (0, 0);
    for seed in seeds {
        let counted = episode(seed);
        println!("{counted:?}");
        deepest = deepest.max(counted.deepest);
        large += counted.large;
    }
    assert!(large > 0, "no block was for several workers");
    assert!(
        again.is_some() || deepest >= 15,
        "reorgs were {deepest} deep at most"
    );
}

#[test]
fn what_is_accepted_is_said_at_once() {
    let chain = Chain::in_memory(spec(), EngineConfig::default());
    chain.engine.stop();
    assert_eq!(chain.engine.finalize(Hash::ZERO, Vec::new()), Submission::Stopped);
    let genesis = chain
        .engine
        .header(&chain.engine.genesis().hash)
        .unwrap()
        .unwrap();
    assert_eq!(
        chain.engine.import_block(empty_block(&spec(), &genesis)),
        Submission::Stopped
    );
}
