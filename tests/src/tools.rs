//! Tools of the system that tests need. A test that lacks one fails and says how to get it: an oracle that is skipped
//! silently is none.

use std::path::PathBuf;

/// The path of `program`, from `PATH`.
///
/// # Panics
/// If it is missing; the message names the Debian package and the script that installs it.
#[must_use]
pub fn find(program: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!("{program} is not on PATH: install the package {package}, or run tests/install-tools.sh, which does")
    })
}

/// A number from the environment, for seeds and the length of long runs.
///
/// # Panics
/// If the variable is set to something else than a number.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "seeds and lengths of test runs are given by the environment"
)]
pub fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} must be a number, not {text:?}"))
    })
}
