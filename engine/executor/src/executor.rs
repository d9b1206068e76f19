//! The executor of a chain: its spec, its programs, and what can be asked of it.

use std::sync::Arc;

use millrace_jit::machine::machine;
use millrace_jit::{CodeCache, Machine, Tier};
use millrace_types::{
    Address, Amount, ChainSpec, Gas, Height, Payload, SignedTransaction, TransactionReceipt,
};

use crate::context::{BlockContext, Rules};
use crate::error::ExecutionError;
use crate::gas::{GasSchedule, schedule};
use crate::journal::Writes;
use crate::program_cache::ProgramCache;
use crate::read_only::{ReadOnlyCall, ReadOnlyOutcome};
use crate::reader::{Changes, Overlay, StateReader};
use crate::spec_check::{SpecError, check_spec};
use crate::transaction::{Diagnostics, Executed, TransactionOutput, execute_transaction};

/// Memory of the validated programs that are kept, their text counted as decoded.
const PROGRAM_CACHE_BYTES: usize = 512 << 20;

/// Executes the transactions of one chain. Shared by threads; holds no state of the chain.
///
/// Frames nest on the caller's stack: call it on a thread with [`crate::required_stack_bytes`] of stack
/// ([`crate::on_large_stack`] makes one).
pub struct Executor {
    spec: Arc<ChainSpec>,
    programs: ProgramCache,
    tier: Tier,
}

/// What a block leaves behind. A function of the block and of the state before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlockOutput {
    /// What it writes to the state.
    pub changes: Changes,
    /// One for each transaction, in order.
    pub receipts: Vec<TransactionReceipt>,
    /// Sum over the receipts.
    pub gas_used: Gas,
    /// Sum over the receipts.
    pub gas_charged: Gas,
    /// Units that left circulation.
    pub burned: Amount,
    /// Units that the proposer got.
    pub tips: Amount,
    /// One for each transaction, in order. For logs and traces; no part of consensus.
    pub diagnostics: Vec<Diagnostics>,
}

impl Executor {
    /// The executor for `spec`.
    ///
    /// # Errors
    /// What in the spec this build cannot execute, or what contradicts itself ([`check_spec`]).
    pub fn new(spec: Arc<ChainSpec>) -> Result<Self, SpecError> {
        check_spec(&spec)?;
        Ok(Self {
            spec,
            programs: ProgramCache::new(PROGRAM_CACHE_BYTES),
            tier: Tier::default(),
        })
    }

    /// The same executor on another tier; results are equal.
    #[must_use]
    pub fn with_tier(self, tier: Tier) -> Self {
        Self { tier, ..self }
    }

    /// The same executor with the native code of its programs in `code_cache`; results are equal.
    #[must_use]
    pub fn with_code_cache(self, code_cache: Option<Arc<CodeCache>>) -> Self {
        let programs = self.programs.with_code_cache(code_cache);
        Self { programs, ..self }
    }

    /// The same executor with room for so many bytes of programs.
    #[cfg(test)]
    pub(crate) fn with_program_bytes(self, bytes: usize) -> Self {
        let programs = ProgramCache::new(bytes);
        Self { programs, ..self }
    }

    /// The chain's spec.
    #[must_use]
    pub fn spec(&self) -> &Arc<ChainSpec> {
        &self.spec
    }

    /// Executes a block's transactions in order, each on the state that the ones before it left, and pays the proposer
    /// at the end. `state` is the state before the block.
    ///
    /// # Errors
    /// [`ExecutionError::NotAdmissible`] when a transaction breaks a rule of admission, which finalized blocks do not;
    /// the others are faults of this node. No transaction's outcome is an error.
    pub fn execute_block(
        &self,
        block: &BlockContext,
        transactions: &[SignedTransaction],
        state: &dyn StateReader,
    ) -> Result<BlockOutput, ExecutionError> {
        let mut overlay = Overlay::new(state);
        let mut output = BlockOutput::new(transactions.len());
        for (index, transaction) in (0..).zip(transactions) {
            let mut done = execute_transaction(self.rules(block), index, transaction, &overlay)?;
            overlay.apply(std::mem::take(&mut done.writes))?;
            output.add(done);
        }
        pay_proposer(&mut overlay, &block.proposer, output.tips)?;
        output.changes = overlay.into_changes();
        Ok(output)
    }

