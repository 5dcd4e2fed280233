// Metadata, filters, words and searches of several parts, against brute force.
// SPDX-License-Identifier: Apache-2.0

package omen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand"
	"reflect"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"
)

const filmDim = 4

type film struct {
	Year   int      `json:"year"`
	Genres []string `json:"genres"`
	Rating *float64 `json:"rating"`
	Plot   string   `json:"plot"`
	vector F32
}

func (f *film) has(genre string) bool {
	for _, g := range f.Genres {
		if g == genre {
			return true
		}
	}
	return false
}

func (f *film) distance(query F32) float32 {
	sum := float32(0)
	for i, x := range f.vector {
		sum += (x - query[i]) * (x - query[i])
	}
	return sum
}

// makeFilms makes films up; whole numbers in the vectors make every distance exact.
func makeFilms(count int) []film {
	random := rand.New(rand.NewSource(7))
	words := strings.Fields("moon train desert letter dragon harbour")
	films := make([]film, count)
	for i := range films {
		f := &films[i]
		f.Year, f.Genres = 1900+random.Intn(100), []string{}
		for _, genre := range []string{"Comedy", "Drama", "War", "Western"} {
			if random.Intn(2) == 1 {
				f.Genres = append(f.Genres, genre)
			}
		}
		if random.Intn(3) > 0 {
			rating := float64(random.Intn(20)) / 4
			f.Rating = &rating
		}
		for n := 3 + random.Intn(8); n > 0; n-- {
			f.Plot += words[random.Intn(len(words))] + " "
		}
		for d := 0; d < filmDim; d++ {
			f.vector = append(f.vector, float32(random.Intn(100)-50))
		}
	}
	return films
}

func addFilms(t *testing.T, films []film) *Collection {
	t.Helper()
	c := create(t, Options{Dim: filmDim, Fields: []Field{{Name: "plot", Type: TypeText}}})
	vectors, ids := F32{}, Uint64s{}
	for i, f := range films {
		vectors, ids = append(vectors, f.vector...), append(ids, uint64(i))
	}
	_, err := c.Add(context.Background(), Batch{Vectors: vectors, IDs: ids, Metadata: films})
	must(t, err)
	return c
}

// nearest is the truth: all that pass, nearest first, ties by key.
func nearest(films []film, query F32, passes func(*film) bool) []uint64 {
	keys := []uint64{}
	for i := range films {
		if passes(&films[i]) {
			keys = append(keys, uint64(i))
		}
	}
	sort.SliceStable(keys, func(a, b int) bool {
		return films[keys[a]].distance(query) < films[keys[b]].distance(query)
	})
	return keys
}

func filter(t *testing.T, c *Collection, text string, params ...interface{}) *Filter {
	t.Helper()
	f, err := c.Filter(text, params...)
	must(t, err)
	t.Cleanup(func() { must(t, f.Close()) })
	return f
}

func most(keys []uint64, n int) []uint64 {
	if len(keys) > n {
		return keys[:n]
	}
	return keys
}

var filmQuery = F32{3, -7, 20, 11}

