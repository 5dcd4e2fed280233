"""TLS and mTLS, and what omend refuses to start with.

SPDX-License-Identifier: Apache-2.0
"""

import os
import shutil
import subprocess
import tempfile
import unittest

import grpc
from certificates import Authority, read
from harness import PATIENCE, Omend, Test, batch_of, gaussian


class TlsCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(dir=os.environ["OMEN_E2E_WORK"])
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.authority = Authority(os.path.join(cls.folder, "ours"))
        cls.stranger = Authority(os.path.join(cls.folder, "theirs"), "another authority")
        cls.certificate, cls.key = cls.authority.issue("server", "server")
        cls.tls = ("--tls-cert=" + cls.certificate, "--tls-key=" + cls.key)
        cls.mtls = (*cls.tls, "--tls-client-ca=" + cls.authority.ca)

    def start(self, *arguments, **keywords):
        server = Omend(*arguments, **keywords)
        self.addCleanup(server.stop)
        return server

    def credentials(self, authority, client=None):
        certificate, key = client or (None, None)
        return grpc.ssl_channel_credentials(
            read(authority.ca), key and read(key), certificate and read(certificate)
        )

    def localhost(self, server):
        return "localhost:" + server.address.rsplit(":", 1)[1]

    def works(self, server, credentials):
        client = server.client(credentials=credentials, address=self.localhost(server))
        client.create("c", 8)
        client.add("c", gaussian(1, 100, 8))
        stream = client.stream()
        stream.open("c", "feed")
        for seq in range(1, 11):
            stream.send(
                batch=batch_of(gaussian(seq, 100, 8), range(100 * seq, 100 * seq + 100), seq=seq)
            )
        stream.close()
        stream.rest()
        self.assertEqual(client.count("c"), 1100)
        self.assertEqual(client.search("c", gaussian(1, 100, 8)[3]).ids.u64[0], 3)

    def refused(self, server, credentials):
        """The handshake fails: no call gets through."""
        client = server.client(credentials=credentials, address=self.localhost(server))
        with self.assertRaises(grpc.RpcError) as caught:
            client.info()
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)

    def test_tls(self):
        server = self.start(*self.tls)
        self.works(server, self.credentials(self.authority))
        self.refused(server, self.credentials(self.stranger))
        self.refused(server, None)  # plain text

    def test_mtls(self):
        server = self.start(*self.mtls)
        ours = self.authority.issue("client", "client")
        self.works(server, self.credentials(self.authority, ours))
        self.refused(server, self.credentials(self.authority))  # no certificate
        theirs = self.stranger.issue("client", "client")
        self.refused(server, self.credentials(self.authority, theirs))
        self.refused(server, None)

    def test_certificates_are_taken_up_when_they_change(self):
        files = [os.path.join(self.folder, name) for name in ("live.pem", "live.key")]
        for source, copy in zip((self.certificate, self.key), files):
            shutil.copy(source, copy)
        server = self.start("--tls-cert=" + files[0], "--tls-key=" + files[1])
        server.client(
            credentials=self.credentials(self.authority), address=self.localhost(server)
        ).info()
        for source, copy in zip(self.stranger.issue("server", "server"), files):
            shutil.copy(source, copy + ".new")
            os.replace(copy + ".new", copy)
        server.client(
            credentials=self.credentials(self.stranger), address=self.localhost(server)
        ).info()

    def run_omend(self, *arguments):
        """Runs omend to its end, which comes at once: it refuses to start."""
        done = subprocess.run(
            [os.environ["OMEND"], "--admin-listen=off", *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        self.assertNotIn("serving", done.stdout)
        return done

    def test_an_exposed_address_needs_tls(self):
        for address in ("0.0.0.0:0", "[::]:0"):
            done = self.run_omend("--listen=" + address)
            self.assertEqual(done.returncode, 78, done.stderr)
            self.assertIn("insecure-expose", done.stderr)
            self.assertIn("listen", done.stderr)
        server = self.start("--insecure-expose", listen="0.0.0.0:0")
        server.client(address="127.0.0.1:" + server.address.rsplit(":", 1)[1]).info()
        # TLS alone hides what is said, not who may say it.
        done = self.run_omend("--listen=0.0.0.0:0", *self.tls)
        self.assertEqual(done.returncode, 78, done.stderr)
        self.assertIn("nothing is asked of them", done.stderr)
        server = self.start(*self.mtls, listen="0.0.0.0:0")
        self.works(server, self.credentials(self.authority, self.authority.issue("client", "anybody")))

    def test_what_it_does_not_start_with(self):
        absent = os.path.join(self.folder, "absent")
        _, other_key = self.authority.issue("server", "other")
        for arguments in (
            ("--tls-cert=" + self.certificate,),
            ("--tls-key=" + self.key,),
            ("--tls-cert=" + absent, "--tls-key=" + self.key),
            ("--tls-cert=" + self.certificate, "--tls-key=" + other_key),
            ("--tls-client-ca=" + self.authority.ca,),
            ("--tls-cert=" + self.key, "--tls-key=" + self.key),
            ("--config=" + absent,),
            ("--open=name=" + absent,),
        ):
            with self.subTest(arguments=arguments):
                done = self.run_omend("--listen=127.0.0.1:0", *arguments)
                self.assertEqual(done.returncode, 78, done.stderr)
                self.assertTrue(done.stderr.strip())
        for arguments in (("--nonsense",), ("--grace-ms=-1",), ("--max-message-bytes=1GiB",)):
            with self.subTest(arguments=arguments):
                self.assertEqual(self.run_omend(*arguments).returncode, 64)

    def test_a_port_that_is_taken(self):
        server = self.start()
        done = self.run_omend("--listen=" + server.address)
        self.assertEqual(done.returncode, 70, done.stderr)


class UnixSocketTest(Test):
    def test_a_unix_socket(self):
        folder = tempfile.mkdtemp(dir=os.environ["OMEN_E2E_WORK"])
        self.addCleanup(shutil.rmtree, folder)
        path = "unix:" + os.path.join(folder, "omend.sock")
        server = Omend(listen=path)
        self.addCleanup(server.stop)
        self.assertEqual(server.address, path)
        client = server.client()
        client.create("c", 2)
        self.assertEqual(client.count("c"), 0)


if __name__ == "__main__":
    unittest.main()
