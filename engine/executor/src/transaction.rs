//! One transaction: fees, what it does, its receipt. The unit of the executors of blocks, in order and in parallel.
//!
//! ```text
//! check (chain, price, limit, nonce, payable)      else: not admissible, the execution ends
//!   ▼
//! nonce + 1; debit value + limit × price            stands whatever happens
//!   ▼
//! transfer | deploy | call                          undone unless it succeeds
//!   ▼
//! refund (limit - charged) × price; value back unless success
//! burn charged × min price; the rest is the proposer's, paid by the block
//! ```

use std::sync::Arc;

use millrace_jit::ImageError;
use millrace_types::receipt::Failure;
use millrace_types::state::code_hash;
use millrace_types::{
    Address, Amount, Gas, Hash, Outcome, Payload, SignedTransaction, Transaction, TransactionReceipt,
};

use crate::context::Rules;
use crate::create::{AddressCollision, Creation, create_contract};
use crate::error::{ExecutionError, NotAdmissible};
use crate::execution::{Execution, FrameTrap, NoProgram};
use crate::frame::{CallKind, FrameEnd, FrameRequest, FrameResult, run_frame, unpaid_frame};
use crate::gas::{charged_gas, intrinsic_gas};
use crate::journal::Writes;
use crate::reader::{Changes, StateReader};

/// What a transaction leaves behind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransactionOutput {
    /// What everyone learns of it.
    pub receipt: TransactionReceipt,
    /// What it writes to the state.
    pub changes: Changes,
    /// Units that left circulation.
    pub burned: Amount,
    /// Units that the block's proposer gets at the end of the block; not in `changes`.
    pub tip: Amount,
    /// For logs and traces.
    pub diagnostics: Diagnostics,
}

/// The same with what it writes as differences: [`Overlay::apply`](crate::reader::Overlay::apply) makes changes of it.
pub(crate) struct Executed {
    pub(crate) receipt: TransactionReceipt,
    pub(crate) writes: Writes,
    pub(crate) burned: Amount,
    pub(crate) tip: Amount,
    pub(crate) diagnostics: Diagnostics,
}

/// What a receipt does not say. No part of consensus.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Diagnostics {
    /// The newest traps of the transaction's frames, oldest first; at most [`crate::MAX_KEPT_TRAPS`].
    pub traps: Vec<FrameTrap>,
    /// Why the transaction's own code is no program.
    pub image_error: Option<ImageError>,
}

/// How the payload ended.
pub(crate) struct End {
    pub(crate) outcome: Outcome,
    /// Beyond the intrinsic gas.
    pub(crate) gas_used: Gas,
    pub(crate) output: Vec<u8>,
    created: Option<Address>,
    pub(crate) image_error: Option<ImageError>,
}

/// Executes a transaction on the state behind `reader`.
pub(crate) fn execute_transaction(
    rules: Rules<'_>,
    index: u32,
    signed: &SignedTransaction,
    reader: &dyn StateReader,
) -> Result<Executed, ExecutionError> {
    let hash = signed.hash();
    let transaction = &signed.transaction;
    let sender = transaction.sender();
    let intrinsic = intrinsic_gas(signed, rules.schedule);
    let mut execution = Execution::new(rules, sender, reader);
    begin(&mut execution, &sender, transaction, intrinsic)?.map_err(|reason| {
        ExecutionError::NotAdmissible {
            index,
            transaction: hash,
            reason,
        }
    })?;
    let gas = transaction.gas_limit - intrinsic;
    let (nonce, payload) = (transaction.nonce, &transaction.payload);
    let end = run_payload(&mut execution, &sender, nonce, payload, gas)?;
    let gas = (intrinsic + end.gas_used, transaction.gas_limit);
    settle(execution, index, hash, &sender, transaction, gas, end)
}

/// Checks what admission guarantees, then uses the nonce and debits the most that the transaction may cost.
fn begin(
    execution: &mut Execution<'_>,
    sender: &Address,
    transaction: &Transaction,
    intrinsic: Gas,
) -> Result<Result<(), NotAdmissible>, ExecutionError> {
    if let Err(reason) = check_constants(&execution.rules, transaction, intrinsic) {
        return Ok(Err(reason));
    }
    let needed = most_cost(transaction).unwrap_or(Amount::MAX);
    let journal = &mut execution.journal;
    if journal.is_guess() {
        // Admission has seen to both: transactions of one sender need not wait for each other. It is checked when this
        // one commits.
        journal.assume(sender, transaction.nonce, needed);
    } else {
        let nonce = journal.nonce(sender)?;
        if nonce != transaction.nonce {
            return Ok(Err(NotAdmissible::Nonce {
                expected: nonce,
                found: transaction.nonce,
            }));
        }
        if !journal.covers(sender, needed)? {
            let balance = journal.balance(sender)?;
            return Ok(Err(NotAdmissible::Unpayable { balance, needed }));
        }
    }
    journal.pay_in_advance(sender, needed)?;
    Ok(Ok(()))
}

/// What depends on the transaction and the chain spec alone.
fn check_constants(
    rules: &Rules<'_>,
    transaction: &Transaction,
    intrinsic: Gas,
) -> Result<(), NotAdmissible> {
    let Transaction {
        chain_id,
        gas_limit,
        gas_price,
        ..
    } = *transaction;
    if chain_id != rules.chain_id {
        return Err(NotAdmissible::Chain {
            expected: rules.chain_id,
            found: chain_id,
        });
    }
    let minimum = rules.limits.min_gas_price;
    if gas_price < minimum {
        return Err(NotAdmissible::GasPrice {
            price: gas_price,
            minimum,
        });
    }
    let maximum = rules.limits.transaction_gas;
    if gas_limit < intrinsic || gas_limit > maximum {
        return Err(NotAdmissible::GasLimit {
            limit: gas_limit,
            intrinsic,
            maximum,
        });
    }
    Ok(())
}

