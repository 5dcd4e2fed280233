// Metadata of items: objects on their way in, and the fields that are known.
// SPDX-License-Identifier: Apache-2.0

package omen

/*
#include <stdlib.h>
#include <string.h>
#include <omen.h>
*/
import "C"

import (
	"encoding/json"
	"reflect"
	"strings"
	"unsafe"
)

// arena is memory of C for one call: structs of Go may point to it.
type arena struct{ blocks []unsafe.Pointer }

// alloc gives size bytes of zero, aligned for everything. It never gives NULL.
func (mem *arena) alloc(size int) unsafe.Pointer {
	block := C.malloc(C.size_t(size + 1)) // cgo panics where there is no memory
	C.memset(block, 0, C.size_t(size+1))
	mem.blocks = append(mem.blocks, block)
	return block
}

func (mem *arena) bytes(data []byte) unsafe.Pointer {
	block := mem.alloc(len(data))
	copy(unsafe.Slice((*byte)(block), len(data)), data)
	return block
}

// text gives a NUL-terminated copy; NULL for "".
func (mem *arena) text(what, text string) (*C.char, error) {
	if text == "" {
		return nil, nil
	}
	if strings.IndexByte(text, 0) >= 0 {
		return nil, invalid(DetailName, "%s contains a NUL", what)
	}
	return (*C.char)(mem.bytes([]byte(text))), nil
}

func (mem *arena) free() {
	for _, block := range mem.blocks {
		C.free(block)
	}
	mem.blocks = nil
}

// jsonColumn is a JSON object for each item, in memory of Go.
type jsonColumn struct {
	count   int
	data    unsafe.Pointer
	offsets *C.int64_t
}

// encode turns a slice of anything that encoding/json takes into a column.
func encode(metadata interface{}) (jsonColumn, error) {
	if metadata == nil {
		return jsonColumn{}, nil
	}
	all := reflect.ValueOf(metadata)
	if all.Kind() != reflect.Slice || all.Type().Elem().Kind() == reflect.Uint8 {
		return jsonColumn{}, invalid(DetailType, "metadata must be a slice of objects, not %T", metadata)
	}
	offsets, data := make([]C.int64_t, all.Len()+1), []byte{}
	for i := 0; i < all.Len(); i++ {
		text, err := encodeOne(all.Index(i))
		if err != nil {
			failed := invalid(DetailMetadata, "metadata of item %d: %v", i, err).(*Error)
			failed.Item = uint64(i)
			return jsonColumn{}, failed
		}
		data = append(data, text...)
		offsets[i+1] = C.int64_t(len(data))
	}
	data = append(data, 0) // a pointer to no bytes would mean "absent"
	return jsonColumn{all.Len(), unsafe.Pointer(&data[0]), &offsets[0]}, nil
}

// encodeOne gives the text of one object; nil is none, which stands for {}.
func encodeOne(value reflect.Value) ([]byte, error) {
	switch value.Kind() {
	case reflect.Map, reflect.Ptr, reflect.Interface:
		if value.IsNil() {
			return nil, nil
		}
	}
	switch object := value.Interface().(type) {
	case json.RawMessage: // the library checks it, and says more about what is wrong
		return object, nil
	case []byte:
		return object, nil
	default:
		return json.Marshal(object)
	}
}

// FieldType is the type of a field of the metadata. It never changes.
type FieldType uint32

// The types. Strings, integers, doubles, bools and arrays of one of them become fields by themselves; the
// others are declared.
const (
	TypeString FieldType = C.OMEN_TYPE_STRING
	TypeInt64  FieldType = C.OMEN_TYPE_INT64
	TypeDouble FieldType = C.OMEN_TYPE_DOUBLE
	TypeBool   FieldType = C.OMEN_TYPE_BOOL
	TypeTime   FieldType = C.OMEN_TYPE_TIME  // time.Time; RFC 3339 with a zone, kept in microseconds
	TypeBytes  FieldType = C.OMEN_TYPE_BYTES // []byte; base64 in JSON
	TypeGeo    FieldType = C.OMEN_TYPE_GEO   // {"lat": y, "lon": x} in degrees
	TypeText   FieldType = C.OMEN_TYPE_TEXT  // a string whose words are indexed
	TypeArray  FieldType = C.OMEN_TYPE_ARRAY // or-ed to one of the first six
)

// Field is a field of the metadata, declared or seen.
type Field struct {
	Name       string
	Type       FieldType
	Weight     float32 // TypeText: of its score; 0: 1
	Language   string  // TypeText: a Snowball algorithm; "": english
	StopWords  bool    // TypeText: leave out Lucene's 33 English stop words
	NoStemming bool    // TypeText: words as they are, folded
}

// rawFields puts fields into memory of C. A text that does not fit stays without its NUL, which the
// library refuses.
func rawFields(mem *arena, fields []Field) (*C.omen_field, error) {
	if len(fields) == 0 {
		return nil, nil
	}
	first := (*C.omen_field)(mem.alloc(len(fields) * C.sizeof_omen_field))
	for i, field := range fields {
		raw := &unsafe.Slice(first, len(fields))[i]
		if strings.IndexByte(field.Name+field.Language, 0) >= 0 {
			return nil, invalid(DetailName, "field %q contains a NUL", field.Name)
		}
		for j := 0; j < len(field.Name) && j < len(raw.name); j++ {
			raw.name[j] = C.char(field.Name[j])
		}
		for j := 0; j < len(field.Language) && j < len(raw.language); j++ {
			raw.language[j] = C.char(field.Language[j])
		}
		raw._type, raw.weight = C.uint32_t(field.Type), C.float(field.Weight)
		if field.StopWords {
			raw.flags |= C.OMEN_FIELD_STOP_WORDS
		}
		if field.NoStemming {
			raw.flags |= C.OMEN_FIELD_NO_STEMMING
		}
	}
	return first, nil
}

// DeclareFields declares more fields. One that is there as it is declared is fine; otherwise the error is
// AlreadyExists with DetailField, and none is added.
func (c *Collection) DeclareFields(fields ...Field) error {
	raw, err := c.acquire()
	if err != nil {
		return err
	}
	defer c.release()
	var mem arena
	defer mem.free()
	first, err := rawFields(&mem, fields)
	if err != nil {
		return err
	}
	var cerr C.omen_error
	return failure(C.omen_declare_fields(raw, first, C.uint64_t(len(fields)), &cerr), &cerr)
}

// Fields returns the fields of the metadata, in the order of their appearance.
func (c *Collection) Fields() ([]Field, error) {
	raw, err := c.acquire()
	if err != nil {
		return nil, err
	}
	defer c.release()
	var page [C.OMEN_MAX_FIELDS]C.omen_field
	var count C.uint64_t
	var cerr C.omen_error
	status := C.omen_list_fields(raw, &page[0], C.OMEN_MAX_FIELDS, &count, &cerr)
	if err := failure(status, &cerr); err != nil {
		return nil, err
	}
	fields := make([]Field, count)
	for i := range fields {
		f := &page[i]
		fields[i] = Field{
			Name: C.GoString(&f.name[0]), Type: FieldType(f._type), Weight: float32(f.weight),
			Language:   C.GoString(&f.language[0]),
			StopWords:  f.flags&C.OMEN_FIELD_STOP_WORDS != 0,
			NoStemming: f.flags&C.OMEN_FIELD_NO_STEMMING != 0,
		}
	}
	return fields, nil
}
