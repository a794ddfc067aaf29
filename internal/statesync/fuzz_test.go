package statesync

import (
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/statesync/wire"
)

// conversation is what two nodes have said to each other, to begin mutating from.
func conversation(mode Mode) (all [][]byte) {
	var now Moment
	a, b := New(Options{Mode: mode, FirstSeq: 1}), New(Options{Mode: mode, FirstSeq: 100, AckWindow: 3})
	for i := range 5 {
		a.Event(now, &flow.Event{Type: flow.New, Flow: tcp(i, 3)}, Others)
	}
	for i := range 2 {
		a.ExpectEvent(now, &flow.ExpectEvent{Type: flow.New, Expect: expectationOf(i)}, Others)
	}
	for range 5 {
		now += Moment(time.Second)
		for _, from := range []*Engine{a, b} {
			to := a
			if from == a {
				to = b
			}
			from.Run(now)
			for d := range from.Take().Datagrams {
				all = append(all, append([]byte(nil), d...))
				to.Datagram(now, d)
			}
			from.Done()
		}
	}
	return all
}

// Whatever a peer sends, the node goes on: it neither panics nor runs away, what it answers is well-formed, and what it has
// believed can be told of and committed.
func FuzzPeer(f *testing.F) {
	for _, mode := range []Mode{FTFW, ALARM, NOTRACK} {
		for _, d := range conversation(mode) {
			f.Add(uint8(mode), d)
		}
	}
	f.Fuzz(func(t *testing.T, mode uint8, b []byte) {
		e := New(Options{Mode: Mode(mode % 3), FirstSeq: 7, HashLimit: 100, ResendQueue: 100})
		now := Moment(0)
		for i := range 3 {
			e.Event(now, &flow.Event{Type: flow.New, Flow: tcp(i, 3)}, Others)
		}
		e.Run(now)
		e.Done()
		for range 3 {
			now += Moment(time.Second)
			e.Datagram(now, b)
			e.Stream(now, b)
			e.Run(now)
			sent := 0
			for d := range e.Take().Datagrams {
				for r := wire.Datagram(d); r.Next(); sent++ {
					if r.Fault != 0 {
						t.Fatalf("an answer is malformed: %v", r.Fault)
					}
				}
			}
			// Three flows, and for each message of 8 bytes or more at most two answers.
			if sent > 200+len(b) {
				t.Fatalf("%d messages answer %d bytes", sent, len(b))
			}
			e.Done()
		}
		e.External(now, 0, 1000, func(c *Cached) {
			if !c.Flow.Orig.Src.IsValid() || !c.Flow.Orig.Dst.IsValid() || c.Flow.Orig.Src.Is4() != c.Flow.Orig.Dst.Is4() {
				t.Fatalf("a flow that cannot be: %+v", c.Flow)
			}
		})
		told := 0
		e.ExternalExpects(now, func(c *CachedExpect) {
			told++
			if !c.Expect.Master.Src.IsValid() || !c.Expect.Tuple.Src.IsValid() {
				t.Fatalf("an expectation that cannot be: %+v", c.Expect)
			}
		})
		if Mode(mode%3) == ALARM && (e.expsByAge.len != told || e.byAge.len != len(cachedOf(e, true))) {
			t.Fatalf("%d expectations and %d flows will expire of %d and %d", e.expsByAge.len, e.byAge.len, told, len(cachedOf(e, true)))
		}
		if n := len(cachedOf(e, false)); n != 3 {
			t.Fatalf("%d internal flows are left of 3", n)
		}
	})
}

func cachedOf(e *Engine, external bool) (all []flow.Flow) {
	visit := func(c *Cached) { all = append(all, *c.Flow) }
	if external {
		e.External(0, 0, 1<<30, visit)
	} else {
		e.Internal(0, 0, 1<<30, visit)
	}
	return all
}

// An event that becomes a message, and a message that becomes an entry, cost no memory once there is room.
func TestNoAllocationsOnTheWay(t *testing.T) {
	a, b := New(Options{FirstSeq: 1}), New(Options{FirstSeq: 100})
	now := Moment(0)
	ev := flow.Event{Type: flow.Update, Flow: tcp(1, 3)}
	turn := func() {
		now += Moment(5 * time.Millisecond)
		ev.Flow.State ^= 1
		a.Event(now, &ev, Others)
		a.Run(now)
		out := a.Take()
		begin := 0
		for _, end := range out.ends {
			b.Datagram(now, out.bytes[begin:end])
			begin = end
		}
		a.Done()
		b.Run(now)
		out = b.Take()
		begin = 0
		for _, end := range out.ends {
			a.Datagram(now, out.bytes[begin:end])
			begin = end
		}
		b.Done()
	}
	for range 2000 {
		turn()
	}
	if n := testing.AllocsPerRun(2000, turn); n != 0 {
		t.Errorf("%v allocations for a change", n)
	}
}
