"""Certificates and keys that are replaced while calls run: none of them fails; bad files change nothing and are told.

SPDX-License-Identifier: Apache-2.0
"""

import os
import shutil
import signal
import subprocess

import grpc
import tokens
from harness import (
    OMEND, PATIENCE, Authority, Bearer, Load, Omend, check, folder, main, need, need_root, poll, read,
    refused, run, wire, write,
)

OLD = "the bootstrap key from before, 0123456789abcdef".replace(" ", "-")
NEW = "the bootstrap key of now, 0123456789abcdefghij".replace(" ", "-")
SECRETS = {"one": "the first secret that tokens are signed with", "two": "the second secret that tokens are"}
VECTOR = wire.gaussian(1, 1, 8)


def replace(path, text, mode=0o600):
    """As tools do it: another file in its place."""
    fresh = write(path + ".fresh", text, mode)
    os.rename(fresh, path)


def token_of(kid):
    return tokens.sign(SECRETS[kid], tokens.claims(["manage:*"]), {"alg": "HS256", "kid": kid})


class Files:
    """What a server is started with, in a folder."""

    def __init__(self):
        self.folder = folder("reload-")
        self.authority = Authority(os.path.join(self.folder, "ca"))
        now = os.path.join(self.folder, "now")  # a link, as Kubernetes mounts a secret
        self.cert, self.key = (os.path.join(now, name) for name in ("tls.pem", "tls.key"))
        self.boot, self.jwt = (os.path.join(self.folder, name) for name in ("boot", "jwt"))
        self.renew("first")
        replace(self.boot, OLD)
        replace(self.jwt, tokens.key_set(one=SECRETS["one"]))

    def renew(self, name):
        certificate, key = self.authority.issue("server", name)
        place = os.path.join(self.folder, name)
        os.mkdir(place)
        shutil.copy(key, os.path.join(place, "tls.key"))
        shutil.copy(certificate, os.path.join(place, "tls.pem"))
        os.symlink(name, place + ".link")
        os.rename(place + ".link", os.path.join(self.folder, "now"))

    def start(self):
        return Omend(
            "--tls-cert=" + self.cert, "--tls-key=" + self.key, "--bootstrap-key-file=" + self.boot,
            "--jwt-key=" + self.jwt, "--jwt-algorithm=HS256", "--jwt-audience=omendb",
        )


def channel_of(server, files):
    return server.channel(
        credentials=grpc.ssl_channel_credentials(read(files.authority.ca)),
        address="localhost:" + server.address.rsplit(":", 1)[1],
    )


def client_of(server, files, token):
    return wire.Client(grpc.intercept_channel(channel_of(server, files), Bearer(token)))


def once(server, files, token):
    """A call over a connection of its own: with a handshake."""
    channel = channel_of(server, files)
    try:
        wire.Client(grpc.intercept_channel(channel, Bearer(token))).search("c", VECTOR)
    finally:
        server.channels.remove(channel)
        channel.close()


def serves(server, name):
    """Whether new connections are shown the certificate of this name."""
    address = "localhost:" + server.address.rsplit(":", 1)[1]
    done = subprocess.run(
        ["openssl", "s_client", "-connect", address, "-alpn", "h2"], input=b"", capture_output=True,
        timeout=PATIENCE, check=False,
    )
    return b"CN = " + name.encode() in done.stdout


@check("certificates, bootstrap keys and token keys are replaced under load")
def under_load():
    need("openssl", "openssl")
    files = Files()
    with files.start() as server:
        boot = {"now": OLD}
        jwt = {"now": token_of("one")}
        by_boot = client_of(server, files, lambda: boot["now"])
        by_token = client_of(server, files, lambda: jwt["now"])
        by_boot.create("c", 8)
        by_boot.add("c", wire.gaussian(2, 100, 8))
        ok = lambda what: server.metric("omendb_auth_reloads_total", file=what, result="ok")  # noqa: E731
        with Load(
            [lambda: by_boot.search("c", VECTOR), lambda: by_token.search("c", VECTOR)] * 2
            + [lambda: once(server, files, lambda: boot["now"])]
        ) as load:
            for turn in range(3):
                load.reach(100)
                files.renew("renewed-%d" % turn)
                if turn == 1:
                    server.process.send_signal(signal.SIGHUP)
                poll("the certificate is in use", lambda: serves(server, "renewed-%d" % turn))
                # Old and new together, then the clients change, then the old one goes.
                before = ok("bootstrap")
                replace(files.boot, OLD + "\n" + NEW + "\n")
                poll("both keys", lambda: ok("bootstrap") > before)
                boot["now"] = NEW if boot["now"] == OLD else OLD
                load.reach(100)
                before = ok("bootstrap")
                replace(files.boot, boot["now"])
                poll("one key", lambda: ok("bootstrap") > before)
                before = ok("jwt")
                replace(files.jwt, tokens.key_set(**SECRETS))
                poll("both secrets", lambda: ok("jwt") > before)
                kid = "two" if turn % 2 == 0 else "one"
                jwt["now"] = token_of(kid)
                load.reach(100)
                before = ok("jwt")
                replace(files.jwt, tokens.key_set(**{kid: SECRETS[kid]}))
                poll("one secret", lambda: ok("jwt") > before)
                load.reach(100)
        assert not load.failures, (load.failures, load.details)
        assert server.metric("omendb_tls_reloads_total", result="ok") >= 3
    return "%d calls over 15 changes, 0 failed" % load.calls


