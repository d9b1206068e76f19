//! Accounts, storage, code and read-only calls, each on the state after one block.

use jsonrpsee::core::RpcResult;
use millrace_pipeline::{BlockId, StateAt, Tag};
use millrace_types::state::{Account, Path, account_path, code_path, storage_path};
use millrace_types::{Address, codec};

use super::Methods;
use crate::encoding::{Bytes, Units};
use crate::error::{internal, limit_exceeded, state_error};
use crate::reference::BlockReference;
use crate::shapes::{AccountView, CallRequest, CallResult, CodeView, LogView, StateOrigin, StorageView};

/// Bytes of a storage key in a request; longer keys exist on no chain.
const MAX_KEY_BYTES: u64 = 1 << 16;

impl Methods {
    pub(super) fn account_view(
        &self,
        address: Address,
        reference: BlockReference,
        with_proof: bool,
    ) -> RpcResult<AccountView> {
        if reference.0 == BlockId::Tag(Tag::Pending) {
            return self.pending_account(address);
        }
        let state = self.state_at(reference)?;
        let record = self.account_record(&state, &address)?;
        let account = record.unwrap_or_default();
        Ok(AccountView {
            origin: Some(origin(&state)),
            address,
            exists: record.is_some(),
            nonce: account.nonce,
            balance: Some(Units(account.balance)),
            code_hash: account.code_hash,
            proof: if with_proof {
                Some(prove(&state, &account_path(&address))?)
            } else {
                None
            },
        })
    }

    /// The nonce counts what is in flight and pooled; there is no balance before execution.
    fn pending_account(&self, address: Address) -> RpcResult<AccountView> {
        let nonce = self.engine.pending_nonce(&address);
        Ok(AccountView {
            origin: None,
            address,
            exists: nonce > 0,
            nonce,
            balance: None,
            code_hash: None,
            proof: None,
        })
    }

    pub(super) fn storage_view(
        &self,
        contract: Address,
        key: Bytes,
        reference: BlockReference,
        with_proof: bool,
    ) -> RpcResult<StorageView> {
        if key.0.len() as u64 > MAX_KEY_BYTES {
            return Err(limit_exceeded(
                "bytes of a storage key",
                key.0.len() as u64,
                MAX_KEY_BYTES,
            ));
        }
        let state = self.state_at(reference)?;
        let path = storage_path(&contract, &key.0);
        let value = read(&state, &path)?.map(Bytes);
        let proof = if with_proof {
            Some(prove(&state, &path)?)
        } else {
            None
        };
        Ok(StorageView {
            origin: origin(&state),
            contract,
            key,
            value,
            proof,
        })
    }

    pub(super) fn code_view(
        &self,
        contract: Address,
        reference: BlockReference,
        with_proof: bool,
    ) -> RpcResult<CodeView> {
        let state = self.state_at(reference)?;
        let code_hash = self
            .account_record(&state, &contract)?
            .and_then(|account| account.code_hash);
        let code = match &code_hash {
            Some(hash) => read(&state, &code_path(hash))?.map(Bytes),
            None => None,
        };
        let account_proof = if with_proof {
            Some(prove(&state, &account_path(&contract))?)
        } else {
            None
        };
        let code_proof = match &code_hash {
            Some(hash) if with_proof => Some(prove(&state, &code_path(hash))?),
            _ => None,
        };
        Ok(CodeView {
            origin: origin(&state),
            contract,
            code_hash,
            code,
            account_proof,
            code_proof,
        })
    }

    pub(super) fn call_view(&self, request: CallRequest, reference: BlockReference) -> RpcResult<CallResult> {
        let gas_limit = request.gas_limit.unwrap_or(self.call_gas_limit);
        if gas_limit > self.call_gas_limit {
            return Err(limit_exceeded(
                "gas of a read-only call",
                gas_limit,
                self.call_gas_limit,
            ));
        }
        let state = self.state_at(reference)?;
        let call = millrace_executor::ReadOnlyCall {
            from: request.from.unwrap_or_default(),
            to: request.to,
            value: request.value.unwrap_or_default().0,
            input: request.input.0,
            gas_limit,
        };
        let result = self.engine.call(&state, call).map_err(|fault| internal(&fault))?;
        Ok(CallResult {
            origin: origin(&state),
            outcome: crate::shapes::outcome_word(&result.outcome).to_owned(),
            output: Bytes(result.output),
            gas_used: result.gas_used,
            logs: result.logs.iter().map(LogView::from).collect(),
            trap: result
                .traps
                .last()
                .map(|last| format!("contract {}: {}", last.contract, last.trap)),
        })
    }

    fn state_at(&self, reference: BlockReference) -> RpcResult<StateAt> {
        self.engine
            .state_at(reference.0)
            .map_err(|fault| state_error(&fault, reference))
    }

    fn account_record(&self, state: &StateAt, address: &Address) -> RpcResult<Option<Account>> {
        let Some(bytes) = read(state, &account_path(address))? else {
            return Ok(None);
        };
        codec::decode(&bytes, bytes.len())
            .map(Some)
            .map_err(|fault| internal(&format_args!("the record of account {address}: {fault}")))
    }
}

fn origin(state: &StateAt) -> StateOrigin {
    StateOrigin {
        height: state.block.height,
        block_hash: state.block.hash,
        state_root: state.root,
    }
}

fn read(state: &StateAt, path: &Path) -> RpcResult<Option<Vec<u8>>> {
    Ok(state
        .view
        .get(path)
        .map_err(|fault| internal(&fault))?
        .map(|value| value.to_vec()))
}

fn prove(state: &StateAt, path: &Path) -> RpcResult<Bytes> {
    state
        .view
        .prove(path)
        .map(|proof| Bytes::of(&proof))
        .map_err(|fault| internal(&fault))
}
