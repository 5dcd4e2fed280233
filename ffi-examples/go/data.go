// Vectors and ids as they travel: slices of numbers, passed without a copy.
// SPDX-License-Identifier: Apache-2.0

package omen

/*
#include <omen.h>
*/
import "C"

import "unsafe"

// Vectors are rows of equal length, one after the other: F32, F16, I8 or U8.
type Vectors interface {
	// view gives the type, the address and the number of elements.
	view() (DataType, unsafe.Pointer, int)
}

// F32 are 32-bit floating point elements.
type F32 []float32

// F16 are the bits of 16-bit floating point elements (IEEE 754 binary16).
type F16 []uint16

// I8 are signed bytes.
type I8 []int8

// U8 are unsigned bytes.
type U8 []uint8

func (v F32) view() (DataType, unsafe.Pointer, int) {
	if len(v) == 0 {
		return Float32, nil, 0
	}
	return Float32, unsafe.Pointer(&v[0]), len(v)
}

func (v F16) view() (DataType, unsafe.Pointer, int) {
	if len(v) == 0 {
		return Float16, nil, 0
	}
	return Float16, unsafe.Pointer(&v[0]), len(v)
}

func (v I8) view() (DataType, unsafe.Pointer, int) {
	if len(v) == 0 {
		return Int8, nil, 0
	}
	return Int8, unsafe.Pointer(&v[0]), len(v)
}

func (v U8) view() (DataType, unsafe.Pointer, int) {
	if len(v) == 0 {
		return Uint8, nil, 0
	}
	return Uint8, unsafe.Pointer(&v[0]), len(v)
}

// IDs of items, of the collection's type: Uint64s, UUIDs or Strings.
type IDs interface {
	column() idColumn
}

// Uint64s are ids that are numbers.
type Uint64s []uint64

// UUIDs are ids of sixteen bytes.
type UUIDs [][16]byte

// Strings are ids that are UTF-8 text, at most 512 bytes each.
type Strings []string

// idColumn is what the library takes: one block of bytes, and offsets for text.
type idColumn struct {
	idType  IDType
	count   int
	data    unsafe.Pointer
	offsets *C.int64_t
}

// absent keeps the pointer of an empty column from being NULL, which would mean "no ids".
var absent [16]byte

func (ids Uint64s) column() idColumn {
	c := idColumn{IDUint64, len(ids), unsafe.Pointer(&absent[0]), nil}
	if len(ids) > 0 {
		c.data = unsafe.Pointer(&ids[0])
	}
	return c
}

func (ids UUIDs) column() idColumn {
	c := idColumn{IDUUID, len(ids), unsafe.Pointer(&absent[0]), nil}
	if len(ids) > 0 {
		c.data = unsafe.Pointer(&ids[0])
	}
	return c
}

func (ids Strings) column() idColumn {
	offsets := make([]C.int64_t, len(ids)+1)
	bytes := []byte{}
	for i, id := range ids {
		bytes = append(bytes, id...)
		offsets[i+1] = C.int64_t(len(bytes))
	}
	c := idColumn{IDString, len(ids), unsafe.Pointer(&absent[0]), &offsets[0]}
	if len(bytes) > 0 {
		c.data = unsafe.Pointer(&bytes[0])
	}
	return c
}

// rowsOf turns elements into rows; the library cannot know where a slice ends.
func rowsOf(elements int, dim uint32) (int, error) {
	if dim == 0 || elements%int(dim) != 0 {
		return 0, invalid(DetailDimMismatch, "%d elements are no whole vectors of dimension %d",
			elements, dim)
	}
	return elements / int(dim), nil
}
