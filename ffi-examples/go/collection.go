// One index with its ids: write, search, read, save.
// SPDX-License-Identifier: Apache-2.0

package omen

/*
#include <stdlib.h>
#include "bridge.h"
*/
import "C"

import (
	"context"
	"math"
	"runtime"
	"sync"
	"time"
	"unsafe"
)

// Collection is one index with its ids.
type Collection struct {
	mu   sync.RWMutex // read: a call runs; write: Close
	raw  *C.omen_collection
	dim  uint32
	data DataType
	ids  IDType
}

func newCollection(raw *C.omen_collection) (*Collection, error) {
	var options C.omen_options
	var cerr C.omen_error
	options.struct_size = C.uint32_t(unsafe.Sizeof(options))
	if err := failure(C.omen_describe(raw, &options, &cerr), &cerr); err != nil {
		C.omen_collection_free(raw)
		return nil, err
	}
	c := &Collection{raw: raw, dim: uint32(options.dim), data: DataType(options.dtype), ids: IDType(options.id_type)}
	runtime.SetFinalizer(c, (*Collection).Close)
	return c, nil
}

// Close frees the handle once running calls have returned. Closing again does nothing.
func (c *Collection) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	runtime.SetFinalizer(c, nil)
	C.omen_collection_free(c.raw) // accepts NULL
	c.raw = nil
	return nil
}

// acquire holds the handle for one call; release must follow when err is nil.
func (c *Collection) acquire() (*C.omen_collection, error) {
	c.mu.RLock()
	if c.raw == nil {
		c.mu.RUnlock()
		return nil, ErrClosed
	}
	return c.raw, nil
}

func (c *Collection) release() { c.mu.RUnlock() }

// Dim is the number of elements of a vector.
func (c *Collection) Dim() uint32 { return c.dim }

// watch makes an op that the context cancels. The returned function ends the watching and turns the
// library's "cancelled" into the context's own error.
func watch(ctx context.Context) (*C.omen_op, func(error) error, error) {
	if ctx.Done() == nil {
		return nil, func(err error) error { return err }, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	var op *C.omen_op
	var cerr C.omen_error
	if err := failure(C.omen_op_create(&op, &cerr), &cerr); err != nil {
		return nil, nil, err
	}
	over := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-ctx.Done():
			C.omen_op_cancel(op)
		case <-over:
		}
	}()
	return op, func(err error) error {
		close(over)
		<-ended // nobody touches the op any more
		C.omen_op_free(op)
		if failed, is := err.(*Error); is && failed.Code == Cancelled && ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}, nil
}

// Mode says what to do with ids that exist, and with those that do not.
type Mode uint32

// The modes. The zero value means Upsert.
const (
	Upsert Mode = C.OMEN_UPSERT // insert or replace
	Insert Mode = C.OMEN_INSERT // an id that exists is an error
	Update Mode = C.OMEN_UPDATE // an id that does not exist is an error
	// Patch sets the named fields of the metadata, unsets those that are null and keeps the others; an
	// id that does not exist is an error. Vectors may be nil: they stay.
	Patch Mode = C.OMEN_PATCH
)

// Batch are items to add. It is applied as a whole or not at all.
type Batch struct {
	Vectors Vectors
	IDs     IDs // nil: rising numbers
	// Metadata is nil or a slice with a JSON object for each row: maps, structs with json tags, or
	// json.RawMessage, as encoding/json takes them: []map[string]any{{"year": 1953}}. nil stands for {}.
	Metadata interface{}
	// IfVersion is nil or the Item.Version that each item must have (0: it must not be there); else
	// nothing is written, with the code Aborted and DetailVersionConflict.
	IfVersion []uint64
	Mode      Mode
	RequestID string // makes a repeated call harmless
	StreamID  string // of OpenStream, with Seq 1, 2, 3, ... and its Epoch
	Seq       uint64
	Epoch     uint64
}

// Write says what a write did.
type Write struct {
	Version     uint64 // of this write; the first one's when it was replayed
	Applied     uint64 // items inserted or replaced, or deleted
	Replaced    uint64 // of these: items that existed
	Replayed    bool   // the request or the sequence number was seen before
	BacklogRows uint64 // rows of the collection that are not in the graph yet
}

