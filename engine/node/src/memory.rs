//! How the program's allocator gives memory back to the system.

use std::ffi::c_long;

use libmimalloc_sys::{mi_option_set_default, mi_option_t};

/// `mi_option_purge_delay` of `mimalloc.h`: milliseconds until memory that was freed goes back. The bindings name only
/// options that never move; a test holds this one to its name.
const PURGE_DELAY: mi_option_t = 15;
/// Longer than a block takes. With the default of 10 ms what one block frees is gone when the next one asks for it, and the
/// system zeroes all of it again: a tenth of the processor time of short transactions.
const DELAY_MS: c_long = 1_000;

/// Keeps what was freed for the next block. `MIMALLOC_PURGE_DELAY` in the environment goes before it.
pub fn keep_between_blocks() {
    // SAFETY: sets a number of the allocator's; it has no other precondition.
    unsafe { mi_option_set_default(PURGE_DELAY, DELAY_MS) };
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use libmimalloc_sys::mi_option_get;

    use super::*;

    const NAME: &str = "MIMALLOC_PURGE_DELAY";

    fn delay() -> c_long {
        // SAFETY: reads a number of the allocator's.
        unsafe { mi_option_get(PURGE_DELAY) }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the allocator's own variable")]
    fn the_option_is_the_one_of_that_name_and_the_environment_goes_before_it() {
        if let Ok(asked) = std::env::var(NAME) {
            assert_eq!(delay().to_string(), asked);
            keep_between_blocks();
            assert_eq!(delay().to_string(), asked);
            return;
        }
        keep_between_blocks();
        assert_eq!(delay(), DELAY_MS);
        let this = std::env::current_exe().expect("a test has a file");
        let again = Command::new(this)
            .args([
                "--exact",
                "memory::tests::the_option_is_the_one_of_that_name_and_the_environment_goes_before_it",
            ])
            .env(NAME, "77")
            .output()
            .expect("it starts");
        assert!(
            again.status.success(),
            "{}",
            String::from_utf8_lossy(&again.stdout)
        );
    }
}
