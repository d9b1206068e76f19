//! The sequencer against an engine that is full, idle, slow, lagging and restarted, by seed.
//!
//! `MILLRACE_SOLO_SEEDS=2000` runs more seeds than the default.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "the number of seeds is an environment variable"
)]

use std::collections::BTreeMap;

use millrace_plugin_sdk::harness::Harness;
use millrace_plugin_sdk::types::{Hash, SecretKey, SoloCertificate, codec};
use millrace_plugin_sdk::{
    Action, BlockBytes, BuildRequest, ChainState, Declined, Event, PressureValues, Submitted, Token,
};
use millrace_plugin_solo::Solo;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

const CHAIN_ID: u64 = 7;
const INTERVAL_MS: u64 = 10;

/// A queue of finalized blocks that are executed one after the other, as the plugin sees it.
struct ToyEngine {
    random: ChaCha8Rng,
    capacity: u64,
    execution_ms: u64,
    max_lag: u64,
    accepted: Vec<Hash>,
    executed: u64,
    busy_until_ms: u64,
    owes_credit: bool,
    owes_work: bool,
    idle: bool,
    /// Events on their way, by arrival.
    coming: BTreeMap<(u64, u64), Event>,
    sent: u64,
    turned_away: u64,
    declined: u64,
    built_ahead: u64,
    last_refused: Option<Vec<u8>>,
}

impl ToyEngine {
    fn new(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        Self {
            capacity: random.random_range(1..5),
            execution_ms: random.random_range(1..40),
            max_lag: random.random_range(1..6),
            random,
            accepted: vec![hash(0, 0)],
            executed: 0,
            busy_until_ms: 0,
            owes_credit: false,
            owes_work: false,
            idle: false,
            coming: BTreeMap::new(),
            sent: 0,
            turned_away: 0,
            declined: 0,
            built_ahead: 0,
            last_refused: None,
        }
    }

    fn head(&self) -> u64 {
        self.accepted.len() as u64 - 1
    }

    fn send(&mut self, now_ms: u64, event: Event) {
        self.sent += 1;
        let arrival_ms = now_ms + self.random.random_range(0..3);
        self.coming.insert((arrival_ms, self.sent), event);
    }

    /// A millisecond passes.
    fn tick(&mut self, now_ms: u64) -> Vec<Event> {
        if self.executed < self.head() && now_ms >= self.busy_until_ms {
            self.executed += 1;
            self.busy_until_ms = now_ms + self.execution_ms;
            if std::mem::take(&mut self.owes_credit) {
                self.send(now_ms, Event::Credit { blocks: 1, gas: 1 });
            }
            if std::mem::take(&mut self.owes_work) {
                self.send(now_ms, Event::Work);
            }
        }
        if self.random.random_ratio(1, 50) {
            self.idle = !self.idle;
            if !self.idle && std::mem::take(&mut self.owes_work) {
                self.send(now_ms, Event::Work);
            }
        }
        let later = self.coming.split_off(&(now_ms + 1, 0));
        std::mem::replace(&mut self.coming, later).into_values().collect()
    }

    fn build(&mut self, now_ms: u64, token: Token, request: &BuildRequest) {
        assert_eq!(
            request.parent_hash,
            self.accepted[self.head() as usize],
            "it builds on its head"
        );
        let height = self.head() + 1;
        let result = if self.idle || height > self.executed + self.max_lag {
            self.owes_work = true;
            self.declined += 1;
            Err(Declined::NotNow("not now".into()))
        } else if self.random.random_ratio(1, 40) {
            Err(Declined::Aborted(String::new()))
        } else {
            self.built_ahead += u64::from(self.executed + 1 < height);
            let salt = self.random.random();
            Ok(BlockBytes {
                bytes: height.to_le_bytes().repeat(4).into(),
                hash: hash(height, salt),
                parent_hash: request.parent_hash,
                height,
            })
        };
        self.send(now_ms, Event::BlockBuilt { token, result });
    }

    fn submit(&mut self, block: &BlockBytes, certificate: &[u8]) -> Submitted {
        let certificate: SoloCertificate = codec::decode(certificate, SoloCertificate::BYTES).unwrap();
        certificate
            .verify(CHAIN_ID, block.hash, &key().public_key())
            .unwrap();
        assert_eq!(
            (certificate.view, block.height),
            (self.head() + 1, self.head() + 1),
            "no height is skipped or repeated"
        );
        if let Some(refused) = self.last_refused.take() {
            assert_eq!(
                refused,
                block.bytes.to_vec(),
                "what found no room comes again, and nothing else"
            );
        }
        if self.head() - self.executed >= self.capacity {
            self.owes_credit = true;
            self.turned_away += 1;
            self.last_refused = Some(block.bytes.to_vec());
            return Submitted::Again;
        }
        self.accepted.push(block.hash);
        Submitted::Accepted
    }
}

