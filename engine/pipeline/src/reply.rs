//! Answers to requests: each request is answered exactly once, by shutdown at the latest.

use std::sync::mpsc;

/// An answer type that has a word for "the engine stopped before it could say".
pub trait Aborted {
    /// That word.
    fn aborted() -> Self;
}

/// Where the answer to one request goes. Called on a thread of the engine, so it must not block: hand the answer
/// on and return. A reply that is dropped unanswered answers [`Aborted::aborted`].
pub struct Reply<T: Aborted> {
    deliver: Option<Box<dyn FnOnce(T) + Send>>,
}

impl<T: Aborted> Reply<T> {
    /// Answers by calling `deliver`.
    pub fn new(deliver: impl FnOnce(T) + Send + 'static) -> Self {
        Self {
            deliver: Some(Box::new(deliver)),
        }
    }

    /// Answers.
    pub fn send(mut self, answer: T) {
        self.answer(answer);
    }

    fn answer(&mut self, answer: T) {
        if let Some(deliver) = self.deliver.take() {
            deliver(answer);
        }
    }
}

impl<T: Aborted + Send + 'static> Reply<T> {
    /// A reply and the receiver of its one answer, for callers that may wait.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<T>) {
        let (sender, receiver) = mpsc::sync_channel(1);
        // A caller that no longer waits does not want the answer.
        (Self::new(move |answer| drop(sender.send(answer))), receiver)
    }
}

impl<T: Aborted> Drop for Reply<T> {
    fn drop(&mut self) {
        self.answer(T::aborted());
    }
}

impl<T: Aborted> std::fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply")
            .field("answered", &self.deliver.is_none())
            .finish()
    }
}
