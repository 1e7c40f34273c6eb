#!/bin/sh
# fetch-debs.sh DIR: download the Debian packages that gpu.sh builds with, about 4 MB, on a machine
# that has Debian's package lists. DIR then goes along to the machine with the GPU.
set -eu

if [ $# -ne 1 ]; then
    echo "usage: fetch-debs.sh DIR" >&2
    exit 2
fi

# The compiler's own libraries (libc6, libgcc-s1, libstdc++6) are left to the machine, and so is
# everything above them; what these packages need besides is in the list.
packages="ocl-icd-libopencl1 ocl-icd-opencl-dev opencl-c-headers libclblast1 libclblast-dev
libpng16-16 libpng-dev zlib1g zlib1g-dev libjpeg62-turbo libjpeg62-turbo-dev libjpeg-dev
libjansson4 libjansson-dev libpopt0 libpopt-dev libcmocka0 libcmocka-dev pkgconf-bin libpkgconf3"

mkdir -p "$1"
cd "$1"
rm -f ./*.deb
# shellcheck disable=SC2086 # a list of words
apt-get download $packages
du -ch ./*.deb | tail -n 1
