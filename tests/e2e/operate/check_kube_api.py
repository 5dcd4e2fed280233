#!/usr/bin/env python3
"""The chart in a real Kubernetes API: every case is installed, upgraded and removed by helm; its pods pass the
admission of a namespace that takes restricted ones only; with the controllers there, the whole release lives: the
StatefulSet's pod, `helm test` and a backup's Job, run by kube_pods.py in the place of a kubelet.

SPDX-License-Identifier: Apache-2.0
"""
import base64
import copy
import glob
import os
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "kube"))

from harness import check, folder, main, omen, poll, read, run, skip, write  # noqa: E402
from chart_cases import ALL_MONITORING, GOOD  # noqa: E402
from chart_objects import CHART, KUSTOMIZE, templates, values_file, yaml  # noqa: E402
from kube_cluster import Cluster, Refused  # noqa: E402
from kube_pods import Node, need_tool, terminate, tools, wait_ready  # noqa: E402

CERTIFICATES = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": {"name": "certificates.cert-manager.io"},
    "spec": {"group": "cert-manager.io", "scope": "Namespaced",
             "names": {"kind": "Certificate", "plural": "certificates", "singular": "certificate"},
             "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                 "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]},
}


def cluster():
    """A new one, with what the chart's objects need."""
    if yaml is None:
        skip("no Python package pyyaml")
    crds = glob.glob(os.path.join(tools(), "crds", "*.yaml"))
    if not crds:
        skip("no definitions of the Prometheus operator; kube_tools.sh %s schemas" % tools())
    made = Cluster()
    made.apply(CERTIFICATES)
    for path in crds:
        made.apply(yaml.safe_load(read(path)))
    made.call("POST", "/apis/storage.k8s.io/v1/storageclasses", {
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "grows"},
        "provisioner": "example.org/none", "allowVolumeExpansion": True})
    return made


def install(api, name, namespace, values, what="install"):
    return api.helm(what, name, CHART, "--namespace", namespace, "--values", values_file(values))


def secret(api, namespace, name):
    data = api.call("GET", "/api/v1/namespaces/%s/secrets/%s" % (namespace, name))["data"]
    return {key: base64.b64decode(value) for key, value in data.items()}


def refused_pods(api, namespace, spec):
    """Ways to loosen a pod, each of which the namespace must refuse: or the check would show nothing."""
    changes = (
        lambda s: s["securityContext"].pop("seccompProfile"),
        lambda s: s["securityContext"].update(runAsNonRoot=False),
        lambda s: s["containers"][0]["securityContext"].pop("capabilities"),
        lambda s: s["containers"][0]["securityContext"].update(allowPrivilegeEscalation=True),
        lambda s: s.update(hostNetwork=True),
        lambda s: s["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
    )
    for change in changes:
        loose = copy.deepcopy(spec)
        change(loose)
        try:
            create_pod(api, namespace, loose)
        except Refused as refused:
            assert refused.code == 403 and "restricted" in str(refused), refused
            continue
        raise AssertionError("a loose pod was taken")
    return len(changes)


def create_pod(api, namespace, spec):
    api.call("POST", "/api/v1/namespaces/%s/pods?dryRun=All" % namespace,
             {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "try"}, "spec": spec})


