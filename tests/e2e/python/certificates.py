"""A certificate authority of the test, made with openssl: nothing of it outlives the test.

SPDX-License-Identifier: Apache-2.0
"""

import os
import subprocess

EXTENSIONS = {
    "server": "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n",
    "client": "subjectAltName=DNS:tester\nextendedKeyUsage=clientAuth\n",
}


class Authority:
    """Makes keys and certificates in `folder`."""

    def __init__(self, folder, name="test authority"):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.ca = os.path.join(folder, "ca.pem")
        self._key = os.path.join(folder, "ca.key")
        self._openssl(
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            self._key,
            "-out",
            self.ca,
            "-days",
            "2",
            "-subj",
            "/CN=" + name,
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
        )

    @staticmethod
    def _openssl(*arguments):
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError("openssl %s: %s" % (arguments[0], done.stderr))

    def issue(self, kind, name):
        """Paths of the certificate and the key. kind: "server" or "client"."""
        base = os.path.join(self.folder, name)
        certificate, key, request = base + ".pem", base + ".key", base + ".csr"
        self._openssl(
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            key,
            "-out",
            request,
            "-subj",
            "/CN=" + name,
        )
        with open(base + ".ext", "w", encoding="utf-8") as file:
            file.write(EXTENSIONS[kind])
        self._openssl(
            "x509",
            "-req",
            "-in",
            request,
            "-CA",
            self.ca,
            "-CAkey",
            self._key,
            "-CAcreateserial",
            "-out",
            certificate,
            "-days",
            "2",
            "-extfile",
            base + ".ext",
        )
        return certificate, key


def read(path):
    with open(path, "rb") as file:
        return file.read()
