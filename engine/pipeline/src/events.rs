//! Events to many readers, none of whom can hold up the engine.
//!
//! Each subscriber has a bounded queue of its own. When it is full, events are counted instead of queued, and the
//! count precedes the next event that fits ([`Event::Lagged`]). Whoever publishes looks at the list of subscribers as it
//! is; only who subscribes, or leaves, has it replaced.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvError, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::api::Event;

/// One reader's end. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription {
    events: mpsc::Receiver<Event>,
}

impl Subscription {
    /// Waits for the next event.
    ///
    /// # Errors
    /// When the engine is gone.
    pub fn recv(&self) -> Result<Event, RecvError> {
        self.events.recv()
    }

    /// Waits for the next event, at most this long.
    ///
    /// # Errors
    /// When the time is over or the engine gone.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Event, RecvTimeoutError> {
        self.events.recv_timeout(timeout)
    }

    /// The next event, if there is one.
    ///
    /// # Errors
    /// When there is none, or the engine is gone.
    pub fn try_recv(&self) -> Result<Event, TryRecvError> {
        self.events.try_recv()
    }
}

struct Subscriber {
    events: mpsc::SyncSender<Event>,
    missed: AtomicU64,
}

/// The engine's end.
#[derive(Default)]
pub(crate) struct Broadcast {
    subscribers: ArcSwap<Vec<Arc<Subscriber>>>,
}

impl Broadcast {
    /// A new reader, who sees what happens from now on.
    pub(crate) fn subscribe(&self, buffer: usize) -> Subscription {
        // One more for the notice of lag.
        let (sender, receiver) = mpsc::sync_channel(buffer.max(1) + 1);
        let subscriber = Arc::new(Subscriber {
            events: sender,
            missed: AtomicU64::new(0),
        });
        self.subscribers.rcu(|before| {
            let mut subscribers = Vec::clone(before);
            subscribers.push(Arc::clone(&subscriber));
            subscribers
        });
        Subscription { events: receiver }
    }

    /// Tells everyone who still listens.
    pub(crate) fn publish(&self, event: &Event) {
        let subscribers = self.subscribers.load();
        let gone: Vec<_> = subscribers.iter().filter(|one| !one.offer(event)).collect();
        if gone.is_empty() {
            return;
        }
        let is_gone = |one: &Arc<Subscriber>| gone.iter().any(|other| Arc::ptr_eq(one, other));
        self.subscribers.rcu(|before| {
            let stay = before.iter().filter(|one| !is_gone(one));
            stay.cloned().collect::<Vec<_>>()
        });
    }
}

impl Subscriber {
    /// Queues `event` or counts it as missed; `false` when nobody listens any more.
    fn offer(&self, event: &Event) -> bool {
        // Whoever takes the count tells it, or puts it back.
        let missed = self.missed.swap(0, Ordering::Relaxed);
        if missed > 0 {
            match self.events.try_send(Event::Lagged { missed }) {
                Ok(()) => {}
                Err(mpsc::TrySendError::Full(_)) => {
                    self.missed.fetch_add(missed + 1, Ordering::Relaxed);
                    return true;
                }
                Err(mpsc::TrySendError::Disconnected(_)) => return false,
            }
        }
        match self.events.try_send(event.clone()) {
            Ok(()) => true,
            Err(mpsc::TrySendError::Full(_)) => {
                self.missed.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(mpsc::TrySendError::Disconnected(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credit(available: u64) -> Event {
        Event::Credit { available }
    }

    #[test]
    fn a_slow_reader_is_told_how_many_events_it_missed() {
        let broadcast = Broadcast::default();
        let slow = broadcast.subscribe(1);
        for n in 0..10 {
            broadcast.publish(&credit(n));
        }
        assert_eq!(slow.try_recv(), Ok(credit(0)));
        assert_eq!(slow.try_recv(), Ok(credit(1)));
        assert_eq!(slow.try_recv(), Err(TryRecvError::Empty));
        broadcast.publish(&credit(10));
        assert_eq!(slow.try_recv(), Ok(Event::Lagged { missed: 8 }));
        assert_eq!(slow.try_recv(), Ok(credit(10)));
    }

    #[test]
    fn a_reader_that_left_is_forgotten() {
        let broadcast = Broadcast::default();
        drop(broadcast.subscribe(4));
        let stays = broadcast.subscribe(4);
        broadcast.publish(&credit(1));
        assert_eq!(broadcast.subscribers.load().len(), 1);
        assert_eq!(stays.try_recv(), Ok(credit(1)));
    }
}
