//! Waiting for several things at once.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// Waits for all of them, beside each other; answers in their order.
pub(crate) async fn beside<T>(work: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    enum Step<F, T> {
        Runs(Pin<Box<F>>),
        Done(T),
    }
    let mut steps: Vec<_> = work.map(|future| Step::Runs(Box::pin(future))).collect();
    poll_fn(|context| {
        let mut all = Poll::Ready(());
        for step in &mut steps {
            if let Step::Runs(future) = step {
                match future.as_mut().poll(context) {
                    Poll::Ready(value) => *step = Step::Done(value),
                    Poll::Pending => all = Poll::Pending,
                }
            }
        }
        all
    })
    .await;
    let values = steps.into_iter().filter_map(|step| match step {
        Step::Done(value) => Some(value),
        Step::Runs(_) => None,
    });
    values.collect()
}
