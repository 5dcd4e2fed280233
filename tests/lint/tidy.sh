#!/bin/sh
# tidy.sh - clang-tidy over the library, two files at a time; needs a configured build (made here).
# SPDX-License-Identifier: Apache-2.0
set -eu
cd "$(dirname "$0")/../.."
cmake --preset clang --log-level=WARNING >/dev/null
tidy=$(command -v clang-tidy-14 || command -v clang-tidy)
git ls-files 'core/*.c' 'capi/*.c' | grep -v -e neon -e _arm |
    xargs -P "$(nproc)" -n 4 "$tidy" -p build-clang --quiet