/// Value and gas limit × price: what admission reserves for a transaction. `None` when it overflows, which no balance
/// covers.
#[must_use]
pub fn most_cost(transaction: &Transaction) -> Option<Amount> {
    let fee = Amount::from(transaction.gas_limit) * Amount::from(transaction.gas_price);
    fee.checked_add(transaction.payload.value())
}

/// Does what a transaction is for, with the gas that is left when its intrinsic gas is paid.
pub(crate) fn run_payload(
    execution: &mut Execution<'_>,
    sender: &Address,
    nonce: u64,
    payload: &Payload,
    gas: Gas,
) -> Result<End, ExecutionError> {
    execution.journal.warm_account(sender);
    match payload {
        Payload::Transfer { to, value } => {
            execution.journal.credit(to, *value)?;
            Ok(End::without_code(Outcome::Success))
        }
        Payload::Call { to, value, input } => run_call(execution, sender, to, *value, input, gas),
        Payload::Deploy { code, value, input } => {
            let address = Address::of_deploy(sender, nonce);
            run_deploy(execution, sender, &address, code, *value, input, gas)
        }
    }
}

fn run_call(
    execution: &mut Execution<'_>,
    sender: &Address,
    to: &Address,
    value: Amount,
    input: &[u8],
    gas: Gas,
) -> Result<End, ExecutionError> {
    let Some(code_hash) = execution.journal.code_hash(to)? else {
        return Ok(End::without_code(Outcome::Failed(Failure::NoCode)));
    };
    let code = match execution.program(&code_hash, gas)? {
        Ok(code) => code,
        Err(NoProgram::Unpaid) => return Ok(End::of_frame(unpaid_frame(execution, *to, 1, gas), None)),
        Err(NoProgram::Invalid(error)) => return Ok(End::invalid_program(error)),
    };
    execution.journal.warm_account(to);
    let checkpoint = execution.journal.checkpoint();
    execution.journal.credit(to, value)?;
    let request = FrameRequest {
        kind: CallKind::Call,
        code,
        contract: *to,
        caller: *sender,
        value,
        input: input.to_vec(),
        gas,
        depth: 1,
    };
    Ok(End::of_frame(run_frame(execution, checkpoint, request)?, None))
}

fn run_deploy(
    execution: &mut Execution<'_>,
    sender: &Address,
    address: &Address,
    bytes: &[u8],
    value: Amount,
    input: &[u8],
    gas: Gas,
) -> Result<End, ExecutionError> {
    let rules = execution.rules;
    let code = match rules.programs.load(&code_hash(bytes), bytes, rules.machine) {
        Ok(code) => code,
        Err(error) => return Ok(End::invalid_program(error)),
    };
    let checkpoint = execution.journal.checkpoint();
    execution.journal.warm_account(address);
    execution.journal.credit(address, value)?;
    let creation = Creation {
        code,
        bytes: Arc::from(bytes),
        address: *address,
        creator: *sender,
        value,
        input: input.to_vec(),
        gas,
        depth: 1,
    };
    Ok(match create_contract(execution, checkpoint, creation)? {
        Ok(result) => End::of_frame(result, Some(*address)),
        Err(AddressCollision) => End::without_code(Outcome::Failed(Failure::AddressCollision)),
    })
}

impl End {
    fn without_code(outcome: Outcome) -> Self {
        Self {
            outcome,
            gas_used: 0,
            output: Vec::new(),
            created: None,
            image_error: None,
        }
    }

    fn invalid_program(error: ImageError) -> Self {
        let end = Self::without_code(Outcome::Failed(Failure::InvalidProgram));
        Self {
            image_error: Some(error),
            ..end
        }
    }

    fn of_frame(result: FrameResult, address: Option<Address>) -> Self {
        let FrameResult {
            end,
            output,
            gas_used,
        } = result;
        let (outcome, created) = match end {
            FrameEnd::Returned => (Outcome::Success, address),
            FrameEnd::Reverted => (Outcome::Reverted, None),
            FrameEnd::Trapped => (Outcome::Trapped, None),
        };
        Self {
            outcome,
            gas_used,
            output,
            created,
            image_error: None,
        }
    }
}

/// Refunds, splits the fee and writes the receipt.
fn settle(
    mut execution: Execution<'_>,
    index: u32,
    transaction_hash: Hash,
    sender: &Address,
    transaction: &Transaction,
    (gas_used, gas_limit): (Gas, Gas),
    end: End,
) -> Result<Executed, ExecutionError> {
    let price = Amount::from(transaction.gas_price);
    let minimum = Amount::from(execution.rules.limits.min_gas_price);
    let gas_charged = charged_gas(gas_used, gas_limit);
    let charged = Amount::from(gas_charged);
    let unused = Amount::from(gas_limit - gas_charged) * price;
    let value = if end.outcome == Outcome::Success {
        0
    } else {
        transaction.payload.value()
    };
    execution.journal.credit(sender, unused + value)?;
    let diagnostics = Diagnostics {
        traps: execution.traps,
        image_error: end.image_error,
    };
    let output = execution.journal.finish();
    let receipt = TransactionReceipt {
        transaction_hash,
        index,
        outcome: end.outcome,
        gas_used,
        gas_charged,
        output: end.output,
        logs: output.logs,
        created: end.created,
    };
    Ok(Executed {
        receipt,
        writes: output.writes,
        burned: charged * minimum,
        tip: charged * (price - minimum),
        diagnostics,
    })
}
