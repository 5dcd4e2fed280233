"""example.py ADDRESS COLLECTION STREAM_ID BATCHES ROWS DIM - writes made-up rows, and goes on where it was.

Row i has id i, the values (31 i + 7 d) mod 1000, and as metadata its batch and whether it is even. As for the
omen tool OMEN_KEY_FILE names a file with the key, OMEN_TLS_CA the roots to trust, OMEN_TLS_CERT and OMEN_TLS_KEY
the client's certificate.  SPDX-License-Identifier: Apache-2.0
"""
import os
import sys

import grpc
import numpy as np
from omen_stream import TYPES, StreamWriter


def from_file(name):
    """What is in the file that this environment variable names, or None."""
    if not os.environ.get(name):
        return None
    with open(os.environ[name], "rb") as file:
        return file.read()


def access():
    """TLS and key, as the environment has them."""
    roots, key = from_file("OMEN_TLS_CA"), from_file("OMEN_KEY_FILE")
    tls = grpc.ssl_channel_credentials(roots, from_file("OMEN_TLS_KEY"), from_file("OMEN_TLS_CERT")) if roots else None
    return {"credentials": tls, "key": key.decode().strip() if key else None}


def main(address, collection, stream_id, *numbers):
    batches, rows, dim = map(int, numbers)
    with StreamWriter(address, collection, stream_id, **access()) as writer:
        print("example: %d batches were there" % writer.last_seq, flush=True)
        for batch in range(writer.last_seq, batches):
            ids = np.arange(batch * rows, (batch + 1) * rows)
            values = (31 * ids[:, None] + 7 * np.arange(dim)) % 1000
            metadata = [{"batch": batch, "even": number % 2 == 0} for number in ids.tolist()]
            writer.write(TYPES.Ids(u64=ids.tolist()), values.astype(np.float32), metadata=metadata)
    print("example: %d batches are durable" % batches)


if __name__ == "__main__":
    main(*sys.argv[1:])