fn hash(height: u64, salt: u64) -> Hash {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&height.to_le_bytes());
    bytes[8..16].copy_from_slice(&salt.to_le_bytes());
    Hash(bytes)
}

fn key() -> SecretKey {
    SecretKey::from_seed([3; 32])
}

fn chain(engine: &ToyEngine, now_ms: u64) -> ChainState {
    let config = format!(
        r#"{{"secret_key": "0x{}", "block_interval_ms": {INTERVAL_MS}}}"#,
        "03".repeat(32)
    );
    ChainState {
        chain_id: CHAIN_ID,
        consensus_id: "solo/1".into(),
        parameters: key().public_key().0.to_vec(),
        config: config.into_bytes(),
        chain_spec_hash: Hash::ZERO,
        genesis_hash: hash(0, 0),
        genesis_block: Vec::new(),
        finalized_hash: engine.accepted[engine.head() as usize],
        finalized_height: engine.head(),
        finalized_block: Vec::new(),
        finalized_certificate: Vec::new(),
        max_receipt_lag: engine.max_lag,
        block_gas: 1,
        block_bytes: 1,
        max_unfinalized_blocks: None,
        now_ms,
    }
}

struct Simulation {
    engine: ToyEngine,
    plugin: Harness<Solo>,
    built: BTreeMap<Vec<u8>, BlockBytes>,
    /// When blocks were asked for that were then built.
    proposals_ms: Vec<u64>,
    asked_ms: BTreeMap<Token, u64>,
    trace: Vec<String>,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let engine = ToyEngine::new(seed);
        let plugin = Harness::start(&chain(&engine, 0), None).unwrap();
        let (built, proposals_ms) = (BTreeMap::new(), Vec::new());
        Self {
            engine,
            plugin,
            built,
            proposals_ms,
            asked_ms: BTreeMap::new(),
            trace: Vec::new(),
        }
    }

    fn run(&mut self, from_ms: u64, until_ms: u64) {
        for now_ms in from_ms..until_ms {
            self.plugin.advance_to(now_ms);
            for event in self.engine.tick(now_ms) {
                if let Event::BlockBuilt {
                    token,
                    result: Ok(block),
                } = &event
                {
                    self.built.insert(block.bytes.to_vec(), block.clone());
                    self.proposals_ms.extend(self.asked_ms.remove(token));
                }
                self.plugin.deliver(event);
            }
            self.perform(now_ms);
            while self.plugin.next_timer_ms().is_some_and(|due_ms| due_ms <= now_ms) {
                self.plugin.advance_to(now_ms);
                self.perform(now_ms);
            }
        }
    }

    fn perform(&mut self, now_ms: u64) {
        loop {
            let actions = self.plugin.take_actions();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                self.trace.push(format!("{now_ms} {action:?}"));
                match action {
                    Action::RequestBlock(token, request) => {
                        self.asked_ms.insert(token, now_ms);
                        self.engine.build(now_ms, token, &request);
                    }
                    Action::SubmitFinalized(token, block, certificate) => {
                        let block = self.built[&block.to_vec()].clone();
                        let outcome = self.engine.submit(&block, &certificate);
                        self.plugin.deliver(Event::Submitted { token, outcome });
                    }
                    Action::Fatal(reason) => panic!("it gave up: {reason}"),
                    _ => {}
                }
            }
        }
    }

    /// The process dies and starts again: what was taken over but not executed may be lost with the engine's queue.
    fn restart(&mut self, now_ms: u64) {
        let durable = self
            .engine
            .random
            .random_range(self.engine.executed..=self.engine.head());
        self.engine.accepted.truncate(durable as usize + 1);
        self.engine.coming.clear();
        (
            self.engine.owes_credit,
            self.engine.owes_work,
            self.engine.last_refused,
        ) = (false, false, None);
        self.asked_ms.clear();
        self.plugin = Harness::start(&chain(&self.engine, now_ms), None).unwrap();
    }
}

