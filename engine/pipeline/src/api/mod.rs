//! The words of the engine's interface: requests, answers, heights, events. Behaviour is in [`crate::Engine`].

mod fork_choice;

use millrace_ledger::LedgerError;
pub use millrace_mempool::{Held, InsertError};
use millrace_types::{
    Address, Block, ExecutionReceipt, Gas, GasPrice, Hash, Height, SignatureError, SignedTransaction,
    TimestampMs, TransactionReceipt,
};

use crate::admission::{Invalid, Pending};
use crate::pressure::Rung;
use crate::reply::Aborted;
pub(crate) use fork_choice::TurnedAway;
pub use fork_choice::{HeadCause, HeadMove, HeadRefused, SetHeadAnswer};

/// A block's place and name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct BlockRef {
    /// Distance from genesis.
    pub height: Height,
    /// The block's id.
    pub hash: Hash,
}

/// How far each stage has come (protocol rule 26).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Heights {
    /// Newest block that new work builds on; the finalized block unless fork choice moved the head beyond it.
    pub head: BlockRef,
    /// Newest block that consensus decided and whose body and certificate are durable here.
    pub finalized: BlockRef,
    /// Newest head-chain block whose receipt is durable here. It may fall on a reorg.
    pub executed: BlockRef,
    /// `settled_height` of the finalized block: what light clients see.
    pub settled: Height,
    /// min(finalized, executed). Never falls.
    pub safe: Height,
}

/// A height by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tag {
    /// [`Heights::finalized`].
    Finalized,
    /// [`Heights::executed`]; what Ethereum calls `latest`.
    Executed,
    /// [`Heights::settled`].
    Settled,
    /// [`Heights::safe`].
    Safe,
    /// The head. Its state is not executed yet in general.
    Pending,
}

/// Which block a reader means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlockId {
    /// By name.
    Tag(Tag),
    /// On the finalized chain, and above it on the head chain.
    Height(Height),
    /// On any branch that this node stores.
    Hash(Hash),
}

/// What a plugin asks for when it is its turn to propose.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BuildRequest {
    /// The block to build on: finalized, or validated here and not in conflict with finality.
    pub parent: Hash,
    /// Who receives the tips.
    pub proposer: Address,
    /// Header field, opaque to the engine. The seal is the plugin's to fill in afterwards; room for the longest is kept.
    pub consensus_data: Vec<u8>,
    /// At most this much gas in transaction limits; the chain's and the pressure's limits hold too.
    pub max_gas: Option<Gas>,
    /// At most this many bytes; likewise.
    pub max_bytes: Option<u64>,
    /// The block's time. `None`: this node's clock. Raised to the parent's if it is less.
    pub timestamp_ms: Option<TimestampMs>,
    /// Build also when the chain is idle ([`NotNow::Idle`]). The rules of settlement and pressure still hold.
    pub allow_empty: bool,
}

/// The answer to [`crate::Engine::build`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BuildAnswer {
    /// A block that this node's own validation accepts.
    Built(Box<Block>),
    /// Not at this moment; asking again later is right.
    NotNow(NotNow),
    /// Never on this parent or with these fields.
    Refused(BuildRefused),
    /// The engine stopped.
    Aborted,
}

/// Why there is no block to propose at this moment. Each resolves by itself, and [`Event::Work`] tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotNow {
    /// The K rule: a block now must settle `needed`, which is not executed here yet.
    #[error("lag limit: the next block must settle height {needed}, executed here is {executed}")]
    LagLimit {
        /// The lowest height whose receipt must be there.
        needed: Height,
        /// What is executed.
        executed: Height,
    },
    /// Pressure allows an empty block only, and it would not settle enough to relieve it.
    #[error("under pressure, and from height {next} on not enough is executed and of age to relieve it")]
    NothingToSettle {
        /// The height that would be settled next.
        next: Height,
    },
    /// No transactions, and everything that is not empty is settled.
    #[error("idle: no transactions, and the last non-empty block is settled")]
    Idle,
    /// No transactions; the block that waits to be settled is not executed yet.
    #[error("nothing to include; height {height} is to be settled as soon as it is executed")]
    AwaitingExecution {
        /// The height that would be settled next.
        height: Height,
    },
    /// Pressure asks for distance from the parent.
    #[error("under pressure: wait {for_ms} ms before the next block")]
    Delay {
        /// How long.
        for_ms: u64,
    },
    /// `pipelining = off`: the parent is not executed yet.
    #[error("pipelining is off and the parent at height {height} is not executed yet")]
    ParentNotExecuted {
        /// The parent's height.
        height: Height,
    },
    /// Too many requests wait already.
    #[error("the engine's request queue is full")]
    Busy,
}

