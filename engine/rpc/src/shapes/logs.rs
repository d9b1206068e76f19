//! Logs by filter: what may be asked, and what is found.

use millrace_pipeline::{BlockRef, FoundLog, LogFilter, LogPlace};
use millrace_types::hash::Domain;
use millrace_types::receipt::MAX_TOPICS;
use millrace_types::{Address, Hash, Height, codec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::BlockRefView;
use crate::encoding::Bytes;
use crate::reference::BlockReference;

/// Values of one list of a filter.
pub const MAX_FILTER_VALUES: usize = 256;

const FILTER_DIGEST: Domain = Domain::new("millrace/log-filter/1");

/// One value, or several of which any will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a value, or a list of values")]
pub enum OneOrMany<T> {
    /// One.
    One(T),
    /// Several: at least one, at most [`MAX_FILTER_VALUES`].
    Many(Vec<T>),
}

impl<T: Clone> OneOrMany<T> {
    fn values(&self) -> Vec<T> {
        match self {
            Self::One(value) => vec![value.clone()],
            Self::Many(values) => values.clone(),
        }
    }

    fn check(&self, what: &str) -> Result<(), String> {
        match self {
            Self::Many(values) if values.is_empty() => Err(format!(
                "an empty list in `{what}` would match nothing; leave it out, or put null in its place, for any"
            )),
            Self::Many(values) if values.len() > MAX_FILTER_VALUES => Err(format!(
                "a list in `{what}` has {} values, the limit is {MAX_FILTER_VALUES}; ask several times",
                values.len()
            )),
            _ => Ok(()),
        }
    }
}

/// Which logs: those of a contract, with topics. What is left out is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "RawFilter")]
#[schemars(!try_from)]
pub struct LogFilterView {
    /// The contract, or contracts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<OneOrMany<Address>>,
    /// By position: null for any topic, a topic, or a list of topics of which any will do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<Option<OneOrMany<Hash>>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default, expecting = "an object")]
struct RawFilter {
    contract: Option<OneOrMany<Address>>,
    topics: Vec<Option<OneOrMany<Hash>>>,
}

impl TryFrom<RawFilter> for LogFilterView {
    type Error = String;

    fn try_from(raw: RawFilter) -> Result<Self, String> {
        let RawFilter { contract, topics } = raw;
        if let Some(contracts) = &contract {
            contracts.check("contract")?;
        }
        if topics.len() > MAX_TOPICS as usize {
            let found = topics.len();
            return Err(format!(
                "`topics` has {found} positions; a log has at most {MAX_TOPICS} topics"
            ));
        }
        for topic in topics.iter().flatten() {
            topic.check("topics")?;
        }
        Ok(Self { contract, topics })
    }
}

impl LogFilterView {
    /// The same, as the engine takes it.
    #[must_use]
    pub fn filter(&self) -> LogFilter {
        let contracts = self.contract.iter().flat_map(OneOrMany::values);
        let topics = self.topics.iter();
        LogFilter::new(
            contracts,
            topics.map(|any| any.iter().flat_map(OneOrMany::values).collect()),
        )
    }

    /// Tells filters apart, for cursors.
    fn digest(&self) -> [u8; 8] {
        let json = serde_json::to_vec(self).expect("a filter has no map");
        let Hash(hash) = FILTER_DIGEST.hash(&[&json]);
        *hash.first_chunk().expect("a hash is longer")
    }
}

/// Parameter of `millrace_getLogs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "RawQuery")]
#[schemars(!try_from)]
pub struct LogQueryView {
    /// The first block; the newest executed one by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<BlockReference>,
    /// The last; the newest executed one by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<BlockReference>,
    /// The only one, in place of the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<BlockReference>,
    /// Which logs; its fields stand beside the others.
    #[serde(flatten)]
    pub filter: LogFilterView,
    /// Logs in the answer, at most; the server's limit by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// `next` of an answer to the same filter: goes on behind it, wherever `from` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<LogCursor>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default, expecting = "an object")]
struct RawQuery {
    from: Option<BlockReference>,
    to: Option<BlockReference>,
    block: Option<BlockReference>,
    contract: Option<OneOrMany<Address>>,
    topics: Vec<Option<OneOrMany<Hash>>>,
    limit: Option<u64>,
    cursor: Option<LogCursor>,
}

impl TryFrom<RawQuery> for LogQueryView {
    type Error = String;

    fn try_from(raw: RawQuery) -> Result<Self, String> {
        let RawQuery {
            from,
            to,
            block,
            contract,
            topics,
            limit,
            cursor,
        } = raw;
        if block.is_some() && (from.is_some() || to.is_some()) {
            return Err(
                "`block` is the only block, in place of `from` and `to`; give one or the others".to_owned(),
            );
        }
        if limit == Some(0) {
            return Err("`limit` is 0; allowed is from 1 to this node's limit".to_owned());
        }
        let filter = LogFilterView::try_from(RawFilter { contract, topics })?;
        if cursor
            .as_ref()
            .is_some_and(|cursor| cursor.filter != filter.digest())
        {
            return Err(
                "`cursor` is of another filter; give it with the `contract` and `topics` that it came with"
                    .to_owned(),
            );
        }
        Ok(Self {
            from,
            to,
            block,
            filter,
            limit,
            cursor,
        })
    }
}

/// Where a search goes on: opaque to whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(into = "Bytes", try_from = "Bytes")]
pub struct LogCursor {
    place: LogPlace,
    filter: [u8; 8],
}

/// Format, height, block, transaction, log, filter.
type CursorBytes = (u8, Height, Hash, u32, u32, [u8; 8]);

const CURSOR_FORMAT: u8 = 1;

impl LogCursor {
    /// A place in the search for `filter`.
    #[must_use]
    pub fn new(place: LogPlace, filter: &LogFilterView) -> Self {
        let filter = filter.digest();
        Self { place, filter }
    }

    /// The place.
    #[must_use]
    pub fn place(&self) -> LogPlace {
        self.place
    }
}

impl From<LogCursor> for Bytes {
    fn from(cursor: LogCursor) -> Self {
        let LogCursor {
            place:
                LogPlace {
                    block,
                    transaction,
                    log,
                },
            filter,
        } = cursor;
        let bytes: CursorBytes = (CURSOR_FORMAT, block.height, block.hash, transaction, log, filter);
        Self::of(&bytes)
    }
}

impl TryFrom<Bytes> for LogCursor {
    type Error = String;

    fn try_from(bytes: Bytes) -> Result<Self, String> {
        let no_cursor = || "`cursor` is none of this node's; give `next` of an answer as it was".to_owned();
        let fields: CursorBytes = codec::decode(&bytes.0, bytes.0.len()).map_err(|_| no_cursor())?;
        let (CURSOR_FORMAT, height, hash, transaction, log, filter) = fields else {
            return Err(no_cursor());
        };
        let block = BlockRef { height, hash };
        let place = LogPlace {
            block,
            transaction,
            log,
        };
        Ok(Self { place, filter })
    }
}

/// Answer of `millrace_getLogs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogsView {
    /// Ascending by height, transaction and log.
    pub logs: Vec<FoundLogView>,
    /// The last block that was looked at: whole, unless there is a `next`.
    pub looked: BlockRefView,
    /// Where to go on; null when the range was searched to its end.
    pub next: Option<LogCursor>,
}

/// A log and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlacedLogView {
    /// The contract.
    pub contract: Address,
    /// Indexed words.
    pub topics: Vec<Hash>,
    /// The rest.
    pub data: Bytes,
    /// Height of its block.
    pub height: Height,
    /// Its block.
    pub block_hash: Hash,
    /// Its transaction.
    pub transaction_hash: Hash,
    /// The transaction's place in the block.
    pub transaction_index: u32,
    /// Its place among the transaction's logs.
    pub log_index: u32,
}

/// A log that was searched for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FoundLogView {
    /// The log; its fields stand beside the others.
    #[serde(flatten)]
    pub log: PlacedLogView,
    /// Its block is final.
    pub finalized: bool,
    /// Height of the finalized block that settles it.
    pub settled_by: Option<Height>,
}

impl From<FoundLog> for FoundLogView {
    fn from(found: FoundLog) -> Self {
        Self {
            log: PlacedLogView {
                contract: found.log.address,
                topics: found.log.topics,
                data: Bytes(found.log.data),
                height: found.block.height,
                block_hash: found.block.hash,
                transaction_hash: found.transaction_hash,
                transaction_index: found.transaction_index,
                log_index: found.log_index,
            },
            finalized: found.finalized,
            settled_by: found.settled_by,
        }
    }
}
