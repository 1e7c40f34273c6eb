#!/bin/sh
# target.sh PROGRAM TARGET FOLDER [SECONDS]: run a fuzz target on its seeds and on the inputs in
# regress/ that failed once; with SECONDS also, by libFuzzer, on what that makes of them, which is
# kept in FOLDER/corpus. Then all again, for half as long but no more than a minute, with memory
# running out at some points of every input. Exit status 1 if it found something, which is kept in
# FOLDER or in FOLDER/nomem.
set -u

here=$(cd "$(dirname "$0")" && pwd)
program=$(realpath "$1") target=$2 seconds=${4:-}
mkdir -p "$3/corpus" || exit 1
work=$(realpath "$3")

python=/usr/bin/python3 # which has Debian's PIL and PyTorch
[ -x "$python" ] || python=python3
"$python" "$here/seeds.py" "$target" "$work/seeds" || exit 1
set -- "$work/seeds"
if [ -d "$here/regress/$target" ]; then
    set -- "$@" "$here/regress/$target"
fi
case $target in
bench | checkpoint | history | tuning) dict=json ;;
classes | cache) dict=lists ;;
zip) dict=pickle ;;
*) dict=$target ;;
esac

# run SECONDS FOLDER INPUT...: findings go to the folder.
run() {
    limit=$1 findings=$2
    shift 2
    if [ -n "$seconds" ]; then
        set -- -max_total_time="$limit" -timeout=10 -rss_limit_mb=1024 -max_len=4096 \
            -print_final_stats=1 -dict="$here/$dict.dict" -artifact_prefix="$findings/" "$@"
    fi
    TMPDIR=$memory "$program" "$@"
}

# Files that targets write are best kept in memory.
memory=$(mktemp -d /dev/shm/clfcn-fuzz-XXXXXX 2>/dev/null || mktemp -d) || exit 1
trap 'rm -rf "$memory"' EXIT
cd "$work" || exit 1
mkdir -p nomem/corpus || exit 1
run "$seconds" . corpus "$@" || exit 1
if [ -n "$seconds" ]; then # of each input a few points, of a seed alone most
    export CLFCN_FUZZ_NOMEM=8
    half=$(((seconds + 1) / 2))
    run $((half < 60 ? half : 60)) nomem nomem/corpus corpus "$@" || exit 1
else
    export CLFCN_FUZZ_NOMEM=200
    run "" . "$@" || exit 1
fi
