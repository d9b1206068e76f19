//! A consensus of one: builds, validates and finalizes block after block, as a single sequencer would.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

pub mod spec;

use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use millrace_ledger::Ledger;
use millrace_pipeline::{
    BlockRef, BuildAnswer, BuildRequest, Engine, EngineConfig, EngineStatus, Event, HeadMove, NotNow, Reply,
    SetHeadAnswer, StopReason, Submission, Subscription, ValidateAnswer,
};
use millrace_types::{Address, Block, ChainSpec, Hash};

pub use spec::*;

/// How long a test waits for anything before it fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A fake consensus over a real engine.
pub struct Chain {
    pub engine: Engine,
    pub events: Subscription,
    pub head: BlockRef,
    /// Everything that was received, in order.
    pub seen: Vec<Event>,
}

/// What came of one turn.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    /// A block was finalized.
    Block(Box<Block>),
    /// There was none to propose.
    NotNow(NotNow),
}

impl Chain {
    pub fn open(spec: ChainSpec, ledger: Ledger, config: EngineConfig) -> Self {
        let engine = Engine::open(spec, ledger, config).unwrap();
        let (events, head) = (engine.subscribe(), engine.last_finalized());
        Self {
            engine,
            events,
            head,
            seen: Vec::new(),
        }
    }

    pub fn in_memory(spec: ChainSpec, config: EngineConfig) -> Self {
        let ledger = Ledger::in_memory(&spec).unwrap();
        Self::open(spec, ledger, config)
    }

    pub fn request(&self) -> BuildRequest {
        BuildRequest {
            parent: self.head.hash,
            proposer: Address([0xaa; 32]),
            consensus_data: Vec::new(),
            max_gas: None,
            max_bytes: None,
            // Fixed, so that equal transactions give equal blocks.
            timestamp_ms: Some(2_000 + self.head.height),
            allow_empty: false,
        }
    }

    pub fn build(&self, request: BuildRequest) -> BuildAnswer {
        let (reply, answer) = Reply::channel();
        self.engine.build(request, reply);
        self.patiently("an answer to a build", |longest| answer.recv_timeout(longest))
    }

    pub fn validate(&self, block: &Block) -> ValidateAnswer {
        let (reply, answer) = Reply::channel();
        self.engine.validate(block.clone(), reply);
        self.patiently("an answer to a validation", |longest| {
            answer.recv_timeout(longest)
        })
    }

    /// One turn: build, validate, finalize.
    pub fn turn(&mut self) -> Turn {
        match self.build(self.request()) {
            BuildAnswer::Built(block) => {
                assert_eq!(
                    self.validate(&block),
                    ValidateAnswer::Valid,
                    "what is built is valid"
                );
                self.finalize(&block);
                Turn::Block(block)
            }
            BuildAnswer::NotNow(reason) => Turn::NotNow(reason),
            other => panic!("{other:?}"),
        }
    }

    /// Submits a finalized block, waiting for a credit as often as it takes.
    pub fn finalize(&mut self, block: &Block) {
        loop {
            match self.engine.submit_finalized(block.clone(), certificate(block)) {
                Submission::Accepted => break,
                Submission::Again => {
                    self.wait_for(|event| matches!(event, Event::Credit { .. }));
                }
                Submission::Stopped => panic!("stopped: {:?}", self.engine.status()),
            }
        }
        self.head = BlockRef {
            height: block.header.height,
            hash: block.hash(),
        };
    }

    pub fn import(&self, block: &Block) {
        assert_eq!(self.engine.import_block(block.clone()), Submission::Accepted);
    }

    pub fn set_head(&self, hash: Hash) -> SetHeadAnswer {
        let (reply, answer) = Reply::channel();
        self.engine.set_head(hash, reply);
        self.patiently("an answer about a head", |longest| answer.recv_timeout(longest))
    }

    /// Sets the head to a block that is valid.
    pub fn move_to(&self, hash: Hash) {
        let answer = self.set_head(hash);
        assert!(
            matches!(answer, SetHeadAnswer::Moved { head } if head.hash == hash),
            "{answer:?}"
        );
    }

    /// Finalizes a block that is known, with its ancestors.
    pub fn finalize_known(&mut self, block: BlockRef) {
        loop {
            match self.engine.finalize(block.hash, block.hash.0.to_vec()) {
                Submission::Accepted => break,
                Submission::Again => {
                    self.wait_for(|event| matches!(event, Event::Credit { .. }));
                }
                Submission::Stopped => panic!("stopped: {:?}", self.engine.status()),
            }
        }
        self.head = block;
    }

    pub fn wait_until_finalized(&mut self, height: u64) {
        while self.engine.heights().finalized.height < height {
            self.wait_for(|event| matches!(event, Event::Finalized { .. }));
        }
    }

