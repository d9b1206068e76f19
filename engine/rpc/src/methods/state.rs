//! Accounts, storage and code, each in the state after one block.

use jsonrpsee::core::RpcResult;
use millrace_pipeline::{BlockId, Engine, StateAt, Tag};
use millrace_types::state::{Account, Path, account_path, code_path, storage_path};
use millrace_types::{Address, Hash, codec};

use super::Methods;
use crate::encoding::{Bytes, Units};
use crate::error::{internal, limit_exceeded, state_error};
use crate::reference::BlockReference;
use crate::shapes::{AccountView, CodeView, StateOrigin, StateValueView, StateView, StorageView};

/// Bytes of a storage key in a request; longer keys exist on no chain.
const MAX_KEY_BYTES: u64 = 1 << 16;

/// Paths in a request.
const MAX_PATHS: usize = 64;

/// Bytes of values and proofs that are read for one answer, the last one apart.
const MAX_STATE_BYTES: usize = 4 << 20;

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

    pub(super) fn state_values(
        &self,
        paths: Vec<Hash>,
        reference: BlockReference,
        with_proof: bool,
    ) -> RpcResult<StateView> {
        if paths.len() > MAX_PATHS {
            return Err(limit_exceeded(
                "paths of state",
                paths.len() as u64,
                MAX_PATHS as u64,
            ));
        }
        let state = self.state_at(reference)?;
        let mut bytes = 0;
        let mut values = Vec::with_capacity(paths.len());
        for path in paths {
            let value = read(&state, &path.0)?.map(Bytes);
            let proof = with_proof.then(|| prove(&state, &path.0)).transpose()?;
            bytes += [&value, &proof]
                .into_iter()
                .flatten()
                .map(|part| part.0.len())
                .sum::<usize>();
            values.push(StateValueView { path, value, proof });
            // One value, however long, has room in an answer. More are read as long as they stay small.
            if bytes > MAX_STATE_BYTES && values.len() > 1 {
                return Err(limit_exceeded(
                    "bytes of values and proofs in an answer; ask for fewer paths at once",
                    bytes as u64,
                    MAX_STATE_BYTES as u64,
                ));
            }
        }
        Ok(StateView {
            origin: origin(&state),
            values,
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
