//! The tables, their keys and values. Values of tables keyed by block hash are sealed (`crate::seal`).
//!
//! Text keys are stored as bytes: the database panics on text that is not UTF-8, and a damaged file may hold any. A changed meaning is a new [`crate::FORMAT_VERSION`].

use redb::TableDefinition;

/// A 32-byte key: a hash.
pub(crate) type Key = [u8; 32];

/// Names to small values: format version, identity of the chain.
pub(crate) const META: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("meta");
/// Block hash → canonical bytes of the header.
pub(crate) const HEADERS: TableDefinition<'static, &Key, &[u8]> = TableDefinition::new("headers");
/// Block hash → canonical bytes of the body.
pub(crate) const BODIES: TableDefinition<'static, &Key, &[u8]> = TableDefinition::new("bodies");
/// Block hash → certificate, opaque.
pub(crate) const CERTIFICATES: TableDefinition<'static, &Key, &[u8]> = TableDefinition::new("certificates");
/// Height → hash of the finalized block.
pub(crate) const FINALIZED: TableDefinition<'static, u64, &Key> = TableDefinition::new("finalized");
/// Block hash → canonical bytes of its execution receipt.
pub(crate) const RECEIPTS: TableDefinition<'static, &Key, &[u8]> = TableDefinition::new("receipts");
/// Block hash → canonical bytes of the list of its transactions' receipts.
pub(crate) const TRANSACTION_RECEIPTS: TableDefinition<'static, &Key, &[u8]> =
    TableDefinition::new("transaction-receipts");
/// Block hash → what its logs may be about (`crate::summary`). Absent for blocks that an older build executed, and the whole
/// table in ledgers that only older builds wrote.
pub(crate) const LOG_SUMMARIES: TableDefinition<'static, &Key, &[u8]> = TableDefinition::new("log-summaries");
/// Transaction hash, block hash → place in the block. Several blocks while forks live.
pub(crate) const TRANSACTIONS: TableDefinition<'static, (&Key, &Key), u32> =
    TableDefinition::new("transactions");
/// Settled height → height of the finalized block that settles it.
pub(crate) const SETTLED_BY: TableDefinition<'static, u64, u64> = TableDefinition::new("settled-by");
/// Plugin's consensus id, key → the plugin's own durable value.
pub(crate) const PLUGIN: TableDefinition<'static, (&[u8], &[u8]), &[u8]> = TableDefinition::new("plugin");
