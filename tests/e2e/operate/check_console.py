"""The console: who gets in, whether its answers are those of gRPC, and the page in a real browser.

SPDX-License-Identifier: Apache-2.0
"""

import http.client
import json
import os
import shutil
import threading

import grpc
import numpy as np
from harness import (
    OMEND, PATIENCE, Load, Omend, check, folder, main, need, poll, refused, run, skip, wire, write,
)

HERE = os.path.dirname(os.path.abspath(__file__))
TYPES, ITEMS, COLLECTIONS = wire.TYPES, wire.ITEMS, wire.COLLECTIONS
MARK = {"X-Omen-Console": "1"}
JSON = {"Content-Type": "application/json"}
WORDS = (
    "amber basin cedar delta ember fjord grove harbor island jasper kettle lagoon meadow nectar orchid "
    "pebble quartz river summit timber umber valley willow xenon yarrow zephyr"
).split()


def ask(server, path, body=None, token=None, headers=None, method=None, host=None):
    """(status, JSON or text) of a request of the API, with its header unless headers are given."""
    address, port = server.admin.rsplit(":", 1)
    connection = http.client.HTTPConnection(address.strip("[]"), int(port), timeout=PATIENCE)
    sent = dict(MARK if headers is None else headers)
    data = None
    if body is not None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {**JSON, **sent}
    if token is not None:
        sent["Authorization"] = "Bearer " + token
    connection.putrequest(
        method or ("GET" if data is None else "POST"), path, skip_host=True, skip_accept_encoding=True
    )
    if host != "":
        connection.putheader("Host", host or server.admin)
    for name, value in sent.items():
        for one in value if isinstance(value, list) else [value]:
            connection.putheader(name, one)
    if data is not None and "Content-Length" not in sent:
        connection.putheader("Content-Length", str(len(data)))
    connection.endheaders(data)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    if answer.headers.get("Content-Type", "").startswith("application/json"):
        return answer.status, json.loads(text)
    return answer.status, text


def api(server, path, body=None, **keywords):
    """The answer of a call that must succeed."""
    status, answer = ask(server, "/console/api/" + path, body, **keywords)
    assert status == 200, (path, status, answer)
    return answer


def fails(server, path, body, status, reason, **keywords):
    got, answer = ask(server, "/console/api/" + path, body, **keywords)
    assert got == status, (path, body, got, answer)
    assert answer["error"]["reason"] == reason, (path, body, answer)


# ---- Data -----------------------------------------------------------------------------------


def rows_of(count, dim, seed):
    """Vectors around a few centres, and metadata with words of which some are common."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(12, dim)).astype(np.float32)
    kind = rng.integers(0, 12, count)
    vectors = centres[kind] + 0.35 * rng.normal(size=(count, dim)).astype(np.float32)
    rows = []
    for i in range(count):
        words = [WORDS[j] for j in rng.integers(0, len(WORDS), 9)]
        rows.append(json.dumps({
            "title": "%s %s %s" % (words[0].title(), words[1], words[2]),
            "body": " ".join(words[3:]),
            "kind": WORDS[kind[i]],
            "price": round(float(rng.gamma(3, 14)), 2),
            "stock": int(rng.integers(0, 400)),
            "large": 2**53 + i * 2 + 1,
        }).encode())
    return vectors, rows


def fill(client, name, count, dim=64, seed=1, string_ids=False, fields=(), metric=3):
    client.create(name, dim, metric=metric, id_type=3 if string_ids else 1, fields=list(fields))
    vectors, rows = rows_of(count, dim, seed)
    ids = ["item-%05d" % i for i in range(count)] if string_ids else range(count)
    ids = list(ids)
    for at in range(0, count, 2000):
        part = slice(at, at + 2000)
        items = TYPES.ItemBatch(
            ids=wire.ids_of(ids[part]), vectors=wire.column(vectors[part]),
            metadata=TYPES.Metadata(json=rows[part]),
        )
        client.write(name, ITEMS.WriteBatch(items=items))
    return vectors, rows


TEXT_FIELDS = (
    TYPES.Field(name="title", type=8, weight=2),
    TYPES.Field(name="body", type=8),
)


def optimize(server, name, **keywords):
    """One segment, everything in its graph; the operation's id."""
    started = api(server, "operations/start", {"kind": "optimize", "target": name}, **keywords)

    def ended():
        states = {o["id"]: o["state"] for o in api(server, "operations", **keywords)["operations"]}
        assert states[started["id"]] in ("queued", "running", "succeeded"), states
        return states[started["id"]] == "succeeded"

    poll("%s is optimized" % name, ended)
    assert api(server, "collection?name=" + name, **keywords)["stats"]["backlog"] == 0
    return started["id"]


