//! Logs of the canonical chain, searched by contract and topics.
//!
//! A search looks at one moment's chain (`ChainView`), block by block, ascending. It passes by blocks whose summary has
//! nothing for the filter ([`millrace_ledger::LogSummary`]) and reads the receipts of the others. Everything that it takes is
//! bounded before: blocks, logs, bytes of the answer, bytes read. Where a bound ends it early, it says where to go on.

use std::collections::BTreeSet;

use millrace_ledger::{LedgerError, LogKey, LogSummary};
use millrace_types::{Address, Hash, Height, Log, TransactionReceipt};

use crate::api::{BlockId, BlockRef, Tag};
use crate::chain_view::ChainView;
use crate::engine::Engine;

/// Bytes of receipts that one search reads, about: the block in which it comes to so many is its last.
const MOST_READ_BYTES: u64 = 64 << 20;
/// What a receipt and a log take beside their contents, about.
const RECORD_BYTES: u64 = 128;

/// Which logs. One that asks for nothing matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFilter {
    contracts: Alternatives<Address>,
    topics: Vec<Alternatives<Hash>>,
}

/// Any of some values; of none: whatever there is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Alternatives<T> {
    values: BTreeSet<T>,
    keys: Vec<LogKey>,
}

impl<T> Default for Alternatives<T> {
    fn default() -> Self {
        Self {
            values: BTreeSet::new(),
            keys: Vec::new(),
        }
    }
}

impl<T: Ord> Alternatives<T> {
    fn of(values: impl IntoIterator<Item = T>, key: impl Fn(&T) -> LogKey) -> Self {
        let values: BTreeSet<T> = values.into_iter().collect();
        let keys = values.iter().map(key).collect();
        Self { values, keys }
    }

    fn have(&self, value: &T) -> bool {
        self.values.is_empty() || self.values.contains(value)
    }

    fn may_be_in(&self, summary: &LogSummary) -> bool {
        self.keys.is_empty() || self.keys.iter().any(|key| summary.may_have(*key))
    }
}

impl LogFilter {
    /// Logs of any of `contracts` (of none: of all), whose topic at each position is any of the values there (of none: is there,
    /// whatever it is). A log with fewer topics than there are positions does not match.
    #[must_use]
    pub fn new(
        contracts: impl IntoIterator<Item = Address>,
        topics: impl IntoIterator<Item = Vec<Hash>>,
    ) -> Self {
        let topics = (0..=u8::MAX)
            .zip(topics)
            .map(|(position, values)| Alternatives::of(values, |topic| LogKey::topic(position, topic)));
        Self {
            contracts: Alternatives::of(contracts, LogKey::contract),
            topics: topics.collect(),
        }
    }

    /// Whether a log is one of these.
    #[must_use]
    pub fn matches(&self, log: &Log) -> bool {
        self.contracts.have(&log.address)
            && self.topics.len() <= log.topics.len()
            && self
                .topics
                .iter()
                .zip(&log.topics)
                .all(|(any, topic)| any.have(topic))
    }

    /// Whether a block may have one of these; if not, it has none.
    fn may_match(&self, summary: &LogSummary) -> bool {
        !summary.is_empty()
            && self.contracts.may_be_in(summary)
            && self.topics.iter().all(|any| any.may_be_in(summary))
    }
}

/// A place among the logs of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPlace {
    /// The block.
    pub block: BlockRef,
    /// Place of the transaction in it; beyond its transactions: behind the block.
    pub transaction: u32,
    /// Place of the log among the transaction's.
    pub log: u32,
}

impl LogPlace {
    /// Behind all logs of a block.
    fn behind(block: BlockRef) -> Self {
        Self {
            block,
            transaction: u32::MAX,
            log: u32::MAX,
        }
    }

    fn is_behind_the_block(&self) -> bool {
        self.transaction == u32::MAX
    }
}

/// A search.
#[derive(Clone, Debug)]
pub struct LogQuery {
    /// Which logs.
    pub filter: LogFilter,
    /// The first block.
    pub from: BlockId,
    /// The last.
    pub to: BlockId,
    /// Where the search before ended: goes before `from`.
    pub resume: Option<LogPlace>,
    /// Blocks looked at, at most: a longer range is refused.
    pub max_blocks: u64,
    /// Logs found, at most.
    pub max_logs: usize,
    /// Bytes of what is found, as `cost` counts them; one log is found whatever it takes.
    pub max_bytes: u64,
    /// What a log takes in the answer.
    pub cost: fn(&Log) -> u64,
}

