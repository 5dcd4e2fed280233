// Items as they are stored, facets, and listings.
// SPDX-License-Identifier: Apache-2.0

package omen

/*
#include <omen.h>
*/
import "C"

import (
	"encoding/json"
	"unsafe"
)

// Item is one item as it is stored.
type Item struct {
	Key      uint64
	ID       interface{}     // uint64, [16]byte or string
	Metadata json.RawMessage // an object, its fields in the order of Fields
	Version  uint64          // for Batch.IfVersion
}

// Decode puts the metadata into a map or a struct, as json.Unmarshal does.
func (item *Item) Decode(to interface{}) error { return json.Unmarshal(item.Metadata, to) }

// Facet is a value of a field, and how many items have it.
type Facet struct {
	Value json.RawMessage // a string is in quotes
	Count uint64
}

// values copies the values of a column out of rows; they live as long as these.
func values(rows *C.omen_rows, field C.uint32_t, count int) [][]byte {
	var column C.omen_column
	C.omen_rows_column(rows, field, &column)
	out := make([][]byte, count)
	for i := range out {
		from, to := C.int64_t(i)*C.int64_t(column.width), C.int64_t(i+1)*C.int64_t(column.width)
		if column.offset_bits == 64 {
			offsets := unsafe.Slice((*C.int64_t)(column.offsets), count+1)
			from, to = offsets[i], offsets[i+1]
		}
		out[i] = C.GoBytes(unsafe.Add(unsafe.Pointer(column.data), from), C.int(to-from))
	}
	return out
}

// Fetch returns the items of keys as searches return them, nil where one is absent, all of one moment.
// With fields only these are in their metadata.
func (c *Collection) Fetch(keys []uint64, fields ...string) ([]*Item, error) {
	const wanted = C.OMEN_FIELD_ID | C.OMEN_FIELD_METADATA | C.OMEN_FIELD_VERSION
	if len(keys) == 0 {
		return []*Item{}, nil
	}
	raw, err := c.acquire()
	if err != nil {
		return nil, err
	}
	defer c.release()
	var mem arena
	defer mem.free()
	var rows *C.omen_rows
	var cerr C.omen_error
	first, count := (*C.uint64_t)(unsafe.Pointer(&keys[0])), C.uint64_t(len(keys))
	status := C.omen_status_t(C.OMEN_OK)
	if len(fields) == 0 {
		status = C.omen_fetch(raw, first, count, wanted, &rows, &cerr)
	} else {
		names := (**C.char)(mem.alloc(len(fields) * int(unsafe.Sizeof((*C.char)(nil)))))
		for i, field := range fields {
			name, err := mem.text("the field", field)
			if err != nil {
				return nil, err
			}
			unsafe.Slice(names, len(fields))[i] = name
		}
		status = C.omen_fetch_fields(raw, first, count, wanted, names, C.uint64_t(len(fields)), &rows, &cerr)
	}
	if err := failure(status, &cerr); err != nil {
		return nil, err
	}
	defer C.omen_rows_free(rows)
	ids := values(rows, C.OMEN_FIELD_ID, len(keys))
	metadata, versions := values(rows, C.OMEN_FIELD_METADATA, len(keys)), values(rows, C.OMEN_FIELD_VERSION, len(keys))
	items := make([]*Item, len(keys))
	for i, key := range keys {
		if version := native.Uint64(versions[i]); version != 0 {
			items[i] = &Item{Key: key, ID: c.id(ids[i]), Metadata: metadata[i], Version: version}
		}
	}
	return items, nil
}

// id turns the bytes of an id into its Go type.
func (c *Collection) id(bytes []byte) interface{} {
	switch c.ids {
	case IDUUID:
		var id [16]byte
		copy(id[:], bytes)
		return id
	case IDString:
		return string(bytes)
	default:
		return native.Uint64(bytes)
	}
}

// Get returns the items of ids, nil where one is absent; see Fetch.
func (c *Collection) Get(ids IDs, fields ...string) ([]*Item, error) {
	keys, _, err := c.Lookup(ids)
	if err != nil {
		return nil, err
	}
	return c.Fetch(keys, fields...)
}

