#!/bin/sh
# Run a test built with AddressSanitizer; once more if LeakSanitizer itself crashed, as it does now
# and then when threads of the OpenCL runtime are ending ("Tracer caught signal 11"). What it finds
# is never run again.
set -u

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

"$@" >"$work/out" 2>"$work/err"
rc=$?
if grep -q 'LeakSanitizer has encountered a fatal error' "$work/out" "$work/err"; then
    "$@" >"$work/out" 2>"$work/err"
    rc=$?
fi
cat "$work/out"
cat "$work/err" >&2
exit "$rc"
