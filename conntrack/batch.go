package conntrack

import (
	"context"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
)

// MaxBatch is how many operations a [Batch] can hold. More would gain nothing,
// and their answers could overflow the socket of a caller who must not enlarge it.
const MaxBatch = 256

// Batch carries out several operations with one system call, about three times as
// fast as one at a time. They are done in order, and one that fails does not
// stop those behind it. Fill it, call Do, read the results, Reset.
//
// A Batch has a socket of its own; it is not for several goroutines.
type Batch struct {
	conn    *nfnetlink.Conn
	msgs    nfnetlink.Builder
	ops     []string // what each message is, for errors
	results []Result
	recv    []byte
	decode  decoder
	seq     uint32 // of the first message
}

// Result is what became of one operation.
type Result struct {
	Err  error     // nil, or an *OpError
	Flow flow.Flow // of Get and GetAndZero
}

// NewBatch returns an empty batch. Close it when done.
func (c *Client) NewBatch() (*Batch, error) {
	conn, err := c.open(nfnetlink.Options{})
	if err != nil {
		return nil, wrap(opDial, err)
	}
	// Room for the answers to a full batch; a caller who may not have it
	// still has enough for MaxBatch refusals.
	conn.SetReadBuffer(1 << 20)
	return &Batch{conn: conn, seq: 1}, nil
}

// Close closes the batch's socket.
func (b *Batch) Close() error { return b.conn.Close() }

// Len returns the number of operations.
func (b *Batch) Len() int { return len(b.ops) }

// Full reports whether the batch holds MaxBatch operations; adding another panics.
func (b *Batch) Full() bool { return len(b.ops) >= MaxBatch }

// Reset empties the batch. Results returned by Do are no longer valid.
func (b *Batch) Reset() {
	b.seq += uint32(len(b.ops))
	b.msgs.Reset()
	b.ops = b.ops[:0]
}

func (b *Batch) begin(op string, kind uint8, flags uint16, t *flow.Tuple) {
	if b.Full() {
		panic("conntrack: operation added to a full Batch")
	}
	b.msgs.Begin(nfnetlink.Conntrack, kind, flags, b.seq+uint32(len(b.ops)), uint8(t.Family()), 0)
	b.ops = append(b.ops, op)
}

// Create adds the making of a flow; see [Client.Create]. e may be reused.
func (b *Batch) Create(e *Entry) {
	b.begin(opCreate, msgNew, nfnetlink.Create|nfnetlink.Excl, &e.Orig)
	appendEntry(&b.msgs, e, true)
	b.msgs.End()
}

// Put adds the making or changing of a flow; see [Client.Put].
func (b *Batch) Put(e *Entry) {
	b.begin(opPut, msgNew, nfnetlink.Create, &e.Orig)
	appendEntry(&b.msgs, e, true)
	b.msgs.End()
}

// Update adds the changing of the flow that has e.Orig; e.Reply is not used. See
// [Client.Update].
func (b *Batch) Update(e *Entry) {
	b.begin(opUpdate, msgNew, 0, &e.Orig)
	appendEntry(&b.msgs, e, false)
	b.msgs.End()
}

// Delete adds the removal of a flow; see [Client.Delete].
func (b *Batch) Delete(f *flow.Flow) {
	b.begin(opDelete, msgDelete, 0, &f.Orig)
	appendTuple(&b.msgs, ctaTupleOrig, &f.Orig)
	if f.Zone != 0 {
		b.msgs.Uint16(ctaZone, f.Zone)
	}
	if f.Has.Has(flow.HasID) {
		b.msgs.Uint32(ctaID, f.ID)
	}
	b.msgs.End()
}

// Get adds a lookup; see [Client.Get].
func (b *Batch) Get(t *flow.Tuple, zone uint16) { b.get(msgGet, t, zone) }

// GetAndZero adds a lookup that zeroes counters; see [Client.GetAndZero].
func (b *Batch) GetAndZero(t *flow.Tuple, zone uint16) { b.get(msgGetZero, t, zone) }

func (b *Batch) get(kind uint8, t *flow.Tuple, zone uint16) {
	b.begin(opGet, kind, 0, t)
	appendTuple(&b.msgs, ctaTupleOrig, t)
	if zone != 0 {
		b.msgs.Uint16(ctaZone, zone)
	}
	b.msgs.End()
}

// Do carries the operations out and returns a result for each, valid until Reset.
// The error is about the batch as a whole; which operations were carried out is
// not known then.
func (b *Batch) Do(ctx context.Context) ([]Result, error) {
	n := len(b.ops)
	if n == 0 {
		return nil, nil
	}
	if cap(b.results) < n {
		b.results = make([]Result, n)
	}
	b.results = b.results[:n]
	for i := range b.results {
		b.results[i].Err = nil
	}
	if b.recv == nil {
		b.recv = make([]byte, nfnetlink.Room)
	}
	stop := watch(ctx, b.conn)
	defer stop()

	// Only failures are answered, and the last message, so that the end is seen.
	b.msgs.SetFlags(nfnetlink.Ack)
	if err := b.conn.Send(b.msgs.Bytes()); err != nil {
		return nil, wrap(b.ops[0], because(ctx, err))
	}
	for done := false; !done; {
		got, err := b.conn.Recv(b.recv)
		if err != nil {
			return nil, wrap(b.ops[0], because(ctx, err))
		}
		for rest := b.recv[:got]; len(rest) > 0 && !done; {
			var m nfnetlink.Message
			if m, rest, err = nfnetlink.Next(rest); err != nil {
				return nil, wrap(b.ops[0], err)
			}
			done = b.answer(&m)
		}
	}
	return b.results, nil
}

// answer files one answer, and reports whether it was the last.
func (b *Batch) answer(m *nfnetlink.Message) (last bool) {
	i := int(m.Seq - b.seq)
	if i < 0 || i >= len(b.results) {
		return false // of a request that was given up
	}
	r := &b.results[i]
	if end, err := m.End(); end {
		if r.Err == nil {
			r.Err = wrap(b.ops[i], err)
		}
		return i == len(b.results)-1
	}
	if b.ops[i] != opGet {
		return false
	}
	if err := b.decode.flow(m, &r.Flow); err != nil {
		r.Err = wrap(opGet, err)
	}
	return false
}
