//! The thread that makes states of final blocks durable, so that neither a worker nor the journal waits for them.
//!
//! It is given the claim of a task's last stage once the task's receipt is durable, and completes it when the state is:
//! state after receipt, block after block (protocol rule 18).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};

use millrace_scheduler::Claim;
use millrace_state::{FinalizeError, PersistError, Store, VersionId};

use crate::api::StopReason;
use crate::inbox::{Inbox, Receiver, Sender, inbox};
use crate::mailbox::{Input, Inputs};
use crate::task::{BlockTask, Purpose, version};
use crate::timing::{Timed, Timing};

/// The way to the thread, which ends with it.
pub(crate) struct Keeper(Sender<Claim<BlockTask>>);

/// Why a state was not kept.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error(transparent)]
    Persist(#[from] PersistError),
    #[error(transparent)]
    Finalize(#[from] FinalizeError),
    #[error("keeping it panicked; the message is in the log")]
    Panicked,
}

impl Keeper {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gave no thread.
    pub(crate) fn start(store: Store, inputs: Inputs) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (keeper, claims) = Self::queue();
        let thread = thread::Builder::new()
            .name("millrace-states".into())
            .spawn(move || run(&store, &claims.open(), &inputs))?;
        Ok((keeper, thread))
    }

    /// The way alone, as long as nobody keeps what is sent.
    pub(crate) fn queue() -> (Self, Inbox<Claim<BlockTask>>) {
        let (sender, inbox) = inbox();
        (Self(sender), inbox)
    }

    /// Takes a task that is through but for its state, and frees its slot: at once, unless it is final.
    pub(crate) fn take(&self, claim: Claim<BlockTask>) {
        if claim.purpose == Purpose::Final {
            self.0.send(claim);
        } else {
            claim.complete();
        }
    }
}

/// Keeps what comes until nobody is left who could send anything.
pub(crate) fn run(store: &Store, claims: &Receiver<Claim<BlockTask>>, inputs: &Inputs) {
    while let Some(claim) = claims.recv() {
        let keep = AssertUnwindSafe(|| keep(store, version(&claim.hash)));
        let timing = Timing::begin();
        match catch_unwind(keep).unwrap_or(Err(KeepError::Panicked)) {
            Ok(()) => {
                timing.end(Timed::Keep);
                claim.complete();
            }
            // The claim is dropped: nothing passes it.
            Err(error) => inputs.send(Input::Fault(StopReason::NodeFault {
                what: format!("the state after block {} cannot be kept: {error}", claim.hash),
            })),
        }
    }
}

/// Makes a state durable; then finality moves in the store, which drops what is no longer needed.
fn keep(store: &Store, state: VersionId) -> Result<(), KeepError> {
    store.persist(state)?;
    store.set_finalized(state)?;
    Ok(())
}
