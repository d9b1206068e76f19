//! Taking transactions, and the pool that holds them.

use jsonrpsee::core::RpcResult;
use millrace_types::{Hash, SignedTransaction, codec};
use serde_json::json;

use super::Methods;
use crate::encoding::Bytes;
use crate::error::{codes, error, submit_error};
use crate::shapes::PoolView;

impl Methods {
    pub(super) fn take_transaction(&self, bytes: &Bytes) -> RpcResult<Hash> {
        let limit = self.engine.spec().limits.transaction_bytes as usize;
        let transaction: SignedTransaction = codec::decode(&bytes.0, limit).map_err(|fault| {
            let message =
                format!("transaction: {fault}; send the canonical (borsh) bytes of a signed transaction");
            error(
                codes::REFUSED,
                "Malformed",
                &message,
                json!({ "size": bytes.0.len(), "limit": limit }),
            )
        })?;
        self.engine
            .submit_transaction(transaction)
            .map_err(|fault| submit_error(&fault))
    }

    pub(super) fn pool_view(&self) -> PoolView {
        let pool = self.engine.pool();
        PoolView {
            transactions: pool.transactions,
            bytes: pool.bytes,
        }
    }
}
