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
    --val-fraction 0.02 --max-steps 2 --out "$tmp/run" --quiet
