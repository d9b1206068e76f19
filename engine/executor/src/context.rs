//! What an execution is told: the block it belongs to, and the rules in force there.

use millrace_jit::{Machine, Tier};
use millrace_types::chain_spec::Limits;
use millrace_types::{Address, Gas, Header, Height, TimestampMs};

use crate::gas::GasSchedule;
use crate::program_cache::ProgramCache;
use crate::trace::Tracer;

/// What transactions see of their block, and all that execution knows of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlockContext {
    /// The block's height; it selects the versions in force.
    pub height: Height,
    /// The header's timestamp.
    pub timestamp_ms: TimestampMs,
    /// Who receives the tips.
    pub proposer: Address,
    /// The header's gas limit.
    pub gas_limit: Gas,
}

impl BlockContext {
    /// The context that a header sets.
    #[must_use]
    pub fn of(header: &Header) -> Self {
        Self {
            height: header.height,
            timestamp_ms: header.timestamp_ms,
            proposer: header.proposer,
            gas_limit: header.gas_limit,
        }
    }
}

/// The rules in force at a block, and the means to follow them.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) chain_id: u64,
    pub(crate) limits: &'a Limits,
    pub(crate) schedule: &'static GasSchedule,
    pub(crate) machine: &'static Machine,
    pub(crate) tier: Tier,
    /// Whether to find out what traps of native code were, which takes a run in the interpreter.
    pub(crate) diagnoses_traps: bool,
    /// Who is told of each step, if somebody is. Everything runs in the interpreter then.
    pub(crate) tracer: Option<&'a dyn Tracer>,
    pub(crate) programs: &'a ProgramCache,
    pub(crate) block: &'a BlockContext,
}