func TestFilteredSearchesCountsAndFacets(t *testing.T) {
	ctx := context.Background()
	films := makeFilms(1000)
	c := addFilms(t, films)
	for _, tt := range []struct {
		text   string
		params []interface{}
		passes func(*film) bool
	}{
		{"year >= $1 AND genres CONTAINS $2", []interface{}{1950, "Drama"},
			func(f *film) bool { return f.Year >= 1950 && f.has("Drama") }},
		{"year IN $1", []interface{}{[]int{1901, 1955}},
			func(f *film) bool { return f.Year == 1901 || f.Year == 1955 }},
		{"genres CONTAINS ANY $1", []interface{}{[]string{"War", "Western"}},
			func(f *film) bool { return f.has("War") || f.has("Western") }},
		{"NOT rating > $1", []interface{}{2.5},
			func(f *film) bool { return f.Rating != nil && *f.Rating <= 2.5 }},
		{"year IN $1", []interface{}{[]string{}}, func(*film) bool { return false }},
	} {
		expected := nearest(films, filmQuery, tt.passes)
		f := filter(t, c, tt.text, tt.params...)
		count, err := c.CountWhere(f)
		must(t, err)
		if count != uint64(len(expected)) {
			t.Errorf("%s: %d pass, not %d", tt.text, count, len(expected))
		}
		for _, exact := range []bool{true, false} {
			hits, err := c.Search(ctx, Query{Vectors: filmQuery, Filter: f, Exact: exact, Explain: true})
			must(t, err)
			if !reflect.DeepEqual(hits.Keys(0), most(expected, 10)) {
				t.Errorf("%s: %v, not %v", tt.text, hits.Keys(0), most(expected, 10))
			}
			for i, key := range hits.Keys(0) {
				if hits.Distances(0)[i] != films[key].distance(filmQuery) {
					t.Errorf("%s: distance of %d", tt.text, key)
				}
			}
			if e := hits.Explain(0); e == nil || e.Matches != count || (e.Plan == "empty") != (count == 0) {
				t.Errorf("%s: %+v", tt.text, e)
			}
		}
		truth := map[string]uint64{}
		for _, key := range expected {
			for _, genre := range films[key].Genres {
				truth[fmt.Sprintf("%q", genre)]++
			}
		}
		facets, err := c.Facet("genres", f, 100)
		must(t, err)
		for i, facet := range facets {
			if truth[string(facet.Value)] != facet.Count || (i > 0 && facets[i-1].Count < facet.Count) {
				t.Errorf("%s: %s: %d, not %d", tt.text, facet.Value, facet.Count, truth[string(facet.Value)])
			}
		}
		if len(facets) != len(truth) {
			t.Errorf("%s: facets %v, not %v", tt.text, facets, truth)
		}
	}
}

func TestHybridIsTheFusionOfItsLists(t *testing.T) {
	ctx := context.Background()
	films := makeFilms(1000)
	c := addFilms(t, films)
	late := filter(t, c, "year >= 1950")
	legs := []Leg{{Vector: filmQuery, Limit: 50}, {Text: "moon dragon", Field: "plot", Limit: 50, Weight: 2}}
	truth := map[uint64]float64{}
	for i, weight := range []float64{1, 2} {
		part, err := c.Find(ctx, Find{Legs: legs[i : i+1], K: 50, Filter: late})
		must(t, err)
		if (part.Distances == nil) != (i == 1) || (part.Scores == nil) != (i == 0) {
			t.Errorf("part %d has %d distances, %d scores", i, len(part.Distances), len(part.Scores))
		}
		for rank, key := range part.Keys {
			truth[key] += weight / (10 + float64(rank) + 1)
			if films[key].Year < 1950 {
				t.Errorf("item %d does not pass", key)
			}
		}
	}
	best := []float64{}
	for _, score := range truth {
		best = append(best, score)
	}
	sort.Sort(sort.Reverse(sort.Float64Slice(best)))
	found, err := c.Find(ctx, Find{Legs: legs, K: 20, Offset: 3, RankConstant: 10, Filter: late, Explain: true})
	must(t, err)
	if len(found.Keys) != 20 || found.Explain.Plan != "hybrid" {
		t.Fatalf("%+v", found)
	}
	for i, key := range found.Keys {
		score := float64(found.Scores[i])
		if math.Abs(score-truth[key]) > 1e-6 || math.Abs(score-best[i+3]) > 1e-6 {
			t.Errorf("hit %d: %g, not %g, the best is %g", i, score, truth[key], best[i+3])
		}
	}
}