impl NotNow {
    /// Whether a transaction that comes in may be what was missing.
    pub(crate) fn is_over_with_a_transaction(&self) -> bool {
        match self {
            Self::Idle | Self::AwaitingExecution { .. } => true,
            // Under pressure that leaves no room for any.
            Self::NothingToSettle { .. }
            | Self::LagLimit { .. }
            | Self::Delay { .. }
            | Self::ParentNotExecuted { .. }
            | Self::Busy => false,
        }
    }
}

/// Why no block will ever be built as asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BuildRefused {
    /// Announce or validate the parent first.
    #[error("unknown parent {parent}: announce or finalize it first")]
    UnknownParent {
        /// As asked.
        parent: Hash,
    },
    /// The parent is invalid, or not validated yet.
    #[error("parent {parent} is not a valid block")]
    ParentNotValid {
        /// As asked.
        parent: Hash,
    },
    /// The parent lost against finality.
    #[error("parent {parent} conflicts with the finalized chain")]
    Conflicting {
        /// As asked.
        parent: Hash,
    },
    /// A header field passes the chain's bound.
    #[error("{field}: {size} bytes, the chain allows {limit}")]
    FieldTooLong {
        /// `consensus_data` or `seal`.
        field: &'static str,
        /// Bytes given.
        size: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// The engine no longer takes blocks.
    #[error("the engine has stopped: {0}")]
    Stopped(StopReason),
}

/// The answer to [`crate::Engine::validate`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ValidateAnswer {
    /// Vote for it.
    Valid,
    /// Never vote for it or a descendant.
    Invalid(Invalid),
    /// "Not yet" is never "no": deliver the parent, or ask again. Validations that wait for execution are answered
    /// when it has happened, unless too many wait.
    Pending(Pending),
    /// It builds on a block that lost against finality.
    Conflicting,
    /// Its time is further ahead of this node's clock than the chain's drift; no vote now. Not a verdict.
    Early {
        /// How much too far ahead.
        by_ms: u64,
    },
    /// Too many requests or unfinalized blocks; ask again.
    Busy,
    /// The engine no longer takes blocks.
    Stopped(StopReason),
    /// The engine stopped while the request waited.
    Aborted,
}

/// What [`crate::Engine::submit_finalized`], [`crate::Engine::finalize`] and [`crate::Engine::import_block`] say at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Submission {
    /// Taken. [`Event::Finalized`] tells when body and certificate are durable; an invalid or conflicting block
    /// stops the engine ([`Event::Stopped`]).
    Accepted,
    /// No credit, or no room. Nothing was taken, and an [`Event::Credit`] follows for certain once there is room. Submit the same
    /// block again then.
    Again,
    /// The engine no longer takes blocks.
    Stopped,
}

impl Aborted for BuildAnswer {
    fn aborted() -> Self {
        Self::Aborted
    }
}

impl Aborted for ValidateAnswer {
    fn aborted() -> Self {
        Self::Aborted
    }
}

/// Why the engine takes no more blocks (protocol rule 16). Reads go on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StopReason {
    /// Consensus finalized an invalid block.
    #[error("ConsensusViolation: block {block} at height {height} is finalized and invalid: {reason}")]
    ConsensusViolation {
        /// The block.
        block: Hash,
        /// Its height.
        height: Height,
        /// What is invalid.
        reason: Box<Invalid>,
    },
    /// A finalized block settles a receipt that differs from this node's own, or a receipt changed over a restart.
    #[error("Divergence at height {height}: settled by the chain {theirs}, executed here {ours}")]
    Divergence {
        /// The height whose receipts differ.
        height: Height,
        /// What the chain (or this node's own ledger) says.
        theirs: String,
        /// What this node computed.
        ours: String,
    },
    /// The plugin contradicted itself or skipped a block.
    #[error("PluginFault: {0}")]
    PluginFault(#[from] PluginFault),
    /// This node's disk, memory or code failed. Nothing was published that depends on what failed.
    #[error("NodeFault: {what}")]
    NodeFault {
        /// What failed, where.
        what: String,
    },
    /// [`crate::Engine::stop`] was called.
    #[error("Shutdown")]
    Shutdown,
}

impl StopReason {
    /// The reason's name, as operators and tests know it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::ConsensusViolation { .. } => "ConsensusViolation",
            Self::Divergence { .. } => "Divergence",
            Self::PluginFault(_) => "PluginFault",
            Self::NodeFault { .. } => "NodeFault",
            Self::Shutdown => "Shutdown",
        }
    }
}

