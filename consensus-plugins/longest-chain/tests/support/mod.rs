//! An engine with fork choice as the plugin sees it, which holds the plugin to what it promises; and the harness' drive.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "test support: each test uses a part of it"
)]

use std::collections::{BTreeMap, BTreeSet};

use millrace_plugin_longest_chain::LongestChain;
use millrace_plugin_sdk::harness::Harness;
use millrace_plugin_sdk::types::certificate::LONGEST_CHAIN_CONSENSUS_ID;
use millrace_plugin_sdk::types::{Hash, SecretKey, SoloCertificate, codec};
use millrace_plugin_sdk::{
    Action, BlockBytes, BlockMark, BuildRequest, ChainState, Declined, Event, HeadDeclined, Submitted, Token,
};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

pub const CHAIN_ID: u64 = 7;
pub const SLOT_MS: u64 = 4;
/// A slot that the clocks of these tests begin with.
pub const FIRST_SLOT: u64 = 1_000;

pub fn key() -> SecretKey {
    SecretKey::from_seed([3; 32])
}

pub fn hash(name: u64) -> Hash {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&name.to_le_bytes());
    Hash(bytes)
}

/// How the engine behaves.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    pub seed: u64,
    /// Now and then it is full, says "not now", aborts, supersedes, finds a block invalid.
    pub is_moody: bool,
    /// Announced proposals are executed, so that side branches settle.
    pub executes_announced: bool,
    /// Milliseconds that a block of the head chain takes.
    pub execution_ms: u64,
    pub max_receipt_lag: u64,
    pub finality_depth: u64,
    /// Certificates are verified: slow, so not in every run.
    pub verifies: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            seed: 0,
            is_moody: false,
            executes_announced: true,
            execution_ms: 0,
            max_receipt_lag: 4,
            finality_depth: 6,
            verifies: true,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Known {
    pub parent: Hash,
    pub height: u64,
    /// It carries a transaction.
    pub is_full: bool,
    pub is_imported: bool,
    pub is_executed: bool,
    pub consensus_data: Vec<u8>,
    pub timestamp_ms: u64,
}

pub struct ToyEngine {
    pub manners: Manners,
    random: ChaCha8Rng,
    pub blocks: BTreeMap<Hash, Known>,
    pub invalid: BTreeSet<Hash>,
    pub head: BlockMark,
    pub finalized: BlockMark,
    /// Transactions that wait: each build on a chain without them takes them.
    pub has_work: bool,
    busy_until_ms: u64,
    owes_credit: bool,
    owes_work: bool,
    /// Events on their way, in order.
    coming: BTreeMap<(u64, u64), Event>,
    last_arrival_ms: u64,
    sent: u64,
    /// How many blocks each move of the head lost, where it lost any.
    pub reorganisations: Vec<u64>,
    pub head_moves: u64,
    pub turned_away: u64,
    pub declined: u64,
    pub superseded: u64,
    pub found_invalid: u64,
    /// What was answered "again" and has to come again.
    refused_import: Option<Hash>,
}

impl ToyEngine {
    pub fn new(manners: Manners) -> Self {
        let genesis = BlockMark {
            hash: hash(0),
            height: 0,
        };
        let known = Known {
            parent: Hash([0xff; 32]),
            height: 0,
            is_full: false,
            is_imported: true,
            is_executed: true,
            consensus_data: Vec::new(),
            timestamp_ms: 0,
        };
        Self {
            random: ChaCha8Rng::seed_from_u64(manners.seed),
            manners,
            blocks: BTreeMap::from([(genesis.hash, known)]),
            invalid: BTreeSet::new(),
            head: genesis,
            finalized: genesis,
            has_work: true,
            busy_until_ms: 0,
            owes_credit: false,
            owes_work: false,
            coming: BTreeMap::new(),
            last_arrival_ms: 0,
            sent: 0,
            reorganisations: Vec::new(),
            head_moves: 0,
            turned_away: 0,
            declined: 0,
            superseded: 0,
            found_invalid: 0,
            refused_import: None,
        }
    }

