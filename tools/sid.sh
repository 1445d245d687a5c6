#!/bin/bash
# Run the suite in Debian sid: its libnng (1.12 or later) through NNGIO_SYSTEM_NNG=1, its Python (3.14 or later).
#
#     tools/sid.sh [arguments for pytest]
#
# With RACES it runs those long races in place of the suite: RACES="storm cancellation", or RACES=all. With AGAIN=1 what has failed
# is run a second time, and that decides.
#
# The sid folder, build/sid/root, is made by debootstrap from the archive that this machine's apt uses, and kept: only the
# first run costs minutes. Remove build/sid for a newer sid. This needs root. Nothing of it outlives this script: mounts and
# processes are in namespaces of their own, so that they end with it, even when it is killed. The exit code is 75 when what it
# needs can't be downloaded, so that it could not begin.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$PWD/build/sid
root=$folder/root
tree=/nngio

packages=(
    ca-certificates gcc libc6-dev libnng-dev make pkgconf python3 python3-dev python3-venv # to build
    git iproute2 nanomsg-utils nftables nng-utils                                          # to test
)

die() {
    echo "test-sid: $*" >&2
    exit 1
}

note() {
    echo "test-sid: $*"
}

# The same as die where $1, the archive, does not answer: then nothing here is wrong.
die_or_unreachable() {
    local archive=$1
    shift
    wget -q --spider --tries=2 --timeout=20 "$archive/dists/sid/InRelease" && die "$@"
    echo "test-sid: not run: the Debian archive can't be reached" >&2
    exit 75
}

[ "$(uname -s)" = Linux ] || die "this is for Linux"
[ "$(id -u)" = 0 ] || die "debootstrap and chroot need root; run it as root, for example with sudo make test-sid"

if [ "${NNGIO_IN_NAMESPACE:-}" != "$PWD" ]; then
    tools/packages.sh sid || {
        echo "test-sid: not run: debootstrap can't be had" >&2
        exit 75
    }
    command -v unshare >/dev/null || die "needs unshare, of util-linux"
    unshare --mount true 2>/dev/null || die "this process may not mount (a container?); test-sid needs CAP_SYS_ADMIN"
    NNGIO_IN_NAMESPACE=$PWD exec unshare --mount --propagation private --pid --fork --kill-child -- "$0" "$@"
fi

# One run at a time; the lock goes with the process.
mkdir -p "$folder"
exec 9>"$folder/lock"
flock --nonblock 9 || { note "another one is running; waiting for it"; flock 9; }

mirror() {
    python3 -c '
import sys
from pathlib import Path
sys.path.insert(0, "nng_src")
from apt_sources import debian_archives
print(next(iter(debian_archives(Path(sys.argv[1]))), ""))' "${NNGIO_APT_DIR:-/etc/apt}"
}

in_sid() {
    local variables=()
    local name
    # The host's settings for pip, proxies, and what the build understands; of paths only what makes sense there.
    for name in $(compgen -e | grep -iE '^(PIP_|(https?|ftp|all|no)_proxy$|CI$|NO_COLOR$|FORCE_COLOR$|NNGIO_RACES$|NNGIO_STORM$|NNGIO_NETWORK_ROUNDS$|NNGIO_SOAK_SECONDS$)'); do
        variables+=("$name=${!name}")
    done
    chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive "${variables[@]}" "$@"
}

