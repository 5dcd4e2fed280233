"""Who may do what: every RPC of the server, for every role, on every kind of collection, with every kind of
credential. A method that has no line in RPCS fails the check.

SPDX-License-Identifier: Apache-2.0
"""

import fnmatch
import json
import os
import time

import grpc
import tokens
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from harness import (
    PATIENCE, Authority, Failure, Omend, check, folder, main, poll, read, samples, wire, write,
)

wire.HEALTH = health_pb2
wire.REFLECTION = reflection_pb2
ROLES = ["read", "write", "manage"]
NUMBERS = {"read": 1, "write": 2, "manage": 3}
PATTERNS = ["alpha", "al*", "beta", "*"]
COLLECTIONS = ["alpha", "alpine", "beta", "gamma"]  # alpine and gamma are not there
THERE = {"alpha", "beta"}
BOOT = "boot-key-0123456789-abcdefghijklmnopqrstuvwxyz"
SECRET = "the secret that tokens of this check are signed with"
REFUSED = {"UNAUTHENTICATED", "PERMISSION_DENIED"}

A, C, I, M = wire.ACCESS, wire.COLLECTIONS, wire.ITEMS, wire.MAINTENANCE
VECTOR = wire.gaussian(1, 1, 4)


class Rpc:
    """How a method is called about a collection, and what a caller must be allowed."""

    def __init__(self, verb, request, expects=("OK",), stream=False, hold=False):
        self.verb, self.request, self.stream, self.hold = verb, request, stream, hold
        self.expects = set(expects)  # how it may end for who is allowed

    @property
    def about(self):
        return self.verb in NUMBERS


def config():
    return C.CollectionConfig(dim=4)


