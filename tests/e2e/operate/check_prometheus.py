"""Rules, dashboard and metrics with Debian's promtool, and a live omend scraped by Debian's Prometheus.

SPDX-License-Identifier: Apache-2.0
"""

import http.server
import json
import os
import re
import sys
import threading

import numpy as np
from harness import ROOT, Load, Omend, check, folder, main, need, poll, read, run, wire
from prometheus_server import QUIET, RULES, Prometheus

DEPLOY = os.path.join(ROOT, "deploy")
ITEMS, TYPES, MAINTENANCE = wire.ITEMS, wire.TYPES, wire.MAINTENANCE
DIM, ROWS = 8, 20000
# What kube-state-metrics says of a pod; one alert looks at it.
CLUSTER = """# TYPE kube_pod_container_status_last_terminated_reason gauge
kube_pod_container_status_last_terminated_reason{%(pod)s,reason="OOMKilled"} 0
# TYPE kube_pod_container_status_restarts_total counter
kube_pod_container_status_restarts_total{%(pod)s} 0
""" % {"pod": 'namespace="db",pod="omendb-0",container="omendb"'}


def alert_names():
    return re.findall(r"^ +- alert: (\w+)$", read(RULES).decode(), re.M)


@check("the rules hold their tests")
def rules():
    promtool = need("promtool", "prometheus")
    names = alert_names()
    assert len(names) == len(set(names)) > 30, "an alert is there twice, or most are missing"
    run(promtool, "check", "rules", RULES)
    run(sys.executable, os.path.join(DEPLOY, "prometheus", "rules_test.py"), "--check")
    done = run(promtool, "test", "rules", RULES.replace(".yml", ".test.yml"))
    assert "SUCCESS" in done.stdout + done.stderr
    run(promtool, "check", "config", os.path.join(DEPLOY, "prometheus", "prometheus.yml"))
    page = read(os.path.join(ROOT, "docs", "alerts.md")).decode()
    told = re.findall(r"^### (Omendb\w+)$", page, re.M)
    assert sorted(told) == sorted(names), "docs/alerts.md and the rules differ: %s" % (
        sorted(set(told) ^ set(names)))
    for name in names:
        assert "docs/alerts.md#" + name.lower() in read(RULES).decode(), "no runbook: " + name
    return "%d alerts, each fires and is silent when it should, each explained" % len(names)


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # pylint: disable=invalid-name
        self.send_response(200)
        self.end_headers()
        self.wfile.write(CLUSTER.encode())

    def log_message(self, *_):
        pass


