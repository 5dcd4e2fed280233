// Queries going in and the nearest items coming out.
// SPDX-License-Identifier: Apache-2.0

package omen

/*
#include "bridge.h"
*/
import "C"

import (
	"context"
	"unsafe"
)

// Query is one or more vectors whose nearest items are wanted. Zero means the default.
type Query struct {
	Vectors    Vectors
	K          uint32  // items for each vector; 0: 10
	EF         uint32  // beam width: more is slower and finds more
	Rerank     uint32  // candidates scored again in full precision
	Threads    uint32  // for several vectors; 0: all of the library's, 1: the caller's only
	MinVersion uint64  // wait until this version is visible: read your writes
	Exact      bool    // brute force over all items
	GraphOnly  bool    // use the graph also where a scan would be cheaper: to measure it
	PartialOK  bool    // at the deadline return the best found so far
	Explain    bool    // say what each query cost
	Filter     *Filter // nil: all items
}

// Hits are the nearest items of each query.
type Hits struct {
	k         int
	keys      []uint64
	distances []float32
	counts    []uint32
	flags     []uint32
	costs     costs
	Version   uint64 // everything up to it was visible
}

// Queries is the number of queries.
func (h *Hits) Queries() int { return len(h.counts) }

// Keys of query q, nearest first. Where ids are numbers, a key is the id.
func (h *Hits) Keys(q int) []uint64 { return h.keys[q*h.k:][:h.counts[q]] }

// Distances of query q, smallest first.
func (h *Hits) Distances(q int) []float32 { return h.distances[q*h.k:][:h.counts[q]] }

// Partial tells whether time ran out for query q.
func (h *Hits) Partial(q int) bool { return h.flags[q]&C.OMEN_HITS_PARTIAL != 0 }

// Explain tells what query q cost, or is nil when that was not asked for.
func (h *Hits) Explain(q int) *Explain { return h.costs.read(q) }

func (q *Query) flags() C.uint32_t {
	var flags C.uint32_t
	if q.Exact {
		flags |= C.OMEN_EXACT
	}
	if q.GraphOnly {
		flags |= C.OMEN_GRAPH_ONLY
	}
	if q.PartialOK {
		flags |= C.OMEN_PARTIAL_OK
	}
	return flags
}

func newHits(count, k int) *Hits {
	return &Hits{
		k:         k,
		keys:      make([]uint64, count*k),
		distances: make([]float32, count*k),
		counts:    make([]uint32, count),
		flags:     make([]uint32, count),
	}
}

// Search finds the nearest items of each query; fewer than K only when the collection has fewer.
func (c *Collection) Search(ctx context.Context, query Query) (*Hits, error) {
	if query.Vectors == nil {
		return nil, invalid(DetailNone, "the query has no vectors")
	}
	if query.K == 0 {
		query.K = 10
	}
	dtype, vectors, elements := query.Vectors.view()
	count, err := rowsOf(elements, c.dim)
	if err != nil {
		return nil, err
	}
	if count == 0 {
		return &Hits{k: int(query.K)}, nil
	}
	if query.K > C.OMEN_MAX_K || count > C.OMEN_MAX_QUERIES {
		// Before the arrays are made: they could not be.
		return nil, invalid(DetailLimit, "K = %d (at most %d), queries = %d (at most %d)", query.K,
			C.OMEN_MAX_K, count, C.OMEN_MAX_QUERIES)
	}
	raw, err := c.acquire()
	if err != nil {
		return nil, err
	}
	defer c.release()
	op, done, err := watch(ctx)
	if err != nil {
		return nil, err
	}
	filter, letGo, err := query.Filter.use()
	if err != nil {
		return nil, done(err)
	}
	defer letGo()
	hits := newHits(count, int(query.K))
	if query.Explain {
		hits.costs = newCosts(count)
	}
	q := C.bridge_query{
		timeout_us: remaining(ctx), min_version: C.uint64_t(query.MinVersion),
		dtype: C.uint32_t(dtype), dim: C.uint32_t(c.dim), count: C.uint32_t(count),
		k: C.uint32_t(query.K), ef: C.uint32_t(query.EF), rerank: C.uint32_t(query.Rerank),
		threads: C.uint32_t(query.Threads), flags: query.flags(), filter: filter, op: op,
	}
	var version C.uint64_t
	var cerr C.omen_error
	status := C.bridge_search(raw, &q, vectors, (*C.uint64_t)(unsafe.Pointer(&hits.keys[0])),
		(*C.float)(unsafe.Pointer(&hits.distances[0])),
		(*C.uint32_t)(unsafe.Pointer(&hits.counts[0])),
		(*C.uint32_t)(unsafe.Pointer(&hits.flags[0])), hits.costs.graph(), hits.costs.filter(),
		&version, &cerr)
	if err := done(failure(status, &cerr)); err != nil {
		return nil, err
	}
	hits.Version = uint64(version)
	return hits, nil
}

// SearchF32 is the short way for the common case: no context and the caller's arrays. queries holds
// whole vectors; keys and distances get k places for each of them, the unused ones hold NoItem and
// +Inf. distances may be nil.
func (c *Collection) SearchF32(queries []float32, k, ef uint32, keys []uint64, distances []float32) error {
	count, err := rowsOf(len(queries), c.dim)
	if err != nil || count == 0 {
		return err
	}
	if k == 0 || k > C.OMEN_MAX_K || count > C.OMEN_MAX_QUERIES || len(keys) != count*int(k) ||
		(distances != nil && len(distances) != len(keys)) {
		return invalid(DetailLimit, "k = %d, queries = %d, keys = %d, distances = %d do not fit",
			k, count, len(keys), len(distances))
	}
	raw, err := c.acquire()
	if err != nil {
		return err
	}
	defer c.release()
	var out *C.float
	if distances != nil {
		out = (*C.float)(unsafe.Pointer(&distances[0]))
	}
	var cerr C.omen_error
	status := C.omen_search_f32(raw, (*C.float)(unsafe.Pointer(&queries[0])), C.uint32_t(count),
		C.uint32_t(k), C.uint32_t(ef), (*C.uint64_t)(unsafe.Pointer(&keys[0])), out, &cerr)
	return failure(status, &cerr)
}
