#!/bin/sh
# Install the Debian packages that a task needs and this machine lacks:
#
#     tools/packages.sh build|test|sid ...
#
# What is there is found by looking for the programs and files themselves, so this costs nothing when nothing is
# missing. As root it installs the rest; everybody else is told what to install. PYTHON names the interpreter.
set -eu

python=${PYTHON:-python3}
missing=""

# Where `command` isn't found, `package` is missing.
need() {
    command=$1 package=$2
    command -v "$command" >/dev/null 2>&1 || missing="$missing $package"
}

# The package names of Debian's own interpreter carry its version, which need not be that of `python3`.
python_package() {
    "$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])' 2>/dev/null || echo python3
}

need_build() {
    need "${CC:-cc}" "gcc libc6-dev"
    [ -e /usr/include/stdlib.h ] || missing="$missing libc6-dev"
    need "$python" python3
    "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 || missing="$missing $(python_package)-venv"
    "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' >/dev/null 2>&1 ||
        missing="$missing $(python_package)-dev"
    if [ "${NNGIO_SYSTEM_NNG:-0}" != 0 ] && [ -n "$NNGIO_SYSTEM_NNG" ]; then
        need pkg-config pkg-config
        [ -e /usr/include/nng/nng.h ] || missing="$missing libnng-dev"
    fi
}

for task in "$@"; do
    case $task in
        build)
            need_build
            ;;
        test)
            need nngcat nng-utils
            need nanocat nanomsg-utils
            # Several hosts (tests/network.py): root only, and Linux only.
            if [ "$(id -u)" = 0 ] && [ "$(uname -s)" = Linux ]; then
                need ip iproute2
                need ss iproute2
                need nft nftables
            fi
            ;;
        sid)
            need debootstrap debootstrap
            [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing="$missing debian-archive-keyring"
            ;;
        *)
            echo "tools/packages.sh: no such task: $task" >&2
            exit 2
            ;;
    esac
done

missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ' | sed 's/ $//')
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "nngio: this machine lacks what Debian has in: $missing. Install your system's packages of them." >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    echo "nngio: missing: $missing. Install them, and try again:" >&2
    echo "    sudo apt-get update && sudo apt-get install $missing" >&2
    exit 1
fi

echo "installing Debian packages: $missing" >&2
export DEBIAN_FRONTEND=noninteractive
# One archive of several that can't be reached must not stop what the others have.
apt-get update -qq || echo "nngio: apt-get update failed in part; going on" >&2
# shellcheck disable=SC2086  # a list of words
if ! apt-get install -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 $missing >/dev/null; then
    echo "nngio: apt-get could not install: $missing. Install them by hand, and try again." >&2
    exit 1
fi
