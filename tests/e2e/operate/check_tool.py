"""The tool and the reference clients at a server that asks for credentials.

SPDX-License-Identifier: Apache-2.0
"""

import json
import os
import secrets
import shlex
import sys

from harness import (BUILD, OMEN, OMEND, PATIENCE, ROOT, Child, Omend, check, folder, main, omen, poll, read, run, skip,
                     wire, write)

DENIED, USAGE, UNAVAILABLE = 8, 2, 6
DIM = 8


def bootstrap(place):
    """The file of a first key, which may do everything."""
    return write(os.path.join(place, "admin.key"), "omen_%s\n" % secrets.token_hex(32), 0o600)


def server(place, *options, **keywords):
    return Omend("--catalog=" + os.path.join(place, "access.db"),
                 "--bootstrap-key-file=" + bootstrap(place), *options, **keywords)


def denied(*arguments, code=DENIED, **keywords):
    done = omen(*arguments, check=False, **keywords)
    assert done.returncode == code, "%s: %d: %s" % (arguments, done.returncode, done.stderr)
    return done.stderr


def key(place, admin, name, *grants, extra=()):
    """The path of a new key's file."""
    path = os.path.join(place, name + ".key")
    words = [word for grant in grants for word in ("--grant", grant)]
    admin.omen("keys", "create", name, *words, "--out", path, *extra,
               "--key-file", os.path.join(place, "admin.key"))
    assert os.stat(path).st_mode & 0o777 == 0o600
    return path


@check("keys: made, used, listed, ended, revoked; secrets are shown once and nowhere else")
def keys():
    place = folder()
    admin = os.path.join(place, "admin.key")
    audit = os.path.join(place, "audit.log")
    with server(place, "--audit-log=" + audit) as s:
        at = ("--server", s.address)
        assert "CREDENTIAL_MISSING" in denied("list", *at, "--json")
        s.omen("create", "films", "--dim", DIM, "--key-file", admin)
        made = omen("keys", "create", "app", "--grant", "read:films", *at, "--key-file", admin)
        secret = made.stdout.strip()
        assert secret.startswith("omen_") and "\n" not in secret, made.stdout
        assert secret not in made.stderr
        app = write(os.path.join(place, "app.key"), secret + "\n", 0o600)
        who = json.loads(s.omen("keys", "whoami", "--json", "--key-file", app).stdout)
        assert (who["name"], who["kind"], who["grants"]) == ("app", "key", ["read:films"]), who
        kept = s.omen("count", "films", "--key-file", app)
        assert kept.stdout.strip() == "0" and "chmod" not in kept.stderr, kept.stderr
        os.chmod(app, 0o644)
        open_to_all = s.omen("count", "films", "--key-file", app)
        assert open_to_all.stdout.strip() == "0" and "everybody on this machine may read" in open_to_all.stderr
        os.chmod(app, 0o600)
        assert s.omen("count", "films", env={**os.environ, "OMEN_KEY_FILE": app}).stdout.strip() == "0"
        denied("create", "more", "--dim", DIM, *at, "--key-file", app)
        denied("keys", "list", *at, "--key-file", app)
        denied("keys", "create", "own", "--grant", "manage:*", *at, "--key-file", app)
        loader = key(place, s, "loader", "write:films", "read:*", extra=("--expires", "1h"))
        listed = [json.loads(line) for line in
                  s.omen("keys", "list", "--json", "--key-file", admin).stdout.splitlines()]
        assert {k["name"]: k["state"] for k in listed} == {"app": "valid", "loader": "valid"}, listed
        text = s.omen("keys", "list", "--key-file", admin).stdout
        assert "write:films read:*" in text or "read:* write:films" in text, text
        again = omen("keys", "create", "loader", "--grant", "read:*", *at, "--key-file", admin, check=False)
        assert again.returncode == 7, again.stderr
        s.omen("keys", "revoke", "app", "--key-file", admin)
        assert "CREDENTIAL_REVOKED" in denied("count", "films", *at, "--json", "--key-file", app)
        names = s.omen("keys", "list", "--key-file", admin).stdout
        assert "app" not in names and "app" in s.omen("keys", "list", "--all", "--key-file", admin).stdout
        wrong = write(os.path.join(place, "wrong.key"), "omen_" + secrets.token_hex(32) + "\n", 0o600)
        assert "CREDENTIAL_INVALID" in denied("list", *at, "--json", "--key-file", wrong)
        told = s.read_log() + s.page("/metrics")[2] + read(audit).decode()
        for file in (app, loader, admin):
            assert read(file).decode().strip()[5:] not in told, "a secret in log, metrics or audit log"
    with Omend("--catalog=" + os.path.join(place, "access.db"), "--bootstrap-key-file=" + admin) as s:
        s.omen("list", "--key-file", loader)  # keys outlive a restart
        denied("list", "--server", s.address, "--key-file", app)
    return "2 keys made, 1 revoked, 8 refusals, no secret in log, metrics or audit log, kept over a restart"


