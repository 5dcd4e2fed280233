#!/usr/bin/env python3
"""chart_test.py OMEND OMEN ROOT VERSION - the Helm chart names options, commands and versions that are there.

Standard library only; what needs helm or a cluster is in tests/e2e/operate. SPDX-License-Identifier: Apache-2.0
"""
import glob
import json
import os
import re
import subprocess
import sys
import unittest

OMEND, OMEN, ROOT, VERSION = sys.argv[1:5]
CHART = os.path.join(ROOT, "deploy", "helm", "omendb")


def read(*parts):
    with open(os.path.join(CHART, *parts), encoding="utf-8") as file:
        return file.read()


def shown(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


class Chart(unittest.TestCase):
    def test_options_of_omend(self):
        known = set(re.findall(r"^ *--([a-z][a-z0-9-]*)", shown(OMEND, "--help"), re.M))
        self.assertGreater(len(known), 30)
        written = set(re.findall(r"^([a-z][a-z0-9-]*) = ", read("templates", "_config.tpl"), re.M))
        self.assertLessEqual({"listen", "data-dir", "tls-cert", "bootstrap-key-file", "backup-dir"}, written)
        self.assertEqual(written - known, set())
        own = read("templates", "_check.tpl").split('define "omendb.ownOptions"')[1].split("toJson")[0]
        refused = set(re.findall(r'"([a-z][a-z-]*)" "[^"]+"', own))
        self.assertEqual(refused - known, set())
        self.assertEqual(written - refused, set(), "options that server.config could set a second time")

    def test_commands_of_omen(self):
        text = "".join(read("templates", name) for name in ("backup.yaml", "restore.yaml", "tests/round-trip.yaml"))
        lines = re.findall(r"args: \[([a-z]+), (.*)", text)
        self.assertEqual({name for name, _ in lines},
                         {"backup", "verify", "backups", "import", "search", "get", "drop"})
        lines.append(("restore", text.split("- restore\n")[1].split("resources:")[0]))
        for name, rest in lines:
            known = set(re.findall(r"--([a-z][a-z-]*)", shown(OMEN, "help", name)))
            self.assertEqual(set(re.findall(r"--([a-z][a-z-]*)", rest)) - known, set(), name)

    def test_versions_are_the_project_s(self):
        chart = read("Chart.yaml")
        self.assertIn('\nappVersion: "%s"\n' % VERSION, chart)
        self.assertIn("\nversion: %s\n" % VERSION, chart)

    def test_the_schema_knows_every_value(self):
        """Names of values.yaml at the top, and that nothing unknown is taken."""
        schema = json.loads(read("values.schema.json"))
        names = set(re.findall(r"^([a-zA-Z]+):", read("values.yaml"), re.M))
        self.assertEqual(names - set(schema["properties"]), set())
        self.assertEqual(set(schema["properties"]) - names, {"global"})

        def closed(node, where):
            if isinstance(node, dict):
                if "properties" in node:
                    self.assertIn("additionalProperties", node, where)
                for key, value in node.items():
                    closed(value, "%s.%s" % (where, key))
        closed({key: value for key, value in schema.items() if key != "definitions"}, "values")

    def test_values_that_templates_use_exist(self):
        """A misspelt .Values.x.y would silently be empty."""
        values = read("values.yaml")
        used = set()
        for path in glob.glob(os.path.join(CHART, "templates", "**", "*.*"), recursive=True):
            with open(path, encoding="utf-8") as file:
                used |= set(re.findall(r"\.Values\.([a-zA-Z]+(?:\.[a-zA-Z]+)*)", file.read()))
        self.assertGreater(len(used), 50)
        for path in used:
            *parents, last = path.split(".")
            self.assertRegex(values, r"(?m)^ {%d}%s:" % (2 * len(parents), last), path)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
