#!/usr/bin/env python3
"""generate.py [--helm HELM] [--check] - writes the plain manifests of base/ and monitoring/ from the chart, so
that there is one source. --check only compares. SPDX-License-Identifier: Apache-2.0
"""
import argparse
import difflib
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
CHART = os.path.join(os.path.dirname(HERE), "helm", "omendb")
SERVER = ["tls.mode=secret", "tls.secret=omendb-tls", "auth.mode=secret", "auth.secret=omendb-key",
          "backup.enabled=true", "tests.enabled=false"]
MONITORING = ["monitoring.serviceMonitor.enabled=true", "monitoring.prometheusRule.enabled=true"]
# What only Helm has a use for.
DROPPED = re.compile(r"^ +(helm\.sh/[a-z-]+|app\.kubernetes\.io/managed-by): .*\n", re.M)
HEAD = "# Made from the chart by generate.py: change it there. SPDX-License-Identifier: Apache-2.0\n"


def render(helm, values, templates):
    command = [helm, "template", "omendb", CHART, "--namespace", "omendb"]
    for value in values:
        command += ["--set", value]
    for template in templates:
        command += ["--show-only", "templates/%s.yaml" % template]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit("generate: " + done.stderr)
    text = re.sub(r"^# Source: .*\n", "", done.stdout, flags=re.M)
    text = DROPPED.sub("", text)
    # Annotations that have become empty.
    text = re.sub(r"^( *)annotations:\n(?!\1 +\S)", "", text, flags=re.M)
    return HEAD + text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--helm", default="helm")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    server = ["serviceaccount", "configmap", "service", "storage", "statefulset", "poddisruptionbudget",
              "networkpolicy", "backup"]
    wrong = 0
    for path, text in (("base/omendb.yaml", render(args.helm, SERVER, server)),
                       ("monitoring/monitoring.yaml", render(args.helm, SERVER + MONITORING, ["monitoring"]))):
        where = os.path.join(HERE, path)
        if not args.check:
            with open(where, "w", encoding="utf-8") as file:
                file.write(text)
            continue
        with open(where, encoding="utf-8") as file:
            found = file.read()
        if found != text:
            wrong += 1
            sys.stderr.writelines(list(difflib.unified_diff(
                found.splitlines(True), text.splitlines(True), path, "the chart"))[:60])
    if wrong:
        sys.exit("generate: run deploy/kustomize/generate.py: %d files are not what the chart makes" % wrong)


if __name__ == "__main__":
    main()