// Facet returns the values of a field among the items that pass (of an array: each of its different
// values) and how many have each: the most frequent first, at most limit. filter nil: of all.
func (c *Collection) Facet(field string, filter *Filter, limit uint32) ([]Facet, error) {
	raw, err := c.acquire()
	if err != nil {
		return nil, err
	}
	defer c.release()
	passing, letGo, err := filter.use()
	if err != nil {
		return nil, err
	}
	defer letGo()
	var mem arena
	defer mem.free()
	name, err := mem.text("the field", field)
	if err != nil {
		return nil, err
	}
	var rows *C.omen_rows
	var cerr C.omen_error
	if err := failure(C.omen_facet(raw, passing, name, C.uint32_t(limit), &rows, &cerr), &cerr); err != nil {
		return nil, err
	}
	defer C.omen_rows_free(rows)
	count := int(C.omen_rows_count(rows))
	counts := values(rows, C.OMEN_FIELD_COUNT, count)
	facets := make([]Facet, count)
	for i, value := range values(rows, C.OMEN_FIELD_VALUE, count) {
		facets[i] = Facet{Value: value, Count: native.Uint64(counts[i])}
	}
	return facets, nil
}

// Listing says which items Items returns, and in which order. Zero means the default.
type Listing struct {
	Filter     *Filter
	OrderBy    string // a field that is no array, geo or text, nulls last; "": in the order of writing
	Descending bool
	Fields     []string // only these fields in the metadata; nil: all
	Page       int      // items fetched at once; 0: 1,000
}

// Items goes through a listing, as it was when it began:
//
//	items, err := films.Items(omen.Listing{OrderBy: "year"})
//	defer items.Close()
//	for items.Next() {
//		fmt.Println(items.Item().ID)
//	}
//	err = items.Err()
//
// It is for one goroutine.
type Items struct {
	view    *Collection
	listing Listing
	page    []*Item
	at      int
	keys    []uint64 // of the last page
	began   bool
	err     error
}

// Items begins a listing of all items that pass. Close it: it keeps old segments alive.
func (c *Collection) Items(listing Listing) (*Items, error) {
	if listing.Page <= 0 {
		listing.Page = 1000
	}
	view, err := c.Snapshot()
	if err != nil {
		return nil, err
	}
	return &Items{view: view, listing: listing, at: -1}, nil
}

// Next goes to the next item; false: there is none, or Err tells why not.
func (it *Items) Next() bool {
	it.at++
	for it.at >= len(it.page) {
		if it.err != nil || (it.began && len(it.keys) < it.listing.Page) {
			return false
		}
		it.err = it.next()
		it.at = 0
	}
	return true
}

// Item is the one that Next has gone to.
func (it *Items) Item() *Item { return it.page[it.at] }

// Err is what ended the listing early, or nil.
func (it *Items) Err() error { return it.err }

// Close frees what the listing holds. Closing again does nothing.
func (it *Items) Close() error {
	it.page, it.keys, it.began = nil, nil, true
	return it.view.Close()
}

// next fetches a page.
func (it *Items) next() error {
	raw, err := it.view.acquire()
	if err != nil {
		return err
	}
	defer it.view.release()
	filter, letGo, err := it.listing.Filter.use()
	if err != nil {
		return err
	}
	defer letGo()
	var mem arena
	defer mem.free()
	listing := C.omen_listing{struct_size: C.sizeof_omen_listing, filter: filter}
	if listing.order_by, err = mem.text("the field", it.listing.OrderBy); err != nil {
		return err
	}
	if it.listing.Descending {
		listing.flags |= C.OMEN_LIST_DESCENDING
	}
	if it.began {
		listing.flags |= C.OMEN_LIST_AFTER
		listing.after = C.uint64_t(it.keys[len(it.keys)-1])
	}
	keys := make([]uint64, it.listing.Page)
	var count C.uint64_t
	var cerr C.omen_error
	status := C.omen_list_items(raw, &listing, (*C.uint64_t)(unsafe.Pointer(&keys[0])),
		C.uint64_t(len(keys)), &count, &cerr)
	it.page, it.keys, it.began = nil, nil, true
	if err := failure(status, &cerr); err != nil {
		return err
	}
	it.keys = keys[:count]
	it.page, err = it.view.Fetch(it.keys, it.listing.Fields...)
	return err
}
