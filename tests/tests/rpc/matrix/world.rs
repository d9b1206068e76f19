//! The blocks that the matrix is about, and nodes in each of its situations.
//!
//! ```text
//!   genesis ─ 1 ─ 2 ─ 3 ─ 4 ─ 5 ─ 6 ─ 7 ─┬─ 8 ─ 9
//!                                        └─ 8b
//! ```
//!
//! The blocks are the pipeline's model's, a naive node that executes each on a whole copy of its parent's state: roots and
//! values are known from there, and the engines that answer are told the blocks, not asked for them. Nothing here waits for
//! a time: an engine that is to lag is opened on what another one has executed, and everything that it executes itself takes
//! longer than any test.

use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::time::Duration;

use millrace_ledger::Ledger;
use millrace_pipeline::{BlockId, BlockRef, EngineConfig};
use millrace_rpc::server::RpcConfig;
use millrace_types::{Address, Amount, ChainSpec, Hash, Payload, SignedTransaction, TransactionReceipt};

use crate::contracts::{self, COUNTER, INCREMENT};
use crate::model::{Draft, Known, Model};
use crate::node::Node;
use crate::sequencer::{Chain, PATIENCE, address, transfer};

/// A block by the name that it has in the table.
pub type Name = &'static str;

/// Who receives a transfer in nearly every block.
pub const SINK: Address = Address([0x51; 32]);
/// Who sends it.
pub const PAYER: u8 = 2;
/// Who calls the counter.
pub const CALLER: u8 = 1;
/// Whose pooled transaction waits for an earlier one.
pub const EARLY: u8 = 4;

/// One block of the tree.
struct Plan {
    name: Name,
    parent: Name,
    settles_to: u64,
    pays: Option<Amount>,
    calls: bool,
}

const fn plan(name: Name, parent: Name, settles_to: u64, pays: Option<Amount>, calls: bool) -> Plan {
    Plan {
        name,
        parent,
        settles_to,
        pays,
        calls,
    }
}

/// Block 1 deploys the counter besides.
const PLANS: [Plan; 10] = [
    plan("1", "genesis", 0, Some(100), false),
    plan("2", "1", 1, Some(100), true),
    plan("3", "2", 2, Some(100), true),
    plan("4", "3", 3, Some(100), true),
    plan("5", "4", 3, Some(100), true),
    plan("6", "5", 3, Some(100), true),
    plan("7", "6", 3, Some(100), true),
    plan("8", "7", 5, Some(100), true),
    plan("9", "8", 5, None, true),
    plan("8b", "7", 4, Some(1_000), false),
];

/// What is known of the state after a block.
#[derive(Clone, Copy, Debug, Default)]
pub struct Values {
    /// What [`SINK`] holds.
    pub paid: Amount,
    /// [`PAYER`]'s nonce.
    pub payments: u64,
    /// [`CALLER`]'s nonce.
    pub calls: u64,
    /// The counter's value; none before there is a counter.
    pub count: Option<u64>,
}

/// The tree.
pub struct World {
    pub spec: ChainSpec,
    pub counter: Address,
    model: Model,
    blocks: BTreeMap<Name, (Hash, Values)>,
}

impl World {
    pub fn new() -> Self {
        let spec = contracts::spec();
        let mut model = Model::new(&spec);
        let mut blocks = BTreeMap::from([("genesis", (model.genesis, Values::default()))]);
        for plan in &PLANS {
            let (parent, mut values) = blocks[plan.parent];
            let mut transactions = Vec::new();
            if plan.name == "1" {
                transactions.push(deployment());
                values.count = Some(0);
            }
            if let Some(amount) = plan.pays {
                transactions.push(payment(values.payments, amount));
                values.payments += 1;
                values.paid += amount;
            }
            if plan.calls {
                transactions.push(increment(values.calls, counter_of(&model, &blocks)));
                values.calls += 1;
                values.count = values.count.map(|count| count + 1);
            }
            let height = model.height(&parent) + 1;
            let draft = Draft {
                lag: height - plan.settles_to,
                ..Draft::default()
            };
            let hash = model.add_with(&parent, transactions, &draft);
            assert_eq!(model.block(&hash).header.settled_height, plan.settles_to);
            blocks.insert(plan.name, (hash, values));
        }
        Self {
            counter: counter_of(&model, &blocks),
            spec,
            model,
            blocks,
        }
    }

    pub fn hash(&self, name: Name) -> Hash {
        self.blocks[name].0
    }

