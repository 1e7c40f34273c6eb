#!/bin/sh
# A short training under valgrind: no bad access, nothing of ours leaked.
# valgrind.sh CLFCN SUPPRESSIONS CACHE_FOLDER
set -u

tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
# Valgrind emulates an older CPU, so kernels compiled for the real one must not be used. Compiling
# under valgrind takes minutes: the folder is kept from run to run.
POCL_CACHE_DIR=$3/pocl CLFCN_CACHE_DIR=$3/clfcn
export POCL_CACHE_DIR CLFCN_CACHE_DIR
mkdir -p "$POCL_CACHE_DIR" "$CLFCN_CACHE_DIR"

valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite \
    --errors-for-leak-kinds=definite --num-callers=40 --suppressions="$2" \
    "$1" train --data demo --arch fcn32s --backbone vgg11 --size 32x32 --batch 2 \
    --val-fraction 0.02 --out "$tmp/run" --quiet &
pid=$!

# Stopped after two steps: a run that is in no hurry gets every kernel compiled once more to keep it,
# which doubles these minutes.
steps() {
    grep -c '"event":"step"' "$tmp/run/log.jsonl" 2>/dev/null
}
while kill -0 $pid 2>/dev/null && [ $(($(steps) + 0)) -lt 2 ]; do
    sleep 1
done
kill -TERM $pid 2>/dev/null
wait $pid
status=$?
if [ $status -ne 130 ]; then
    echo "exit status $status, not 130"
    exit 1
fi
