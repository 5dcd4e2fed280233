// Package omenstream writes batches to OmenDB through Items.StreamWrite and survives anything: lost
// connections, a server that is killed and started again, a client that is. One file, to be copied.
//
// The rules: batches carry seq 1, 2, 3, ... and are kept until the server says that they are durable; what is
// sent and not acknowledged stays within the window; after a reconnect Opened.last_seq tells where to go on.
//
// SPDX-License-Identifier: Apache-2.0
package omenstream

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/rand"
	"strings"
	"sync"
	"time"

	pb "github.com/omendb/omendb/ffi-examples/clients/go/omenpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const backoffFirst, backoffMost = 100 * time.Millisecond, 5 * time.Second

type kept struct {
	message *pb.StreamWriteRequest
	seq     uint64
	bytes   int
}

// Writer is used by one goroutine; Refused is called by another one.
type Writer struct {
	LastSeq uint64 // what earlier runs with this stream id have written

	target  string
	open    *pb.StreamWriteRequest
	options []grpc.DialOption
	refused func(*pb.StreamWriteResponse_BatchError) error

	mu                           sync.Mutex
	changed                      *sync.Cond
	batches                      []kept // not yet acknowledged
	next, acked, sent            uint64
	keptBytes, sentBytes, window int
	opened, closing, draining    bool
	broken                       bool  // the connection is over
	err                          error // of the whole writer
	ended                        chan struct{}
}

// Key is an API key or a JWT that goes with every call: grpc.WithPerRPCCredentials(omenstream.Key("omen_...")).
// Over plain text others could read it: use that on this machine only.
type Key string

// GetRequestMetadata is called by gRPC.
func (k Key) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(k)}, nil
}

// RequireTransportSecurity is called by gRPC.
func (k Key) RequireTransportSecurity() bool { return false }

// Open connects and learns what the server has of the stream. refused gets every BatchError (the batch had no
// effect; its seq is used up); nil, or an error that it returns, ends the writer.
func Open(target, collection, streamID string, refused func(*pb.StreamWriteResponse_BatchError) error,
	options ...grpc.DialOption) (*Writer, error) {
	w := &Writer{target: target, options: options, refused: refused, ended: make(chan struct{})}
	w.changed = sync.NewCond(&w.mu)
	w.open = &pb.StreamWriteRequest{Message: &pb.StreamWriteRequest_Open_{Open: &pb.StreamWriteRequest_Open{
		Collection: collection, StreamId: streamID}}}
	go w.run()
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.opened && w.err == nil {
		w.changed.Wait()
	}
	w.LastSeq = w.acked
	return w, w.err
}

// Write queues a batch and blocks while the credit is used up. rows: len(ids) * dim values. metadata: a JSON
// object an item, or none at all.
func (w *Writer) Write(ids []uint64, rows []float32, dim int, metadata ...[]byte) error {
	data := make([]byte, 4*len(rows))
	for i, value := range rows {
		binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(value))
	}
	wire := make([]byte, 8*len(ids))
	for i, id := range ids {
		binary.LittleEndian.PutUint64(wire[8*i:], id)
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	crc := crc32.Update(crc32.Checksum(wire, table), table, data)
	for _, object := range metadata {
		crc = crc32.Update(crc, table, object)
	}
	batch := &pb.WriteBatch{Crc32C: crc, Items: &pb.ItemBatch{
		Ids:      &pb.Ids{U64: ids},
		Vectors:  &pb.VectorColumn{Type: pb.DataType_DATA_TYPE_F32, Dim: uint32(dim), Data: data},
		Metadata: &pb.Metadata{Json: metadata}}}
	message := &pb.StreamWriteRequest{Message: &pb.StreamWriteRequest_Batch{Batch: batch}}
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.err == nil && len(w.batches) > 0 && w.keptBytes+len(data) > w.window {
		w.changed.Wait()
	}
	w.next++
	batch.Seq = w.next
	size := proto.Size(message)
	w.batches = append(w.batches, kept{message, w.next, size})
	w.keptBytes += size
	w.changed.Broadcast()
	return w.err
}

// Close returns when everything is durable.
func (w *Writer) Close() error {
	w.mu.Lock()
	w.closing = true
	w.changed.Broadcast()
	w.mu.Unlock()
	<-w.ended
	return w.err
}

// due is the next message that may be sent, or nil. mu is held.
func (w *Writer) due() *kept {
	for i := range w.batches {
		b := &w.batches[i]
		if b.seq > w.sent && (w.sentBytes == 0 || w.sentBytes+b.bytes <= w.window) {
			return b
		} else if b.seq > w.sent {
			return nil
		}
	}
	return nil
}