NOT_THERE = ("OK", "NOT_FOUND")
STARTS = ("OK", "NOT_FOUND", "FAILED_PRECONDITION", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED")
RPCS = {
    "omen.v1.Items/Search": Rpc("read", lambda c: wire.search_of(c, VECTOR), NOT_THERE),
    "omen.v1.Items/BatchSearch": Rpc(
        "read", lambda c: I.BatchSearchRequest(searches=[wire.search_of(c, VECTOR)] * 2), NOT_THERE
    ),
    "omen.v1.Items/BatchGet": Rpc(
        "read", lambda c: I.BatchGetRequest(collection=c, ids=wire.ids_of([1])), NOT_THERE
    ),
    "omen.v1.Items/Count": Rpc("read", lambda c: I.CountRequest(collection=c), NOT_THERE),
    "omen.v1.Items/List": Rpc("read", lambda c: I.ListRequest(collection=c), NOT_THERE),
    "omen.v1.Items/BatchWrite": Rpc(
        "write", lambda c: I.BatchWriteRequest(collection=c, batch=wire.batch_of(VECTOR)), NOT_THERE
    ),
    "omen.v1.Items/StreamWrite": Rpc(
        "write",
        lambda c: I.StreamWriteRequest(open=I.StreamWriteRequest.Open(collection=c)),
        NOT_THERE,
        stream=True,
    ),
    "omen.v1.Collections/CreateCollection": Rpc(
        "manage",
        lambda c: C.CreateCollectionRequest(name=c, config=config()),
        ("OK", "ALREADY_EXISTS"),
    ),
    "omen.v1.Collections/GetCollection": Rpc(
        "read", lambda c: C.GetCollectionRequest(name=c), NOT_THERE
    ),
    "omen.v1.Collections/ListCollections": Rpc("any", lambda c: C.ListCollectionsRequest()),
    "omen.v1.Collections/DeclareFields": Rpc(
        "manage",
        lambda c: C.DeclareFieldsRequest(name=c, fields=[wire.TYPES.Field(name="f", type=1)]),
        NOT_THERE,
    ),
    "omen.v1.Collections/DeleteCollection": Rpc(
        "manage", lambda c: C.DeleteCollectionRequest(name=c), NOT_THERE
    ),
    "omen.v1.Maintenance/MeasureRecall": Rpc(
        "manage", lambda c: M.MeasureRecallRequest(collection=c, k=1, samples=1), STARTS
    ),
    "omen.v1.Maintenance/GetServerInfo": Rpc("any", lambda c: M.GetServerInfoRequest()),
    "omen.v1.Maintenance/GetDatabaseInfo": Rpc("admin", lambda c: M.GetDatabaseInfoRequest()),
    "omen.v1.Maintenance/Optimize": Rpc(
        "manage", lambda c: M.OptimizeRequest(collection=c), STARTS
    ),
    "omen.v1.Maintenance/Checkpoint": Rpc("admin", lambda c: M.CheckpointRequest(), STARTS),
    "omen.v1.Maintenance/Backup": Rpc("admin", lambda c: M.BackupRequest(name="b"), STARTS),
    "omen.v1.Maintenance/Restore": Rpc(
        "admin", lambda c: M.RestoreRequest(name="b", to="c"), STARTS
    ),
    "omen.v1.Maintenance/Verify": Rpc("admin", lambda c: M.VerifyRequest(name="b"), STARTS),
    "omen.v1.Maintenance/ListBackups": Rpc("admin", lambda c: M.ListBackupsRequest(), STARTS),
    "omen.v1.Maintenance/DeleteBackup": Rpc(
        "admin", lambda c: M.DeleteBackupRequest(name="b"), STARTS
    ),
    # Of others' operations these say that they are not there, whoever asks, but to who may do everything.
    "omen.v1.Maintenance/GetOperation": Rpc(
        "any", lambda c: M.GetOperationRequest(id="x"), ("NOT_FOUND",)
    ),
    "omen.v1.Maintenance/ListOperations": Rpc("any", lambda c: M.ListOperationsRequest()),
    "omen.v1.Maintenance/CancelOperation": Rpc(
        "any", lambda c: M.CancelOperationRequest(id="x"), ("NOT_FOUND",)
    ),
    "omen.v1.Maintenance/WaitOperation": Rpc(
        "any", lambda c: M.WaitOperationRequest(id="x"), ("NOT_FOUND",)
    ),
    "omen.v1.Access/WhoAmI": Rpc("any", lambda c: A.WhoAmIRequest()),
    "omen.v1.Access/CreateKey": Rpc("admin", lambda c: A.CreateKeyRequest(), ("INVALID_ARGUMENT",)),
    "omen.v1.Access/ListKeys": Rpc("admin", lambda c: A.ListKeysRequest()),
    "omen.v1.Access/RevokeKey": Rpc(
        "admin", lambda c: A.RevokeKeyRequest(key="nobody"), ("NOT_FOUND",)
    ),
    "omen.v1.Access/SetTenant": Rpc("admin", lambda c: A.SetTenantRequest(), ("INVALID_ARGUMENT",)),
    "omen.v1.Access/ListTenants": Rpc("admin", lambda c: A.ListTenantsRequest()),
    "grpc.health.v1.Health/Check": Rpc("open", lambda c: wire.HEALTH.HealthCheckRequest()),
    "grpc.health.v1.Health/Watch": Rpc(
        "open", lambda c: wire.HEALTH.HealthCheckRequest(), hold=True
    ),
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo": Rpc(
        "any",
        lambda c: wire.REFLECTION.ServerReflectionRequest(list_services=""),
        stream=True,
    ),
}
RPCS["grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"] = RPCS[
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
]
# Messages of BatchSearch carry how their search ended.
READERS = {"omen.v1.Items/BatchSearch": I.BatchSearchResponse.FromString}


def call(channel, path, rpc, collection, metadata=()):
    """(code, reason, text) of one call with these headers."""
    reader = READERS.get(path, bytes)
    arguments = {"timeout": PATIENCE, "metadata": list(metadata)}
    name = "/" + path
    request = rpc.request(collection)
    try:
        if rpc.stream:
            run = channel.stream_stream(name, type(request).SerializeToString, reader)
            answers = run(iter([request]), **arguments)
        else:
            run = channel.unary_stream(name, type(request).SerializeToString, reader)
            answers = run(request, **arguments)
        for answer in answers:
            if reader is not bytes and answer.code:
                return grpc_name(answer.code), answer.reason, answer.message
            if rpc.hold:
                answers.cancel()
                break
        return "OK", "", ""
    except grpc.RpcError as error:
        failure = Failure(error)
        return failure.code, failure.reason, failure.text


def grpc_name(number):
    return next(code.name for code in grpc.StatusCode if code.value[0] == number)


