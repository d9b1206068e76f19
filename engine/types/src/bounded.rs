//! Decoding within a chain's limits: what comes from the network or a plugin.
//!
//! Lengths are compared before anything is read, the limits of parts right after. What is checked here bounds
//! memory; what makes a block *valid* is checked by [`crate::settlement`] and by admission.

use alloc::vec::Vec;

use borsh::BorshDeserialize;

use crate::codec::{self, DecodeError, decode, encoded_len};
use crate::receipt::EXECUTION_RECEIPT_BYTES;
use crate::{Block, Body, ChainSpec, ExecutionReceipt, Header, SignedTransaction};

impl SignedTransaction {
    /// Decodes a transaction of at most `limits.transaction_bytes`.
    ///
    /// # Errors
    /// If it is longer or not canonical.
    pub fn decode(bytes: &[u8], spec: &ChainSpec) -> Result<Self, DecodeError> {
        decode(bytes, spec.limits.transaction_bytes as usize)
    }
}

impl Header {
    /// Decodes a header whose `consensus_data` and `seal` are within their limits.
    ///
    /// # Errors
    /// If it is longer or not canonical.
    pub fn decode(bytes: &[u8], spec: &ChainSpec) -> Result<Self, DecodeError> {
        let header: Self = decode(bytes, spec.limits.header_bytes())?;
        header.check_bounds("Header", spec)?;
        Ok(header)
    }

    fn check_bounds(&self, what: &'static str, spec: &ChainSpec) -> Result<(), DecodeError> {
        let limits = &spec.limits;
        within(
            what,
            "bytes of consensus_data",
            self.consensus_data.len(),
            limits.consensus_data_bytes.into(),
        )?;
        within(what, "bytes of seal", self.seal.len(), limits.seal_bytes.into())
    }
}

impl Body {
    /// Decodes a body of at most `limits.block_bytes`, `limits.block_transactions` transactions, each at most
    /// `limits.transaction_bytes`, and `max_receipt_lag` receipts.
    ///
    /// # Errors
    /// If it passes a limit or is not canonical.
    pub fn decode(bytes: &[u8], spec: &ChainSpec) -> Result<Self, DecodeError> {
        let body: Self = decode(bytes, spec.limits.block_bytes as usize)?;
        body.check_bounds("Body", spec)?;
        Ok(body)
    }

    fn check_bounds(&self, what: &'static str, spec: &ChainSpec) -> Result<(), DecodeError> {
        let limits = &spec.limits;
        within(
            what,
            "number of transactions",
            self.transactions.len(),
            limits.block_transactions.into(),
        )?;
        within(
            what,
            "number of receipts",
            self.receipts.len(),
            spec.max_receipt_lag,
        )?;
        self.transactions.iter().try_for_each(|signed| {
            within(
                what,
                "bytes of a transaction",
                signed.byte_len(),
                limits.transaction_bytes.into(),
            )
        })
    }
}

impl Block {
    /// Decodes a block of at most `limits.block_bytes` whose header and body are within their limits.
    ///
    /// # Errors
    /// If it passes a limit or is not canonical.
    pub fn decode(bytes: &[u8], spec: &ChainSpec) -> Result<Self, DecodeError> {
        let block: Self = decode(bytes, spec.limits.block_bytes as usize)?;
        block.check_bounds(spec)?;
        Ok(block)
    }

    /// Checks the limits that [`Block::decode`] checks, for a block that came another way.
    ///
    /// # Errors
    /// If it passes one.
    pub fn check_bounds(&self, spec: &ChainSpec) -> Result<(), DecodeError> {
        within(
            "Block",
            "number of bytes",
            encoded_len(self),
            spec.limits.block_bytes.into(),
        )?;
        self.header.check_bounds("Block", spec)?;
        self.body.check_bounds("Block", spec)
    }
}

impl ExecutionReceipt {
    /// Decodes a list of at most `max_receipt_lag` receipts: what a settlement hash commits to.
    ///
    /// # Errors
    /// If there are more or they are not canonical.
    pub fn decode_list(bytes: &[u8], spec: &ChainSpec) -> Result<Vec<Self>, DecodeError> {
        #[derive(BorshDeserialize)]
        struct ExecutionReceipts(#[borsh(deserialize_with = "codec::list")] Vec<ExecutionReceipt>);
        let most = usize::try_from(spec.max_receipt_lag).unwrap_or(usize::MAX);
        let limit = most.saturating_mul(EXECUTION_RECEIPT_BYTES).saturating_add(4);
        decode::<ExecutionReceipts>(bytes, limit).map(|receipts| receipts.0)
    }
}

fn within(what: &'static str, part: &'static str, size: usize, limit: u64) -> Result<(), DecodeError> {
    let size = size as u64;
    if size <= limit {
        Ok(())
    } else {
        Err(DecodeError::OverLimit {
            what,
            part,
            size,
            limit,
        })
    }
}
