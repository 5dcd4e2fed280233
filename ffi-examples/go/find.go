// Searches of several parts: vectors, words, items to be like; and what searches cost.
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

// Leg is one part of a search: exactly one of Vector, Text and Like is set. Zero means the default.
type Leg struct {
	Vector Vectors  // the nearest items of this one vector
	Text   string   // the best items for words, by BM25; of "..." the words one after the other
	Like   []uint64 // the nearest items to the mean of the vectors of these 1 to 1,024 keys, which are left out

	Weight    float32 // in the fusion with other parts; 0: 1
	Limit     uint32  // how many of its best count
	EF        uint32  // Vector, Like: beam width
	Rerank    uint32  // Vector, Like: candidates scored again in full precision
	Exact     bool    // Vector, Like: brute force over all items
	GraphOnly bool    // Vector, Like: use the graph also where a scan would be cheaper
	Field     string  // Text: only of this field; "": of all text fields, by their weights
	K1, B     float32 // Text: of BM25; both 0: 1.2 and 0.75
}

// Fusion says how the lists of several parts become one.
type Fusion uint32

// The fusions. The zero value means RRF.
const (
	RRF      Fusion = C.OMEN_FUSE_RRF      // the sum of weight / (RankConstant + rank)
	Weighted Fusion = C.OMEN_FUSE_WEIGHTED // of weight times a score from 1 (a part's best) to 0 (its last)
)

// Find is a search of 1 to 16 parts whose lists become one. Zero means the default.
type Find struct {
	Legs         []Leg
	K            uint32 // 0: 10
	Offset       uint32 // leave out the first so many
	Filter       *Filter
	Fusion       Fusion
	RankConstant float32  // of RRF; 0: 60
	GroupBy      string   // a field that is no array: K then counts groups of its values
	GroupSize    uint32   // with GroupBy: the best so many of each; 0: 1
	MaxDistance  *float32 // one part that is not Text: nothing farther away
	MinScore     *float32 // Text, or several parts: nothing below
	MinVersion   uint64   // wait until this version is visible: read your writes
	PartialOK    bool     // at the deadline return the best found so far
	Explain      bool     // say what it cost
}

// Found are the best items of a Find, best first.
type Found struct {
	Keys      []uint64
	Distances []float32 // smaller is nearer; nil with Text or several parts
	Scores    []float32 // larger is better; nil with one part that is not Text
	Groups    []uint32  // with GroupBy the number 0, 1, ... of each one's group
	Partial   bool      // time ran out
	Version   uint64    // everything up to it was visible
	Explain   *Explain  // nil when it was not asked for
}

// Explain tells what one query cost.
type Explain struct {
	Plan                               string // "exact", "graph", "filter_in", "hybrid", ...
	EF                                 uint32
	Distances, Hops, Scanned, Reranked uint64  // graph distances; nodes; rows scanned; exact scores
	Estimated, Selectivity             float64 // share of items that pass: guessed, and counted
	Matches, Tests                     uint64  // items that pass; rows tested while walking
	FilterNS, TextNS, FuseNS           uint64
}

// costs are what the library fills in for Explain.
type costs struct {
	walks   []C.omen_explain
	filters []C.omen_filter_explain
}

func newCosts(count int) costs {
	return costs{make([]C.omen_explain, count), make([]C.omen_filter_explain, count)}
}

func (c costs) graph() *C.omen_explain {
	if len(c.walks) == 0 {
		return nil
	}
	return &c.walks[0]
}

func (c costs) filter() *C.omen_filter_explain {
	if len(c.filters) == 0 {
		return nil
	}
	return &c.filters[0]
}

func (c costs) read(i int) *Explain {
	if len(c.walks) == 0 {
		return nil
	}
	w, f := &c.walks[i], &c.filters[i]
	return &Explain{
		Plan: C.GoString(C.omen_plan_name(w.plan)), EF: uint32(w.ef),
		Distances: uint64(w.distances), Hops: uint64(w.hops),
		Scanned: uint64(w.scanned), Reranked: uint64(w.reranked),
		Estimated: float64(f.estimated), Selectivity: float64(f.selectivity),
		Matches: uint64(f.matches), Tests: uint64(f.tests),
		FilterNS: uint64(f.filter_ns), TextNS: uint64(f.text_ns), FuseNS: uint64(f.fuse_ns),
	}
}