// Add inserts, replaces or patches items and returns when that is durable and visible.
func (c *Collection) Add(ctx context.Context, batch Batch) (Write, error) {
	p := parcel{stream: batch.StreamID, request: batch.RequestID}
	metadata, err := encode(batch.Metadata)
	if err != nil {
		return Write{}, err
	}
	rows := metadata.count
	if batch.Vectors != nil {
		dtype, vectors, elements := batch.Vectors.view()
		if rows, err = rowsOf(elements, c.dim); err != nil {
			return Write{}, err
		}
		p.vectors, p.w.dtype, p.w.dim = vectors, C.uint32_t(dtype), C.uint32_t(c.dim)
		if rows == 0 {
			p.vectors = unsafe.Pointer(&absent[0])
		}
	} else if batch.Mode != Patch {
		return Write{}, invalid(DetailNone, "the batch has no vectors")
	}
	if metadata.offsets != nil {
		p.metadata, p.metadataOffsets = metadata.data, metadata.offsets
	}
	if batch.IDs != nil {
		p.ids = batch.IDs.column()
	}
	if len(batch.IfVersion) > 0 {
		p.versions = (*C.uint64_t)(unsafe.Pointer(&batch.IfVersion[0]))
	}
	for _, part := range []struct {
		what  string
		given bool
		count int
	}{{"ids", batch.IDs != nil, p.ids.count}, {"objects of metadata", p.metadata != nil, metadata.count},
		{"versions", batch.IfVersion != nil, len(batch.IfVersion)}} {
		if part.given && part.count != rows {
			return Write{}, invalid(DetailNone, "%d %s for %d rows", part.count, part.what, rows)
		}
	}
	p.w.count, p.w.mode, p.w.id_type = C.uint64_t(rows), C.uint32_t(batch.Mode), C.uint32_t(p.ids.idType)
	p.w.seq, p.w.epoch = C.uint64_t(batch.Seq), C.uint64_t(batch.Epoch)
	return c.write(ctx, &p)
}

// Delete removes items by id. Ids that are absent are skipped.
func (c *Collection) Delete(ctx context.Context, ids IDs) (Write, error) {
	p := parcel{ids: ids.column()}
	p.w.count, p.w.id_type, p.w.deletes = C.uint64_t(p.ids.count), C.uint32_t(p.ids.idType), 1
	return c.write(ctx, &p)
}

// parcel is what a write passes to the bridge.
type parcel struct {
	w               C.bridge_write
	vectors         unsafe.Pointer
	ids             idColumn
	metadata        unsafe.Pointer
	metadataOffsets *C.int64_t
	versions        *C.uint64_t
	stream, request string
}

func (c *Collection) write(ctx context.Context, p *parcel) (Write, error) {
	raw, err := c.acquire()
	if err != nil {
		return Write{}, err
	}
	defer c.release()
	op, done, err := watch(ctx)
	if err != nil {
		return Write{}, err
	}
	cstream, crequest := C.CString(p.stream), C.CString(p.request)
	defer C.free(unsafe.Pointer(cstream))
	defer C.free(unsafe.Pointer(crequest))
	w := p.w
	var result C.omen_write_result
	var cerr C.omen_error
	status := C.bridge_write_batch(raw, &w, p.vectors, p.ids.data, p.ids.offsets, p.metadata,
		p.metadataOffsets, p.versions, cstream, C.size_t(len(p.stream)), crequest,
		C.size_t(len(p.request)), &result, op, &cerr)
	if err := done(failure(status, &cerr)); err != nil {
		return Write{}, err
	}
	return written(&result), nil
}

func written(result *C.omen_write_result) Write {
	return Write{
		Version: uint64(result.version), Applied: uint64(result.applied),
		Replaced: uint64(result.replaced), Replayed: result.replayed != 0,
		BacklogRows: uint64(result.backlog_rows),
	}
}

// OpenStream opens or makes a resumable stream: the last sequence number it has, and the epoch to send
// with every batch. The newest open fences the older ones.
func (c *Collection) OpenStream(streamID string) (lastSeq, epoch uint64, err error) {
	raw, err := c.acquire()
	if err != nil {
		return 0, 0, err
	}
	defer c.release()
	ctext := C.CString(streamID)
	defer C.free(unsafe.Pointer(ctext))
	var last, ep C.uint64_t
	var cerr C.omen_error
	status := C.omen_stream_open(raw, ctext, C.size_t(len(streamID)), &last, &ep, &cerr)
	return uint64(last), uint64(ep), failure(status, &cerr)
}

