//! Events of the engine to numbered notifications, with a bounded buffer for each subscriber.
//!
//! One thread reads the engine and hands on to tokio; a subscriber that falls behind by more than the buffer is told
//! `lagged` and cut off, so that it never misses a notification without knowing.
//!
//! ```text
//!   engine ──events──▶ rpc-events thread ──broadcast, bounded──▶ one task per subscription ──▶ its connection
//! ```

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jsonrpsee::core::SubscriptionResult;
use jsonrpsee::server::{PendingSubscriptionSink, SubscriptionMessage, SubscriptionSink};
use millrace_pipeline::{BlockRef, Engine, EngineStatus, Event, Subscription};
use serde_json::value::RawValue;
use tokio::sync::broadcast::{self, error::RecvError};

use super::told::{Part, Place, Told};
use crate::callers::Caller;
use crate::shapes::{BlockRefView, EventView, Notification, Topic};

/// Tells subscribers what happens.
pub(super) struct Announcer {
    engine: Engine,
    events: broadcast::Sender<Arc<Told>>,
    /// Why the engine stopped, once that has been told: for those who subscribe later.
    stopped: Arc<OnceLock<String>>,
}

impl Announcer {
    /// Reads the engine's events on a thread of its own until the engine stops or is gone.
    pub(super) fn start(engine: &Engine, buffer: usize) -> Result<Self, std::io::Error> {
        let (sender, _) = broadcast::channel(buffer.max(1));
        let announcer = Self {
            engine: engine.clone(),
            events: sender.clone(),
            stopped: Arc::new(OnceLock::new()),
        };
        let (events, stopped) = (engine.subscribe(), Arc::clone(&announcer.stopped));
        // A stop before this line is no event any more.
        if let EngineStatus::Stopped { reason } = engine.status() {
            stopped.get_or_init(|| reason.to_string());
        }
        std::thread::Builder::new()
            .name("rpc-events".to_owned())
            .spawn(move || forward(&events, &sender, &stopped))?;
        Ok(announcer)
    }

    /// Serves one subscription until it ends: unsubscribed, disconnected, lagged, or the engine stopped.
    pub(super) async fn serve(
        &self,
        pending: PendingSubscriptionSink,
        caller: Option<Caller>,
        topic: Topic,
    ) -> SubscriptionResult {
        let part = match &topic {
            Topic::Transactions => Some(Part::Transactions),
            Topic::Logs(filter) => Some(Part::Logs(filter.filter())),
            Topic::Finalized | Topic::Executed | Topic::Settled | Topic::Head => None,
        };
        // Before the look at `stopped`: what is told in between is in the queue.
        let mut events = self.events.subscribe();
        let stopped = self.stopped.get().cloned();
        let mut numbered = Numbered {
            sink: pending.accept().await?,
            caller,
            sequence: 0,
        };
        if let Some(reason) = stopped {
            return numbered.end(reason).await;
        }
        loop {
            let event = tokio::select! {
                () = numbered.sink.closed() => return Ok(()),
                event = events.recv() => event,
            };
            let told = match event {
                Ok(told) => told,
                Err(RecvError::Lagged(missed)) => return Err(lagged("this subscriber", missed).into()),
                Err(RecvError::Closed) => return Err("stopped: the node is shutting down".into()),
            };
            match (&told.event, &part) {
                (Event::Stopped { reason }, _) => return numbered.end(reason.to_string()).await,
                (Event::Lagged { missed }, _) => return Err(lagged("this node", *missed).into()),
                (Event::Executed { receipt, .. }, Some(part)) => {
                    let block = BlockRef {
                        height: receipt.height,
                        hash: receipt.block_hash,
                    };
                    self.tell_block(&mut numbered, &told, block, part).await?;
                }
                (event, _) => {
                    for view in views_of(event, &topic) {
                        numbered.send(view).await?;
                    }
                }
            }
        }
    }

    /// Tells a part of an executed block. The block's receipts are let go of whenever the peer is to be waited for.
    async fn tell_block(
        &self,
        numbered: &mut Numbered,
        told: &Told,
        block: BlockRef,
        part: &Part,
    ) -> SubscriptionResult {
        let (mut place, mut kept) = (Place::default(), None);
        loop {
            let receipts = match kept.take() {
                Some(receipts) => receipts,
                None => {
                    let read = told.receipts(&self.engine, block).await;
                    read.map_err(|fault| format!("failed: {}", fault.message()))?
                }
            };
            let views = part.chunk(block, &receipts, &mut place);
            if views.is_empty() {
                return Ok(());
            }
            kept = Some(receipts);
            for view in views {
                let message = numbered.message(view)?;
                if !numbered.has_room(&message) {
                    kept = None;
                }
                numbered.deliver(message).await?;
            }
        }
    }
}