    pub fn height(&self, name: Name) -> u64 {
        self.model.height(&self.hash(name))
    }

    pub fn values(&self, name: Name) -> Values {
        self.blocks[name].1
    }

    pub fn known(&self, name: Name) -> &Known {
        self.model.get(&self.hash(name))
    }

    /// The block below.
    pub fn parent(&self, name: Name) -> Name {
        let parent = PLANS
            .iter()
            .find(|plan| plan.name == name)
            .map(|plan| plan.parent);
        parent.expect("genesis has none")
    }

    /// Whether a block has an increment.
    pub fn increments(&self, name: Name) -> bool {
        PLANS.iter().any(|plan| plan.name == name && plan.calls)
    }

    /// The receipt of the increment that comes right after a block on some branch, if one does.
    pub fn next_increment(&self, name: Name) -> Option<&TransactionReceipt> {
        let next = PLANS.iter().find(|plan| plan.parent == name && plan.calls)?;
        let (index, _) = self.transaction(next.name, CALLER);
        Some(&self.known(next.name).receipts[index])
    }

    /// The transaction of a block by the account that sends it, and its place.
    pub fn transaction(&self, name: Name, from: u8) -> (usize, &SignedTransaction) {
        let transactions = &self.known(name).block.body.transactions;
        let by_sender = |(_, signed): &(usize, &SignedTransaction)| signed.sender() == address(from);
        transactions.iter().enumerate().find(by_sender).unwrap()
    }

    fn reference(&self, name: Name) -> BlockRef {
        self.model.reference(&self.hash(name))
    }

    fn finalize(&self, chain: &mut Chain, names: &[Name]) {
        for name in names {
            chain.finalize(&self.known(name).block);
            chain.wait_until_finalized(self.height(name));
        }
    }

    /// Brings blocks in and makes the last the head.
    fn follow(&self, chain: &Chain, names: &[Name]) {
        for name in names {
            chain.import(&self.known(name).block);
        }
        let head = self.hash(names.last().unwrap());
        chain.move_to(head);
        eventually("the head's body", || chain.engine.block(&head).unwrap().is_some());
    }

    /// An engine that executes whatever comes.
    pub fn executing(&self, finalized: &[Name]) -> Chain {
        let mut chain = Chain::in_memory(self.spec.clone(), EngineConfig::default());
        self.finalize(&mut chain, finalized);
        chain.wait_until_executed(finalized.len() as u64);
        chain
    }

    /// An engine that has executed `executed`, and executes nothing more while anybody looks.
    fn held(&self, directory: &std::path::Path, executed: &[Name]) -> Chain {
        let ledger = Ledger::in_memory(&self.spec).unwrap();
        let config = EngineConfig {
            state_directory: Some(directory.join("state")),
            ..EngineConfig::default()
        };
        let mut chain = Chain::open(self.spec.clone(), ledger.clone(), config.clone());
        self.finalize(&mut chain, executed);
        chain.wait_until_executed(executed.len() as u64);
        chain.engine.stop();
        drop(chain);
        let config = EngineConfig {
            slow_execution_ms: 24 * 3_600_000,
            ..config
        };
        Chain::open(self.spec.clone(), ledger, config)
    }
}

/// A node that is never stopped: the end of one that is held back would wait for its execution. It ends with the process.
pub type Held = ManuallyDrop<Node>;

/// One column of the table.
pub struct Situation {
    /// What stands above the column.
    pub title: &'static str,
    /// In a sentence.
    pub meaning: &'static str,
    /// `finalized`, `executed`, `settled`, `safe`, `pending`.
    pub heights: [Name; 5],
    /// Blocks whose receipts are durable, genesis aside.
    pub executed: &'static [Name],
    /// Blocks that are on neither the finalized nor the head chain.
    pub lost: &'static [Name],
    open: fn(&World, &std::path::Path) -> Chain,
}

const FINALIZED: [Name; 7] = ["1", "2", "3", "4", "5", "6", "7"];

