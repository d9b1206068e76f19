//! Blocks, headers, receipts, settlements.

use jsonrpsee::core::RpcResult;
use millrace_pipeline::{BlockId, BlockRef, LocatedTransaction, StateError, TransactionStatus};
use millrace_types::{Block, ExecutionReceipt, Hash, Height, merkle};

use super::Methods;
use crate::encoding::Bytes;
use crate::error::{internal, ledger_error, limit_exceeded, state_error};
use crate::reference::BlockReference;
use crate::shapes::{
    BlockView, ExecutionReceiptView, LocatedTransactionView, LogView, ReceiptProofView, SealedHeader,
    Settlement, TransactionDetail, TransactionReceiptView, TransactionStatusView, TransactionView,
    TransactionsView, outcome_name,
};

/// Headers in one answer.
pub const MAX_HEADERS: u64 = 256;

impl Methods {
    /// The block that `reference` names, if it is stored.
    pub(super) fn resolve(&self, reference: BlockReference) -> RpcResult<Option<BlockRef>> {
        self.engine
            .resolve(reference.0)
            .map_err(|fault| ledger_error(&fault))
    }

    pub(super) fn block_view(
        &self,
        reference: BlockReference,
        detail: TransactionDetail,
    ) -> RpcResult<Option<BlockView>> {
        let Some(at) = self.resolve(reference)? else {
            return Ok(None);
        };
        let Some(block) = self
            .engine
            .block(&at.hash)
            .map_err(|fault| ledger_error(&fault))?
        else {
            return Ok(None);
        };
        let size = Bytes::of(&block).0.len() as u64;
        let Block { header, body } = block;
        let transactions = match detail {
            TransactionDetail::Hashes => {
                TransactionsView::Hashes(body.transactions.iter().map(|t| t.hash()).collect())
            }
            TransactionDetail::Full => {
                TransactionsView::Full(body.transactions.iter().map(TransactionView::from).collect())
            }
        };
        let finalized = self
            .engine
            .is_finalized(&at)
            .map_err(|fault| ledger_error(&fault))?;
        let executed = at.height == 0 || self.receipt_of(&at.hash)?.is_some();
        let receipts = body
            .receipts
            .iter()
            .map(|r| self.receipt_view(r))
            .collect::<RpcResult<_>>()?;
        Ok(Some(BlockView {
            hash: at.hash,
            header: header.into(),
            finalized,
            executed,
            transactions,
            receipts,
            size,
        }))
    }

    pub(super) fn sealed_headers(&self, first: Height, count: u64) -> RpcResult<Vec<SealedHeader>> {
        if count > MAX_HEADERS {
            return Err(limit_exceeded("headers in one answer", count, MAX_HEADERS));
        }
        let newest = self.engine.heights().finalized.height;
        let mut headers = Vec::new();
        let reference = |height| BlockReference(BlockId::Height(height));
        if (1..=newest).contains(&first) && self.resolve(reference(first))?.is_none() {
            // A node that began with an imported state has nothing below; an empty list would say that there is nothing above.
            return Err(state_error(&StateError::Unknown, reference(first)));
        }
        for height in first..first.saturating_add(count).min(newest.saturating_add(1)) {
            let Some(at) = self.resolve(reference(height))? else {
                break;
            };
            let Some(header) = self
                .engine
                .header(&at.hash)
                .map_err(|fault| ledger_error(&fault))?
            else {
                break;
            };
            let certificate = self
                .engine
                .certificate(&at.hash)
                .map_err(|fault| ledger_error(&fault))?;
            headers.push(SealedHeader {
                header: Bytes::of(&header),
                certificate: certificate.map(Bytes),
            });
        }
        Ok(headers)
    }

    pub(super) fn execution_receipt_view(
        &self,
        reference: BlockReference,
    ) -> RpcResult<Option<ExecutionReceiptView>> {
        let Some(at) = self.resolve(reference)? else {
            return Ok(None);
        };
        let Some(receipt) = self.receipt_of(&at.hash)? else {
            return Ok(None);
        };
        self.receipt_view(&receipt).map(Some)
    }

    pub(super) fn settlement_view(&self, height: Height) -> RpcResult<Option<Settlement>> {
        let Some(header) = self
            .engine
            .settling_block(height)
            .map_err(|fault| ledger_error(&fault))?
        else {
            return Ok(None);
        };
        if height == 0 {
            // Genesis is settled by its own header; there is nothing to list.
            let receipts = Bytes::of(&Vec::<ExecutionReceipt>::new());
            return Ok(Some(Settlement {
                height,
                settled_by: 0,
                header: Bytes::of(&header),
                receipts,
            }));
        }
        let parent = self
            .engine
            .header(&header.parent_hash)
            .map_err(|fault| ledger_error(&fault))?;
        let parent =
            parent.ok_or_else(|| internal(&format_args!("header {} is missing", header.parent_hash)))?;
        let mut receipts = Vec::new();
        for settled in parent.settled_height + 1..=header.settled_height {
            let hash = self
                .engine
                .ledger()
                .finalized_hash(settled)
                .map_err(|fault| ledger_error(&fault))?;
            let receipt = match hash {
                Some(hash) => self.receipt_of(&hash)?,
                None => None,
            };
            // Settled by the chain and not executed here yet: this node cannot serve the list now.
            let Some(receipt) = receipt else { return Ok(None) };
            receipts.push(receipt);
        }
        Ok(Some(Settlement {
            height,
            settled_by: header.height,
            header: Bytes::of(&header),
            receipts: Bytes::of(&receipts),
        }))
    }

