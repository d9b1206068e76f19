//! A queue into one thread, without a lock: many senders, one receiver who sleeps while there is nothing.
//!
//! The list is crossbeam's, sleeping is the scheduler's ([`millrace_scheduler::parking`]). Unlike the channels of the
//! standard library it takes no mutex to wake the receiver. What bounds it is with its users: nobody sends without a
//! credit, a slot or a place among the requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::time::Duration;

use crossbeam_queue::SegQueue;
use millrace_scheduler::{Crew, Worker};

struct Shared<T> {
    messages: SegQueue<T>,
    /// The receiver, once it has come.
    crew: Crew,
    senders: AtomicUsize,
    is_closed: AtomicBool,
}

impl<T> Shared<T> {
    fn drop_all(&self) {
        while self.messages.pop().is_some() {}
    }
}

/// A sending end. Never blocks.
pub(crate) struct Sender<T>(Arc<Shared<T>>);

/// The receiving end, before it is on its thread.
pub(crate) struct Inbox<T>(Option<Arc<Shared<T>>>);

/// The receiving end on its thread. When it goes, what was not received is dropped, and so is what comes later.
pub(crate) struct Receiver<T> {
    shared: Arc<Shared<T>>,
    worker: Worker,
}

/// A queue with one sender so far.
pub(crate) fn inbox<T>() -> (Sender<T>, Inbox<T>) {
    let shared = Arc::new(Shared {
        messages: SegQueue::new(),
        crew: Crew::new(),
        senders: AtomicUsize::new(1),
        is_closed: AtomicBool::new(false),
    });
    (Sender(Arc::clone(&shared)), Inbox(Some(shared)))
}

impl<T> Sender<T> {
    /// Sends, and wakes the receiver. Dropped if there is none any more.
    pub(crate) fn send(&self, message: T) {
        self.0.messages.push(message);
        // Behind it a fence: the message is visible before the flag is looked at.
        self.0.crew.wake_one();
        if self.0.is_closed.load(Ordering::SeqCst) {
            self.0.drop_all();
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.senders.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.0.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.crew.wake_one();
        }
    }
}

impl<T> Inbox<T> {
    /// Makes the calling thread the receiver.
    pub(crate) fn open(mut self) -> Receiver<T> {
        let shared = self.0.take().expect("opened once, by value");
        let worker = shared.crew.register().expect("the only one of its crew");
        Receiver { shared, worker }
    }
}

impl<T> Drop for Inbox<T> {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            close(&shared);
        }
    }
}

impl<T> Receiver<T> {
    /// The next message, if there is one.
    pub(crate) fn try_recv(&self) -> Option<T> {
        self.shared.messages.pop()
    }

    /// The next message, waited for; `None` when there is none and nobody is left who could send one.
    pub(crate) fn recv(&self) -> Option<T> {
        loop {
            if let Some(message) = self.try_recv() {
                return Some(message);
            }
            if self.has_no_sender() {
                // The last one may have sent before it went.
                return self.try_recv();
            }
            self.worker.park_unless(|| self.has_news());
        }
    }

    /// The next message, waited for at most this long, or a little less.
    pub(crate) fn recv_timeout(&self, longest: Duration) -> Option<T> {
        self.try_recv().or_else(|| {
            self.worker.park_unless_for(longest, || self.has_news());
            self.try_recv()
        })
    }

    fn has_no_sender(&self) -> bool {
        self.shared.senders.load(Ordering::Acquire) == 0
    }

    fn has_news(&self) -> bool {
        !self.shared.messages.is_empty() || self.has_no_sender()
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        close(&self.shared);
    }
}

/// Drops what is there and makes senders drop what they send.
fn close<T>(shared: &Shared<T>) {
    shared.is_closed.store(true, Ordering::SeqCst);
    // Either a sender sees the flag, or its message is seen here.
    fence(Ordering::SeqCst);
    shared.drop_all();
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn every_message_comes_once_and_each_senders_in_order() {
        const SENDERS: usize = 3;
        const MESSAGES: usize = 20_000;
        let (sender, inbox) = inbox();
        let senders: Vec<_> = (0..SENDERS)
            .map(|of| {
                let sender = sender.clone();
                thread::spawn(move || {
                    for n in 0..MESSAGES {
                        sender.send((of, n));
                        if n % 1_000 == 0 {
                            // Long enough for the receiver to fall asleep.
                            thread::sleep(Duration::from_millis(1));
                        }
                    }
                })
            })
            .collect();
        drop(sender);
        let receiver = inbox.open();
        let mut next = [0; SENDERS];
        while let Some((of, n)) = receiver.recv() {
            assert_eq!(n, next[of]);
            next[of] += 1;
        }
        assert_eq!(next, [MESSAGES; SENDERS]);
        for sender in senders {
            sender.join().expect("no panic");
        }
    }

    #[test]
    fn a_receiver_that_waits_ends_with_the_last_sender_and_with_its_time() {
        let (sender, inbox) = inbox::<()>();
        let receiver = inbox.open();
        assert_eq!(receiver.recv_timeout(Duration::from_millis(1)), None);
        let leaves = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            drop(sender);
        });
        assert_eq!(receiver.recv(), None);
        leaves.join().expect("no panic");
    }

    #[test]
    fn what_nobody_will_receive_is_dropped_at_once() {
        let message = Arc::new(());
        let (sender, inbox) = inbox();
        sender.send(Arc::clone(&message));
        let receiver = inbox.open();
        sender.send(Arc::clone(&message));
        drop(receiver);
        assert_eq!(Arc::strong_count(&message), 1, "what was not received");
        sender.send(Arc::clone(&message));
        assert_eq!(Arc::strong_count(&message), 1, "what came later");
        let (sender, unopened) = super::inbox();
        sender.send(Arc::clone(&message));
        drop(unopened);
        sender.send(Arc::clone(&message));
        assert_eq!(Arc::strong_count(&message), 1, "what nobody ever received");
    }
}
