#!/bin/sh
# From a clean clone to a trained network in a few minutes: install what is missing, build in
# build/, train on the built-in demo set, evaluate, draw masks. Results are in build/quickstart/.
set -eu

cd "$(dirname "$0")/.."
. host/packages.sh

# shellcheck disable=SC2086 # a list of words
install_packages $build_packages

echo "Building in build/ ..."
[ -f build/build.ninja ] || meson setup build --buildtype=release -Dtests=disabled >/dev/null
meson compile -C build >build/quickstart.log 2>&1 || { cat build/quickstart.log; exit 1; }
clfcn=build/host/cli/clfcn

# Exit status 3: no usable OpenCL device. PoCL makes one of any CPU.
found=0
"$clfcn" devices --quiet >/dev/null 2>&1 || found=$?
if [ "$found" -eq 3 ]; then
    install_packages pocl-opencl-icd
fi
"$clfcn" devices

out=build/quickstart
run=$out/run
rm -rf "$out"
mkdir -p "$out"

echo "Training on the demo set: disc, square, triangle and ring on textured ground ..."
"$clfcn" train --data demo --arch fcns --backbone vgg11 --size 96x96 --batch 4 --epochs 8 \
    --loss ce --optimizer adam --lr 0.0003 --augment flip --out "$run"

echo
echo "Validation images, which the training has not seen:"
"$clfcn" eval "$run/checkpoints/best.safetensors" --data demo --split val

"$clfcn" data demo --write "$out/demo" --count 12 --quiet
"$clfcn" predict "$run/checkpoints/best.safetensors" "$out/demo/images" --out "$out/predicted" \
    --overlay --quiet
"$clfcn" report "$run" --quiet

cat <<END

Look at:
  $run/report.html     loss and metrics by epoch, sample pictures
  $out/predicted/        masks (NAME.png) and overlays (NAME.overlay.png) of demo pictures
Next:
  $clfcn train --help
  $clfcn train --data DIR      DIR holds images/ masks/ classes.txt
  sh tests/run.sh
END
