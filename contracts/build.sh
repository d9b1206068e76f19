#!/usr/bin/env bash
# Builds the example contracts for the chain. `contracts/build.sh --help` says how.
set -euo pipefail

usage() {
    cat <<'TEXT'
contracts/build.sh              rebuilds contracts/artifacts: each ELF file, and the interface beside it as JSON; writes down
                                the toolchain that did it
contracts/build.sh --check      rebuilds them elsewhere and compares: 0 equal, 1 not, 3 without the recorded toolchain
contracts/build.sh --interfaces rebuilds the interfaces alone, which any Rust can
contracts/build.sh --symbols    builds with symbols and line tables into contracts/target/symbols/

Two toolchains can build contracts; where both are there, the recorded one is taken, else the first:
  rustup   the repository's Rust with `rustup target add riscv64imac-unknown-none-elf`
  debian   Debian's rustc-web, rust-web-src and lld, beside any cargo (apt install rustc-web rust-web-src lld)
Contracts in C are built by clang-19 (apt install clang-19).
TEXT
}

readonly TARGET=riscv64imac-unknown-none-elf
# The token is first: others import its interface.
readonly EXAMPLES=(token airdrop auction counter exchange hash multisig registry)
# Contracts in C: examples/NAME/NAME.c, and interface.json beside it.
readonly C_EXAMPLES=(timelock)
# Every extension of the machine that RV64IMAC does not name (docs/spec/machine.md).
readonly FEATURES=+zba,+zbb,+zbc,+zbs,+zicond
readonly C_FLAGS=(--target=riscv64-unknown-elf -march=rv64imac_zba_zbb_zbc_zbs_zicond -mabi=lp64 -mcmodel=medany
    -std=c11 -Os -ffreestanding -fno-pie -ffunction-sections -fdata-sections -Wall -Wextra -Wpedantic -Werror)
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
installed() { compiler_of "$1" >/dev/null && linker_of "$1" >/dev/null && command -v clang-19 >/dev/null; }
# The linker of toolchain $1 as GNU's, with the arguments behind it.
link() {
    local flavor=()
    [ "$1" = rustup ] && flavor=(-flavor gnu)
    "$(linker_of "$1")" "${flavor[@]}" "${@:2}"
}

# Everything that the bytes depend on beside the sources.
identity_of() {
    echo "toolchain: $1"
    "$(compiler_of "$1")" -vV
    echo "linker: $("$(linker_of "$1")" -flavor gnu --version 2>/dev/null || "$(linker_of "$1")" --version)"
    echo "cargo: $(cargo --version)"
    echo "C compiler: $(clang-19 --version | head -n 1)"
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
    for source in "${C_EXAMPLES[@]}"; do build_c "$name" "$profile" "$source"; done
    unset RUSTC RUSTC_BOOTSTRAP CARGO_TARGET_DIR
}

# Builds example $3, in C, into $built with toolchain $1's linker and profile $2.
build_c() {
    local debug=() strip=(--strip-all)
    [ "$2" = symbols ] && debug=(-g1 "-ffile-prefix-map=$root=contracts") strip=()
    clang-19 "${C_FLAGS[@]}" "${debug[@]}" -Isdk/c -c "examples/$3/$3.c" -o "$built/$3.o"
    link "$1" --gc-sections "${strip[@]}" -o "$built/$3" "$built/$3.o"
}

# Writes every example's interface to folder $1, in two steps: what the examples of the second import is of the first.
interfaces() {
    local name
    cargo build --locked --quiet -p token
    ./target/debug/token --interface >"$1/token.json"
    local examples=()
    for name in "${EXAMPLES[@]}"; do examples+=(-p "$name"); done
    cargo build --locked --quiet "${examples[@]}"
    for name in "${EXAMPLES[@]}"; do "./target/debug/$name" --interface >"$1/$name.json"; done
    for name in "${C_EXAMPLES[@]}"; do install -m 644 "examples/$name/interface.json" "$1/$name.json"; done
}

case ${1:-} in
    "")
        name=$(choose)
        interfaces artifacts
        build "$name" release
        for example in "${EXAMPLES[@]}" "${C_EXAMPLES[@]}"; do
            install -m 644 "$built/$example" "artifacts/$example.elf"
        done
        identity_of "$name" >artifacts/TOOLCHAIN
        wc -c artifacts/*.elf
        ;;
    --interfaces) interfaces artifacts ;;
    --check)
        name=$(choose recorded) || {
            echo "the toolchain that built contracts/artifacts is not installed; it is:"
            cat artifacts/TOOLCHAIN
            exit $NO_TOOLCHAIN
        }
        status=0
        mkdir -p target/interfaces
        interfaces target/interfaces
        build "$name" release
        for example in "${EXAMPLES[@]}" "${C_EXAMPLES[@]}"; do
            cmp "$built/$example" "artifacts/$example.elf" || status=1
            cmp "target/interfaces/$example.json" "artifacts/$example.json" || status=1
        done
        [ $status = 0 ] || echo "contracts/artifacts is stale: run contracts/build.sh and commit what it writes" >&2
        exit $status
        ;;
    --symbols)
        build "$(choose)" symbols
        mkdir -p target/symbols
        for example in "${EXAMPLES[@]}" "${C_EXAMPLES[@]}"; do
            install -m 644 "$built/$example" "target/symbols/$example.elf"
        done
        wc -c target/symbols/*.elf
        ;;
    --help) usage ;;
    *)
        usage >&2
        exit 2
        ;;
esac
