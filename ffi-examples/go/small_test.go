// Ids, types, streams, limits, errors and Close on small collections.
// SPDX-License-Identifier: Apache-2.0

package omen

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func wantError(t *testing.T, err error, code Code, detail Detail) *Error {
	t.Helper()
	var failed *Error
	if !errors.As(err, &failed) {
		t.Fatalf("want %v / %v, got %v", code, detail, err)
	}
	if failed.Code != code || failed.Detail != detail || failed.Message == "" {
		t.Fatalf("want %v / %v, got %v / %v: %v", code, detail, failed.Code, failed.Detail, err)
	}
	return failed
}

func create(t *testing.T, options Options) *Collection {
	t.Helper()
	c, err := openMemory(t).Create("small", options)
	must(t, err)
	t.Cleanup(func() { must(t, c.Close()) })
	return c
}

func numbered(count int) F32 {
	vectors := F32{}
	for i := 0; i < count; i++ {
		vectors = append(vectors, float32(i), float32(i))
	}
	return vectors
}

func TestModesAndDelete(t *testing.T) {
	ctx := context.Background()
	c := create(t, Options{Dim: 2})
	batch := Batch{Vectors: numbered(2), IDs: Uint64s{10, 20}}
	for _, step := range []struct {
		mode     Mode
		code     Code
		replaced uint64
	}{{Update, NotFound, 0}, {Upsert, 0, 0}, {Upsert, 0, 2}, {Insert, AlreadyExists, 0}, {Update, 0, 2}} {
		batch.Mode = step.mode
		write, err := c.Add(ctx, batch)
		var failed *Error
		if errors.As(err, &failed) != (step.code != 0) || (failed != nil && failed.Code != step.code) {
			t.Fatalf("mode %d: %v", step.mode, err)
		}
		if write.Replaced != step.replaced {
			t.Fatalf("mode %d: %+v", step.mode, write)
		}
	}
	write, err := c.Delete(ctx, Uint64s{10, 30})
	must(t, err)
	count, err := c.Count()
	must(t, err)
	if write.Applied != 1 || count != 1 {
		t.Fatalf("%+v, %d left", write, count)
	}
	keys, err := c.Keys()
	must(t, err)
	if !reflect.DeepEqual(keys, []uint64{20}) {
		t.Fatal(keys)
	}
	vectors, err := c.VectorsF32([]uint64{20})
	must(t, err)
	if !reflect.DeepEqual(vectors, []float32{1, 1}) {
		t.Fatal(vectors)
	}
}

func TestIDTypes(t *testing.T) {
	ctx := context.Background()
	for _, tt := range []struct {
		idType  IDType
		ids     IDs
		present IDs
		missing IDs
	}{
		{IDString, Strings{"one", "two", "drei \U0001f409"}, Strings{"two"}, Strings{"four"}},
		{IDUUID, UUIDs{{1}, {2}, {3}}, UUIDs{{2}}, UUIDs{{4}}},
		{IDUint64, Uint64s{7, 8, 9}, Uint64s{8}, Uint64s{10}},
	} {
		c := create(t, Options{Dim: 2, IDType: tt.idType})
		_, err := c.Add(ctx, Batch{Vectors: numbered(3), IDs: tt.ids})
		must(t, err)
		keys, found, err := c.Lookup(tt.present)
		must(t, err)
		hits, err := c.Search(ctx, Query{Vectors: F32{1, 1}, K: 1})
		must(t, err)
		if !found[0] || hits.Keys(0)[0] != keys[0] {
			t.Errorf("id type %d: found %v, hits %v", tt.idType, keys, hits.Keys(0))
		}
		_, found, err = c.Lookup(tt.missing)
		must(t, err)
		if found[0] {
			t.Errorf("id type %d: an absent id was found", tt.idType)
		}
	}
}

func TestElementTypes(t *testing.T) {
	ctx := context.Background()
	for _, tt := range []struct {
		data  DataType
		rows  Vectors
		query Vectors
	}{
		{Float32, F32{1, 2, -3, 4.5}, F32{-3, 4.5}},
		{Float16, F16{0x3c00, 0x4000, 0xc200, 0x4480}, F16{0xc200, 0x4480}},
		{Int8, I8{1, 2, -128, 127}, I8{-128, 127}},
		{Uint8, U8{1, 2, 0, 255}, U8{0, 255}},
	} {
		c := create(t, Options{Dim: 2, DataType: tt.data})
		_, err := c.Add(ctx, Batch{Vectors: tt.rows})
		must(t, err)
		hits, err := c.Search(ctx, Query{Vectors: tt.query, K: 5})
		must(t, err)
		if keys := hits.Keys(0); len(keys) != 2 || keys[0] != 1 || hits.Distances(0)[0] != 0 {
			t.Errorf("type %d: %v %v", tt.data, keys, hits.Distances(0))
		}
	}
}

func TestSearchF32(t *testing.T) {
	c := create(t, Options{Dim: 2})
	_, err := c.Add(context.Background(), Batch{Vectors: numbered(3)})
	must(t, err)
	keys, distances := make([]uint64, 8), make([]float32, 8)
	must(t, c.SearchF32([]float32{0, 0, 2, 2}, 4, 0, keys, distances))
	if !reflect.DeepEqual(keys, []uint64{0, 1, 2, NoItem, 2, 1, 0, NoItem}) {
		t.Error(keys)
	}
	if distances[1] != 2 || !math.IsInf(float64(distances[3]), 1) {
		t.Error(distances)
	}
	must(t, c.SearchF32([]float32{0, 0, 2, 2}, 4, 0, keys, nil))
	wantError(t, c.SearchF32([]float32{0, 0}, 4, 0, keys, nil), InvalidArgument, DetailLimit)
	wantError(t, c.SearchF32([]float32{0}, 1, 0, keys[:1], nil), InvalidArgument, DetailDimMismatch)
}

