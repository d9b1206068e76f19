//! Transactions come one by one and are taken in groups: the signatures of a group are checked together, for about a quarter
//! of what they cost one by one.
//!
//! Nobody waits for a group to fill. A few groups are taken at once; what comes meanwhile is the next one. So the more
//! there is to do, the less each costs, and a transaction that comes alone is taken alone.

use std::num::NonZero;
use std::sync::Arc;
use std::thread;

use crossbeam_queue::SegQueue;
use jsonrpsee::core::RpcResult;
use millrace_pipeline::{Engine, SubmitError};
use millrace_types::{Hash, SignedTransaction};
use tokio::sync::{Semaphore, oneshot};

use crate::error::internal;

/// Transactions of a group: more makes each hardly cheaper.
const GROUP: usize = 256;

type Answer = Result<Hash, SubmitError>;

/// A transaction, and who sent it.
struct Sent {
    transaction: SignedTransaction,
    answer: oneshot::Sender<Answer>,
}

/// See the module.
pub(super) struct Intake {
    engine: Engine,
    sent: Arc<SegQueue<Sent>>,
    turns: Arc<Semaphore>,
}

impl Intake {
    #[expect(
        clippy::disallowed_methods,
        reason = "it decides how many threads check signatures, and nothing else"
    )]
    pub(super) fn new(engine: &Engine) -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            engine: engine.clone(),
            sent: Arc::new(SegQueue::new()),
            turns: Arc::new(Semaphore::new(cores)),
        }
    }

    /// Hands the transaction over with what else was sent meanwhile. If the caller goes away, it is taken all the same, with the
    /// next group at the latest.
    pub(super) async fn take(&self, transaction: SignedTransaction) -> RpcResult<Answer> {
        let (answer, mut answered) = oneshot::channel();
        self.sent.push(Sent { transaction, answer });
        // Everyone who sends takes groups until its own is among them: nothing is left behind.
        loop {
            let turn = Arc::clone(&self.turns).acquire_owned().await;
            let turn = turn.expect("the semaphore is never closed");
            if let Ok(answer) = answered.try_recv() {
                return Ok(answer);
            }
            if self.sent.is_empty() {
                drop(turn);
                return answered.await.map_err(|fault| internal(&fault));
            }
            let (engine, sent) = (self.engine.clone(), Arc::clone(&self.sent));
            let taking = tokio::task::spawn_blocking(move || {
                take_group(&engine, &sent);
                drop(turn);
            });
            taking.await.map_err(|fault| internal(&fault))?;
        }
    }
}

fn take_group(engine: &Engine, sent: &SegQueue<Sent>) {
    let group = std::iter::from_fn(|| sent.pop()).take(GROUP);
    let (transactions, answers): (Vec<_>, Vec<_>) = group.map(|sent| (sent.transaction, sent.answer)).unzip();
    for (who, answer) in answers.into_iter().zip(engine.submit_transactions(transactions)) {
        // Nobody hears it who has gone away.
        let _ = who.send(answer);
    }
}
