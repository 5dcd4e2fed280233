"""JSON Web Tokens with an HMAC secret, by the standard library alone.

SPDX-License-Identifier: Apache-2.0
"""

import base64
import hashlib
import hmac
import json
import time


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(secret, claims, header=None):
    """A token; header: what it says of itself, whatever it is signed with."""
    parts = [header or {"alg": "HS256", "typ": "JWT"}, claims]
    text = ".".join(base64url(json.dumps(part).encode()) for part in parts)
    mac = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return text + "." + base64url(mac)


def claims(grants, name="ci", seconds=3600, audience="omendb", **more):
    """Claims that a server with --jwt-audience=omendb takes."""
    now = int(time.time())
    return {"sub": name, "aud": audience, "exp": now + seconds, "omen_grants": grants, **more}


def key_set(**secrets):
    """A JSON Web Key Set of HMAC secrets by their kid."""
    keys = [
        {"kty": "oct", "kid": kid, "k": base64url(text.encode())} for kid, text in secrets.items()
    ]
    return json.dumps({"keys": keys})
