// The first program: store three vectors, find the nearest one.
// SPDX-License-Identifier: Apache-2.0

package omen_test

import (
	"context"
	"fmt"
	"log"

	omen "github.com/omendb/omendb/ffi-examples/go"
)

func Example() {
	ctx := context.Background()
	db, err := omen.OpenMemory(omen.DBOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	colours, err := db.Create("colours", omen.Options{Dim: 3, Metric: omen.Cosine})
	if err != nil {
		log.Fatal(err)
	}
	defer colours.Close()
	batch := omen.Batch{Vectors: omen.F32{1, 0, 0, 0, 1, 0, 0, 0, 1}}
	if _, err := colours.Add(ctx, batch); err != nil {
		log.Fatal(err)
	}
	hits, err := colours.Search(ctx, omen.Query{Vectors: omen.F32{0.1, 0.9, 0}, K: 1})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(hits.Keys(0))
	// Output: [1]
}