// WaitIndexed waits until everything up to version (0: all so far) is in the graph.
func (c *Collection) WaitIndexed(ctx context.Context, version uint64) error {
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
	return done(failure(C.omen_wait(raw, C.uint64_t(version), C.OMEN_WAIT_INDEXED, 0, op, &cerr), &cerr))
}

// Count is the number of live items.
func (c *Collection) Count() (uint64, error) {
	raw, err := c.acquire()
	if err != nil {
		return 0, err
	}
	defer c.release()
	var count C.uint64_t
	var cerr C.omen_error
	err = failure(C.omen_count(raw, &count, &cerr), &cerr)
	return uint64(count), err
}

// Keys returns the keys of all live items, in the order they were written or, on disk, of the keys.
func (c *Collection) Keys() ([]uint64, error) {
	const page = 4096
	raw, err := c.acquire()
	if err != nil {
		return nil, err
	}
	defer c.release()
	keys := []uint64{}
	var cursor C.uint64_t
	for {
		var buffer [page]C.uint64_t
		var count C.uint64_t
		var cerr C.omen_error
		status := C.omen_scan(raw, &cursor, &buffer[0], page, &count, &cerr)
		if err := failure(status, &cerr); err != nil {
			return nil, err
		}
		for _, key := range buffer[:count] {
			keys = append(keys, uint64(key))
		}
		if count < page {
			return keys, nil
		}
	}
}

// Save writes the collection as one file; the path holds the old or the new one, never a part.
func (c *Collection) Save(ctx context.Context, path string) error {
	raw, err := c.acquire()
	if err != nil {
		return err
	}
	defer c.release()
	cpath, err := cString("the path", path)
	if err != nil {
		return err
	}
	defer C.free(unsafe.Pointer(cpath))
	op, done, err := watch(ctx)
	if err != nil {
		return err
	}
	var cerr C.omen_error
	return done(failure(C.omen_save(raw, cpath, op, &cerr), &cerr))
}

// VectorsF32 returns the stored vectors of keys as float32, one after the other. The collection must
// hold Float32 or a type that the library converts.
func (c *Collection) VectorsF32(keys []uint64) ([]float32, error) {
	out := make([]float32, len(keys)*int(c.dim))
	if len(keys) == 0 {
		return out, nil
	}
	raw, err := c.acquire()
	if err != nil {
		return nil, err
	}
	defer c.release()
	var cerr C.omen_error
	status := C.omen_get_vectors(raw, (*C.uint64_t)(unsafe.Pointer(&keys[0])), C.uint64_t(len(keys)),
		unsafe.Pointer(&out[0]), 0, C.OMEN_F32, nil, &cerr)
	if err := failure(status, &cerr); err != nil {
		return nil, err
	}
	return out, nil
}

// Lookup returns the keys of ids; found is false where an id is absent.
func (c *Collection) Lookup(ids IDs) (keys []uint64, found []bool, err error) {
	column := ids.column()
	keys, found = make([]uint64, column.count), make([]bool, column.count)
	if column.count == 0 {
		return keys, found, nil
	}
	raw, err := c.acquire()
	if err != nil {
		return nil, nil, err
	}
	defer c.release()
	var cerr C.omen_error
	status := C.bridge_lookup(raw, C.uint32_t(column.idType), column.data, column.offsets,
		C.uint64_t(column.count), (*C.uint64_t)(unsafe.Pointer(&keys[0])), &cerr)
	if err := failure(status, &cerr); err != nil {
		return nil, nil, err
	}
	for i, key := range keys {
		found[i] = key != math.MaxUint64
	}
	return keys, found, nil
}

// remaining is the time to a context's deadline in microseconds, at least 1; 0 without a deadline.
func remaining(ctx context.Context) C.uint64_t {
	deadline, has := ctx.Deadline()
	if !has {
		return 0
	}
	if us := time.Until(deadline).Microseconds(); us > 1 {
		return C.uint64_t(us)
	}
	return 1
}
