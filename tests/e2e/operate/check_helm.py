#!/usr/bin/env python3
"""The Helm chart and the plain manifests: rendered over many values, held against Kubernetes' own schemas and the
rules of restricted pods, refused when the values are wrong; and its pods run with the programs of the build, as a
kubelet would, from the first start over backups to a restore.

SPDX-License-Identifier: Apache-2.0
"""
import base64
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "kube"))

from harness import OMEND, ROOT, check, folder, main, omen, poll, read, run, skip, write  # noqa: E402
from chart_cases import ALL_MONITORING, BAD, GOOD  # noqa: E402
from chart_objects import CHART, KUSTOMIZE, helm, named, of_definitions, of_kubernetes, render, templates, yaml  # noqa: E402
from kube_pods import Node, PodFailed, have, leave_network, need_tool, pod_of, probe, terminate, tools, wait_ready  # noqa: E402

PRIVILEGED = ("privileged", "hostNetwork", "hostPID", "hostIPC", "hostPath", "hostPort", "procMount", "windowsOptions")


def keys_of(node):
    if isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from keys_of(value)
    elif isinstance(node, list):
        for value in node:
            yield from keys_of(value)


# ---- What must hold for every pod -------------------------------------------------------------


def check_container(where, container, volumes):
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"] is True, where
    assert security["allowPrivilegeEscalation"] is False, where
    assert security["capabilities"] == {"drop": ["ALL"]}, where
    assert container["command"] in (["/usr/bin/omend"], ["/usr/bin/omen"]), "%s: %s" % (where, container["command"])
    assert "memory" in container["resources"]["limits"], where
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert len(set(mounts)) == len(mounts), where
    assert {mount["name"] for mount in container["volumeMounts"]} <= volumes, where
    for entry in container.get("env", []):
        assert "secretKeyRef" not in json.dumps(entry), "%s: a secret in the environment" % where
    image = container["image"]
    assert "@sha256:" in image or re.search(r":[0-9][^/:]*$", image), image


def check_pod(where, template):
    spec = template["spec"]
    bad = set(keys_of(spec)) & set(PRIVILEGED)
    assert not bad, "%s: %s" % (where, bad)
    security = spec["securityContext"]
    assert security["runAsNonRoot"] is True and security["seccompProfile"] == {"type": "RuntimeDefault"}, where
    if "fsGroup" in security:
        assert security["fsGroupChangePolicy"] == "OnRootMismatch", where
    assert spec["automountServiceAccountToken"] is False and spec["enableServiceLinks"] is False, where
    volumes = {volume["name"] for volume in spec["volumes"]}
    used = set()
    for container in spec.get("initContainers", []) + spec["containers"]:
        check_container("%s %s" % (where, container["name"]), container, volumes)
        used |= {mount["name"] for mount in container["volumeMounts"]}
    assert used == volumes, "%s: volumes that nobody mounts: %s" % (where, volumes - used)
    for volume in spec["volumes"]:
        if "secret" in volume:
            assert volume["secret"]["defaultMode"] == 0o440, where