    /// One in `n`, if the engine is moody.
    fn mood(&mut self, n: u32) -> bool {
        self.manners.is_moody && self.random.random_ratio(1, n)
    }

    fn send(&mut self, now_ms: u64, event: Event) {
        self.sent += 1;
        let delay_ms = if self.manners.is_moody {
            self.random.random_range(0..3)
        } else {
            0
        };
        self.last_arrival_ms = self.last_arrival_ms.max(now_ms + delay_ms);
        self.coming.insert((self.last_arrival_ms, self.sent), event);
    }

    /// From `hash` down to the genesis block.
    pub fn chain(&self, hash: Hash) -> impl Iterator<Item = Hash> {
        let parent =
            |at: &Hash| Some(self.blocks[at].parent).filter(|parent| self.blocks.contains_key(parent));
        std::iter::successors(Some(hash), move |at| parent(at))
    }

    /// As [`Self::chain`], as far as it is not final.
    fn unfinal(&self, hash: Hash) -> impl Iterator<Item = Hash> {
        self.chain(hash)
            .take_while(|at| self.blocks[at].height > self.finalized.height)
    }

    fn is_on(&self, block: Hash, tip: Hash) -> bool {
        let height = self.blocks[&block].height;
        let mut above = self.chain(tip).skip_while(|at| self.blocks[at].height > height);
        above.next() == Some(block)
    }

    /// A millisecond passes.
    pub fn tick(&mut self, now_ms: u64) -> Vec<Event> {
        self.execute(now_ms);
        let relief = self.random.random_ratio(1, 3);
        if relief && std::mem::take(&mut self.owes_credit) {
            self.send(now_ms, Event::Credit { blocks: 1, gas: 1 });
        }
        if relief && std::mem::take(&mut self.owes_work) {
            self.send(now_ms, Event::Work);
        }
        let later = self.coming.split_off(&(now_ms + 1, 0));
        std::mem::replace(&mut self.coming, later).into_values().collect()
    }

    fn execute(&mut self, now_ms: u64) {
        while now_ms >= self.busy_until_ms {
            let waiting = self
                .chain(self.head.hash)
                .take_while(|at| !self.blocks[at].is_executed);
            let next = waiting.last();
            let Some(next) = next else { return };
            self.blocks.get_mut(&next).unwrap().is_executed = true;
            self.busy_until_ms = now_ms + self.manners.execution_ms;
        }
    }

    pub fn build(&mut self, now_ms: u64, token: Token, request: &BuildRequest) {
        let result = self.try_build(request);
        if matches!(result, Err(Declined::NotNow(_))) {
            self.owes_work = true;
            self.declined += 1;
        }
        self.send(now_ms, Event::BlockBuilt { token, result });
    }

    fn try_build(&mut self, request: &BuildRequest) -> Result<BlockBytes, Declined> {
        let parent = self.blocks[&request.parent_hash].clone();
        assert!(parent.is_imported, "it builds on what it handed over");
        let height = parent.height + 1;
        if self.mood(40) {
            return Err(Declined::Aborted(String::new()));
        }
        let executed = self
            .chain(request.parent_hash)
            .find(|at| self.blocks[at].is_executed);
        let lag = height - executed.map_or(0, |at| self.blocks[&at].height);
        if lag > self.manners.max_receipt_lag || self.mood(20) {
            return Err(Declined::NotNow("the lag limit".into()));
        }
        let is_full = self.has_work;
        let settles_what_is_waited_for = self
            .chain(request.parent_hash)
            .take(3)
            .any(|at| self.blocks[&at].is_full);
        if !is_full && !settles_what_is_waited_for && !request.allow_empty {
            return Err(Declined::NotNow("idle".into()));
        }
        let name = hash(self.blocks.len() as u64);
        let known = Known {
            parent: request.parent_hash,
            height,
            is_full,
            is_imported: false,
            is_executed: false,
            consensus_data: request.consensus_data.clone(),
            timestamp_ms: request.timestamp_ms.unwrap(),
        };
        assert!(
            known.timestamp_ms >= parent.timestamp_ms,
            "slots do not go back on a chain"
        );
        self.blocks.insert(name, known);
        Ok(BlockBytes {
            bytes: name.0.to_vec().into(),
            hash: name,
            parent_hash: request.parent_hash,
            height,
        })
    }

