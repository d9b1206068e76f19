//! A transaction while somebody watches: what its frames are told, do and come to.
//!
//! It is executed like any other, in the reference interpreter, and comes to the same. A [`Tracer`] is told of each step in
//! the order in which it happened; it belongs to no part of consensus, and nothing that it does is seen by a contract.

use millrace_jit::{End, Jump, Trap};
use millrace_types::{Address, Amount, Gas, Hash, Payload, SignedTransaction};

use crate::context::{BlockContext, Rules};
use crate::error::ExecutionError;
use crate::executor::Executor;
use crate::read_only::ReadOnlyOutcome;
use crate::reader::StateReader;
use crate::transaction::TransactionOutput;

/// A frame that begins. Its value has been moved.
#[derive(Clone, Copy, Debug)]
pub struct TracedFrame<'t> {
    /// Whether it is the first run of a new contract.
    pub is_initialiser: bool,
    /// The contract that runs.
    pub contract: Address,
    /// Hash of its code.
    pub code_hash: Hash,
    /// Who called it.
    pub caller: Address,
    /// Units that came along.
    pub value: Amount,
    /// Its input.
    pub input: &'t [u8],
    /// Gas that it was given.
    pub gas: Gas,
    /// 1 for the transaction's own call.
    pub depth: u32,
}

/// How a frame ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TracedEnd {
    /// Its effects stand, unless a frame around it is undone.
    Returned,
    /// Its effects were undone.
    Reverted,
    /// Its effects were undone, and all its gas used.
    Trapped(Trap),
}

/// Where a run stopped.
#[derive(Clone, Copy, Debug)]
pub struct Stopped<'t> {
    /// How it ended.
    pub end: &'t End,
    /// The instruction that ended it.
    pub pc: u64,
    /// Gas left then, which a trap takes all the same.
    pub gas_left: Gas,
}

/// What a host call did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostEvent<'t> {
    /// A storage slot was read.
    StorageRead {
        /// Its key.
        key: &'t [u8],
        /// What it holds; none where it is empty.
        value: Option<&'t [u8]>,
    },
    /// A storage slot was written, or emptied.
    StorageWritten {
        /// Its key.
        key: &'t [u8],
        /// What it held.
        before: Option<&'t [u8]>,
        /// What it holds now.
        after: Option<&'t [u8]>,
    },
    /// A counter in a storage slot was added to.
    CounterAdded {
        /// Its key.
        key: &'t [u8],
        /// What was added.
        amount: Amount,
    },
    /// A transient slot was read.
    TransientRead {
        /// Its key.
        key: &'t [u8],
        /// What it holds.
        value: Option<&'t [u8]>,
    },
    /// A transient slot was written, or emptied.
    TransientWritten {
        /// Its key.
        key: &'t [u8],
        /// What it holds now.
        after: Option<&'t [u8]>,
    },
    /// A log was emitted.
    Log {
        /// Its topics.
        topics: &'t [Hash],
        /// Its data.
        data: &'t [u8],
    },
    /// Units were moved without a call.
    Transfer {
        /// Who got them.
        to: Address,
        /// How many.
        value: Amount,
        /// False where the balance did not cover them: nothing was moved.
        moved: bool,
    },
    /// A contract was to be called or created, and no frame began.
    Refused {
        /// The contract; none where its address was not known yet.
        to: Option<Address>,
        /// The status that the caller got, see [`crate::host::status`].
        status: u64,
    },
}

/// Told of a transaction's steps, in order.
pub trait Tracer {
    /// A frame begins: what follows is done by it, until the frame ends that began last.
    fn enters(&self, frame: &TracedFrame<'_>);

    /// The frame that began last runs its first instruction, at `entry`, with so much gas left behind the price of its entry.
    fn starts(&self, entry: u64, gas_left: Gas);

    /// The frame's run stopped where it is. Not told of frames that never started to run.
    fn stopped(&self, at: &Stopped<'_>);

    /// The frame that began last ends.
    fn leaves(&self, end: &TracedEnd, output: &[u8], gas_used: Gas);

    /// A host call of the running frame did this, for so much gas.
    fn host_call(&self, event: &HostEvent<'_>, gas: Gas);

    /// The running frame jumps.
    fn jumped(&self, jump: Jump);
}

impl Executor {
    /// Executes a transaction as [`Self::execute_transaction`] does, and tells `tracer` of its steps.
    ///
    /// # Errors
    /// As [`Self::execute_transaction`].
    pub fn trace_transaction(
        &self,
        block: &BlockContext,
        index: u32,
        transaction: &SignedTransaction,
        state: &dyn StateReader,
        tracer: &dyn Tracer,
    ) -> Result<TransactionOutput, ExecutionError> {
        self.execute_by(self.traced(block, tracer), index, transaction, state)
    }

    /// Tries a transaction as [`Self::try_payload`] does, and tells `tracer` of its steps.
    ///
    /// # Errors
    /// As [`Self::try_payload`].
    pub fn trace_payload(
        &self,
        block: &BlockContext,
        from: &Address,
        payload: &Payload,
        gas: Gas,
        state: &dyn StateReader,
        tracer: &dyn Tracer,
    ) -> Result<ReadOnlyOutcome, ExecutionError> {
        crate::read_only::try_payload(self.traced(block, tracer), from, payload, gas, state)
    }

    fn traced<'a>(&'a self, block: &'a BlockContext, tracer: &'a dyn Tracer) -> Rules<'a> {
        Rules {
            tracer: Some(tracer),
            ..self.rules(block)
        }
    }
}
