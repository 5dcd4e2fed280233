#!/bin/sh
# update.sh [BUILD] - writes the ledgers of the ABI anew, from omen.h and from a build with debug
# information (build-check). Run it only when the ABI is meant to change: raise OMEN_ABI_MINOR first, and
# commit the ledgers together with the change and its line in CHANGELOG.md.
# SPDX-License-Identifier: Apache-2.0
set -eu
cd "$(dirname "$0")/../.."
build=${1:-build-check}
check=tests/abi/abi_check.py
python3 $check header --update
python3 $check layout --update
cmake --build "$build" --target omendb omendb_archive
python3 $check symbols "$build/lib/libomendb.so" "$build/lib/libomendb.a" --update
python3 $check baseline "$build/lib/libomendb.so" --update
git --no-pager diff --stat -- capi/abi
