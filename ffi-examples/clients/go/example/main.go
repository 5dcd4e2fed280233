// example ADDRESS COLLECTION STREAM_ID BATCHES ROWS DIM - writes made-up rows, and goes on where it was. Row i
// has id i, the values (31 i + 7 d) mod 1000, and as metadata its batch and whether it is even. As for the omen
// tool OMEN_KEY_FILE names a file with the key, OMEN_TLS_CA the roots to trust, OMEN_TLS_CERT and OMEN_TLS_KEY the
// client's certificate.
// SPDX-License-Identifier: Apache-2.0
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"

	omenstream "github.com/omendb/omendb/ffi-examples/clients/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

func read(path string) []byte {
	text, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	return text
}

// access is TLS and key, as the environment has them.
func access() []grpc.DialOption {
	transport := insecure.NewCredentials()
	if roots := os.Getenv("OMEN_TLS_CA"); roots != "" {
		config := &tls.Config{RootCAs: x509.NewCertPool()}
		if !config.RootCAs.AppendCertsFromPEM(read(roots)) {
			log.Fatalf("%s: no certificate in it", roots)
		}
		if file := os.Getenv("OMEN_TLS_CERT"); file != "" {
			pair, err := tls.LoadX509KeyPair(file, os.Getenv("OMEN_TLS_KEY"))
			if err != nil {
				log.Fatal(err)
			}
			config.Certificates = []tls.Certificate{pair}
		}
		transport = credentials.NewTLS(config)
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(transport)}
	if file := os.Getenv("OMEN_KEY_FILE"); file != "" {
		key := omenstream.Key(strings.TrimSpace(string(read(file))))
		options = append(options, grpc.WithPerRPCCredentials(key))
	}
	return options
}

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
	writer, err := omenstream.Open(os.Args[1], os.Args[2], os.Args[3], nil, access()...)
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