def check_server(objects):
    server = named(objects, "StatefulSet")
    template = server["spec"]["template"]
    labels = template["metadata"]["labels"]
    (container,) = template["spec"]["containers"]
    ports = {port["name"] for port in container["ports"]}
    assert server["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert "helm.sh/chart" not in labels, "a new chart would restart the server"
    for which, page in (("startupProbe", "/startupz"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        assert container[which]["httpGet"] == {"path": page, "port": "admin"}
    for thing in objects:
        selector = thing["spec"].get("selector", {}) if thing["kind"] == "Service" else None
        if thing["kind"] in ("PodDisruptionBudget", "NetworkPolicy"):
            selector = thing["spec"].get("selector", thing["spec"].get("podSelector"))["matchLabels"]
        if selector is not None:
            assert selector.items() <= labels.items(), "%s selects nobody" % thing["kind"]
            assert {p["targetPort"] for p in thing["spec"].get("ports", [])} <= ports
    for where, template in templates(objects):
        if "StatefulSet" not in where:
            found = template["metadata"]["labels"]
            assert not server["spec"]["selector"]["matchLabels"].items() <= found.items(), "%s is served" % where


def check_config(text):
    """omend itself reads the file: names, values and bounds of every option. Its folders are elsewhere here."""
    place = folder("conf-")
    os.makedirs(place + "/omend-backups")
    path = write(place + "/omend.conf", text.replace("/var/lib/omend-backups", place + "/omend-backups"))
    done = run(OMEND, "--config", path, "--print-config", check=False)
    assert done.returncode == 0, "omend: %s\n%s" % (done.stderr, text)
    return done.stdout


def kubeconform(objects):
    """Problems that kubeconform finds; None when it cannot run here."""
    program, swagger = have("kubeconform"), os.path.join(tools(), "swagger.json")
    if program is None or not os.path.exists(swagger):
        return None
    schemas = os.path.join(tools(), "schemas")
    kinds = {"StatefulSet", "Service", "ConfigMap", "Secret", "ServiceAccount", "PersistentVolumeClaim", "CronJob", "Job",
             "Pod", "PodDisruptionBudget", "NetworkPolicy", "Namespace"}
    if not os.path.exists(os.path.join(schemas, "namespace-v1.json")):
        os.makedirs(schemas, exist_ok=True)
        of_definitions(os.path.join(tools(), "crds", "*.yaml"), schemas)
        of_kubernetes(swagger, schemas, kinds)
    done = run(program, "-strict", "-summary", "-output", "json", "-skip", "Certificate", "-schema-location",
               os.path.join(schemas, "{{.ResourceKind}}{{.KindSuffix}}.json"), "-", check=False,
               stdin="---\n".join(json.dumps(o) + "\n" for o in objects))
    summary = json.loads(done.stdout)
    problems = ["%s %s: %s" % (r["kind"], r["name"], r["msg"]) for r in summary["resources"]]
    return problems, summary["summary"]["valid"]


# ---- Checks -----------------------------------------------------------------------------------


@check("the chart renders valid objects over a matrix of values")
def renders():
    helm("lint", "--strict", CHART)
    valid = objects_seen = 0
    for case, values in GOOD.items():
        objects = render(values)
        names = [(o["kind"], o["metadata"]["name"]) for o in objects]
        assert len(set(names)) == len(names), case
        assert all(len(name) <= 52 for kind, name in names if kind == "CronJob"), names
        for where, template in templates(objects):
            check_pod("%s: %s" % (case, where), template)
        check_server(objects)
        for monitor in (o for o in objects if o["kind"] == "ServiceMonitor"):
            for endpoint in monitor["spec"]["endpoints"]:  # what OmendbDown looks for, whatever the names
                jobs = [rule["replacement"] for rule in endpoint["relabelings"] if rule["targetLabel"] == "job"]
                assert jobs and "omend" in jobs[-1], case
        config = named([o for o in objects if "omend.conf" in o.get("data", {})], "ConfigMap")["data"]["omend.conf"]
        check_config(config)
        found = kubeconform(objects)
        if found is not None:
            assert not found[0], "%s: %s" % (case, found[0])
            assert found[1] + sum(o["kind"] == "Certificate" for o in objects) == len(objects), case
            valid += found[1]
        objects_seen += len(objects)
    said = "kubeconform: %d valid" % valid if valid else "kubeconform is not here"
    return "%d cases, %d objects, restricted, config read by omend; %s" % (len(GOOD), objects_seen, said)


@check("wrong values are refused with the value named")
def refuses():
    for values, word in BAD:
        done = render(values, check=False)
        assert done.returncode != 0, "it took %s" % values
        assert word in done.stderr, "%s: %s is not named in: %s" % (values, word, done.stderr)
    return "%d wrong values" % len(BAD)


@check("a schema that does not fit is noticed: the validator itself")
def validator_bites():
    objects = render({"backup": {"enabled": True}, "monitoring": ALL_MONITORING})
    good = kubeconform(objects)
    if good is None:
        skip("no kubeconform or schemas; tests/e2e/operate/kube/kube_tools.sh %s builds them" % tools())
    assert not good[0], good[0]
    caught = 0
    for kind, change in (
        ("StatefulSet", lambda o: o["spec"].update(replica=1)),
        ("StatefulSet", lambda o: o["spec"]["template"]["spec"]["containers"][0].update(ports="7700")),
        ("CronJob", lambda o: o["spec"]["jobTemplate"]["spec"].update(backofflimit=2)),
        ("NetworkPolicy", lambda o: o["spec"].update(ingress=[{"from": [{"podselector": {}}]}])),
        ("PrometheusRule", lambda o: o["spec"]["groups"][0]["rules"][0].update(when="always")),
        ("ServiceMonitor", lambda o: o["spec"]["endpoints"][0].update(interval="often")),
    ):
        broken = json.loads(json.dumps(objects))
        change([o for o in broken if o["kind"] == kind][0])
        assert kubeconform(broken)[0], "kubeconform takes a wrong %s" % kind
        caught += 1
    return "%d of %d broken objects were caught" % (caught, caught)


@check("alerts and dashboard are those of deploy/")
def packaged():
    objects = render({"monitoring": ALL_MONITORING})
    rules = yaml.safe_load(read(os.path.join(ROOT, "deploy", "prometheus", "omendb.rules.yml")))
    assert named(objects, "PrometheusRule")["spec"] == rules
    (board,) = [o["data"]["omendb.json"] for o in objects if "omendb.json" in o.get("data", {})]
    assert json.loads(board) == json.loads(read(os.path.join(ROOT, "deploy", "grafana", "omendb.json")))
    some = render({"monitoring": {"prometheusRule": {"enabled": True, "without": ["OmendbDown"]}}})
    alerts = [r.get("alert") for g in named(some, "PrometheusRule")["spec"]["groups"] for r in g["rules"]]
    everything = [r.get("alert") for g in rules["groups"] for r in g["rules"]]
    assert sorted(filter(None, alerts + ["OmendbDown"])) == sorted(filter(None, everything))
    place = folder("package-")
    done = helm("package", CHART, "--destination", place)
    archive = done.stdout.split()[-1]
    listed = run("tar", "-tvzf", archive).stdout
    sizes = {line.split()[-1]: line for line in listed.splitlines()}
    assert all(sizes["omendb/files/" + name].startswith("-") for name in ("omendb.rules.yml", "omendb.json")), listed
    packed = helm("template", "omendb", archive, "--set", "monitoring.prometheusRule.enabled=true").stdout
    assert "OmendbDown" in packed
    return "%d alerts, %d panels; the archive has them too" % (
        len(list(filter(None, everything))), board.count('"type": "timeseries"') or board.count('"targets"'))


@check("the plain manifests are what the chart makes")
def plain_manifests():
    helm("version")
    run(sys.executable, os.path.join(KUSTOMIZE, "generate.py"), "--helm", need_tool("helm"), "--check")
    objects = [o for part in ("base/omendb.yaml", "monitoring/monitoring.yaml")
               for o in yaml.safe_load_all(read(os.path.join(KUSTOMIZE, part))) if o]
    for where, template in templates(objects):
        check_pod(where, template)
    check_server(objects)
    found = kubeconform(objects)
    assert found is None or not found[0], found[0]
    kubectl = have("kubectl")
    if kubectl is None:
        return "%d objects; no kubectl to build the example" % len(objects)
    place = folder("kustomize-")
    run("cp", "-r", KUSTOMIZE, place)
    example = os.path.join(place, "kustomize", "overlays", "example")
    omen("certs", "dev", os.path.join(example, "certs"), "--host", "omendb")
    write(os.path.join(example, "key"), base64.b64encode(os.urandom(32)) + b"\n")
    built = [o for o in yaml.safe_load_all(run(kubectl, "kustomize", example).stdout) if o]
    assert {o["metadata"].get("namespace") for o in built if o["kind"] != "Namespace"} == {"omendb"}
    assert named(built, "PersistentVolumeClaim", "omendb-data")["spec"]["resources"]["requests"]["storage"] == "100Gi"
    found = kubeconform(built)
    assert found is None or not found[0], found[0]
    return "%d objects, %d with the example" % (len(objects), len(built))


# ---- Pods that run ----------------------------------------------------------------------------


class Release:
    """The chart's pods on a node of this machine."""

    def __init__(self, values):
        self.objects = render(values)
        self.node = Node(self.objects)
        self.server = named(self.objects, "StatefulSet")
        self.pod = pod_of(self.server)
        self.child = self.folders = None

    def start(self):
        self.child, self.folders = self.node.start(self.pod)
        wait_ready(self.child, self.pod["spec"]["containers"][0])

    def renew(self, values):
        """New Secrets for the server and for the jobs, as somebody who rotates them."""
        for thing in render(values):
            if thing["kind"] == "Secret":
                self.node.objects["Secret", thing["metadata"]["name"]] = thing
        for volume, secret in (("tls", "omendb-tls"), ("key", "omendb-key")):
            self.node.update(self.pod, self.folders, volume, self.node.objects["Secret", secret])

    def stop(self):
        """As the kubelet does; the status that the server ends with."""
        code = terminate(self.child)
        assert code == 0, "omend ended with %d: %s" % (code, self.child.output()[-3000:])
        assert probe(self.pod["spec"]["containers"][0], "readinessProbe") == 0
        self.child.end()

    def test(self):
        return self.node.complete(named(self.objects, "Pod"))

    def backup(self, number):
        return self.node.complete(pod_of(named(self.objects, "CronJob"), "omendb-backup-%d-abcde" % number))

    def client(self):
        """Options of the tool at this server, with the release's key and authority."""
        place = folder("client-")
        found = ["--server", "localhost:7700"]
        for name, key, option in (("omendb-key", "key", "--key-file"), ("omendb-tls", "ca.crt", "--tls-ca"),
                                  ("omendb-client-tls", "tls.crt", "--tls-cert"),
                                  ("omendb-client-tls", "tls.key", "--tls-key")):
            secret = self.node.objects.get(("Secret", name))
            if secret is not None:
                path = write(os.path.join(place, name + key), base64.b64decode(secret["data"][key]), 0o600)
                found += [option, path]
        return found


def items(path, numbers):
    return write(path, "".join('{"id": %d, "vector": [%d, 1]}\n' % (n, n) for n in numbers))


@check("the chart's pods serve, are tested, backed up, pruned and restored")
def pods_live():
    leave_network()
    release = Release({"backup": {"enabled": True, "keep": 2}, "tls": {"clients": {"required": False}},
                       "server": {"predrainSeconds": 1}})
    release.start()
    shown = release.test()
    assert "2" in shown["search"].split(), shown
    at = release.client()
    # Without the key: nothing.
    plain = at[: at.index("--key-file")] + at[at.index("--key-file") + 2:]
    denied = omen("list", *plain, check=False)
    assert denied.returncode != 0, "it lists for everybody"
    place = folder("items-")
    omen("import", "shop", items(place + "/a.jsonl", range(100)), "--create", *at)
    for number in (1, 2, 3):
        release.backup(number)
        omen("import", "shop", items(place + "/%d.jsonl" % number, range(100 * number, 100 * number + 50)), *at)
    listed = json.loads(omen("backups", "--json", *at).stdout)["backups"]
    assert [b["name"] for b in listed] == ["omendb-backup-3-abcde", "omendb-backup-2-abcde"], listed
    try:
        release.backup(3)
        raise AssertionError("a backup was made twice")
    except PodFailed as failed:
        assert failed.container == "backup", failed
    assert json.loads(omen("count", "shop", "--json", *at).stdout)["count"] == 250
    release.stop()
    # The second one was made behind the first 50 of the later items.
    restore = render({"replicas": 0, "backup": {"enabled": True},
                      "restore": {"enabled": True, "backup": "omendb-backup-2-abcde"}})
    job = pod_of(named(restore, "Job"))
    release.node.complete(job)
    release.node.complete(job)  # the second run finds that it is done: there is one `data.replaced` below
    release.start()
    count = json.loads(omen("count", "shop", "--json", *at).stdout)["count"]
    assert count == 150, count
    release.test()
    release.stop()
    data = sorted(os.listdir(release.node.claim("omendb-data")))
    assert [n for n in data if n.startswith("data")] == ["data", "data.replaced-1", "data.restored"], data
    return "3 backups, 2 kept, restored once to 150 of 250 items; key asked for"


@check("the chart's mTLS: its own jobs pass, others do not; new certificates without a restart")
def pods_with_mtls():
    leave_network()
    values = {"backup": {"enabled": True}, "tls": {"clients": {"required": True}},
              "server": {"predrainSeconds": 0, "config": {"slow-log-ms": 1}}}
    release = Release(values)
    release.start()
    release.test()
    release.backup(1)
    old = release.client()
    cut = old[: old.index("--tls-cert")]
    assert omen("list", *cut, "--timeout", "5000", check=False).returncode != 0, "it serves without a certificate"
    omen("list", *old)
    # Another authority, certificate and key: the running server takes them up.
    before = release.child.process.pid
    release.renew(values)
    new = release.client()
    poll("the new certificate", lambda: omen("list", *new, "--timeout", "5000", check=False).returncode == 0)
    assert omen("list", *old, "--timeout", "5000", check=False).returncode != 0, "the old key still opens"
    release.test()
    assert release.child.process.pid == before and release.child.process.poll() is None
    release.stop()
    return "jobs pass with the release's certificate, none without; authority and key changed under it"


if __name__ == "__main__":
    main()
