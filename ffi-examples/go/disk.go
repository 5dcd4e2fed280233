// Databases in a folder: opening, checkpoints, figures, backups; and what data will take.
// SPDX-License-Identifier: Apache-2.0

package omen

/*
#include <stdlib.h>
#include "bridge.h"
*/
import "C"

import (
	"context"
	"runtime"
	"unsafe"
)

// Open opens the database in a folder, which is made when it is missing. What was acknowledged is there
// again after any end of the process.
func Open(path string, options DBOptions) (*DB, error) {
	if path == "" {
		return nil, invalid(DetailName, "the path is empty")
	}
	return openDB(path, options)
}

// openDB opens a folder, or with an empty path memory.
func openDB(path string, options DBOptions) (*DB, error) {
	o := C.bridge_db{
		threads: C.uint32_t(options.Threads), memory_limit: C.uint64_t(options.MemoryLimit),
		interval_ms: C.uint32_t(options.IntervalMS), seal_rows: C.uint64_t(options.SealRows),
	}
	for _, flag := range []struct {
		set  bool
		flag C.uint32_t
	}{{options.ReadOnly, C.OMEN_DB_READ_ONLY}, {options.MustExist, C.OMEN_DB_MUST_EXIST},
		{options.RAM, C.OMEN_DB_RAM}} {
		if flag.set {
			o.flags |= flag.flag
		}
	}
	var cpath *C.char
	if path != "" {
		var err error
		if cpath, err = cString("the path", path); err != nil {
			return nil, err
		}
		defer C.free(unsafe.Pointer(cpath))
	}
	var raw *C.omen_db
	var cerr C.omen_error
	status := C.bridge_db_open(cpath, &o, &raw, &cerr)
	if err := failure(status, &cerr); err != nil {
		return nil, err
	}
	db := &DB{raw: raw}
	runtime.SetFinalizer(db, (*DB).Close)
	return db, nil
}

// Checkpoint writes everything so far into segment files and trims the log. Writers go on.
func (db *DB) Checkpoint(ctx context.Context) error {
	raw, err := db.acquire()
	if err != nil {
		return err
	}
	defer db.release()
	op, done, err := watch(ctx)
	if err != nil {
		return err
	}
	var cerr C.omen_error
	return done(failure(C.omen_checkpoint(raw, op, &cerr), &cerr))
}

// Refresh moves a database that was opened for reading on to what the writer has made durable since;
// changed tells whether there was something.
func (db *DB) Refresh() (changed bool, err error) {
	raw, err := db.acquire()
	if err != nil {
		return false, err
	}
	defer db.release()
	var moved C.uint32_t
	var cerr C.omen_error
	err = failure(C.omen_refresh(raw, &moved, &cerr), &cerr)
	return moved != 0, err
}

// State says whether a database takes writes.
type State uint32

// The states.
const (
	Writable State = C.OMEN_DB_WRITABLE
	ReadOnly State = C.OMEN_DB_OPENED_READ_ONLY
	DiskFull State = C.OMEN_DB_DISK_FULL // ends by itself when there is space again
	Failed   State = C.OMEN_DB_FAILED    // the log could not be written: open it again
	Damaged  State = C.OMEN_DB_DAMAGED   // the log is damaged below what was durable
)

// DBStats are figures of a database.
type DBStats struct {
	State                   State
	Reason                  string // of a state other than Writable
	Version, DurableVersion uint64
	Collections, Segments   uint64
	LogBytes, SegmentBytes  uint64
	RecoveredRows           uint64 // put back into memory from the log when it was opened
}

// Stats returns state and figures.
func (db *DB) Stats() (DBStats, error) {
	raw, err := db.acquire()
	if err != nil {
		return DBStats{}, err
	}
	defer db.release()
	var s C.omen_db_stats
	var cerr C.omen_error
	s.struct_size = C.uint32_t(unsafe.Sizeof(s))
	if err := failure(C.omen_get_db_stats(raw, &s, &cerr), &cerr); err != nil {
		return DBStats{}, err
	}
	return DBStats{
		State: State(s.state), Reason: C.GoString(&s.reason[0]),
		Version: uint64(s.version), DurableVersion: uint64(s.durable_version),
		Collections: uint64(s.collections), Segments: uint64(s.segments),
		LogBytes: uint64(s.log_bytes), SegmentBytes: uint64(s.segment_bytes),
		RecoveredRows: uint64(s.recovered_rows),
	}, nil
}

// BackupResult says what a backup, a restoration or a verification has seen.
type BackupResult struct {
	Version                  uint64 // everything durable up to it is in the backup
	Files, Bytes             uint64
	FilesLinked, BytesCopied uint64 // of these
}