def cluster():
    """A page of metrics of somebody else, served until the process ends."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return "127.0.0.1:%d" % server.server_address[1]


class Traffic:
    """Everything that clients do, against one server."""

    def __init__(self, server, rows=ROWS):
        self.client = server.client()
        self.random = np.random.default_rng(7)
        self.vectors = self.random.standard_normal((rows, DIM)).astype(np.float32)
        fields = [TYPES.Field(name="body", type=8)]
        self.client.create("films", DIM, fields=fields)
        self.client.create("other", DIM, durability=2)
        self.stream = self.client.stream(timeout=3600)
        self.stream.open("films", "loader")
        self.seq = 0
        for at in range(0, rows, 2000):
            self.write(np.arange(at, at + 2000))
        self.stream.flush()
        self.stream.ack(self.seq)

    def write(self, ids):
        """A batch on the stream that stays open."""
        self.seq += 1
        metadata = [json.dumps({"n": int(i) % 100, "even": bool(i % 2 == 0),
                                "body": "word%d common" % (i % 50)}).encode() for i in ids]
        batch = wire.batch_of(self.vectors[ids], ids, seq=self.seq)
        batch.items.metadata.CopyFrom(TYPES.Metadata(json=metadata))
        self.stream.send(batch=batch)

    def search(self, **fields):
        row = self.vectors[self.random.integers(len(self.vectors))]
        return self.client.search("films", row, **fields)

    def find(self, *legs, **fields):
        return self.client.items.Search(
            ITEMS.SearchRequest(collection="films", legs=legs, limit=10, **fields), timeout=wire.PATIENCE)

    def text(self):
        return ITEMS.Leg(text=ITEMS.TextLeg(text="word%d common" % self.random.integers(50)))

    def vector(self):
        row = self.vectors[self.random.integers(len(self.vectors))]
        return ITEMS.Leg(vector=ITEMS.VectorLeg(vector=wire.column(row)))

    def bad_filter(self):
        try:
            self.search(filter="n = = 5")
        except wire.grpc.RpcError as error:
            assert error.code().name == "INVALID_ARGUMENT", error
        else:
            raise AssertionError("a bad filter was taken")

    def maintain(self, what, **fields):
        stub = self.client.maintenance
        request = getattr(MAINTENANCE, what + "Request")(**fields)
        operation = getattr(stub, what)(request, timeout=wire.PATIENCE)
        wait = MAINTENANCE.WaitOperationRequest(id=operation.id, timeout_ms=wire.PATIENCE * 1000)
        operation = stub.WaitOperation(wait, timeout=wire.PATIENCE)
        assert operation.state == MAINTENANCE.Operation.STATE_SUCCEEDED, operation
        return operation

    def trickle(self):
        """Upserts and waits for the acknowledgement: one thread only."""
        self.write(self.random.integers(0, len(self.vectors), 50))
        self.stream.ack(self.seq)

    def end(self):
        """A server that stops would wait for the stream."""
        self.stream.close()
        self.stream.rest()

    def jobs(self):
        """For Load: every plan of a search, writes, reads."""
        return [
            self.search,
            lambda: self.search(exact=True),
            lambda: self.search(filter="n < 3"),
            lambda: self.search(filter="even"),
            lambda: self.find(self.text()),
            lambda: self.find(self.text(), self.vector()),
            self.bad_filter,
            lambda: self.client.get("films", wire.ids_of(range(20))),
            lambda: self.client.add("other", self.vectors[:20]),
            self.trickle,
        ]


@check("the page of metrics is what Prometheus wants it to be")
def metrics_page():
    promtool = need("promtool", "prometheus")
    with Omend("--memory-limit=1GiB") as server:
        traffic = Traffic(server, 4000)
        with Load(traffic.jobs()) as load:
            load.reach(200)
        traffic.end()
        assert not load.failures, load.details
        status, headers, page = server.page("/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4"), headers
    done = run(promtool, "check", "metrics", stdin=page, check=False)
    said = (done.stdout + done.stderr).strip()
    assert done.returncode == 0 and not said, said
    families = re.findall(r"^# TYPE (\S+)", page, re.M)
    assert len(families) == len(set(families)), "a family is there twice"
    return "promtool has nothing to say about %d families, %d lines" % (len(families), page.count("\n"))


def selectors(expression):
    """The selectors of series in an expression: names with their matchers."""
    known = r"(?:omendb_|process_|kube_|up\b)"
    return re.findall(r"(?<![\w\"])(%s\w*(?:\{[^}]*\})?)" % known, expression)


def with_values(expression):
    """An expression of the dashboard with its variables filled in, as Grafana does."""
    for name, value in (("$job", ".*"), ("$instance", ".*"), ("$collection", ".*"),
                        ("$__rate_interval", "15s")):
        expression = expression.replace(name, value)
    return expression


def dashboard_queries():
    with open(os.path.join(DEPLOY, "grafana", "omendb.json"), encoding="utf-8") as file:
        board = json.load(file)
    panels = [(panel["title"], target["expr"]) for panel in board["panels"]
              for target in panel.get("targets", [])]
    variables = [v["query"]["query"] for v in board["templating"]["list"] if v["type"] == "query"]
    return board, panels, variables, [a["expr"] for a in board["annotations"]["list"]]


def without_data(prometheus, expressions):
    """Those of [(name, expression)] that give nothing."""
    return [(name, expression) for name, expression in expressions if not prometheus.query(expression)]


def wait_for_data(prometheus, expressions):
    try:
        poll("data for every query", lambda: not without_data(prometheus, expressions))
    except AssertionError:
        missing = without_data(prometheus, expressions)
        assert not missing, "%d without data: %s" % (len(missing), missing)


def check_board(prometheus):
    """Every panel, variable and annotation of the dashboard; how many queries."""
    run(sys.executable, os.path.join(DEPLOY, "grafana", "dashboard.py"), "--check")
    board, panels, variables, notes = dashboard_queries()
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in board["panels"]]
    assert len(places) == len(set(places)) and len({p["id"] for p in board["panels"]}) == len(places)
    wait_for_data(prometheus, [(title, with_values(query)) for title, query in panels])
    for query in notes:
        prometheus.query(with_values(query))
    for query in variables:
        metric, label = re.fullmatch(r"label_values\((.*), (\w+)\)", query).groups()
        values = prometheus.api("label/%s/values" % label, **{"match[]": with_values(metric)})
        assert values, "no values for " + query
    return len(panels) + len(notes) + len(variables)


def check_alerts(prometheus):
    """Every alert is evaluated, over series that are there; returns how many."""
    found = prometheus.rules()
    assert sorted(rule["name"] for rule in found) == sorted(alert_names())
    sources = [(rule["name"], part) for rule in found for part in selectors(rule["query"])]
    assert {name for name, _ in sources} == {rule["name"] for rule in found}
    wait_for_data(prometheus, sources)
    poll("all rules evaluated", lambda: all(rule["health"] == "ok" for rule in prometheus.rules()))
    noise = {pair for pair in prometheus.fired() if pair[0] in QUIET}
    assert not noise, "alerts fire though nothing is wrong: %s" % noise
    return len(found)


@check("Prometheus scrapes a live omend under load: every panel and alert has data, none fires")
def live():
    backups = folder("backups-")
    with Omend("--memory-limit=1GiB", "--backup-dir=" + backups, "--recall-sample=1",
               "--slow-log-ms=1") as server:
        with Prometheus({"db": server.admin}, {"cluster": cluster()}) as prometheus:
            prometheus.wait_up()
            traffic = Traffic(server)
            with Load(traffic.jobs()) as load:
                load.reach(500)
                traffic.maintain("Checkpoint")
                traffic.maintain("Backup", name="first")
                queries = check_board(prometheus)
                alerts = check_alerts(prometheus)
                up = prometheus.query("up == 1")
            traffic.end()
            assert not load.failures, load.details
            seconds = prometheus.value('max_over_time(scrape_duration_seconds{job="omendb"}[1h])')
            series = prometheus.value('max_over_time(scrape_samples_scraped{job="omendb"}[1h])')
    return "%d targets up, %d dashboard queries and %d alerts have data; %d series, slowest scrape %.0f ms" % (
        len(up), queries, alerts, series, seconds * 1000)


if __name__ == "__main__":
    main()