    /// Executes the transaction that is `index`-th in `block` on `state`, the state that the transactions before it
    /// left. The proposer's tip is answered, not written.
    ///
    /// # Errors
    /// As [`Self::execute_block`].
    pub fn execute_transaction(
        &self,
        block: &BlockContext,
        index: u32,
        transaction: &SignedTransaction,
        state: &dyn StateReader,
    ) -> Result<TransactionOutput, ExecutionError> {
        self.execute_by(self.rules(block), index, transaction, state)
    }

    pub(crate) fn execute_by(
        &self,
        rules: Rules<'_>,
        index: u32,
        transaction: &SignedTransaction,
        state: &dyn StateReader,
    ) -> Result<TransactionOutput, ExecutionError> {
        let done = execute_transaction(rules, index, transaction, state)?;
        let mut overlay = Overlay::new(state);
        overlay.apply(done.writes)?;
        Ok(TransactionOutput {
            receipt: done.receipt,
            changes: overlay.into_changes(),
            burned: done.burned,
            tip: done.tip,
            diagnostics: done.diagnostics,
        })
    }

    /// Runs a contract as if `call.from` called it in `block`, and discards what it did to the state.
    ///
    /// # Errors
    /// Faults of this node; what the contract came to is in the outcome.
    pub fn call_read_only(
        &self,
        block: &BlockContext,
        call: &ReadOnlyCall,
        state: &dyn StateReader,
    ) -> Result<ReadOnlyOutcome, ExecutionError> {
        crate::read_only::call_read_only(self.diagnosing_rules(block), call, state)
    }

    /// Tries a transaction of `from` with `gas` beyond its intrinsic gas, as if it came in `block`, and discards what it did to
    /// the state. It needs no signature, nonce or balance; its value seems to come along.
    ///
    /// # Errors
    /// Faults of this node; what the transaction came to is in the outcome.
    pub fn try_payload(
        &self,
        block: &BlockContext,
        from: &Address,
        payload: &Payload,
        gas: Gas,
        state: &dyn StateReader,
    ) -> Result<ReadOnlyOutcome, ExecutionError> {
        crate::read_only::try_payload(self.diagnosing_rules(block), from, payload, gas, state)
    }

    /// Somebody waits for the reason of a trap.
    fn diagnosing_rules<'a>(&'a self, block: &'a BlockContext) -> Rules<'a> {
        Rules {
            diagnoses_traps: true,
            ..self.rules(block)
        }
    }

    /// The machine and the prices in force at a height.
    pub(crate) fn versions_at(&self, height: Height) -> (&'static Machine, &'static GasSchedule) {
        let versions = self.spec.versions_at(height);
        let checked = "the spec's versions were checked at the start";
        let machine = machine(versions.machine).expect(checked);
        (machine, schedule(versions.gas).expect(checked))
    }

    pub(crate) fn programs(&self) -> &ProgramCache {
        &self.programs
    }

    pub(crate) fn tier(&self) -> Tier {
        self.tier
    }

    pub(crate) fn rules<'a>(&'a self, block: &'a BlockContext) -> Rules<'a> {
        let (machine, schedule) = self.versions_at(block.height);
        Rules {
            chain_id: self.spec.chain_id,
            limits: &self.spec.limits,
            schedule,
            machine,
            tier: self.tier,
            diagnoses_traps: false,
            tracer: None,
            programs: &self.programs,
            block,
        }
    }
}

impl BlockOutput {
    /// Of a block of which nothing is executed yet.
    pub(crate) fn new(transactions: usize) -> Self {
        Self {
            changes: Changes::new(),
            receipts: Vec::with_capacity(transactions),
            gas_used: 0,
            gas_charged: 0,
            burned: 0,
            tips: 0,
            diagnostics: Vec::with_capacity(transactions),
        }
    }

    /// Adds what the next transaction left, its writes apart.
    pub(crate) fn add(&mut self, done: Executed) {
        self.gas_used += done.receipt.gas_used;
        self.gas_charged += done.receipt.gas_charged;
        self.burned += done.burned;
        self.tips += done.tip;
        self.receipts.push(done.receipt);
        self.diagnostics.push(done.diagnostics);
    }

    /// Adds what the next transactions left, their writes apart.
    pub(crate) fn append(&mut self, next: Self) {
        self.gas_used += next.gas_used;
        self.gas_charged += next.gas_charged;
        self.burned += next.burned;
        self.tips += next.tips;
        self.receipts.extend(next.receipts);
        self.diagnostics.extend(next.diagnostics);
    }
}

/// Gives the block's tips to its proposer, in one write.
fn pay_proposer(overlay: &mut Overlay<'_>, proposer: &Address, tips: Amount) -> Result<(), ExecutionError> {
    overlay.apply(Writes::credit(proposer, tips))
}
