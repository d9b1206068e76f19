//! A chain: a real engine and a real server in this process, and a consensus that makes a block when it is told to.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use millrace_follower::{FollowError, Follower, Options, Trust};
use millrace_ledger::Ledger;
use millrace_pipeline::{BuildAnswer, EngineConfig, Event, NotNow, Submission};
use millrace_rpc::server::RpcConfig;
use millrace_rpc::shapes::PluginView;
use millrace_rpc::{Methods, NodeFacts, Pages, RpcServer};
use millrace_types::certificate::SOLO_CONSENSUS_ID;
use millrace_types::chain_spec::ConsensusSpec;
use millrace_types::{
    Address, ChainSpec, Commitment, Hash, Header, Payload, SecretKey, SoloCertificate, Transaction, codec,
};
use tokio::runtime::Runtime;

use crate::rotating::{self, ROTATING};
use crate::sequencer::{self, Chain};

/// Both ways in which headers commit to execution.
pub const OPTIONS: [Commitment; 2] = [Commitment::ExecutionReceipts, Commitment::DelayedRoot];
/// What the counter stores its count under.
pub const COUNT: &[u8] = b"count";
const GAS: u64 = 50_000_000;

/// Who certifies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Consensus {
    /// One key.
    Solo,
    /// Validators that change with every epoch.
    Rotating,
}

/// A chain that runs, with a node that serves it.
pub struct World {
    /// The consensus' end of the engine.
    pub chain: Chain,
    /// URL of the node.
    pub url: String,
    /// Hash of its genesis header.
    pub genesis: Hash,
    /// The counter contract, once it is deployed.
    pub counter: Address,
    /// Transactions in the order in which they were sent.
    pub sent: Vec<Hash>,
    consensus: Consensus,
    server: Option<RpcServer>,
    runtime: Runtime,
}

/// Who certifies under [`Consensus::Solo`].
pub fn sequencer_key() -> SecretKey {
    SecretKey::from_seed([0x51; 32])
}

/// The pipeline's test chain, with room for contracts and a certificate that means something.
pub fn spec(commitment: Commitment, consensus: Consensus) -> ChainSpec {
    let mut spec = sequencer::spec();
    spec.limits.block_gas = 200_000_000;
    spec.limits.transaction_gas = GAS;
    spec.commitment = commitment;
    spec.consensus = match consensus {
        Consensus::Solo => ConsensusSpec {
            id: SOLO_CONSENSUS_ID.into(),
            parameters: sequencer_key().public_key().0.to_vec(),
        },
        Consensus::Rotating => ConsensusSpec {
            id: ROTATING.into(),
            parameters: rotating::set_hash(&rotating::set(0, 0)).0.to_vec(),
        },
    };
    spec
}

impl World {
    /// A chain at genesis.
    pub fn new(spec: ChainSpec) -> Self {
        let consensus = match spec.consensus.id == ROTATING {
            true => Consensus::Rotating,
            false => Consensus::Solo,
        };
        let ledger = Ledger::in_memory(&spec).unwrap();
        let chain = Chain::open(spec, ledger, EngineConfig::default());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let server = serve(&chain, &runtime, "127.0.0.1:0".parse().unwrap());
        Self {
            url: format!("http://{}", server.address()),
            genesis: chain.head.hash,
            chain,
            counter: Address::of_deploy(&sequencer::address(0), 0),
            sent: Vec::new(),
            consensus,
            server: Some(server),
            runtime,
        }
    }

    /// A chain with the counter and some history, everything settled.
    pub fn with_history(commitment: Commitment, consensus: Consensus) -> Self {
        let mut world = Self::new(spec(commitment, consensus));
        world.deploy();
        for nonce in 1..=5 {
            world.increment(nonce);
            world.transfer(1, nonce - 1, 100 + u128::from(nonce));
            world.settle();
        }
        world
    }

    /// Deploys the counter.
    pub fn deploy(&mut self) {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../contracts/artifacts/counter.elf");
        let payload = Payload::Deploy {
            code: std::fs::read(path).unwrap(),
            value: 0,
            input: Vec::new(),
        };
        self.send(0, 0, payload);
        self.settle();
    }

    /// Sends a call that counts.
    pub fn increment(&mut self, nonce: u64) {
        let to = self.counter;
        let input = vec![0x01];
        self.send(0, nonce, Payload::Call { to, value: 0, input });
    }

