//! How long stages take, for whoever watches a node: the histogram `millrace_stage_seconds` of `docs/metrics.md`. Nothing
//! reads it here, so nothing that is decided can depend on it. It costs two looks at the clock for each block and stage,
//! and nothing for a transaction.

use std::time::Instant;

/// The stages that are timed, in their order, as the label `stage` names them.
pub const TIMED_STAGES: [&str; 4] = ["execute", "root", "persist", "keep"];

/// Indexes of [`TIMED_STAGES`].
#[derive(Clone, Copy)]
pub(crate) enum Timed {
    /// A block's transactions.
    Execute,
    /// The root of the state after it.
    Root,
    /// The commit that makes its receipt durable.
    Persist,
    /// Making its state durable.
    Keep,
}

/// When a stage began.
pub(crate) struct Timing(Instant);

impl Timing {
    #[expect(
        clippy::disallowed_methods,
        reason = "shown to operators; no result depends on how long a stage took"
    )]
    pub(crate) fn begin() -> Self {
        Self(Instant::now())
    }

    /// Notes what the stage took.
    pub(crate) fn end(self, stage: Timed) {
        let name = TIMED_STAGES[stage as usize];
        metrics::histogram!("millrace_stage_seconds", "stage" => name).record(self.0.elapsed());
    }
}
