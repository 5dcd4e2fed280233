// example ADDRESS COLLECTION STREAM_ID BATCHES ROWS DIM - writes made-up rows, and goes on where it was. Row i
// has id i, the values (31 i + 7 d) mod 1000, and as metadata its batch and whether it is even.
// SPDX-License-Identifier: Apache-2.0
package main

import (
	"fmt"
	"log"
	"os"
	"strconv"

	omenstream "github.com/omendb/omendb/ffi-examples/clients/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 7 {
		log.Fatal("usage: example ADDRESS COLLECTION STREAM_ID BATCHES ROWS DIM")
	}
	var numbers [3]int
	for i := range numbers {
		var err error
		if numbers[i], err = strconv.Atoi(os.Args[4+i]); err != nil {
			log.Fatal(err)
		}
	}
	batches, rows, dim := numbers[0], numbers[1], numbers[2]
	writer, err := omenstream.Open(os.Args[1], os.Args[2], os.Args[3], nil,
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("example: %d batches were there\n", writer.LastSeq)
	for batch := int(writer.LastSeq); batch < batches; batch++ {
		ids := make([]uint64, rows)
		values := make([]float32, rows*dim)
		metadata := make([][]byte, rows)
		for i := range ids {
			ids[i] = uint64(batch*rows + i)
			metadata[i] = []byte(fmt.Sprintf(`{"batch": %d, "even": %t}`, batch, ids[i]%2 == 0))
			for d := 0; d < dim; d++ {
				values[i*dim+d] = float32((31*(batch*rows+i) + 7*d) % 1000)
			}
		}
		if err := writer.Write(ids, values, dim, metadata...); err != nil {
			log.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("example: %d batches are durable\n", batches)
}
