package conntrack

import (
	"slices"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
)

// MaxBatch is how many operations a [Batch] can hold. More would gain nothing,
// and their answers could overflow the socket of a caller who must not enlarge it.
const MaxBatch = 256

// Batch is a list of operations that a [Writer] carries out with one system call,
// about three times as fast as one at a time. They are done in order, and one that
// fails does not stop those behind it. The zero Batch is empty and ready.
//
// A Batch holds messages and nothing else: it can be kept, carried out again, or by
// another Writer.
type Batch struct {
	msgs nfnetlink.Builder
	ops  []operation // what each message is, for errors
}

// operation is what a message of a batch asks for.
type operation uint8

const (
	create operation = iota
	put
	update
	remove
	get
	createExpect
	removeExpect
	flushExpects
)

var operationNames = [...]string{create: opCreate, put: opPut, update: opUpdate, remove: opDelete, get: opGet,
	createExpect: opCreateExpect, removeExpect: opDeleteExpect, flushExpects: opFlushExpects}

// Len returns the number of operations.
func (b *Batch) Len() int { return len(b.ops) }

// Full reports whether the batch holds MaxBatch operations; adding another panics.
func (b *Batch) Full() bool { return len(b.ops) >= MaxBatch }

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	b.msgs.Reset()
	b.ops = b.ops[:0]
}

// Grow makes room for n more operations.
func (b *Batch) Grow(n int) {
	const size = 240 // of the usual message
	b.msgs.Grow(n * size)
	b.ops = slices.Grow(b.ops, n)
}

// firstSeq is the sequence number of a batch's first message, from which the others
// count on.
const firstSeq = 1

func (b *Batch) begin(op operation, kind uint8, flags uint16, t *flow.Tuple) {
	b.msgs.Begin(nfnetlink.Conntrack, kind, flags, b.next(op), uint8(t.Family()), 0)
}

// next takes note of an operation and returns the sequence number of its message.
func (b *Batch) next(op operation) (seq uint32) {
	if b.Full() {
		panic("conntrack: operation added to a full Batch")
	}
	b.ops = append(b.ops, op)
	return uint32(firstSeq + len(b.ops) - 1)
}

// Create adds the making of a flow; see [Client.Create]. e may be reused.
func (b *Batch) Create(e *Entry) {
	b.begin(create, msgNew, nfnetlink.Create|nfnetlink.Excl, &e.Orig)
	appendEntry(&b.msgs, e, true)
	b.msgs.End()
}

// Put adds the making or changing of a flow; see [Client.Put].
func (b *Batch) Put(e *Entry) {
	b.begin(put, msgNew, nfnetlink.Create, &e.Orig)
	appendEntry(&b.msgs, e, true)
	b.msgs.End()
}

// Update adds the changing of the flow that has e.Orig; e.Reply is not used. See
// [Client.Update].
func (b *Batch) Update(e *Entry) {
	b.begin(update, msgNew, 0, &e.Orig)
	appendEntry(&b.msgs, e, false)
	b.msgs.End()
}

// Delete adds the removal of a flow; see [Client.Delete].
func (b *Batch) Delete(f *flow.Flow) {
	b.begin(remove, msgDelete, 0, &f.Orig)
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
func (b *Batch) Get(t *flow.Tuple, zone uint16) { b.lookup(msgGet, t, zone) }

// GetAndZero adds a lookup that zeroes counters; see [Client.GetAndZero].
func (b *Batch) GetAndZero(t *flow.Tuple, zone uint16) { b.lookup(msgGetZero, t, zone) }

func (b *Batch) lookup(kind uint8, t *flow.Tuple, zone uint16) {
	b.begin(get, kind, 0, t)
	appendTuple(&b.msgs, ctaTupleOrig, t)
	if zone != 0 {
		b.msgs.Uint16(ctaZone, zone)
	}
	b.msgs.End()
}

// CreateExpect adds the making of an expectation; see [Client.CreateExpect].
func (b *Batch) CreateExpect(e *flow.Expect) {
	beginExpect(&b.msgs, msgExpectNew, nfnetlink.Create|nfnetlink.Excl, b.next(createExpect), &e.Tuple, e.Zone)
	appendExpect(&b.msgs, e)
	b.msgs.End()
}

// DeleteExpect adds the removal of an expectation; see [Client.DeleteExpect].
func (b *Batch) DeleteExpect(t flow.Tuple, zone uint16) {
	beginExpect(&b.msgs, msgExpectDelete, 0, b.next(removeExpect), &t, zone)
	b.msgs.End()
}

// FlushExpects adds the removal of all expectations; see [Client.FlushExpects].
func (b *Batch) FlushExpects() {
	b.msgs.Begin(nfnetlink.ConntrackExpect, msgExpectDelete, 0, b.next(flushExpects), 0, 0)
	b.msgs.End()
}
