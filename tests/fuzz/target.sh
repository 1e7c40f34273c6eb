#!/bin/sh
# target.sh PROGRAM TARGET FOLDER [SECONDS]: run a fuzz target on its seeds and on the inputs in
# regress/ that failed once; with SECONDS also, by libFuzzer, on what that makes of them, which is
# kept in FOLDER/corpus. Exit status 1 if it found something, which is kept in FOLDER.
set -u

here=$(cd "$(dirname "$0")" && pwd)
program=$(realpath "$1") target=$2 seconds=${4:-}
mkdir -p "$3/corpus" || exit 1
work=$(realpath "$3")

python=/usr/bin/python3 # which has Debian's PIL and PyTorch
[ -x "$python" ] || python=python3
"$python" "$here/seeds.py" "$target" "$work/seeds" || exit 1
set -- "$work/corpus" "$work/seeds"
if [ -d "$here/regress/$target" ]; then
    set -- "$@" "$here/regress/$target"
fi
if [ -n "$seconds" ]; then
    case $target in
    classes) dict=lists ;;
    zip) dict=pickle ;;
    *) dict=$target ;;
    esac
    set -- -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=4096 \
        -print_final_stats=1 -dict="$here/$dict.dict" "$@"
fi

# Files that targets write are best kept in memory.
memory=$(mktemp -d /dev/shm/clfcn-fuzz-XXXXXX 2>/dev/null || mktemp -d) || exit 1
trap 'rm -rf "$memory"' EXIT
cd "$work" || exit 1
TMPDIR=$memory "$program" "$@" || exit 1