fn forward(events: &Subscription, to: &broadcast::Sender<Arc<Told>>, stopped: &OnceLock<String>) {
    while let Ok(event) = events.recv() {
        let last = match &event {
            Event::Stopped { reason } => {
                stopped.get_or_init(|| reason.to_string());
                true
            }
            _ => false,
        };
        // No receiver means no subscriber at the moment.
        let _ = to.send(Arc::new(Told::new(event)));
        if last {
            break;
        }
    }
}

fn lagged(who: &str, missed: u64) -> String {
    format!("lagged: {who} is {missed} events behind; subscribe again and read what was missed by height")
}

/// Bytes of notifications that may wait for a connection when there are large ones among them. Small ones are bounded by
/// [`RpcConfig::message_buffer`](crate::server::RpcConfig::message_buffer) alone.
const WAITING_BYTES: usize = 8 << 20;

/// How often a large notification looks whether there is room for it.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Around a notification, at least: what is counted and never written would wait for ever.
const ENVELOPE_BYTES: usize =
    r#"{"jsonrpc":"2.0","method":"millrace_notification","params":{"subscription":,"result":}}"#.len();

/// A subscriber's end, which counts what it is told.
struct Numbered {
    sink: SubscriptionSink,
    caller: Option<Caller>,
    sequence: u64,
}

impl Numbered {
    async fn send(&mut self, event: EventView) -> SubscriptionResult {
        let message = self.message(event)?;
        self.deliver(message).await
    }

    fn message(&self, event: EventView) -> Result<Box<RawValue>, serde_json::Error> {
        serde_json::value::to_raw_value(&Notification {
            sequence: self.sequence,
            event,
        })
    }

    /// Whether the connection would take a notification now. Before one of n bytes there wait at most
    /// [`WAITING_BYTES`] / n others, so that all that wait together are bounded, however long each is.
    fn has_room(&self, message: &RawValue) -> bool {
        let free = self.sink.capacity();
        let waiting = self.sink.max_capacity() - free;
        free > 0 && waiting <= WAITING_BYTES / message.get().len()
    }

    /// Waits for room, then hands it over.
    async fn deliver(&mut self, message: Box<RawValue>) -> SubscriptionResult {
        let most_before = WAITING_BYTES / message.get().len();
        while self.sink.max_capacity() - self.sink.capacity() > most_before && !self.sink.is_closed() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let bytes = ENVELOPE_BYTES + message.get().len();
        // Counted before it is sent, or it could be written before it is counted.
        if let Some(caller) = &self.caller {
            caller.pace().made(bytes);
        }
        let sent = self.sink.send(SubscriptionMessage::from(message)).await;
        if let (Err(_), Some(caller)) = (&sent, &self.caller) {
            caller.pace().not_made(bytes);
        }
        sent?;
        self.sequence += 1;
        Ok(())
    }

    /// The last notification, and the end of the subscription.
    async fn end(mut self, reason: String) -> SubscriptionResult {
        self.send(EventView::Stopped {
            reason: reason.clone(),
        })
        .await?;
        Err(format!("stopped: {reason}").into())
    }
}

/// What a topic's subscribers are told of an event.
fn views_of(event: &Event, topic: &Topic) -> Vec<EventView> {
    match (event, topic) {
        (Event::Finalized { block, transactions }, Topic::Finalized) => vec![EventView::Finalized {
            height: block.height,
            block_hash: block.hash,
            transactions: *transactions,
        }],
        (
            Event::Executed {
                receipt,
                transactions,
            },
            Topic::Executed,
        ) => vec![EventView::Executed {
            receipt: receipt.into(),
            transactions: *transactions,
        }],
        (Event::HeadMoved(moved), Topic::Executed | Topic::Transactions | Topic::Logs(_)) => {
            let removed = moved.removed_executed.iter();
            removed
                .map(|block| EventView::Removed {
                    height: block.height,
                    block_hash: block.hash,
                })
                .collect()
        }
        (Event::HeadMoved(moved), Topic::Head) => vec![EventView::HeadMoved {
            height: moved.head.height,
            block_hash: moved.head.hash,
            removed: moved.removed.iter().map(BlockRefView::from).collect(),
            added: moved.added.iter().map(BlockRefView::from).collect(),
        }],
        (Event::Settled { from, to, by }, Topic::Settled) => vec![EventView::Settled {
            from: *from,
            to: *to,
            by: by.height,
            by_hash: by.hash,
        }],
        _ => Vec::new(),
    }
}
