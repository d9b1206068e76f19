//! What this workspace built and tests run as processes of their own: the program and a consensus plugin.
//!
//! Cargo builds neither for a test of another package, so they are looked for beside the test, in the folder of its
//! profile. One that is missing fails the test and says how to get it.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::PathBuf;

/// The program, `millrace`.
///
/// # Panics
/// If it is not built; the message says how to.
#[must_use]
pub fn millrace() -> PathBuf {
    built("millrace")
}

/// The shared object of `solo`, the plugin of a single sequencer.
///
/// # Panics
/// If it is not built; the message says how to.
#[must_use]
pub fn solo_plugin() -> PathBuf {
    built(&format!("{DLL_PREFIX}millrace_plugin_solo{DLL_SUFFIX}"))
}

/// The shared object of `longest-chain`, the plugin whose head moves before it is final.
///
/// # Panics
/// If it is not built; the message says how to.
#[must_use]
pub fn longest_chain_plugin() -> PathBuf {
    built(&format!("{DLL_PREFIX}millrace_plugin_longest_chain{DLL_SUFFIX}"))
}

/// The shared object of a plugin that fails as its configuration tells it to.
///
/// # Panics
/// If it is not built; the message says how to.
#[must_use]
pub fn misbehaving_plugin() -> PathBuf {
    built(&format!("{DLL_PREFIX}millrace_plugin_misbehaving{DLL_SUFFIX}"))
}

/// A file of the profile's folder: `target/PROFILE/FILE`, where this test is `target/PROFILE/deps/TEST`.
fn built(file: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    let profile = test
        .ancestors()
        .nth(2)
        .expect("a test is in the folder deps of its profile");
    let path = profile.join(file);
    assert!(
        path.is_file(),
        "{} is missing: build it by `cargo build --workspace` (with the test's --profile, if it has one), or run tests/run.sh",
        path.display()
    );
    path
}
