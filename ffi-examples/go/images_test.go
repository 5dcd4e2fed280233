// 10,000 real images in one call, found again: recall, goroutines, cancelling, files.
// SPDX-License-Identifier: Apache-2.0

package omen

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
)

// readFile reads from the folder of the unpacked example data (see README.md).
func readFile(t *testing.T, name string) []byte {
	t.Helper()
	dir := os.Getenv("OMEN_EXAMPLE_DATA")
	if dir == "" {
		t.Fatal("set OMEN_EXAMPLE_DATA to the folder of the unpacked data")
	}
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func readIdx(t *testing.T, name string) (rows int, dim uint32, vectors U8) {
	t.Helper()
	data := readFile(t, name)
	number := func(at int) int { return int(binary.BigEndian.Uint32(data[at:])) }
	if number(0) != 0x803 || len(data) != 16+number(4)*number(8)*number(12) {
		t.Fatalf("%s is no idx file of images", name)
	}
	return number(4), uint32(number(8) * number(12)), data[16:]
}

func readIvecs(t *testing.T, name string) [][]uint64 {
	t.Helper()
	data := readFile(t, name)
	rows := [][]uint64{}
	for len(data) > 0 {
		row := make([]uint64, binary.LittleEndian.Uint32(data))
		for i := range row {
			row[i] = uint64(binary.LittleEndian.Uint32(data[4+4*i:]))
		}
		data = data[4+4*len(row):]
		rows = append(rows, row)
	}
	return rows
}

func recallAt10(t *testing.T, hits *Hits, truth [][]uint64) float64 {
	t.Helper()
	if hits.Queries() != len(truth) {
		t.Fatalf("%d answers to %d queries", hits.Queries(), len(truth))
	}
	found := 0
	for q, row := range truth {
		for _, key := range hits.Keys(q) {
			for _, want := range row[:10] {
				if key == want {
					found++
				}
			}
		}
	}
	return float64(found) / float64(10*len(truth))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openMemory(t *testing.T) *DB {
	t.Helper()
	db, err := OpenMemory(DBOptions{})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

func loadImages(t *testing.T, db *DB) (*Collection, int) {
	t.Helper()
	ctx := context.Background()
	rows, dim, images := readIdx(t, "train-images-idx3-ubyte")
	c, err := db.Create("images", Options{Dim: dim, DataType: Uint8})
	must(t, err)
	t.Cleanup(func() { must(t, c.Close()) })
	ids := make(Uint64s, rows)
	for i := range ids {
		ids[i] = uint64(i)
	}
	write, err := c.Add(ctx, Batch{Vectors: images, IDs: ids})
	must(t, err)
	if write.Applied != uint64(rows) || write.Replaced != 0 || write.Replayed {
		t.Fatalf("%+v", write)
	}
	must(t, c.WaitIndexed(ctx, write.Version))
	return c, rows
}

func TestImagesAreFoundAgain(t *testing.T) {
	ctx := context.Background()
	db := openMemory(t)
	c, rows := loadImages(t, db)
	_, dim, queries := readIdx(t, "t10k-images-idx3-ubyte")
	truth := readIvecs(t, "groundtruth.ivecs")

	hits, err := c.Search(ctx, Query{Vectors: queries, GraphOnly: true})
	must(t, err)
	recall := recallAt10(t, hits, truth)
	t.Logf("go: recall@10=%.4f", recall)
	if recall < 0.95 {
		t.Errorf("recall@10 = %v", recall)
	}
	exact, err := c.Search(ctx, Query{Vectors: queries, Exact: true})
	must(t, err)
	if recall := recallAt10(t, exact, truth); recall < 0.999 {
		t.Errorf("exact recall@10 = %v", recall)
	}

	t.Run("goroutines", func(t *testing.T) {
		var group sync.WaitGroup
		for i := 0; i < 4; i++ {
			group.Add(1)
			go func() {
				defer group.Done()
				some := queries[:100*dim]
				again, err := c.Search(ctx, Query{Vectors: some, GraphOnly: true, Threads: 1})
				if err != nil {
					t.Error(err)
					return
				}
				for q := 0; q < 100; q++ {
					if !reflect.DeepEqual(again.Keys(q), hits.Keys(q)) {
						t.Errorf("query %d: %v, before %v", q, again.Keys(q), hits.Keys(q))
					}
				}
			}()
		}
		group.Wait()
	})
	t.Run("file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "images.omen")
		must(t, c.Save(ctx, path))
		copied, err := db.OpenFile("copy", path)
		must(t, err)
		defer copied.Close()
		count, err := copied.Count()
		must(t, err)
		if count != uint64(rows) {
			t.Errorf("%d items in the file, not %d", count, rows)
		}
		hits, err := copied.Search(ctx, Query{Vectors: queries, GraphOnly: true})
		must(t, err)
		if recall := recallAt10(t, hits, truth); recall < 0.95 {
			t.Errorf("recall@10 from the file = %v", recall)
		}
		_, err = copied.Add(ctx, Batch{Vectors: queries[:dim]})
		wantError(t, err, FailedPrecondition, DetailReadOnly)
	})
}

// The search is stopped in the middle: exact search for 1,000 images takes far longer than it takes to
// cancel, and the context is cancelled by a goroutine that starts before it.
func TestContextStopsACall(t *testing.T) {
	db := openMemory(t)
	c, _ := loadImages(t, db)
	_, _, queries := readIdx(t, "t10k-images-idx3-ubyte")
	ctx, cancel := context.WithCancel(context.Background())
	go cancel()
	var err error
	for err == nil { // a call that was faster than the goroutine is repeated
		_, err = c.Search(ctx, Query{Vectors: queries, Exact: true})
	}
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	deadline, cancel := context.WithTimeout(context.Background(), 1)
	defer cancel()
	_, err = c.Search(deadline, Query{Vectors: queries, Exact: true})
	if failed := (*Error)(nil); !errors.Is(err, context.DeadlineExceeded) &&
		!(errors.As(err, &failed) && failed.Code == DeadlineExceeded) {
		t.Fatal(err)
	}
}
