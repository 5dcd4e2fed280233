#!/bin/sh
# kube_tools.sh DIR [PROGRAM...] - builds the programs that check the chart into DIR/bin, and takes Kubernetes'
# own description of its objects into DIR. Without names: helm, kubeconform, schemas. The API server is large:
# kube-apiserver (and etcd, unless Debian's etcd-server is there) take half an hour of a core, and 4 GB.
# SPDX-License-Identifier: Apache-2.0
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1/bin" "$1/src" "$1/crds"
out=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- helm kubeconform schemas
if ! command -v go >/dev/null 2>&1; then
    echo "kube_tools: no Go compiler" >&2
    exit 1
fi
GOFLAGS=-mod=mod GOTOOLCHAIN=local CGO_ENABLED=0
export GOFLAGS GOTOOLCHAIN CGO_ENABLED
# In a copy: go adds what it needs to go.mod.
cp "$here/go.mod" "$out/src/go.mod"
[ ! -f "$here/go.sum" ] || cp "$here/go.sum" "$out/src/go.sum"
cd "$out/src"
kubernetes=$(sed -n 's/^\tk8s.io\/kubernetes //p' go.mod)

# What the programs say of themselves, and what helm takes a cluster for that it does not ask.
minor=${kubernetes#v1.}
minor=${minor%%.*}
says="-s -w"
for package in helm.sh/helm/v3/pkg/chartutil helm.sh/helm/v3/pkg/lint/rules; do
    says="$says -X $package.k8sVersionMajor=1 -X $package.k8sVersionMinor=$minor"
done
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    says="$says -X $package.gitVersion=$kubernetes -X $package.gitMajor=1 -X $package.gitMinor=$minor"
done

build() {
    nice -n 10 go build -p "${JOBS:-2}" -trimpath -ldflags "$says" -o "$out/bin/$1" "$2"
}

# The folder of a module in the cache of modules.
folder_of() {
    go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p'
}

for program in "$@"; do
    case $program in
    helm) build helm helm.sh/helm/v3/cmd/helm ;;
    kubeconform) build kubeconform github.com/yannh/kubeconform/cmd/kubeconform ;;
    kubectl | kube-apiserver | kube-controller-manager) build "$program" "k8s.io/kubernetes/cmd/$program" ;;
    etcd) build etcd go.etcd.io/etcd/server/v3 ;;
    schemas)
        cp "$(folder_of "k8s.io/kubernetes@$kubernetes")/api/openapi-spec/swagger.json" "$out/swagger.json"
        crds=$(folder_of github.com/prometheus-operator/prometheus-operator@v0.85.0)/example/prometheus-operator-crd
        cp "$crds/monitoring.coreos.com_servicemonitors.yaml" "$crds/monitoring.coreos.com_prometheusrules.yaml" "$out/crds/"
        chmod -R u+w "$out/swagger.json" "$out/crds"
        ;;
    *)
        echo "kube_tools: what is $program?" >&2
        exit 2
        ;;
    esac
done
