#!/bin/sh
# run.sh BUILD [OPTIONS] - the soak against BUILD/bin/omend, with the clients of tests/e2e; options: soak.py.
# SPDX-License-Identifier: Apache-2.0
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd)
shift
"$here/../e2e/run.sh" setup "$build"
OMEND=$build/bin/omend
OMEN_E2E_API=$here/../../api
OMEN_E2E_WORK=$build/e2e/tmp
PYTHONPATH=$here/../e2e/python:$here
PYTHONDONTWRITEBYTECODE=1
GRPC_VERBOSITY=NONE # the rude ones would fill the log with what they asked for
export OMEND OMEN_E2E_API OMEN_E2E_WORK PYTHONPATH PYTHONDONTWRITEBYTECODE GRPC_VERBOSITY
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY grpc_proxy no_proxy NO_PROXY || true
exec "$build/e2e/venv/bin/python" "$here/soak.py" "$@"
