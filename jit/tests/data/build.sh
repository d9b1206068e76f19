#!/bin/sh
# Rebuilds the fixtures with stock toolchains and their default layout; no linker script. Paths in DWARF are relative.
set -eu
cd "$(dirname "$0")"
flags="-march=rv64imac -mabi=lp64 -mcmodel=medany -O1 -g -ffile-prefix-map=$PWD=. -static -nostdlib"
# shellcheck disable=SC2086 # one word per flag
riscv64-unknown-elf-gcc $flags -o hello-gcc.elf hello.c
# shellcheck disable=SC2086 # one word per flag
clang-19 --target=riscv64-unknown-elf -fuse-ld=lld-19 -Wl,--defsym=__global_pointer\$=0 $flags -o hello-lld.elf hello.c
