#!/bin/sh
# run.sh STEP BUILD [NAME] - end-to-end tests of BUILD/bin/omend with clients that are not ours.
# SPDX-License-Identifier: Apache-2.0
#
# STEP: setup (fetches the clients by name into BUILD/e2e, once), python [module], node [file], chaos NAME.
set -eu
step=$1
build=$(cd "$2" && pwd)
name=${3:-}
here=$(cd "$(dirname "$0")" && pwd)
work=$build/e2e
venv=$work/venv
modules=$work/node
go=$work/go
clients=$here/../../ffi-examples/clients

# The wanted packages are written down beside what was installed, so that a change installs again.
setup() {
    mkdir -p "$work/tmp" "$modules"
    if ! cmp -s "$here/python/requirements.txt" "$venv/requirements.txt"; then
        rm -rf "$venv"
        python3 -m venv "$venv"
        "$venv/bin/pip" install -q --disable-pip-version-check -r "$here/python/requirements.txt"
        cp "$here/python/requirements.txt" "$venv/requirements.txt"
    fi
    if ! cmp -s "$here/node/package.json" "$modules/installed.json"; then
        cp "$here/node/package.json" "$modules/package.json"
        (cd "$modules" && npm install --ignore-scripts --no-audit --no-fund --loglevel=error)
        cp "$here/node/package.json" "$modules/installed.json"
    fi
    setup_go
}

# The Go client, where Go is there. It is built in a copy, since its package omenpb is made from the .proto files.
setup_go() {
    command -v go >/dev/null 2>&1 || return 0
    sum=$(cd "$clients/go" && cat ./*.go ./*.sh ./go.* example/*.go ../../../api/omen/v1/*.proto | cksum)
    if [ "$sum" = "$(cat "$go/built" 2>/dev/null)" ]; then
        return 0
    fi
    rm -rf "$go"
    mkdir -p "$go"
    cp -r "$clients/go" "$go/src"
    GOFLAGS=-mod=mod GOTOOLCHAIN=local
    export GOFLAGS GOTOOLCHAIN
    "$go/src/generate.sh" "$here/../../api"
    (cd "$go/src" && go vet . ./example && go build -o "$go/example" ./example)
    echo "$sum" >"$go/built"
}

if [ "$step" = setup ]; then
    setup
    exit
fi
OMEND=$build/bin/omend
OMEN_E2E_API=$(cd "$here/../../api" && pwd)
OMEN_E2E_WORK=$work/tmp
OMEN_E2E_MODULES=$modules
OMENDB_LIBRARY=$build/lib/libomendb.so.0
OMEN_E2E_PACKAGE=$here/../../ffi-examples/python
PYTHONDONTWRITEBYTECODE=1
OMEN_E2E_CLIENT_PYTHON="env PYTHONPATH=$OMEN_E2E_API $venv/bin/python $clients/python/example.py"
OMEN_E2E_CLIENT_GO=
[ ! -x "$go/example" ] || OMEN_E2E_CLIENT_GO=$go/example
export OMEN_E2E_CLIENT_PYTHON OMEN_E2E_CLIENT_GO
export OMEND OMEN_E2E_API OMEN_E2E_WORK OMEN_E2E_MODULES OMENDB_LIBRARY
export OMEN_E2E_PACKAGE PYTHONDONTWRITEBYTECODE
# The clients talk to this machine only.
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY grpc_proxy no_proxy NO_PROXY || true
case $step in
python)
    cd "$here/python"
    exec "$venv/bin/python" -m unittest -v ${name:-discover}
    ;;
chaos)
    PYTHONPATH=$here/python exec "$venv/bin/python" "$here/../chaos/$name.py"
    ;;
node)
    cd "$here/node"
    exec node --test ${name:-.}
    ;;
*)
    echo "usage: $0 setup|python|node|chaos BUILD [NAME]" >&2
    exit 2
    ;;
esac
