//go:build linux

package tui

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
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
	out, err := s.Sweep(ctx, look)
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
			if third.Flows != 2 || third.New != 0 || third.Ended != 1 || third.DPackets != 0 || third.Number != second.Number+1 {
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
	if _, err := s.Sweep(gone, Look{}); err == nil {
		t.Error("a sweep of the past")
	}
	if after := sweepOf(t, ctx, s, Look{}); after.New != 0 || after.Ended != 0 {
		t.Errorf("%+v", after)
	}
}

// TestRefresh looks at rows again: what has been sent since, who has ended, who has begun anew, whom the query selects no more.
func TestRefresh(t *testing.T) {
	ns, c, ctx := tracked(t, true)
	server := nstest.ServeEcho(t, ns, "udp", "127.0.0.1:0")
	for _, way := range ways {
		s := sampler(t, ns, c, way)
		if err := c.Flush(ctx, nil); err != nil {
			t.Fatal(err)
		}
		for port := range uint16(4) {
			nstest.Exchange(t, ns, "udp", netip.AddrPortFrom(server.Addr(), 6000+port), server, 2)
		}
		old := sweepOf(t, ctx, s, Look{Limit: 10, Sort: ByBytes, Query: query(t, "mark 0")})
		if len(old.Rows) != 4 || old.Again {
			t.Fatalf("%q: %+v", way, old)
		}
		before := slices.Clone(old.Rows)
		of := func(port uint16) flow.Tuple {
			i := slices.IndexFunc(old.Rows, func(r Row) bool { return r.Flow.Orig.SrcPort == port })
			return old.Rows[i].Flow.Orig
		}
		nstest.Exchange(t, ns, "udp", netip.AddrPortFrom(server.Addr(), 6001), server, 3)
		if err := errors.Join(c.Delete(ctx, &flow.Flow{Orig: of(6000)}), c.Update(ctx, of(6002), 0, conntrack.Change{Mark: new(uint32(1))})); err != nil {
			t.Fatal(err)
		}
		nstest.Exchange(t, ns, "udp", netip.AddrPortFrom(server.Addr(), 6005), server, 9) // is left to the next sweep
		again, err := s.Refresh(ctx, old)
		if err != nil {
			t.Fatal(err)
		}
		if !again.Again || again.Number != old.Number || again.Flows != 4 || again.RowsOver <= 0 || !again.RowsTime.After(old.Time) || len(again.Rows) != 2 {
			t.Fatalf("%q: %+v", way, again)
		}
		busy, quiet := &again.Rows[0], &again.Rows[1]
		if busy.Flow.Orig.SrcPort != 6001 || busy.DPackets != 6 || busy.DBytes != busy.Bytes()-busy.Bytes()/5*2 || quiet.Flow.Orig.SrcPort != 6003 || quiet.DPackets != 0 {
			t.Errorf("%q: %+v", way, again.Rows)
		}
		if got := again.RowPerSecond(busy.DPackets) * again.RowsOver.Seconds(); got < 5.9 || got > 6.1 {
			t.Errorf("%q: %v", way, got)
		}
		if !slices.EqualFunc(before, old.Rows, func(a, b Row) bool { return a.Flow.ID == b.Flow.ID && a.DBytes == b.DBytes }) {
			t.Errorf("%q: the sample has changed", way)
		}
		third, err := s.Refresh(ctx, again)
		if err != nil || len(third.Rows) != 2 || third.Rows[0].DPackets != 0 {
			t.Errorf("%q: %+v %v", way, third, err)
		}
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	s := sampler(t, ns, c, table.Netlink)
	old := sweepOf(t, ctx, s, Look{Limit: 1})
	if _, err := s.Refresh(gone, old); err == nil {
		t.Error("rows of the past")
	}
}
