"""Store three colours, find the nearest one, and the nearest one that is warm.

SPDX-License-Identifier: Apache-2.0
"""

from omen import Index

index = Index(dim=3, metric="cosine")
index.add(
    [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    metadata=[{"warm": True}, {"warm": False}, {"warm": False}],
)
for condition in (None, "warm"):
    keys, distances = index.search([0.1, 0.9, 0], k=1, filter=condition)
    print("item %d at distance %.4f" % (keys[0], distances[0]))