def bearer(token):
    return [("authorization", "Bearer " + token)]


def methods_of(server):
    """Every method that the server has: it counts them from the start."""
    return {
        labels["service"] + "/" + labels["method"]
        for name, labels, _ in samples(server.page("/metrics")[2])
        if name == "omendb_grpc_server_started_total"
    }


def start(*options, **keywords):
    """A server with a catalogue, a bootstrap key and tokens; its folder of keys is server.keys."""
    keys = folder("keys-")
    boot = write(os.path.join(keys, "boot"), BOOT + "\n", 0o600)
    jwt = write(os.path.join(keys, "jwt"), SECRET, 0o600)
    server = Omend(
        "--catalog=" + os.path.join(keys, "access.db"), "--bootstrap-key-file=" + boot,
        "--jwt-key=" + jwt, "--jwt-algorithm=HS256", "--jwt-audience=omendb",
        "--audit-log=" + os.path.join(keys, "audit"), *options, **keywords
    )
    server.keys = keys
    return server


def make_key(admin, name, grants, **fields):
    request = A.CreateKeyRequest(
        name=name, grants=[A.Grant(role=NUMBERS[r], collection=c) for r, c in grants], **fields
    )
    return admin.access.CreateKey(request, timeout=PATIENCE).secret


def may(grants, rpc, collection):
    """The oracle: written apart from the server's."""
    if rpc.verb in ("open", "any"):
        return True
    if rpc.verb == "admin":
        return ("manage", "*") in grants
    return any(
        NUMBERS[role] >= NUMBERS[rpc.verb] and fnmatch.fnmatchcase(collection, pattern)
        for role, pattern in grants
    )


def restore(admin, path, code):
    """What an allowed call has changed is put back."""
    if code != "OK" or path.split("/")[1] not in ("CreateCollection", "DeleteCollection"):
        return
    now = {c.name for c in admin.collections.ListCollections(C.ListCollectionsRequest()).collections}
    for name in THERE - now:
        admin.create(name, 4)
    for name in now - THERE:
        admin.collections.DeleteCollection(C.DeleteCollectionRequest(name=name))


def judge(channel, admin, who, grants, metadata):
    """All methods on all collections for one caller; how many calls that were."""
    calls = 0
    for path, rpc in RPCS.items():
        told = {}
        for collection in COLLECTIONS if rpc.about else COLLECTIONS[:1]:
            code, reason, text = call(channel, path, rpc, collection, metadata)
            calls += 1
            where = "%s calls %s on %s: %s %s" % (who, path, collection, code, text)
            if may(grants, rpc, collection):
                assert code in rpc.expects, where
                restore(admin, path, code)
            else:
                assert (code, reason) == ("PERMISSION_DENIED", "ROLE"), "BYPASS: " + where
                told[collection in THERE] = (code, reason, text.replace(collection, "NAME"))
        # What one may not see looks the same whether it is there or not.
        assert len(set(told.values())) <= 1, (who, path, told)
    return calls


def fill(server):
    admin = server.client(token=BOOT)
    for name in sorted(THERE):
        admin.create(name, 4)
        admin.add(name, VECTOR)
    return admin


@check("role x verb x collection x every RPC, by key, token and certificate")
def roles():
    with start("--max-inflight=1000") as server:
        admin = fill(server)
        missing = methods_of(server) ^ set(RPCS)
        assert not missing, "methods without a line here, or lines without a method: %s" % missing
        channel = server.channel()
        calls = judge(channel, admin, "bootstrap", [("manage", "*")], bearer(BOOT))
        for role in ROLES:
            for i, pattern in enumerate(PATTERNS):
                grants = [(role, pattern)]
                key = make_key(admin, "%s-%d" % (role, i), grants)
                calls += judge(channel, admin, "key " + str(grants), grants, bearer(key))
                token = tokens.sign(SECRET, tokens.claims(["%s:%s" % grant for grant in grants]))
                calls += judge(channel, admin, "token " + str(grants), grants, bearer(token))
        both = [("read", "*"), ("manage", "beta")]
        key = make_key(admin, "both", both)
        calls += judge(channel, admin, "key " + str(both), both, bearer(key))
        nothing = bearer(tokens.sign(SECRET, tokens.claims([])))
        calls += judge(channel, admin, "token without grants", [], nothing)
        denied = server.metric("omendb_auth_denied_total")
        assert denied > 500, denied
    return "%d calls of %d methods by %d callers, 0 bypasses" % (
        calls, len(RPCS), 2 * len(ROLES) * len(PATTERNS) + 3,
    )


