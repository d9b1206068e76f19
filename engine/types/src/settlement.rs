//! What a header may say after its parent, and which receipts it settles.
//!
//! Both checks are pure functions of headers and receipts, shared by proposers, validators and light clients. What
//! needs the state or the body's transactions is admission (`engine/pipeline`).

use crate::block::HEADER_VERSION;
use crate::receipt::settlement_hash;
use crate::{ChainSpec, Commitment, ExecutionReceipt, Gas, Hash, Header, Height, TimestampMs};

/// Why a header cannot follow its parent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeaderError {
    /// A header format that does not exist.
    #[error("header version {found}, known is {HEADER_VERSION}")]
    Version {
        /// The header's.
        found: u16,
    },
    /// A header of another chain.
    #[error("chain id {found}, this chain's is {expected}")]
    ChainId {
        /// The header's.
        found: u64,
        /// The chain spec's.
        expected: u64,
    },
    /// Not one above its parent.
    #[error("height {found} after parent height {parent}")]
    Height {
        /// The header's.
        found: Height,
        /// The parent's.
        parent: Height,
    },
    /// Names another parent.
    #[error("parent hash {found}, the parent is {expected}")]
    ParentHash {
        /// The header's.
        found: Hash,
        /// The parent's hash.
        expected: Hash,
    },
    /// Earlier than its parent.
    #[error("timestamp {found} ms before its parent's {parent} ms")]
    Timestamp {
        /// The header's.
        found: TimestampMs,
        /// The parent's.
        parent: TimestampMs,
    },
    /// Allows more gas than the chain.
    #[error("gas limit {found}, more than limits.block_gas = {limit}")]
    GasLimit {
        /// The header's.
        found: Gas,
        /// The chain spec's.
        limit: Gas,
    },
    /// A part is longer than the chain allows.
    #[error("{part} has {found} bytes, more than its limit of {limit}")]
    TooLong {
        /// `consensus_data` or `seal`.
        part: &'static str,
        /// Its length.
        found: usize,
        /// The chain spec's limit.
        limit: u32,
    },
    /// Settles less than its parent, or a block that is no ancestor.
    #[error("settled height {found} at height {height}: allowed is {parent} ..= {}", height - 1)]
    SettledHeight {
        /// The header's settled height.
        found: Height,
        /// The parent's settled height.
        parent: Height,
        /// The header's height.
        height: Height,
    },
    /// Lags more than K behind.
    #[error("lag {lag} (height - settled height), more than max_receipt_lag = {limit}")]
    Lag {
        /// The lag.
        lag: u64,
        /// K.
        limit: u64,
    },
    /// Settles nothing and yet carries a settlement hash, or the other way round.
    #[error("settlement hash {found} for {count} settled heights: it is zero exactly when there are none")]
    SettlementHash {
        /// The header's.
        found: Hash,
        /// Heights that it settles.
        count: u64,
    },
    /// A delayed root where the chain has none, or none where it has.
    #[error("delayed state root is {}present: it is under option A, and only there", if *present { "" } else { "not " })]
    DelayedRootPresence {
        /// Whether the header carries one.
        present: bool,
    },
    /// Settles nothing and yet changes the root.
    #[error(
        "delayed state root {found} differs from the parent's {parent}, but nothing is settled between them"
    )]
    DelayedRootChanged {
        /// The header's.
        found: Hash,
        /// The parent's.
        parent: Hash,
    },
}

/// Why receipts are not those that a header settles.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SettlementError {
    /// Too many or too few.
    #[error("{found} receipts for {expected} settled heights")]
    Count {
        /// Receipts given.
        found: usize,
        /// Heights that the header settles.
        expected: u64,
    },
    /// A receipt of another height.
    #[error("receipt {position} is for height {found}, not {expected}")]
    Height {
        /// Its position.
        position: usize,
        /// The receipt's height.
        found: Height,
        /// The height that is due.
        expected: Height,
    },
    /// A receipt of a block that is not the header's ancestor.
    #[error("the receipt of height {height} is for block {found}, the ancestor is {expected}")]
    Ancestor {
        /// The height.
        height: Height,
        /// The receipt's block.
        found: Hash,
        /// The ancestor at this height.
        expected: Hash,
    },
    /// The list hashes to something else.
    #[error("the receipts hash to {found}, the header says {expected}")]
    Hash {
        /// Hash of the list.
        found: Hash,
        /// The header's settlement hash.
        expected: Hash,
    },
    /// Option A: the newest receipt's root is not the header's delayed root.
    #[error("the newest receipt's root is {found}, the header's delayed root {expected}")]
    DelayedRoot {
        /// The receipt's.
        found: Hash,
        /// The header's.
        expected: Hash,
    },
}

