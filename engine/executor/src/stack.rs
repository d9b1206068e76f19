//! Host stack: nested frames recurse on the stack of the thread that executes.

use std::{io, thread};

use millrace_jit::NATIVE_STACK_BYTES;
use millrace_types::ChainSpec;

/// Most host stack that one frame takes in tier 0, from one `ecall` to the next: host call, frame, instance,
/// interpreter. A test measures it at full depth and asserts that a good part is never used. Native code takes up to
/// [`NATIVE_STACK_BYTES`] beside it.
pub const FRAME_STACK_BYTES: usize = 16 << 10;

/// What the frames' callers and the deepest frame's work (hashing, reading state) take.
pub const BASE_STACK_BYTES: usize = 512 << 10;

/// Stack that a thread needs to execute transactions of the chain.
#[must_use]
pub fn required_stack_bytes(spec: &ChainSpec) -> usize {
    let depth = usize::try_from(spec.limits.call_depth).unwrap_or(usize::MAX);
    BASE_STACK_BYTES.saturating_add(depth.saturating_mul(FRAME_STACK_BYTES + NATIVE_STACK_BYTES))
}

/// Runs `work` on a thread of its own with the stack that the chain needs, and waits for it. For callers that do not
/// own their thread; threads that only execute are better made with [`required_stack_bytes`] once.
///
/// # Errors
/// The system gave no thread.
pub fn on_large_stack<R: Send>(spec: &ChainSpec, work: impl FnOnce() -> R + Send) -> io::Result<R> {
    thread::scope(|scope| {
        let builder = thread::Builder::new()
            .name("executor".into())
            .stack_size(required_stack_bytes(spec));
        let worker = builder.spawn_scoped(scope, work)?;
        match worker.join() {
            Ok(result) => Ok(result),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