@check("a backup holds keys and tenants: a new server with its copy of the catalogue knows them")
def backup_of_keys():
    place = folder()
    admin = os.path.join(place, "admin.key")
    backups = os.path.join(place, "backups")
    os.mkdir(backups)
    with server(place, "--backup-dir=" + backups) as s:
        s.omen("create", "films", "--dim", DIM, "--key-file", admin)
        app = key(place, s, "app", "read:films")
        s.omen("tenants", "set", "shop", "--max-rows", "5", "--key-file", admin)
        s.omen("backup", "monday", "--key-file", admin)
        key(place, s, "later", "read:films")  # not in it
        s.omen("verify", "monday", "--key-file", admin)
        s.omen("backup", "tuesday", "--previous", "monday", "--key-file", admin)
    copy = os.path.join(backups, "monday", "access.sqlite")
    assert os.stat(copy).st_mode & 0o777 == 0o600
    assert read(app).strip() not in read(copy)
    refused = run(OMEND, "--check-config", "--data-dir=" + os.path.join(backups, "monday"), check=False)
    assert refused.returncode == 78 and "is a backup" in refused.stderr, refused.stderr
    restored = os.path.join(place, "restored")
    omen("restore", os.path.join(backups, "monday"), restored)
    assert os.stat(restored).st_mode & 0o777 == 0o700
    with Omend("--catalog=" + copy, "--bootstrap-key-file=" + admin, data=restored) as s:
        assert s.omen("count", "films", "--key-file", app).stdout.strip() == "0"
        assert "later" not in s.omen("keys", "list", "--key-file", admin).stdout
        assert "shop" in s.omen("tenants", "--key-file", admin).stdout
    with Omend("--catalog=" + os.path.join(backups, "tuesday", "access.sqlite"), "--bootstrap-key-file=" + admin) as s:
        assert "later" in s.omen("keys", "list", "--key-file", admin).stdout
    return "2 backups of a running server, 3 keys and a tenant back"


@check("keys: a file that cannot be made, wrong grants and wrong ends leave no key behind")
def keys_that_are_not_made():
    place = folder()
    admin = os.path.join(place, "admin.key")
    with server(place) as s:
        at = ("--server", s.address, "--key-file", admin)
        taken = write(os.path.join(place, "taken"), "mine\n")
        for words, code in (
            (("--grant", "read:x", "--out", taken), 7),
            (("--grant", "read:x", "--out", os.path.join(place, "no", "folder")), 1),
            (("--grant", "reads:x"), USAGE),
            (("--grant", "read:x", "--expires", "yesterday"), USAGE),
            (("--grant", "read:x", "--expires", "2001-01-01"), USAGE),
            ((), USAGE),
            (("--grant", "read:Not A Name"), 5),
            (("--grant", "read:x", "--tenant", "nobody"), None),
        ):
            done = omen("keys", "create", "k", *words, *at, check=False)
            assert done.returncode not in (0, 139) and code in (None, done.returncode), (words, done.stderr)
            assert "omen_" not in done.stdout
        assert read(taken) == b"mine\n"
        assert s.omen("keys", "list", "--all", "--quiet", "--key-file", admin).stdout == ""
    return "8 refused, none left a key or a file"


@check("tenants: limits are set one by one, and hold")
def tenants():
    place = folder()
    admin = os.path.join(place, "admin.key")
    with server(place) as s:
        mine = ("--key-file", admin)
        s.omen("tenants", "set", "shop", "--max-rows", "100", "--max-streams", "1", *mine)
        s.omen("tenants", "set", "shop", "--max-bytes", "1M", "--share", "3", *mine)
        found = [json.loads(line) for line in s.omen("tenants", "--json", *mine).stdout.splitlines()]
        shop = next(t for t in found if t["name"] == "shop")
        assert (shop["max_rows"], shop["max_bytes"], shop["max_streams"], shop["share"]) == (
            100, 1000000, 1, 3), shop
        path = key(place, s, "seller", "manage:shop-*", extra=("--tenant", "shop"))
        s.omen("create", "shop-a", "--dim", "2", "--key-file", path)
        rows = "".join('{"id": %d, "vector": [1, %d]}\n' % (i, i) for i in range(200))
        done = omen("import", "shop-a", "-", "--format", "jsonl", "--batch", "50", "--retry", "1", "--server",
                    s.address, "--key-file", path, "--json", stdin=rows, check=False)
        assert done.returncode == 7 and "QUOTA" in done.stderr, done.stderr
        assert int(s.omen("count", "shop-a", "--key-file", path).stdout) <= 100
    return "an upload of 200 items ends at the 100 of its tenant"