@check("bad files change nothing, and log and metrics say so")
def bad_files():
    need("openssl", "openssl")
    files = Files()
    with files.start() as server:
        client = client_of(server, files, OLD)
        client.create("c", 8)

        def failed(what):
            return server.metric("omendb_auth_reloads_total", file=what, result="failed")

        for text in ("", "short", "two words in one line that is long enough to be a key"):
            before = failed("bootstrap")
            replace(files.boot, text)
            poll("bad bootstrap", lambda: failed("bootstrap") > before)
            client.info()
        before = failed("bootstrap")
        replace(files.boot, NEW, 0o644)
        poll("readable by all", lambda: failed("bootstrap") > before)
        os.unlink(files.boot)
        before = failed("jwt")
        replace(files.jwt, "{")
        poll("bad jwt", lambda: failed("jwt") > before)
        client_of(server, files, token_of("one")).info()
        # A certificate whose key is another one's, and one that is over.
        strange, _ = files.authority.issue("server", "strange")
        replace(files.cert, read(strange).decode())

        def bad_tls():
            once(server, files, OLD)
            return server.metric("omendb_tls_reloads_total", result="failed")

        client.add("c", VECTOR)
        poll("mismatched certificate", lambda: bad_tls() >= 1)
        assert serves(server, "first")
        log = server.read_log()
        for wanted in ("the key does not belong", "keys from before stay", "the old ones stay"):
            assert wanted in log, wanted
        client.info()
    return "8 bad files, the old ones stayed"


@check("what must not start does not, and says how to mend it")
def bad_starts():
    need("openssl", "openssl")
    files = Files()
    place = files.folder
    old = os.path.join(place, "old.pem")
    request = os.path.join(place, "ca", "first.csr")
    subprocess.run(
        ["openssl", "x509", "-req", "-in", request, "-CA", files.authority.ca, "-CAkey",
         os.path.join(place, "ca", "ca.key"), "-CAcreateserial", "-out", old, "-days", "-1"],
        capture_output=True, check=True,
    )
    other = files.authority.issue("server", "other")[1]
    tls = ["--tls-cert=" + files.cert, "--tls-key=" + files.key]
    open_file = write(os.path.join(place, "open"), OLD, 0o644)
    cases = [
        (["--tls-cert=" + old, "--tls-key=" + files.key], "has expired at", 78),
        (["--tls-cert=" + files.cert, "--tls-key=" + other], "does not belong to the certificate", 78),
        (["--bootstrap-key-file=" + open_file], "chmod", 78),
        (["--bootstrap-key-file=" + os.path.join(place, "none")], "No such file", 78),
        (["--catalog=" + os.path.join(place, "access.db")], "bootstrap-key-file", 78),
        (["--jwt-key=" + files.jwt, "--jwt-audience=a"], "jwt-algorithm must be", 78),
        (["--jwt-key=" + files.jwt, "--jwt-algorithm=none", "--jwt-audience=a"], "jwt-algorithm must be", 78),
        (["--jwt-key=" + files.jwt, "--jwt-algorithm=HS256"], "jwt-audience", 78),
        (["--jwt-key=" + files.jwt, "--jwt-algorithm=RS256", "--jwt-audience=a"], "no key for this", 78),
        (["--jwt-audience=a"], "without jwt-key", 78),
        (["--certificate-identities"], "without catalog", 78),
        (["--listen=0.0.0.0:0", *tls], "nothing is asked of them", 78),
        (["--audit-log=" + place + "/none/a"], "audit-log", 78),
        (["--bootstrap-key-fil=x"], "did you mean", 64),
    ]
    for options, words, code in cases:
        done = refused(*options)
        assert done.returncode == code and words in done.stderr, (options, done.returncode, done.stderr)
    return "%d ways" % len(cases)


@check("--check-config makes nothing and takes nothing from the server that runs")
def check_config():
    place = folder("check-config-")
    boot = write(os.path.join(place, "boot"), OLD, 0o600)
    options = [
        "--bootstrap-key-file=" + boot, "--catalog=" + os.path.join(place, "access.db"),
        "--audit-log=" + os.path.join(place, "audit"),
    ]
    words = [OMEND, "--check-config", *options, "--data-dir=" + os.path.join(place, "data")]
    assert "good" in run(*words).stdout
    assert sorted(os.listdir(place)) == ["boot"], os.listdir(place)
    with Omend(*options, data=None) as server:
        assert "good" in run(*words).stdout
        assert server.client(token=OLD).access.WhoAmI(wire.ACCESS.WhoAmIRequest()).name == "bootstrap"
        done = refused(*options)  # a second server cannot have the same catalogue
        assert done.returncode == 78 and "another process uses it" in done.stderr, done.stderr
    return "a good configuration, with and without a server; a second server is refused"


@check("a data folder or a catalogue of another user is refused")
def another_user():
    need_root()
    place = folder("owner-")
    theirs = os.path.join(place, "data")
    os.mkdir(theirs)
    os.chown(theirs, 12345, 12345)
    done = refused("--data-dir=" + theirs)
    assert done.returncode == 78 and "belongs to user 12345" in done.stderr, done.stderr
    boot = write(os.path.join(place, "boot"), OLD, 0o600)
    catalog = write(os.path.join(place, "access.db"), "", 0o600)
    os.chown(catalog, 12345, 12345)
    done = refused("--catalog=" + catalog, "--bootstrap-key-file=" + boot)
    assert done.returncode == 78 and "belongs to user 12345" in done.stderr, done.stderr
    assert os.path.exists(OMEND)
    return "exit 78, with the user and what to do"


if __name__ == "__main__":
    main()
