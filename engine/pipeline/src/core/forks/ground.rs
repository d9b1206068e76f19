//! What is around the core: consensus, the ring, the journal, the keeper, and a store of names.
//!
//! ```text
//!   consensus ─▶ core ─ Execute ─▶ ring: begin, execute, root, persist ─▶ journal ─ Left ─▶ inbox ─▶ core
//!                  ├─── bodies, certificates ────────────────────────────▶    │ └ BodyDurable ▶
//!                  └─── Discard ─▶ store ◀─ final ─ keeper ◀─────────────────┘ (final tasks)
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use millrace_mempool::BlockRoom;
use millrace_types::state::Account;
use millrace_types::{Address, Block, ChainSpec, ExecutionReceipt, Hash, Height, SignedTransaction};

use super::{Random, Tally};
use crate::admission::{Branch, KnownSignatures, StateFault};
use crate::api::{BuildAnswer, BuildRequest};
use crate::core::relief::receipt;
use crate::core::{Core, Effect, Executed, Left, Start, World};
use crate::reply::Reply;
use crate::task::{BlockTask, Outcome, Purpose};
use crate::tree::{Node, State, States};
use crate::{EngineConfig, recovery, testing};

/// The stage that a task is in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Stage {
    Execute,
    /// Execution has looked whether the task is abandoned, and holds its parent's state.
    Executing,
    Root,
    Persist,
}

struct Task {
    task: BlockTask,
    number: u64,
    stage: Stage,
    is_abandoned: bool,
}

impl Task {
    fn is_unwanted(&self) -> bool {
        self.is_abandoned || self.task.purpose == Purpose::Speculation
    }
}

/// What the journal writes, in order.
enum Entry {
    Bodies(Vec<Hash>),
    Leaves {
        task: Task,
        receipt: Option<ExecutionReceipt>,
    },
}

/// What comes back to the core, in order.
enum Input {
    BodyDurable(Hash),
    Left(Left),
}

/// Which states there are: each with its parent and height.
#[derive(Default)]
struct Names {
    states: BTreeMap<Hash, (Hash, Height)>,
    finalized: (Hash, Height),
    /// The ledger's: heights of stored blocks, and the finalized chain.
    stored: BTreeMap<Hash, Height>,
    chain: BTreeMap<Height, Hash>,
}

pub(super) struct Ground {
    core: Core,
    names: Names,
    ring: VecDeque<Task>,
    published: u64,
    journal: VecDeque<Entry>,
    keeper: VecDeque<Hash>,
    inbox: VecDeque<Input>,
    /// Every block that was ever built.
    blocks: Vec<Arc<Block>>,
    now_ms: u64,
    asks_of_ten: usize,
    /// Who of ring, journal and keeper does nothing for a while.
    lazy: [bool; 3],
    late_receipts: u64,
    discarded: u64,
}

impl Ground {
    pub(super) fn new(random: &mut Random) -> Self {
        let spec = ChainSpec {
            max_receipt_lag: 2 + random.below(6) as u64,
            receipt_age: 1,
            ..testing::spec()
        };
        let (genesis, _) = recovery::genesis(&spec).expect("a genesis state");
        let receipt = ExecutionReceipt::of_genesis(&genesis.header).expect("genesis has one");
        let hash = genesis.hash();
        let now_ms = genesis.header.timestamp_ms + 1_000_000;
        let root = Node::of_finalized(hash, Arc::new(genesis), Default::default(), Some(receipt), 0);
        let config = EngineConfig {
            max_unfinalized_blocks: 4 + random.below(16),
            max_speculative_blocks: 1 + random.below(3),
            ..EngineConfig::default()
        };
        let names = Names {
            states: BTreeMap::from([(hash, (Hash::ZERO, 0))]),
            finalized: (hash, 0),
            stored: BTreeMap::from([(hash, 0)]),
            chain: BTreeMap::from([(0, hash)]),
        };
        Self {
            core: Core::new(Arc::new(spec), config, 8, Start { chain: vec![root] }),
            names,
            ring: VecDeque::new(),
            published: 0,
            journal: VecDeque::new(),
            keeper: VecDeque::new(),
            inbox: VecDeque::new(),
            blocks: Vec::new(),
            now_ms,
            asks_of_ten: 5,
            lazy: [false; 3],
            late_receipts: 0,
            discarded: 0,
        }
    }

    /// One thing happens: consensus asks for something, or something goes on.
    pub(super) fn step(&mut self, random: &mut Random) {
        // Now and then nothing goes on for a while, or nothing is asked.
        if random.below(20) == 0 {
            self.asks_of_ten = [1, 3, 5, 9][random.below(4)];
            self.lazy = std::array::from_fn(|_| random.below(2) == 0);
        }
        if random.below(10) < self.asks_of_ten {
            self.ask(random);
        } else {
            self.go_on(random);
        }
    }