    pub(super) fn located_transaction_view(&self, hash: &Hash) -> RpcResult<Option<LocatedTransactionView>> {
        let found = self
            .engine
            .transaction(hash)
            .map_err(|fault| ledger_error(&fault))?;
        Ok(found.map(
            |LocatedTransaction {
                 transaction,
                 block,
                 index,
                 canonical,
             }| LocatedTransactionView {
                transaction: TransactionView::from(&transaction),
                block_hash: block.hash,
                height: block.height,
                index,
                canonical,
            },
        ))
    }

    pub(super) fn transaction_receipt_view(
        &self,
        hash: &Hash,
        with_proof: bool,
    ) -> RpcResult<Option<TransactionReceiptView>> {
        let status = self
            .engine
            .transaction_status(hash)
            .map_err(|fault| ledger_error(&fault))?;
        let TransactionStatus::Executed {
            block,
            index,
            receipt,
            settled_by,
            canonical,
        } = status
        else {
            return Ok(None);
        };
        let proof = if with_proof {
            Some(self.receipt_proof(&block, index)?)
        } else {
            None
        };
        Ok(Some(TransactionReceiptView {
            transaction_hash: receipt.transaction_hash,
            block_hash: block.hash,
            height: block.height,
            canonical,
            index,
            outcome: outcome_name(&receipt),
            gas_used: receipt.gas_used,
            gas_charged: receipt.gas_charged,
            output: Bytes(receipt.output.clone()),
            logs: receipt.logs.iter().map(LogView::from).collect(),
            created: receipt.created,
            settled_by,
            proof,
        }))
    }

    pub(super) fn transaction_status_view(&self, hash: &Hash) -> RpcResult<TransactionStatusView> {
        let status = self
            .engine
            .transaction_status(hash)
            .map_err(|fault| ledger_error(&fault))?;
        Ok(match status {
            TransactionStatus::Unknown => TransactionStatusView::Unknown,
            TransactionStatus::Pooled => TransactionStatusView::Pooled,
            TransactionStatus::Held { reason } => TransactionStatusView::Held {
                reason: reason.into(),
            },
            TransactionStatus::Included {
                block,
                index,
                canonical,
            } => TransactionStatusView::Included {
                block_hash: block.hash,
                height: block.height,
                index,
                canonical,
            },
            TransactionStatus::Executed {
                block,
                index,
                receipt,
                settled_by,
                canonical,
            } => {
                let (block_hash, height, outcome) = (block.hash, block.height, outcome_name(&receipt));
                match settled_by {
                    Some(settled_by) => TransactionStatusView::Settled {
                        block_hash,
                        height,
                        index,
                        outcome,
                        settled_by,
                    },
                    None => TransactionStatusView::Executed {
                        block_hash,
                        height,
                        index,
                        outcome,
                        canonical,
                    },
                }
            }
        })
    }

    pub(super) fn receipt_view(&self, receipt: &ExecutionReceipt) -> RpcResult<ExecutionReceiptView> {
        let at = BlockRef {
            height: receipt.height,
            hash: receipt.block_hash,
        };
        let canonical = self
            .engine
            .is_canonical(&at)
            .map_err(|fault| ledger_error(&fault))?;
        let settled_by = if canonical {
            self.engine
                .settling_block(at.height)
                .map_err(|fault| ledger_error(&fault))?
                .map(|header| header.height)
        } else {
            None
        };
        Ok(ExecutionReceiptView {
            receipt: receipt.into(),
            canonical,
            settled_by,
        })
    }

    fn receipt_of(&self, block: &Hash) -> RpcResult<Option<ExecutionReceipt>> {
        self.engine.receipt(block).map_err(|fault| ledger_error(&fault))
    }

    fn receipt_proof(&self, block: &BlockRef, index: u32) -> RpcResult<ReceiptProofView> {
        let receipts = self
            .engine
            .transaction_receipts(&block.hash)
            .map_err(|fault| ledger_error(&fault))?;
        let receipts = receipts.unwrap_or_default();
        let receipt = receipts
            .get(index as usize)
            .ok_or_else(|| internal(&format_args!("block {} has no receipt {index}", block.hash)))?;
        let inclusion = merkle::prove_receipt(&receipts, index)
            .ok_or_else(|| internal(&format_args!("block {} has no leaf {index}", block.hash)))?;
        Ok(ReceiptProofView {
            receipt: Bytes::of(receipt),
            inclusion: Bytes::of(&inclusion),
        })
    }
}
