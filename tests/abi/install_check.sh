#!/bin/sh
# install_check.sh BUILD COMPILER - installs a build into a temporary folder, moves that elsewhere, and builds
# and runs the consumer with it: CMake package and pkg-config, shared and static.
# SPDX-License-Identifier: Apache-2.0
set -eu
build=$1
cc=$2
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/first" >"$work/log" || { cat "$work/log"; exit 1; }
mv "$work/first" "$work/second" # what is installed must not know where it was built
prefix=$work/second
lib=$(dirname "$(find "$prefix" -name libomendb.so)")
for file in "$prefix/include/omen.h" "$lib/libomendb.so.0" "$lib/libomendb.a" \
    "$lib/pkgconfig/omendb.pc" "$lib/cmake/omendb/omendb-config.cmake"; do
    [ -e "$file" ] || { echo "not installed: $file"; exit 1; }
done
if grep -rlF -e "$work/first" -e "$build" "$lib/pkgconfig" "$lib/cmake"; then
    echo "these files name the folder of the build or the first prefix"
    exit 1
fi

echo "== CMake package"
cmake -S "$here/consumer" -B "$work/cmake" -DCMAKE_C_COMPILER="$cc" -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_PREFIX_PATH="$prefix" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
cmake --build "$work/cmake" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
"$work/cmake/consumer" "$work/cmake.omen"
"$work/cmake/consumer_static" "$work/cmake.omen"
if ldd "$work/cmake/consumer_static" | grep -q libomendb; then
    echo "the static program needs the shared library"
    exit 1
fi

echo "== pkg-config"
export PKG_CONFIG_PATH="$lib/pkgconfig"
[ "$(pkg-config --modversion omendb)" = "$(sed -n 's/^Version: //p' "$lib/pkgconfig/omendb.pc")" ]
# The flags are words to be split.
$cc -std=c99 -Wall -Wextra -Wpedantic -Werror $(pkg-config --cflags omendb) \
    -o "$work/shared" "$here/consumer/consumer.c" $(pkg-config --libs omendb)
LD_LIBRARY_PATH=$lib "$work/shared" "$work/pc.omen"
$cc -std=c99 $(pkg-config --cflags omendb) -o "$work/static" "$here/consumer/consumer.c" \
    "$lib/libomendb.a" $(pkg-config --libs --static omendb | sed 's/-lomendb//')
"$work/static" "$work/pc.omen"

if [ -x "$prefix/bin/omend" ]; then
    echo "== programs"
    "$prefix/bin/omend" --version
    "$prefix/bin/omen" --version
fi
