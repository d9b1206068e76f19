//! Accounts, storage and code, each in the state after one block.

use jsonrpsee::core::RpcResult;
use millrace_pipeline::{BlockId, Engine, StateAt, Tag};
use millrace_types::state::{Account, Path, account_path, code_path, storage_path};
use millrace_types::{Address, codec};

use super::Methods;
use crate::encoding::{Bytes, Units};
use crate::error::{internal, limit_exceeded, state_error};
use crate::reference::BlockReference;
use crate::shapes::{AccountView, CodeView, StateOrigin, StorageView};

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
            return self.pending_account(address, with_proof);
        }
        let state = self.state_at(reference)?;
        let record = self.account_record(&state, &address)?;
        let account = record.unwrap_or_default();
        Ok(AccountView {
            origin: Some(origin(&state)),
            address,
            exists: Some(record.is_some()),
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

    /// The nonce counts what is in flight and pooled. Nothing else is known before execution, and nothing proves it.
    fn pending_account(&self, address: Address, with_proof: bool) -> RpcResult<AccountView> {
        if with_proof {
            self.state_at(BlockReference(BlockId::Tag(Tag::Pending)))?;
        }
        Ok(AccountView {
            origin: None,
            address,
            exists: None,
            nonce: self.engine.pending_nonce(&address),
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

    fn state_at(&self, reference: BlockReference) -> RpcResult<StateAt> {
        state_at(&self.engine, reference)
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

/// The state that `reference` names.
pub(super) fn state_at(engine: &Engine, reference: BlockReference) -> RpcResult<StateAt> {
    engine
        .state_at(reference.0)
        .map_err(|fault| state_error(&fault, reference))
}

/// Where an answer was read.
pub(super) fn origin(state: &StateAt) -> StateOrigin {
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