func TestGroupsThresholdsAndLikeness(t *testing.T) {
	ctx := context.Background()
	films := makeFilms(500)
	c := addFilms(t, films)
	order := nearest(films, filmQuery, func(*film) bool { return true })
	years, members := []int{}, map[int][]uint64{}
	for _, key := range order {
		year := films[key].Year
		if members[year] == nil {
			years = append(years, year)
		}
		members[year] = append(members[year], key)
	}
	expected := []uint64{}
	for _, year := range years[:5] {
		expected = append(expected, most(members[year], 2)...)
	}
	found, err := c.Find(ctx, Find{Legs: []Leg{{Vector: filmQuery, Limit: 500}}, K: 5, GroupBy: "year", GroupSize: 2})
	must(t, err)
	if !reflect.DeepEqual(found.Keys, expected) || found.Groups[len(found.Groups)-1] != 4 {
		t.Errorf("%v %v, not %v", found.Keys, found.Groups, expected)
	}
	bound := films[order[4]].distance(filmQuery)
	found, err = c.Find(ctx, Find{Legs: []Leg{{Vector: filmQuery}}, MaxDistance: &bound})
	must(t, err)
	within := 0
	for _, key := range order {
		if films[key].distance(filmQuery) <= bound {
			within++
		}
	}
	if len(found.Keys) != within {
		t.Errorf("%d within, not %d", len(found.Keys), within)
	}
	found, err = c.Find(ctx, Find{Legs: []Leg{{Like: order[:1]}}, K: 3})
	must(t, err)
	own := films[order[0]].vector
	like := nearest(films, own, func(f *film) bool { return !reflect.DeepEqual(f.vector, own) })
	if !reflect.DeepEqual(found.Keys, like[:3]) {
		t.Errorf("%v, not %v", found.Keys, like[:3])
	}
}

func TestItemsAndFetch(t *testing.T) {
	ctx := context.Background()
	films := makeFilms(300)
	c := addFilms(t, films)
	listing := Listing{Filter: filter(t, c, "genres CONTAINS 'War'"), OrderBy: "year", Descending: true,
		Fields: []string{"year"}, Page: 64}
	items, err := c.Items(listing)
	must(t, err)
	_, err = c.DeleteWhere(ctx, filter(t, c, "year < 1950")) // the listing does not mind
	must(t, err)
	expected := []uint64{}
	for i := range films {
		if films[i].has("War") {
			expected = append(expected, uint64(i))
		}
	}
	sort.SliceStable(expected, func(a, b int) bool { return films[expected[a]].Year > films[expected[b]].Year })
	found := []uint64{}
	for items.Next() {
		var metadata map[string]interface{}
		must(t, items.Item().Decode(&metadata))
		id := items.Item().ID.(uint64)
		want := map[string]interface{}{"year": float64(films[id].Year)}
		if !reflect.DeepEqual(metadata, want) {
			t.Fatalf("%v, not %v", metadata, want)
		}
		found = append(found, id)
	}
	must(t, items.Err())
	must(t, items.Close())
	must(t, items.Close())
	if items.Next() || !reflect.DeepEqual(found, expected) {
		t.Errorf("%v, not %v", found, expected)
	}
	for i := range films {
		got, err := c.Get(Uint64s{uint64(i)})
		must(t, err)
		if (got[0] == nil) != (films[i].Year < 1950) {
			t.Fatalf("item %d of %d: %+v", i, films[i].Year, got[0])
		}
		if got[0] == nil {
			continue
		}
		var stored film
		must(t, got[0].Decode(&stored))
		stored.vector = films[i].vector
		if !reflect.DeepEqual(stored, films[i]) {
			t.Fatalf("%+v, not %+v", stored, films[i])
		}
	}
	wrong, err := c.Items(Listing{OrderBy: "genres"})
	must(t, err)
	defer wrong.Close()
	if wrong.Next() || wrong.Err() == nil {
		t.Error("an array has no order")
	}
}

