// Conditions on the metadata of items.
// SPDX-License-Identifier: Apache-2.0

package omen

/*
#include <omen.h>
*/
import "C"

import (
	"context"
	"encoding/binary"
	"math"
	"reflect"
	"runtime"
	"sync"
	"time"
	"unsafe"
)

// Filter is a compiled condition; Collection.Filter makes one. Used again it is faster than its text: it
// keeps the answers that it has computed. Any number of goroutines may use one, with its collection and
// that one's snapshots. Close it, before or after the collection.
type Filter struct {
	mu  sync.RWMutex // read: a call runs; write: Close
	raw *C.omen_filter
}

func newFilter(raw *C.omen_filter) *Filter {
	f := &Filter{raw: raw}
	runtime.SetFinalizer(f, (*Filter).Close)
	return f
}

// Close frees the filter once running calls have returned. Closing again does nothing.
func (f *Filter) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	runtime.SetFinalizer(f, nil)
	C.omen_filter_free(f.raw) // accepts NULL
	f.raw = nil
	return nil
}

// use holds the handle until the returned function is called; a nil Filter is NULL.
func (f *Filter) use() (*C.omen_filter, func(), error) {
	if f == nil {
		return nil, func() {}, nil
	}
	f.mu.RLock()
	if f.raw == nil {
		f.mu.RUnlock()
		return nil, nil, ErrClosed
	}
	return f.raw, f.mu.RUnlock, nil
}

// Filter compiles a condition. The values of $1, $2, ... are integers, floats, bools, strings, []byte and
// time.Time, and for IN $1, CONTAINS ANY $1 and CONTAINS ALL $1 slices of them. omen.h has the language:
//
//	year >= $1 AND (genres CONTAINS 'Drama' OR rating BETWEEN 3 AND 4.5) AND NOT title LIKE 'The %'
//
// Errors have DetailFilterSyntax (the message says what was expected at which byte), DetailField or
// DetailType.
func (c *Collection) Filter(text string, params ...interface{}) (*Filter, error) {
	if len(params) > C.OMEN_MAX_PARAMS {
		return nil, invalid(DetailLimit, "%d params: at most %d", len(params), C.OMEN_MAX_PARAMS)
	}
	raw, err := c.acquire()
	if err != nil {
		return nil, err
	}
	defer c.release()
	var mem arena
	defer mem.free()
	first := (*C.omen_param)(mem.alloc(len(params) * C.sizeof_omen_param))
	for i, value := range params {
		if err := bind(&mem, &unsafe.Slice(first, len(params))[i], i+1, value); err != nil {
			return nil, err
		}
	}
	var out *C.omen_filter
	var cerr C.omen_error
	status := C.omen_filter_compile(raw, (*C.char)(mem.bytes([]byte(text))), C.size_t(len(text)),
		first, C.uint64_t(len(params)), &out, &cerr)
	if err := failure(status, &cerr); err != nil {
		return nil, err
	}
	return newFilter(out), nil
}

// FilterKeys makes a filter that the items of these keys pass, as far as they are there when it is used.
func (c *Collection) FilterKeys(keys []uint64) (*Filter, error) {
	raw, err := c.acquire()
	if err != nil {
		return nil, err
	}
	defer c.release()
	var first *C.uint64_t
	if len(keys) > 0 {
		first = (*C.uint64_t)(unsafe.Pointer(&keys[0]))
	}
	var out *C.omen_filter
	var cerr C.omen_error
	status := C.omen_filter_from_keys(raw, first, C.uint64_t(len(keys)), &out, &cerr)
	if err := failure(status, &cerr); err != nil {
		return nil, err
	}
	return newFilter(out), nil
}

