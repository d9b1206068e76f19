//! A node in this process: engine, ledger in memory, server on a free port, and the clients that ask it.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jsonrpsee::core::ClientError;
use jsonrpsee::core::client::Subscription;
use jsonrpsee::types::ErrorObjectOwned;
use jsonrpsee_http_client::{HttpClient, HttpClientBuilder};
use jsonrpsee_ws_client::{WsClient, WsClientBuilder};
use millrace_ledger::Ledger;
use millrace_pipeline::{BlockId, EngineConfig, Event, NotNow, Tag};
use millrace_rpc::server::RpcConfig;
use millrace_rpc::shapes::{Notification, PluginView};
use millrace_rpc::{BlockReference, Methods, NodeFacts, Pages, RpcServer};
use millrace_types::{Block, ChainSpec};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::contracts;
use crate::sequencer::{Chain, Turn};

/// A node, and a consensus that moves when the test says so.
pub struct Node {
    /// The engine and the consensus.
    pub chain: Chain,
    /// Speaks HTTP to it.
    pub http: HttpClient,
    /// Where it listens: `127.0.0.1:PORT`.
    pub address: String,
    /// The methods that it has.
    pub methods: BTreeSet<String>,
    /// What `/health` answers from.
    pub health: Arc<Mutex<Result<String, String>>>,
    server: Option<RpcServer>,
    runtime: Runtime,
}

impl Node {
    /// A node on the tests' chain.
    pub fn new() -> Self {
        Self::start(contracts::spec(), EngineConfig::default(), RpcConfig::default())
    }

    /// A node.
    pub fn start(spec: ChainSpec, engine: EngineConfig, rpc: RpcConfig) -> Self {
        let ledger = Ledger::in_memory(&spec).unwrap();
        Self::on(ledger, spec, engine, rpc)
    }

    /// A node on a ledger.
    pub fn on(ledger: Ledger, spec: ChainSpec, engine: EngineConfig, rpc: RpcConfig) -> Self {
        Self::over(Chain::open(spec, ledger, engine), rpc)
    }

