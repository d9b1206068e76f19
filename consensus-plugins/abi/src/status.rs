//! What calls across the boundary return, and how requests end.
//!
//! "Not yet" ([`AGAIN`], [`TRANSIENT`]) is never "no" ([`INVALID`]), and neither is "I cannot tell"
//! ([`UNKNOWN_PARENT`]) or "I am leaving" ([`STOPPED`], [`ABORTED`]). Errors of the plugin itself are negative.

/// A status code. Any value may arrive from the other side, so this is a number and not an enum.
pub type Status = i32;

/// Done, or taken over.
pub const OK: Status = 0;
/// The bounded queue behind the call is full. Nothing was taken; a credit event follows once there is room.
pub const AGAIN: Status = 1;
/// Not now, for a reason that resolves by itself. After `request_block` a work event follows once a build may succeed.
pub const TRANSIENT: Status = 2;
/// Permanently refused: the input is wrong and will stay wrong.
pub const INVALID: Status = 3;
/// The block's parent is not known here. Hand over the ancestors first.
pub const UNKNOWN_PARENT: Status = 4;
/// The plugin has been stopped, or has failed; nothing more is taken.
pub const STOPPED: Status = 5;
/// How a request ends that was cancelled or cut short by stop.
pub const ABORTED: Status = 6;
/// How a `kv_get` ends whose key holds nothing.
pub const NOT_FOUND: Status = 7;

/// From a plugin: the other side's table or record is not what this ABI version says.
pub const E_ABI: Status = -1;
/// From `start`: the operator's configuration or the chain's parameters are wrong. Send the reason to `fatal`.
pub const E_CONFIG: Status = -2;
/// From a plugin: a panic or an exception was caught at the boundary.
pub const E_PANIC: Status = -3;
/// From a plugin: it cannot go on. From the host: the host function itself failed.
pub const E_FATAL: Status = -4;

/// The code's name, or `None` for a number that is not a status code.
#[must_use]
pub const fn name(status: Status) -> Option<&'static str> {
    Some(match status {
        OK => "OK",
        AGAIN => "AGAIN",
        TRANSIENT => "TRANSIENT",
        INVALID => "INVALID",
        UNKNOWN_PARENT => "UNKNOWN_PARENT",
        STOPPED => "STOPPED",
        ABORTED => "ABORTED",
        NOT_FOUND => "NOT_FOUND",
        E_ABI => "E_ABI",
        E_CONFIG => "E_CONFIG",
        E_PANIC => "E_PANIC",
        E_FATAL => "E_FATAL",
        _ => return None,
    })
}
