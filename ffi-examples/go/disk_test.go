// A database in a folder: written, closed, opened again, backed up.
// SPDX-License-Identifier: Apache-2.0

package omen

import (
	"context"
	"path/filepath"
	"testing"
)

func openFolder(t *testing.T, path string, options DBOptions) *DB {
	t.Helper()
	db, err := Open(path, options)
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

func TestWhatWasWrittenIsThereAgain(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "db")
	db := openFolder(t, path, DBOptions{})
	c, err := db.Create("points", Options{Dim: 2})
	must(t, err)
	_, err = c.Add(ctx, Batch{Vectors: F32{1, 1, 5, 5}, IDs: Uint64s{10, 20}})
	must(t, err)
	_, err = c.Delete(ctx, Uint64s{20})
	must(t, err)
	_, err = Open(path, DBOptions{})
	wantError(t, err, FailedPrecondition, DetailLocked)
	must(t, c.Close())
	must(t, db.Close())

	db = openFolder(t, path, DBOptions{MustExist: true})
	c, err = db.Open("points")
	must(t, err)
	defer c.Close()
	hits, err := c.Search(ctx, Query{Vectors: F32{1.1, 1.1}, K: 2})
	must(t, err)
	if keys := hits.Keys(0); len(keys) != 1 || keys[0] != 10 {
		t.Fatalf("found %v", keys)
	}
	stats, err := db.Stats()
	must(t, err)
	if stats.State != Writable || stats.Collections != 1 || stats.DurableVersion < 2 {
		t.Fatalf("%+v", stats)
	}
	_, err = Open(filepath.Join(filepath.Dir(path), "none"), DBOptions{MustExist: true})
	if failed, is := err.(*Error); !is || failed.Code != NotFound {
		t.Fatalf("want NOT_FOUND, got %v", err)
	}
}

func TestSnapshotsReadersAndBackups(t *testing.T) {
	ctx := context.Background()
	folder := t.TempDir()
	path := filepath.Join(folder, "db")
	db := openFolder(t, path, DBOptions{})
	c, err := db.Create("points", Options{Dim: 2})
	must(t, err)
	defer c.Close()
	_, err = c.Add(ctx, Batch{Vectors: numbered(1000)})
	must(t, err)
	before, err := c.Snapshot()
	must(t, err)
	defer before.Close()
	_, err = c.Delete(ctx, Uint64s{0, 1, 2})
	must(t, err)
	must(t, db.Checkpoint(ctx))
	must(t, c.Optimize(ctx))
	reader := openFolder(t, path, DBOptions{ReadOnly: true})
	seen, err := reader.Open("points")
	must(t, err)
	defer seen.Close()
	_, err = c.Delete(ctx, Uint64s{3})
	must(t, err)
	changed, err := reader.Refresh()
	must(t, err)
	for _, want := range []struct {
		c     *Collection
		count uint64
	}{{before, 1000}, {c, 996}, {seen, 996}} {
		if count, err := want.c.Count(); err != nil || count != want.count {
			t.Fatalf("%d items of %d, %v", count, want.count, err)
		}
	}
	first := filepath.Join(folder, "first")
	made, err := db.Backup(ctx, first, "")
	must(t, err)
	if !changed || made.Files == 0 || made.Bytes == 0 {
		t.Fatalf("changed %v, %+v", changed, made)
	}
	_, err = c.Delete(ctx, Uint64s{4})
	must(t, err)
	second, err := db.Backup(ctx, filepath.Join(folder, "second"), first)
	must(t, err)
	if second.Version <= made.Version {
		t.Fatalf("%+v after %+v", second, made)
	}
	_, err = Verify(ctx, first)
	must(t, err)
	again := filepath.Join(folder, "again")
	_, err = Restore(ctx, first, again)
	must(t, err)
	restored, err := openFolder(t, again, DBOptions{}).Open("points")
	must(t, err)
	defer restored.Close()
	if count, err := restored.Count(); err != nil || count != 996 {
		t.Fatalf("%d items in the restored one, %v", count, err)
	}
}

func TestEstimate(t *testing.T) {
	small, err := Estimate(Options{Dim: 128}, 100000, 0)
	must(t, err)
	large, err := Estimate(Options{Dim: 128}, 1000000, 0)
	must(t, err)
	if large.MemoryServing < 5*small.MemoryServing || large.DiskPeak < large.Disk {
		t.Fatalf("%+v, %+v", small, large)
	}
}
