//go:build linux

package tui

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nstest"
	"github.com/spoor-project/spoor/internal/table"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

// tracked is a namespace with loopback and tracking.
func tracked(t *testing.T, accounting bool) (*nstest.NS, *conntrack.Client, context.Context) {
	t.Helper()
	nstest.NeedRoot(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	ns := nstest.New(t)
	ns.LoopbackUp()
	if accounting {
		ns.Sysctl("net/netfilter/nf_conntrack_acct", "1")
	} else {
		ns.Sysctl("net/netfilter/nf_conntrack_acct", "0")
	}
	ns.MustRun(t, "nft", "table inet t { chain c { type filter hook input priority 0; ct state new accept; }; }")
	c, err := conntrack.Dial(&conntrack.Options{NetNS: ns.Path()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return ns, c, ctx
}

func sampler(t *testing.T, ns *nstest.NS, c *conntrack.Client, way table.Way) *Sampler {
	t.Helper()
	if way == table.Snapshot {
		probe, err := table.Open(t.Context(), c, &table.Options{NetNS: ns.Path(), Way: way})
		if err != nil {
			nstest.Unavailable(t, []string{"snapshot"}, err.Error())
		}
		probe.Close()
	}
	s := NewSampler(c, &table.Options{NetNS: ns.Path(), Way: way})
	t.Cleanup(s.Close)
	return s
}

func query(t *testing.T, text string) *filter.Query {
	t.Helper()
	q, err := filter.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func sweepOf(t *testing.T, ctx context.Context, s *Sampler, look Look) *Sample {
	t.Helper()
	out, err := s.Sweep(ctx, look, 0)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var ways = []table.Way{table.Netlink, table.Snapshot}

// TestRatesAreThoseOfTheKernelsCounters sends a known number of packets between two sweeps.
func TestRatesAreThoseOfTheKernelsCounters(t *testing.T) {
	for _, way := range ways {
		t.Run("way "+string(way), func(t *testing.T) {
			ns, c, ctx := tracked(t, true)
			server := nstest.ServeEcho(t, ns, "udp", "127.0.0.1:0")
			here := netip.MustParseAddr("127.0.0.1")
			from := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(here, port) }
			slow, fast, later := from(5001), from(5002), from(5003)
			nstest.Exchange(t, ns, "udp", slow, server, 3)
			nstest.Exchange(t, ns, "udp", fast, server, 3)
			s := sampler(t, ns, c, way)
			look := Look{Query: query(t, "udp"), Limit: 10}
			first := sweepOf(t, ctx, s, look)
			if first.Over != 0 || first.New != 0 || len(first.Rows) != 2 || first.Counted != 2 || !first.Baseline {
				t.Fatalf("the first: %+v", first)
			}
			time.Sleep(50 * time.Millisecond)
			nstest.Exchange(t, ns, "udp", slow, server, 4)
			nstest.Exchange(t, ns, "udp", fast, server, 40)
			nstest.Exchange(t, ns, "udp", later, server, 7)
			second := sweepOf(t, ctx, s, look)
			// A packet of five bytes is one of 33 with its headers.
			for i, want := range []struct {
				port    uint16
				packets uint64
				new     bool
			}{{5002, 80, false}, {5003, 14, true}, {5001, 8, false}} {
				r := second.Rows[i]
				if r.Flow.Orig.SrcPort != want.port || r.DPackets != want.packets || r.DBytes != 33*want.packets || r.New != want.new {
					t.Errorf("row %d: port %d, %d packets, %d bytes, new %v; want %+v", i, r.Flow.Orig.SrcPort, r.DPackets, r.DBytes, r.New, want)
				}
			}
			if second.Flows != 3 || second.New != 1 || second.Ended != 0 || second.DPackets != 102 || second.Over < 50*time.Millisecond || second.Baseline {
				t.Errorf("the second: %+v", second)
			}
			if got := second.PerSecond(second.DPackets) * second.Over.Seconds(); got < 101.9 || got > 102.1 {
				t.Errorf("%f packets", got)
			}
			if err := c.Delete(ctx, &second.Rows[0].Flow); err != nil {
				t.Fatal(err)
			}
			// Too soon to compare: what was fast is fast.
			s.Gap = time.Hour
			peek := sweepOf(t, ctx, s, Look{Query: query(t, "udp and sport 5003"), Limit: 10})
			if !peek.Peek || peek.Over != second.Over || len(peek.Rows) != 1 || peek.Rows[0].DPackets != 14 || !peek.Rows[0].New {
				t.Errorf("the peek: %+v", peek)
			}
			s.Gap = 0
			third := sweepOf(t, ctx, s, look)
			if third.Flows != 2 || third.New != 0 || third.Ended != 1 || third.DPackets != 0 || third.Number <= second.Number {
				t.Errorf("the third: %+v", third)
			}
			look.Since, look.OnlyNew = first.Number, true
			if got := sweepOf(t, ctx, s, look); len(got.Rows) != 1 || got.SinceNew != 1 || got.Rows[0].Flow.Orig.SrcPort != 5003 {
				t.Errorf("only new: %+v", got)
			}
			look.Since = third.Number
			if got := sweepOf(t, ctx, s, look); len(got.Rows) != 0 {
				t.Errorf("nothing is new: %+v", got)
			}
		})
	}
}

// TestAnotherQueryIsNotNews: flows that the query before did not select are not new.
func TestAnotherQueryIsNotNews(t *testing.T) {
	ns, c, ctx := tracked(t, true)
	server := nstest.ServeEcho(t, ns, "udp", "127.0.0.1:0")
	for port := range uint16(4) {
		nstest.Exchange(t, ns, "udp", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 6000+port), server, 2)
	}
	s := sampler(t, ns, c, table.Netlink)
	sweepOf(t, ctx, s, Look{Query: query(t, "sport 6000"), Limit: 10})
	sweepOf(t, ctx, s, Look{Query: query(t, "sport 6000"), Limit: 10})
	wide := sweepOf(t, ctx, s, Look{Query: query(t, "sport 6000-6003"), Limit: 10})
	if wide.Flows != 4 || wide.New != 0 || wide.SinceNew != 0 || wide.DPackets != 0 || !wide.Baseline {
		t.Errorf("%+v", wide)
	}
	narrow := sweepOf(t, ctx, s, Look{Query: query(t, "sport 6001"), Limit: 10})
	if narrow.Flows != 1 || narrow.Ended != 0 {
		t.Errorf("%+v", narrow)
	}
}

func TestGroupsAndOrder(t *testing.T) {
	ns, c, ctx := tracked(t, false)
	for i := range 30 {
		e := conntrack.Entry{Orig: flow.Tuple{Proto: flow.UDP, Src: netip.AddrFrom4([4]byte{10, 0, 0, byte(i % 5)}), SrcPort: uint16(i + 1),
			Dst: netip.MustParseAddr("192.0.2.1"), DstPort: uint16(53 + i/20)}}
		e.Reply, _ = e.Orig.Inverse()
		e.Timeout = new(time.Duration(i+1) * time.Minute)
		e.Mark = new(uint32(i / 10))
		if i < 3 {
			e.SrcNAT = &conntrack.NAT{Addr: netip.MustParseAddr("203.0.113.9")}
		}
		if err := c.Create(ctx, &e); err != nil {
			t.Fatal(err)
		}
	}
	for _, way := range ways {
		s := sampler(t, ns, c, way)
		for _, want := range []struct {
			by    Grouping
			first string
			flows uint64
			all   uint64
		}{{Sources, "10.0.0.", 6, 5}, {Destinations, "192.0.2.1", 30, 1}, {Services, "udp/53", 20, 2}, {NATs, "not translated", 27, 2},
			{States, "udp UNREPLIED", 30, 1}, {Zones, "0", 30, 1}, {Marks, "0x", 10, 3}} {
			got := sweepOf(t, ctx, s, Look{By: want.by, Sort: ByFlows, Limit: 1})
			if len(got.Groups) != 1 || got.Groups[0].Flows != want.flows || got.AllGroups != want.all || got.Groups[0].Name[:len(want.first)] != want.first {
				t.Errorf("%q by %s: %d of %+v, want %+v", way, want.by, got.AllGroups, got.Groups, want)
				continue
			}
			inside := sweepOf(t, ctx, s, Look{Query: query(t, got.Groups[0].Condition), Limit: 100})
			if inside.Flows != want.flows {
				t.Errorf("%q: %s selects %d", way, got.Groups[0].Condition, inside.Flows)
			}
		}
		// Without counters all are equal, and those that last come first.
		got := sweepOf(t, ctx, s, Look{Limit: 4})
		if got.Counted != 0 || len(got.Rows) != 4 || got.Flows != 30 {
			t.Fatalf("%+v", got)
		}
		for i, r := range got.Rows {
			if int(r.Flow.Orig.SrcPort) != 30-i {
				t.Errorf("%q: row %d is of port %d", way, i, r.Flow.Orig.SrcPort)
			}
		}
		got = sweepOf(t, ctx, s, Look{Limit: 2, Sort: ByTimeout, Reverse: true})
		if got.Rows[0].Flow.Orig.SrcPort != 1 || got.Rows[1].Flow.Orig.SrcPort != 2 {
			t.Errorf("%q: reversed: %v", way, got.Rows)
		}
		if none := sweepOf(t, ctx, s, Look{}); len(none.Rows) != 0 || none.Flows != 30 {
			t.Errorf("%q: no rows: %+v", way, none)
		}
	}
}

func TestPulse(t *testing.T) {
	ns, c, ctx := tracked(t, false)
	nstest.Send(t, ns, netip.MustParseAddrPort("127.0.0.1:1000"), netip.MustParseAddrPort("127.0.0.1:1001"), "x")
	s := NewSampler(c, &table.Options{NetNS: ns.Path()})
	defer s.Close()
	p, err := s.Pulse(ctx)
	if err != nil || p.Entries != 1 || p.Max == 0 || p.Time.IsZero() {
		t.Errorf("%+v %v", p, err)
	}
}

// TestSweepEndsWithItsContext, and the one after it is not compared with a half.
func TestSweepEndsWithItsContext(t *testing.T) {
	ns, c, ctx := tracked(t, false)
	s := sampler(t, ns, c, table.Netlink)
	sweepOf(t, ctx, s, Look{})
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.Sweep(gone, Look{}, 0); err == nil {
		t.Error("a sweep of the past")
	}
	if after := sweepOf(t, ctx, s, Look{}); after.New != 0 || after.Ended != 0 {
		t.Errorf("%+v", after)
	}
}

// ending is a context that is asked some times whether it has ended before it has.
type ending struct {
	context.Context
	asked atomic.Int32
}

func (e *ending) Err() error {
	if e.asked.Add(1) > 100 {
		return context.Canceled
	}
	return nil
}

// TestPartsInTurn reads a table some parts at a time: the rows are as they are now all the same, and in a round all that has happened is found out.
func TestPartsInTurn(t *testing.T) {
	ns, c, ctx := tracked(t, true)
	server := nstest.ServeEcho(t, ns, "udp", "127.0.0.1:0")
	from := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(server.Addr(), port) }
	const flows = 40
	for port := range uint16(flows) {
		nstest.Exchange(t, ns, "udp", from(6000+port), server, 2)
	}
	s := sampler(t, ns, c, table.Snapshot)
	look := Look{Limit: 2 * flows, Sort: ByPackets, Query: query(t, "mark 0")}
	few := func() *Sample {
		t.Helper()
		out, err := s.Sweep(ctx, look, 1)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	row := func(of *Sample, port uint16) *Row {
		if i := slices.IndexFunc(of.Rows, func(r Row) bool { return r.Flow.Orig.SrcPort == port }); i >= 0 {
			return &of.Rows[i]
		}
		return nil
	}
	first := few()
	if first.Flows != flows || len(first.Rows) != flows || first.Over != 0 || !first.Baseline {
		t.Fatalf("the first: %d flows, %d rows, over %v", first.Flows, len(first.Rows), first.Over)
	}
	of := func(port uint16) flow.Tuple { return row(first, port).Flow.Orig }
	nstest.Exchange(t, ns, "udp", from(6001), server, 3)
	if err := errors.Join(c.Delete(ctx, &flow.Flow{Orig: of(6000)}), c.Update(ctx, of(6002), 0, conntrack.Change{Mark: new(uint32(1))})); err != nil {
		t.Fatal(err)
	}
	nstest.Exchange(t, ns, "udp", from(6050), server, 9)
	second := few()
	if second.Flows < flows-2 || second.Over != 0 {
		t.Errorf("the second: %d flows, over %v", second.Flows, second.Over)
	}
	if row(second, 6000) != nil || row(second, 6002) != nil || row(second, 6003) == nil {
		t.Errorf("the second has rows that have ended or are not selected: %+v", second.Rows)
	}
	busy := row(second, 6001)
	if busy == nil || busy.Packets() != 10 || busy.DPackets != 6 || busy.DBytes != 6*33 || busy.Over <= 0 {
		t.Errorf("the busy row: %+v", busy)
	}
	if second.Rows[0].Packets() < second.Rows[1].Packets() {
		t.Error("the rows are not in order")
	}
	if row(first, 6001).Packets() != 4 || len(first.Rows) != flows {
		t.Error("the sample before has changed")
	}
	last, rounds := second, 1
	for ; last.Over == 0; rounds++ {
		if last = few(); rounds > 512/fewest {
			t.Fatal("a round does not end")
		}
	}
	if rounds != 512/fewest {
		t.Errorf("a round of %d", rounds)
	}
	if last.Flows != flows-1 || last.SinceNew != 1 || len(last.Rows) != flows-1 || last.Rows[0].Flow.Orig.SrcPort != 6050 || !last.Rows[0].New {
		t.Errorf("after a round: %d flows, %d new, %d rows, the first %+v", last.Flows, last.SinceNew, len(last.Rows), last.Rows[0])
	}
	// Parts have been read after different times, so what was counted is known as rates.
	if last.New == 0 || last.Ended == 0 || last.DPackets == 0 {
		t.Errorf("after a round: %d new, %d ended, %d packets", last.New, last.Ended, last.DPackets)
	}

	// Groups: what is read anew takes the place of what was.
	look = Look{By: Destinations, Sort: ByFlows, Limit: 5, Since: SinceLast}
	for range 3 {
		few()
	}
	for port := range uint16(flows) {
		if port != 0 && port != 2 {
			if err := c.Delete(ctx, &flow.Flow{Orig: of(6000 + port)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	nstest.Exchange(t, ns, "udp", from(6060), server, 1)
	for range 512 / fewest {
		last = few()
	}
	if len(last.Groups) != 1 {
		t.Fatalf("%d groups", len(last.Groups))
	}
	if last.AllGroups != 1 || last.Groups[0].Flows != 3 || last.Groups[0].New != 1 || last.Groups[0].Packets != 18+4+2 {
		t.Errorf("groups after a round: %+v", last.Groups)
	}
	for range 512 / fewest {
		last = few()
	}
	if last.Groups[0].New != 0 || last.SinceNew != 0 {
		t.Errorf("what was new stays so: %+v", last.Groups)
	}

	if _, err := s.Sweep(&ending{Context: ctx}, look, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("a sweep that cannot end: %v", err)
	}
	if last = few(); !last.Baseline || last.Flows != 3 || last.Over != 0 {
		t.Errorf("after a failure the whole table is read: %+v", last)
	}
}
