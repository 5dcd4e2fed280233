#!/bin/sh
# base.sh TARBALL [MIRROR] - a minimal Debian 12 as a tar file: what the image is built on where no registry can
# be reached, and what packages are tried in. Needs root and debootstrap; security updates are switched on.
# SPDX-License-Identifier: Apache-2.0
set -eu
tarball=${1:?usage: base.sh TARBALL [MIRROR]}
mirror=${2:-}
suite=bookworm
command -v debootstrap >/dev/null || PATH=$PATH:/usr/sbin
command -v debootstrap >/dev/null || { echo "base.sh: apt-get install debootstrap" >&2; exit 69; }
[ "$(id -u)" -eq 0 ] || { echo "base.sh: needs root, since it makes files of other users" >&2; exit 77; }

work=$(mktemp -d "${TMPDIR:-/tmp}/omendb-base.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
# Where the system's own packages come from, unless another place is given.
debootstrap --variant=minbase --include=ca-certificates $suite "$work/root" ${mirror:+"$mirror"} \
    >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; exit 70; }
from=$(sed -n "s/^deb \([^ ]*\) $suite main.*/\1/p" "$work/root/etc/apt/sources.list")
cat >"$work/root/etc/apt/sources.list" <<LIST
deb $from $suite main
deb $from $suite-updates main
deb $from-security $suite-security main
LIST
rm -rf "$work/root/var/cache/apt/archives" "$work/root/var/lib/apt/lists"
mkdir -p "$work/root/var/cache/apt/archives/partial" "$work/root/var/lib/apt/lists/partial"
rm -f "$work/root/etc/resolv.conf" "$work/root/etc/hostname" "$work/root/var/log/bootstrap.log"
tar -C "$work/root" --numeric-owner --sort=name -cf "$tarball.part" .
mv "$tarball.part" "$tarball"
