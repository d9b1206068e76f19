#!/usr/bin/env bash
# Runs a node as nobody, without privileges, in a file system that is read only but for one directory, and watches that it
# asks the kernel for no io_uring. It has to make blocks, stop, start again from what it kept, and pass `state check`.
#
# Needs `cargo build --workspace` before. Where a system lets nobody make namespaces, it says so and skips.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}/debug

if [ "${1:-}" != inside ]; then
    namespaces=(unshare --mount)
    [ "$(id -u)" -eq 0 ] || namespaces+=(--map-root-user)
    if ! "${namespaces[@]}" mount -t tmpfs none /tmp 2>/dev/null; then
        echo "confined: skipped, this system permits no namespaces"
        exit 0
    fi
    work=$(mktemp -d)
    trap 'rmdir "$work"' EXIT
    "${namespaces[@]}" "$0" inside "$work"
    exit
fi

# In a namespace of its own: everything read only, then one directory that is not.
work=$2
mount --make-rprivate /
findmnt -rno TARGET | sort -r | while read -r point; do
    mount -o remount,bind,ro "$point" 2>/dev/null || true
done
mount -t tmpfs -o mode=0777 none "$work"
if (: >"$target/.confined") 2>/dev/null; then
    echo "confined: the file system is not read only" >&2
    exit 1
fi

as_nobody=(setpriv --no-new-privs --bounding-set=-all --inh-caps=-all)
# The only user that a namespace without privileges knows may not become another.
if setpriv --reuid=65534 --regid=65534 --clear-groups true 2>/dev/null; then
    as_nobody+=(--reuid=65534 --regid=65534 --clear-groups)
fi
watched=()
if strace -f -o /dev/null true 2>/dev/null; then
    watched=(strace -f -qq -e 'trace=io_uring_setup,io_uring_enter,io_uring_register' -e signal=none -o "$work/trace")
fi
node=("${as_nobody[@]}" "${watched[@]}" "$PWD/$target/millrace")
for run in 1 2; do
    TMPDIR=$work "${node[@]}" dev --data-dir "$work/data" --plugin "$PWD/$target/libmillrace_plugin_solo.so" \
        --rpc-listen 127.0.0.1:0 --seed 7 --load token --txs 40 >"$work/out" || { cat "$work/out" >&2; exit 1; }
    if [ -s "$work/trace" ]; then
        echo "confined: it asked for io_uring:" >&2
        head "$work/trace" >&2
        exit 1
    fi
done
"${node[@]}" state check "$work/data"
[ ${#watched[@]} -ne 0 ] || echo "confined: nobody watched for io_uring, since strace is not there or may not"