    /// Waits until this very block is the newest executed one.
    pub fn wait_until_executed_to(&mut self, hash: Hash) {
        while self.engine.heights().executed.hash != hash {
            self.wait_for(|event| matches!(event, Event::Executed { .. }));
        }
    }

    /// Moves of the head that were told so far.
    pub fn moves(&mut self) -> Vec<HeadMove> {
        while let Ok(event) = self.events.try_recv() {
            self.seen.push(event);
        }
        let moves = self.seen.iter().filter_map(|event| match event {
            Event::HeadMoved(moved) => Some(moved.clone()),
            _ => None,
        });
        moves.collect()
    }

    /// Answered in turn: everything that was asked before has been taken in.
    pub fn settle_requests(&self) {
        let request = BuildRequest {
            parent: Hash([0xee; 32]),
            ..self.request()
        };
        assert!(matches!(self.build(request), BuildAnswer::Refused(_)));
    }

    /// Waits as long as [`PATIENCE`], a step at a time: a process that is stopped for a while loses one step and no more.
    fn patiently<T>(&self, what: &str, wait: impl Fn(Duration) -> Result<T, RecvTimeoutError>) -> T {
        const STEPS: u32 = 40;
        for _ in 0..STEPS {
            match wait(PATIENCE / STEPS) {
                Ok(received) => return received,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        panic!("{what} does not come; {:?}; seen {:?}", self.engine, self.seen)
    }

    /// Receives events up to one that is wanted.
    pub fn wait_for(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.patiently("such an event", |longest| self.events.recv_timeout(longest));
            self.seen.push(event.clone());
            if wanted(&event) {
                return event;
            }
        }
    }

    /// The next block, waited for as long as pressure and the lag limit hold it back, as on a machine that is busy with
    /// other work; none if the chain is idle.
    pub fn next_block(&mut self) -> Option<Box<Block>> {
        loop {
            match self.turn() {
                Turn::Block(block) => return Some(block),
                Turn::NotNow(NotNow::Idle) => return None,
                Turn::NotNow(_) => {
                    self.wait_for(|event| *event == Event::Work);
                }
            }
        }
    }

    /// Blocks until the chain is idle: the pool is empty, everything that is not empty is settled.
    pub fn run_until_idle(&mut self) {
        while self.next_block().is_some() {}
    }

    pub fn wait_until_executed(&mut self, height: u64) {
        while self.engine.heights().executed.height < height {
            self.wait_for(|event| matches!(event, Event::Executed { .. }));
        }
    }

    pub fn wait_until_stopped(&mut self) -> StopReason {
        if let EngineStatus::Stopped { reason } = self.engine.status() {
            return reason;
        }
        match self.wait_for(|event| matches!(event, Event::Stopped { .. })) {
            Event::Stopped { reason } => reason,
            other => unreachable!("{other:?}"),
        }
    }

    /// The root after the newest executed block.
    pub fn root(&self) -> Hash {
        let executed = self.engine.heights().executed;
        self.engine
            .state_at(millrace_pipeline::BlockId::Hash(executed.hash))
            .unwrap()
            .root
    }
}

/// A certificate that proves nothing but its block.
pub fn certificate(block: &Block) -> Vec<u8> {
    block.hash().0.to_vec()
}

/// Submits `rounds` transfers of every account, each round in the order of accounts, from nonce `first` on.
pub fn submit_rounds(chain: &Chain, first: u64, rounds: u64) {
    for nonce in first..first + rounds {
        for sender in 0..ACCOUNTS {
            let to = address((sender + 1) % ACCOUNTS);
            chain
                .engine
                .submit_transaction(transfer(sender, nonce, to, 10 + u128::from(sender)))
                .unwrap();
        }
    }
}

/// An empty block as anybody could make it: on `parent`, settling nothing.
pub fn empty_block(spec: &ChainSpec, parent: &millrace_types::Header) -> Block {
    let header = millrace_types::Header {
        version: millrace_types::block::HEADER_VERSION,
        chain_id: spec.chain_id,
        height: parent.height + 1,
        parent_hash: parent.hash(),
        timestamp_ms: parent.timestamp_ms + 1,
        proposer: Address([0xbb; 32]),
        transactions_root: millrace_types::merkle::transactions_root(&[]),
        gas_limit: spec.limits.block_gas,
        settled_height: parent.settled_height,
        settlement_hash: millrace_types::receipt::settlement_hash(&[]),
        delayed_state_root: None,
        consensus_data: Vec::new(),
        seal: Vec::new(),
    };
    Block {
        header,
        body: millrace_types::Body::default(),
    }
}