    /// Sends a transfer to account 2.
    pub fn transfer(&mut self, from: u8, nonce: u64, value: u128) {
        let to = sequencer::address(2);
        self.send(from, nonce, Payload::Transfer { to, value });
    }

    fn send(&mut self, from: u8, nonce: u64, payload: Payload) {
        let gas_limit = match payload {
            Payload::Transfer { .. } => sequencer::TRANSFER_GAS,
            Payload::Deploy { .. } | Payload::Call { .. } => GAS,
        };
        let transaction = Transaction {
            chain_id: self.chain.engine.spec().chain_id,
            public_key: [0; 32],
            nonce,
            gas_limit,
            gas_price: 1,
            payload,
        };
        let signed = transaction.sign(&sequencer::key(from));
        self.sent
            .push(self.chain.engine.submit_transaction(signed).unwrap());
    }

    /// Makes a block if there is a reason for one.
    pub fn next_block(&mut self) -> bool {
        loop {
            let mut request = self.chain.request();
            let height = self.chain.head.height + 1;
            if self.consensus == Consensus::Rotating {
                let announced = rotating::announcement(height, 0);
                request.consensus_data = announced.map_or_else(Vec::new, |hash| hash.0.to_vec());
            }
            match self.chain.build(request) {
                BuildAnswer::Built(block) => {
                    let certificate = self.certify(&block.header);
                    while self
                        .chain
                        .engine
                        .submit_finalized((*block).clone(), certificate.clone())
                        != Submission::Accepted
                    {
                        self.chain.wait_for(|event| matches!(event, Event::Credit { .. }));
                    }
                    self.chain.head.height = height;
                    self.chain.head.hash = block.hash();
                    return true;
                }
                BuildAnswer::NotNow(NotNow::Idle) => return false,
                BuildAnswer::NotNow(_) => {
                    self.chain.wait_for(|event| *event == Event::Work);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn certify(&self, header: &Header) -> Vec<u8> {
        match self.consensus {
            Consensus::Solo => {
                let key = sequencer_key();
                codec::encode(&SoloCertificate::sign(
                    header.chain_id,
                    header.height,
                    header.hash(),
                    &key,
                ))
            }
            Consensus::Rotating => {
                let set = rotating::set(rotating::epoch_of(header.height), 0);
                rotating::certify(header.chain_id, header.hash(), &set)
            }
        }
    }

    /// Makes blocks until everything that was sent is settled, and visible at the node.
    pub fn settle(&mut self) {
        while self.next_block() {}
        let height = self.chain.head.height;
        self.chain.wait_until_executed(height);
        self.chain.wait_until_finalized(height);
    }

    /// Waits for work on this world's runtime.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// A follower of this chain that asks these nodes.
    pub async fn follower(&self, urls: &[&str], options: &Options) -> Result<Follower, FollowError> {
        self.follower_from(urls, Trust::Genesis, options).await
    }

    /// The same from somewhere else.
    pub async fn follower_from(
        &self,
        urls: &[&str],
        trust: Trust,
        options: &Options,
    ) -> Result<Follower, FollowError> {
        let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
        Follower::start(&urls, self.genesis, trust, &rotating::verifiers(), options).await
    }

    /// Starts the node again where it was.
    pub fn start_server(&mut self) {
        let address = self.url.trim_start_matches("http://").parse().unwrap();
        self.server = Some(serve(&self.chain, &self.runtime, address));
    }

    /// Stops the node.
    pub fn stop_server(&mut self) {
        let stopped = self.server.take().unwrap().stop(Duration::from_secs(10));
        self.runtime.block_on(stopped);
    }
}

fn serve(chain: &Chain, runtime: &Runtime, listen: SocketAddr) -> RpcServer {
    let config = RpcConfig {
        listen,
        ..RpcConfig::default()
    };
    let methods = Methods::new(chain.engine.clone(), Arc::new(Plugin), &config).unwrap();
    let pages = Pages {
        health: Box::new(|| Ok(String::new())),
        metrics: Box::new(String::new),
    };
    runtime
        .block_on(RpcServer::start(&config, methods, pages))
        .unwrap()
}

impl Drop for World {
    fn drop(&mut self) {
        if self.server.is_some() && !std::thread::panicking() {
            self.stop_server();
        }
    }
}

struct Plugin;

impl NodeFacts for Plugin {
    fn plugin(&self) -> PluginView {
        PluginView {
            name: "test".to_owned(),
            state: "healthy".to_owned(),
        }
    }
}
