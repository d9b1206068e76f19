//! What a proposal holds.

use millrace_types::ChainSpec;

/// Canonical bytes of a header with the longest consensus data and seal, of the counts of a body, and of the
/// receipts that a block may carry.
#[must_use]
pub fn overhead_bytes(spec: &ChainSpec) -> u64 {
    const HEADER: u64 = 512;
    const RECEIPT: u64 = 160;
    HEADER
        + u64::from(spec.limits.consensus_data_bytes)
        + u64::from(spec.limits.seal_bytes)
        + spec.max_receipt_lag.saturating_mul(RECEIPT)
}