fn seeds() -> u64 {
    std::env::var("MILLRACE_SOLO_SEEDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(100)
}

#[test]
fn it_goes_on_through_full_queues_idle_times_and_restarts() {
    let (mut turned_away, mut declined, mut built_ahead) = (0, 0, 0);
    for seed in 0..seeds() {
        let mut simulation = Simulation::new(seed);
        for life in 0..3 {
            simulation.run(life * 1_000, life * 1_000 + 900);
            simulation.restart(life * 1_000 + 1_000);
        }
        // Halves, since a queue that is full for the first time has taken blocks before.
        for from_ms in [3_000, 3_500] {
            let before = simulation.engine.head();
            simulation.engine.idle = false;
            simulation.run(from_ms, from_ms + 500);
            assert!(simulation.engine.head() > before, "seed {seed}: it stands still");
        }
        for pair in simulation.proposals_ms.windows(2) {
            assert!(
                pair[1] - pair[0] >= INTERVAL_MS,
                "seed {seed}: proposals at {pair:?}"
            );
        }
        turned_away += simulation.engine.turned_away;
        declined += simulation.engine.declined;
        built_ahead += simulation.engine.built_ahead;
    }
    println!(
        "{} seeds: {turned_away} times full, {declined} declined, {built_ahead} built ahead of execution",
        seeds()
    );
    assert!(turned_away > 0 && declined > 0, "the engine was never in the way");
    assert!(
        built_ahead > 0,
        "consensus on N+1 never overlapped the execution of N"
    );
}

#[test]
fn the_same_seed_gives_the_same_actions() {
    let trace = |seed| {
        let mut simulation = Simulation::new(seed);
        simulation.run(0, 2_000);
        simulation.trace
    };
    assert_eq!(trace(5), trace(5));
    assert_ne!(trace(5), trace(6));
}

#[test]
fn the_engines_interval_and_limits_are_respected() {
    let engine = ToyEngine::new(1);
    let pressure = PressureValues {
        min_interval_ms: 500,
        max_gas: 11,
        max_bytes: 22,
        ..PressureValues::default()
    };
    let mut plugin = Harness::<Solo>::start(&chain(&engine, 0), Some(pressure)).unwrap();
    plugin.advance_to(499);
    assert!(
        !plugin
            .take_actions()
            .iter()
            .any(|action| matches!(action, Action::RequestBlock(..)))
    );
    plugin.advance_to(500);
    let actions = plugin.take_actions();
    let [Action::RequestBlock(_, request)] = actions.as_slice() else {
        panic!("{actions:?}")
    };
    assert_eq!(
        (request.max_gas, request.max_bytes, request.allow_empty),
        (Some(11), Some(22), false)
    );
}

#[test]
fn work_wakes_it_at_once_and_never_twice() {
    let engine = ToyEngine::new(1);
    let mut plugin = Harness::<Solo>::start(&chain(&engine, 0), None).unwrap();
    plugin.advance_to(INTERVAL_MS);
    let build = |plugin: &mut Harness<Solo>| {
        let token = |action| match action {
            Action::RequestBlock(token, _) => Some(token),
            _ => None,
        };
        plugin.take_actions().into_iter().find_map(token)
    };
    let token = build(&mut plugin).unwrap();
    plugin.deliver(Event::Work);
    assert_eq!(build(&mut plugin), None, "a build is under way");
    plugin.deliver(Event::BlockBuilt {
        token,
        result: Err(Declined::NotNow("idle".into())),
    });
    assert_eq!(build(&mut plugin), None, "no build without word or time");
    plugin.deliver(Event::Work);
    assert!(build(&mut plugin).is_some());
}

#[test]
fn an_engine_that_has_stopped_leaves_it_silent_and_well() {
    let engine = ToyEngine::new(1);
    let mut plugin = Harness::<Solo>::start(&chain(&engine, 0), None).unwrap();
    plugin.advance_to(INTERVAL_MS);
    let token = plugin.take_actions().into_iter().find_map(|action| match action {
        Action::RequestBlock(token, _) => Some(token),
        _ => None,
    });
    plugin.deliver(Event::BlockBuilt {
        token: token.unwrap(),
        result: Err(Declined::Stopped),
    });
    plugin.deliver(Event::Work);
    plugin.deliver(Event::Credit { blocks: 1, gas: 1 });
    plugin.advance_to(10_000);
    assert!(plugin.take_actions().is_empty());
}

#[test]
fn it_gives_up_by_name_when_the_engine_contradicts_it() {
    let reason_after = |result: Result<BlockBytes, Declined>| {
        let engine = ToyEngine::new(1);
        let mut plugin = Harness::<Solo>::start(&chain(&engine, 0), None).unwrap();
        plugin.advance_to(INTERVAL_MS);
        let token = plugin.take_actions().into_iter().find_map(|action| match action {
            Action::RequestBlock(token, _) => Some(token),
            _ => None,
        });
        plugin.deliver(Event::BlockBuilt {
            token: token.unwrap(),
            result,
        });
        let fatal = plugin.take_actions().into_iter().find_map(|action| match action {
            Action::Fatal(reason) => Some(reason),
            _ => None,
        });
        plugin.advance_to(10_000);
        assert!(plugin.take_actions().is_empty(), "it is silent afterwards");
        fatal.unwrap()
    };
    let (zero, nine) = (hash(0, 0), hash(9, 0));
    let block = BlockBytes {
        bytes: vec![1].into(),
        hash: nine,
        parent_hash: zero,
        height: 9,
    };
    assert_eq!(
        reason_after(Ok(block)),
        format!("asked for a block on {zero}, was given {nine} at height 9")
    );
    assert_eq!(
        reason_after(Err(Declined::UnknownParent)),
        format!("the engine builds nothing on its own head {zero}: the parent is not known here")
    );
    assert_eq!(
        reason_after(Err(Declined::Invalid("no".into()))),
        format!("the engine builds nothing on its own head {zero}: invalid: no")
    );
}
