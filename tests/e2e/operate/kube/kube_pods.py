"""kube_pods.py - runs the pods of rendered manifests as a kubelet would, without a cluster: volumes with the links
that Kubernetes makes, environment and arguments with their variables, a root that cannot be written to, no
privileges, a network of the pods' own with the names of Services. One node, so all pods share that network.

Not here: pulling images (the programs come from the build), scheduling, cgroups, other users' files.
SPDX-License-Identifier: Apache-2.0
"""
import base64
import ctypes
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from harness import BUILD, Child, PATIENCE, folder, http_get, need, poll, read, skip, write  # noqa: E402

_CLONE_NEWNET = 0x40000000
_VARIABLE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")
_numbers = itertools.count(1)


def leave_network():
    """This process, and what it starts from now on, has a loopback of its own: every port is free there."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        skip("no network namespace of its own: %s" % os.strerror(ctypes.get_errno()))
    done = subprocess.run([need("ip", "iproute2"), "link", "set", "lo", "up"], check=False)
    if done.returncode != 0:
        skip("the loopback of a network namespace cannot be used here")


def fill_volume(path, files):
    """Files as Kubernetes shows those of a Secret or ConfigMap: links to a folder that is changed at once."""
    os.makedirs(path, exist_ok=True)
    generation = "..%d" % next(_numbers)
    for name, (content, mode) in files.items():
        write(os.path.join(path, generation, name), content, mode)
        if not os.path.lexists(os.path.join(path, name)):
            os.symlink(os.path.join("..data", name), os.path.join(path, name))
    new = os.path.join(path, "..data_new")
    os.symlink(generation, new)
    os.rename(new, os.path.join(path, "..data"))


class Node:
    def __init__(self, objects):
        self.bwrap = need("bwrap", "bubblewrap")
        self.work = folder("node-")
        self.objects = {(o["kind"], o["metadata"]["name"]): o for o in objects}
        self.claims = {}
        self.hosts = write(os.path.join(self.work, "hosts"), self._hosts())
        self.switch = write(os.path.join(self.work, "nsswitch.conf"), "hosts: files\n")
        self.users = write(os.path.join(self.work, "passwd"), "omend:x:10001:10001::/:/nonexistent\n")
        probe = self._command({}, [], {}, ["/usr/bin/true"])
        if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
            skip("bubblewrap cannot make a container here")

    def _hosts(self):
        names = ["localhost"]
        for kind, name in self.objects:
            if kind == "Service":
                names += [name, name + ".default.svc", name + ".default.svc.cluster.local"]
        return "127.0.0.1 %s\n" % " ".join(names)

    def claim(self, name):
        """The folder behind a PersistentVolumeClaim. As on a fresh ext4 volume there is something in it."""
        if name not in self.claims:
            self.claims[name] = os.path.join(self.work, "claim-" + name)
            os.makedirs(os.path.join(self.claims[name], "lost+found"))
        return self.claims[name]

    # ---- Volumes ------------------------------------------------------------------------------

    def _files_of(self, volume):
        kind, source = ("Secret", volume["secret"]) if "secret" in volume else ("ConfigMap", volume["configMap"])
        name = source.get("secretName") or source["name"]
        thing = self.objects[kind, name]
        if kind == "Secret":
            data = {key: base64.b64decode(value) for key, value in thing.get("data", {}).items()}
            data.update({key: value.encode() for key, value in thing.get("stringData", {}).items()})
        else:
            data = {key: value.encode() for key, value in thing.get("data", {}).items()}
        mode = source.get("defaultMode", 0o644)
        if "items" in source:
            return {item["path"]: (data[item["key"]], mode) for item in source["items"]}
        return {key: (value, mode) for key, value in data.items()}

    def volumes(self, spec):
        """Folders of this machine by the names of a pod's volumes."""
        found = {}
        for volume in spec.get("volumes", []):
            name = volume["name"]
            if "persistentVolumeClaim" in volume:
                found[name] = self.claim(volume["persistentVolumeClaim"]["claimName"])
                continue
            found[name] = os.path.join(self.work, "volume-%d-%s" % (next(_numbers), name))
            if "emptyDir" in volume:
                os.makedirs(found[name])
            else:
                fill_volume(found[name], self._files_of(volume))
        return found

    # ---- Containers ---------------------------------------------------------------------------

    def _command(self, folders, mounts, environment, words):
        made = [self.bwrap, "--die-with-parent", "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts",
                "--uid", "10001", "--gid", "10001", "--cap-drop", "ALL", "--new-session", "--clearenv",
                "--proc", "/proc", "--dev", "/dev", "--ro-bind", "/usr", "/usr", "--ro-bind", BUILD, "/build",
                "--ro-bind", self.hosts, "/etc/hosts", "--ro-bind", self.switch, "/etc/nsswitch.conf",
                "--ro-bind", self.users, "/etc/passwd"]
        for link in ("lib", "lib64", "bin"):
            made += ["--symlink", "usr/" + link, "/" + link]
        for mount in mounts:
            made += ["--ro-bind" if mount.get("readOnly") else "--bind", folders[mount["name"]], mount["mountPath"]]
        for name, value in {"LD_LIBRARY_PATH": "/build/lib", **environment}.items():
            made += ["--setenv", name, value]
        return [*made, "--remount-ro", "/", "--chdir", "/", "--", *words]

    def words(self, pod, container, folders):
        """The command of a container of a pod, ready to run."""
        variables = {}
        for entry in container.get("env", []):
            value = entry.get("value", "")
            if "valueFrom" in entry:
                assert entry["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name", entry
                value = pod["metadata"]["name"]
            variables[entry["name"]] = value
        program, *rest = container["command"] + container.get("args", [])
        rest = [_VARIABLE.sub(lambda m: variables.get(m.group(1), m.group(0)), str(word)) for word in rest]
        assert program.startswith("/usr/bin/"), program
        return self._command(folders, container.get("volumeMounts", []), variables,
                             ["/build/bin/" + os.path.basename(program), *rest])

    def start(self, pod):
        """The one container of a pod, in the background, and the folders of its volumes."""
        (container,) = pod["spec"]["containers"]
        folders = self.volumes(pod["spec"])
        return Child(*self.words(pod, container, folders)), folders

    def update(self, pod, folders, name, thing):
        """A Secret or ConfigMap has changed: what a running pod sees of it changes at once."""
        (volume,) = [v for v in pod["spec"]["volumes"] if v["name"] == name]
        self.objects[thing["kind"], thing["metadata"]["name"]] = thing
        fill_volume(folders[name], self._files_of(volume))

    def complete(self, pod):
        """A pod that ends: its init containers, then its containers, each of which must end with 0. Their
        outputs by name."""
        shown = {}
        folders = self.volumes(pod["spec"])
        for container in pod["spec"].get("initContainers", []) + pod["spec"]["containers"]:
            done = subprocess.run(self.words(pod, container, folders), stdin=subprocess.DEVNULL, capture_output=True,
                                  text=True, timeout=PATIENCE, check=False)
            shown[container["name"]] = done.stdout
            if done.returncode != 0:
                raise PodFailed(container["name"], done)
        return shown


class PodFailed(AssertionError):
    def __init__(self, name, done):
        super().__init__("container %s ended with %d: %s" % (name, done.returncode, done.stderr.strip()))
        self.container, self.done = name, done


def pod_of(thing, name=None):
    """A pod as the controller of a StatefulSet, Job or CronJob makes it."""
    spec = thing["spec"]
    base = thing["metadata"]["name"]
    if thing["kind"] == "CronJob":
        spec, base = spec["jobTemplate"]["spec"], base + "-29384756"
    template = spec["template"]
    suffix = "-0" if thing["kind"] == "StatefulSet" else "-x7k2p"
    return {"apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
            "metadata": {**template.get("metadata", {}), "name": name or base + suffix}}


def probe(container, which):
    """The status of an HTTP probe; 0 when nobody answers."""
    get = container[which]["httpGet"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    try:
        return http_get("127.0.0.1:%d%s" % (ports[get["port"]], get["path"]))[0]
    except OSError:
        return 0


def terminate(child):
    """SIGTERM to the program of a pod, as the kubelet sends it; how it ends. bubblewrap itself would end at
    once and take the program along."""
    pids = [child.process.pid]
    while pids:
        pid = pids.pop()
        if read("/proc/%d/comm" % pid).strip() == b"omend":
            os.kill(pid, signal.SIGTERM)
            return child.process.wait(PATIENCE)
        for task in os.listdir("/proc/%d/task" % pid):
            pids += [int(p) for p in read("/proc/%d/task/%s/children" % (pid, task)).split()]
    raise AssertionError("no omend below bubblewrap")


def wait_ready(child, container):
    child.until("passes its startup probe", lambda: probe(container, "startupProbe") == 200)
    poll("ready", lambda: probe(container, "readinessProbe") == 200)


def have(program):
    """The path of a program that kube_tools.sh builds, or of the machine's own."""
    own = os.path.join(tools(), "bin", program)
    return own if os.access(own, os.X_OK) else shutil.which(program)


def tools():
    return os.environ.get("OMEN_KUBE_TOOLS", os.path.join(BUILD, "kube"))


def need_tool(program):
    path = have(program)
    if path is None:
        skip("no %s; tests/e2e/operate/kube/kube_tools.sh %s %s builds it" % (program, tools(), program))
    return path