func (w *Writer) forget(seq uint64) {
	for len(w.batches) > 0 && w.batches[0].seq <= seq {
		w.keptBytes -= w.batches[0].bytes
		if w.batches[0].seq <= w.sent {
			w.sentBytes -= w.batches[0].bytes
		}
		w.batches = w.batches[1:]
	}
	if seq > w.acked {
		w.acked = seq
	}
}

func (w *Writer) take(m *pb.StreamWriteResponse) error {
	if e := m.GetError(); e != nil { // outside of the lock: it may take its time
		if w.refused == nil {
			return fmt.Errorf("batch %d was refused: %s: %s", e.Seq, e.Reason, e.Message)
		}
		return w.refused(e)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch m := m.Message.(type) {
	case *pb.StreamWriteResponse_Opened_:
		last := m.Opened.LastSeq
		if last < w.acked {
			return fmt.Errorf("the server has seq %d, and had acknowledged %d: it has lost data", last, w.acked)
		}
		w.sent, w.sentBytes = 0, 0
		w.forget(last)
		w.sent, w.window, w.opened = w.acked, int(m.Opened.WindowBytes), true
		if w.next < last {
			w.next = last
		}
	case *pb.StreamWriteResponse_Ack_:
		w.forget(m.Ack.DurableSeq)
	case *pb.StreamWriteResponse_Window_:
		w.window = int(m.Window.WindowBytes)
	case *pb.StreamWriteResponse_Draining_:
		w.draining = true // nothing more is sent; the server ends the call
	}
	w.changed.Broadcast()
	return nil
}

// send sends over one connection until it is over.
func (w *Writer) send(stream pb.Items_StreamWriteClient) {
	if stream.Send(w.open) != nil {
		return // the receiving side is told why
	}
	for {
		w.mu.Lock()
		b := w.due()
		for !w.broken && (!w.opened || w.draining || (b == nil && !(w.closing && w.sent == w.next))) {
			w.changed.Wait()
			b = w.due()
		}
		broken := w.broken
		if b != nil {
			w.sent, w.sentBytes = b.seq, w.sentBytes+b.bytes
		}
		w.mu.Unlock()
		if broken {
			return
		}
		message := &pb.StreamWriteRequest{Message: &pb.StreamWriteRequest_Close_{Close: &pb.StreamWriteRequest_Close{}}}
		if b != nil {
			message = b.message
		}
		if stream.Send(message) != nil || b == nil {
			return
		}
	}
}

// connect is one connection, to its end; io.EOF: the server has ended the call as it was asked to.
func (w *Writer) connect() error {
	conn, err := grpc.Dial(w.target, w.options...)
	if err != nil {
		return err
	}
	defer conn.Close()
	w.mu.Lock()
	w.opened, w.draining, w.broken = false, false, false
	w.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := pb.NewItemsClient(conn).StreamWrite(ctx, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	sender := make(chan struct{})
	go func() { w.send(stream); close(sender) }()
	for err == nil {
		var m *pb.StreamWriteResponse
		if m, err = stream.Recv(); err == nil {
			err = w.take(m)
		}
	}
	cancel()
	w.mu.Lock()
	w.broken = true
	w.changed.Broadcast()
	w.mu.Unlock()
	<-sender
	return err
}

// mayTryAgain: the connection is gone, the server stops, or it says (RetryInfo) that what is missing may come
// back.
func mayTryAgain(err error) bool {
	if err == io.EOF || status.Code(err) == codes.Unavailable {
		return true
	}
	for _, detail := range status.Convert(err).Proto().GetDetails() {
		if strings.HasSuffix(detail.TypeUrl, "google.rpc.RetryInfo") {
			return true
		}
	}
	return false
}

func (w *Writer) run() {
	defer close(w.ended)
	wait := backoffFirst
	for {
		err := w.connect()
		w.mu.Lock()
		done := err == io.EOF && w.closing && len(w.batches) == 0
		if !done && !mayTryAgain(err) {
			w.err = err
		}
		if w.opened {
			wait = backoffFirst
		}
		w.changed.Broadcast()
		over := done || w.err != nil
		w.mu.Unlock()
		if over {
			return
		}
		time.Sleep(wait/2 + time.Duration(rand.Int63n(int64(wait/2))))
		if wait *= 2; wait > backoffMost {
			wait = backoffMost
		}
	}
}