# ---- Checks ---------------------------------------------------------------------------------


@check("the console lets in who may, and nobody else")
def gate():
    with Omend("--console=local", data=None) as server:
        state = "/console/api/state"
        port = server.admin.rsplit(":", 1)[1]
        good = ["localhost:" + port, "127.0.0.1:" + port, "127.8.9.10", "LOCALHOST", "[::1]:" + port]
        evil = ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "127.evil", "", "localhost:x",
                "[::2]", "10.0.0.1:" + port, "localhost:80:90", "[::1", "127.0.0.1@evil.example", "127"]
        for host in good:
            assert ask(server, state, host=host)[0] == 200, host
            assert ask(server, "/console", host=host, headers={})[0] == 200, host
        for host in evil:
            for path in (state, "/console", "/"):
                status = ask(server, path, host=host)[0]
                assert status in (400, 403), (host, path, status)
        cases = [
            ({}, 403), ({"X-Omen-Console": "2"}, 403), ({"X-Omen-Console": ["1", "1"]}, 403),
            ({**MARK, "Origin": "http://evil.example"}, 403),
            ({**MARK, "Origin": "null"}, 403),
            ({**MARK, "Origin": "http://" + server.admin + ".evil"}, 403),
            ({**MARK, "Origin": "http://" + server.admin}, 200),
            ({**MARK, "Sec-Fetch-Site": "cross-site"}, 403),
            ({**MARK, "Sec-Fetch-Site": "same-site"}, 403),
            ({**MARK, "Sec-Fetch-Site": "same-origin"}, 200),
            ({**MARK, "X-Forwarded-For": "10.1.2.3"}, 403),
            ({**MARK, "Forwarded": "for=10.1.2.3"}, 403),
            ({**MARK, "Via": "1.1 proxy"}, 403),
            # A proxy's line beside the client's own.
            ({**MARK, "X-Forwarded-For": ["127.0.0.1", "10.1.2.3"]}, 403),
            ({**MARK, "Forwarded": ["for=127.0.0.1", "for=10.1.2.3"]}, 403),
            ({**MARK, "Via": ["1.1 one", "1.1 two"]}, 403),
            ({**MARK, "X-Real-IP": "10.1.2.3"}, 403),
            ({**MARK, "X-Forwarded-Proto": "https"}, 403),
            ({**MARK, "Origin": ["http://" + server.admin, "http://evil.example"]}, 403),
            ({**MARK, "Sec-Fetch-Site": ["same-origin", "cross-site"]}, 403),
        ]
        for headers, status in cases:
            got = ask(server, state, headers=headers)
            assert got[0] == status, (headers, got)
        for method in ("OPTIONS", "PUT", "DELETE", "POST", "PATCH"):
            assert ask(server, state, method=method)[0] == 405, method
        assert ask(server, "/console/api/search", {})[0] == 400
        assert ask(server, "/console/api/search", b"{}", headers={**MARK, "Content-Type": "text/plain"})[0] == 415
        assert ask(server, "/console/api/search", b"", headers={**MARK, "Content-Length": str(3 << 20)})[0] == 413
        assert ask(server, "/console/api/nothing")[0] == 404
        assert ask(server, "/console/../metrics")[0] == 404
        policy = server.page("/console")[1]["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert server.page("/console")[1]["X-Frame-Options"] == "DENY"
        assert server.page("/readyz")[0] == 200
    with Omend("--console=any", data=None) as server:  # nothing is asked for: a name could have been rebound
        for host, status in (("10.0.0.1", 200), ("[2001:db8::1]:7701", 200), ("localhost", 200), ("evil.example", 403),
                             ("", 400)):
            assert ask(server, state, host=host)[0] == status, host
    with Omend("--console=off", data=None) as server:
        assert ask(server, "/console")[0] == 404 and ask(server, state)[0] == 404
    done = refused("--console=everybody")
    assert done.returncode == 64 and "console" in done.stderr, done.stderr
    done = run(OMEND, "--listen=127.0.0.1:0", "--admin-listen=0.0.0.0:0", "--insecure-expose=false",
               "--console=any", check=False)
    assert done.returncode == 78, done.stderr
    return "%d hosts, %d sets of headers, 5 methods; off is off" % (len(good) + len(evil), len(cases))


@check("searches of the console are those of gRPC")
def answers():
    with Omend("--console=local", "--slow-log-ms=1", "--search-workers=2") as server:
        client = server.client()
        vectors, rows = fill(client, "goods", 4000, fields=TEXT_FIELDS, string_ids=True)
        fill(client, "plain", 500, dim=16, seed=2, metric=1)
        client.create("empty", 8)
        optimize(server, "goods")
        shown = api(server, "collections")["collections"]
        assert [c["name"] for c in shown] == ["empty", "goods", "plain"], shown
        assert shown[1]["stats"]["items"] == 4000 and shown[1]["config"]["metric"] == "cosine", shown[1]
        fields = {f["name"]: f["type"] for f in api(server, "collection?name=goods")["fields"]}
        assert fields == {"title": "text", "body": "text", "kind": "string", "price": "double", "stock": "int64",
                          "large": "int64"}, fields
        compared = 0
        for i in range(20):
            query = [round(float(x), 4) for x in vectors[i * 7] + 0.1]
            filters = ["", "price < 40", "kind IN ('amber', 'cedar') AND stock > 100", "price > 1e9"][i % 4]
            want = client.search("goods", np.array(query, np.float32), filter=filters, limit=15)
            got = api(server, "search", {"collection": "goods", "vector": query, "filter": filters, "limit": 15})
            assert [hit["id"] for hit in got["hits"]] == list(want.ids.str), (i, got)
            assert np.allclose([hit["distance"] for hit in got["hits"]], want.distances, rtol=1e-5, atol=1e-6)
            for hit in got["hits"]:  # every digit of a large number
                assert json.loads(hit["metadata"]) == json.loads(rows[int(hit["id"][5:])]), hit
            explain = got["explain"]
            stages = sum(stage["ns"] for stage in explain["stages"])
            assert abs(stages - explain["total_ns"]) <= explain["total_ns"] * 0.01, explain
            if filters:
                assert explain["matches"] == api(server, "items", {"collection": "goods", "filter": filters})["matches"]
            compared += len(got["hits"])
        like = api(server, "search", {"collection": "goods", "like": ["item-00007"], "limit": 5})
        leg = ITEMS.Leg(like=TYPES.Ids(str=["item-00007"]))
        want = client.items.Search(ITEMS.SearchRequest(collection="goods", legs=[leg], limit=5), timeout=PATIENCE)
        assert [hit["id"] for hit in like["hits"]] == list(want.ids.str)
        both = {"collection": "goods", "like": ["item-00007"], "text": "amber river", "limit": 9}
        assert api(server, "search", both)["explain"]["plan"] == "hybrid"
        assert all("score" in hit for hit in api(server, "search", both)["hits"])
        listed = api(server, "items", {"collection": "goods", "order_by": "price", "limit": 30})
        prices = [json.loads(item["metadata"])["price"] for item in listed["items"]]
        assert prices == sorted(prices) and len(prices) == 30 and listed["matches"] == 4000, prices
        hostile(server)
        history = poll("two samples", lambda: _history(server, 2))
        assert all(len(column) == len(history["t"]) for column in history.values())
        last = history["t"][-1]
        assert all(t > last for t in api(server, "history?after=%d" % last)["t"])
        one = optimize(server, "plain")
        fails(server, "operations/cancel", {"id": one + "0"}, 404, "OPERATION_NOT_FOUND")
    return "%d hits of 20 searches alike, with filters, by id, hybrid, listed" % compared


def _history(server, count):
    history = api(server, "history")
    return history if len(history["t"]) >= count else None


def hostile(server):
    """Requests that are wrong: each is told what, and the server lives on."""
    long = "x" * 70000
    for body, status, reason in [
        ({}, 400, "NAME"),
        ({"collection": "goods"}, 400, "MALFORMED"),
        ({"collection": "goods", "vector": []}, 400, "TYPE"),
        ({"collection": "goods", "vector": [1, 2]}, 400, "DIM_MISMATCH"),
        ({"collection": "goods", "vector": [1e300] * 64}, 400, "NOT_FINITE"),
        ({"collection": "goods", "vector": ["1"] * 64}, 400, "NOT_FINITE"),
        ({"collection": "goods", "like": [7]}, 400, "TYPE"),
        ({"collection": "plain", "like": ["x"]}, 400, "TYPE"),
        ({"collection": "plain", "like": ["18446744073709551615"]}, 400, "TYPE"),
        ({"collection": "plain", "like": ["99999999999999999999"]}, 400, "TYPE"),
        ({"collection": "plain", "like": [str(10**9)]}, 404, "ITEM_NOT_FOUND"),
        ({"collection": "plain", "like": []}, 400, "LIMIT"),
        ({"collection": "plain", "like": ["1"] * 1025}, 400, "LIMIT"),
        ({"collection": "goods", "like": ["item-00001"], "vector": [0] * 64}, 400, "MALFORMED"),
        ({"collection": "goods", "like": ["item-00001"], "filter": "price <"}, 400, "FILTER_SYNTAX"),
        ({"collection": "goods", "like": ["item-00001"], "filter": long}, 400, "LIMIT"),
        ({"collection": "goods", "text": long}, 400, "LIMIT"),
        ({"collection": "goods", "like": ["item-00001"], "limit": 1001}, 400, "LIMIT"),
        ({"collection": "goods", "like": ["item-00001"], "limit": -1}, 400, "TYPE"),
        ({"collection": "goods", "like": ["item-00001"], "limit": 1.5}, 400, "TYPE"),
        ({"collection": "goods", "like": ["item-00001"], "more": 1}, 400, "MALFORMED"),
        ({"collection": "goods", "like": ["item-00001"], "fusion": "none"}, 400, "MALFORMED"),
        ({"collection": "goods", "like": "item-00001"}, 400, "LIMIT"),
        ({"collection": "no-such-thing", "text": "amber"}, 404, "COLLECTION_NOT_FOUND"),
        ({"collection": "y" * 100, "text": "amber"}, 400, "NAME"),
        ({"collection": 7}, 400, "TYPE"),
        ([], 400, "MALFORMED"),
        (b"{\"collection\":\"goods\",\"collection\":\"plain\"}", 400, "MALFORMED"),
        (b"{\"collection\":\"\xff\"}", 400, "MALFORMED"),
        (b"[" * 100000, 400, "MALFORMED"),
        (b"", 400, "MALFORMED"),
    ]:
        fails(server, "search", body, status, reason)
    fails(server, "items", {"collection": "goods", "order_by": "nothing"}, 400, "FIELD")
    fails(server, "operations/start", {"kind": "explode"}, 400, "MALFORMED")
    fails(server, "operations/start", {"kind": "backup", "target": "../x"}, 409, "NO_BACKUP_DIR")
    fails(server, "operations/cancel", {"id": "nothing"}, 404, "OPERATION_NOT_FOUND")
    assert ask(server, "/console/api/collections?after=" + "z" * 64)[0] == 400
    assert ask(server, "/console/api/history?after=soon")[0] == 400


@check("omend ends with 0 while the console is used")
def stop_under_load():
    outcomes = {}
    for _ in range(3):
        with Omend("--console=local", "--search-workers=2", "--grace-ms=500") as server:
            fill(server.client(), "goods", 2000, string_ids=True)
            over = threading.Event()

            def use(path, body, server=server, over=over):
                while not over.is_set():
                    try:
                        status = ask(server, "/console/api/" + path, body)[0]
                    except (OSError, http.client.HTTPException):
                        status = "closed"
                        over.wait(0.01)
                    outcomes[status] = outcomes.get(status, 0) + 1

            calls = [("search", {"collection": "goods", "like": ["item-00001"], "exact": True, "limit": 50}),
                     ("items", {"collection": "goods", "order_by": "price", "limit": 100}),
                     ("collections", None), ("history", None), ("operations", None)]
            threads = [threading.Thread(target=use, args=call) for call in calls * 2]
            for thread in threads:
                thread.start()
            before = outcomes.get(200, 0)
            poll("calls are answered", lambda before=before: outcomes.get(200, 0) >= before + 40)
            server.terminate()
            code = server.wait()
            over.set()
            for thread in threads:
                thread.join()
            assert code == 0, "omend ended with %d: %s" % (code, server.read_log()[-2000:])
            server.close()
    assert set(outcomes) <= {200, 503, "closed"}, outcomes
    return "3 times, %d calls answered, %d refused or cut" % (
        outcomes[200], sum(outcomes.values()) - outcomes[200])


def access_stub(server, token):
    try:
        messages, services = grpc.protos_and_services("omen/v1/access.proto")
    except (ImportError, RuntimeError, TypeError) as error:
        skip("no access.proto here: %s" % error)
    return messages, services.AccessStub(server.client(token=token).channel)


def slow_calls(server, client, reader, admin):
    """Who else calls is for administrators; that a collection has slow calls is for its readers."""

    def of_red(token):
        calls = api(server, "slow", token=token)["calls"]
        return [c for c in calls if c["collection"] == "red-two" and c["method"] == "BatchWrite"]

    def one_more():
        client.add("red-two", wire.gaussian(1, 4000, 8), range(4000))
        return of_red(admin.secret)

    seen = poll("a slow call", one_more)
    assert all(c["principal"] and c["peer"] and c["request_id"] for c in seen), seen
    seen = of_red(reader.secret)
    assert seen and not any(c["principal"] or c["peer"] or c["request_id"] or c["why"] for c in seen), seen


@check("roles hold in the console as they hold for gRPC")
def roles():
    place = folder("console-")
    root = "omen_" + "r" * 43
    keys = write(os.path.join(place, "bootstrap.key"), root + "\n", 0o600)
    with Omend("--catalog=" + os.path.join(place, "catalog.db"), "--bootstrap-key-file=" + keys,
               "--slow-log-ms=1") as server:
        client = server.client(token=root)
        for name in ("red-one", "red-two", "blue"):
            fill(client, name, 50, dim=8, string_ids=False)
        messages, access = access_stub(server, root)

        def key(name, role, pattern):
            request = messages.CreateKeyRequest(
                name=name, grants=[messages.Grant(role=role, collection=pattern)])
            return access.CreateKey(request, timeout=PATIENCE)

        reader, manager, admin = key("reader", 1, "red-*"), key("manager", 3, "blue"), key("boss", 3, "*")
        for token, reason in ((None, "CREDENTIAL_MISSING"), ("omen_" + "x" * 43, "CREDENTIAL_INVALID")):
            for path in ("state", "history", "collections", "operations", "slow", "collection?name=blue"):
                fails(server, path, None, 401, reason, token=token)
            fails(server, "search", {"collection": "blue", "like": ["1"]}, 401, reason, token=token)
            fails(server, "operations/start", {"kind": "checkpoint"}, 401, reason, token=token)
        assert ask(server, "/console", headers={})[0] == 200  # the page holds nothing
        you = api(server, "state", token=reader.secret)
        assert you["you"]["name"] == "reader" and not you["you"]["admin"] and you["database"] is None, you
        names = [c["name"] for c in api(server, "collections", token=reader.secret)["collections"]]
        assert names == ["red-one", "red-two"], names
        assert api(server, "search", {"collection": "red-one", "like": ["1"]}, token=reader.secret)["hits"]
        for name in ("blue", "nothing-here"):  # whether it is there is not told
            fails(server, "collection?name=" + name, None, 403, "ROLE", token=reader.secret)
            fails(server, "search", {"collection": name, "like": ["1"]}, 403, "ROLE", token=reader.secret)
            fails(server, "items", {"collection": name}, 403, "ROLE", token=reader.secret)
        fails(server, "operations/start", {"kind": "optimize", "target": "red-one"}, 403, "ROLE", token=reader.secret)
        fails(server, "operations/start", {"kind": "optimize", "target": "red-one"}, 403, "ROLE", token=manager.secret)
        for kind in ("checkpoint", "backup", "restore", "verify"):
            fails(server, "operations/start", {"kind": kind, "target": "b"}, 403, "ROLE", token=manager.secret)
        slow_calls(server, client, reader, admin)
        mine = api(server, "operations/start", {"kind": "optimize", "target": "blue"}, token=manager.secret)
        other = api(server, "operations/start", {"kind": "checkpoint"}, token=admin.secret)
        seen = [o["id"] for o in api(server, "operations", token=manager.secret)["operations"]]
        assert mine["id"] in seen and other["id"] not in seen, seen
        assert api(server, "operations", token=reader.secret)["operations"] == []
        fails(server, "operations/cancel", {"id": other["id"]}, 404, "OPERATION_NOT_FOUND", token=manager.secret)
        assert api(server, "state", token=admin.secret)["database"]["state"] == "writable"
        access.RevokeKey(messages.RevokeKeyRequest(key="reader"), timeout=PATIENCE)
        fails(server, "state", None, 401, "CREDENTIAL_REVOKED", token=reader.secret)
        secrets = [root, reader.secret, manager.secret, admin.secret]
        log = server.read_log() + json.dumps(api(server, "state", token=admin.secret))
        assert not any(secret in log for secret in secrets), "a secret in the log or an answer"
        plan = {"what": "signIn", "key": manager.secret, "wrong_key": reader.secret, "visible": ["blue"],
                "name": "manager"}
        signed = browse(server, plan, optional=True)
    return "no, wrong, revoked key; reader, manager, administrator%s" % (signed and "; signed in by the page")


def browse(server, plan, optional=False):
    """Runs console_page.mjs; what it saw, or None when there is no browser and that is fine."""
    modules = os.environ["OMEN_E2E_MODULES"]
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    playwright = os.path.isdir(os.path.join(modules, "node_modules", "playwright-core"))
    if optional and not (chromium and shutil.which("node") and playwright):
        return None
    need("chromium", "chromium")
    node = need("node", "nodejs")
    if not playwright:
        skip("no playwright-core; make e2e installs it from npm")
    shots = os.environ.get("OMEN_E2E_SHOTS") or folder("shots-")
    plan = {"url": "http://" + server.admin, "chromium": chromium, "modules": modules, "shots": shots, **plan}
    path = write(os.path.join(folder("plan-"), "plan.json"), json.dumps(plan))
    env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    done = run(node, os.path.join(HERE, "console_page.mjs"), path, timeout=400, check=False, env=env)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@check("the page in Chromium: desktop and phone, light and dark, busy, searches, faults")
def page():
    need("chromium", "chromium")
    with Omend("--console=local", "--slow-log-ms=1", "--search-workers=2") as server:
        client = server.client()
        vectors, _ = fill(client, "goods", 6000, fields=TEXT_FIELDS, string_ids=True)
        fill(client, "articles-en", 2500, dim=96, seed=3, fields=TEXT_FIELDS)
        fill(client, "faces", 3000, dim=32, seed=4, metric=1)
        client.create("inbox", 16)
        for name in ("goods", "articles-en", "faces"):
            optimize(server, name)
        small = rows_of(40, 16, 5)[0]
        counter = iter(range(10**9))

        def write_some():
            client.add("inbox", small, [next(counter) * 40 % 20000 + i for i in range(40)])

        def search_some(i=iter(range(10**9))):
            n = next(i)
            client.search("goods", vectors[n % 6000], filter="price < 60" if n % 3 == 0 else "")

        wanted = {"collection": "goods", "like": ["item-00011"], "filter": "price < 60 AND stock > 20"}
        expected = [hit["id"] for hit in api(server, "search", {**wanted, "limit": 10})["hits"]]
        plan = {"what": "whole", "collections": 4, "samples": 5, "search": {
            "collection": "goods", "like": "item-00011", "filter": wanted["filter"], "expected": expected,
            "text": "amber river"}}
        with Load([search_some, write_some]) as load:
            load.reach(50)
            seen = browse(server, plan)
        assert not load.failures, load.failures
    with Omend("--console=local", data=None) as server:
        away = browse(server, {"what": "nothing"})
    return "%d views, %d screenshots, %d requests, none to elsewhere, no complaint of the browser" % (
        len(seen["views"]) + len(away["views"]), seen["shots"] + away["shots"], seen["requests"] + away["requests"])


if __name__ == "__main__":
    main()
