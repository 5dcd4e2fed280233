#!/usr/bin/env bash
# run.sh - the demo: real images go into omend over gRPC and are found again; films are searched by words,
# filters and examples.
#
# Usage: demo/run.sh            the bundled part of fashion-mnist
#        DATA=DIR demo/run.sh   a whole set: DIR holds the files named as in demo/data
# BUILD is the build folder (default: build); the results go to BUILD/demo. `make demo` builds, then
# calls this.
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$(realpath --relative-to=. "${BUILD:-$here/../build}")
data=${DATA:-$here/data}
out=$build/demo
omen=$build/bin/omen
export OMEN_COLLECTION=
unset OMEN_SERVER

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
die() { printf 'demo: %s\n' "$*" >&2; exit 1; }

for file in train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz t10k-images-idx3-ubyte.gz \
    t10k-labels-idx1-ubyte.gz groundtruth.ivecs.gz sqdist.ivecs.gz; do
    [ -r "$data/$file" ] || die "$data/$file is missing: see demo/data/README.md"
done
[ -x "$omen" ] && [ -x "$build/bin/omend" ] || die "no programs in $build/bin: run make"
mkdir -p "$out"
rm -f "$out"/*.json "$out"/film-*.txt "$out"/*.omen "$out/report.html" "$out/contact.png"

# The server runs as a coprocess: its first line says where it listens, port 0 lets the kernel choose.
server_pid=
stop_server() {
    if [ -n "$server_pid" ]; then
        kill -TERM "$server_pid" 2>/dev/null || true
        wait "$server_pid" || true
    fi
}
trap stop_server EXIT
say "Starting omend"
coproc SERVER {
    exec "$build/bin/omend" --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --log-level warn \
        2>"$out/omend.log"
}
server_pid=$SERVER_PID
IFS= read -r -t 60 line <&"${SERVER[0]}" || die "omend did not start: $(cat "$out/omend.log")"
address=$(sed -n 's/^omend: serving grpc=\([^ ]*\).*/\1/p' <<<"$line")
[ -n "$address" ] || die "omend said: $line"
say "  $line"

images=$data/train-images-idx3-ubyte.gz
tests=$data/t10k-images-idx3-ubyte.gz
truth=(--truth "$data/groundtruth.ivecs.gz" --sqdist "$data/sqdist.ivecs.gz")
server=(--server "$address")

say "Streaming the images in over gRPC"
"$omen" create images --dim 784 --dtype u8 --metric l2 "${server[@]}" --quiet
"$omen" import images "$images" "${server[@]}" --json >"$out/import.json"
"$omen" stats images "${server[@]}" --json >"$out/stats.json"
"$omen" info "${server[@]}" --json >"$out/server.json"
rss=$(sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$server_pid/status" || true)
printf '{"rss_kib": %s, "cores": %s}\n' "${rss:-0}" "$(nproc)" >"$out/process.json"

say "Searching the test images, comparing with the exact neighbours"
"$omen" recall images --queries "$tests" "${truth[@]}" -k 10 "${server[@]}" --json >"$out/recall.json"
"$omen" search images "$tests" -k 10 "${server[@]}" --json >"$out/hits.json"
"$omen" search images "$tests" -k 10 --limit 100 --exact "${server[@]}" --json >"$out/exact.json"

threads=1,2
[ "$(nproc)" -le 2 ] || threads=1,2,$(nproc)
say "Measuring queries a second through gRPC"
"$omen" bench images --queries "$tests" --threads "$threads" --seconds 2 "${server[@]}" --json \
    >"$out/grpc-latency.json"
"$omen" bench images --queries "$tests" --threads "$threads" --seconds 2 --in-flight 16 "${server[@]}" \
    --json >"$out/grpc.json"

# shellcheck source=demo/films.sh
. "$here/films.sh"

say "Stopping omend"
kill -TERM "$server_pid"
code=0
wait "$server_pid" || code=$?
server_pid=
[ "$code" -eq 0 ] || die "omend ended with exit code $code: $(cat "$out/omend.log")"

say "The same embedded, from one file"
"$omen" import "$out/images.omen" "$images" --create --json >"$out/embedded-import.json"
"$omen" bench "$out/images.omen" --queries "$tests" --threads "$threads" --seconds 2 --json \
    >"$out/embedded.json"
for ef in 10 16 24 32 48 64 96 128 192 256; do
    "$omen" bench "$out/images.omen" --queries "$tests" "${truth[@]}" --threads 1 --ef "$ef" \
        --seconds 0.4 --json >"$out/curve-$ef.json"
done

python3 "$here/report.py" "$data" "$out"
