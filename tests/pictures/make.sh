#!/bin/sh
# Make the README's pictures anew, from what host/quickstart.sh left in build/quickstart/:
#     sh host/quickstart.sh && sh tests/pictures/make.sh
# Chromium lays them out, Pillow makes them small.
set -eu
cd "$(dirname "$0")/../.."

clfcn=${CLFCN:-build/host/cli/clfcn}
run=${RUN:-build/quickstart/run}
out=$PWD/tests/pictures
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# shoot PAGE WIDTH HEIGHT NAME
shoot() {
    chromium --headless=new --no-sandbox --disable-gpu --hide-scrollbars \
        --window-size="$2,$3" --screenshot="$out/$4" "file://$1" >/dev/null 2>&1
    "${PYTHON:-python3}" -c 'import sys; from PIL import Image; p = sys.argv[1]
Image.open(p).convert("RGB").quantize(96).save(p, optimize=True)' "$out/$4"
}

# Some of those that a run with --seed 0 keeps for validation.
names="demo-0045 demo-0055 demo-0081 demo-0096"
"$clfcn" data demo --write "$work/demo" --count 97 --quiet
echo '<!DOCTYPE html><style>body { margin: 0; display: grid; gap: 6px;
    grid-template-columns: repeat(4, 1fr) } img { display: block; width: 100%; height: 120px }
    </style>' >"$work/masks.html"
for name in $names; do
    "$clfcn" predict "$run/checkpoints/best.safetensors" "$work/demo/images/$name.png" \
        --out "$work" --overlay --quiet
    echo "<img src='demo/images/$name.png'>" >>"$work/masks.html"
done
for name in $names; do
    echo "<img src='$name.overlay.png'>" >>"$work/masks.html"
done
shoot "$work/masks.html" 640 246 masks.png

cp "$run/report.html" "$work"
shoot "$work/report.html" 1120 700 report.png
