package conntrack

import (
	"context"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
)

// Writer carries out batches of operations, over a socket of its own. It is not for
// several goroutines.
type Writer struct {
	conn    *nfnetlink.Conn
	results []Result
	recv    []byte
	decode  decoder
}

// Result is what became of one operation of a [Batch].
type Result struct {
	Err  error     // nil, or an *OpError
	Flow flow.Flow // of Get and GetAndZero
}

// NewWriter opens a Writer. Close it when done.
func (c *Client) NewWriter() (*Writer, error) {
	conn, err := c.open(nfnetlink.Options{})
	if err != nil {
		return nil, wrap(opDial, err)
	}
	// Room for the answers to a full batch; a caller who may not have it
	// still has enough for MaxBatch refusals.
	conn.SetReadBuffer(1 << 20)
	return &Writer{conn: conn, recv: make([]byte, nfnetlink.Room)}, nil
}

// Close closes the writer's socket.
func (w *Writer) Close() error { return w.conn.Close() }

// PortID is the netlink port of the writer's socket, by which events name who asked for
// a change (flow.Event).
func (w *Writer) PortID() uint32 { return w.conn.PortID() }

// Do carries out the operations of b and returns a result for each, valid until the
// next call. The error is about the batch as a whole: which operations were
// carried out is not known then, and the Writer must be closed.
func (w *Writer) Do(ctx context.Context, b *Batch) ([]Result, error) {
	n := b.Len()
	if n == 0 {
		return nil, nil
	}
	if cap(w.results) < n {
		w.results = make([]Result, n)
	}
	w.results = w.results[:n]
	clear(w.results)
	op := operationNames[b.ops[0]]
	if err := ctx.Err(); err != nil {
		return nil, wrap(op, err)
	}
	stop := watch(ctx, w.conn)
	defer stop()

	// Only failures are answered, and the last message, so that the end is seen.
	b.msgs.SetFlags(nfnetlink.Ack)
	if err := w.conn.Send(b.msgs.Bytes()); err != nil {
		return nil, wrap(op, because(ctx, err))
	}
	for done := false; !done; {
		got, err := w.conn.Recv(w.recv)
		if err != nil {
			return nil, wrap(op, because(ctx, err))
		}
		for rest := w.recv[:got]; len(rest) > 0 && !done; {
			var m nfnetlink.Message
			if m, rest, err = nfnetlink.Next(rest); err != nil {
				return nil, wrap(op, err)
			}
			done = w.answer(b, &m)
		}
	}
	return w.results, nil
}

// answer files one answer, and reports whether it was the last.
func (w *Writer) answer(b *Batch, m *nfnetlink.Message) (last bool) {
	i := int(m.Seq) - firstSeq
	if i < 0 || i >= len(w.results) {
		return false
	}
	r, op := &w.results[i], b.ops[i]
	if end, err := m.End(); end {
		if r.Err == nil {
			r.Err = wrap(operationNames[op], err)
		}
		return i == len(w.results)-1
	}
	if op == get {
		if err := w.decode.flow(m, &r.Flow); err != nil {
			r.Err = wrap(opGet, err)
		}
	}
	return false
}
