//go:build linux

package conntrack

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
	"github.com/spoor-project/spoor/internal/nfnetlink/nfnetlinktest"
)

// fakeWriter is a Writer whose kernel is h.
func fakeWriter(t *testing.T, h nfnetlinktest.Handler) *Writer {
	t.Helper()
	w, err := fakeClient(t, h).NewWriter()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// fill adds one operation of each kind, in the order of their numbers, n times.
func fill(b *Batch, n int) {
	for i := range n {
		tuple := numbered(i)
		reply, _ := tuple.Inverse()
		e := &Entry{Orig: tuple, Reply: reply}
		b.Create(e)
		b.Put(e)
		b.Update(e)
		b.Delete(&flow.Flow{Orig: tuple})
		b.Get(&tuple, 0)
	}
}

func TestResultsBelongToTheirOperations(t *testing.T) {
	refusals := []syscall.Errno{0, syscall.EEXIST, syscall.ENOENT, syscall.EBUSY, syscall.EINVAL, syscall.ENOSPC, 0}
	verdict := func(i int) syscall.Errno { return refusals[i%len(refusals)] }
	w := fakeWriter(t, func(r *nfnetlinktest.Request) [][]byte {
		if errno := verdict(int(r.Seq) - firstSeq); errno != 0 {
			return [][]byte{r.Error(errno)}
		}
		if r.Kind() == msgGet {
			a := r.Attrs()
			a.Next()
			return r.Acked(r.Data(msgNew, 0, entryBody(decodeTuple(a.Nested()))))
		}
		return r.Acked()
	})
	var b Batch
	fill(&b, 50)
	for again := range 3 { // a batch can be carried out again
		results, err := w.Do(t.Context(), &b)
		if err != nil || len(results) != 250 {
			t.Fatalf("%d results, %v", len(results), err)
		}
		for i, r := range results {
			op := operation(i % 5)
			want := verdict(i)
			var opErr *OpError
			switch {
			case want == 0 && r.Err != nil:
				t.Errorf("round %d, operation %d: %v, want success", again, i, r.Err)
			case want == 0 && op == get && r.Flow.Orig != numbered(i/5):
				t.Errorf("round %d, operation %d: %v, want %v", again, i, r.Flow.Orig.Src, numbered(i/5).Src)
			case want != 0 && (!errors.Is(r.Err, want) || !errors.As(r.Err, &opErr) || opErr.Op != operationNames[op]):
				t.Errorf("round %d, operation %d: %v, want %s: %v", again, i, r.Err, operationNames[op], want)
			case (op != get || want != 0) && r.Flow != (flow.Flow{}):
				t.Errorf("round %d, operation %d: has a flow, %v", again, i, r.Flow.Orig)
			}
		}
	}
}

func TestResultsForgetTheBatchBefore(t *testing.T) {
	w := fakeWriter(t, func(r *nfnetlinktest.Request) [][]byte {
		if r.Kind() == msgGet {
			return r.Acked(r.Data(msgNew, 0, entryBody(someTuple)))
		}
		return r.Acked()
	})
	var b Batch
	b.Get(&someTuple, 0)
	if results, err := w.Do(t.Context(), &b); err != nil || results[0].Flow.Orig != someTuple {
		t.Fatalf("got %v, %v", results, err)
	}
	b.Reset()
	b.Delete(&flow.Flow{Orig: someTuple})
	if results, err := w.Do(t.Context(), &b); err != nil || results[0] != (Result{}) {
		t.Errorf("got %+v, %v, want nothing", results[0], err)
	}
}

func TestOnlyTheLastOperationIsAcknowledged(t *testing.T) {
	var sent recorder
	w := fakeWriter(t, sent.handle(succeed))
	var b Batch
	fill(&b, 3)
	if _, err := w.Do(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	all := sent.take()
	for i, r := range all {
		if ack := r.Flags&nfnetlink.Ack != 0; ack != (i == len(all)-1) || r.Seq != uint32(firstSeq+i) {
			t.Errorf("message %d of %d: flags %#x, sequence number %d", i, len(all), r.Flags, r.Seq)
		}
	}
	// A batch that goes on growing has acknowledgements in the middle; they do no harm.
	fill(&b, 1)
	results, err := w.Do(t.Context(), &b)
	if err != nil || len(results) != 20 || len(sent.take()) != 20 {
		t.Errorf("%d results, %v, want 20", len(results), err)
	}
}

func TestAnEmptyBatchSendsNothing(t *testing.T) {
	var sent recorder
	w := fakeWriter(t, sent.handle(succeed))
	var b Batch
	fill(&b, 1)
	b.Reset()
	if results, err := w.Do(t.Context(), &b); len(results) != 0 || err != nil || len(sent.take()) != 0 {
		t.Errorf("%d results, %v", len(results), err)
	}
}

func TestAFullBatchTakesNoMore(t *testing.T) {
	var b Batch
	b.Grow(MaxBatch)
	for i := range MaxBatch {
		if b.Full() || b.Len() != i {
			t.Fatalf("after %d operations: length %d, full %v", i, b.Len(), b.Full())
		}
		b.Get(&someTuple, 0)
	}
	if !b.Full() {
		t.Error("not full")
	}
	defer func() {
		if recover() == nil {
			t.Error("one more did not panic")
		}
	}()
	b.Get(&someTuple, 0)
}

func TestAWriterThatIsStuckCanBeCancelled(t *testing.T) {
	w := fakeWriter(t, func(r *nfnetlinktest.Request) [][]byte { return nil })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var b Batch
	fill(&b, 1)
	_, err := w.Do(ctx, &b)
	var opErr *OpError
	if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &opErr) || opErr.Op != opCreate {
		t.Errorf("got %v, want %s: %v", err, opCreate, context.DeadlineExceeded)
	}
}

func TestMalformedAnswersFailTheBatch(t *testing.T) {
	w := fakeWriter(t, func(r *nfnetlinktest.Request) [][]byte { return [][]byte{r.Ack()[:15]} })
	var b Batch
	fill(&b, 1)
	if _, err := w.Do(t.Context(), &b); !errors.Is(err, nfnetlink.ErrMalformed) {
		t.Errorf("cut off: %v, want %v", err, nfnetlink.ErrMalformed)
	}
	w = fakeWriter(t, func(r *nfnetlinktest.Request) [][]byte { return r.Acked(r.Data(msgNew, 0, body(nil))) })
	b.Reset()
	b.Get(&someTuple, 0)
	results, err := w.Do(t.Context(), &b)
	if err != nil || !errors.Is(results[0].Err, nfnetlink.ErrMalformed) {
		t.Errorf("an entry without a tuple: %v, %v, want %v", results, err, nfnetlink.ErrMalformed)
	}
}

// The kernel XORs the mark in after masking, so what lies outside the mask would be
// flipped.
func TestMarksAndLabelsStayInsideTheirMasks(t *testing.T) {
	var b Batch
	b.Update(&Entry{Orig: someTuple, Change: Change{Mark: new(uint32(0xffff)), MarkMask: new(uint32(0xff00)),
		Labels: &flow.Labels{0xff, 0xff}, LabelsMask: &flow.Labels{0x0f}}})
	m, _, err := nfnetlink.Next(b.Messages())
	if err != nil {
		t.Fatal(err)
	}
	attrs := attrsOf(m.Attrs())
	mark, mask := attrs[ctaMark], attrs[ctaMarkMask]
	if v, _ := mark.Uint32(); v != 0xff00 {
		t.Errorf("mark %#x, want 0xff00", v)
	}
	if v, _ := mask.Uint32(); v != 0xff00 {
		t.Errorf("mark mask %#x, want 0xff00", v)
	}
	if l := labelsOf(attrs[ctaLabels].Data); l != (flow.Labels{0x0f}) {
		t.Errorf("labels %x, want 0f", l)
	}
	if l := labelsOf(attrs[ctaLabelsMask].Data); l != (flow.Labels{0x0f}) {
		t.Errorf("label mask %x, want 0f", l)
	}
}

// A nil pointer is silence, a pointer to zero is a zero.
func TestOnlyWhatIsNamedIsWritten(t *testing.T) {
	var b Batch
	b.Update(&Entry{Orig: someTuple})
	b.Update(&Entry{Orig: someTuple, Change: Change{Timeout: new(time.Duration(0)), Status: new(flow.Status(0)), Mark: new(uint32(0)),
		Helper: new(""), Labels: &flow.Labels{}, TCP: &TCP{State: new(uint8(0))}, OrigSeqAdj: &flow.SeqAdj{}, ReplySeqAdj: &flow.SeqAdj{},
		Synproxy: &flow.Synproxy{}}})
	silent, rest, err := nfnetlink.Next(b.Messages())
	if err != nil {
		t.Fatal(err)
	}
	if attrs := attrsOf(silent.Attrs()); len(attrs) != 1 {
		t.Errorf("nothing given: %d attributes, want the tuple alone", len(attrs))
	}
	loud, _, err := nfnetlink.Next(rest)
	if err != nil {
		t.Fatal(err)
	}
	attrs := attrsOf(loud.Attrs())
	for _, typ := range []uint16{ctaTimeout, ctaStatus, ctaMark, ctaHelp, ctaLabels, ctaProtoinfo, ctaSeqAdjOrig, ctaSeqAdjReply, ctaSynproxy} {
		if _, ok := attrs[typ]; !ok {
			t.Errorf("attribute %d is missing", typ)
		}
	}
	if status := attrs[ctaStatus]; len(attrs) != 10 {
		t.Errorf("%d attributes, want 10", len(attrs))
	} else if v, _ := status.Uint32(); v != uint32(flow.Confirmed) {
		t.Errorf("status %#x, want the bit without which the kernel refuses it", v)
	}
}

func TestTimeoutsAreWholeSecondsOnTheWire(t *testing.T) {
	tests := map[time.Duration]uint32{-time.Hour: 0, 0: 0, time.Second - 1: 0, time.Second: 1, 90 * time.Second: 90,
		(1<<32 - 1) * time.Second: 1<<32 - 1, 1 << 62: 1<<32 - 1}
	for d, want := range tests {
		if d > 0 && d/time.Second < 1<<32 && uint32(d/time.Second) != want {
			t.Fatalf("bad test: %v", d)
		}
		if got := seconds(d); got != want {
			t.Errorf("%v: %d, want %d", d, got, want)
		}
		m := entryMessage(func(b *nfnetlink.Builder) {
			appendExpect(b, &flow.Expect{Has: flow.ExpectHasTimeout, Tuple: someTuple, Timeout: d})
		})
		timeout := attrsOf(m.Attrs())[ctaExpectTimeout]
		if v, ok := timeout.Uint32(); !ok || v != want {
			t.Errorf("%v of an expectation: %d, %v, want %d", d, v, ok, want)
		}
	}
}
