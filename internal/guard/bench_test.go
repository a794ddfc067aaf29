package guard

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// numbered is a flow of a source with that number.
func numbered(n uint32, port uint16) flow.Flow {
	f := flow.Flow{Has: flow.HasReply | flow.HasStatus | flow.HasState, State: flow.TCPSynSent, Status: flow.Confirmed}
	f.Orig = flow.Tuple{Proto: flow.TCP, Src: netip.AddrFrom4([4]byte{byte(n>>24) | 16, byte(n >> 16), byte(n >> 8), byte(n)}), SrcPort: 1000 + port,
		Dst: netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), DstPort: 443}
	f.Reply, _ = f.Orig.Inverse()
	return f
}

// BenchmarkEvents is a life of honest flows, of 100,000 sources: four events each.
func BenchmarkEvents(b *testing.B) {
	rules, err := ParseRules(DefaultRules)
	if err != nil {
		b.Fatal(err)
	}
	e, now := New(rules), time.Unix(1e9, 0)
	b.ReportAllocs()
	events, ev := 0, new(flow.Event)
	for i := 0; b.Loop(); i++ {
		ev.Type, ev.Flow = flow.New, numbered(uint32(i*7919)%100_000, uint16(i/100_000))
		e.Event(now, ev)
		ev.Type, ev.Flow.State, ev.Flow.Status = flow.Update, flow.TCPSynRecv, flow.Confirmed|flow.SeenReply
		e.Event(now, ev)
		ev.Flow.State, ev.Flow.Status = flow.TCPEstablished, flow.Confirmed|flow.SeenReply|flow.Assured
		e.Event(now, ev)
		ev.Type = flow.Destroy
		e.Event(now, ev)
		if events += 4; events%50_000 == 0 {
			now = now.Add(time.Second)
			e.Tick(now)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(events), "ns/event")
}

// BenchmarkSpoofed is a flood from sources that are all different: more than there are places for.
func BenchmarkSpoofed(b *testing.B) {
	rules, err := ParseRules(DefaultRules)
	if err != nil {
		b.Fatal(err)
	}
	e, now, ev := New(rules), time.Unix(1e9, 0), new(flow.Event)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		ev.Type, ev.Flow = flow.New, numbered(uint32(i), 0)
		e.Event(now, ev)
		if i%50_000 == 0 {
			now = now.Add(time.Second)
			e.Tick(now)
		}
	}
}

// TestMemoryIsBounded has ten times as many sources and flows as there are places for.
func TestMemoryIsBounded(t *testing.T) {
	rules, err := ParseRules(DefaultRules)
	if err != nil {
		t.Fatal(err)
	}
	places := 1_000_000
	if testing.Short() {
		places = 1 << 16
	}
	rules.Memory.Sources, rules.Memory.Flows = places, places
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	e, now := New(rules), time.Unix(1e9, 0)
	fill := func(from, to int) {
		for i := from; i < to; i++ {
			// Twice, because the first flow of a source is not noted.
			for port := range uint16(2) {
				f := numbered(uint32(i), port)
				f.Orig.DstPort += port
				f.Orig.Dst = netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
				f.Reply, _ = f.Orig.Inverse()
				f.Reply.Dst = netip.AddrFrom4([4]byte{203, 0, 113, 1}) // translated
				e.Event(now, &flow.Event{Type: flow.New, Flow: f})
			}
			if i%50_000 == 0 {
				now = now.Add(time.Second)
				e.Tick(now)
			}
		}
	}
	fill(0, places)
	full := heap() - before
	fill(places, 3*places)
	after := heap() - before
	t.Logf("%d sources: %d MB, after more: %d MB, %+v", places, full>>20, after>>20, e.Figures())
	if limit := uint64(200_000_000); places == 1_000_000 && (full > limit || after > limit) {
		t.Errorf("%d bytes with all places taken, %d after more", full, after)
	}
	if got := e.Figures(); got.Sources > places || got.Flows > places || got.Evicted == 0 {
		t.Errorf("%+v", got)
	}
	runtime.KeepAlive(e)
}