/// How a plugin broke the rules of finalization and fork choice.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PluginFault {
    /// A block was skipped.
    #[error("finalized block {block} at height {height} has an unknown parent; the last finalized is {last}")]
    UnknownParent {
        /// The block.
        block: Hash,
        /// Its height.
        height: Height,
        /// Height of the newest finalized block.
        last: Height,
    },
    /// Two blocks at one height, or a child of a losing block.
    #[error("finalized block {block} at height {height} conflicts with the finalized {finalized}")]
    Conflicting {
        /// The block.
        block: Hash,
        /// Its height.
        height: Height,
        /// What was finalized before.
        finalized: Hash,
    },
    /// A block was finalized that is not here.
    #[error(
        "block {block} was finalized by its hash and is not known here: import it, and its ancestors, first"
    )]
    UnknownBlock {
        /// The block.
        block: Hash,
    },
    /// The certificate passes the bound.
    #[error("the certificate of block {block} has {size} bytes, more than {limit}")]
    CertificateTooLong {
        /// The block.
        block: Hash,
        /// Bytes.
        size: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// A head was asked for that leaves more blocks unfinalized than are kept.
    #[error(
        "block {block} at height {height} was to become head, but its chain is longer than the {limit} blocks that are kept \
         above the finalized height {finalized}; finalize first"
    )]
    HeadTooLong {
        /// The block.
        block: Hash,
        /// Its height.
        height: Height,
        /// The newest finalized height.
        finalized: Height,
        /// `max_unfinalized_blocks`.
        limit: usize,
    },
    /// The plugin itself gave up, panicked or hung; what the host says about it.
    #[error("{0}")]
    Reported(String),
}

/// Why a transaction was not taken. The names are those of `docs/spec/rpc.md`. A transaction that waits for settled
/// funds or for an earlier nonce is no error: the pool holds it.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// For another chain.
    #[error(
        "WrongChainId: the transaction is for chain {found}, this is chain {expected}; sign it for this one"
    )]
    WrongChainId {
        /// In the transaction.
        found: u64,
        /// Of this chain.
        expected: u64,
    },
    /// The signature does not verify.
    #[error("InvalidSignature: {0}")]
    InvalidSignature(#[from] SignatureError),
    /// Longer than the chain allows.
    #[error("TooLarge: the transaction has {size} bytes, the chain allows {limit}")]
    TooLarge {
        /// Its canonical bytes.
        size: u64,
        /// `transaction_bytes`.
        limit: u64,
    },
    /// The gas limit does not even cover signature and bytes.
    #[error("GasLimitTooLow: gas limit {limit}, inclusion alone costs {intrinsic}; raise it")]
    GasLimitTooLow {
        /// The transaction's limit.
        limit: Gas,
        /// What inclusion alone costs.
        intrinsic: Gas,
    },
    /// The gas limit passes the chain's.
    #[error("GasLimitTooHigh: gas limit {limit}, the chain allows {max} for one transaction; lower it")]
    GasLimitTooHigh {
        /// The transaction's limit.
        limit: Gas,
        /// `transaction_gas`.
        max: Gas,
    },
    /// The price is below the chain's.
    #[error("GasPriceTooLow: gas price {price}, the chain's minimum is {min}")]
    GasPriceTooLow {
        /// The transaction's price.
        price: GasPrice,
        /// `min_gas_price`.
        min: GasPrice,
    },
    /// The pool refused, for good or for now.
    #[error(transparent)]
    Pool(#[from] InsertError),
    /// The engine takes no more transactions.
    #[error(
        "Stopped: the engine takes no more transactions ({0}); send to another node, or restart this one"
    )]
    Stopped(StopReason),
}

/// Where a transaction is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TransactionStatus {
    /// Neither in the pool nor in a stored block.
    Unknown,
    /// In the pool, and could be included in the next block.
    Pooled,
    /// In the pool, waiting.
    Held {
        /// For what.
        reason: Held,
    },
    /// In a block that is not executed here yet, or never was.
    Included {
        /// The block.
        block: BlockRef,
        /// Its place there.
        index: u32,
        /// On the finalized chain, or above it on the head chain.
        canonical: bool,
    },
    /// Executed; its receipt is durable.
    Executed {
        /// The block.
        block: BlockRef,
        /// Its place there.
        index: u32,
        /// Its receipt.
        receipt: Box<TransactionReceipt>,
        /// The finalized block that settles it, when there is one.
        settled_by: Option<Height>,
        /// On the finalized chain, or above it on the head chain.
        canonical: bool,
    },
}

/// A transaction in a stored block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocatedTransaction {
    /// The transaction.
    pub transaction: SignedTransaction,
    /// The block.
    pub block: BlockRef,
    /// Its place there.
    pub index: u32,
    /// The block is on the finalized chain, or above it on the head chain.
    pub canonical: bool,
}