/// A log and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundLog {
    /// The log.
    pub log: Log,
    /// Its block.
    pub block: BlockRef,
    /// Its transaction.
    pub transaction_hash: Hash,
    /// The transaction's place in the block.
    pub transaction_index: u32,
    /// Its place among the transaction's logs.
    pub log_index: u32,
    /// The block is final.
    pub finalized: bool,
    /// The finalized block that settles the block's receipt, when there is one.
    pub settled_by: Option<Height>,
}

/// What a search came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPage {
    /// Ascending by height, transaction and log.
    pub logs: Vec<FoundLog>,
    /// The last block that was looked at: whole, unless `next` is in it.
    pub looked: BlockRef,
    /// Where to go on; `None` when the range was searched to its end.
    pub next: Option<LogPlace>,
}

/// Why a search was not made.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The range reaches beyond execution.
    #[error(
        "NotExecuted: the range reaches height {asked}, which is not executed yet, executed is {executed}; end it there"
    )]
    NotExecuted {
        /// The height asked for.
        asked: Height,
        /// The newest executed height.
        executed: Height,
    },
    /// A block of the range is not here, or was never executed here.
    #[error(
        "UnknownBlock: this node does not have the logs of {}; it may have begun with a later state: ask from a later height, or another node",
        name_of(asked)
    )]
    Unknown {
        /// The block.
        asked: BlockId,
    },
    /// A block that was named, or that a search before ended at, is not on the chain (any more).
    #[error(
        "NotCanonical: block {} at height {} is not on the canonical chain any more; forget what was found above height {}, and search again from there",
        lost.hash, lost.height, shared.map_or(*finalized, |block| block.height)
    )]
    NotCanonical {
        /// The block.
        lost: BlockRef,
        /// Its newest ancestor that is.
        shared: Option<BlockRef>,
        /// The finalized height, where nothing is lost.
        finalized: Height,
    },
    /// The range ends before it begins.
    #[error("the range begins at height {from} and ends at height {to}, which is lower")]
    Backwards {
        /// Where it begins.
        from: Height,
        /// Where it ends.
        to: Height,
    },
    /// More blocks than one search looks at.
    #[error("the range has {asked} blocks, the limit is {limit}; ask for less at a time")]
    TooLong {
        /// Blocks asked for.
        asked: u64,
        /// The limit.
        limit: u64,
    },
    /// The ledger could not be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

fn name_of(block: &BlockId) -> String {
    match block {
        BlockId::Height(height) => format!("the block at height {height}"),
        BlockId::Hash(hash) => format!("block {hash}"),
        BlockId::Tag(tag) => format!("the {tag:?} block"),
    }
}

impl Engine {
    /// Logs of the canonical chain, as it is now, in order.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn search_logs(&self, query: &LogQuery) -> Result<LogPage, LogError> {
        Search {
            engine: self,
            chain: ChainView::of(self),
            query,
        }
        .run()
    }
}

/// A search under way.
struct Search<'a> {
    engine: &'a Engine,
    chain: ChainView<'a>,
    query: &'a LogQuery,
}

