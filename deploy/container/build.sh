#!/bin/sh
# build.sh [options] - builds the container image with buildah.
#   --tag NAME         name of the image (localhost/omend:VERSION)
#   --base IMAGE       build on this image instead of a base made by debootstrap
#   --base-tar FILE    a tarball of base.sh to build on
#   --grpc ndebug      gRPC without its assertions (grpc.sh)
#   --archive FILE     write the image as an OCI archive too
#   --sbom FILE        write its SBOM (SPDX JSON) too
#   --storage DIR      keep images there instead of in buildah's own place
#   --jobs N           compile with N jobs
# The last line is the image's name and digest. SPDX-License-Identifier: Apache-2.0
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
version=$(sed -n 's/^project(omendb VERSION \([0-9.]*\).*/\1/p' "$root/CMakeLists.txt")
tag=localhost/omend:$version
base= base_tar= grpc=distribution archive= sbom= storage= jobs=
while [ $# -gt 0 ]; do
    option=$1
    [ $# -ge 2 ] || { sed -n '2,/^# The last/p' "$0" | cut -c3- >&2; exit 64; }
    case "$option" in
    --tag) tag=$2 ;;
    --base) base=$2 ;;
    --base-tar) base_tar=$2 ;;
    --grpc) grpc=$2 ;;
    --archive) archive=$2 ;;
    --sbom) sbom=$2 ;;
    --storage) storage=$2 ;;
    --jobs) jobs=$2 ;;
    *) echo "build.sh: unknown option $option" >&2; exit 64 ;;
    esac
    shift 2
done
command -v buildah >/dev/null || { echo "build.sh: apt-get install buildah" >&2; exit 69; }

b() {
    if [ -n "$storage" ]; then
        buildah --root "$storage/root" --runroot "$storage/run" "$@"
    else
        buildah "$@"
    fi
}

# A base from debootstrap, made once, or from the tarball that is given.
if [ -z "$base" ]; then
    base=localhost/omendb-base:bookworm
    if [ -n "$base_tar" ] || ! b inspect --type image "$base" >/dev/null 2>&1; then
        made=
        if [ -z "$base_tar" ]; then
            base_tar=$(mktemp "${TMPDIR:-/tmp}/omendb-base.XXXXXX.tar")
            made=$base_tar
            "$here/base.sh" "$base_tar"
        fi
        new=$(b from scratch)
        b add --quiet "$new" "$base_tar" / >/dev/null
        b config --cmd /bin/sh --label "org.opencontainers.image.title=debootstrap bookworm" "$new"
        b commit --quiet --rm "$new" "$base" >/dev/null
        [ -z "$made" ] || rm -f "$made"
    fi
fi

epoch=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || echo 0)}
b bud --isolation chroot --layers --format oci --timestamp "$epoch" --pull=false \
    --ignorefile "$here/Containerfile.dockerignore" --build-arg "BASE=$base" --build-arg "GRPC=$grpc" \
    --build-arg "JOBS=$jobs" --build-arg "SOURCE_DATE_EPOCH=$epoch" \
    --label "org.opencontainers.image.version=$version" -t "$tag" -f "$here/Containerfile" "$root"

if [ -n "$sbom" ]; then
    new=$(b from --pull-never "$tag")
    place=$(b mount "$new")
    cp "$place/usr/share/sbom/omend.spdx.json" "$sbom"
    b umount "$new" >/dev/null
    b rm "$new" >/dev/null
fi
[ -z "$archive" ] || b push --quiet "$tag" "oci-archive:$archive:$tag"
echo "$tag $(b inspect --type image --format '{{.FromImageDigest}}' "$tag")"
