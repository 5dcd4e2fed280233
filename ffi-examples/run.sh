#!/bin/sh
# run.sh STEP BUILD - builds and tests one of the packages against what BUILD installs.
# SPDX-License-Identifier: Apache-2.0
#
# STEP: setup (install libomendb into BUILD/ffi/prefix, unpack the data), then c, rust, go or python.
# BUILD is a finished build of OmenDB. All outputs stay in BUILD/ffi; nothing is written here.
set -eu
step=$1
build=$(cd "$2" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
work=$build/ffi
prefix=$work/prefix
data=$work/data

need() {
    command -v "$1" >/dev/null 2>&1 || {
        echo "$1 is missing: run make deps" >&2
        exit 1
    }
}

# What a user sets when the library is not installed where the system looks for it.
use_prefix() {
    libdir=$(dirname "$(find "$prefix" -name 'libomendb.so' | head -n 1)")
    [ -f "$libdir/pkgconfig/omendb.pc" ] || {
        echo "$prefix has no libomendb: run.sh setup comes first" >&2
        exit 1
    }
    PKG_CONFIG_PATH=$libdir/pkgconfig
    LD_LIBRARY_PATH=$libdir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    OMEN_EXAMPLE_DATA=$data
    export PKG_CONFIG_PATH LD_LIBRARY_PATH OMEN_EXAMPLE_DATA
    unset OMENDB_LIB_DIR OMENDB_INCLUDE_DIR
}

setup() {
    mkdir -p "$data"
    for file in train-images-idx3-ubyte t10k-images-idx3-ubyte groundtruth.ivecs; do
        gzip -dc "$here/../demo/data/$file.gz" >"$data/$file.part"
        mv "$data/$file.part" "$data/$file"
    done
    for file in films.jsonl films.i8.npy; do
        gzip -dc "$here/../demo/films/$file.gz" >"$data/$file.part"
        mv "$data/$file.part" "$data/$file"
    done
    rm -rf "$prefix"
    cmake --install "$build" --prefix "$prefix" >"$work/install.log"
}

run_c() {
    use_prefix
    cmake -S "$here/c" -B "$work/c" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=Release \
        --log-level=WARNING
    cmake --build "$work/c"
    "$work/c/omen-example" "$data" "$work/c/images.omen"
    make -s -C "$here/c" OUT="$work/c"
    "$work/c/omen-example-pkgconfig" "$data" "$work/c/images.omen"
    "$work/c/omen-films" "$data"
    "$work/c/omen-films-pkgconfig" "$data"
}

# --offline: the crates need no others.
run_rust() {
    need cargo
    use_prefix
    cd "$here/rust"
    CARGO_TARGET_DIR=$work/rust cargo test --offline --locked -- --nocapture
    CARGO_TARGET_DIR=$work/rust cargo run -q --offline --locked -p omen --example quickstart
}

# GOFLAGS: no module is fetched, and the toolchain that is there is the one that is used.
run_go() {
    need go
    use_prefix
    mkdir -p "$work/go"
    cd "$here/go"
    GOCACHE=$work/go/cache GOFLAGS=-mod=mod GOPROXY=off GOTOOLCHAIN=local
    export GOCACHE GOFLAGS GOPROXY GOTOOLCHAIN
    go vet ./...
    GODEBUG=cgocheck=1 go test -count=1 -v ./...
}

# A Python that has numpy: the one in use, the system's, or one of our own.
numpy_python() {
    for python in ${PYTHON:-python3} /usr/bin/python3 "$work/python/venv/bin/python"; do
        if "$python" -c 'import numpy' >/dev/null 2>&1; then
            echo "$python"
            return
        fi
    done
    python3 -m venv "$work/python/venv" >&2
    "$work/python/venv/bin/pip" install -q numpy >&2
    echo "$work/python/venv/bin/python"
}

run_python() {
    use_prefix
    mkdir -p "$work/python"
    python=$(numpy_python)
    "${CC:-cc}" -I "$prefix/include" -o "$work/python/layout_probe" \
        "$here/rust/libomendb-sys/tests/layout_probe.c"
    OMENDB_LIBRARY=$libdir/libomendb.so.0
    OMENDB_LAYOUT_PROBE=$work/python/layout_probe
    OMENDB_HEADER=$prefix/include/omen.h
    PYTHONPATH=$here/python
    PYTHONDONTWRITEBYTECODE=1
    export OMENDB_LIBRARY OMENDB_LAYOUT_PROBE OMENDB_HEADER PYTHONPATH PYTHONDONTWRITEBYTECODE
    "$python" -m unittest discover -s "$here/python/tests" -v
    # The same where numpy is not installed.
    "$python" -c "import sys, unittest; sys.modules['numpy'] = None; unittest.main(None)" \
        discover -s "$here/python/tests"
    "$python" "$here/python/examples/quickstart.py"
}

case $step in
setup) setup ;;
c | rust | go | python) "run_$step" ;;
*)
    echo "usage: $0 setup|c|rust|go|python BUILD" >&2
    exit 2
    ;;
esac