func TestPatchesAndConflicts(t *testing.T) {
	ctx := context.Background()
	c := create(t, Options{Dim: 2, IDType: IDString})
	_, err := c.Add(ctx, Batch{Vectors: numbered(2), IDs: Strings{"a", "b"},
		Metadata: []map[string]interface{}{{"n": 1, "s": "x"}, nil}})
	must(t, err)
	before, err := c.Get(Strings{"a", "z"})
	must(t, err)
	if before[0].ID != "a" || before[1] != nil {
		t.Fatalf("%+v", before)
	}
	patch := Batch{IDs: Strings{"a"}, Mode: Patch, IfVersion: []uint64{before[0].Version},
		Metadata: []json.RawMessage{json.RawMessage(`{"n": null, "t": "y"}`)}}
	_, err = c.Add(ctx, patch)
	must(t, err)
	after, err := c.Get(Strings{"a"})
	must(t, err)
	var metadata map[string]interface{}
	must(t, after[0].Decode(&metadata))
	if !reflect.DeepEqual(metadata, map[string]interface{}{"s": "x", "t": "y"}) {
		t.Error(metadata)
	}
	vectors, err := c.VectorsF32([]uint64{after[0].Key})
	must(t, err)
	if !reflect.DeepEqual(vectors, []float32{0, 0}) {
		t.Error(vectors)
	}
	_, err = c.Add(ctx, patch)
	if failed := wantError(t, err, Aborted, DetailVersionConflict); failed.Item != 0 {
		t.Errorf("item %d", failed.Item)
	}
	_, err = c.Add(ctx, Batch{IDs: Strings{"a", "z"}, Mode: Patch, Metadata: []map[string]int{{"n": 9}, {"n": 9}}})
	if failed := wantError(t, err, NotFound, DetailNone); failed.Item != 1 {
		t.Errorf("item %d", failed.Item)
	}
	_, err = c.Add(ctx, Batch{Vectors: numbered(1), IDs: Strings{"b"}, IfVersion: []uint64{0}})
	wantError(t, err, Aborted, DetailVersionConflict)
}

func TestFieldsAndTimes(t *testing.T) {
	ctx := context.Background()
	german := Field{Name: "text", Type: TypeText, Language: "german", Weight: 2, StopWords: true}
	c := create(t, Options{Dim: 2, Fields: []Field{german}})
	must(t, c.DeclareFields(german, Field{Name: "when", Type: TypeTime}, Field{Name: "raw", Type: TypeBytes}))
	wantError(t, c.DeclareFields(Field{Name: "when", Type: TypeString}), AlreadyExists, DetailField)
	for _, name := range []string{"", "a\x00b", "$x", strings.Repeat("x", 129), strings.Repeat("x", 500)} {
		var failed *Error
		if err := c.DeclareFields(Field{Name: name, Type: TypeBool}); !errors.As(err, &failed) || failed.Code != InvalidArgument {
			t.Errorf("%q: %v", name, err)
		}
	}
	fields, err := c.Fields()
	must(t, err)
	if len(fields) != 3 || fields[0] != german {
		t.Errorf("%+v", fields)
	}
	landing := time.Date(1969, 7, 20, 20, 17, 40, 123456000, time.FixedZone("", 7200))
	_, err = c.Add(ctx, Batch{Vectors: numbered(1), Metadata: []struct {
		When time.Time `json:"when"`
		Raw  []byte    `json:"raw"`
		On   bool      `json:"on"`
	}{{landing, []byte{0, 255}, true}}})
	must(t, err)
	for text, param := range map[string]interface{}{"when = $1": landing, "when < $1": landing.Add(time.Second),
		"raw = $1": []byte{0, 255}, "on = $1": true, "when IN $1": []time.Time{landing.UTC()}} {
		count, err := c.CountWhere(filter(t, c, text, param))
		must(t, err)
		if count != 1 {
			t.Errorf("%s %v: %d", text, param, count)
		}
	}
}

