// Package omen is OmenDB in your process: store vectors, find the nearest ones again.
//
//	db, err := omen.Open("./data", omen.DBOptions{}) // or omen.OpenMemory
//	points, err := db.Create("points", omen.Options{Dim: 2})
//	_, err = points.Add(ctx, omen.Batch{Vectors: omen.F32{0, 0, 1, 1, 5, 5}})
//	hits, err := points.Search(ctx, omen.Query{Vectors: omen.F32{0.9, 0.9}, K: 1})
//	fmt.Println(hits.Keys(0)) // [1]
//
// Items carry metadata (Batch.Metadata); a Filter is a condition on it, Find a search for vectors, words
// and likeness at once, Items a listing:
//
//	late, err := films.Filter("year >= $1 AND genres CONTAINS $2", 1950, "Drama")
//	hits, err := films.Search(ctx, omen.Query{Vectors: v, Filter: late})
//
// Close every DB and Collection, in any order; a finalizer is only a net for what was forgotten. Any
// number of goroutines may use a handle at once. A cancelled context stops a running call. Vectors are
// passed to the library without a copy and are not kept.
//
// SPDX-License-Identifier: Apache-2.0
package omen

/*
#cgo pkg-config: omendb
#include <stdlib.h>
#include "bridge.h"
*/
import "C"

import (
	"runtime"
	"strings"
	"sync"
	"unsafe"
)

// Version of the loaded library, such as "0.1.0".
func Version() string { return C.GoString(C.omen_version_string()) }

// ISA is the instruction set in use, such as "avx2".
func ISA() string { return C.GoString(C.omen_isa_name()) }

// Metric says how near two vectors are. A smaller distance is nearer, whichever it is.
type Metric uint32

// The metrics. The zero value means L2.
const (
	L2           Metric = C.OMEN_L2     // squared Euclidean distance
	InnerProduct Metric = C.OMEN_IP     // minus the inner product
	Cosine       Metric = C.OMEN_COSINE // 1 - cos; a zero vector has distance 1 to everything
)

// DataType is the type of the elements of a vector.
type DataType uint32

// The element types. The zero value means Float32.
const (
	Float32 DataType = C.OMEN_F32
	Float16 DataType = C.OMEN_F16
	Int8    DataType = C.OMEN_I8
	Uint8   DataType = C.OMEN_U8
)

// IDType says what identifies an item.
type IDType uint32

// The id types. The zero value means numbers.
const (
	IDUint64 IDType = C.OMEN_ID_U64
	IDUUID   IDType = C.OMEN_ID_UUID
	IDString IDType = C.OMEN_ID_STRING
)

// Options say what a collection is created with. Zero means the default.
type Options struct {
	Dim            uint32 // 1 to 65,535
	Metric         Metric
	DataType       DataType
	IDType         IDType
	M              uint32 // links chosen for a new item
	EFConstruction uint32 // beam width while the graph is built
	CapacityHint   uint64 // rows expected
	Durability     Durability
	Fields         []Field // declared fields of the metadata
}

// Durability says when a write is acknowledged. The zero value means DurabilityBatch.
type Durability uint32

// The levels. All of them survive the end of the process.
const (
	DurabilityNone     Durability = C.OMEN_DURABILITY_NONE     // written, synced when the system likes
	DurabilityInterval Durability = C.OMEN_DURABILITY_INTERVAL // written, synced on a timer
	DurabilityBatch    Durability = C.OMEN_DURABILITY_BATCH    // synced before it is acknowledged
)

// raw puts its fields into memory of C, which must live as long as the result.
func (options Options) raw(mem *arena) (C.omen_options, error) {
	var copt C.omen_options
	copt.struct_size = C.uint32_t(unsafe.Sizeof(copt))
	copt.dim = C.uint32_t(options.Dim)
	copt.metric = C.uint32_t(options.Metric)
	copt.dtype = C.uint32_t(options.DataType)
	copt.id_type = C.uint32_t(options.IDType)
	copt.m = C.uint32_t(options.M)
	copt.ef_construction = C.uint32_t(options.EFConstruction)
	copt.durability = C.uint32_t(options.Durability)
	copt.capacity_hint = C.uint64_t(options.CapacityHint)
	fields, err := rawFields(mem, options.Fields)
	copt.fields, copt.field_count = fields, C.uint64_t(len(options.Fields))
	return copt, err
}

// DBOptions say what a database may use. Zero means the default.
type DBOptions struct {
	Threads     uint32 // 0: one for each core
	MemoryLimit uint64 // bytes of index and scratch; beyond it writes are refused; 0: no limit

	// Of Open only.
	ReadOnly   bool   // beside the one process that writes, as the database is now; see Refresh
	MustExist  bool   // an error instead of an empty database when there is none
	RAM        bool   // copy segments into memory instead of serving them from mapped files
	IntervalMS uint32 // between two syncs of the level INTERVAL; 0: 50
	SealRows   uint64 // rows of a growing segment before it becomes a file; 0: chosen
}

