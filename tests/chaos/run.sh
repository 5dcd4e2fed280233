#!/bin/sh
# run.sh NAME BUILD - one of the Python tests here, in the environment of tests/e2e.
# SPDX-License-Identifier: Apache-2.0
set -eu
here=$(cd "$(dirname "$0")" && pwd)
exec "$here/../e2e/run.sh" chaos "$2" "$1"
