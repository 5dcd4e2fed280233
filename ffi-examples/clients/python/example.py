"""example.py ADDRESS COLLECTION STREAM_ID BATCHES ROWS DIM - writes made-up rows, and goes on where it was.

Row i has id i, the values (31 i + 7 d) mod 1000, and as metadata its batch and whether it is even.  SPDX-License-Identifier: Apache-2.0
"""
import sys

import numpy as np
from omen_stream import TYPES, StreamWriter


def main(address, collection, stream_id, *numbers):
    batches, rows, dim = map(int, numbers)
    with StreamWriter(address, collection, stream_id) as writer:
        print("example: %d batches were there" % writer.last_seq, flush=True)
        for batch in range(writer.last_seq, batches):
            ids = np.arange(batch * rows, (batch + 1) * rows)
            values = (31 * ids[:, None] + 7 * np.arange(dim)) % 1000
            metadata = [{"batch": batch, "even": number % 2 == 0} for number in ids.tolist()]
            writer.write(TYPES.Ids(u64=ids.tolist()), values.astype(np.float32), metadata=metadata)
    print("example: %d batches are durable" % batches)


if __name__ == "__main__":
    main(*sys.argv[1:])