// DB is a set of named collections.
type DB struct {
	mu  sync.RWMutex // read: a call runs; write: Close
	raw *C.omen_db
}

// OpenMemory makes an empty database in memory.
func OpenMemory(options DBOptions) (*DB, error) {
	return openDB("", options)
}

// Close frees the database once running calls have returned. Collections stay usable until they are
// closed themselves. Closing again does nothing.
func (db *DB) Close() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	runtime.SetFinalizer(db, nil)
	C.omen_db_free(db.raw) // accepts NULL
	db.raw = nil
	return nil
}

// acquire holds the handle for one call; release must follow when err is nil.
func (db *DB) acquire() (*C.omen_db, error) {
	db.mu.RLock()
	if db.raw == nil {
		db.mu.RUnlock()
		return nil, ErrClosed
	}
	return db.raw, nil
}

func (db *DB) release() { db.mu.RUnlock() }

// cString copies text for C. A NUL inside would cut it short without a word, so it is refused.
func cString(what, text string) (*C.char, error) {
	if strings.IndexByte(text, 0) >= 0 {
		return nil, invalid(DetailName, "%s contains a NUL", what)
	}
	return C.CString(text), nil
}

// Create makes an empty collection. Names match ^[a-z0-9][a-z0-9_-]{0,62}$.
func (db *DB) Create(name string, options Options) (*Collection, error) {
	raw, err := db.acquire()
	if err != nil {
		return nil, err
	}
	defer db.release()
	cname, err := cString("the name", name)
	if err != nil {
		return nil, err
	}
	defer C.free(unsafe.Pointer(cname))
	var mem arena
	defer mem.free()
	copt, err := options.raw(&mem)
	if err != nil {
		return nil, err
	}
	var out *C.omen_collection
	var cerr C.omen_error
	status := C.omen_create(raw, cname, &copt, &out, &cerr)
	if err := failure(status, &cerr); err != nil {
		return nil, err
	}
	return newCollection(out)
}

// Open gives another handle to a collection that is there.
func (db *DB) Open(name string) (*Collection, error) { return db.open(name, "") }

// OpenFile maps a file written by Save as the read-only collection name.
func (db *DB) OpenFile(name, path string) (*Collection, error) {
	if path == "" {
		return nil, invalid(DetailName, "the path is empty")
	}
	return db.open(name, path)
}

func (db *DB) open(name, path string) (*Collection, error) {
	raw, err := db.acquire()
	if err != nil {
		return nil, err
	}
	defer db.release()
	cname, err := cString("the name", name)
	if err != nil {
		return nil, err
	}
	defer C.free(unsafe.Pointer(cname))
	file := C.bridge_file{db: raw, name: cname}
	if path != "" {
		cpath, err := cString("the path", path)
		if err != nil {
			return nil, err
		}
		defer C.free(unsafe.Pointer(cpath))
		file.file = cpath
	}
	var out *C.omen_collection
	var cerr C.omen_error
	status := C.bridge_open(&file, &out, &cerr) // the struct holds C pointers only
	if err := failure(status, &cerr); err != nil {
		return nil, err
	}
	return newCollection(out)
}

// Drop removes a collection; its memory goes with the last handle.
func (db *DB) Drop(name string) error {
	raw, err := db.acquire()
	if err != nil {
		return err
	}
	defer db.release()
	cname, err := cString("the name", name)
	if err != nil {
		return err
	}
	defer C.free(unsafe.Pointer(cname))
	var cerr C.omen_error
	return failure(C.omen_drop(raw, cname, &cerr), &cerr)
}

// List returns the names of all collections, ascending.
func (db *DB) List() ([]string, error) {
	const width = C.OMEN_MAX_NAME + 1
	const page = 64
	raw, err := db.acquire()
	if err != nil {
		return nil, err
	}
	defer db.release()
	names := []string{}
	var after *C.char
	defer func() { C.free(unsafe.Pointer(after)) }()
	for {
		var buffer [width * page]C.char
		var count C.size_t
		var cerr C.omen_error
		status := C.omen_list(raw, after, &buffer[0], page, &count, &cerr)
		if err := failure(status, &cerr); err != nil {
			return nil, err
		}
		for i := 0; i < int(count); i++ {
			names = append(names, C.GoString(&buffer[i*width]))
		}
		if count < page {
			return names, nil
		}
		C.free(unsafe.Pointer(after))
		after = C.CString(names[len(names)-1])
	}
}
