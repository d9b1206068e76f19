#!/usr/bin/env bash
# Builds the example contracts for the chain. `contracts/build.sh --help` says how.
set -euo pipefail

usage() {
    cat <<'TEXT'
contracts/build.sh              rebuilds contracts/artifacts/*.elf and writes down the toolchain that did it
contracts/build.sh --check      rebuilds them elsewhere and compares: 0 equal, 1 not, 3 without the recorded toolchain
contracts/build.sh --symbols    builds them with symbols and line tables into contracts/target/symbols/

Two toolchains can build contracts; where both are there, the recorded one is taken, else the first:
  rustup   the repository's Rust with `rustup target add riscv64imac-unknown-none-elf`
  debian   Debian's rustc-web, rust-web-src and lld, beside any cargo (apt install rustc-web rust-web-src lld)
TEXT
}

readonly TARGET=riscv64imac-unknown-none-elf
readonly EXAMPLES=(counter exchange hash token)
# Every extension of the machine that RV64IMAC does not name (docs/spec/machine.md).
readonly FEATURES=+zba,+zbb,+zbc,+zbs,+zicond
readonly NO_TOOLCHAIN=3

# Nothing of the caller's cargo settings may reach the bytes.
unset RUSTC RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER RUSTC_BOOTSTRAP RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
for variable in $(compgen -v | grep -E '^CARGO_(BUILD|PROFILE|TARGET|UNSTABLE)_' || true) CARGO_TARGET_DIR; do
    unset "$variable"
done
export LC_ALL=C CARGO_INCREMENTAL=0

cd "$(dirname "${BASH_SOURCE[0]}")"
root=$(pwd -P)

# The compiler, linker and cargo of toolchain $1, or failure where it is not installed.
compiler_of() {
    case $1 in
        rustup) command -v rustc >/dev/null && [ -d "$(rustc --print sysroot)/lib/rustlib/$TARGET/lib" ] && echo rustc ;;
        debian) [ -x /usr/bin/rustc ] && [ -e "$(library_of /usr/bin/rustc)/Cargo.lock" ] && echo /usr/bin/rustc ;;
    esac
}
library_of() { echo "$("$1" --print sysroot)/lib/rustlib/src/rust/library"; }
linker_of() {
    local linker
    case $1 in
        rustup) linker=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/rust-lld ;;
        debian) linker=$(command -v ld.lld-19 || command -v ld.lld) || return 1 ;;
    esac
    [ -x "$linker" ] && echo "$linker"
}
installed() { compiler_of "$1" >/dev/null && linker_of "$1" >/dev/null; }

# Everything that the bytes depend on beside the sources.
identity_of() {
    echo "toolchain: $1"
    "$(compiler_of "$1")" -vV
    echo "linker: $("$(linker_of "$1")" -flavor gnu --version 2>/dev/null || "$(linker_of "$1")" --version)"
    echo "cargo: $(cargo --version)"
}

# Prints the name of the toolchain to build with.
choose() {
    local name
    for name in rustup debian; do
        if installed "$name" && [ -e artifacts/TOOLCHAIN ] && identity_of "$name" | cmp -s - artifacts/TOOLCHAIN; then
            echo "$name"
            return
        fi
    done
    [ "${1:-}" = recorded ] && return 1
    for name in rustup debian; do
        if installed "$name"; then
            echo "$name"
            return
        fi
    done
    echo "no toolchain for $TARGET is installed:" >&2
    usage | sed -n '/^Two/,$p' >&2
    return 1
}

# Builds every example with toolchain $1 and profile $2; the programs are then in $built.
build() {
    local name=$1 profile=$2 compiler linker separator=$'\x1f' flags build_std=()
    compiler=$(compiler_of "$name")
    linker=$(linker_of "$name")
    export CARGO_TARGET_DIR=$root/target/$name
    flags="-Clinker=$linker${separator}-Clinker-flavor=ld.lld${separator}-Ctarget-feature=$FEATURES"
    if [ "$name" = debian ]; then
        export RUSTC=$compiler RUSTC_BOOTSTRAP=1
        build_std=(-Zbuild-std=core,alloc -Zbuild-std-features=compiler-builtins-mem)
        flags+="${separator}--remap-path-prefix=$(library_of "$compiler")=library"
    fi
    local examples=() source
    cargo fetch --locked --quiet --target "$TARGET"
    for source in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
        flags+="${separator}--remap-path-prefix=$source=crates"
    done
    flags+="${separator}--remap-path-prefix=$root=contracts"
    for source in "${EXAMPLES[@]}"; do examples+=(-p "$source"); done
    CARGO_ENCODED_RUSTFLAGS=$flags cargo build --locked --quiet --profile "$profile" --target "$TARGET" \
        "${build_std[@]}" "${examples[@]}"
    built=$CARGO_TARGET_DIR/$TARGET/$profile
}

case ${1:-} in
    "")
        name=$(choose)
        build "$name" release
        for example in "${EXAMPLES[@]}"; do install -m 644 "$built/$example" "artifacts/$example.elf"; done
        unset RUSTC RUSTC_BOOTSTRAP
        identity_of "$name" >artifacts/TOOLCHAIN
        wc -c artifacts/*.elf
        ;;
    --check)
        name=$(choose recorded) || {
            echo "the toolchain that built contracts/artifacts is not installed; it is:"
            cat artifacts/TOOLCHAIN
            exit $NO_TOOLCHAIN
        }
        build "$name" release
        status=0
        for example in "${EXAMPLES[@]}"; do cmp "$built/$example" "artifacts/$example.elf" || status=1; done
        [ $status = 0 ] || echo "contracts/artifacts is stale: run contracts/build.sh and commit what it writes" >&2
        exit $status
        ;;
    --symbols)
        build "$(choose)" symbols
        mkdir -p target/symbols
        for example in "${EXAMPLES[@]}"; do install -m 644 "$built/$example" "target/symbols/$example.elf"; done
        wc -c target/symbols/*.elf
        ;;
    --help) usage ;;
    *)
        usage >&2
        exit 2
        ;;
esac