    /// All that is under way comes to its end: what is on the head chain is executed, and no state is left that nobody names.
    pub(super) fn drain(&mut self, random: &mut Random) {
        self.lazy = [false; 3];
        while self.go_on(random) {}
        assert!(self.core.is_drained());
        let head = self.core.tree.get(&self.core.head).expect("the head is kept");
        assert!(head.receipt.is_some(), "the head is not executed");
        for (state, (_, height)) in &self.names.states {
            let node = self.core.tree.get(state);
            let is_named = *height <= self.names.finalized.1 || node.is_some_and(Node::has_state);
            assert!(is_named, "the state after {state} at {height} is nobody's");
        }
    }

    pub(super) fn count(&self, tally: &mut Tally) {
        tally.reorgs += self.core.counters.reorgs;
        tally.speculations += self.core.counters.speculations;
        tally.dropped += self.core.counters.speculations_dropped;
        tally.late_receipts += self.late_receipts;
        tally.discarded += self.discarded;
        tally.finalized += self.names.finalized.1;
    }

    /// Consensus.
    fn ask(&mut self, random: &mut Random) {
        self.now_ms += 1_000;
        let mut effects = Vec::new();
        match random.below(16) {
            0..6 => self.build(random, &mut effects),
            6 => {
                if let Some(block) = self.any_block(random) {
                    self.core.on_import(block, self.now_ms, &self.names, &mut effects);
                }
            }
            7..9 => {
                if let Some(block) = self.any_block(random) {
                    self.core
                        .on_validate(block, None, self.now_ms, &self.names, &mut effects);
                }
            }
            9..15 => {
                let finalized = self.core.tree.finalized().hash;
                let choices = self.core.tree.descendants(&finalized);
                if let Some(hash) = random.pick(&choices) {
                    let reply = Reply::new(|_| {});
                    self.core
                        .on_set_head(hash, reply, self.now_ms, &self.names, &mut effects);
                }
            }
            _ => self.finalize(random, &mut effects),
        }
        self.perform(effects, random);
    }

    fn any_block(&self, random: &mut Random) -> Option<Arc<Block>> {
        // The newest most of the time: old ones are below finality.
        let from = self.blocks.len().saturating_sub(16);
        (!self.blocks.is_empty())
            .then(|| Arc::clone(&self.blocks[from + random.below(self.blocks.len() - from)]))
    }

    fn build(&mut self, random: &mut Random, effects: &mut Vec<Effect>) {
        let finalized = self.core.tree.finalized().hash;
        let mut parents = self.core.tree.descendants(&finalized);
        parents.push(self.core.head);
        parents.push(self.core.head);
        let request = BuildRequest {
            parent: random.pick(&parents).expect("the finalized block at least"),
            proposer: testing::address(u8::try_from(random.below(100)).expect("small")),
            consensus_data: Vec::new(),
            max_gas: None,
            max_bytes: None,
            timestamp_ms: None,
            allow_empty: true,
        };
        self.core
            .on_build(request, Reply::new(|_| {}), self.now_ms, &self.names, effects);
        let Some(Effect::AnswerBuild(_, answer)) = effects.pop() else {
            panic!("a build is answered at once")
        };
        if let BuildAnswer::Built(block) = answer {
            let block: Arc<Block> = Arc::from(block);
            self.blocks.push(Arc::clone(&block));
            if random.below(2) == 0 {
                self.core.on_import(block, self.now_ms, &self.names, effects);
            } else {
                self.core
                    .on_validate(block, None, self.now_ms, &self.names, effects);
            }
        }
    }

    /// A block on the head chain becomes final most of the time, any other now and then.
    fn finalize(&mut self, random: &mut Random, effects: &mut Vec<Effect>) {
        if self.core.awaiting.len() >= 4 {
            return;
        }
        let finalized = self.core.tree.finalized().hash;
        let choices = if random.below(4) == 0 {
            self.core.tree.descendants(&finalized)
        } else {
            self.core.tree.unfinalized_to(&self.core.head)
        };
        // What is final has to be valid: consensus keeps its duty here.
        let choices: Vec<Hash> = choices
            .into_iter()
            .take(2)
            .filter(|hash| *hash != finalized && self.core.tree.get(hash).is_some_and(Node::is_valid))
            .collect();
        if let Some(hash) = random.pick(&choices) {
            self.core
                .on_finalize(hash, Vec::new(), self.now_ms, &self.names, effects);
        }
    }
}