func TestErrors(t *testing.T) {
	ctx := context.Background()
	c := create(t, Options{Dim: 2})
	_, err := c.Add(ctx, Batch{Vectors: F32{1, 2, 3, float32(math.NaN())}})
	if failed := wantError(t, err, InvalidArgument, DetailNotFinite); failed.Item != 1 {
		t.Errorf("item %d is to blame, not 1", failed.Item)
	}
	if !strings.Contains(err.Error(), "INVALID_ARGUMENT") {
		t.Error(err)
	}
	_, err = c.Add(ctx, Batch{Vectors: F32{1, 2, 3}})
	wantError(t, err, InvalidArgument, DetailDimMismatch)
	_, err = c.Add(ctx, Batch{Vectors: F32{1, 2}, IDs: Uint64s{1, 2}})
	wantError(t, err, InvalidArgument, DetailNone)
	_, err = c.Search(ctx, Query{Vectors: F32{1, 2}, K: math.MaxUint32})
	wantError(t, err, InvalidArgument, DetailLimit)
	count, err := c.Count()
	must(t, err)
	if count != 0 {
		t.Errorf("refused batches left %d items", count)
	}
}

func TestNamesAndFiles(t *testing.T) {
	db := openMemory(t)
	for _, name := range []string{"", "A", "-a", "a b", strings.Repeat("a", 64), "nul\x00"} {
		if _, err := db.Create(name, Options{Dim: 2}); err == nil {
			t.Errorf("%q was accepted", name)
		}
	}
	want := []string{}
	for i := 0; i < 130; i++ { // three pages
		name := fmt.Sprintf("c%03d", i)
		c, err := db.Create(name, Options{Dim: 2})
		must(t, err)
		must(t, c.Close())
		want = append(want, name)
	}
	names, err := db.List()
	must(t, err)
	if !reflect.DeepEqual(names, want) {
		t.Error(names)
	}
	if _, err = db.Create(want[0], Options{Dim: 2}); err.(*Error).Code != AlreadyExists {
		t.Error(err)
	}
	must(t, db.Drop(want[0]))
	if _, err = db.Open(want[0]); err.(*Error).Code != NotFound {
		t.Error(err)
	}
	if _, err = db.OpenFile("x", "/nonexistent/x.omen"); !errors.Is(err, syscall.ENOENT) {
		t.Error(err)
	}
}

func TestRepeatsAreNotAppliedTwice(t *testing.T) {
	ctx := context.Background()
	c := create(t, Options{Dim: 2})
	first, err := c.Add(ctx, Batch{Vectors: numbered(1), RequestID: "request-1"})
	must(t, err)
	again, err := c.Add(ctx, Batch{Vectors: numbered(1), RequestID: "request-1"})
	must(t, err)
	if first.Replayed || !again.Replayed || first.Version != again.Version {
		t.Errorf("%+v, %+v", first, again)
	}
	last, epoch, err := c.OpenStream("feed")
	must(t, err)
	if last != 0 {
		t.Errorf("a new stream has %d", last)
	}
	batch := Batch{Vectors: numbered(1), StreamID: "feed", Seq: 1, Epoch: epoch}
	for _, replayed := range []bool{false, true} {
		write, err := c.Add(ctx, batch)
		must(t, err)
		if write.Replayed != replayed {
			t.Errorf("%+v", write)
		}
	}
	last, _, err = c.OpenStream("feed")
	must(t, err)
	if last != 1 {
		t.Errorf("the stream has %d, not 1", last)
	}
	batch.Seq = 2
	_, err = c.Add(ctx, batch)
	wantError(t, err, Aborted, DetailSequence) // the newer open fenced the older epoch
}

func TestCloseWaitsAndIsFinal(t *testing.T) {
	ctx := context.Background()
	db, err := OpenMemory(DBOptions{Threads: 1})
	must(t, err)
	c, err := db.Create("small", Options{Dim: 2})
	must(t, err)
	must(t, db.Close()) // in any order
	_, err = c.Add(ctx, Batch{Vectors: numbered(100)})
	must(t, err)
	var group sync.WaitGroup
	started := make(chan struct{}, 4)
	for i := 0; i < 4; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for first := true; ; first = false {
				_, err := c.Search(ctx, Query{Vectors: numbered(100)})
				if first {
					started <- struct{}{}
				}
				if errors.Is(err, ErrClosed) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	for i := 0; i < 4; i++ {
		<-started
	}
	must(t, c.Close())
	must(t, c.Close())
	group.Wait()
	_, err = db.Create("other", Options{Dim: 2})
	if !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// What nobody closed is freed by the garbage collector, the database before or after its collections.
func TestFinalizersAreANet(t *testing.T) {
	for i := 0; i < 10; i++ {
		db, err := OpenMemory(DBOptions{Threads: 1})
		must(t, err)
		_, err = db.Create("small", Options{Dim: 2})
		must(t, err)
	}
	runtime.GC()
	runtime.GC()
}

func TestCancelledContextIsRefused(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c := create(t, Options{Dim: 2})
	_, err := c.Add(ctx, Batch{Vectors: numbered(1)})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
