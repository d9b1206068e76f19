//! Panics of the database end here: it panics on some damaged pages, and that is damage like any other.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// How many [`contained`] operations this thread is in.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Runs `operation`; a panic in it becomes its message. The process's panic hook is not called for it, since an operator
/// who reads of a crash looks for one: the error that follows says what is wrong.
pub(crate) fn contained<T>(operation: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |panic| {
            if DEPTH.get() == 0 {
                others(panic);
            } else {
                tracing::debug!(%panic, "contained");
            }
        }));
    });
    DEPTH.set(DEPTH.get() + 1);
    // What the closure touches is the database handle, which a panic leaves poisoned at worst: later calls fail.
    let result = catch_unwind(AssertUnwindSafe(operation));
    DEPTH.set(DEPTH.get() - 1);
    result.map_err(|panic| message(&*panic))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("the database panicked").to_owned()
}
