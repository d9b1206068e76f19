//! The bare host of `millrace run`: just enough of Linux for a freestanding program.
//!
//! `ecall` numbers as on Linux: 64 `write` (descriptors 1 and 2; others get `-EBADF`), 93 `exit` and 94 `exit_group`.
//! Every other number gets `-ENOSYS`. Pointers follow the machine's rules, not Linux's: an invalid range traps at the
//! `ecall` instead of giving `-EFAULT`.

mod host;
mod stack;

pub use host::BareHost;
pub use stack::{StackError, lay_out_stack};