def expired_key(admin):
    """A key that is over; made with a second to live."""
    secret = make_key(admin, "short", [("manage", "*")], expires_unix=int(time.time()) + 1)
    client = admin.over(secret)
    poll("the key is over", lambda: client() == "CREDENTIAL_EXPIRED")
    return secret


@check("every RPC without, with a wrong, a malformed, an expired, a revoked credential")
def credentials():
    with start() as server:
        admin = fill(server)
        channel = server.channel()
        who = RPCS["omen.v1.Access/WhoAmI"]
        admin.over = lambda secret: lambda: call(
            channel, "omen.v1.Access/WhoAmI", who, "", bearer(secret)
        )[1]
        good = make_key(admin, "good", [("manage", "*")])
        gone = make_key(admin, "gone", [("manage", "*")])
        assert admin.over(gone)() == ""
        admin.access.RevokeKey(A.RevokeKeyRequest(key="gone"))
        full = tokens.claims(["manage:*"])
        signed = tokens.sign(SECRET, full)
        head, body, mac = signed.split(".")
        forged = tokens.base64url(json.dumps({**full, "sub": "root"}).encode())
        bad = {
            "CREDENTIAL_MISSING": [[]],
            "CREDENTIAL_INVALID": [
                bearer("omen_" + "A" * 43),
                bearer(good[:-1]),
                bearer(good + "A"),
                bearer(good.swapcase()),
                bearer(BOOT[:-1]),
                bearer(""),
                bearer("x"),
                [("authorization", good)],
                [("authorization", "Basic " + good)],
                bearer(good) + bearer(good),  # two are none
                bearer(good) + bearer("x"),
                bearer("x") + bearer(good),
                bearer(tokens.sign(SECRET + "x", full)),
                bearer(tokens.sign(SECRET, full, {"alg": "none"})),
                bearer(tokens.sign(SECRET, full, {"alg": "HS512"})),
                bearer(tokens.sign(SECRET, full, {"alg": "RS256"})),
                bearer(".".join([head, forged, mac])),
                bearer(head + "." + body + "."),
                bearer(head + "." + body),
                bearer(tokens.sign(SECRET, {**full, "aud": "another"})),
                bearer(tokens.sign(SECRET, {k: v for k, v in full.items() if k != "exp"})),
                bearer(tokens.sign(SECRET, {**full, "nbf": full["exp"] + 100})),
                bearer(tokens.sign(SECRET, {**full, "omen_tenant": "unknown"})),
            ],
            "CREDENTIAL_EXPIRED": [
                bearer(expired_key(admin)),
                bearer(tokens.sign(SECRET, tokens.claims(["manage:*"], seconds=-61))),
            ],
            "CREDENTIAL_REVOKED": [bearer(gone)],
        }
        calls = 0
        for path, rpc in RPCS.items():
            for wanted, headers in bad.items():
                for metadata in headers:
                    code, reason, text = call(channel, path, rpc, "alpha", metadata)
                    calls += 1
                    where = "%s with %s: %s %s %s" % (path, metadata, code, reason, text)
                    if rpc.verb == "open":
                        assert code == "OK", where
                    else:
                        assert (code, reason) == ("UNAUTHENTICATED", wanted), "BYPASS: " + where
        for reason in ("missing", "invalid", "expired", "revoked"):
            assert server.metric("omendb_auth_failures_total", reason=reason) > 0, reason
        assert {c.name for c in admin.collections.ListCollections(C.ListCollectionsRequest()).collections} == THERE
        said = server.read_log() + read(os.path.join(server.keys, "audit")).decode()
        for secret in (good, gone, BOOT, SECRET, signed):
            assert secret not in said, "a secret is in a log"
            assert secret.encode() not in read("/proc/%d/cmdline" % server.process.pid)
            assert secret not in server.page("/metrics")[2]
    return "%d calls with %d bad credentials, 0 got in" % (calls, sum(map(len, bad.values())))


