//! New contracts: the initialiser's run, then the code. Deploys and `create` share it.
//!
//! The address has no code until its initialiser has returned: a call to it from within the initialiser finds none.

use std::sync::Arc;

use millrace_types::state::code_path;
use millrace_types::{Address, Amount, Gas};

use crate::error::ExecutionError;
use crate::execution::Execution;
use crate::frame::{CallKind, FrameEnd, FrameRequest, FrameResult, run_frame};
use crate::journal::Checkpoint;
use crate::program_cache::Code;

/// A contract to be created. Its value has been moved already.
pub(crate) struct Creation {
    pub(crate) code: Code,
    /// The ELF file.
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) address: Address,
    pub(crate) creator: Address,
    pub(crate) value: Amount,
    pub(crate) input: Vec<u8>,
    pub(crate) gas: Gas,
    pub(crate) depth: u32,
}

/// The address has code already; everything since the checkpoint was undone.
pub(crate) struct AddressCollision;

/// Runs the initialiser and, when it returned, puts the code in place. Otherwise everything since `checkpoint` is
/// undone.
///
/// # Errors
/// The execution is abandoned.
pub(crate) fn create_contract(
    execution: &mut Execution<'_>,
    checkpoint: Checkpoint,
    creation: Creation,
) -> Result<Result<FrameResult, AddressCollision>, ExecutionError> {
    let Creation {
        code,
        bytes,
        address,
        creator,
        value,
        input,
        gas,
        depth,
    } = creation;
    if execution.journal.code_hash(&address)?.is_some() {
        execution.journal.undo_to(checkpoint);
        return Ok(Err(AddressCollision));
    }
    let code_hash = code.hash;
    let request = FrameRequest {
        kind: CallKind::Initialise,
        code,
        contract: address,
        caller: creator,
        value,
        input,
        gas,
        depth,
    };
    let result = run_frame(execution, checkpoint, request)?;
    if result.end == FrameEnd::Returned {
        execution.journal.set_code(&address, code_hash);
        execution.journal.set_slot(code_path(&code_hash), Some(bytes));
    }
    Ok(Ok(result))
}
