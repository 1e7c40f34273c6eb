#!/bin/sh
# Install what the tests need, build with several compilers and checkers, run every suite, and end
# with the line `N passed, N failed`. Builds and logs are kept in build-test/.
set -u

cd "$(dirname "$0")/.." || exit 1
. host/packages.sh

# shellcheck disable=SC2086 # a list of words
install_packages $build_packages g++ clang clang-tidy shellcheck libcmocka-dev pocl-opencl-icd \
    mesa-opencl-icd oclgrind valgrind mandoc libopenmpi-dev openmpi-bin util-linux || exit 1

# The live page is looked at in a browser where there is one.
if command -v node >/dev/null && command -v npm >/dev/null && command -v chromium >/dev/null; then
    (cd tests/dashboard && npm ci --silent) || echo "No playwright-core: no test in a browser"
fi

out=build-test
broken=0
logs=
polite=
targets=

# build NAME COMPILER OPTION...: configure build-test/NAME and compile $targets of it, or all where
# that is empty. NAME.broken is left behind where that does not succeed.
build() {
    name=$1 compiler=$2
    shift 2
    echo "== build $name ($compiler $*)"
    : >"$out/$name.broken"
    if [ ! -f "$out/$name/build.ninja" ]; then
        rm -rf "${out:?}/$name"
        CC=$compiler meson setup "$out/$name" --werror -Dtests=enabled "$@" \
            >"$out/$name.log" 2>&1 || { cat "$out/$name.log"; return 1; }
    fi
    # shellcheck disable=SC2086 # a list of words
    $polite meson compile -C "$out/$name" $targets >"$out/$name.log" 2>&1 ||
        { tail -n 60 "$out/$name.log"; return 1; }
    rm "$out/$name.broken"
}

# is_built NAME
is_built() {
    [ ! -e "$out/$1.broken" ] || { broken=$((broken + 1)); return 1; }
}

# check NAME LOG ARGUMENT...: run tests of a build; results go to a log of their own, to whose name
# meson adds that of a wrapper.
check() {
    name=$1 log=$2
    shift 2
    echo "== test $name: $log"
    rm -f "$out/$name/meson-logs/$log"*.json
    meson test -C "$out/$name" --no-rebuild --logbase "$log" --print-errorlogs "$@"
    found=$(ls "$out/$name/meson-logs/$log"*.json 2>/dev/null) || broken=$((broken + 1))
    logs="$logs $found"
}

mkdir -p "$out"
build gcc gcc
# The others are compiled while tests wait: for a process, a pause, a test that wants all processors.
# Without MPI: it leaks by itself, and its launcher ends ranks while LeakSanitizer still looks.
{
    polite='nice -n 15'
    build asan clang -Dmpi=disabled -Db_sanitize=address,undefined -Db_lundef=false
    targets='host/cli/clfcn clfcn-probe skip_layer test_util_thread test_util_trace test_util_child
        test_data_loader test_train_runlog test_train_predictor'
    build tsan clang -Db_sanitize=thread -Db_lundef=false
    targets=fuzz
    build libfuzzer clang -Dfuzz=auto -Dmpi=disabled -Db_sanitize=address,undefined \
        -Db_lundef=false
} >"$out/builds.log" 2>&1 &
if is_built gcc; then
    check gcc all
fi
wait
cat "$out/builds.log"

# LeakSanitizer runs at exit, so every subtest may pass and the program still fail.
if is_built asan; then
    again="sh $PWD/tests/lsan.sh"
    check asan unit --suite unit --timeout-multiplier 4 --wrapper "$again"
    check asan cli --timeout-multiplier 4 --wrapper "$again" 'cli usage' 'cli bad_input' \
        'cli help' 'cli tensorboard'
fi
# What has threads of its own: loops, the trace, the loader, the run log, the predictor, the page.
if is_built tsan; then
    check tsan threads --timeout-multiplier 4 --wrapper "sh $PWD/tests/tsan.sh" 'util thread' \
        'util trace' 'util child' 'data loader' train-runlog train-predictor 'cli dashboard'
fi
if is_built libfuzzer; then
    check libfuzzer fuzz --suite fuzz
fi

# shellcheck disable=SC2086 # a list of words
python3 tests/count.py --failed "$broken" $logs