@check("helm installs every case in a real API server, and its pods pass as restricted", seconds=1800)
def installs():
    api = cluster()
    pods = loose = 0
    for number, (case, values) in enumerate(GOOD.items()):
        space = api.namespace("case-%d" % number)
        if "priorityClassName" in values and not api.exists("/apis/scheduling.k8s.io/v1/priorityclasses/data"):
            api.call("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", {
                "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "data"}, "value": 9})
        install(api, "omendb", space, values)
        manifest = api.helm("get", "manifest", "omendb", "--namespace", space).stdout
        hooks = api.helm("get", "hooks", "omendb", "--namespace", space).stdout
        objects = [o for o in yaml.safe_load_all(manifest + "\n---\n" + hooks) if o]
        for where, template in templates(objects):
            try:
                create_pod(api, space, template["spec"])
            except Refused as refused:
                raise AssertionError("%s: %s: %s" % (case, where, refused)) from None
            pods += 1
        if number == 0:
            loose = refused_pods(api, space, next(templates(objects))[1]["spec"])
        install(api, "omendb", space, values, "upgrade")
        api.helm("uninstall", "omendb", "--namespace", space)
        left = api.call("GET", "/api/v1/namespaces/%s/persistentvolumeclaims" % space)["items"]
        wanted = sum(1 for o in objects if o["kind"] == "PersistentVolumeClaim")
        assert len(left) == wanted, "%s: %d of %d claims are left" % (case, len(left), wanted)
        gone = api.call("GET", "/apis/apps/v1/namespaces/%s/statefulsets" % space)["items"]
        assert not gone or "deletionTimestamp" in gone[0]["metadata"], case
    version = api.call("GET", "/version")["gitVersion"]
    return "%d releases at Kubernetes %s, %d pods restricted, %d loosened ones refused, claims kept" % (
        len(GOOD), version, pods, loose)


@check("upgrades keep keys and authority, sign for new names, and grow the volume")
def upgrades():
    api = cluster()
    space = api.namespace("upgrades")
    values = {"storage": {"storageClass": "grows"}}
    install(api, "omendb", space, values)
    key, tls, ca = (secret(api, space, "omendb-" + name) for name in ("key", "tls", "ca"))
    assert key["key"].startswith(b"omen_") and len(key["key"]) == 48
    install(api, "omendb", space, values, "upgrade")
    assert secret(api, space, "omendb-key") == key and secret(api, space, "omendb-tls") == tls
    assert secret(api, space, "omendb-ca") == ca
    # Another name and client certificates: signed by the same authority.
    values["tls"] = {"extraNames": ["db.example.org"], "clients": {"required": True}}
    install(api, "omendb", space, values, "upgrade")
    new, jobs = secret(api, space, "omendb-tls"), secret(api, space, "omendb-client-tls")
    assert secret(api, space, "omendb-ca") == ca and new["ca.crt"] == tls["ca.crt"] and new["tls.crt"] != tls["tls.crt"]
    place = folder("certificates-")
    root = write(place + "/ca.crt", ca["tls.crt"])
    for name, pair in (("server", new), ("jobs", jobs), ("old", tls)):
        run("openssl", "verify", "-CAfile", root, write("%s/%s.crt" % (place, name), pair["tls.crt"]))
    shown = run("openssl", "x509", "-in", place + "/server.crt", "-noout", "-ext", "subjectAltName").stdout
    assert "DNS:db.example.org" in shown and "DNS:omendb.upgrades.svc" in shown and "IP Address:127.0.0.1" in shown
    # The claim, as if it had been provisioned.
    path = "/api/v1/namespaces/%s/persistentvolumeclaims/omendb-data" % space
    api.call("PATCH", path + "/status", {"status": {"phase": "Bound", "capacity": {"storage": "20Gi"}}},
             "application/merge-patch+json")
    values["storage"]["size"] = "40Gi"
    install(api, "omendb", space, values, "upgrade")
    assert api.call("GET", path)["spec"]["resources"]["requests"]["storage"] == "40Gi"
    values["storage"]["size"] = "10Gi"
    done = api.helm("upgrade", "omendb", CHART, "--namespace", space, "--values", values_file(values), check=False)
    assert done.returncode != 0 and "omendb-data" in done.stderr, done.stderr
    return "key, certificate and authority kept; a new name signed; 20Gi grown to 40Gi, shrinking refused"


@check("kubectl applies the plain manifests, in a namespace that takes restricted pods only")
def plain():
    kubectl = need_tool("kubectl")
    api = cluster()
    place = folder("kustomize-")
    run("cp", "-r", KUSTOMIZE, place)
    example = os.path.join(place, "kustomize", "overlays", "example")
    omen("certs", "dev", example + "/certs", "--host", "omendb")
    write(example + "/key", base64.b64encode(os.urandom(32)) + b"\n")
    path = example + "/kustomization.yaml"
    write(path, read(path).replace(b"components: []\n#  - ../../monitoring", b"components:\n  - ../../monitoring"))

    def apply():
        return run(kubectl, "apply", "-k", example, "--kubeconfig", api.kubeconfig).stdout.splitlines()

    first, second = apply(), apply()
    assert all(line.endswith(" created") for line in first), first
    # kubectl takes some kinds for changed when they are not; what would restart the server is none of them.
    assert [line.split()[0] for line in second] == [line.split()[0] for line in first], second
    assert {"statefulset.apps/omendb unchanged", "configmap/omendb unchanged"} <= set(second), second
    assert any("prometheusrule" in line for line in first), first
    for path in ("/apis/apps/v1/namespaces/omendb/statefulsets/omendb",
                 "/apis/batch/v1/namespaces/omendb/cronjobs/omendb-backup"):
        for _, template in templates([api.call("GET", path)]):
            create_pod(api, "omendb", template["spec"])
    return "%d objects created; a second time restarts nothing" % len(first)


def pods_in(api, space, text=""):
    found = api.call("GET", "/api/v1/namespaces/%s/pods" % space)["items"]
    return [p for p in found if text in p["metadata"]["name"] and not p["metadata"].get("deletionTimestamp")]


def bind(api, space, pod):
    """What the scheduler does; a pod without a node would be deleted without a grace period."""
    if not api.exists("/api/v1/nodes/here"):
        api.call("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "here"}})
    name = pod["metadata"]["name"]
    api.call("POST", "/api/v1/namespaces/%s/pods/%s/binding" % (space, name), {
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "here"}})


def tell(api, space, pod, phase, ready=False):
    """What a kubelet reports of a pod."""
    conditions = [{"type": kind, "status": "True" if ready else "False"}
                  for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")]
    api.call("PATCH", "/api/v1/namespaces/%s/pods/%s/status" % (space, pod["metadata"]["name"]),
             {"status": {"phase": phase, "conditions": conditions}}, "application/merge-patch+json")


@check("a whole release lives: the controllers make the pods, and they run", seconds=900)
def lives():
    api = cluster()
    if api.controllers is None:
        skip("no kube-controller-manager; kube_tools.sh %s kube-controller-manager builds it" % tools())
    space = api.namespace("default-release")
    values = {"backup": {"enabled": True}, "server": {"predrainSeconds": 0}, "monitoring": ALL_MONITORING}
    install(api, "omendb", space, values)
    things = []  # what a kubelet asks for when it starts pods
    for path in ("/api/v1/namespaces/%s/secrets", "/api/v1/namespaces/%s/configmaps", "/api/v1/namespaces/%s/services"):
        listed = api.call("GET", path % space)
        kind = listed["kind"].removesuffix("List")
        things += [{**item, "kind": kind} for item in listed["items"]]
    node = Node(things)
    (pod,) = poll("the StatefulSet's pod", lambda: pods_in(api, space, "omendb-0"))
    bind(api, space, pod)
    child, _ = node.start(pod)
    wait_ready(child, pod["spec"]["containers"][0])
    tell(api, space, pod, "Running", ready=True)
    path = "/apis/apps/v1/namespaces/%s/statefulsets/omendb" % space
    poll("the StatefulSet ready", lambda: api.call("GET", path)["status"].get("readyReplicas") == 1)
    # helm makes the pod of the test and waits for it.
    said = []
    helm = threading.Thread(target=lambda: said.append(
        api.helm("test", "omendb", "--namespace", space, "--timeout", "300s", check=False)))
    helm.start()
    (test,) = poll("the pod of the test", lambda: pods_in(api, space, "omendb-test"))
    items = api.call("GET", "/api/v1/namespaces/%s/configmaps/omendb-test" % space)
    node.objects["ConfigMap", "omendb-test"] = items
    node.complete(test)
    tell(api, space, test, "Succeeded")
    helm.join()
    assert said[0].returncode == 0 and "Succeeded" in said[0].stdout, said[0]
    # A Job as `kubectl create job --from=cronjob/omendb-backup` makes it.
    cron = api.call("GET", "/apis/batch/v1/namespaces/%s/cronjobs/omendb-backup" % space)
    api.call("POST", "/apis/batch/v1/namespaces/%s/jobs" % space, {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "omendb-before-upgrade"},
        "spec": cron["spec"]["jobTemplate"]["spec"]})
    (backup,) = poll("the pod of the backup", lambda: pods_in(api, space, "before-upgrade"))
    node.complete(backup)
    tell(api, space, backup, "Succeeded")
    path = "/apis/batch/v1/namespaces/%s/jobs/omendb-before-upgrade" % space
    poll("the Job complete", lambda: api.call("GET", path)["status"].get("succeeded") == 1)
    made = os.listdir(node.claim("omendb-backups"))
    assert backup["metadata"]["name"] in made, made
    evicted(api, space, node, child)
    return "StatefulSet ready, helm test passed, a backup Job complete, an eviction refused and one that moved the pod " \
           "with its items: pods of real controllers, admitted as restricted"


def evicted(api, space, node, child):
    """A budget of 0 keeps the pod where it is; with 1 it ends well, and the next one has the same data."""
    pod = "/api/v1/namespaces/%s/pods/omendb-0" % space
    budget = "/apis/policy/v1/namespaces/%s/poddisruptionbudgets/omendb" % space
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "omendb-0", "namespace": space}}
    at = ["--server", "localhost:7700", "--tls-ca", write(node.work + "/ca", secret(api, space, "omendb-tls")["ca.crt"]),
          "--key-file", write(node.work + "/key", secret(api, space, "omendb-key")["key"], 0o600)]
    omen("import", "kept", write(node.work + "/items.jsonl", '{"id": 1, "vector": [1, 2]}\n'), "--create", *at)

    def set_budget(number):
        api.helm("upgrade", "omendb", CHART, "--namespace", space, "--reuse-values", "--set",
                 "podDisruptionBudget.maxUnavailable=%d" % number)
        poll("the budget", lambda: api.call("GET", budget).get("status", {}).get("disruptionsAllowed") == number)

    set_budget(0)
    try:
        api.call("POST", pod + "/eviction", eviction)
        raise AssertionError("it was evicted against its budget")
    except Refused as refused:
        assert refused.code == 429, refused
    set_budget(1)
    api.call("POST", pod + "/eviction", eviction)
    old = api.call("GET", pod)["metadata"]
    assert "deletionTimestamp" in old and old["deletionGracePeriodSeconds"] == 60, old
    assert terminate(child) == 0, child.output()[-2000:]
    api.call("DELETE", pod, {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0})
    (new,) = poll("the next pod", lambda: [p for p in pods_in(api, space, "omendb-0")
                                           if p["metadata"]["uid"] != old["uid"]])
    child, _ = node.start(new)
    wait_ready(child, new["spec"]["containers"][0])
    assert omen("count", "kept", *at).stdout.split()[0] == "1"
    assert terminate(child) == 0, child.output()[-2000:]


if __name__ == "__main__":
    main()