// bind puts one value, or those of a slice, into memory of C.
func bind(mem *arena, param *C.omen_param, position int, value interface{}) error {
	values := []reflect.Value{reflect.ValueOf(value)}
	if slice := values[0]; slice.Kind() == reflect.Slice && slice.Type().Elem().Kind() != reflect.Uint8 {
		values = make([]reflect.Value, slice.Len())
		for i := range values {
			values[i] = slice.Index(i)
		}
	}
	if len(values) > C.OMEN_MAX_ARRAY {
		return invalid(DetailLimit, "$%d has %d values: at most %d", position, len(values), C.OMEN_MAX_ARRAY)
	}
	kind, data, offsets := FieldType(0), []byte{}, []byte{}
	offsets = append64(offsets, 0)
	for _, one := range values {
		k, bytes := scalar(one)
		if k == 0 || (kind != 0 && k != kind) {
			return invalid(DetailType, "$%d of type %T cannot be bound", position, value)
		}
		kind, data = k, append(data, bytes...)
		offsets = append64(offsets, uint64(len(data)))
	}
	if kind == 0 {
		kind = TypeString // of no values
	}
	param._type, param.count = C.uint32_t(kind), C.uint32_t(len(values))
	param.data, param.offsets = mem.bytes(data), (*C.uint64_t)(mem.bytes(offsets))
	return nil
}

// native is the byte order of this machine.
var native binary.ByteOrder = func() binary.ByteOrder {
	one := uint16(1)
	if *(*byte)(unsafe.Pointer(&one)) == 1 {
		return binary.LittleEndian
	}
	return binary.BigEndian
}()

func append64(to []byte, number uint64) []byte {
	var bytes [8]byte
	native.PutUint64(bytes[:], number)
	return append(to, bytes[:]...)
}

// scalar gives the type and the bytes of a value; 0 where it has none.
func scalar(value reflect.Value) (FieldType, []byte) {
	if value.Kind() == reflect.Interface {
		value = value.Elem()
	}
	if !value.IsValid() {
		return 0, nil
	}
	if t, is := value.Interface().(time.Time); is {
		return TypeTime, append64(nil, uint64(t.UnixMicro()))
	}
	switch value.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return TypeInt64, append64(nil, uint64(value.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if value.Uint() > math.MaxInt64 {
			return 0, nil
		}
		return TypeInt64, append64(nil, value.Uint())
	case reflect.Float32, reflect.Float64:
		return TypeDouble, append64(nil, math.Float64bits(value.Float()))
	case reflect.Bool:
		if value.Bool() {
			return TypeBool, []byte{1}
		}
		return TypeBool, []byte{0}
	case reflect.String:
		return TypeString, []byte(value.String())
	case reflect.Slice:
		if value.Type().Elem().Kind() == reflect.Uint8 {
			return TypeBytes, value.Bytes()
		}
	}
	return 0, nil
}

// CountWhere is the number of live items that pass; filter nil: of all.
func (c *Collection) CountWhere(filter *Filter) (uint64, error) {
	raw, err := c.acquire()
	if err != nil {
		return 0, err
	}
	defer c.release()
	passing, letGo, err := filter.use()
	if err != nil {
		return 0, err
	}
	defer letGo()
	var count C.uint64_t
	var cerr C.omen_error
	err = failure(C.omen_count_where(raw, passing, &count, &cerr), &cerr)
	return uint64(count), err
}

// DeleteWhere removes the items that pass; Write.Applied counts them.
func (c *Collection) DeleteWhere(ctx context.Context, filter *Filter) (Write, error) {
	if filter == nil {
		return Write{}, invalid(DetailNone, `a filter is needed: "TRUE" passes everything`)
	}
	raw, err := c.acquire()
	if err != nil {
		return Write{}, err
	}
	defer c.release()
	passing, letGo, err := filter.use()
	if err != nil {
		return Write{}, err
	}
	defer letGo()
	op, done, err := watch(ctx)
	if err != nil {
		return Write{}, err
	}
	var result C.omen_write_result
	var cerr C.omen_error
	result.struct_size = C.uint32_t(unsafe.Sizeof(result))
	status := C.omen_delete_where(raw, passing, nil, &result, op, &cerr)
	if err := done(failure(status, &cerr)); err != nil {
		return Write{}, err
	}
	return written(&result), nil
}
