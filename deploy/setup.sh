#!/bin/sh
# setup.sh [build|all|operate] - installs what is missing of deploy/apt-packages.txt. Quick when nothing is.
# all: the groups [build] and [check]; operate: those and [operate].
# SPDX-License-Identifier: Apache-2.0
set -eu
group=${1:-all}
list=$(dirname "$0")/apt-packages.txt

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "setup: this is no Debian system; the libraries of $list have to be there already" >&2
    exit 0
fi

installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p')
missing=
section=
while read -r package command rest; do
    case "$package" in
    '[check]' | '[build]' | '[operate]') section=$package; continue ;;
    '' | '#'*) continue ;;
    esac
    case "$group $section" in
    'build [check]' | 'build [operate]' | 'all [operate]') continue ;;
    esac
    if [ -n "$command" ] && command -v "$command" >/dev/null 2>&1; then
        continue
    fi
    if ! printf '%s\n' "$installed" | grep -qxF "$package"; then
        missing="$missing $package"
    fi
done <"$list"
[ -n "$missing" ] || exit 0

root=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "setup: as root, run: apt-get install$missing" >&2
        exit 1
    fi
    root=sudo
fi
# What is installed for tests must not start as a service of this machine.
policy=/usr/sbin/policy-rc.d
if [ "$group" = operate ] && ! [ -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null
    $root chmod 755 "$policy"
    trap '$root rm -f "$policy"' EXIT
fi
apt() {
    $root env DEBIAN_FRONTEND=noninteractive apt-get -q "$@"
}
# Of the last group each package has a use of its own: one that is not there does not keep out the others.
each() {
    failed=0
    [ "$group" = operate ] || return 1
    for package; do
        apt install -y --no-install-recommends "$package" || failed=1
    done
    return $failed
}
echo "setup: installing$missing"
set -- $missing
if ! ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1; then
    apt update
    apt install -y --no-install-recommends "$@"
else
    # The lists may be older than the mirror.
    apt install -y --no-install-recommends "$@" ||
        { apt update && apt install -y --no-install-recommends "$@"; } || each "$@"
fi
