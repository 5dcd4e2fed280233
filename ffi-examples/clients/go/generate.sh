#!/bin/sh
# generate.sh API - makes the package omenpb from API/omen/v1/*.proto, with protoc and plugins fetched by name.
# SPDX-License-Identifier: Apache-2.0
set -eu
api=$(cd "$1" && pwd)
cd "$(dirname "$0")"
package=github.com/omendb/omendb/ffi-examples/clients/go/omenpb
GOBIN=$(pwd)/.bin
export GOBIN
go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.31.0
go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.3.0
PATH=$GOBIN:$PATH
files="types items"
flags=
for name in $files; do
    flags="$flags --go_opt=Momen/v1/$name.proto=$package --go-grpc_opt=Momen/v1/$name.proto=$package"
done
rm -rf omenpb
mkdir omenpb
# shellcheck disable=SC2086 # flags are words
protoc -I "$api" --go_out=omenpb --go_opt=module="$package" --go-grpc_out=omenpb \
    --go-grpc_opt=module="$package" $flags "$api/omen/v1/types.proto" "$api/omen/v1/items.proto"
