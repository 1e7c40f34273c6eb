#!/bin/sh
# Build, test and measure clfcn on a bare x86-64 machine with an NVIDIA driver, gcc, meson, ninja
# and a python3 that has PyTorch; nothing is installed and nothing fetched.
#
#     tests/bench/gpu.sh DEBS [--icd LIBRARY] [--device D] [--python P] [--quick]
#
#   DEBS           folder of packages from tests/bench/fetch-debs.sh
#   --icd LIBRARY  the OpenCL driver; default: the NVIDIA driver's, wherever it lies
#   --device D     as for clfcn; default: gpu
#   --python P     the one that has PyTorch; default: python3
#   --quick        small networks and few cases, to try this script
#
# Works in build-gpu/, leaves nine files in $OUT (default gpu-out/): summary.txt, log.txt (what
# every part printed), devices.jsonl, selftest.jsonl, tests.txt, train.jsonl, layers.jsonl (clfcn
# bench), and figures.md and figures.json (bench.py against PyTorch). A part that fails does not stop the
# others; exit status 1 if any failed. Ends within ten minutes.
set -u

begin=$(date +%s)
budget=570 # seconds for everything

usage() {
    echo "usage: gpu.sh DEBS [--icd LIBRARY] [--device D] [--python P] [--quick]" >&2
    exit 2
}

debs='' icd='' device=gpu python=python3 quick=
while [ $# -gt 0 ]; do
    case $1 in
    --icd) [ $# -ge 2 ] || usage; icd=$2; shift ;;
    --device) [ $# -ge 2 ] || usage; device=$2; shift ;;
    --python) [ $# -ge 2 ] || usage; python=$2; shift ;;
    --quick) quick=1 ;;
    -*) usage ;;
    *) [ -z "$debs" ] || usage; debs=$1 ;;
    esac
    shift
done
[ -d "$debs" ] || usage
debs=$(cd "$debs" && pwd)

cd "$(dirname "$0")/../.." || exit 1
out=${OUT:-gpu-out}
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$PWD/build-gpu
prefix=$work/prefix
build=$work/build
clfcn=$build/host/cli/clfcn
log=$out/log.txt
summary=$out/summary.txt
mkdir -p "$work"
: >"$log"
: >"$summary"
failed=0

say() {
    echo "$*"
    echo "$*" >>"$summary"
}

elapsed() {
    echo $(($(date +%s) - begin))
}

# part NAME SECONDS FUNCTION: run it in a process of its own; keep what it says and how it ends.
part() {
    left=$((budget - $(elapsed)))
    limit=$(($2 < left ? $2 : left))
    if [ "$limit" -lt 1 ]; then
        say "FAILED  $1: no time left"
        failed=$((failed + 1))
        return 1
    fi
    start=$(elapsed)
    echo "== $1 (at most $limit s)" | tee -a "$log"
    # A shell of its own, so that the limit ends the function with all it started.
    LIMIT=$limit timeout "$limit" sh "$work/parts.sh" "$3" >>"$log" 2>&1
    status=$?
    if [ "$status" -eq 0 ]; then
        say "ok      $1, $(($(elapsed) - start)) s"
    else
        say "FAILED  $1, status $status, $(($(elapsed) - start)) s"
        tail -n 15 "$log"
        failed=$((failed + 1))
    fi
    return "$status"
}

find_icd() {
    for file in $(ldconfig -p 2>/dev/null | sed -n 's/.*libnvidia-opencl\.so.* => //p') \
        /usr/lib/x86_64-linux-gnu/libnvidia-opencl.so* /usr/lib64/libnvidia-opencl.so* \
        /usr/local/nvidia/lib64/libnvidia-opencl.so* /usr/local/nvidia/lib/libnvidia-opencl.so* \
        /usr/lib/wsl/lib/libnvidia-opencl.so* /run/opengl-driver/lib/libnvidia-opencl.so*; do
        if [ -e "$file" ]; then
            echo "$file"
            return 0
        fi
    done
    return 1
}

if [ -z "$icd" ] && ! icd=$(find_icd); then
    say "FAILED  no libnvidia-opencl.so of an NVIDIA driver found: name it with --icd"
    failed=1
fi
mkdir -p "$work/vendors"
echo "$icd" >"$work/vendors/chosen.icd"
multiarch=x86_64-linux-gnu
libraries=$prefix/usr/lib/$multiarch:$prefix/lib/$multiarch

# The driver loads more libraries from its own folder.
if [ -n "$icd" ]; then
    LD_LIBRARY_PATH=$(dirname "$icd")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export LD_LIBRARY_PATH
fi
export OCL_ICD_VENDORS="$work/vendors"
export CLFCN_CACHE_DIR="$work/cache" CLFCN_TEST_DEVICE="$device" CMOCKA_MESSAGE_OUTPUT=TAP
export PYTHONDONTWRITEBYTECODE=1
# The packages' headers and libraries, at build time only: programs find the libraries by their
# RPATH (which, unlike RUNPATH, holds for what the libraries need too), so Python is not disturbed.
export CPATH="$prefix/usr/include:$prefix/usr/include/$multiarch" LIBRARY_PATH="$libraries"
export PKG_CONFIG_SYSROOT_DIR="$prefix"
export PKG_CONFIG_LIBDIR="$prefix/usr/lib/$multiarch/pkgconfig:$prefix/usr/share/pkgconfig"
export LDFLAGS="-Wl,--disable-new-dtags,-rpath,$libraries,-rpath-link,$libraries"
if ! command -v pkg-config >/dev/null 2>&1; then
    export PKG_CONFIG="$work/pkg-config"