/// Why there is no state to read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Beyond execution. Never answered with zeros.
    #[error("NotExecuted: height {asked} is not executed yet, executed is {executed}")]
    NotExecuted {
        /// The height asked for.
        asked: Height,
        /// The newest executed height.
        executed: Height,
    },
    /// No such block here.
    #[error("Unknown: this node has no such block")]
    Unknown,
    /// Older than the retention window.
    #[error("Pruned: the state at height {asked} is no longer kept, the oldest is {oldest}")]
    Pruned {
        /// The height asked for.
        asked: Height,
        /// The oldest kept height.
        oldest: Height,
    },
    /// The ledger could not be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What happened, in order. See [`crate::Engine::subscribe`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Body and certificate of a finalized block are durable (with `pipelining = off`: its receipt too). This is the
    /// acknowledgement that consensus waits for; one per block.
    Finalized {
        /// The block.
        block: BlockRef,
        /// Its transactions.
        transactions: u32,
    },
    /// The head moved: [`Heights::head`] is another block. Blocks that are removed from the head chain no longer count
    /// as executed; those added that were executed before are told as [`Event::Executed`] again, behind this event.
    HeadMoved(HeadMove),
    /// A block of the head chain is executed and its receipt durable: [`Heights::executed`] has come to it.
    Executed {
        /// The block's receipt; names height and hash.
        receipt: ExecutionReceipt,
        /// Its transactions.
        transactions: u32,
    },
    /// A finalized block settled these heights.
    Settled {
        /// The lowest.
        from: Height,
        /// The highest.
        to: Height,
        /// The finalized block that carries their receipts or root.
        by: BlockRef,
    },
    /// There is room for finalized blocks again. Follows every [`Submission::Again`].
    Credit {
        /// Blocks that would be taken now.
        available: u64,
    },
    /// A build that was answered [`BuildAnswer::NotNow`] may succeed now. Follows every such answer.
    Work,
    /// The engine takes no more blocks ([`crate::Engine::status`] says so at once). What was taken before is finished
    /// and told first: this is the last event that tells of a block.
    Stopped {
        /// Why.
        reason: StopReason,
    },
    /// This subscriber was too slow; so many events before the next one are lost to it.
    Lagged {
        /// How many.
        missed: u64,
    },
}

/// How much the pool holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PoolSnapshot {
    /// Transactions.
    pub transactions: u64,
    /// Their canonical bytes.
    pub bytes: u64,
}

/// The state after an executed block.
#[derive(Clone)]
pub struct StateAt {
    /// The block.
    pub block: BlockRef,
    /// The root that proofs of the view verify against.
    pub root: Hash,
    /// Its contents.
    pub view: millrace_state::View,
}

/// Whether blocks are taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EngineStatus {
    /// They are.
    Running,
    /// No more, for this reason. Reads go on.
    Stopped {
        /// Why.
        reason: StopReason,
    },
}

/// What the engine counted since it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Blocks finalized.
    pub blocks_finalized: u64,
    /// Blocks executed whose receipt became durable, on any branch.
    pub blocks_executed: u64,
    /// How often a block was executed, whatever became of it.
    pub executions: u64,
    /// Blocks executed ahead of their turn.
    pub speculations: u64,
    /// Of these, how many were dropped before they counted.
    pub speculations_dropped: u64,
    /// Head moves that left a block behind.
    pub reorgs: u64,
    /// Transactions executed.
    pub transactions_executed: u64,
    /// Gas charged to them.
    pub gas_charged: u64,
    /// Largest h - s(B) of a finalized block.
    pub max_lag: u64,
    /// Largest number of finalized blocks that waited for execution at once.
    pub max_in_flight: u64,
    /// Submissions answered [`Submission::Again`].
    pub submissions_refused: u64,
    /// Blocks built.
    pub blocks_built: u64,
    /// Build requests answered [`BuildAnswer::NotNow`].
    pub builds_declined: u64,
}

/// What goes back to consensus: the pressure record of the plugin ABI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PressureSnapshot {
    /// Finalized blocks that would be taken now.
    pub credits_blocks: u64,
    /// Gas that they may hold together.
    pub credits_gas: Gas,
    /// Largest sum of gas limits that the next block should have.
    pub max_gas: Gas,
    /// Most bytes that it should have.
    pub max_bytes: u64,
    /// Least distance from its parent.
    pub min_interval_ms: u64,
    /// At lag K with nothing to settle: no block at all.
    pub no_block: bool,
    /// Newest executed height.
    pub executed_height: Height,
    /// Newest finalized height that is executed: its receipt and its state are durable, or about to be.
    pub persisted_height: Height,
    /// s(F).
    pub settled_height: Height,
    /// F.
    pub finalized_height: Height,
    /// For how long the oldest block in flight has been there.
    pub oldest_in_flight_ms: u64,
    /// Rung of the soft ladder.
    pub rung: Rung,
}
