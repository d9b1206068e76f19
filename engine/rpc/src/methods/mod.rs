//! The answers. Each method is a few look-ups on the engine's handle; none waits for consensus or execution.

mod blocks;
mod calls;
mod estimate;
mod intake;
mod logs;
mod state;
mod subscriptions;
mod told;
mod transactions;

use std::sync::Arc;

use jsonrpsee::core::{RpcResult, SubscriptionResult, async_trait};
use jsonrpsee::{Extensions, PendingSubscriptionSink, RpcModule};
use millrace_pipeline::{Engine, EngineStatus};
use millrace_types::{Address, Hash, Height};

pub use blocks::MAX_HEADERS;

use calls::Calls;
use intake::Intake;
use logs::LogLimits;
use subscriptions::Announcer;

use crate::api::MillraceServer;
use crate::encoding::Bytes;
use crate::openrpc::{DISCOVER, served};
use crate::reference::BlockReference;
use crate::server::RpcConfig;
use crate::service::waiting;
use crate::shapes::{
    AccountView, BlockView, CallRequest, CallResult, ChainSpecView, CodeView, CountersView, EstimateRequest,
    ExecutionReceiptView, GasEstimateView, HeightsView, LocatedTransactionView, LogQueryView, LogsView,
    PluginView, PressureView, SealedHeader, Settlement, StateView, Status, StorageView, Topic,
    TransactionDetail, TransactionReceiptView, TransactionStatusView,
};

/// What the node knows and the engine does not.
pub trait NodeFacts: Send + Sync + 'static {
    /// The consensus plugin and its state.
    fn plugin(&self) -> PluginView;
}

/// Answers requests from an engine.
pub struct Methods {
    engine: Engine,
    facts: Arc<dyn NodeFacts>,
    announcer: Announcer,
    calls: Calls,
    intake: Intake,
    log_limits: LogLimits,
    spec: ChainSpecView,
}

impl Methods {
    /// Answers from `engine`; `facts` supplies what only the node knows.
    ///
    /// # Errors
    /// When the thread that forwards events cannot be started.
    pub fn new(
        engine: Engine,
        facts: Arc<dyn NodeFacts>,
        config: &RpcConfig,
    ) -> Result<Self, std::io::Error> {
        let announcer = Announcer::start(&engine, config.subscription_buffer)?;
        let calls = Calls::new(&engine, config);
        let intake = Intake::new(&engine);
        let spec = engine.spec();
        let spec = ChainSpecView {
            hash: spec.hash(),
            encoded: Bytes::of(&**spec),
            spec: serde_json::to_value(&**spec)?,
        };
        Ok(Self {
            engine,
            facts,
            announcer,
            calls,
            intake,
            log_limits: LogLimits::new(config),
            spec,
        })
    }

    /// All methods, the one that describes them included.
    #[must_use]
    pub fn into_module(self) -> RpcModule<Self> {
        let mut module = self.into_rpc();
        module
            .register_method(DISCOVER, |_, _, _| RpcResult::Ok(served()))
            .expect("no other method has that name");
        module
    }
}