@check("certs dev: TLS and mTLS with the tool's own certificates, renewed under a running server")
def certificates():
    place = folder()
    certs = os.path.join(place, "certs")
    omen("certs", "dev", certs, "--client", "app", "--days", "3")
    options = ["--tls-%s=%s/%s" % (name, certs, file) for name, file in
               (("cert", "server.pem"), ("key", "server.key"), ("client-ca", "ca.pem"))]
    with Omend(*options) as s:
        port = s.address.rsplit(":", 1)[1]
        at = ("--tls-ca", certs + "/ca.pem", "--server", "localhost:" + port)
        mine = ("--tls-cert", certs + "/app.pem", "--tls-key", certs + "/app.key")
        omen("create", "films", "--dim", DIM, *at, *mine)
        denied("list", *at, "--timeout", "5000", code=UNAVAILABLE)
        before = read(certs + "/server.pem")
        omen("certs", "dev", certs, "--client", "app")
        assert read(certs + "/server.pem") == before
        said = omen("certs", "dev", certs, "--client", "app", "--host", "db.example.org").stderr
        assert "db.example.org is not in it" in said and read(certs + "/server.pem") == before, said
        client = read(certs + "/app.pem")
        said = omen("certs", "dev", certs, "--renew", "--host", "db.example.org")  # also those that are not named
        assert read(certs + "/server.pem") != before and read(certs + "/app.pem") != client, said
        assert not os.path.exists(certs + "/client.pem") and not said.stderr, said
        assert not omen("certs", "dev", certs, "--client", "app", "--host", "db.example.org").stderr
        omen("count", "films", *at, *mine)
        stranger = os.path.join(place, "other")
        omen("certs", "dev", stranger)
        denied("list", *at, "--tls-cert", stranger + "/client.pem", "--tls-key", stranger + "/client.key",
               "--timeout", "5000", code=UNAVAILABLE)
    plain = write(os.path.join(place, "some.key"), "omen_%064d\n" % 0, 0o600)
    message = denied("list", "--server", "192.0.2.1:7700", "--key-file", plain, code=USAGE)
    assert "--tls-ca" in message and "--plain-key" in message, message
    return "mTLS works, strangers and the nameless do not get in, renewed without a restart"


def clients():
    """The commands of the reference clients' examples."""
    python = [sys.executable, os.path.join(ROOT, "ffi-examples", "clients", "python", "example.py")]
    found = {"Python": (python, {"PYTHONPATH": os.environ["OMEN_E2E_API"]})}
    go = os.path.join(BUILD, "e2e", "go", "example")
    if os.access(go, os.X_OK):
        found["Go"] = ([go], {})
    return found


@check("the reference clients and `omen import` with TLS and a key; revoked in the middle of a stream")
def streams_with_keys():
    place = folder()
    certs, admin = os.path.join(place, "certs"), os.path.join(place, "admin.key")
    omen("certs", "dev", certs)
    tls = ["--tls-%s=%s/server.%s" % (name, certs, end) for name, end in (("cert", "pem"), ("key", "key"))]
    with server(place, *tls) as s:
        address = "localhost:" + s.address.rsplit(":", 1)[1]
        env = {**os.environ, "OMEN_TLS_CA": certs + "/ca.pem", "OMEN_SERVER": address}
        mine = {"env": {**env, "OMEN_KEY_FILE": admin}}
        omen("create", "feed", "--dim", DIM, **mine)
        done = []
        for name, (command, more) in clients().items():
            path = os.path.join(place, name + ".key")
            omen("keys", "create", name.lower(), "--grant", "write:feed", "--out", path, **mine)
            words = [address, "feed", name, "20", "100", str(DIM)]
            run(*command, *words, env={**env, **more, "OMEN_KEY_FILE": path}, timeout=PATIENCE)
            refused = run(*command, *words, env={**env, **more}, timeout=PATIENCE, check=False)
            assert refused.returncode != 0, "%s without a key" % name
            done.append(name)
        assert omen("count", "feed", **mine).stdout.strip() == "2000"
        path = os.path.join(place, "cut.key")
        omen("keys", "create", "cut", "--grant", "write:feed", "--out", path, **mine)
        cut = {**env, "OMEN_KEY_FILE": path}
        endless = "i=1000000; while :; do echo '{\"id\": '$i', \"vector\": %s}'; i=$((i+1)); done" % (
            json.dumps([1] * DIM))
        command = "(%s) | %s import feed - --format jsonl --batch 10 --stream-id cut" % (
            endless, shlex.quote(OMEN))
        with Child("bash", "-c", command, env=cut) as child:
            count = lambda: int(omen("count", "feed", **mine).stdout)  # noqa: E731
            child.until("writes", lambda: count() > 2000)
            omen("keys", "revoke", "cut", **mine)
            poll("the end of the stream", lambda: child.process.poll() is not None)
            assert child.process.returncode == DENIED, child.output()[-500:]
    if len(done) < 2:
        skip("the Go client was not built; Python: ok")
    return "%s and `omen import` over TLS with keys; a revoked one ends with %d" % (", ".join(done), DENIED)


if __name__ == "__main__":
    main()
