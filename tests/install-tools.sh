#!/bin/sh
# Installs what the tests use beyond Rust and a C compiler: an independent RISC-V emulator and guest toolchains.
# Does nothing where everything is there. For Debian 12 and newer, and Ubuntu 24.04 and newer.
set -eu

packages=""

# need COMMAND PACKAGE: notes the package if the command is missing.
need() {
    command -v "$1" >/dev/null 2>&1 || packages="$packages $2"
}

installed() {
    dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'ok installed'
}

need qemu-riscv64 qemu-user
need riscv64-unknown-elf-gcc gcc-riscv64-unknown-elf
need clang-19 clang-19
need ld.lld-19 lld-19
# The distribution's own Rust: its library sources build contracts without a downloaded target.
if command -v dpkg-query >/dev/null 2>&1; then
    installed rustc-web || packages="$packages rustc-web"
    installed rust-web-src || packages="$packages rust-web-src"
fi

if [ -z "$packages" ]; then
    echo "install-tools: everything is there"
    exit 0
fi

if ! command -v apt-get >/dev/null 2>&1; then
    echo "install-tools: no apt-get here. Install what these Debian packages hold:$packages" >&2
    exit 1
fi

as_root=""
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "install-tools: neither root nor sudo. As root: apt-get install$packages" >&2
        exit 1
    fi
    as_root=sudo
fi

echo "install-tools: installing$packages"
$as_root apt-get update -q
# shellcheck disable=SC2086 # one word per package
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $packages
