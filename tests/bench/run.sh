#!/bin/sh
# run.sh - `make bench`: OmenDB against other libraries, and its service. Needs the release build.
#
#   make bench                                  everything; about 50 minutes on two cores
#   make bench SETS=fashion-mnist QUICK=1       one set, fewer repeats
#   SETS     of fashion-mnist, lowdim-1m, clustered-1m, filtered, service, durable, filter, text; default: all.
#            One or more of them replace their part of the last results; a run of all starts anew
#   QUICK=1  synthetic sets of 100,000 rows, 2,000 queries, fewer repeats
#   DATA     a folder with whole sets: fashion-mnist-784-euclidean/, ... (see README.md)
#   SYSTEMS  names of systems (omen, hnswlib, ...); default: all
#   BUILDS   builds a system and thread count; default: 3, or 1 of the large sets
#   RESULTS=1  copies tables and plots to tests/bench
# BUILD is the build folder (default: build). Results go to BUILD/bench.
# SPDX-License-Identifier: Apache-2.0
set -eu

here=$(cd "$(dirname "$0")" && pwd)
build=${BUILD:-$here/../../build}
mkdir -p "$build/bench"
build=$(cd "$build" && pwd)
out=$build/bench
venv=$out/venv
flags=
[ -z "${QUICK:-}" ] || [ "$QUICK" = 0 ] || flags=--quick

[ -x "$build/bin/scan_bench" ] && [ -x "$build/bin/stream_bench" ] || {
    echo "bench: no bench programs in $build/bin: run make" >&2
    exit 1
}
if ! cmp -s "$here/requirements.txt" "$venv/requirements.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check -r "$here/requirements.txt"
    "$venv/bin/pip" install -q --disable-pip-version-check --only-binary :all: pyvsag==0.18.5 2>/dev/null ||
        echo "bench: no wheel of pyvsag for this machine: VSAG is left out"
    for peer in lancedb==0.40.0 zvec==0.8.0; do
        "$venv/bin/pip" install -q --disable-pip-version-check --only-binary :all: "$peer" 2>/dev/null ||
            echo "bench: no wheel of $peer for this machine: it is left out"
    done
    cp "$here/requirements.txt" "$venv/requirements.txt"
fi
echo "bench: pyglass is left out: the registry has no wheel of it"

PYTHONPATH=$here/../../ffi-examples/python
PYTHONDONTWRITEBYTECODE=1
OMENDB_LIBRARY=$build/lib/libomendb.so
export PYTHONPATH PYTHONDONTWRITEBYTECODE OMENDB_LIBRARY
unset OMEN_SERVER OMEN_COLLECTION http_proxy https_proxy grpc_proxy || true

sets=$(printf '%s' "${SETS:-}" | tr ',' ' ')
tables=
service=
durable=
filter=
text=
filtered=
for name in ${sets:-fashion-mnist lowdim-1m clustered-1m filtered service durable filter text}; do
    case $name in
    service) service=1 ;;
    durable) durable=1 ;;
    filter) filter=1 ;;
    text) text=1 ;;
    filtered) filtered=1 ;;
    *) tables="$tables $name" ;;
    esac
done
if [ -n "$tables" ]; then
    [ -n "$sets" ] || tables=
    # shellcheck disable=SC2086 # flags is one word or none
    "$venv/bin/python" "$here/bench.py" --build "$build" --out "$out" --sets "$tables" \
        --systems "${SYSTEMS:-}" --builds "${BUILDS:-0}" --data "${DATA:-}" $flags
fi
if [ -n "$filtered" ]; then
    # shellcheck disable=SC2086
    "$venv/bin/python" "$here/filtered_bench.py" --build "$build" --out "$out" --data "${DATA:-}" \
        --systems "${SYSTEMS:-}" $flags
fi
if [ -n "$service" ]; then
    # shellcheck disable=SC2086
    "$venv/bin/python" "$here/service_bench.py" --build "$build" --out "$out" --data "${DATA:-}" $flags
fi
if [ -n "$durable" ]; then
    # shellcheck disable=SC2086
    "$venv/bin/python" "$here/durable_bench.py" --build "$build" --out "$out" $flags
fi
if [ -n "$filter" ]; then
    # shellcheck disable=SC2086
    "$venv/bin/python" "$here/filter_bench.py" --build "$build" --out "$out" $flags
fi
if [ -n "$text" ]; then
    # shellcheck disable=SC2086
    "$venv/bin/python" "$here/text_bench.py" --build "$build" --out "$out" --data "${DATA:-}" $flags
fi
if [ "${RESULTS:-0}" = 1 ]; then
    cp "$out/RESULTS.md" "$here/"
    for plot in "$out"/*.png; do
        [ ! -e "$plot" ] || cp "$plot" "$here/"
    done
fi
cat "$out/RESULTS.md"