@check("lists show what one may read, page by page; operations are their owner's")
def lists():
    with start() as server:
        admin = server.client(token=BOOT)
        for i in range(12):
            admin.create("%s%02d" % ("ab"[i % 2], i), 4)
        key = make_key(admin, "a", [("read", "a*"), ("manage", "a00")])
        mine = server.client(token=key)
        for size in (1, 2, 3, 5, 6, 7, 100):
            seen, token, pages = [], "", 0
            while True:
                page = mine.collections.ListCollections(
                    C.ListCollectionsRequest(page_size=size, page_token=token)
                )
                assert 0 < len(page.collections) <= size, page
                seen += [c.name for c in page.collections]
                token = page.next_page_token
                pages += 1
                if not token:
                    break
                assert token.startswith("a"), "a token names what one may not see"
            assert seen == ["a%02d" % i for i in range(0, 12, 2)] and pages == -(-6 // size), seen
        done = mine.maintenance.Optimize(M.OptimizeRequest(collection="a00"))
        other = admin.maintenance.Optimize(M.OptimizeRequest(collection="b01"))
        shown = mine.maintenance.ListOperations(M.ListOperationsRequest()).operations
        assert [o.id for o in shown] == [done.id], shown
        everything = admin.maintenance.ListOperations(M.ListOperationsRequest()).operations
        assert {done.id, other.id} <= {o.id for o in everything}
        for rpc, request in (
            (mine.maintenance.GetOperation, M.GetOperationRequest(id=other.id)),
            (mine.maintenance.CancelOperation, M.CancelOperationRequest(id=other.id)),
            (mine.maintenance.WaitOperation, M.WaitOperationRequest(id=other.id)),
        ):
            try:
                rpc(request, timeout=PATIENCE)
                raise AssertionError("BYPASS: an operation of another")
            except grpc.RpcError as error:
                assert Failure(error).reason == "OPERATION_NOT_FOUND"
        assert mine.maintenance.GetOperation(M.GetOperationRequest(id=done.id)).id == done.id
        # A page token of a listing is of its collection.
        admin.add("a02", wire.gaussian(1, 5, 4))
        page = admin.items.List(I.ListRequest(collection="a02", page_size=2))
        narrow = server.client(token=make_key(admin, "b", [("read", "b*")]))
        for collection in ("a02", "b01"):
            try:
                narrow.items.List(I.ListRequest(collection=collection, page_token=page.next_page_token))
                raise AssertionError("BYPASS: a listing of another collection")
            except grpc.RpcError as error:
                assert Failure(error).code in ("PERMISSION_DENIED", "ABORTED"), error
        # 64 first pages of another end nobody's listing but his own.
        admin.add("b01", wire.gaussian(2, 5, 4))
        for _ in range(70):
            own = narrow.items.List(I.ListRequest(collection="b01", page_size=2))
        for items, collection, token in (
            (admin.items, "a02", page.next_page_token),
            (narrow.items, "b01", own.next_page_token),
        ):
            assert items.List(I.ListRequest(collection=collection, page_size=2, page_token=token)).items.ids
        # Operations are the key's: not of the next one of that name, and gone with what one may read.
        admin.access.RevokeKey(A.RevokeKeyRequest(key="a"), timeout=PATIENCE)
        again = server.client(token=make_key(admin, "a", [("manage", "a*")]))
        assert not again.maintenance.ListOperations(M.ListOperationsRequest()).operations
        for _ in range(80):
            again.maintenance.Optimize(M.OptimizeRequest(collection="a04"))
        everything = admin.maintenance.ListOperations(M.ListOperationsRequest()).operations
        assert {done.id, other.id} <= {o.id for o in everything}, "one's operations end another's"
    return "7 page sizes, operations of keys with one name, listings and operations that others leave alone"


def stream_until_refused(stream, reason):
    """Batches until the stream is refused; every one before is acknowledged as always."""
    seq = 0
    try:
        while True:
            seq += 1
            stream.send(batch=wire.batch_of(VECTOR, [seq], seq=seq))
            stream.flush()
            stream.ack(seq)
    except grpc.RpcError as error:
        failure = Failure(error)
        assert (failure.code, failure.reason) == ("UNAUTHENTICATED", reason), failure
    return seq


@check("a stream ends at the next message after its key is revoked or its token is over")
def streams():
    with start() as server:
        admin = fill(server)
        key = make_key(admin, "writer", [("write", "alpha")])
        stream = server.client(token=key).stream()
        stream.open("alpha", "one")
        for seq in range(1, 6):
            stream.send(batch=wire.batch_of(VECTOR, [100 + seq], seq=seq))
        stream.ack(5)
        admin.access.RevokeKey(A.RevokeKeyRequest(key="writer"))
        count = admin.count("alpha")
        stream.send(batch=wire.batch_of(VECTOR, [999], seq=6))
        try:
            stream.ack(6)
            raise AssertionError("BYPASS: a revoked key writes")
        except grpc.RpcError as error:
            assert Failure(error).reason == "CREDENTIAL_REVOKED", error
        assert admin.count("alpha") == count, "a batch of a revoked key was applied"
        # A minute of leeway for clocks: this one has two seconds left.
        token = tokens.sign(SECRET, tokens.claims(["write:*"], seconds=-58))
        stream = server.client(token=token).stream()
        stream.open("alpha", "two")
        batches = stream_until_refused(stream, "CREDENTIAL_EXPIRED")
        # The slot of the stream is free again, and the other one's cursor is where it was.
        key = make_key(admin, "writer", [("write", "alpha")])
        stream = server.client(token=key).stream()
        assert stream.open("alpha", "one").last_seq == 5
        stream.close()
        stream.rest()
        poll("streams are over", lambda: server.metric("omendb_ingest_streams") == 0)
    return "revoked at once, expired after %d batches, the cursor kept" % batches


@check("client certificates as identities, with TLS")
def certificates():
    authority = Authority(folder("ca-"))
    certificate, key = authority.issue("server", "server")
    with start(
        "--tls-cert=" + certificate, "--tls-key=" + key, "--tls-client-ca=" + authority.ca,
        "--certificate-identities",
    ) as server:
        address = "localhost:" + server.address.rsplit(":", 1)[1]

        def channel(name):
            chain, secret = authority.issue("client", name)
            return server.channel(
                credentials=grpc.ssl_channel_credentials(read(authority.ca), read(secret), read(chain)),
                address=address,
            )

        node = channel("node-1")
        admin = wire.Client(grpc.intercept_channel(node, harness_bearer(BOOT)))
        for name in sorted(THERE):
            admin.create(name, 4)
            admin.add(name, VECTOR)
        rpc = RPCS["omen.v1.Access/WhoAmI"]
        path = "omen.v1.Access/WhoAmI"
        assert call(node, path, rpc, "")[1] == "CREDENTIAL_INVALID"
        grants = [("write", "al*")]
        assert make_key(admin, "node", grants, certificate="node-1") == ""
        calls = judge(node, admin, "certificate", grants, [])
        # A bad key is not made up for by a good certificate; a good one counts alone.
        assert call(node, path, rpc, "", bearer("wrong"))[1] == "CREDENTIAL_INVALID"
        assert call(node, path, rpc, "", bearer(BOOT))[0] == "OK"
        assert call(channel("node-2"), path, rpc, "")[1] == "CREDENTIAL_INVALID"
        admin.access.RevokeKey(A.RevokeKeyRequest(key="node"))
        assert call(node, path, rpc, "")[1] == "CREDENTIAL_REVOKED"
        replaced_certificate(admin, wire.Client(channel("node-4")))
        # By an alternative name: all certificates of this authority have DNS:tester.
        make_key(admin, "tester", [("read", "*")], certificate="tester")
        who = wire.Client(channel("node-3")).access.WhoAmI(A.WhoAmIRequest())
        assert (who.name, who.kind) == ("tester", A.PRINCIPAL_KIND_CERTIFICATE), who
    return "%d calls by certificate" % calls


def replaced_certificate(admin, mine):
    """A stream ends with the key that it was opened with, though the certificate has another one by then."""
    make_key(admin, "wide", [("manage", "*")], certificate="node-4")
    stream = mine.stream()
    stream.open("alpha", "replaced")
    stream.send(batch=wire.batch_of(VECTOR, [501], seq=1))
    stream.ack(1)
    count = admin.count("alpha")
    admin.access.RevokeKey(A.RevokeKeyRequest(key="wide"))
    make_key(admin, "narrow", [("read", "beta")], certificate="node-4")
    stream.send(batch=wire.batch_of(VECTOR, [502], seq=2))
    try:
        stream.ack(2)
        raise AssertionError("BYPASS: a certificate writes with grants that were taken away")
    except grpc.RpcError as error:
        assert Failure(error).reason == "CREDENTIAL_REVOKED", error
    assert admin.count("alpha") == count, "a batch of a revoked key was applied"


def harness_bearer(token):
    from harness import Bearer  # pylint: disable=import-outside-toplevel

    return Bearer(token)


@check("collections count for the tenant of who made them, over a restart")
def tenants():
    data = folder("data-")
    with start(data=data) as server:
        admin = server.client(token=BOOT)
        try:
            make_key(admin, "early", [("manage", "*")], tenant="acme")
            raise AssertionError("a key of a tenant that is not there")
        except grpc.RpcError as error:
            assert Failure(error).reason == "TENANT_NOT_FOUND", error
        admin.access.SetTenant(A.SetTenantRequest(tenant=A.Tenant(name="acme", weight=2)))
        mine = server.client(token=make_key(admin, "acme", [("manage", "acme-*")], tenant="acme"))
        assert mine.access.WhoAmI(A.WhoAmIRequest()).tenant == "acme"
        mine.create("acme-one", 4)
        mine.add("acme-one", wire.gaussian(1, 7, 4))
        admin.create("of-default", 4)
        admin.add("of-default", wire.gaussian(1, 3, 4))

        def rows(client):
            told = client.access.ListTenants(A.ListTenantsRequest()).tenants
            return {t.name: t.rows for t in told}

        assert rows(admin) == {"default": 3, "acme": 7}, rows(admin)
        keys = server.keys
    again = [
        "--catalog=" + os.path.join(keys, "access.db"), "--bootstrap-key-file=" + os.path.join(keys, "boot"),
    ]
    with Omend(*again, data=data) as server:
        admin = server.client(token=BOOT)
        assert rows(admin) == {"default": 3, "acme": 7}, rows(admin)
        told = admin.access.ListTenants(A.ListTenantsRequest()).tenants
        assert [t.weight for t in told if t.name == "acme"] == [2], told
        admin.collections.DeleteCollection(C.DeleteCollectionRequest(name="acme-one"))
        admin.create("acme-one", 4)  # by another: then it is of default
        admin.add("acme-one", wire.gaussian(1, 2, 4))
        assert rows(admin) == {"default": 5, "acme": 0}, rows(admin)
    return "2 tenants, 3 collections, 1 restart"


@check("the audit log tells who changed what, and nothing secret")
def audit():
    with start() as server:
        admin = fill(server)
        reader = make_key(admin, "reader", [("read", "*")])
        try:
            server.client(token=reader).create("mine", 4)
        except grpc.RpcError:
            pass
        admin.collections.DeleteCollection(C.DeleteCollectionRequest(name="beta"))
        admin.access.SetTenant(A.SetTenantRequest(tenant=A.Tenant(name="acme", max_rows=5)))
        admin.access.RevokeKey(A.RevokeKeyRequest(key="reader"))
        text = read(os.path.join(server.keys, "audit")).decode()
        lines = [json.loads(line) for line in text.splitlines()]
        found = [(x["action"], x["result"], x.get("object"), x.get("principal")) for x in lines]
        for wanted in (
            ("create_collection", "ok", "alpha", "bootstrap"),
            ("create_key", "ok", "reader", "bootstrap"),
            ("manage", "refused", None, "reader"),
            ("delete_collection", "ok", "beta", "bootstrap"),
            ("set_tenant", "ok", "acme", "bootstrap"),
            ("revoke_key", "ok", "reader", "bootstrap"),
        ):
            assert wanted in found, (wanted, found)
        assert all(x["peer"] for x in lines), lines
        assert reader not in text and BOOT not in text
        assert os.stat(os.path.join(server.keys, "audit")).st_mode & 0o777 == 0o600
        assert os.stat(os.path.join(server.keys, "access.db")).st_mode & 0o777 == 0o600
    return "%d lines" % len(lines)


if __name__ == "__main__":
    main()
