#!/bin/sh
# Run a test under Oclgrind. The simulator exits 0 even when it finds errors, so its log decides.
#
# Version 21.10 takes what comes out of a shuffle of wide vectors for uninitialised. So the kernels
# run without shuffles while it looks for that; those for CPUs then once more with them. It
# knows no prefetching.
set -u

log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT

# check [OPTION...] TEST...: run it with these besides the usual ones
check() {
    oclgrind --data-races --check-api --log "$log" "$@"
    rc=$?
    if [ -s "$log" ]; then
        echo "# oclgrind found errors:" >&2
        head -n 60 "$log" >&2
        exit 1
    fi
    [ "$rc" -eq 0 ] || exit "$rc"
}

check --uninitialized --build-options '-DNO_PREFETCH -DNO_SHUFFLE' "$@"
if [ "${CLFCN_TEST_CLASS:-gpu}" != gpu ]; then
    check --build-options -DNO_PREFETCH "$@" >&2 # one TAP stream is enough
fi
