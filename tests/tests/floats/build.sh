#!/bin/sh
# Rebuilds the programs from kernels.c. What they print is compared with qemu's output, so that another compiler does.
set -eu
cd "$(dirname "$0")"
flags="-march=rv64gc -mabi=lp64d -mcmodel=medany -O2 -fno-math-errno -static -nostdlib -ffreestanding -s -DSCALE=20"
for kind in "" -observed; do
    define=${kind:+-DOBSERVED}
    # shellcheck disable=SC2086 # one word per flag
    riscv64-unknown-elf-gcc $flags $define -ffp-contract=fast -msmall-data-limit=0 -o kernels-gcc$kind.elf kernels.c
    # shellcheck disable=SC2086 # one word per flag
    clang-19 --target=riscv64-unknown-elf -fuse-ld=lld-19 -Wl,--defsym=__global_pointer\$=0x12800 $flags $define \
        -ffp-contract=off -o kernels-clang$kind.elf kernels.c
done