/// The columns.
pub const SITUATIONS: [Situation; 5] = [
    Situation {
        title: "up to date",
        meaning: "everything is executed, the head included; settlement is K = 4 behind finality",
        heights: ["7", "8", "3", "7", "8"],
        executed: &["1", "2", "3", "4", "5", "6", "7", "8"],
        lost: &[],
        open: |world, _| {
            let mut chain = world.executing(&FINALIZED);
            world.follow(&chain, &["8"]);
            chain.wait_until_executed_to(world.hash("8"));
            chain
        },
    },
    Situation {
        title: "lagging",
        meaning: "the same blocks, but nothing above 5 is executed; settlement is K = 4 behind finality",
        heights: ["7", "5", "3", "5", "8"],
        executed: &["1", "2", "3", "4", "5"],
        lost: &[],
        open: |world, directory| {
            let mut chain = world.held(directory, &FINALIZED[..5]);
            world.finalize(&mut chain, &FINALIZED[5..]);
            world.follow(&chain, &["8"]);
            chain
        },
    },
    Situation {
        title: "reorg",
        meaning: "8 and 9 were executed and the head, then it moved to 8b, which is executed too",
        heights: ["7", "8b", "3", "7", "8b"],
        executed: &["1", "2", "3", "4", "5", "6", "7", "8", "9", "8b"],
        lost: &["8", "9"],
        open: |world, _| reorganized(world),
    },
    Situation {
        title: "reorg, lagging",
        meaning: "the head was 9 and is 8b, and nothing above 5 was ever executed",
        heights: ["7", "5", "3", "5", "8b"],
        executed: &["1", "2", "3", "4", "5"],
        lost: &["8", "9"],
        open: |world, directory| {
            let mut chain = world.held(directory, &FINALIZED[..5]);
            world.finalize(&mut chain, &FINALIZED[5..]);
            world.follow(&chain, &["8", "9"]);
            world.follow(&chain, &["8b"]);
            chain
        },
    },
    Situation {
        title: "reorg, final",
        meaning: "as after the reorg, and 8b is finalized: what lost can never come back",
        heights: ["8b", "8b", "4", "8b", "8b"],
        executed: &["1", "2", "3", "4", "5", "6", "7", "8", "9", "8b"],
        lost: &["8", "9"],
        open: |world, _| {
            let mut chain = reorganized(world);
            chain.finalize_known(world.reference("8b"));
            chain.wait_until_finalized(8);
            for lost in ["8", "9"] {
                let id = BlockId::Hash(world.hash(lost));
                eventually("states that lost go", || chain.engine.state_at(id).is_err());
            }
            chain
        },
    },
];

/// Waits for what comes by itself behind what was told.
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    const STEP: Duration = Duration::from_millis(5);
    for _ in 0..PATIENCE.as_millis() / STEP.as_millis() {
        if is_so() {
            return;
        }
        std::thread::sleep(STEP);
    }
    panic!("{what}: not within {PATIENCE:?}");
}

fn reorganized(world: &World) -> Chain {
    let mut chain = world.executing(&FINALIZED);
    world.follow(&chain, &["8", "9"]);
    chain.wait_until_executed_to(world.hash("9"));
    world.follow(&chain, &["8b"]);
    chain.wait_until_executed_to(world.hash("8b"));
    chain
}

impl Situation {
    /// A node in this situation, with a transaction in the pool that could be in the next block and one that waits.
    pub fn node(&self, world: &World, directory: &std::path::Path) -> Held {
        let chain = (self.open)(world, directory);
        for transaction in pooled() {
            chain.engine.submit_transaction(transaction).unwrap();
        }
        ManuallyDrop::new(Node::over(chain, RpcConfig::default()))
    }

    pub fn is_executed(&self, name: Name) -> bool {
        name == "genesis" || self.executed.contains(&name)
    }

    pub fn is_finalized(&self, world: &World, name: Name) -> bool {
        !self.lost.contains(&name) && world.height(name) <= world.height(self.heights[0])
    }
}

/// What waits in the pool: the payer's next payment, and a payment whose sender has sent none before.
pub fn pooled() -> [SignedTransaction; 2] {
    [payment(8, 1), transfer(EARLY, 5, SINK, 1)]
}

fn deployment() -> SignedTransaction {
    let payload = Payload::Deploy {
        code: COUNTER.to_vec(),
        value: 0,
        input: Vec::new(),
    };
    contracts::sign(0, 0, payload)
}

fn payment(nonce: u64, amount: Amount) -> SignedTransaction {
    transfer(PAYER, nonce, SINK, amount)
}

fn increment(nonce: u64, counter: Address) -> SignedTransaction {
    contracts::call(CALLER, nonce, counter, INCREMENT)
}

fn counter_of(model: &Model, blocks: &BTreeMap<Name, (Hash, Values)>) -> Address {
    let receipts = &model.get(&blocks["1"].0).receipts;
    receipts[0].created.expect("the counter was deployed")
}