    pub fn import(&mut self, block: &[u8]) -> Submitted {
        if let Some(refused) = self.refused_import.take() {
            // Unless finality passed it by meanwhile.
            if self.is_on(self.finalized.hash, refused) {
                assert_eq!(
                    refused.0, block,
                    "what found no room comes again, and nothing else"
                );
            }
        }
        if self.mood(10) {
            (self.owes_credit, self.turned_away) = (true, self.turned_away + 1);
            self.refused_import = Some(Hash(block.try_into().unwrap()));
            return Submitted::Again;
        }
        let name = Hash(block.try_into().unwrap());
        let is_alive = self.is_on(self.finalized.hash, name);
        if !is_alive {
            return Submitted::UnknownParent;
        }
        self.blocks.get_mut(&name).unwrap().is_imported = true;
        Submitted::Accepted
    }

    pub fn announce(&mut self, block: &[u8]) {
        let name = Hash(block.try_into().unwrap());
        if self.manners.executes_announced {
            self.blocks.get_mut(&name).unwrap().is_executed = true;
        }
    }

    pub fn set_head(&mut self, now_ms: u64, token: Token, target: Hash) {
        let known = self.blocks[&target].clone();
        assert!(known.is_imported, "it was handed over");
        assert!(
            self.is_on(self.finalized.hash, target),
            "it does not conflict with finality"
        );
        assert!(
            known.height > self.head.height,
            "the head is always the longest chain"
        );
        let is_side_branch = !self.is_on(self.head.hash, target);
        if is_side_branch && self.mood(8) {
            self.invalid.insert(target);
        }
        let offender = self.unfinal(target).find(|at| self.invalid.contains(at));
        let result = if let Some(block) = offender {
            self.found_invalid += 1;
            let reason = "as it happens".to_owned();
            Err(HeadDeclined::Invalid { block, reason })
        } else if self.mood(15) {
            self.superseded += 1;
            Err(HeadDeclined::Declined(Declined::Aborted("superseded".into())))
        } else {
            let head = BlockMark {
                hash: target,
                height: known.height,
            };
            self.move_head(head);
            Ok(head)
        };
        let token = Some(token);
        self.send(now_ms, Event::HeadMoved { token, result });
    }

    fn move_head(&mut self, head: BlockMark) {
        let old: Vec<Hash> = self.unfinal(self.head.hash).collect();
        let new: BTreeSet<Hash> = self.unfinal(head.hash).collect();
        let lost = old.iter().filter(|at| !new.contains(at)).count() as u64;
        if lost > 0 {
            self.reorganisations.push(lost);
        }
        self.head_moves += 1;
        self.head = head;
    }

    pub fn finalize(&mut self, block: Hash, certificate: &[u8]) -> Submitted {
        let known = &self.blocks[&block];
        assert_eq!(known.parent, self.finalized.hash, "finality goes up by one block");
        assert!(
            self.is_on(block, self.head.hash),
            "only the head's chain becomes final"
        );
        assert!(
            self.head.height - known.height >= self.manners.finality_depth,
            "only what is deep becomes final"
        );
        let height = known.height;
        if self.manners.verifies {
            let certificate: SoloCertificate = codec::decode(certificate, SoloCertificate::BYTES).unwrap();
            certificate
                .verify_under(LONGEST_CHAIN_CONSENSUS_ID, CHAIN_ID, block, &key().public_key())
                .unwrap();
            assert_eq!(certificate.view, height);
        }
        if self.mood(6) {
            (self.owes_credit, self.turned_away) = (true, self.turned_away + 1);
            return Submitted::Again;
        }
        self.finalized = BlockMark { hash: block, height };
        Submitted::Accepted
    }
}