/// What goes on by itself.
impl Ground {
    /// One step of a worker, the journal, the keeper or the driver; `false` if there is none to take.
    fn go_on(&mut self, random: &mut Random) -> bool {
        let is_drivers_turn = !self.inbox.is_empty() && (random.below(4) == 0 || self.lazy[..3] == [true; 3]);
        if is_drivers_turn || !self.go_on_beside(random) {
            if self.inbox.is_empty() {
                return false;
            }
            self.hear(random);
        }
        true
    }

    /// One step of anyone but the driver.
    fn go_on_beside(&mut self, random: &mut Random) -> bool {
        let tasks: Vec<usize> = (0..self.ring.len()).filter(|at| self.may_go_on(*at)).collect();
        let has_work = [
            !tasks.is_empty(),
            !self.journal.is_empty(),
            !self.keeper.is_empty(),
        ];
        let ready: Vec<usize> = (0..3).filter(|who| has_work[*who]).collect();
        let keen: Vec<usize> = ready.iter().copied().filter(|who| !self.lazy[*who]).collect();
        match random.pick(if keen.is_empty() { &ready } else { &keen }) {
            None => return false,
            Some(0) => self.work(random.pick(&tasks).expect("there are some")),
            Some(1) => self.write(),
            Some(_) => {
                let state = self.keeper.pop_front().expect("not empty");
                self.names.finalize(state);
            }
        }
        true
    }

    /// A stage takes tasks in their order.
    fn may_go_on(&self, at: usize) -> bool {
        let stage = |task: &Task| match task.stage {
            // One handler, which has begun or not.
            Stage::Executing => Stage::Execute,
            stage => stage,
        };
        at == 0 || stage(&self.ring[at - 1]) > stage(&self.ring[at])
    }

    /// As `stages.rs` does it.
    fn work(&mut self, at: usize) {
        let names = &mut self.names;
        let task = &mut self.ring[at];
        let (hash, parent) = (task.task.hash, task.task.block.header.parent_hash);
        let work = Arc::clone(&task.task.work);
        match task.stage {
            Stage::Execute if task.is_abandoned || work.is_executed() => task.stage = Stage::Root,
            Stage::Execute if !names.states.contains_key(&parent) => {
                assert!(task.is_unwanted(), "no state after {parent} to execute {hash} on");
                task.stage = Stage::Root;
            }
            Stage::Execute => task.stage = Stage::Executing,
            Stage::Executing => {
                task.stage = Stage::Root;
                if !names.states.contains_key(&parent) {
                    assert!(
                        task.is_unwanted(),
                        "the state after {parent} went away under {hash}"
                    );
                    return;
                }
                names.states.insert(hash, (parent, task.task.height()));
                let outcome = Outcome {
                    receipts: Vec::new().into(),
                    gas_used: 0,
                    gas_charged: 0,
                };
                work.outcome.set(outcome).expect("a block is executed once");
            }
            Stage::Root => {
                task.stage = Stage::Persist;
                if task.is_abandoned || work.is_rooted() || !work.is_executed() {
                    return;
                }
                if !names.states.contains_key(&hash) {
                    assert!(task.is_unwanted(), "no state after {hash} whose root is wanted");
                    return;
                }
                work.receipt
                    .set(receipt(task.task.height(), hash))
                    .expect("computed once");
            }
            Stage::Persist => {
                let task = self.ring.remove(at).expect("it is there");
                let is_kept = !task.is_unwanted() && !work.is_durable();
                let receipt = is_kept.then(|| {
                    work.receipt
                        .get()
                        .expect("it counts, so it has a receipt")
                        .clone()
                });
                self.journal.push_back(Entry::Leaves { task, receipt });
            }
        }
    }

    /// As `journal.rs` does it.
    fn write(&mut self) {
        match self.journal.pop_front().expect("not empty") {
            Entry::Bodies(hashes) => self.inbox.extend(hashes.into_iter().map(Input::BodyDurable)),
            Entry::Leaves { task, receipt } => {
                if receipt.is_some() {
                    task.task.work.set_durable();
                }
                let is_abandoned =
                    self.core.in_flight.iter().enumerate().any(|(place, other)| {
                        self.core.left + place as u64 == task.number && other.is_abandoned
                    });
                self.late_receipts += u64::from(is_abandoned && receipt.is_some());
                self.inbox.push_back(Input::Left(Left {
                    hash: task.task.hash,
                    executed: receipt.map(|receipt| Executed {
                        receipt,
                        transactions: 0,
                    }),
                }));
                if task.task.purpose == Purpose::Final {
                    self.keeper.push_back(task.task.hash);
                }
            }
        }
    }

