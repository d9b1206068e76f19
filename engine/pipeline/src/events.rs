//! Events to many readers, none of whom can hold up the engine.
//!
//! Each subscriber has a bounded queue of its own. When it is full, events are counted instead of queued, and the
//! count precedes the next event that fits ([`Event::Lagged`]).

use std::sync::mpsc::{self, RecvError, RecvTimeoutError, TryRecvError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

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
    missed: u64,
}

/// The engine's end.
#[derive(Default)]
pub(crate) struct Broadcast {
    subscribers: Mutex<Vec<Subscriber>>,
}

impl Broadcast {
    /// A new reader, who sees what happens from now on.
    pub(crate) fn subscribe(&self, buffer: usize) -> Subscription {
        // One more for the notice of lag.
        let (sender, receiver) = mpsc::sync_channel(buffer.max(1) + 1);
        self.lock().push(Subscriber {
            events: sender,
            missed: 0,
        });
        Subscription { events: receiver }
    }

    /// Tells everyone who still listens.
    pub(crate) fn publish(&self, event: &Event) {
        self.lock().retain_mut(|subscriber| subscriber.offer(event));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Subscriber>> {
        // The list is valid between any two of its operations.
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber {
    /// Queues `event` or counts it as missed; `false` when nobody listens any more.
    fn offer(&mut self, event: &Event) -> bool {
        if self.missed > 0 {
            match self.events.try_send(Event::Lagged { missed: self.missed }) {
                Ok(()) => self.missed = 0,
                Err(mpsc::TrySendError::Full(_)) => {
                    self.missed += 1;
                    return true;
                }
                Err(mpsc::TrySendError::Disconnected(_)) => return false,
            }
        }
        match self.events.try_send(event.clone()) {
            Ok(()) => true,
            Err(mpsc::TrySendError::Full(_)) => {
                self.missed += 1;
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
        assert_eq!(broadcast.lock().len(), 1);
        assert_eq!(stays.try_recv(), Ok(credit(1)));
    }
}
