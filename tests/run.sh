#!/usr/bin/env bash
# Every test: installs what the tests bring in from outside, builds, runs. `MILLRACE_LONG=1` makes the random ones long.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$1"; }

step "tools that the tests compare with"
tests/install-tools.sh

step "everything, so that end-to-end tests find the program and its plugins"
# With the tests: what they depend on gives shared crates other features, and without them most would be compiled twice.
cargo build --workspace --lib --bins --tests --locked

step "tests of the workspace"
cargo test --workspace --locked

step "a node without privileges, in a file system that is read only"
tests/confined.sh

step "native code on AArch64"
if [ "${MILLRACE_LONG:-0}" != 0 ]; then tests/aarch64.sh; else tests/aarch64.sh --check; fi

step "models of the lock-free core"
RUSTFLAGS="--cfg loom" cargo test -p millrace-scheduler --lib --release --locked --target-dir target/loom

step "random schedules of the lock-free core as a whole"
RUSTFLAGS="--cfg shuttle" cargo test -p millrace-scheduler --test explore --locked --target-dir target/shuttle

step "crates that must do without the standard library"
cargo check -p millrace-proof -p millrace-types -p millrace-light-client --no-default-features --locked

step "contracts, on this machine"
(cd contracts && cargo test --locked)
