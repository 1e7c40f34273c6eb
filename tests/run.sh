#!/bin/sh
# Install what the tests need, build with several compilers and checkers, run every suite, and end
# with the line `N passed, N failed`. Builds and logs are kept in build-test/.
set -u

cd "$(dirname "$0")/.." || exit 1
. host/packages.sh

# shellcheck disable=SC2086 # a list of words
install_packages $build_packages g++ clang libcmocka-dev pocl-opencl-icd mesa-opencl-icd \
    oclgrind valgrind mandoc libopenmpi-dev openmpi-bin util-linux || exit 1

# The live page is looked at in a browser where there is one.
if command -v node >/dev/null && command -v npm >/dev/null && command -v chromium >/dev/null; then
    (cd tests/dashboard && npm ci --silent) || echo "No playwright-core: no test in a browser"
fi

out=build-test
broken=0
logs=

# build NAME COMPILER OPTION...: configure and compile build-test/NAME.
build() {
    name=$1 compiler=$2
    shift 2
    echo "== build $name ($compiler $*)"
    mkdir -p "$out"
    if [ ! -f "$out/$name/build.ninja" ]; then
        rm -rf "${out:?}/$name"
        CC=$compiler meson setup "$out/$name" --werror -Dtests=enabled "$@" \
            >"$out/$name.log" 2>&1 || { cat "$out/$name.log"; broken=$((broken + 1)); return 1; }
    fi
    meson compile -C "$out/$name" >"$out/$name.log" 2>&1 ||
        { tail -n 60 "$out/$name.log"; broken=$((broken + 1)); return 1; }
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

if build gcc gcc; then
    check gcc all
fi
if build clang clang; then
    check clang unit --suite unit
fi
# LeakSanitizer runs at exit, so every subtest may pass and the program still fail.
# Without MPI: it leaks by itself, and its launcher ends ranks while LeakSanitizer still looks.
if build asan clang -Dmpi=disabled -Db_sanitize=address,undefined -Db_lundef=false; then
    again="sh $PWD/tests/lsan.sh"
    check asan unit --suite unit --timeout-multiplier 4 --wrapper "$again"
    check asan cli --timeout-multiplier 4 --wrapper "$again" 'cli usage' 'cli bad_input' \
        'cli help' 'cli tensorboard'
fi
if build libfuzzer clang -Dfuzz=auto -Dmpi=disabled -Db_sanitize=address,undefined -Db_lundef=false; then
    check libfuzzer fuzz --suite fuzz
fi

# shellcheck disable=SC2086 # a list of words
python3 tests/count.py --failed "$broken" $logs