    fn hear(&mut self, random: &mut Random) {
        let mut effects = Vec::new();
        match self.inbox.pop_front().expect("not empty") {
            Input::BodyDurable(hash) => self.core.on_body_durable(&hash, &mut effects),
            Input::Left(left) => self.core.on_left(left, self.now_ms, &self.names, &mut effects),
        }
        self.perform(effects, random);
    }

    /// As `driver.rs` does it.
    fn perform(&mut self, effects: Vec<Effect>, random: &mut Random) {
        for effect in effects {
            // Workers and the journal go on between one effect and the next.
            while random.below(3) == 0 && self.go_on_beside(random) {}
            match effect {
                Effect::WriteBody(block) => {
                    self.names.stored.insert(block.hash(), block.header.height);
                }
                Effect::WriteFinalized { blocks, .. } => {
                    for finalized in &blocks {
                        let (hash, height) = (finalized.block.hash, finalized.block.height);
                        self.names.stored.insert(hash, height);
                        self.names.chain.insert(height, hash);
                    }
                    let hashes = blocks.iter().map(|finalized| finalized.block.hash);
                    self.journal.push_back(Entry::Bodies(hashes.collect()));
                }
                Effect::Execute(task) => {
                    self.ring.push_back(Task {
                        task,
                        number: self.published,
                        stage: Stage::Execute,
                        is_abandoned: false,
                    });
                    self.published += 1;
                }
                Effect::Abandon(number) => {
                    // One that has left, leaves as it would have.
                    if let Some(task) = self.ring.iter_mut().find(|task| task.number == number) {
                        task.is_abandoned = true;
                    }
                }
                Effect::Discard(hash) => {
                    self.names.discard(&hash);
                    self.discarded += 1;
                }
                Effect::AnswerBuild(..)
                | Effect::AnswerValidate(..)
                | Effect::AnswerHead(..)
                | Effect::Emit(_)
                | Effect::ReturnCredit
                | Effect::SpendCredits(_)
                | Effect::HeadMoved { .. }
                | Effect::WorkPossible => {}
            }
        }
        self.check();
    }

    fn check(&self) {
        assert!(self.core.stopped.is_none(), "stopped: {:?}", self.core.stopped);
        let finalized = self.core.tree.finalized().hash;
        for hash in self.core.tree.descendants(&finalized) {
            let has_state = self.core.tree.get(&hash).is_some_and(Node::has_state);
            assert!(
                !has_state || self.names.states.contains_key(&hash),
                "the state after {hash} is not there"
            );
        }
        let most = self.core.config.max_speculations();
        assert!(
            self.core.kept.len() <= most,
            "{} results are kept",
            self.core.kept.len()
        );
    }
}

/// The store, as `millrace_state::Store` has it.
impl Names {
    fn discard(&mut self, hash: &Hash) {
        if self
            .states
            .get(hash)
            .is_none_or(|(_, height)| *height <= self.finalized.1)
        {
            return;
        }
        self.remove(hash);
    }

    fn remove(&mut self, hash: &Hash) {
        self.states.remove(hash);
        let children = self.states.iter().filter(|(_, (parent, _))| parent == hash);
        let children: Vec<Hash> = children.map(|(child, _)| *child).collect();
        children.iter().for_each(|child| self.remove(child));
    }

    fn finalize(&mut self, hash: Hash) {
        let (parent, height) = *self.states.get(&hash).expect("what is final has a state");
        assert_eq!(
            parent, self.finalized.0,
            "finality moves from a state to its child"
        );
        let siblings = self
            .states
            .iter()
            .filter(|(other, (above, _))| *above == parent && **other != hash);
        let siblings: Vec<Hash> = siblings.map(|(other, _)| *other).collect();
        siblings.iter().for_each(|other| self.remove(other));
        self.finalized = (hash, height);
    }
}

impl States for Names {
    fn state(&self, block: &Hash) -> Result<Box<dyn State>, StateFault> {
        if self.states.contains_key(block) {
            Ok(Box::new(Nobody))
        } else {
            Err(StateFault(format!("the state after {block} is not held")))
        }
    }
}

struct Nobody;

impl State for Nobody {
    fn account(&self, _: &Address) -> Result<Account, StateFault> {
        Ok(Account::default())
    }
}

impl KnownSignatures for Names {
    fn contains(&self, _: &Hash) -> bool {
        true
    }
}

impl World for Names {
    fn finalized_hash(&self, height: Height) -> Result<Option<Hash>, StateFault> {
        Ok(self.chain.get(&height).copied())
    }

    fn stored_height(&self, block: &Hash) -> Result<Option<Height>, StateFault> {
        Ok(self.stored.get(block).copied())
    }

    fn candidates(&self, _: Height, _: Height, _: &dyn Branch, _: BlockRoom) -> Vec<SignedTransaction> {
        Vec::new()
    }
}
