#!/usr/bin/env bash
# Native code on AArch64. `tests/aarch64.sh --help` says how.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    cat <<'TEXT'
tests/aarch64.sh            builds the tests of millrace-jit for AArch64 and runs them under qemu-aarch64
tests/aarch64.sh --check    only has the compiler look at them
tests/aarch64.sh --help     this

With MILLRACE_LONG=1 those that run guests do so again with pages of 16 KiB, and random whole programs
(tests/tests/programs) run as well.
Installs what it needs from Debian. Where that is not to be had, it says so and skips.
TEXT
}

readonly TARGET=aarch64-unknown-linux-gnu
readonly LIBRARIES=/usr/aarch64-linux-gnu
# Debian's own Rust: its library sources take the place of a downloaded target.
readonly COMPILER=/usr/bin/rustc

# Tests that say nothing about the architecture, and that the emulator cannot run.
skipped=(
    # They start their own program again, which goes past the emulator.
    --skip a_host_without_address_space_is_told_what_to_do
    --skip a_host_without_maps_is_told_what_to_do
    # They reserve memory again and again: for the 4 GiB of each instance qemu 7.2 takes 24 MB, which it keeps.
    --skip a_thousand_instances_live_at_once
    --skip maps_of_a_slot_do_not_add_up
    --skip no_use_leaves_a_trace
    # They measure what the process takes, which is then the emulator.
    --skip programs_come_and_go_and_leave_nothing
)

skip() {
    echo "aarch64: skipped: $1"
    exit 0
}

case ${1:-} in
    "" | --check) ;;
    --help) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
esac

tests/install-tools.sh
command -v aarch64-linux-gnu-gcc >/dev/null || skip "there is no aarch64-linux-gnu-gcc (Debian: gcc-aarch64-linux-gnu)"
[ -d "$LIBRARIES/include" ] || skip "there is no C library for AArch64 (Debian: libc6-dev-arm64-cross)"
[ -x "$COMPILER" ] && [ -e "$("$COMPILER" --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock" ] ||
    skip "there are no sources of Rust's library (Debian: rustc-web, rust-web-src)"

export RUSTC=$COMPILER RUSTC_BOOTSTRAP=1
export CARGO_TARGET_DIR=$PWD/target/aarch64
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
options=(--locked --target "$TARGET" -Zbuild-std=std,panic_unwind,test)

if [ "${1:-}" = --check ]; then
    # Rust's library is built all the same, and what generates Cranelift's source: nothing of it runs for long.
    exec cargo check -p millrace-jit --tests "${options[@]}" --config 'profile.dev.package."*".opt-level=0'
fi

# Sets the options of the emulator.
emulate() {
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L $LIBRARIES $*"
}

# Random tests stay short: everything takes ten times as long here.
long=${MILLRACE_LONG:-0}
unset MILLRACE_LONG
emulate
cargo test -p millrace-jit --tests "${options[@]}" -- "${skipped[@]}"
if [ "$long" != 0 ]; then
    emulate -p 16384
    # Backtraces of the host fault there: the emulator maps files by its own pages all the same.
    RUST_BACKTRACE=0 cargo test -p millrace-jit "${options[@]}" \
        --test rules --test instructions --test straying
    emulate
    cargo test -p millrace-tests --test programs "${options[@]}"
fi