func TestErrorsOfFiltersAndMetadata(t *testing.T) {
	ctx := context.Background()
	c := addFilms(t, makeFilms(10))
	for _, tt := range []struct {
		text   string
		params []interface{}
		detail Detail
	}{
		{"year >", nil, DetailFilterSyntax}, {"year = $1", nil, DetailFilterSyntax},
		{"nothing = 1", nil, DetailField}, {"year = 'x'", nil, DetailType},
		{"year = $1", []interface{}{struct{}{}}, DetailType}, {"year = $1", []interface{}{nil}, DetailType},
		{"year = $1", []interface{}{uint64(math.MaxUint64)}, DetailType},
		{"year IN $1", []interface{}{[]interface{}{1, "x"}}, DetailType},
		{"year = 1", make([]interface{}, 1025), DetailLimit},
	} {
		_, err := c.Filter(tt.text, tt.params...)
		wantError(t, err, InvalidArgument, tt.detail)
	}
	for _, metadata := range []interface{}{
		[]json.RawMessage{nil, json.RawMessage(`{"year":`)},
		[]map[string]interface{}{{}, {"year": "x"}},
		[]map[string]interface{}{{}, {"new": map[string]int{}}},
		[]interface{}{nil, func() {}},
	} {
		_, err := c.Add(ctx, Batch{Vectors: make(F32, 8), Metadata: metadata})
		var failed *Error
		if !errors.As(err, &failed) || failed.Code != InvalidArgument || failed.Item != 1 {
			t.Errorf("%v: %v", metadata, err)
		}
	}
	for _, metadata := range []interface{}{"{}", 7, json.RawMessage("{}"), []map[string]int{{}, {}, {}}} {
		if _, err := c.Add(ctx, Batch{Vectors: make(F32, 8), Metadata: metadata}); err == nil {
			t.Errorf("%v was taken", metadata)
		}
	}
	for _, find := range []Find{{}, {Legs: []Leg{{}}}, {Legs: []Leg{{Text: "a", Like: []uint64{1}}}},
		{Legs: make([]Leg, 17)}, {Legs: []Leg{{Text: "moon"}}, K: 16385},
		{Legs: []Leg{{Text: "moon", Field: "year"}}}, {Legs: []Leg{{Vector: F32{1}}}}} {
		_, err := c.Find(ctx, find)
		var failed *Error
		if !errors.As(err, &failed) || failed.Code != InvalidArgument {
			t.Errorf("%+v: %v", find, err)
		}
	}
	other := create(t, Options{Dim: 2})
	_, err := other.CountWhere(filter(t, c, "year = 1950"))
	wantError(t, err, InvalidArgument, DetailHandle)
	_, err = c.DeleteWhere(ctx, nil)
	wantError(t, err, InvalidArgument, DetailNone)
}

func TestFiltersCloseInAnyOrder(t *testing.T) {
	ctx := context.Background()
	films := makeFilms(500)
	c := addFilms(t, films)
	late := filter(t, c, "year >= $1", 1950)
	expected := most(nearest(films, filmQuery, func(f *film) bool { return f.Year >= 1950 }), 10)
	var group sync.WaitGroup
	started := make(chan struct{}, 4)
	for i := 0; i < 4; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for first := true; ; first = false {
				hits, err := c.Search(ctx, Query{Vectors: filmQuery, Filter: late})
				if first {
					started <- struct{}{}
				}
				if errors.Is(err, ErrClosed) {
					return
				}
				if err != nil || !reflect.DeepEqual(hits.Keys(0), expected) {
					t.Errorf("%v %v", hits, err)
					return
				}
			}
		}()
	}
	for i := 0; i < 4; i++ {
		<-started
	}
	snapshot, err := c.Snapshot()
	must(t, err)
	after := filter(t, c, "year < 1950") // closed after its collection, by Cleanup
	must(t, late.Close())
	group.Wait()
	must(t, c.Close())
	count, err := snapshot.CountWhere(after)
	must(t, err)
	if count == 0 || count == 500 {
		t.Errorf("%d", count)
	}
	must(t, snapshot.Close())
}