#[async_trait]
impl MillraceServer for Methods {
    fn status(&self) -> RpcResult<Status> {
        let (heights, counters) = (self.engine.heights(), self.engine.counters());
        let (pressure, spec) = (self.engine.pressure(), self.engine.spec());
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            chain_id: spec.chain_id,
            chain_spec_hash: self.spec.hash,
            genesis_hash: self.engine.genesis().hash,
            consensus: spec.consensus.id.clone(),
            heights: HeightsView {
                finalized: heights.finalized.height,
                executed: heights.executed.height,
                settled: heights.settled,
                safe: heights.safe,
                pending: heights.head.height,
            },
            lag: heights.finalized.height - heights.settled,
            max_lag: counters.max_lag,
            pressure: PressureView {
                rung: pressure.rung.name().to_owned(),
                credits_blocks: pressure.credits_blocks,
                max_gas: pressure.max_gas,
                max_bytes: pressure.max_bytes,
                min_interval_ms: pressure.min_interval_ms,
                oldest_in_flight_ms: pressure.oldest_in_flight_ms,
            },
            pool: self.pool_view(),
            plugin: self.facts.plugin(),
            counters: CountersView {
                blocks_finalized: counters.blocks_finalized,
                blocks_executed: counters.blocks_executed,
                transactions_executed: counters.transactions_executed,
                gas_charged: counters.gas_charged,
                max_in_flight: counters.max_in_flight,
                submissions_refused: counters.submissions_refused,
                builds_declined: counters.builds_declined,
            },
            stopped: match self.engine.status() {
                EngineStatus::Running => None,
                EngineStatus::Stopped { reason } => Some(reason.to_string()),
            },
        })
    }

    fn chain_spec(&self) -> RpcResult<ChainSpecView> {
        Ok(self.spec.clone())
    }

    fn block(
        &self,
        block: Option<BlockReference>,
        transactions: Option<TransactionDetail>,
    ) -> RpcResult<Option<BlockView>> {
        self.block_view(block.unwrap_or_default(), transactions.unwrap_or_default())
    }

    fn headers(&self, first: Height, count: u64) -> RpcResult<Vec<SealedHeader>> {
        self.sealed_headers(first, count)
    }

    fn execution_receipt(&self, block: Option<BlockReference>) -> RpcResult<Option<ExecutionReceiptView>> {
        self.execution_receipt_view(block.unwrap_or_default())
    }

    fn settlement(&self, height: Height) -> RpcResult<Option<Settlement>> {
        self.settlement_view(height)
    }

    fn transaction(&self, hash: Hash) -> RpcResult<Option<LocatedTransactionView>> {
        self.located_transaction_view(&hash)
    }

    fn transaction_receipt(
        &self,
        hash: Hash,
        proof: Option<bool>,
    ) -> RpcResult<Option<TransactionReceiptView>> {
        self.transaction_receipt_view(&hash, proof.unwrap_or(false))
    }

    fn transaction_status(&self, hash: Hash) -> RpcResult<TransactionStatusView> {
        self.transaction_status_view(&hash)
    }

    fn account(
        &self,
        address: Address,
        block: Option<BlockReference>,
        proof: Option<bool>,
    ) -> RpcResult<AccountView> {
        self.account_view(address, block.unwrap_or_default(), proof.unwrap_or(false))
    }

    fn storage(
        &self,
        contract: Address,
        key: Bytes,
        block: Option<BlockReference>,
        proof: Option<bool>,
    ) -> RpcResult<StorageView> {
        self.storage_view(contract, key, block.unwrap_or_default(), proof.unwrap_or(false))
    }

    fn code(
        &self,
        contract: Address,
        block: Option<BlockReference>,
        proof: Option<bool>,
    ) -> RpcResult<CodeView> {
        self.code_view(contract, block.unwrap_or_default(), proof.unwrap_or(false))
    }

    fn state(
        &self,
        paths: Vec<Hash>,
        block: Option<BlockReference>,
        proof: Option<bool>,
    ) -> RpcResult<StateView> {
        self.state_values(paths, block.unwrap_or_default(), proof.unwrap_or(false))
    }

    async fn call(
        &self,
        from: &Extensions,
        request: CallRequest,
        block: Option<BlockReference>,
    ) -> RpcResult<CallResult> {
        self.calls.run(from, request, block.unwrap_or_default()).await
    }

    async fn estimate_gas(
        &self,
        from: &Extensions,
        request: EstimateRequest,
        block: Option<BlockReference>,
    ) -> RpcResult<GasEstimateView> {
        self.calls
            .estimate(from, request, block.unwrap_or_default())
            .await
    }

    async fn logs(&self, from: &Extensions, filter: LogQueryView) -> RpcResult<LogsView> {
        self.find_logs(from, filter).await
    }

    async fn send_transaction(&self, transaction: Bytes) -> RpcResult<Hash> {
        self.take_transaction(&transaction).await
    }

    async fn follow(
        &self,
        pending: PendingSubscriptionSink,
        from: &Extensions,
        topic: Topic,
    ) -> SubscriptionResult {
        self.announcer.serve(pending, waiting(from).cloned(), topic).await
    }
}
