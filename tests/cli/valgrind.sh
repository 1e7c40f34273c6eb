#!/bin/sh
# A short training under valgrind: no bad access, nothing of ours leaked.
# valgrind.sh CLFCN SUPPRESSIONS CACHE_FOLDER
set -u

clfcn=$1
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
# Valgrind emulates an older CPU, so kernels compiled for the real one must not be used.
POCL_CACHE_DIR=$3/pocl CLFCN_CACHE_DIR=$3/clfcn
export POCL_CACHE_DIR CLFCN_CACHE_DIR
mkdir -p "$POCL_CACHE_DIR" "$CLFCN_CACHE_DIR"

# train RUN SIGNAL VALGRIND_OPTION...: train under a tool of valgrind, the signal being sent after
# the first step; its exit status is left in $status.
train() {
    run=$1 signal=$2
    shift 2
    valgrind --quiet "$@" "$clfcn" train --data demo --arch fcn32s --backbone vgg11 \
        --size 32x32 --batch 2 --val-fraction 0.02 --out "$tmp/$run" --quiet &
    pid=$!
    until grep -q '"event":"step"' "$tmp/$run/log.jsonl" 2>/dev/null; do
        kill -0 $pid 2>/dev/null || break
        sleep 0.5
    done
    kill "-$signal" $pid 2>/dev/null
    wait $pid
    status=$?
}

# Compiling and verifying the kernels is the compiler's work, and takes several times as long under
# memcheck as under a tool that only emulates. What is left for memcheck is clfcn's own.
train compile KILL --tool=none

# Stopped in the second step: a run that is in no hurry gets every kernel compiled once more to keep
# it, which takes minutes here.
train check TERM --error-exitcode=99 --leak-check=full --show-leak-kinds=definite \
    --errors-for-leak-kinds=definite --num-callers=40 --suppressions="$2"
if [ $status -ne 130 ]; then
    echo "exit status $status, not 130"
    exit 1
fi
