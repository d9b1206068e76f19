//! Look-ups. Each runs on a snapshot of the newest commit.

use borsh::BorshDeserialize;
use millrace_types::{Block, Body, ExecutionReceipt, Hash, Header, Height, TransactionReceipt};
use redb::{ReadableDatabase, ReadableTable, TableDefinition, TableError, TableHandle};

use crate::seal::{self, guarded};
use crate::tables::{self, Key};
use crate::{Ledger, LedgerError, LogSummary};

/// A finalized block's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Finalized {
    /// Its height.
    pub height: Height,
    /// Its hash.
    pub hash: Hash,
}

/// A block that holds a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inclusion {
    /// The block.
    pub block: Hash,
    /// The transaction's place in it.
    pub index: u32,
}

impl Ledger {
    /// A block's header.
    ///
    /// # Errors
    /// When the disk fails or the record does not decode; so for all look-ups.
    pub fn header(&self, block: &Hash) -> Result<Option<Header>, LedgerError> {
        self.decoded(tables::HEADERS, "header", block)
    }

    /// A block's body.
    ///
    /// # Errors
    /// As [`Self::header`].
    pub fn body(&self, block: &Hash) -> Result<Option<Body>, LedgerError> {
        self.decoded(tables::BODIES, "body", block)
    }

    /// A block.
    ///
    /// # Errors
    /// As [`Self::header`].
    pub fn block(&self, block: &Hash) -> Result<Option<Block>, LedgerError> {
        let (Some(header), Some(body)) = (self.header(block)?, self.body(block)?) else {
            return Ok(None);
        };
        Ok(Some(Block { header, body }))
    }

    /// The certificate that finalized a block.
    ///
    /// # Errors
    /// As [`Self::header`].
    pub fn certificate(&self, block: &Hash) -> Result<Option<Vec<u8>>, LedgerError> {
        guarded(|| {
            let table = self.database.begin_read()?.open_table(tables::CERTIFICATES)?;
            let Some(guard) = table.get(&block.0)? else {
                return Ok(None);
            };
            let bytes = seal::open(tables::CERTIFICATES.name(), block, guard.value())
                .ok_or_else(|| checksum_differs("certificate", block))?;
            Ok(Some(bytes.to_vec()))
        })
    }

    /// A block's execution receipt.
    ///
    /// # Errors
    /// As [`Self::header`].
    pub fn receipt(&self, block: &Hash) -> Result<Option<ExecutionReceipt>, LedgerError> {
        self.decoded(tables::RECEIPTS, "execution receipt", block)
    }

    /// The receipts of a block's transactions, in order.
    ///
    /// # Errors
    /// As [`Self::header`].
    pub fn transaction_receipts(&self, block: &Hash) -> Result<Option<Vec<TransactionReceipt>>, LedgerError> {
        self.decoded(
            tables::TRANSACTION_RECEIPTS,
            "list of transaction receipts",
            block,
        )
    }

