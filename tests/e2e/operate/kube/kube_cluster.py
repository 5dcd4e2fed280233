"""kube_cluster.py - etcd and a real kube-apiserver (with its controllers, when they are there) on the loopback of a
network namespace of their own, and the few calls of its API that checks make. No kubelet: see kube_pods.py.
SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import ssl
import sys
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from harness import Child, PATIENCE, folder, poll, run, skip, write  # noqa: E402
from kube_pods import have, leave_network, need_tool  # noqa: E402

TOKEN = "a-token-of-this-check-only"
SERVER = "https://127.0.0.1:6443"
CONTROLLERS = "statefulset-controller,job-controller,cronjob-controller,disruption-controller," \
              "serviceaccount-controller,ttl-after-finished-controller,garbage-collector-controller"


class Refused(AssertionError):
    def __init__(self, code, status):
        super().__init__("%d: %s" % (code, status.get("message", status)))
        self.code, self.reason = code, status.get("reason")


class Cluster:
    def __init__(self):
        etcd, apiserver = have("etcd"), need_tool("kube-apiserver")
        if etcd is None:
            skip("no etcd; apt-get install etcd-server")
        leave_network()
        self.work = folder("cluster-")
        self.context = ssl._create_unverified_context()  # pylint: disable=protected-access
        self._keys()
        self.etcd = Child(etcd, "--data-dir", self.work + "/etcd", "--listen-client-urls", "http://127.0.0.1:2379",
                          "--advertise-client-urls", "http://127.0.0.1:2379", "--listen-peer-urls",
                          "http://127.0.0.1:2380")
        self.api_server = Child(
            apiserver, "--etcd-servers=http://127.0.0.1:2379", "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1", "--secure-port=6443", "--cert-dir=" + self.work + "/certificates",
            "--token-auth-file=" + self.work + "/tokens", "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.96.0.0/24",
            "--service-account-key-file=" + self.work + "/sa.pub",
            "--service-account-signing-key-file=" + self.work + "/sa.key")
        self.api_server.until("is ready", self._ready)
        self.controllers = None
        if have("kube-controller-manager"):
            self.controllers = Child(
                have("kube-controller-manager"), "--kubeconfig=" + self.kubeconfig, "--controllers=" + CONTROLLERS,
                "--leader-elect=false", "--secure-port=0")

    def _keys(self):
        run("openssl", "genrsa", "-out", self.work + "/sa.key", "2048")
        run("openssl", "rsa", "-in", self.work + "/sa.key", "-pubout", "-out", self.work + "/sa.pub")
        write(self.work + "/tokens", '%s,admin,admin,"system:masters"\n' % TOKEN, 0o600)
        self.kubeconfig = write(self.work + "/kubeconfig", json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "check",
            "clusters": [{"name": "check", "cluster": {"server": SERVER, "insecure-skip-tls-verify": True}}],
            "users": [{"name": "admin", "user": {"token": TOKEN}}],
            "contexts": [{"name": "check", "context": {"cluster": "check", "user": "admin"}}],
        }), 0o600)

    def _ready(self):
        try:
            return self.call("GET", "/readyz", raw=True) == "ok"
        except Refused:
            return False

    def call(self, method, path, body=None, kind="application/json", raw=False):
        """A call of the API: what it answers. Refused: it says no."""
        request = urllib.request.Request(SERVER + path, method=method,
                                         data=None if body is None else json.dumps(body).encode(),
                                         headers={"Authorization": "Bearer " + TOKEN, "Content-Type": kind})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE, context=self.context) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                said = error.read().decode()
            try:
                raise Refused(error.code, json.loads(said)) from None
            except ValueError:
                raise Refused(error.code, {"message": said}) from None
        return text if raw else json.loads(text)

    def apply(self, thing):
        """Server-side apply of a definition of resources, until it can be used."""
        name = thing["metadata"]["name"]
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/" + name
        self.call("PATCH", path + "?fieldManager=check&force=true", thing, "application/apply-patch+yaml")

        def established():
            conditions = self.call("GET", path).get("status", {}).get("conditions") or []
            return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)

        poll("the definition of " + name, established)

    def namespace(self, name):
        """One in which only restricted pods may run."""
        self.call("POST", "/api/v1/namespaces", {
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
        if self.controllers is None:
            self.call("POST", "/api/v1/namespaces/%s/serviceaccounts" % name,
                      {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})
        else:
            poll("its service account", lambda: self.exists("/api/v1/namespaces/%s/serviceaccounts/default" % name))
        return name

    def exists(self, path):
        try:
            return self.call("GET", path)
        except Refused as refused:
            if refused.code != 404:
                raise
            return None

    def helm(self, *arguments, **keywords):
        return run(need_tool("helm"), *arguments, "--kubeconfig", self.kubeconfig, **keywords)

    def end(self):
        for child in (self.controllers, self.api_server, self.etcd):
            if child is not None:
                child.stop()
