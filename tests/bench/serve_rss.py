#!/usr/bin/env python3
"""serve_rss.py SYSTEM FILE QUERIES EF - loads a saved index, searches, prints the resident bytes that this
added to the process, as JSON: [anonymous, of mapped files]. SPDX-License-Identifier: Apache-2.0
"""
import json
import sys

import numpy as np


def resident():
    fields = {}
    with open("/proc/self/status", encoding="utf-8") as file:
        for line in file:
            if line.startswith(("RssAnon", "RssFile", "RssShmem")):
                name, value = line.split(":")
                fields[name] = int(value.split()[0]) * 1024
    return np.array([fields["RssAnon"] + fields["RssShmem"], fields["RssFile"]])


def main():
    name, path, queries, ef = sys.argv[1:5]
    queries = np.load(queries)
    if name == "omen":
        from omen import Index
        before = resident()
        index = Index.open(path, threads=2)
        index.search(queries, 10, ef=int(ef), threads=2, graph_only=True)
    else:
        import hnswlib
        before = resident()
        index = hnswlib.Index(space="l2", dim=queries.shape[1])
        index.load_index(path)
        index.set_ef(int(ef))
        index.knn_query(queries, 10, num_threads=2)
    print(json.dumps([int(value) for value in resident() - before]))


if __name__ == "__main__":
    main()
