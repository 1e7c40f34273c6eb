#!/bin/sh
# run.sh SECONDS [TARGET...]: let libFuzzer work on the fuzz targets, all or those named, for so
# long each, and half as long, a minute at most, with memory running out. Corpora, logs and findings
# are kept in build-test/fuzz/TARGET: the next run begins with that corpus, cut to what reaches
# something of its own. Exit status 1 if anything was found; such an input belongs into
# tests/fuzz/regress/TARGET, made as small as it gets, once the fault is gone.
set -u

cd "$(dirname "$0")/../.." || exit 1
if [ $# -eq 0 ]; then
    echo "usage: tests/fuzz/run.sh SECONDS [TARGET...]" >&2
    exit 2
fi
seconds=$1
shift
if [ $# -eq 0 ]; then
    for source in tests/fuzz/fuzz_*.c; do
        set -- "$@" "$(basename "${source#*fuzz_}" .c)"
    done
fi

build="build-test/libfuzzer"
if [ ! -f "$build/build.ninja" ]; then
    CC=clang meson setup "$build" --werror -Dtests=enabled -Dfuzz=enabled \
        -Db_sanitize=address,undefined -Db_lundef=false || exit 1
fi
export ASAN_OPTIONS=allocator_may_return_null=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1

# minimise PROGRAM FOLDER: make each finding there smaller. Old ones count until they are removed.
minimise() {
    for input in "$2"/crash-* "$2"/oom-* "$2"/timeout-* "$2"/leak-*; do
        case $input in
        *'-*' | *.small) continue ;; # there is none of that kind; made by this
        esac
        "$1" -minimize_crash=1 -max_total_time=60 -timeout=10 -rss_limit_mb=1024 \
            -exact_artifact_path="$input.small" "$input" >/dev/null 2>&1
        echo "found: $input"
        status=1
    done
}

# shrink PROGRAM FOLDER: keep of the corpus what reaches something that nothing smaller does.
shrink() {
    rm -rf "$2/merged"
    mkdir "$2/merged"
    if "$1" -merge=1 "$2/merged" "$2/corpus" >/dev/null 2>&1; then
        rm -rf "$2/corpus"
        mv "$2/merged" "$2/corpus"
    fi
}

status=0
for target in "$@"; do
    meson compile -C "$build" "fuzz_$target" >/dev/null || exit 1
    program=$build/tests/fuzz/fuzz_$target work=build-test/fuzz/$target
    mkdir -p "$work"
    sh tests/fuzz/target.sh "$program" "$target" "$work" "$seconds" >"$work/log" 2>&1 || status=1
    grep -E '^#[0-9]+.*DONE|^SUMMARY|must hold' "$work/log" | sed "s/^/$target: /"
    minimise "$program" "$work"
    (export CLFCN_FUZZ_NOMEM=8 && minimise "$program" "$work/nomem" && exit "$status") || status=1
    shrink "$program" "$work"
done
exit "$status"
