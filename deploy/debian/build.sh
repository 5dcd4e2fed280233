#!/bin/sh
# build.sh OUTDIR [WORKDIR] - builds the Debian packages of this tree into OUTDIR. WORKDIR, which must not be
# there, is where it compiles; the packages are the same wherever that is.
# SPDX-License-Identifier: Apache-2.0
set -eu
out=${1:?usage: build.sh OUTDIR [WORKDIR]}
work=${2:-}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
for program in dpkg-buildpackage dh; do
    command -v $program >/dev/null || { echo "build.sh: apt-get install dpkg-dev debhelper" >&2; exit 69; }
done
mkdir -p "$out"
out=$(cd "$out" && pwd)
if [ -n "$work" ]; then
    mkdir "$work"
    work=$(cd "$work" && pwd)
else
    work=$(mktemp -d "${TMPDIR:-/tmp}/omendb-deb.XXXXXX")
fi
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

version=$(sed -n '1s/.*(\(.*\)-[^-]*).*/\1/p' "$here/changelog")
in_tree=$(sed -n 's/^project(omendb VERSION \([0-9.]*\).*/\1/p' "$root/CMakeLists.txt")
[ "$version" = "$in_tree" ] || { echo "build.sh: the changelog says $version, the tree $in_tree" >&2; exit 65; }
tree=$work/omendb-$version
mkdir "$tree"
# What the packages are made of; not demo, tests and examples, which have data and licences of others.
tar -C "$root" --exclude=__pycache__ -cf - CMakeLists.txt CMakePresets.json LICENSE NOTICE README.md \
    CHANGELOG.md api capi core service deploy/cmake deploy/man deploy/systemd | tar -C "$tree" -xf -
cp -R "$here" "$tree/debian"
rm "$tree/debian/build.sh"

cd "$tree"
dpkg-buildpackage -b -us -uc -ui --no-pre-clean >"$work/log" 2>&1 || { tail -n 60 "$work/log" >&2; exit 70; }
mv "$work/log" "$out/build.log"
for file in "$work"/*.deb "$work"/*.changes "$work"/*.buildinfo; do
    mv "$file" "$out/"
done
ls "$out"/*.deb
