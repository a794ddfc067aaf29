package tally_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/tally"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// web is a flow through a NAT on both sides.
func web() flow.Flow {
	return flow.Flow{
		Has:  flow.HasReply | flow.HasStatus | flow.HasState | flow.HasZone | flow.HasMark | flow.HasHelper | flow.HasOrigCounters | flow.HasReplyCounters,
		Orig: flow.Tuple{Src: addr("192.0.2.1"), Dst: addr("198.51.100.2"), SrcPort: 40000, DstPort: 443, Proto: flow.TCP},
		Reply: flow.Tuple{Src: addr("10.0.0.9"), Dst: addr("203.0.113.7"), SrcPort: 8443, DstPort: 40000,
			Proto: flow.TCP},
		Status: flow.SrcNAT | flow.DstNAT | flow.SrcNATDone | flow.DstNATDone, State: flow.TCPEstablished,
		Zone: 3, Mark: 77, Helper: "ftp",
		OrigCounters: flow.Counters{Packets: 2, Bytes: 100}, ReplyCounters: flow.Counters{Packets: 1, Bytes: 50},
	}
}

func ping() flow.Flow {
	return flow.Flow{
		Has:   flow.HasReply | flow.HasStatus,
		Orig:  flow.Tuple{Src: addr("2001:db8::1"), Dst: addr("2001:db8::2"), SrcPort: 9, DstPort: 0x8000, Proto: flow.ICMPv6},
		Reply: flow.Tuple{Src: addr("2001:db8::2"), Dst: addr("2001:db8::1"), SrcPort: 9, DstPort: 0x8100, Proto: flow.ICMPv6},
		// The NAT hooks have seen it and changed nothing, though the reply's type is another.
		Status: flow.SrcNATDone | flow.DstNATDone,
	}
}

func TestEveryField(t *testing.T) {
	web, ping := web(), ping()
	for _, c := range []struct {
		field     string
		web, ping string
	}{
		{"family", "ipv4", "ipv6"}, {"proto", "tcp", "icmpv6"}, {"state", "ESTABLISHED", "-"}, {"zone", "3", "0"},
		{"mark", "77", "0"}, {"helper", "ftp", "-"}, {"src", "192.0.2.1", "2001:db8::1"},
		{"dst", "198.51.100.2", "2001:db8::2"}, {"sport", "40000", "-"}, {"dport", "443", "-"},
		{"nat-src", "203.0.113.7", "-"}, {"nat-dst", "10.0.0.9", "-"},
	} {
		field, ok := tally.FieldNamed(c.field)
		if !ok || field.String() != c.field {
			t.Errorf("%s: no such field, or called %s", c.field, field)
			continue
		}
		for want, f := range map[string]*flow.Flow{c.web: &web, c.ping: &ping} {
			one := tally.New(field)
			one.Add(f)
			if g := one.Top(1, tally.ByFlows); len(g) != 1 || g[0].By[0].String() != want || g[0].By[0].Field != field {
				t.Errorf("%s: %v, want %s", c.field, g, want)
			}
		}
	}
	if _, ok := tally.FieldNamed("colour"); ok {
		t.Error("a field called colour")
	}
}

func TestSums(t *testing.T) {
	all := tally.New()
	web, ping := web(), ping()
	all.Add(&web)
	all.Add(&ping)
	all.Add(&web)
	want := tally.Sum{Flows: 3, Packets: 6, Bytes: 300}
	if g := all.Top(-1, tally.ByBytes); len(g) != 1 || g[0].Sum != want || all.Total() != want || len(g[0].By) != 0 {
		t.Errorf("%+v, total %+v", g, all.Total())
	}
	if g := tally.New(tally.Src).Top(5, tally.ByFlows); len(g) != 0 {
		t.Errorf("groups of nothing: %v", g)
	}
}

// crowd is some flows of a few sources and states, at random.
func crowd(r *rand.Rand, n int) []flow.Flow {
	flows := make([]flow.Flow, n)
	for i := range flows {
		f := web()
		f.Orig.Src = netip.AddrFrom4([4]byte{10, 0, byte(r.IntN(4)), byte(r.IntN(8))})
		f.State = uint8(r.IntN(5))
		f.OrigCounters.Bytes = r.Uint64N(1000)
		flows[i] = f
	}
	return flows
}