pub fn chain_state(engine: &ToyEngine, config: &str, now_ms: u64) -> ChainState {
    let config = format!(
        r#"{{"secret_key": "0x{}", "slot_ms": {SLOT_MS}, "finality_depth": {}{config}}}"#,
        "03".repeat(32),
        engine.manners.finality_depth
    );
    ChainState {
        chain_id: CHAIN_ID,
        consensus_id: LONGEST_CHAIN_CONSENSUS_ID.into(),
        parameters: key().public_key().0.to_vec(),
        config: config.into_bytes(),
        chain_spec_hash: Hash::ZERO,
        genesis_hash: hash(0),
        genesis_block: Vec::new(),
        finalized_hash: engine.finalized.hash,
        finalized_height: engine.finalized.height,
        finalized_block: Vec::new(),
        finalized_certificate: Vec::new(),
        max_receipt_lag: engine.manners.max_receipt_lag,
        block_gas: 1,
        block_bytes: 1,
        max_unfinalized_blocks: Some(256),
        now_ms,
    }
}

pub struct Simulation {
    pub engine: ToyEngine,
    pub plugin: Harness<LongestChain>,
    config: String,
    now_ms: u64,
    pub trace: Vec<String>,
    pub traces: bool,
}

impl Simulation {
    /// `config` is JSON after the keys that the support sets, with a comma in front.
    pub fn new(manners: Manners, config: &str) -> Self {
        let engine = ToyEngine::new(manners);
        let now_ms = FIRST_SLOT * SLOT_MS;
        let plugin = Harness::start(&chain_state(&engine, config, now_ms), None).unwrap();
        Self {
            engine,
            plugin,
            config: config.to_owned(),
            now_ms,
            trace: Vec::new(),
            traces: false,
        }
    }

    pub fn run_slots(&mut self, slots: u64) {
        let until_ms = self.now_ms + slots * SLOT_MS;
        while self.now_ms < until_ms {
            self.plugin.advance_to(self.now_ms);
            self.perform();
            for event in self.engine.tick(self.now_ms) {
                self.plugin.deliver(event);
                self.perform();
            }
            self.now_ms += 1;
        }
    }

    fn perform(&mut self) {
        loop {
            let actions = self.plugin.take_actions();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                if self.traces {
                    self.trace.push(format!("{} {action:?}", self.now_ms));
                }
                self.perform_one(action);
            }
        }
    }

    fn perform_one(&mut self, action: Action) {
        match action {
            Action::RequestBlock(token, request) => self.engine.build(self.now_ms, token, &request),
            Action::ImportBlock(token, block) => {
                let outcome = self.engine.import(&block);
                self.plugin.deliver(Event::Submitted { token, outcome });
            }
            Action::AnnounceProposal(block) => self.engine.announce(&block),
            Action::SetHead(token, head) => self.engine.set_head(self.now_ms, token, head),
            Action::Finalize(token, block, certificate) => {
                let outcome = self.engine.finalize(block, &certificate);
                self.plugin.deliver(Event::Submitted { token, outcome });
            }
            Action::Fatal(reason) => panic!("it gave up: {reason}"),
            _ => {}
        }
    }

    /// The process dies and starts again: what is not final is gone, and of what is final the newest may be.
    pub fn restart(&mut self) {
        let engine = &mut self.engine;
        let lost = engine.random.random_range(0..3);
        let durable = engine.chain(engine.finalized.hash).nth(lost).unwrap_or(hash(0));
        let height = engine.blocks[&durable].height;
        let mark = BlockMark {
            hash: durable,
            height,
        };
        (engine.finalized, engine.head) = (mark, mark);
        engine.coming.clear();
        (engine.owes_credit, engine.owes_work, engine.refused_import) = (false, false, None);
        self.now_ms += 100 * SLOT_MS;
        let chain = chain_state(engine, &self.config, self.now_ms);
        self.plugin = Harness::start(&chain, None).unwrap();
    }
}