    /// A server on an engine that is there already.
    pub fn over(chain: Chain, rpc: RpcConfig) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let config = RpcConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            ..rpc
        };
        let health = Arc::new(Mutex::new(Ok("{\"status\":\"ok\"}".to_owned())));
        let page = Arc::clone(&health);
        let pages = Pages {
            health: Box::new(move || page.lock().unwrap().clone()),
            metrics: Box::new(|| "# HELP example\nexample 1\n".to_owned()),
        };
        let methods = Methods::new(chain.engine.clone(), Arc::new(Plugin), &config).unwrap();
        let names = Methods::new(chain.engine.clone(), Arc::new(Plugin), &config).unwrap();
        let names = names.into_module();
        let server = runtime
            .block_on(RpcServer::start(&config, methods, pages))
            .unwrap();
        let address = server.address().to_string();
        let http = HttpClientBuilder::default()
            .max_response_size(64 << 20)
            .max_request_size(64 << 20)
            .build(format!("http://{address}"))
            .unwrap();
        Self {
            chain,
            http,
            address,
            methods: names.method_names().map(str::to_owned).collect(),
            health,
            server: Some(server),
            runtime,
        }
    }

    /// Waits for an answer that must be a result.
    pub fn ask<T>(&self, question: impl Future<Output = Result<T, ClientError>>) -> T {
        self.runtime.block_on(question).unwrap()
    }

    /// Waits for an answer that must be an error of the surface.
    pub fn refusal<T: Debug>(&self, question: impl Future<Output = Result<T, ClientError>>) -> Refusal {
        match self.runtime.block_on(question) {
            Err(ClientError::Call(error)) => Refusal::of(&error),
            other => panic!("no refusal: {other:?}"),
        }
    }

    /// Waits for anything else.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Lets work go on beside the test.
    pub fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.runtime.spawn(work)
    }

    /// A new WebSocket.
    pub fn websocket(&self) -> WsClient {
        let url = format!("ws://{}", self.address);
        self.wait(WsClientBuilder::default().build(url)).unwrap()
    }

    /// The next notification; `None` when the subscription has ended.
    pub fn next(&self, stream: &mut Subscription<Notification>) -> Option<Notification> {
        let next = self.wait(tokio_timeout(stream.next()));
        next.expect("a notification or the end").map(Result::unwrap)
    }

    /// Lets consensus run until everything in the pool is executed and settled, and nothing is under way.
    pub fn settle(&mut self) {
        self.chain.run_until_idle();
        let height = self.chain.head.height;
        self.chain.wait_until_executed(height);
        self.wait_until_finalized(height);
    }

    /// Finalizes one block.
    pub fn next_block(&mut self) -> Box<Block> {
        loop {
            match self.chain.turn() {
                Turn::Block(block) => return block,
                Turn::NotNow(NotNow::Idle) => panic!("there is nothing to build a block of"),
                Turn::NotNow(_) => drop(self.chain.wait_for(|event| *event == Event::Work)),
            }
        }
    }

    /// Waits until a finalized block is durable.
    pub fn wait_until_finalized(&mut self, height: u64) {
        while self.chain.engine.heights().finalized.height < height {
            self.chain
                .wait_for(|event| matches!(event, Event::Finalized { .. }));
        }
    }

    /// Stops the server, as a node does that shuts down.
    pub fn stop_server(&mut self) {
        self.stop_server_within(Duration::from_secs(10));
    }

    /// Stops the server, with so much patience for those who take no answer.
    pub fn stop_server_within(&mut self, patience: Duration) {
        let server = self.server.take().unwrap();
        let stopped = tokio_timeout(server.stop(patience));
        self.runtime.block_on(stopped).expect("the server stops");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.server.is_some() && !std::thread::panicking() {
            self.stop_server();
        }
    }
}

/// Gives up after as long as a test may wait.
pub async fn tokio_timeout<T>(work: impl Future<Output = T>) -> Result<T, tokio::time::error::Elapsed> {
    tokio::time::timeout(Duration::from_secs(20), work).await
}

struct Plugin;

impl NodeFacts for Plugin {
    fn plugin(&self) -> PluginView {
        PluginView {
            name: "test/1 1.0.0".to_owned(),
            state: "healthy".to_owned(),
        }
    }
}

/// An error of the surface.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// Its code.
    pub code: i32,
    /// Its stable name.
    pub name: String,
    /// For people.
    pub message: String,
    /// With its numbers.
    pub data: Value,
}

impl Refusal {
    fn of(error: &ErrorObjectOwned) -> Self {
        let data = error.data().map_or("null", |data| data.get());
        let data: Value = serde_json::from_str(data).unwrap();
        Self {
            code: error.code(),
            name: data["name"].as_str().unwrap_or_default().to_owned(),
            message: error.message().to_owned(),
            data,
        }
    }

    /// Whether it is this one, with these numbers among its data.
    #[track_caller]
    pub fn is(&self, code: i32, name: &str, numbers: &Value) {
        assert_eq!((self.code, self.name.as_str()), (code, name), "{self:?}");
        for (key, value) in numbers.as_object().unwrap() {
            assert_eq!(&self.data[key], value, "{key} of {self:?}");
        }
        assert!(!self.message.starts_with(name), "the name is said once: {self:?}");
    }
}

/// A block reference by tag.
pub fn tag(tag: Tag) -> Option<BlockReference> {
    Some(BlockReference(BlockId::Tag(tag)))
}

/// A block reference by height.
pub fn height(height: u64) -> Option<BlockReference> {
    Some(BlockReference(BlockId::Height(height)))
}

/// A block reference by hash.
pub fn hash(hash: millrace_types::Hash) -> Option<BlockReference> {
    Some(BlockReference(BlockId::Hash(hash)))
}
