//! Executes transactions and blocks: contract instances, host calls, fees, journal.
//!
//! ```text
//! execute_block ─▶ execute_transaction ─▶ run_frame ─▶ Instance::run ──ecall──▶ Frame: Host ─▶ Journal
//!      │ overlay of the block    │ fees          ▲                                 │              │
//!      ▼                         ▼               └───────── call, create ──────────┘              ▼
//!  BlockOutput            TransactionOutput                                                  StateReader
//! ```
//!
//! [`ParallelBlock`] does the same as `execute_block` with many workers.
//!
//! Reading order: [`executor`] (what can be asked), [`transaction`] (fees and outcomes), `frame` (one run
//! of a contract), [`host`] (what an `ecall` means), `journal` (effects and how they are undone),
//! [`gas`] (prices), [`examine`] (code before it is sent), [`unsigned`] (runs without a signature or fees), [`trace`] (step by step), [`parallel`] (a block on many workers), [`warming`] (programs loaded ahead of a block).
//!
//! Invariants:
//! - An execution is a function of the block and of the state before it. Nothing here reads a clock, chance, a hash
//!   map's order or the number of cores; caches never show in results.
//! - A transaction never fails a block: it has an outcome and a receipt, whatever it does. What admission guarantees
//!   (nonce, payable, limits) is asserted, as [`ExecutionError::NotAdmissible`].
//! - The sum of all balances falls by exactly what is burned.
//! - No host call acts before it is paid, and every byte written to the state is paid for, so a block's gas bounds its
//!   writes.
//!
//! The rules are those of `docs/spec/host-calls.md` and `docs/spec/gas.md`.
#![forbid(unsafe_code)]

pub mod context;
mod create;
pub mod error;
pub mod examine;
mod execution;
pub mod executor;
mod frame;
pub mod gas;
pub mod genesis;
pub mod host;
mod journal;
pub mod parallel;
mod program_cache;
pub mod read_only;
pub mod reader;
pub mod spec_check;
pub mod stack;
pub mod trace;
pub mod transaction;
pub mod unsigned;
pub mod warming;

pub use context::BlockContext;
pub use error::{ExecutionError, NotAdmissible, ReadError};
pub use examine::{CodeFault, CodeReport, EntryGas};
pub use execution::{FrameTrap, MAX_KEPT_TRAPS};
pub use executor::{BlockOutput, Executor};
pub use gas::{GasSchedule, charged_gas, intrinsic_gas, schedule};
pub use genesis::genesis_changes;
pub use millrace_jit::{CodeCache, Jump, JumpKind, Tier};
pub use parallel::{ParallelBlock, ParallelError};
pub use read_only::{ReadOnlyCall, ReadOnlyOutcome};
pub use reader::{Changes, StateReader};
pub use spec_check::{MAX_CALL_DEPTH, SpecError, check_spec};
pub use stack::{on_large_stack, required_stack_bytes};
pub use trace::{HostEvent, Stopped, TracedEnd, TracedFrame, Tracer};
pub use transaction::{Diagnostics, TransactionOutput, most_cost};
pub use unsigned::UnsignedOutput;
pub use warming::{Warmed, Warming};
