//! Events to many readers, none of whom can hold up the engine.
//!
//! Each subscriber has a bounded queue of its own. When it is full, events are counted instead of queued, and the
//! count precedes the next event that fits ([`Event::Lagged`]). Whoever publishes looks at the list of subscribers as it
//! is; only who subscribes, or leaves, has it replaced.
//!
//! [`Event::Stopped`] is the last event. It needs no room in a queue: behind what is queued every reader finds it, and who
//! subscribes later finds nothing else.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::mpsc::{self, RecvError, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::api::Event;

/// One reader's end. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription {
    events: mpsc::Receiver<Event>,
    missed: Arc<AtomicU64>,
    last: Arc<OnceLock<Event>>,
    is_last_told: AtomicBool,
}

impl Subscription {
    /// Waits for the next event.
    ///
    /// # Errors
    /// When the engine is gone.
    pub fn recv(&self) -> Result<Event, RecvError> {
        self.events.recv().or_else(|end| self.last_words().ok_or(end))
    }

    /// Waits for the next event, at most this long.
    ///
    /// # Errors
    /// When the time is over or the engine gone.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Event, RecvTimeoutError> {
        self.events.recv_timeout(timeout).or_else(|end| match end {
            RecvTimeoutError::Timeout => Err(end),
            RecvTimeoutError::Disconnected => self.last_words().ok_or(end),
        })
    }

    /// The next event, if there is one.
    ///
    /// # Errors
    /// When there is none, or the engine is gone.
    pub fn try_recv(&self) -> Result<Event, TryRecvError> {
        self.events.try_recv().or_else(|end| match end {
            TryRecvError::Empty => Err(end),
            TryRecvError::Disconnected => self.last_words().ok_or(end),
        })
    }

    /// What is left to tell when nothing more is queued: that events were missed, and the last one.
    fn last_words(&self) -> Option<Event> {
        let last = self.last.get()?;
        match self.missed.swap(0, Ordering::Relaxed) {
            0 if self.is_last_told.swap(true, Ordering::Relaxed) => None,
            0 => Some(last.clone()),
            missed => Some(Event::Lagged { missed }),
        }
    }
}

struct Subscriber {
    events: mpsc::SyncSender<Event>,
    missed: Arc<AtomicU64>,
}

/// The engine's end.
#[derive(Default)]
pub(crate) struct Broadcast {
    subscribers: ArcSwap<Vec<Arc<Subscriber>>>,
    /// [`Event::Stopped`].
    last: Arc<OnceLock<Event>>,
}

impl Broadcast {
    /// A new reader, who sees what happens from now on.
    pub(crate) fn subscribe(&self, buffer: usize) -> Subscription {
        // One more for the notice of lag.
        let (sender, receiver) = mpsc::sync_channel(buffer.max(1) + 1);
        let missed = Arc::<AtomicU64>::default();
        let subscriber = Arc::new(Subscriber {
            events: sender,
            missed: Arc::clone(&missed),
        });
        self.subscribers.rcu(|before| {
            let mut subscribers = Vec::clone(before);
            subscribers.push(Arc::clone(&subscriber));
            subscribers
        });
        fence(Ordering::SeqCst);
        if self.last.get().is_some() {
            // Who stored it may have looked before the line above.
            self.end();
        }
        Subscription {
            events: receiver,
            missed,
            last: Arc::clone(&self.last),
            is_last_told: AtomicBool::new(false),
        }
    }

    /// Nothing more comes: readers find the end of their queues.
    fn end(&self) {
        self.subscribers.store(Arc::default());
    }

    /// Tells everyone who still listens.
    pub(crate) fn publish(&self, event: &Event) {
        if matches!(event, Event::Stopped { .. }) {
            let _ = self.last.set(event.clone());
            // With the one in `subscribe`: either the new reader is in the list, or it sees the end.
            fence(Ordering::SeqCst);
            return self.end();
        }
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
    fn the_last_event_comes_where_there_is_no_room_and_to_who_comes_later() {
        let broadcast = Broadcast::default();
        let slow = broadcast.subscribe(1);
        for n in 0..4 {
            broadcast.publish(&credit(n));
        }
        let stopped = Event::Stopped {
            reason: crate::api::StopReason::Shutdown,
        };
        broadcast.publish(&stopped);
        let told: Vec<Event> = std::iter::from_fn(|| slow.recv().ok()).collect();
        let expected = [credit(0), credit(1), Event::Lagged { missed: 2 }, stopped.clone()];
        assert_eq!(told, expected);
        let late = broadcast.subscribe(1);
        assert_eq!(late.recv_timeout(Duration::from_secs(9)), Ok(stopped));
        assert_eq!(late.try_recv(), Err(TryRecvError::Disconnected));
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
