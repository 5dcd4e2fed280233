// The first program: store three colours, find the nearest one, and the nearest one that is warm.
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
	type colour struct {
		Warm bool `json:"warm"`
	}
	batch := omen.Batch{
		Vectors:  omen.F32{1, 0, 0, 0, 1, 0, 0, 0, 1},
		Metadata: []colour{{true}, {false}, {false}},
	}
	if _, err := colours.Add(ctx, batch); err != nil {
		log.Fatal(err)
	}
	warm, err := colours.Filter("warm = $1", true)
	if err != nil {
		log.Fatal(err)
	}
	defer warm.Close()
	for _, filter := range []*omen.Filter{nil, warm} {
		query := omen.Query{Vectors: omen.F32{0.1, 0.9, 0}, K: 1, Filter: filter}
		hits, err := colours.Search(ctx, query)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(hits.Keys(0))
	}
	// Output:
	// [1]
	// [0]
}
