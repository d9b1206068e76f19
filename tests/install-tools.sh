#!/bin/sh
# Installs what the tests use beyond Rust and a C compiler: an independent RISC-V emulator and guest toolchains.
# Does nothing where everything is there. For Debian 12 and newer, and Ubuntu 24.04 and newer.
set -eu

packages=""
optional=""

# need COMMAND PACKAGE: notes the package if the command is missing.
need() {
    command -v "$1" >/dev/null 2>&1 || packages="$packages $2"
}

# want PACKAGE: notes a package without which one test says that it skips.
want() {
    dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'ok installed' || optional="$optional $1"
}

need qemu-riscv64 qemu-user
need riscv64-unknown-elf-gcc gcc-riscv64-unknown-elf
need clang-19 clang-19
need ld.lld-19 lld-19
need gdb gdb
# Debian's own Rust: its library sources rebuild contracts without a downloaded target. Ubuntu has no such package.
want rustc-web
want rust-web-src
# With it, and with that Rust, tests/aarch64.sh builds for another processor.
want gcc-aarch64-linux-gnu
want libc6-dev-arm64-cross
# Without it the session of docs/profiling.md is not run.
want linux-perf
# Without it nobody looks at the page that a node serves.
want chromium
# Without it nobody verifies packaging/millrace.service.
want systemd
# Without it tests/confined.sh does not see what a node asks the kernel for.
want strace

if [ -z "$packages$optional" ]; then
    echo "install-tools: everything is there"
    exit 0
fi

as_root=""
if [ "$(id -u)" -ne 0 ]; then
    as_root=sudo
fi
if ! command -v apt-get >/dev/null 2>&1 || ! command -v ${as_root:-true} >/dev/null 2>&1; then
    if [ -z "$packages" ]; then
        echo "install-tools: everything is there but$optional"
        exit 0
    fi
    echo "install-tools: needs apt-get, and to be root or have sudo. Install what these Debian packages hold:$packages" >&2
    exit 1
fi

# A machine that was started just now often installs updates of its own: wait for its locks instead of failing.
tries=1
until [ -z "$packages" ] || $as_root apt-get update -q; do
    [ "$tries" -lt 6 ] || exit 1
    tries=$((tries + 1))
    sleep 5
done
for package in $optional; do
    if apt-cache show "$package" >/dev/null 2>&1; then
        packages="$packages $package"
    fi
done
if [ -z "$packages" ]; then
    echo "install-tools: everything is there but$optional, which this distribution does not have"
    exit 0
fi
echo "install-tools: installing$packages"
# shellcheck disable=SC2086 # one word per package
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
    -o DPkg::Lock::Timeout=600 $packages