func taken(r *C.omen_backup_result) BackupResult {
	return BackupResult{
		Version: uint64(r.version), Files: uint64(r.files), Bytes: uint64(r.bytes),
		FilesLinked: uint64(r.files_linked), BytesCopied: uint64(r.bytes_copied),
	}
}

// backup runs one of the three calls over paths; the empty ones are NULL.
func backup(ctx context.Context, paths [3]string,
	call func(paths [3]*C.char, op *C.omen_op, out *C.omen_backup_result, err *C.omen_error) C.omen_status_t,
) (BackupResult, error) {
	var cpaths [3]*C.char
	for i, path := range paths {
		if path == "" {
			continue
		}
		text, err := cString("the path", path)
		if err != nil {
			return BackupResult{}, err
		}
		defer C.free(unsafe.Pointer(text))
		cpaths[i] = text
	}
	op, done, err := watch(ctx)
	if err != nil {
		return BackupResult{}, err
	}
	var result C.omen_backup_result
	var cerr C.omen_error
	result.struct_size = C.uint32_t(unsafe.Sizeof(result))
	status := call(cpaths, op, &result, &cerr)
	if err := done(failure(status, &cerr)); err != nil {
		return BackupResult{}, err
	}
	return taken(&result), nil
}

// Backup makes a consistent copy in a new folder while writes go on. Files that previous (an older
// backup, or "") has are linked from it.
func (db *DB) Backup(ctx context.Context, path, previous string) (BackupResult, error) {
	raw, err := db.acquire()
	if err != nil {
		return BackupResult{}, err
	}
	defer db.release()
	return backup(ctx, [3]string{path, previous, ""}, func(p [3]*C.char, op *C.omen_op,
		out *C.omen_backup_result, cerr *C.omen_error) C.omen_status_t {
		return C.bridge_backup(raw, p[0], p[1], op, out, cerr)
	})
}

// Restore checks a backup and copies it into a new folder, which Open opens.
func Restore(ctx context.Context, from, to string) (BackupResult, error) {
	return backup(ctx, [3]string{from, to, ""}, func(p [3]*C.char, op *C.omen_op,
		out *C.omen_backup_result, cerr *C.omen_error) C.omen_status_t {
		return C.bridge_restore(p[0], p[1], op, out, cerr)
	})
}

// Verify reads every byte of a backup, or of a database that is not open for writing, and checks it.
func Verify(ctx context.Context, path string) (BackupResult, error) {
	return backup(ctx, [3]string{path, "", ""}, func(p [3]*C.char, op *C.omen_op,
		out *C.omen_backup_result, cerr *C.omen_error) C.omen_status_t {
		return C.bridge_restore(p[0], nil, op, out, cerr)
	})
}

// Sizes are what a collection will take, in bytes.
type Sizes struct {
	MemoryServing, MemoryGrowing uint64 // codes, links, ids; and at most beside it while it grows
	Disk, DiskPeak               uint64 // once merged, and at most while merging
}

// Estimate predicts what rows items with ids of idBytes bytes (text) will take.
func Estimate(options Options, rows uint64, idBytes uint32) (Sizes, error) {
	var mem arena
	defer mem.free()
	copt, err := options.raw(&mem)
	if err != nil {
		return Sizes{}, err
	}
	var out C.omen_estimate_result
	var cerr C.omen_error
	out.struct_size = C.uint32_t(unsafe.Sizeof(out))
	status := C.omen_estimate(&copt, C.uint64_t(rows), C.uint32_t(idBytes), &out, &cerr)
	if err := failure(status, &cerr); err != nil {
		return Sizes{}, err
	}
	return Sizes{
		MemoryServing: uint64(out.memory_serving), MemoryGrowing: uint64(out.memory_growing),
		Disk: uint64(out.disk), DiskPeak: uint64(out.disk_peak),
	}, nil
}

// Optimize merges all segments into one without dead rows: what searches fastest.
func (c *Collection) Optimize(ctx context.Context) error {
	raw, err := c.acquire()
	if err != nil {
		return err
	}
	defer c.release()
	op, done, err := watch(ctx)
	if err != nil {
		return err
	}
	var cerr C.omen_error
	return done(failure(C.omen_optimize(raw, op, &cerr), &cerr))
}

// Snapshot gives a read-only handle to the collection as it is now, whatever is written later. It keeps
// old segments alive: close it soon.
func (c *Collection) Snapshot() (*Collection, error) {
	raw, err := c.acquire()
	if err != nil {
		return nil, err
	}
	defer c.release()
	var out *C.omen_collection
	var cerr C.omen_error
	if err := failure(C.omen_snapshot(raw, &out, &cerr), &cerr); err != nil {
		return nil, err
	}
	return newCollection(out)
}
