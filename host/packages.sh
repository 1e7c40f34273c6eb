# shellcheck shell=sh disable=SC2034
# packages.sh - sourced by host/quickstart.sh and tests/run.sh: Debian packages that are missing.

# What building clfcn needs, by Debian's names.
build_packages="gcc meson ninja-build pkg-config python3 ocl-icd-opencl-dev libclblast-dev
libpng-dev libjpeg-dev libzip-dev libjansson-dev libpopt-dev libprotobuf-c-dev
protobuf-c-compiler libmicrohttpd-dev"

is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# install_packages NAME...: install those that are missing. Where there is no apt-get it says what
# is needed and goes on: the packages may be there under other names.
install_packages() {
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "No apt-get here. Needed, by Debian's names:" "$@"
        return 0
    fi
    missing=
    for package in "$@"; do
        is_installed "$package" || missing="$missing $package"
    done
    if [ -z "$missing" ]; then
        return 0
    fi
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null 2>&1; then
            echo "Missing, and neither root nor sudo to install them:$missing" >&2
            return 1
        fi
        as_root=sudo
    fi
    echo "Installing:$missing"
    # shellcheck disable=SC2086 # a list of words
    { $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq &&
        $as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends $missing; } >/dev/null
}
