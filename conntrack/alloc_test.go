//go:build linux

package conntrack

import (
	"iter"
	"runtime"
	"testing"
	"time"

	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
	"github.com/spoor-project/spoor/internal/nfnetlink/nfnetlinktest"
)

// richMessage is an entry with everything that a decoder might allocate for.
func richMessage() *nfnetlink.Message {
	return entryMessage(func(b *nfnetlink.Builder) {
		appendTuple(b, ctaTupleReply, &someTuple)
		help := b.Nest(ctaHelp)
		b.Text(ctaHelpName, "ftp")
		b.Close(help)
		ctx := b.Nest(ctaSecCtx)
		b.Text(ctaSecCtxName, "system_u:object_r:unlabeled_t:s0")
		b.Close(ctx)
		b.Raw(ctaLabels, make([]byte, 16))
		(&TCP{State: new(flow.TCPEstablished), Orig: &TCPWindow{}, Reply: &TCPWindow{}}).append(b)
	})
}

func TestDecodingDoesNotAllocate(t *testing.T) {
	var d decoder
	var f flow.Flow
	var e flow.Event
	rich := richMessage()
	if err := d.flow(rich, &f); err != nil || f.Helper != "ftp" || f.SecCtx == "" { // warms up
		t.Fatalf("%+v, %v", f, err)
	}
	if n := testing.AllocsPerRun(100, func() { d.flow(rich, &f) }); n != 0 {
		t.Errorf("%v allocations for a flow, want none", n)
	}
	if n := testing.AllocsPerRun(100, func() { d.event(rich, &e) }); n != 0 {
		t.Errorf("%v allocations for an event, want none", n)
	}
	for _, r := range recorded(t) {
		m, _, err := nfnetlink.Next(r.Data)
		if err != nil {
			t.Fatal(err)
		}
		var x flow.ExpectEvent
		decode := func() {
			d.event(&m, &e)
			d.expectEvent(&m, &x)
		}
		decode()
		if n := testing.AllocsPerRun(10, decode); n != 0 {
			t.Errorf("%s: %v allocations, want none", r.Name, n)
		}
	}
}

func TestTheMemoryForNamesIsBounded(t *testing.T) {
	var d decoder
	name := []byte("name 0000")
	for i := range 5 * maxNames {
		name[5], name[6], name[7], name[8] = byte('0'+i/1000%10), byte('0'+i/100%10), byte('0'+i/10%10), byte('0'+i%10)
		if got := d.name(name); got != string(name) {
			t.Fatalf("got %q, want %q", got, name)
		}
	}
	if len(d.names) > maxNames {
		t.Errorf("%d names are kept, want at most %d", len(d.names), maxNames)
	}
}

func TestAFullBatchIsFilledAgainWithoutAllocating(t *testing.T) {
	var b Batch
	reply, _ := someTuple.Inverse()
	e := &Entry{Orig: someTuple, Reply: reply, Change: Change{Timeout: new(time.Minute), Mark: new(uint32(1)), Helper: new("ftp"),
		Labels: &flow.Labels{1}, TCP: &TCP{State: new(flow.TCPEstablished), Orig: &TCPWindow{Mask: 0xff}, Reply: &TCPWindow{Mask: 0xff}}}}
	f := flow.Flow{Orig: someTuple}
	refill := func() {
		b.Reset()
		for range MaxBatch / 4 {
			b.Create(e)
			b.Update(e)
			b.Delete(&f)
			b.Get(&someTuple, 0)
		}
	}
	refill()
	if n := testing.AllocsPerRun(20, refill); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// mallocs returns how many objects fn allocates, in all goroutines.
func mallocs(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs
}

// Streams allocate when they begin, and not for each item.
func TestStreamsAllocateNothingPerItem(t *testing.T) {
	const few, many, slack = 500, 20_000, 400
	prepared := map[int][]nfnetlinktest.Body{few: numberedBodies(few), many: numberedBodies(many)}
	listing := func(n int, run func(*Client)) uint64 {
		var answer [][]byte
		c := fakeClient(t, func(r *nfnetlinktest.Request) [][]byte {
			if r.Flags&nfnetlink.Dump == 0 {
				return r.Acked()
			}
			if answer == nil {
				answer = r.Multipart(msgNew, 100, prepared[n]...)
			}
			return answer
		})
		run(c) // makes the answer
		return mallocs(func() { run(c) })
	}
	following := func(n int, _ func(*Client)) uint64 {
		c, peers := eventClient(t)
		s, err := c.Subscribe(nil)
		if err != nil {
			t.Fatal(err)
		}
		peer := <-peers
		defer peer.Close()
		var datagrams [][]byte
		for i := range n {
			datagrams = append(datagrams, flowEvent(msgNew, isNew, i))
		}
		return mallocs(func() {
			go send(t, peer, datagrams...)
			for _, err := range s.Events(t.Context()) {
				if err != nil {
					t.Error(err)
				}
				if n--; n == 0 {
					break
				}
			}
		})
	}
	var items int
	count := func(stream func(*Client) iter.Seq2[flow.Flow, error]) func(*Client) {
		return func(c *Client) {
			items = 0
			for _, err := range stream(c) {
				if err != nil {
					t.Error(err)
				}
				items++
			}
			if items != few && items != many {
				t.Errorf("%d items, want %d or %d", items, few, many)
			}
		}
	}
	for name, tt := range map[string]struct {
		measure func(int, func(*Client)) uint64
		run     func(*Client)
	}{
		"Flows": {listing, count(func(c *Client) iter.Seq2[flow.Flow, error] {
			return c.Flows(t.Context(), &filter.Filter{Orig: filter.Side{Proto: new(flow.UDP)}})
		})},
		"Follow": {following, nil},
	} {
		a, b := tt.measure(few, tt.run), tt.measure(many, tt.run)
		if b > a+slack {
			t.Errorf("%s: %d allocations for %d items, %d for %d", name, a, few, b, many)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	var d decoder
	var f flow.Flow
	for _, r := range recorded(b) {
		switch r.Name {
		case "ipv4 tcp listed", "ipv6 udp listed", "everything listed", "talk destroyed":
			m, _, err := nfnetlink.Next(r.Data)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(r.Name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					d.flow(&m, &f)
				}
			})
		}
	}
}

func BenchmarkEncodeEntry(b *testing.B) {
	var batch Batch
	reply, _ := someTuple.Inverse()
	e := &Entry{Orig: someTuple, Reply: reply, Change: Change{Timeout: new(time.Minute), Mark: new(uint32(1)),
		TCP: &TCP{State: new(flow.TCPEstablished), Orig: &TCPWindow{Mask: 0xff}, Reply: &TCPWindow{Mask: 0xff}}}}
	b.ReportAllocs()
	for b.Loop() {
		if batch.Full() {
			batch.Reset()
		}
		batch.Create(e)
	}
}

// BenchmarkCount is a request with a short answer.
func BenchmarkCount(b *testing.B) {
	c := fakeClient(b, func(r *nfnetlinktest.Request) [][]byte {
		return r.Acked(r.Data(msgGetStats, 0, nfnetlinktest.NewBody(0, func(b *nfnetlink.Builder) { b.Uint32(ctaStatsGlobalEntries, 1) })))
	})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Count(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
