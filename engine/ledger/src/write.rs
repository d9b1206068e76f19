//! One durable commit per batch.

use borsh::BorshSerialize;
use millrace_types::{Hash, Header};
use redb::{ReadableTable, Table, TableHandle, WriteTransaction};

use crate::seal::{self, guarded};
use crate::tables::{self, Key};
use crate::{Batch, Ledger, LedgerError, LogSummary};

impl Ledger {
    /// Makes `batch` durable, whole or not at all. Waits for another commit in progress.
    ///
    /// # Errors
    /// [`LedgerError::Storage`] when the disk fails, or a conflict with what is stored; nothing is written then.
    pub fn commit(&self, batch: &Batch) -> Result<(), LedgerError> {
        if batch.is_empty() {
            return Ok(());
        }
        guarded(|| {
            let transaction = self.database.begin_write()?;
            write_blocks(&transaction, batch)?;
            write_certificates(&transaction, batch)?;
            write_finality(&transaction, batch)?;
            write_executions(&transaction, batch)?;
            write_plugin_values(&transaction, batch)?;
            transaction.commit()?;
            Ok(())
        })
    }
}

impl Ledger {
    /// Leaves the file as an orderly end leaves it, though others may still hold this ledger: the next start need not walk all
    /// of it, which takes long where it is large. For the last moment; what is committed afterwards is as safe as ever.
    ///
    /// # Errors
    /// [`LedgerError::Storage`] when the disk fails. The next start walks the file then.
    pub fn settle(&self) -> Result<(), LedgerError> {
        guarded(|| {
            let mut transaction = self.database.begin_write()?;
            transaction.set_quick_repair(true);
            transaction.commit()?;
            Ok(())
        })
    }
}

fn sealed<T: BorshSerialize + ?Sized>(
    table: redb::TableDefinition<'static, &'static Key, &'static [u8]>,
    key: &Hash,
    value: &T,
) -> Vec<u8> {
    let bytes = borsh::to_vec(value).expect("writing to memory does not fail");
    seal::seal(table.name(), key, bytes)
}

fn write_blocks(transaction: &WriteTransaction, batch: &Batch) -> Result<(), LedgerError> {
    let mut headers = transaction.open_table(tables::HEADERS)?;
    let mut bodies = transaction.open_table(tables::BODIES)?;
    let mut transactions = transaction.open_table(tables::TRANSACTIONS)?;
    for (hash, block) in &batch.blocks {
        headers.insert(&hash.0, sealed(tables::HEADERS, hash, &block.header).as_slice())?;
        bodies.insert(&hash.0, sealed(tables::BODIES, hash, &block.body).as_slice())?;
        for (index, signed) in (0u32..).zip(&block.body.transactions) {
            transactions.insert((&signed.hash().0, &hash.0), index)?;
        }
    }
    Ok(())
}

fn write_certificates(transaction: &WriteTransaction, batch: &Batch) -> Result<(), LedgerError> {
    let headers = transaction.open_table(tables::HEADERS)?;
    let mut certificates = transaction.open_table(tables::CERTIFICATES)?;
    for (hash, certificate) in &batch.certificates {
        require_block(&headers, hash, "certificate")?;
        certificates.insert(
            &hash.0,
            seal::seal(tables::CERTIFICATES.name(), hash, certificate.clone()).as_slice(),
        )?;
    }
    Ok(())
}

fn write_finality(transaction: &WriteTransaction, batch: &Batch) -> Result<(), LedgerError> {
    let headers = transaction.open_table(tables::HEADERS)?;
    let mut finalized = transaction.open_table(tables::FINALIZED)?;
    let mut settled_by = transaction.open_table(tables::SETTLED_BY)?;
    for (height, hash) in &batch.finalized {
        if let Some(stored) = finalized.get(height)?.map(|guard| Hash(*guard.value())) {
            if stored == *hash {
                continue;
            }
            return Err(LedgerError::FinalityConflict {
                height: *height,
                stored,
                given: *hash,
            });
        }
        let header = stored_header(&headers, hash)?.ok_or(LedgerError::MissingBlock {
            block: *hash,
            record: "finality",
        })?;
        let parent_settled =
            stored_header(&headers, &header.parent_hash)?.map_or(header.settled_height, |p| p.settled_height);
        for settled in parent_settled + 1..=header.settled_height {
            settled_by.insert(settled, height)?;
        }
        finalized.insert(height, &hash.0)?;
    }
    Ok(())
}

fn write_executions(transaction: &WriteTransaction, batch: &Batch) -> Result<(), LedgerError> {
    let headers = transaction.open_table(tables::HEADERS)?;
    let mut receipts = transaction.open_table(tables::RECEIPTS)?;
    let mut transaction_receipts = transaction.open_table(tables::TRANSACTION_RECEIPTS)?;
    let mut summaries = transaction.open_table(tables::LOG_SUMMARIES)?;
    for (receipt, list) in &batch.executions {
        let key = &receipt.block_hash.0;
        require_block(&headers, &receipt.block_hash, "receipt")?;
        let bytes = sealed(tables::RECEIPTS, &receipt.block_hash, receipt);
        if let Some(stored) = receipts.get(key)? {
            if stored.value() == bytes.as_slice() {
                continue;
            }
            return Err(LedgerError::ReceiptConflict {
                block: receipt.block_hash,
            });
        }
        receipts.insert(key, bytes.as_slice())?;
        transaction_receipts.insert(
            key,
            sealed(tables::TRANSACTION_RECEIPTS, &receipt.block_hash, &**list).as_slice(),
        )?;
        let summary = LogSummary::of(list).to_record();
        let summary = seal::seal(tables::LOG_SUMMARIES.name(), &receipt.block_hash, summary);
        summaries.insert(key, summary.as_slice())?;
    }
    Ok(())
}

fn write_plugin_values(transaction: &WriteTransaction, batch: &Batch) -> Result<(), LedgerError> {
    let mut table = transaction.open_table(tables::PLUGIN)?;
    for (plugin, key, value) in &batch.plugin_values {
        match value {
            Some(value) => table.insert((plugin.as_bytes(), key.as_slice()), value.as_slice())?,
            None => table.remove((plugin.as_bytes(), key.as_slice()))?,
        };
    }
    Ok(())
}

fn require_block(
    headers: &Table<'_, &Key, &[u8]>,
    block: &Hash,
    record: &'static str,
) -> Result<(), LedgerError> {
    match headers.get(&block.0)? {
        Some(_) => Ok(()),
        None => Err(LedgerError::MissingBlock {
            block: *block,
            record,
        }),
    }
}

fn stored_header(headers: &Table<'_, &Key, &[u8]>, block: &Hash) -> Result<Option<Header>, LedgerError> {
    let Some(guard) = headers.get(&block.0)? else {
        return Ok(None);
    };
    crate::read::unsealed(tables::HEADERS.name(), "header", block, guard.value()).map(Some)
}