fi

export debs prefix work build clfcn out device python quick libraries
cat >"$work/parts.sh" <<'PARTS'
unpack() {
    rm -rf "$prefix" && mkdir -p "$prefix" || return 1
    for deb in "$debs"/*.deb; do
        if command -v dpkg >/dev/null 2>&1; then
            dpkg -x "$deb" "$prefix" || return 1
        else
            member=$(ar t "$deb" | grep '^data\.tar') || return 1
            ar p "$deb" "$member" >"$work/$member" && tar -xf "$work/$member" -C "$prefix" &&
                rm "$work/$member" || return 1
        fi
    done
    # Links to absolute paths mean the machine's own files: turn them into the prefix.
    find "$prefix" -type l | while read -r link; do
        case $(readlink "$link") in
        /*) ln -sfn "$prefix$(readlink "$link")" "$link" ;;
        esac
    done
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' "$libraries" \
        "$prefix/usr/bin/pkgconf" >"$work/pkg-config"
    chmod +x "$work/pkg-config"
}

build() {
    rm -rf "$build"
    meson setup "$build" --buildtype=release -Dtests=enabled && meson compile -C "$build"
}

devices() {
    "$clfcn" devices --device "$device" --json >"$out/devices.jsonl"
    status=$?
    cat "$out/devices.jsonl"
    return "$status"
}

selftest() {
    "$clfcn" selftest --device "$device" --json >"$out/selftest.jsonl"
    status=$?
    grep -v '"correct": *true' "$out/selftest.jsonl"
    return "$status"
}

# As on this device, not disguised as another.
kernels() {
    broken=0
    [ -z "$quick" ] || export CLFCN_TEST_SMALL=1
    for test in "$build"/tests/kernel/kernel_*; do
        [ -x "$test" ] && [ -f "$test" ] || continue
        name=$(basename "$test")
        echo "# $name" >>"$out/tests.txt"
        if ! timeout 100 "$test" >>"$out/tests.txt" 2>&1; then
            echo "$name failed"
            broken=$((broken + 1))
        fi
    done
    grep -c '^ok' "$out/tests.txt"
    return "$broken"
}

unit() {
    names=
    [ -z "$quick" ] || names="safetensors golden"
    # shellcheck disable=SC2086 # a list of words
    meson test -C "$build" --suite unit --no-rebuild --print-errorlogs $names
    status=$?
    cat "$build/meson-logs/testlog.txt" >>"$out/tests.txt"
    return "$status"
}

train() {
    small=
    [ -z "$quick" ] || small="--backbone vgg11 --size 32x32 --epochs 1 --max-steps 8"
    rm -rf "$work/run"
    # shellcheck disable=SC2086 # a list of words
    "$clfcn" train --device "$device" --data demo --epochs 2 --json --out "$work/run" $small \
        >"$out/train.jsonl"
    status=$?
    tail -n 3 "$out/train.jsonl"
    return "$status"
}

layers() {
    small=
    [ -z "$quick" ] || small="--backbone vgg11 --size 32x32 --steps 2"
    : >"$out/layers.jsonl"
    for batch in 4 32; do
        # shellcheck disable=SC2086 # a list of words
        "$clfcn" bench --device "$device" --batch "$batch" --json $small \
            >>"$out/layers.jsonl" || return 1
        # shellcheck disable=SC2086 # a list of words
        "$clfcn" bench --device "$device" --batch "$batch" --no-verify $small || return 1
    done
}

# The margin is for the round that is under way when the limit comes.
figures() {
    options="--rounds 3 --steps 10"
    [ -z "$quick" ] || options="--quick --only step,infer,gemm"
    # shellcheck disable=SC2086 # a list of words
    "$python" tests/bench/bench.py --clfcn "$clfcn" --device "$device" \
        --limit $((LIMIT > 90 ? LIMIT - 60 : 30)) --json "$out/figures.json" $options \
        >"$out/figures.md"
    status=$?
    cat "$out/figures.md"
    return "$status"
}

"$1"
PARTS

: >"$out/tests.txt"
{ uname -a; nvidia-smi; python3 --version; } >>"$log" 2>&1
say "OpenCL driver: ${icd:-none}"
if part unpack 60 unpack && part build 200 build; then
    part devices 60 devices
    part selftest 100 selftest
    part kernels 150 kernels
    part "short training" 60 train
    part layers 100 layers
    part "unit tests" 100 unit
    part figures 400 figures
fi
say "$([ "$failed" -eq 0 ] && echo "all parts ok" || echo "$failed failed"), $(elapsed) s in all"
[ "$failed" -eq 0 ]
