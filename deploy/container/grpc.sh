#!/bin/sh
# grpc.sh distribution|ndebug [JOBS] - which gRPC the image gets. Runs as root in the build stage.
#   distribution  the packages as they are: built with assertions on, searched and checked at every call
#   ndebug        gRPC's core out of the same source package, its patches included, with -DNDEBUG: the same
#                 version and ABI, in the place of the distribution's files. Takes half an hour on two cores.
# SPDX-License-Identifier: Apache-2.0
set -eu
kind=${1:?usage: grpc.sh distribution|ndebug [JOBS]}
jobs=${2:-}
[ -n "$jobs" ] || jobs=$(nproc)
case "$kind" in
distribution) exit 0 ;;
ndebug) ;;
*)
    echo "grpc.sh: GRPC=$kind: only distribution and ndebug are known" >&2
    exit 64
    ;;
esac

# Sources come from where packages come from.
if [ -s /etc/apt/sources.list ]; then
    sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >/etc/apt/sources.list.d/grpc-source.list
fi
for file in /etc/apt/sources.list.d/*.sources; do
    [ ! -e "$file" ] || sed -i 's/^Types: deb$/Types: deb deb-src/' "$file"
done
apt-get -q update
apt-get -q -y install --no-install-recommends dpkg-dev patch g++ libabsl-dev libc-ares-dev libre2-dev \
    libprotobuf-dev libprotoc-dev protobuf-compiler libssl-dev zlib1g-dev

work=$(mktemp -d)
cd "$work"
# By the installed version, so that the ABI is that of the headers (binary rebuilds add +bN).
version=$(dpkg-query -W -f '${source:Version}' libgrpc29)
apt-get -q source "grpc=$version"
providers=
for name in ABSL CARES PROTOBUF RE2 SSL ZLIB; do
    providers="$providers -DgRPC_${name}_PROVIDER=package"
done
# What the distribution's build sets, less its build type, which leaves the assertions in.
cflags=$(dpkg-buildflags --get CFLAGS)
cxxflags=$(dpkg-buildflags --get CXXFLAGS)
# $providers is words to be split.
# shellcheck disable=SC2086
cmake -G Ninja -S grpc-*/ -B build $providers -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON \
    -DCMAKE_C_FLAGS="$cflags" -DCMAKE_CXX_FLAGS="$cxxflags" -DCMAKE_C_FLAGS_RELEASE="-O2 -DNDEBUG" \
    -DCMAKE_CXX_FLAGS_RELEASE="-O2 -DNDEBUG" -DCMAKE_SHARED_LINKER_FLAGS="$(dpkg-buildflags --get LDFLAGS)" \
    -DCMAKE_SKIP_RPATH=ON -DgRPC_INSTALL=OFF -DgRPC_BUILD_TESTS=OFF -DgRPC_BUILD_CODEGEN=OFF \
    -DgRPC_BACKWARDS_COMPATIBILITY_MODE=OFF
cmake --build build -j "$jobs" --target grpc

places=$(dirname "$(dpkg-query -L libgrpc29 | grep '/libgrpc\.so\.29$')")
for name in grpc gpr upb address_sorting; do
    new=$(find build -maxdepth 3 -type f -name "lib$name.so.*")
    old=$(readlink -f "$places/lib$name.so.29")
    [ -f "$new" ] && [ "$(basename "$new")" = "$(basename "$old")" ] ||
        { echo "grpc.sh: the build made '$new', not $(basename "$old")" >&2; exit 70; }
    strip --strip-unneeded -o "$old" "$new"
done
rm -rf "$work"
