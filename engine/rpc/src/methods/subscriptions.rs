//! Events of the engine to numbered notifications, with a bounded buffer for each subscriber.
//!
//! One thread reads the engine and hands on to tokio; a subscriber that falls behind by more than the buffer is told
//! `lagged` and cut off, so that it never misses a notification without knowing.

use std::sync::Arc;

use jsonrpsee::server::{PendingSubscriptionSink, SubscriptionMessage, SubscriptionSink};
use millrace_pipeline::{Engine, Event};
use millrace_types::Height;
use tokio::sync::broadcast;

use super::Methods;
use crate::shapes::{EventView, ExecutionReceiptView, Notification, Topic};

/// Reads the engine's events on a thread of its own until the engine is gone.
pub(super) fn forward(
    engine: &Engine,
    buffer: usize,
) -> Result<broadcast::Sender<Arc<Event>>, std::io::Error> {
    let (sender, _) = broadcast::channel(buffer.max(1));
    let (events, forwarding) = (engine.subscribe(), sender.clone());
    std::thread::Builder::new()
        .name("rpc-events".to_owned())
        .spawn(move || {
            while let Ok(event) = events.recv() {
                // No receiver means no subscriber at the moment.
                let _ = forwarding.send(Arc::new(event));
            }
        })?;
    Ok(sender)
}

impl Methods {
    pub(super) async fn notify(
        &self,
        pending: PendingSubscriptionSink,
        topic: Topic,
    ) -> jsonrpsee::core::SubscriptionResult {
        let mut events = self.events.subscribe();
        let sink = pending.accept().await?;
        let mut sequence = 0;
        loop {
            let event = tokio::select! {
                () = sink.closed() => return Ok(()),
                event = events.recv() => event,
            };
            let view = match event {
                Ok(event) => match view_of(&event, topic) {
                    Some(view) => view,
                    None if matches!(*event, Event::Lagged { .. }) => {
                        return Err("lagged: this node fell behind".into());
                    }
                    None => continue,
                },
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    let reason = format!(
                        "lagged: this subscriber is {missed} events behind; subscribe again and read what was missed by height"
                    );
                    return Err(reason.into());
                }
                Err(broadcast::error::RecvError::Closed) => {
                    return Err("stopped: the node is shutting down".into());
                }
            };
            send(
                &sink,
                &Notification {
                    sequence,
                    event: view,
                },
            )
            .await?;
            sequence += 1;
        }
    }
}

async fn send(sink: &SubscriptionSink, notification: &Notification) -> jsonrpsee::core::SubscriptionResult {
    let json = serde_json::value::to_raw_value(notification)?;
    sink.send(SubscriptionMessage::from(json)).await?;
    Ok(())
}

fn view_of(event: &Event, topic: Topic) -> Option<EventView> {
    match (event, topic) {
        (Event::Finalized { block, transactions }, Topic::Finalized) => Some(EventView::Finalized {
            height: block.height,
            block_hash: block.hash,
            transactions: *transactions,
        }),
        (
            Event::Executed {
                receipt,
                transactions,
            },
            Topic::Executed,
        ) => {
            let not_settled: Option<Height> = None;
            let receipt = ExecutionReceiptView::new(receipt, true, not_settled);
            Some(EventView::Executed {
                receipt,
                transactions: *transactions,
            })
        }
        (Event::Settled { from, to, by }, Topic::Settled) => Some(EventView::Settled {
            from: *from,
            to: *to,
            by: by.height,
            by_hash: by.hash,
        }),
        (Event::Stopped { reason }, _) => Some(EventView::Stopped {
            reason: reason.to_string(),
        }),
        _ => None,
    }
}
