#!/bin/sh
# Run a test under Oclgrind. The simulator exits 0 even when it finds errors, so its log decides.
set -u

log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT

oclgrind --data-races --uninitialized --check-api --log "$log" "$@"
rc=$?
if [ -s "$log" ]; then
    echo "# oclgrind found errors:" >&2
    head -n 60 "$log" >&2
    exit 1
fi
exit "$rc"
