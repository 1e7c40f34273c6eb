#!/bin/sh
# Run a test under Oclgrind. The simulator exits 0 even when it finds errors, so its log decides.
#
# Kernels for GPUs, which are what Oclgrind gets, run with --uninitialized. Those for wide vectors
# do not: version 21.10 takes .hi of a float16 for uninitialised. The tests fill what kernels are
# to write with NaN besides.
set -u

log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT

uninitialized=--uninitialized
if [ "${CLFCN_TEST_CLASS:-gpu}" != gpu ]; then
    uninitialized=
fi
# shellcheck disable=SC2086 # absent where empty
oclgrind --data-races $uninitialized --check-api --log "$log" "$@"
rc=$?
if [ -s "$log" ]; then
    echo "# oclgrind found errors:" >&2
    head -n 60 "$log" >&2
    exit 1
fi
exit "$rc"
