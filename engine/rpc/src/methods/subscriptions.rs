//! Events of the engine to numbered notifications, with a bounded buffer for each subscriber.
//!
//! One thread reads the engine and hands on to tokio; a subscriber that falls behind by more than the buffer is told
//! `lagged` and cut off, so that it never misses a notification without knowing.
//!
//! ```text
//!   engine ──events──▶ rpc-events thread ──broadcast, bounded──▶ one task per subscription ──▶ its connection
//! ```

use std::sync::{Arc, OnceLock};

use jsonrpsee::core::SubscriptionResult;
use jsonrpsee::server::{PendingSubscriptionSink, SubscriptionMessage, SubscriptionSink};
use millrace_pipeline::{Engine, EngineStatus, Event, Subscription};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::shapes::{BlockRefView, EventView, Notification, Topic};

/// Tells subscribers what happens.
pub(super) struct Announcer {
    events: broadcast::Sender<Arc<Event>>,
    /// Why the engine stopped, once that has been told: for those who subscribe later.
    stopped: Arc<OnceLock<String>>,
}

impl Announcer {
    /// Reads the engine's events on a thread of its own until the engine stops or is gone.
    pub(super) fn start(engine: &Engine, buffer: usize) -> Result<Self, std::io::Error> {
        let (sender, _) = broadcast::channel(buffer.max(1));
        let announcer = Self {
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
    pub(super) async fn serve(&self, pending: PendingSubscriptionSink, topic: Topic) -> SubscriptionResult {
        // Before the look at `stopped`: what is told in between is in the queue.
        let mut events = self.events.subscribe();
        let stopped = self.stopped.get().cloned();
        let mut numbered = Numbered {
            sink: pending.accept().await?,
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
            match event.as_deref() {
                Ok(Event::Stopped { reason }) => return numbered.end(reason.to_string()).await,
                Ok(Event::Lagged { missed }) => return Err(lagged("this node", *missed).into()),
                Ok(event) => {
                    for view in views_of(event, topic) {
                        numbered.send(view).await?;
                    }
                }
                Err(RecvError::Lagged(missed)) => return Err(lagged("this subscriber", *missed).into()),
                Err(RecvError::Closed) => return Err("stopped: the node is shutting down".into()),
            }
        }
    }
}

fn forward(events: &Subscription, to: &broadcast::Sender<Arc<Event>>, stopped: &OnceLock<String>) {
    while let Ok(event) = events.recv() {
        let last = match &event {
            Event::Stopped { reason } => {
                stopped.get_or_init(|| reason.to_string());
                true
            }
            _ => false,
        };
        // No receiver means no subscriber at the moment.
        let _ = to.send(Arc::new(event));
        if last {
            break;
        }
    }
}

fn lagged(who: &str, missed: u64) -> String {
    format!("lagged: {who} is {missed} events behind; subscribe again and read what was missed by height")
}

/// A subscriber's end, which counts what it is told.
struct Numbered {
    sink: SubscriptionSink,
    sequence: u64,
}

impl Numbered {
    async fn send(&mut self, event: EventView) -> SubscriptionResult {
        let notification = Notification {
            sequence: self.sequence,
            event,
        };
        let json = serde_json::value::to_raw_value(&notification)?;
        self.sink.send(SubscriptionMessage::from(json)).await?;
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
fn views_of(event: &Event, topic: Topic) -> Vec<EventView> {
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
        (Event::HeadMoved(moved), Topic::Executed) => {
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
