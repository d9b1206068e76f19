//! Taking transactions, and the pool that holds them.

use jsonrpsee::core::RpcResult;
use jsonrpsee::types::ErrorObjectOwned;
use millrace_pipeline::SubmitError;
use millrace_types::{DecodeError, Hash, SignedTransaction, codec};
use serde_json::json;

use super::Methods;
use crate::encoding::Bytes;
use crate::error::{ErrorName, error, submit_error};
use crate::shapes::PoolView;

impl Methods {
    pub(super) async fn take_transaction(&self, bytes: &Bytes) -> RpcResult<Hash> {
        let (size, limit) = (bytes.0.len(), self.engine.spec().limits.transaction_bytes);
        let transaction: SignedTransaction =
            codec::decode(&bytes.0, limit as usize).map_err(|fault| match fault {
                DecodeError::TooLong { .. } => submit_error(&SubmitError::TooLarge {
                    size: size as u64,
                    limit: limit.into(),
                }),
                fault => malformed(&fault, size),
            })?;
        let taken = self.intake.take(transaction).await?;
        taken.map_err(|fault| submit_error(&fault))
    }

    pub(super) fn pool_view(&self) -> PoolView {
        let pool = self.engine.pool();
        PoolView {
            transactions: pool.transactions,
            bytes: pool.bytes,
        }
    }
}

fn malformed(fault: &DecodeError, size: usize) -> ErrorObjectOwned {
    let message = format!("{fault}; send the canonical (borsh) bytes of a signed transaction");
    error(ErrorName::Malformed, &message, json!({ "size": size }))
}