    /// What the logs of an executed block may be about; `None` where an older build executed it: its receipts have to be read.
    ///
    /// # Errors
    /// As [`Self::header`].
    pub fn log_summary(&self, block: &Hash) -> Result<Option<LogSummary>, LedgerError> {
        guarded(|| {
            let table = match self.database.begin_read()?.open_table(tables::LOG_SUMMARIES) {
                Ok(table) => table,
                // A ledger of an older build, in which this one has executed nothing yet.
                Err(TableError::TableDoesNotExist(_)) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let Some(guard) = table.get(&block.0)? else {
                return Ok(None);
            };
            match seal::open(tables::LOG_SUMMARIES.name(), block, guard.value()) {
                Some(record) => Ok(LogSummary::from_record(record)),
                None => Err(checksum_differs("summary of logs", block)),
            }
        })
    }

    /// The finalized block at `height`.
    ///
    /// # Errors
    /// As [`Self::header`].
    pub fn finalized_hash(&self, height: Height) -> Result<Option<Hash>, LedgerError> {
        guarded(|| {
            let table = self.database.begin_read()?.open_table(tables::FINALIZED)?;
            Ok(table.get(height)?.map(|guard| Hash(*guard.value())))
        })
    }

    /// The height from which on every finalized block is there: 0, or, where the node began with an imported state, a later
    /// one, before which there is genesis only.
    ///
    /// # Errors
    /// As [`Self::header`].
    pub fn begins_at(&self) -> Result<Height, LedgerError> {
        guarded(|| {
            let table = self.database.begin_read()?.open_table(tables::FINALIZED)?;
            let first = table.range(1..)?.next().transpose()?;
            Ok(match first {
                Some((height, _)) if height.value() > 1 => height.value(),
                _ => 0,
            })
        })
    }

    /// The newest finalized block.
    ///
    /// # Errors
    /// As [`Self::header`].
    pub fn last_finalized(&self) -> Result<Option<Finalized>, LedgerError> {
        guarded(|| {
            let table = self.database.begin_read()?.open_table(tables::FINALIZED)?;
            Ok(table.last()?.map(|(height, hash)| Finalized {
                height: height.value(),
                hash: Hash(*hash.value()),
            }))
        })
    }

    /// Height of the finalized block that settles `height`.
    ///
    /// # Errors
    /// As [`Self::header`].
    pub fn settled_by(&self, height: Height) -> Result<Option<Height>, LedgerError> {
        guarded(|| {
            let table = self.database.begin_read()?.open_table(tables::SETTLED_BY)?;
            Ok(table.get(height)?.map(|guard| guard.value()))
        })
    }

    /// Every stored block that holds a transaction: at most one per live fork.
    ///
    /// # Errors
    /// As [`Self::header`].
    pub fn inclusions(&self, transaction: &Hash) -> Result<Vec<Inclusion>, LedgerError> {
        guarded(|| {
            let table = self.database.begin_read()?.open_table(tables::TRANSACTIONS)?;
            let range = (&transaction.0, &[0x00; 32])..=(&transaction.0, &[0xff; 32]);
            let mut inclusions = Vec::new();
            for entry in table.range(range)? {
                let (key, index) = entry?;
                inclusions.push(Inclusion {
                    block: Hash(*key.value().1),
                    index: index.value(),
                });
            }
            Ok(inclusions)
        })
    }

    /// A plugin's own durable value.
    ///
    /// # Errors
    /// As [`Self::header`].
    pub fn plugin_value(&self, plugin: &str, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
        guarded(|| {
            let table = self.database.begin_read()?.open_table(tables::PLUGIN)?;
            Ok(table
                .get((plugin.as_bytes(), key))?
                .map(|guard| guard.value().to_vec()))
        })
    }

    fn decoded<T: BorshDeserialize>(
        &self,
        table: TableDefinition<'static, &'static Key, &'static [u8]>,
        record: &'static str,
        key: &Hash,
    ) -> Result<Option<T>, LedgerError> {
        guarded(|| {
            let open = self.database.begin_read()?.open_table(table)?;
            let Some(guard) = open.get(&key.0)? else {
                return Ok(None);
            };
            unsealed(table.name(), record, key, guard.value()).map(Some)
        })
    }
}

fn checksum_differs(record: &'static str, key: &Hash) -> LedgerError {
    LedgerError::Corrupt {
        record,
        key: key.to_string(),
        reason: "its checksum differs".to_owned(),
    }
}

/// Decodes a sealed value.
pub(crate) fn unsealed<T: BorshDeserialize>(
    table: &str,
    record: &'static str,
    key: &Hash,
    sealed: &[u8],
) -> Result<T, LedgerError> {
    let corrupt = |reason: String| LedgerError::Corrupt {
        record,
        key: key.to_string(),
        reason,
    };
    let bytes = seal::open(table, key, sealed).ok_or_else(|| checksum_differs(record, key))?;
    T::try_from_slice(bytes).map_err(|error| corrupt(error.to_string()))
}
