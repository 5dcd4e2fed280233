"""Debian's Prometheus over some omends, for the checks: configuration, targets, queries, alerts.

The rules are those of deploy/prometheus. `faster` divides their times (what an alert waits, the windows of its
rates), so that a check takes seconds; promtool tests them as they are. SPDX-License-Identifier: Apache-2.0
"""

import json
import os
import re
import urllib.parse

from harness import ROOT, Child, folder, free_port, http_get, need, poll, write

RULES = os.path.join(ROOT, "deploy", "prometheus", "omendb.rules.yml")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# Alerts that say something about the server, not about how fast or full this machine is.
QUIET = set("""OmendbDown OmendbNotReady OmendbRestarts OmendbOomKilled OmendbAcceptFailures OmendbErrors
    OmendbInternalErrors OmendbRefuses OmendbDataDamaged OmendbNotWritable OmendbMaintenanceFailed OmendbBackupOld
    OmendbMemoryRefusals OmendbCertificateEnds OmendbCertificateEndsSoon OmendbReloadFailed OmendbLogLinesLost
    OmendbTenantAtLimit OmendbDurableLate OmendbMaintenanceHangs OmendbLogLong""".split())
LEAST = 4  # seconds of a window: four scrapes
CONFIG = """
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%(folder)s/rules.yml]
scrape_configs:
- job_name: omendb
  file_sd_configs: [{files: [%(folder)s/targets.json], refresh_interval: 1s}]
- job_name: cluster
  file_sd_configs: [{files: [%(folder)s/others.json], refresh_interval: 1s}]
"""


def faster(rules, factor):
    """The rules with all times divided."""

    def divided(match, least):
        return max(least, int(match.group(2)) * SECONDS[match.group(3)] // factor)

    rules = re.sub(r"(\[)(\d+)([smhd])\]", lambda m: "[%ds]" % divided(m, LEAST), rules)
    return re.sub(r"( for: )(\d+)([smhd])\b", lambda m: "%s%ds" % (m.group(1), divided(m, 1)), rules)


class Prometheus:
    """Scrapes every second; leaving a `with` ends it. targets: {name of the instance: host:port}."""

    def __init__(self, targets=None, others=None, factor=60):
        program = need("prometheus", "prometheus")
        self.folder = folder("prometheus-")
        with open(RULES, encoding="utf-8") as file:
            write(self._path("rules.yml"), faster(file.read(), factor))
        write(self._path("prometheus.yml"), CONFIG % {"folder": self.folder})
        self.targets = dict(targets or {})
        self._place("others.json", others or {})
        self._place("targets.json", self.targets)
        self.address = "127.0.0.1:%d" % free_port()
        self.child = Child(
            program, "--config.file=" + self._path("prometheus.yml"), "--log.level=warn",
            "--storage.tsdb.path=" + self._path("data"), "--web.listen-address=" + self.address,
        )
        self.child.until("is ready", lambda: http_get(self.address + "/-/ready")[0] == 200)

    def _path(self, name):
        return os.path.join(self.folder, name)

    def _place(self, name, targets):
        """Prometheus reads these files again when they change: they are replaced whole."""
        groups = [{"targets": [where], "labels": {"instance": who}} for who, where in targets.items()]
        write(self._path(name + ".new"), json.dumps(groups))
        os.rename(self._path(name + ".new"), self._path(name))

    def target(self, name, address):
        """Scrapes this address as this instance from now on."""
        self.targets[name] = address
        self._place("targets.json", self.targets)

    def api(self, path, **arguments):
        status, _, text = http_get(
            self.address + "/api/v1/" + path + "?" + urllib.parse.urlencode(arguments, doseq=True)
        )
        answer = json.loads(text)
        assert status == 200 and answer["status"] == "success", "%s: %s" % (arguments, text)
        assert not answer.get("warnings"), answer["warnings"]
        return answer["data"]

    def query(self, expression):
        """[(labels, number)] of an instant query."""
        return [(found["metric"], float(found["value"][1]))
                for found in self.api("query", query=expression)["result"]]

    def value(self, expression):
        """The one number of a query, or None."""
        found = self.query(expression)
        assert len(found) < 2, "%s: %s" % (expression, found)
        return found[0][1] if found else None

    def all_up(self, names=None):
        """Whether every target has been scraped well, the newest address of each."""
        active = self.api("targets", state="active")["activeTargets"]
        health = {t["labels"]["instance"]: t["health"] for t in active
                  if t["labels"]["job"] != "omendb"
                  or self.targets.get(t["labels"]["instance"]) in t["scrapeUrl"]}
        wanted = set(names or self.targets)
        return wanted <= set(health) and all(health[name] == "up" for name in wanted)

    def wait_up(self, names=None):
        poll("all targets are up", lambda: self.all_up(names))

    def rules(self):
        """All rules as Prometheus sees them: name, query, health, lastError."""
        return [rule for group in self.api("rules")["groups"] for rule in group["rules"]]

    def fired(self):
        """{(alert, instance or pod)} of all alerts that have fired since the start, also if only for a second."""
        found = self.query('max_over_time(ALERTS{alertstate="firing"}[1h])')
        return {(m["alertname"], m.get("instance", m.get("pod"))) for m, _ in found}

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.child.end()
