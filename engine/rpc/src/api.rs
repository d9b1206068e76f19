//! The methods, as a trait from which server and client are generated.

use jsonrpsee::core::{RpcResult, SubscriptionResult};
use jsonrpsee::proc_macros::rpc;
use millrace_types::{Address, Hash, Height};

use crate::encoding::Bytes;
use crate::reference::BlockReference;
use crate::shapes::{
    AccountView, BlockView, CallRequest, CallResult, ChainSpecView, CodeView, EstimateRequest,
    ExecutionReceiptView, GasEstimateView, LocatedTransactionView, LogQueryView, LogsView, Notification,
    SealedHeader, Settlement, StateView, Status, StorageView, Topic, TransactionDetail,
    TransactionReceiptView, TransactionStatusView,
};

/// Everything that a node answers. Meaning, units and errors: `docs/spec/rpc.md`.
#[rpc(server, client, namespace = "millrace")]
pub trait Millrace {
    /// Heights, lag, pressure, pool, plugin.
    #[method(name = "status")]
    fn status(&self) -> RpcResult<Status>;

    /// The chain spec.
    #[method(name = "chainSpec")]
    fn chain_spec(&self) -> RpcResult<ChainSpecView>;

    /// A block, or null.
    #[method(name = "getBlock", blocking)]
    fn block(
        &self,
        block: Option<BlockReference>,
        transactions: Option<TransactionDetail>,
    ) -> RpcResult<Option<BlockView>>;

    /// Finalized headers with certificates, from a height upward.
    #[method(name = "getHeaders", blocking)]
    fn headers(&self, first: Height, count: u64) -> RpcResult<Vec<SealedHeader>>;

    /// A block's execution receipt, or null.
    #[method(name = "getExecutionReceipt", blocking)]
    fn execution_receipt(&self, block: Option<BlockReference>) -> RpcResult<Option<ExecutionReceiptView>>;

    /// What settles a height, or null while nothing does.
    #[method(name = "getSettlement", blocking)]
    fn settlement(&self, height: Height) -> RpcResult<Option<Settlement>>;

    /// A transaction and its place, or null.
    #[method(name = "getTransaction", blocking)]
    fn transaction(&self, hash: Hash) -> RpcResult<Option<LocatedTransactionView>>;

    /// A transaction's receipt, or null.
    #[method(name = "getTransactionReceipt", blocking)]
    fn transaction_receipt(
        &self,
        hash: Hash,
        proof: Option<bool>,
    ) -> RpcResult<Option<TransactionReceiptView>>;

    /// Where a transaction is.
    #[method(name = "getTransactionStatus", blocking)]
    fn transaction_status(&self, hash: Hash) -> RpcResult<TransactionStatusView>;

    /// An account.
    #[method(name = "getAccount", blocking)]
    fn account(
        &self,
        address: Address,
        block: Option<BlockReference>,
        proof: Option<bool>,
    ) -> RpcResult<AccountView>;

    /// A contract's storage slot.
    #[method(name = "getStorage", blocking)]
    fn storage(
        &self,
        contract: Address,
        key: Bytes,
        block: Option<BlockReference>,
        proof: Option<bool>,
    ) -> RpcResult<StorageView>;

    /// A contract's code.
    #[method(name = "getCode", blocking)]
    fn code(
        &self,
        contract: Address,
        block: Option<BlockReference>,
        proof: Option<bool>,
    ) -> RpcResult<CodeView>;

    /// Raw values by their paths in the state.
    #[method(name = "getState", blocking)]
    fn state(
        &self,
        paths: Vec<Hash>,
        block: Option<BlockReference>,
        proof: Option<bool>,
    ) -> RpcResult<StateView>;

    /// Runs a contract and keeps nothing.
    #[method(name = "call", with_extensions)]
    async fn call(&self, request: CallRequest, block: Option<BlockReference>) -> RpcResult<CallResult>;

    /// The smallest gas limit with which a transaction succeeds.
    #[method(name = "estimateGas", with_extensions)]
    async fn estimate_gas(
        &self,
        request: EstimateRequest,
        block: Option<BlockReference>,
    ) -> RpcResult<GasEstimateView>;

    /// Logs of the canonical chain.
    #[method(name = "getLogs", with_extensions)]
    async fn logs(&self, filter: LogQueryView) -> RpcResult<LogsView>;

    /// Takes a signed transaction; answers admission problems at once and by name.
    #[method(name = "sendTransaction")]
    async fn send_transaction(&self, transaction: Bytes) -> RpcResult<Hash>;

    /// Numbered notifications.
    #[subscription(name = "subscribe" => "notification", unsubscribe = "unsubscribe", item = Notification, with_extensions)]
    async fn follow(&self, topic: Topic) -> SubscriptionResult;
}