/// Checks all that a header says against its parent and the chain spec. `parent_hash` is the parent's hash, which
/// the caller knows already.
///
/// Not checked: the receipts themselves ([`check_settlement`]), the body, and the voter's clock (protocol rule 6).
///
/// # Errors
/// The first rule that is broken.
pub fn check_header(
    header: &Header,
    parent: &Header,
    parent_hash: &Hash,
    spec: &ChainSpec,
) -> Result<(), HeaderError> {
    if header.version != HEADER_VERSION {
        return Err(HeaderError::Version {
            found: header.version,
        });
    }
    if header.chain_id != spec.chain_id {
        return Err(HeaderError::ChainId {
            found: header.chain_id,
            expected: spec.chain_id,
        });
    }
    if parent.height.checked_add(1) != Some(header.height) {
        return Err(HeaderError::Height {
            found: header.height,
            parent: parent.height,
        });
    }
    if header.parent_hash != *parent_hash {
        return Err(HeaderError::ParentHash {
            found: header.parent_hash,
            expected: *parent_hash,
        });
    }
    if header.timestamp_ms < parent.timestamp_ms {
        return Err(HeaderError::Timestamp {
            found: header.timestamp_ms,
            parent: parent.timestamp_ms,
        });
    }
    check_sizes(header, spec)?;
    check_settled_height(header, parent, spec)?;
    check_delayed_root(header, parent, spec)
}

fn check_sizes(header: &Header, spec: &ChainSpec) -> Result<(), HeaderError> {
    let limits = &spec.limits;
    if header.gas_limit > limits.block_gas {
        return Err(HeaderError::GasLimit {
            found: header.gas_limit,
            limit: limits.block_gas,
        });
    }
    for (part, bytes, limit) in [
        (
            "consensus_data",
            &header.consensus_data,
            limits.consensus_data_bytes,
        ),
        ("seal", &header.seal, limits.seal_bytes),
    ] {
        if bytes.len() > limit as usize {
            return Err(HeaderError::TooLong {
                part,
                found: bytes.len(),
                limit,
            });
        }
    }
    Ok(())
}

fn check_settled_height(header: &Header, parent: &Header, spec: &ChainSpec) -> Result<(), HeaderError> {
    let (height, found) = (header.height, header.settled_height);
    if found < parent.settled_height || found >= height {
        return Err(HeaderError::SettledHeight {
            found,
            parent: parent.settled_height,
            height,
        });
    }
    let (lag, limit) = (height - found, spec.max_receipt_lag);
    if lag > limit {
        return Err(HeaderError::Lag { lag, limit });
    }
    let count = found - parent.settled_height;
    if (header.settlement_hash == settlement_hash(&[])) != (count == 0) {
        return Err(HeaderError::SettlementHash {
            found: header.settlement_hash,
            count,
        });
    }
    Ok(())
}

fn check_delayed_root(header: &Header, parent: &Header, spec: &ChainSpec) -> Result<(), HeaderError> {
    let present = header.delayed_state_root.is_some();
    if present != (spec.commitment == Commitment::DelayedRoot) {
        return Err(HeaderError::DelayedRootPresence { present });
    }
    if let (Some(found), Some(parent_root)) = (header.delayed_state_root, parent.delayed_state_root)
        && header.settled_height == parent.settled_height
        && found != parent_root
    {
        return Err(HeaderError::DelayedRootChanged {
            found,
            parent: parent_root,
        });
    }
    Ok(())
}

/// Checks that `receipts` are those that `header` settles: one for each height from `parent_settled` + 1 to its
/// settled height, in order, for the header's own ancestors, hashing to its settlement hash, and under option A
/// ending in its delayed root. `ancestor` gives the hash of the header's ancestor at such a height.
///
/// The header has passed [`check_header`].
///
/// # Errors
/// The first thing that does not fit.
pub fn check_settlement(
    header: &Header,
    parent_settled: Height,
    receipts: &[ExecutionReceipt],
    ancestor: impl Fn(Height) -> Hash,
) -> Result<(), SettlementError> {
    let expected = header.settled_height.saturating_sub(parent_settled);
    if receipts.len() as u64 != expected {
        return Err(SettlementError::Count {
            found: receipts.len(),
            expected,
        });
    }
    for (position, receipt) in receipts.iter().enumerate() {
        let expected = parent_settled + 1 + position as u64;
        if receipt.height != expected {
            return Err(SettlementError::Height {
                position,
                found: receipt.height,
                expected,
            });
        }
        let block = ancestor(expected);
        if receipt.block_hash != block {
            return Err(SettlementError::Ancestor {
                height: expected,
                found: receipt.block_hash,
                expected: block,
            });
        }
    }
    let found = settlement_hash(receipts);
    if found != header.settlement_hash {
        return Err(SettlementError::Hash {
            found,
            expected: header.settlement_hash,
        });
    }
    match (receipts.last(), header.delayed_state_root) {
        (Some(last), Some(expected)) if last.post_state_root != expected => {
            Err(SettlementError::DelayedRoot {
                found: last.post_state_root,
                expected,
            })
        }
        _ => Ok(()),
    }
}
