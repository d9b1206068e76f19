#!/bin/sh
# Makes the modules here from the C programs: needs clang-19 and lld-19.
set -eu
cd "$(dirname "$0")"
clang-19 --target=wasm32 -O2 -ffreestanding -nostdlib -Wl,--no-entry,--strip-all,-z,stack-size=8192 \
    ../../guests/queens.c -o queens.wasm
