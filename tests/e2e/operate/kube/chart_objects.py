"""chart_objects.py - the chart rendered by helm, as Python objects. SPDX-License-Identifier: Apache-2.0"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from harness import ROOT, folder, run, skip, write  # noqa: E402
from kube_pods import need_tool  # noqa: E402

try:
    import yaml
    from kube_schemas import of_definitions, of_kubernetes
except ImportError:  # helm() skips the check that wants it
    yaml = of_definitions = of_kubernetes = None

CHART = os.path.join(ROOT, "deploy", "helm", "omendb")
KUSTOMIZE = os.path.join(ROOT, "deploy", "kustomize")


def helm(*arguments, **keywords):
    if yaml is None:
        skip("no Python package pyyaml")
    return run(need_tool("helm"), *arguments, **keywords)


def values_file(values):
    return write(os.path.join(folder("values-"), "values.yaml"), yaml.safe_dump(values))


def render(values, name="omendb", check=True):
    done = helm("template", name, CHART, "--namespace", "default", "--values", values_file(values), check=check)
    return done if not check else [doc for doc in yaml.safe_load_all(done.stdout) if doc]


def named(objects, kind, name=None):
    (found,) = [o for o in objects if o["kind"] == kind and name in (None, o["metadata"]["name"])]
    return found


def templates(objects):
    """(where, pod template) of everything that makes pods."""
    for thing in objects:
        where = "%s/%s" % (thing["kind"], thing["metadata"]["name"])
        if thing["kind"] == "Pod":
            yield where, thing
        elif thing["kind"] in ("StatefulSet", "Job"):
            yield where, thing["spec"]["template"]
        elif thing["kind"] == "CronJob":
            yield where, thing["spec"]["jobTemplate"]["spec"]["template"]