copy_settings() {
    # Names are resolved as outside, and certificates and pip as on the host. The certificates of a proxy are in its bundle.
    cp -L /etc/resolv.conf /etc/hosts "$root/etc/" 2>/dev/null || true
    if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
        mkdir -p "$root/etc/ssl/certs"
        rm -f "$root/etc/ssl/certs/ca-certificates.crt"
        cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    fi
    local file
    for file in /etc/pip.conf ~/.config/pip/pip.conf ~/.pip/pip.conf ~/.netrc; do
        if [ -e "$file" ]; then
            case $file in
                /etc/*) cp "$file" "$root/etc/" ;;
                *) mkdir -p "$root/root/$(dirname "${file#"$HOME/"}")" && cp "$file" "$root/root/${file#"$HOME/"}" ;;
            esac
        fi
    done
    apt-config dump 2>/dev/null | grep -iE '^Acquire::((https?|ftp)::|Check-Valid-Until)' >"$root/etc/apt/apt.conf.d/90host" || true
}

bootstrap() {
    local archive
    archive=$(mirror)
    [ -n "$archive" ] || {
        echo "test-sid: not run: the apt configuration names no Debian archive over http(s)" >&2
        exit 75
    }
    note "making a Debian sid folder with debootstrap"
    rm -rf "$root"
    mkdir -p "$root"
    debootstrap --variant=minbase --include=ca-certificates sid "$root" "$archive" >"$folder/debootstrap.log" 2>&1 || {
        tail -20 "$folder/debootstrap.log" >&2
        die_or_unreachable "$archive" "debootstrap failed; all of its output is in $folder/debootstrap.log"
    }
    touch "$folder/made"
}

install_packages() {
    note "installing its packages: ${packages[*]}"
    {
        in_sid apt-get update -q &&
            in_sid apt-get install -q -y --no-install-recommends "${packages[@]}"
    } >"$folder/apt.log" 2>&1 || {
        tail -20 "$folder/apt.log" >&2
        die_or_unreachable "$(mirror)" "apt failed in sid; all of its output is in $folder/apt.log"
    }
    copy_settings # its own bundle of certificates has replaced the host's
    echo "${packages[*]}" >"$folder/packages"
}

copy_tree() {
    mkdir -p "$root$tree"
    # What a run there has built is kept; all else is as it is here now, removed files included.
    find "$root$tree" -mindepth 1 -maxdepth 1 ! -name build ! -name .venv -exec rm -rf {} +
    if [ -e .git ]; then
        # A file that was removed and not yet committed is still listed.
        git -c safe.directory="$PWD" ls-files -co --exclude-standard -z | xargs -0 sh -c 'for f; do [ ! -e "$f" ] || printf "%s\0" "$f"; done' sh |
            tar --null -T - -cf - | tar -C "$root$tree" --no-same-owner -xf -
        in_sid git init -q -b main "$tree" # some tests ask git what belongs to the project
    else
        tar --exclude=./build --exclude=./.venv --exclude=./dist --exclude='*.so' --exclude=__pycache__ -cf - . |
            tar -C "$root$tree" --no-same-owner -xf -
    fi
}

mount_systems() {
    mount -t proc proc "$root/proc"
    mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
    mkdir -p "$root/dev/pts"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$root/dev/pts"
    rm -f "$root/dev/ptmx"
    ln -s pts/ptmx "$root/dev/ptmx"
}

started=$SECONDS
[ -e "$folder/made" ] || bootstrap
mount_systems
copy_settings
[ "$(cat "$folder/packages" 2>/dev/null)" = "${packages[*]}" ] || install_packages
copy_tree
note "ready after $((SECONDS - started)) s: Python $(in_sid python3 -c 'import platform; print(platform.python_version())')," \
    "libnng $(in_sid dpkg-query -W -f '${Version}' libnng-dev)"
goal=(test)
[ -z "${RACES:-}" ] || goal=(stress RACES="${RACES#all}")
suite() {
    # A call of its NNG's may never come back; so that it has a name then, its worker is ended, and another goes on.
    in_sid NNGIO_SYSTEM_NNG=1 make --no-print-directory -C "$tree" "${goal[@]}" ARGS="-o timeout_method=thread $*" </dev/null
}
suite "$@" && exit
[ -n "${AGAIN:-}" ] || exit 1
note "and again what has failed, named above: its NNG has races of its own, which nobody here can mend"
suite --last-failed --last-failed-no-failures none "$@"
