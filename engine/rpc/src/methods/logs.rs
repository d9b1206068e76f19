//! Logs by filter. A search reads the disk, as much as its bounds let it, when it is its turn.

use jsonrpsee::Extensions;
use jsonrpsee::core::RpcResult;
use millrace_pipeline::{BlockId, Engine, LogError, LogQuery, Tag};
use millrace_types::Log;
use serde_json::json;

use super::Methods;
use crate::error::{ErrorName, error, ledger_error, limit_exceeded};
use crate::reference::BlockReference;
use crate::server::RpcConfig;
use crate::shapes::{BlockRefView, FoundLogView, LogCursor, LogQueryView, LogsView};

/// Of a log in an answer: names, hashes, numbers, punctuation.
const LOG_VIEW_BYTES: u64 = 640;
const TOPIC_VIEW_BYTES: u64 = 70;
/// Around the logs of an answer.
const ANSWER_BYTES: u64 = 1 << 10;

/// Bounds of one search.
#[derive(Clone, Copy)]
pub(super) struct LogLimits {
    blocks: u64,
    logs: u64,
    bytes: u64,
}

impl LogLimits {
    pub(super) fn new(config: &RpcConfig) -> Self {
        Self {
            blocks: config.max_log_blocks,
            logs: config.max_logs,
            bytes: u64::from(config.max_response_bytes).saturating_sub(ANSWER_BYTES),
        }
    }
}

/// Bytes of a log in an answer, at most.
pub(crate) fn view_bytes(log: &Log) -> u64 {
    LOG_VIEW_BYTES + TOPIC_VIEW_BYTES * log.topics.len() as u64 + 2 * log.data.len() as u64
}

impl Methods {
    pub(super) async fn find_logs(&self, from: &Extensions, asked: LogQueryView) -> RpcResult<LogsView> {
        let limits = self.log_limits;
        let limit = asked.limit.unwrap_or(limits.logs);
        if limit > limits.logs {
            return Err(limit_exceeded("logs in one answer", limit, limits.logs));
        }
        let executed = BlockReference(BlockId::Tag(Tag::Executed));
        let query = LogQuery {
            filter: asked.filter.filter(),
            from: asked.block.or(asked.from).unwrap_or(executed).0,
            to: asked.block.or(asked.to).unwrap_or(executed).0,
            resume: asked.cursor.map(|cursor| cursor.place()),
            max_blocks: limits.blocks,
            max_logs: usize::try_from(limit).unwrap_or(usize::MAX),
            max_bytes: limits.bytes,
            cost: view_bytes,
        };
        let search = move |engine: &Engine| {
            let page = engine.search_logs(&query).map_err(|fault| log_error(&fault))?;
            Ok(LogsView {
                looked: BlockRefView::from(&page.looked),
                next: page.next.map(|place| LogCursor::new(place, &asked.filter)),
                logs: page.logs.into_iter().map(FoundLogView::from).collect(),
            })
        };
        self.calls.in_turn(from, search).await
    }
}

fn log_error(fault: &LogError) -> jsonrpsee::types::ErrorObjectOwned {
    let message = fault.to_string();
    match fault {
        LogError::NotExecuted { asked, executed } => error(
            ErrorName::NotExecuted,
            &message,
            json!({ "asked": asked, "executed": executed }),
        ),
        LogError::Unknown { asked } => error(
            ErrorName::UnknownBlock,
            &message,
            json!({ "asked": BlockReference(*asked) }),
        ),
        LogError::NotCanonical {
            lost,
            shared,
            finalized,
        } => error(
            ErrorName::NotCanonical,
            &message,
            json!({
                "height": lost.height,
                "block_hash": lost.hash,
                "shared": shared.as_ref().map(BlockRefView::from),
                "finalized": finalized,
            }),
        ),
        LogError::Backwards { from, to } => error(
            ErrorName::InvalidParams,
            &format!("millrace_getLogs: {message}; exchange `from` and `to`"),
            json!({ "method": "millrace_getLogs", "parameter": "filter", "from": from, "to": to }),
        ),
        LogError::TooLong { asked, limit } => limit_exceeded("blocks in one search for logs", *asked, *limit),
        LogError::Ledger(fault) => ledger_error(fault),
    }
}
