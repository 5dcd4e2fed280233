"""Store three vectors, find the nearest one.

SPDX-License-Identifier: Apache-2.0
"""

from omen import Index

index = Index(dim=3, metric="cosine")
index.add([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
keys, distances = index.search([0.1, 0.9, 0], k=1)
print("item %d at distance %.4f" % (keys[0], distances[0]))