// fill puts a part into memory of C.
func (leg *Leg) fill(mem *arena, raw *C.omen_leg, dim uint32) error {
	raw.struct_size = C.sizeof_omen_leg
	raw.limit, raw.ef, raw.rerank = C.uint32_t(leg.Limit), C.uint32_t(leg.EF), C.uint32_t(leg.Rerank)
	raw.weight, raw.k1, raw.b = C.float(leg.Weight), C.float(leg.K1), C.float(leg.B)
	if leg.Exact {
		raw.flags |= C.OMEN_EXACT
	}
	if leg.GraphOnly {
		raw.flags |= C.OMEN_GRAPH_ONLY
	}
	parts := 0
	if leg.Vector != nil {
		dtype, vector, elements := leg.Vector.view()
		if rows, err := rowsOf(elements, dim); err != nil || rows != 1 {
			return invalid(DetailDimMismatch, "a part takes one vector: %d elements of %d", elements, dim)
		}
		size := map[DataType]int{Float32: 4, Float16: 2, Int8: 1, Uint8: 1}[dtype]
		raw.kind, raw.dtype, raw.dim = C.OMEN_LEG_VECTOR, C.uint32_t(dtype), C.uint32_t(dim)
		raw.vector = mem.bytes(unsafe.Slice((*byte)(vector), elements*size))
		parts++
	}
	if leg.Text != "" {
		field, err := mem.text("the field", leg.Field)
		if err != nil {
			return err
		}
		raw.kind, raw.text, raw.text_len = C.OMEN_LEG_TEXT, (*C.char)(mem.bytes([]byte(leg.Text))), C.size_t(len(leg.Text))
		raw.field = field
		parts++
	}
	if len(leg.Like) > 0 {
		keys := unsafe.Slice((*byte)(unsafe.Pointer(&leg.Like[0])), 8*len(leg.Like))
		raw.kind, raw.keys, raw.key_count = C.OMEN_LEG_LIKE, (*C.uint64_t)(mem.bytes(keys)), C.uint64_t(len(leg.Like))
		parts++
	}
	if parts != 1 {
		return invalid(DetailNone, "a part of a search has %d of Vector, Text and Like, not one", parts)
	}
	return nil
}

// raw puts the request into memory of C, all but filter and op.
func (find *Find) raw(mem *arena, dim uint32) (C.omen_request, error) {
	request := C.omen_request{
		struct_size: C.sizeof_omen_request, leg_count: C.uint32_t(len(find.Legs)),
		k: C.uint32_t(find.K), offset: C.uint32_t(find.Offset), fusion: C.uint32_t(find.Fusion),
		rank_constant: C.float(find.RankConstant), min_version: C.uint64_t(find.MinVersion),
	}
	if find.PartialOK {
		request.flags |= C.OMEN_PARTIAL_OK
	}
	if find.MaxDistance != nil {
		request.flags |= C.OMEN_FIND_MAX_DISTANCE
		request.max_distance = C.float(*find.MaxDistance)
	}
	if find.MinScore != nil {
		request.flags |= C.OMEN_FIND_MIN_SCORE
		request.min_score = C.float(*find.MinScore)
	}
	var err error
	if request.group_by, err = mem.text("the field", find.GroupBy); err != nil {
		return request, err
	}
	if find.GroupBy != "" {
		request.group_size = C.uint32_t(find.GroupSize)
	}
	request.legs = (*C.omen_leg)(mem.alloc(len(find.Legs) * C.sizeof_omen_leg))
	for i := range find.Legs {
		if err := find.Legs[i].fill(mem, &unsafe.Slice(request.legs, len(find.Legs))[i], dim); err != nil {
			return request, err
		}
	}
	return request, nil
}

// places is the number of hits that there may be.
func (find *Find) places() (int, error) {
	places := uint64(find.K)
	if find.GroupBy != "" && find.GroupSize > 0 {
		places *= uint64(find.GroupSize)
	}
	if places > C.OMEN_MAX_K || len(find.Legs) == 0 || len(find.Legs) > C.OMEN_MAX_LEGS {
		return 0, invalid(DetailLimit, "%d places (at most %d), %d parts (1 to %d)", places, C.OMEN_MAX_K,
			len(find.Legs), C.OMEN_MAX_LEGS)
	}
	return int(places), nil
}

// Find searches with several parts, whose lists become one.
func (c *Collection) Find(ctx context.Context, find Find) (*Found, error) {
	if find.K == 0 {
		find.K = 10
	}
	places, err := find.places()
	if err != nil {
		return nil, err
	}
	var mem arena
	defer mem.free()
	request, err := find.raw(&mem, c.dim)
	if err != nil {
		return nil, err
	}
	raw, err := c.acquire()
	if err != nil {
		return nil, err
	}
	defer c.release()
	filter, letGo, err := find.Filter.use()
	if err != nil {
		return nil, err
	}
	defer letGo()
	op, done, err := watch(ctx)
	if err != nil {
		return nil, err
	}
	request.filter, request.op, request.timeout_us = filter, op, remaining(ctx)
	hits, scores, groups := newHits(1, places), make([]float32, places), make([]uint32, places)
	if find.Explain {
		hits.costs = newCosts(1)
	}
	var version C.uint64_t
	var cerr C.omen_error
	status := C.bridge_find(raw, &request, (*C.uint64_t)(unsafe.Pointer(&hits.keys[0])),
		(*C.float)(unsafe.Pointer(&hits.distances[0])), (*C.float)(unsafe.Pointer(&scores[0])),
		(*C.uint32_t)(unsafe.Pointer(&groups[0])), (*C.uint32_t)(unsafe.Pointer(&hits.counts[0])),
		(*C.uint32_t)(unsafe.Pointer(&hits.flags[0])), hits.costs.graph(), hits.costs.filter(),
		&version, &cerr)
	if err := done(failure(status, &cerr)); err != nil {
		return nil, err
	}
	found := &Found{
		Keys: hits.Keys(0), Partial: hits.Partial(0), Version: uint64(version), Explain: hits.Explain(0),
	}
	if len(find.Legs) == 1 && find.Legs[0].Text == "" {
		found.Distances = hits.Distances(0)
	} else {
		found.Scores = scores[:len(found.Keys)]
	}
	if find.GroupBy != "" {
		found.Groups = groups[:len(found.Keys)]
	}
	return found, nil
}