impl Search<'_> {
    fn run(&self) -> Result<LogPage, LogError> {
        let to = self.height_of(self.query.to)?;
        let (from, start) = self.beginning(to)?;
        let blocks = to.saturating_sub(from).saturating_add(1);
        if blocks > self.query.max_blocks {
            return Err(LogError::TooLong {
                asked: blocks,
                limit: self.query.max_blocks,
            });
        }
        match self.query.resume {
            // The search before ended there, or `to` is a tag whose block has gone down meanwhile.
            Some(place) if from > to => Ok(Page::default().ends(place.block, None)),
            _ => self.scan(from, to, start),
        }
    }

    /// The first block to look at, and where in it.
    fn beginning(&self, to: Height) -> Result<(Height, (u32, u32)), LogError> {
        if let Some(place) = self.query.resume {
            self.on_chain(place.block)?;
            return Ok(match place.is_behind_the_block() {
                true => (place.block.height.saturating_add(1), (0, 0)),
                false => (place.block.height, (place.transaction, place.log)),
            });
        }
        let from = self.height_of(self.query.from)?;
        if from > to {
            return Err(LogError::Backwards { from, to });
        }
        Ok((from, (0, 0)))
    }

    /// The height of a block that the range begins or ends with.
    fn height_of(&self, id: BlockId) -> Result<Height, LogError> {
        let executed = self.chain.heights.executed.height;
        let not_executed = |asked| LogError::NotExecuted { asked, executed };
        match id {
            BlockId::Tag(Tag::Pending) => return Err(not_executed(self.chain.heights.head.height + 1)),
            BlockId::Height(height) if height > executed => return Err(not_executed(height)),
            _ => {}
        }
        let block = self.chain.resolve(id)?.ok_or(LogError::Unknown { asked: id })?;
        self.on_chain(block)?;
        if block.height > executed {
            return Err(not_executed(block.height));
        }
        Ok(block.height)
    }

    fn on_chain(&self, block: BlockRef) -> Result<(), LogError> {
        if self.chain.has(&block)? {
            return Ok(());
        }
        Err(LogError::NotCanonical {
            lost: block,
            shared: self.chain.shared_with(&block)?,
            finalized: self.chain.heights.finalized.height,
        })
    }

    fn scan(&self, from: Height, to: Height, start: (u32, u32)) -> Result<LogPage, LogError> {
        let mut page = Page::default();
        let mut read_bytes = 0;
        let mut looked = None;
        let mut start = start;
        for height in from..=to {
            let block = self.block_at(height)?;
            looked = Some(block);
            if self.may_have(&block)? {
                let receipts = self.receipts(&block)?;
                read_bytes += receipts.iter().map(weight).sum::<u64>();
                if let Some(next) = self.read(block, &receipts, start, &mut page)? {
                    return Ok(page.ends(block, Some(next)));
                }
            }
            if read_bytes >= MOST_READ_BYTES && height < to {
                return Ok(page.ends(block, Some(LogPlace::behind(block))));
            }
            start = (0, 0);
        }
        let looked = looked.expect("the range has a block");
        Ok(page.ends(looked, None))
    }

    fn block_at(&self, height: Height) -> Result<BlockRef, LogError> {
        let asked = BlockId::Height(height);
        self.chain.at(height)?.ok_or(LogError::Unknown { asked })
    }

    /// Whether the block has to be read. Genesis has no receipts.
    fn may_have(&self, block: &BlockRef) -> Result<bool, LogError> {
        if block.height == 0 {
            return Ok(false);
        }
        let summary = self.engine.ledger().log_summary(&block.hash)?;
        Ok(summary.is_none_or(|summary| self.query.filter.may_match(&summary)))
    }

    fn receipts(&self, block: &BlockRef) -> Result<Vec<TransactionReceipt>, LogError> {
        let receipts = self.engine.transaction_receipts(&block.hash)?;
        receipts.ok_or(LogError::Unknown {
            asked: BlockId::Height(block.height),
        })
    }

    /// Adds what matches from `start` on; answers the place of the first log for which there was no room.
    fn read(
        &self,
        block: BlockRef,
        receipts: &[TransactionReceipt],
        start: (u32, u32),
        page: &mut Page,
    ) -> Result<Option<LogPlace>, LogError> {
        let places = receipts.iter().flat_map(|receipt| {
            let logs = (0..).zip(&receipt.logs);
            logs.map(move |(index, log)| (receipt, index, log))
        });
        let matching = places.filter(|(receipt, index, log)| {
            (receipt.index, *index) >= start && self.query.filter.matches(log)
        });
        let mut facts = None;
        for (receipt, log_index, log) in matching {
            let cost = (self.query.cost)(log);
            let is_full = page.logs.len() >= self.query.max_logs
                || (page.bytes.saturating_add(cost) > self.query.max_bytes && !page.logs.is_empty());
            if is_full {
                return Ok(Some(LogPlace {
                    block,
                    transaction: receipt.index,
                    log: log_index,
                }));
            }
            let (finalized, settled_by) = match facts {
                Some(known) => known,
                None => *facts.insert(self.facts(&block)?),
            };
            page.bytes = page.bytes.saturating_add(cost);
            page.logs.push(FoundLog {
                log: log.clone(),
                block,
                transaction_hash: receipt.transaction_hash,
                transaction_index: receipt.index,
                log_index,
                finalized,
                settled_by,
            });
        }
        Ok(None)
    }

    /// Whether the block is final, and what settles it.
    fn facts(&self, block: &BlockRef) -> Result<(bool, Option<Height>), LogError> {
        let finalized = self.chain.heights.finalized.height;
        let settled_by = self.engine.ledger().settled_by(block.height)?;
        // The index may be ahead of what is acknowledged.
        Ok((
            block.height <= finalized,
            settled_by.filter(|by| *by <= finalized),
        ))
    }
}

/// What was found so far.
#[derive(Default)]
struct Page {
    logs: Vec<FoundLog>,
    bytes: u64,
}

impl Page {
    fn ends(self, looked: BlockRef, next: Option<LogPlace>) -> LogPage {
        LogPage {
            logs: self.logs,
            looked,
            next,
        }
    }
}

/// About how much reading a receipt takes.
fn weight(receipt: &TransactionReceipt) -> u64 {
    let logs = receipt
        .logs
        .iter()
        .map(|log| RECORD_BYTES + log.data.len() as u64);
    RECORD_BYTES + receipt.output.len() as u64 + logs.sum::<u64>()
}