// However the flows are spread over tallies, the result is that of one.
func TestMergedIsWhole(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	by := []tally.Field{tally.Src, tally.State}
	flows := crowd(r, 3000)
	whole, parts := tally.New(by...), [3]*tally.Tally{tally.New(by...), tally.New(by...), tally.New(by...)}
	count := make(map[string]uint64)
	for i := range flows {
		f := &flows[i]
		whole.Add(f)
		parts[r.IntN(3)].Add(f)
		count[fmt.Sprint(f.Orig.Src, f.Orig.Proto.StateName(f.State))]++
	}
	merged := tally.New(by...)
	for _, p := range parts {
		merged.Merge(p)
	}
	for _, m := range []tally.Measure{tally.ByFlows, tally.ByPackets, tally.ByBytes} {
		all := whole.Top(-1, m)
		if len(all) != len(count) || whole.Groups() != len(count) {
			t.Errorf("%d groups, want %d", len(all), len(count))
		}
		for _, n := range []int{0, 1, 7, len(all) - 1, len(all), len(all) + 1, -1} {
			want := all[:min(uint(n), uint(len(all)))]
			for _, from := range []*tally.Tally{whole, merged} {
				if got := from.Top(n, m); !reflect.DeepEqual(got, want) {
					t.Errorf("the first %d by measure %d: %v, want %v", n, m, got, want)
				}
			}
		}
	}
	for _, g := range whole.Top(-1, tally.ByFlows) {
		if want := count[fmt.Sprint(g.By[0].Addr, g.By[1].Name)]; g.Flows != want {
			t.Errorf("%v: %d flows, want %d", g.By, g.Flows, want)
		}
	}
	if whole.Total() != merged.Total() {
		t.Error(whole.Total(), merged.Total())
	}
}

func TestKnownGroupsCostNoMemory(t *testing.T) {
	web := web()
	count := tally.New(tally.Src, tally.State, tally.DstPort, tally.NATSrc)
	count.Add(&web)
	if n := testing.AllocsPerRun(100, func() { count.Add(&web) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Whatever a flow holds, its group tells it.
func FuzzValues(f *testing.F) {
	f.Add([]byte{192, 0, 2, 1}, "ftp", uint16(443), uint32(7), uint8(6), uint8(3))
	f.Add(make([]byte, 16), "", uint16(0), uint32(0), uint8(58), uint8(200))
	f.Fuzz(func(t *testing.T, src []byte, helper string, port uint16, mark uint32, proto, state uint8) {
		from, _ := netip.AddrFromSlice(src)
		if len(helper) > 15 {
			helper = helper[:15]
		}
		x := flow.Flow{Orig: flow.Tuple{Src: from, SrcPort: port, Proto: flow.Proto(proto)}, Mark: mark, Helper: helper,
			State: state, Has: flow.HasState | flow.HasMark | flow.HasHelper}
		count := tally.New(tally.Helper, tally.Src, tally.Mark, tally.State, tally.SrcPort, tally.Proto)
		count.Add(&x)
		by := count.Top(1, tally.ByFlows)[0].By
		if by[0].Name != helper || by[1].Addr != from || by[2].Number != uint64(mark) ||
			by[3].Name != x.Orig.Proto.StateName(state) || by[5].Number != uint64(proto) {
			t.Errorf("%+v gave %+v", x, by)
		}
		if p := by[4]; p.Is && p.Number != uint64(port) {
			t.Errorf("port %d gave %+v", port, p)
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	flows := crowd(rand.New(rand.NewPCG(1, 2)), 1024)
	count := tally.New(tally.Src)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		count.Add(&flows[i&1023])
		i++
	}
}

// TestPruneKeepsTheLargest: and what it forgets is still in the total.
func TestPruneKeepsTheLargest(t *testing.T) {
	all := tally.New(tally.DstPort)
	f := web()
	for port := range uint16(10) {
		f.Orig.DstPort = port
		for range port + 1 {
			all.Add(&f)
		}
	}
	before := all.Top(4, tally.ByFlows)
	all.Prune(100)
	if all.Groups() != 10 {
		t.Errorf("%d groups, though there are few", all.Groups())
	}
	all.Prune(4)
	if got := all.Top(-1, tally.ByFlows); !reflect.DeepEqual(got, before) || all.Total().Flows != 55 {
		t.Errorf("%v of %v, want %v", got, all.Total(), before)
	}
	all.Add(&f) // of port 9, which was kept
	f.Orig.DstPort = 0
	all.Add(&f) // and one that was not
	if got := all.Top(-1, tally.ByFlows); len(got) != 5 || got[0].Flows != 11 || got[4].Flows != 1 {
		t.Errorf("%v", got)
	}
	all.Prune(0)
	if all.Groups() != 0 || all.Total().Flows != 57 {
		t.Errorf("%d groups, %v", all.Groups(), all.Total())
	}
}

// TestReserve: groups that there is room for cost no allocation.
func TestReserve(t *testing.T) {
	tl := tally.New(tally.Src)
	tl.Reserve(1000)
	f := flow.Flow{Orig: flow.Tuple{Proto: flow.TCP, Src: netip.MustParseAddr("10.0.0.0"), Dst: netip.MustParseAddr("10.9.9.9")}}
	tl.Add(&f)
	if n := testing.AllocsPerRun(900, func() {
		f.Orig.Src = f.Orig.Src.Next()
		tl.Add(&f)
	}); n != 0 {
		t.Errorf("%v allocations for a group", n)
	}
	if tl.Groups() != 902 || len(tl.Top(3, tally.ByFlows)) != 3 {
		t.Errorf("%d groups", tl.Groups())
	}
}
