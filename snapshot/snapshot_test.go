//go:build linux

package snapshot_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nstest"
	"github.com/spoor-project/spoor/snapshot"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

func limited(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// place is a namespace with both ways to read its table.
func place(t *testing.T) (*nstest.NS, *conntrack.Client) {
	t.Helper()
	nstest.NeedRoot(t)
	ns := nstest.New(t)
	c, err := conntrack.Dial(&conntrack.Options{NetNS: ns.Path()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return ns, c
}

func open(t *testing.T, ns *nstest.NS, workers int) *snapshot.Table {
	t.Helper()
	return openBy(t, snapshot.Open, ns, workers)
}

func openBy(t *testing.T, open func(*snapshot.Options) (*snapshot.Table, error), ns *nstest.NS, workers int) *snapshot.Table {
	t.Helper()
	tab, err := open(&snapshot.Options{NetNS: ns.Path(), Workers: workers})
	if errors.Is(err, snapshot.ErrUnavailable) {
		nstest.Unavailable(t, []string{"snapshot"}, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tab.Close() })
	return tab
}

func collect(t *testing.T, flows func(func(flow.Flow, error) bool)) map[flow.Key]flow.Flow {
	t.Helper()
	all := make(map[flow.Key]flow.Flow)
	for f, err := range flows {
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := all[f.Key()]; twice {
			t.Errorf("twice: %+v", f)
		}
		all[f.Key()] = f
	}
	return all
}

// same compares two readings of a quiet table, the first of which was begun at start.
func same(t *testing.T, got, want map[flow.Key]flow.Flow, start time.Time) {
	t.Helper()
	tolerance := time.Second + time.Since(start)
	if len(got) != len(want) {
		t.Errorf("%d flows, netlink has %d", len(got), len(want))
	}
	for k, w := range want {
		g, ok := got[k]
		if !ok {
			t.Errorf("missing: %+v", w)
			continue
		}
		if d := g.Timeout - w.Timeout; d < -tolerance || d > tolerance {
			t.Errorf("timeout %v, netlink has %v", g.Timeout, w.Timeout)
		}
		g.Timeout = w.Timeout
		if g != w {
			t.Errorf("%v:%s", w.Orig, differences(g, w))
		}
	}
}

func differences(got, want flow.Flow) (text string) {
	g, w := reflect.ValueOf(got), reflect.ValueOf(want)
	for i := range g.NumField() {
		if a, b := g.Field(i).Interface(), w.Field(i).Interface(); a != b {
			text += fmt.Sprintf(" %s is %v, netlink has %v;", g.Type().Field(i).Name, a, b)
		}
	}
	return text
}

func tuple(p flow.Proto, family flow.Family, n int) flow.Tuple {
	t := flow.Tuple{Proto: p,
		Src: netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), Dst: netip.AddrFrom4([4]byte{192, 0, 2, 1})}
	if family == flow.IPv6 {
		t.Src = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)})
		t.Dst = netip.MustParseAddr("2001:db8:ffff::1")
	}
	switch {
	case p == flow.ICMP:
		t.SetICMP(8, 0, uint16(n))
	case p == flow.ICMPv6:
		t.SetICMP(128, 0, uint16(n))
	case p.Shape() == flow.ShapePorts || p.Shape() == flow.ShapeKeys:
		t.SrcPort, t.DstPort = uint16(1000+n), 80
	}
	return t
}

func entry(orig flow.Tuple) *conntrack.Entry {
	reply, _ := orig.Inverse()
	return &conntrack.Entry{Orig: orig, Reply: reply, Change: conntrack.Change{Timeout: new(10 * time.Minute)}}
}

// TestSameAsNetlink holds both readings of every kind of entry against each other.
func TestSameAsNetlink(t *testing.T) {
	nstest.NeedTool(t, "nft")
	ns, c := place(t)
	ctx := limited(t)
	ns.Sysctl("net/netfilter/nf_conntrack_acct", "1")
	ns.Sysctl("net/netfilter/nf_conntrack_timestamp", "1")
	ns.MustRun(t, "nft", "table ip nat { chain out { type nat hook postrouting priority 100; }; chain in { type nat hook prerouting priority -100; }; }; "+
		"table inet lab { chain c { type filter hook input priority 0; meta mark 0xdead ct label set 5; }; }")
	n := 0
	create := func(family flow.Family, p flow.Proto, change func(*conntrack.Entry)) flow.Tuple {
		t.Helper()
		n++
		e := entry(tuple(p, family, n))
		if change != nil {
			change(e)
		}
		if err := c.Create(ctx, e); err != nil {
			t.Fatalf("%v %v: %v", family, p, err)
		}
		return e.Orig
	}
	for _, family := range []flow.Family{flow.IPv4, flow.IPv6} {
		for _, p := range append(flow.Protos(), 50) {
			create(family, p, nil)
			create(family, p, func(e *conntrack.Entry) { e.Mark, e.Zone = new(uint32(77)), 9 })
			create(family, p, func(e *conntrack.Entry) { e.Orig.Zone = 3 })
			create(family, p, func(e *conntrack.Entry) { e.Reply.Zone = 4 })
		}
		create(family, flow.SCTP, func(e *conntrack.Entry) {
			e.SCTP = &conntrack.SCTP{State: new(flow.SCTPEstablished), VTags: &flow.VTags{Orig: 1 << 25, Reply: 7}}
		})
		for s := flow.TCPNone; s <= flow.TCPSynSent2; s++ {
			create(family, flow.TCP, func(e *conntrack.Entry) {
				e.Status = new(flow.SeenReply | flow.Assured)
				e.TCP = &conntrack.TCP{State: new(s), Orig: &conntrack.TCPWindow{Scale: new(uint8(7)), Flags: flow.TCPWindowScale, Mask: 0xff},
					Reply: &conntrack.TCPWindow{Scale: new(uint8(2)), Flags: flow.TCPSackPerm, Mask: 0xff}}
			})
		}
	}
	master := create(flow.IPv4, flow.TCP, func(e *conntrack.Entry) { e.Helper = new("ftp") })
	create(flow.IPv4, flow.TCP, func(e *conntrack.Entry) { e.Master = &master; e.Status = new(flow.SeenReply) })
	create(flow.IPv4, flow.UDP, func(e *conntrack.Entry) { e.Labels = new(flow.Labels{0: 0x20, 9: 3}) })
	create(flow.IPv4, flow.TCP, func(e *conntrack.Entry) {
		e.OrigSeqAdj, e.ReplySeqAdj = &flow.SeqAdj{CorrectionPos: 9, OffsetBefore: -4, OffsetAfter: 5}, &flow.SeqAdj{CorrectionPos: 3}
		e.Synproxy = &flow.Synproxy{ISN: 1, ITS: 2, TSOff: 3}
	})
	nat := netip.MustParseAddr("203.0.113.9")
	create(flow.IPv4, flow.TCP, func(e *conntrack.Entry) { e.SrcNAT = &conntrack.NAT{Addr: nat} })
	create(flow.IPv4, flow.UDP, func(e *conntrack.Entry) { e.DstNAT = &conntrack.NAT{Addr: nat} })
	create(flow.IPv4, flow.TCP, func(e *conntrack.Entry) {
		e.SrcNAT, e.DstNAT = &conntrack.NAT{Addr: nat}, &conntrack.NAT{Addr: nat}
	})
	for _, s := range []flow.Status{flow.FixedTimeout, flow.SeenReply} {
		create(flow.IPv4, flow.UDP, func(e *conntrack.Entry) { e.Status = new(s) })
	}
	// Real packets, for counters.
	ns.LoopbackUp()
	here := netip.MustParseAddr("127.0.0.1")
	to := nstest.ServeEcho(t, ns, "tcp", "127.0.0.1:0")
	nstest.Exchange(t, ns, "tcp", netip.AddrPortFrom(here, 0), to, 3)
	nstest.Wait(t, "the end of the conversation", func() bool {
		for f, err := range c.Flows(ctx, &filter.Filter{Orig: filter.Side{Dst: filter.Addrs{Addr: here}}}) {
			if err != nil || f.State != flow.TCPTimeWait {
				return false
			}
		}
		return true
	})

	// Other namespaces have entries too.
	_, other := place(t)
	for i := range 20 {
		if err := other.Create(ctx, entry(tuple(flow.UDP, flow.IPv4, i))); err != nil {
			t.Fatal(err)
		}
	}

	start := time.Now()
	want := collect(t, c.Flows(ctx, nil))
	for _, workers := range []int{1, 3} {
		tab := open(t, ns, workers)
		got := collect(t, tab.Flows(ctx, nil))
		without := make(map[flow.Key]flow.Flow)
		var known []flow.Flow
		for k, f := range want {
			known = append(known, f)
			f.Has, f.ID = f.Has&^flow.HasID, 0
			without[k] = f
		}
		same(t, got, without, start)
		if err := tab.LearnID(ctx, known); err != nil {
			t.Fatal(err)
		}
		same(t, collect(t, tab.Flows(ctx, nil)), want, start)
	}
	all := flow.Fields(0)
	for _, f := range want {
		all |= f.Has
	}
	if missing := flow.AllFields &^ all &^ (flow.HasSecMark | flow.HasSecCtx | flow.HasDCCP | flow.HasStop); missing != 0 {
		t.Errorf("no flow has %#x", missing)
	}
	tab := open(t, ns, 2)
	// What the program leaves to the filter, at least in part.
	inGo := []string{"no zone", "sctp", "labels", "nat to"}
	for name, flt := range map[string]*filter.Filter{
		"family":   {Family: flow.IPv6},
		"protocol": {Orig: filter.Side{Proto: new(flow.UDP)}},
		"source":   {Orig: filter.Side{Src: filter.Addrs{Addr: netip.MustParseAddr("10.0.0.3")}}},
		"network":  {Orig: filter.Side{Src: filter.Prefix(netip.MustParsePrefix("10.0.0.0/28"))}},
		"net6":     {Orig: filter.Side{Src: filter.Prefix(netip.MustParsePrefix("2001:db8::/122"))}},
		"reply":    {Reply: filter.Side{Dst: filter.Addrs{Addr: nat}}},
		"port":     {Orig: filter.Side{SrcPort: new(uint16(1005)), Proto: new(flow.TCP)}},
		"dport":    {Orig: filter.Side{DstPort: new(uint16(80))}},
		"icmp":     {Orig: filter.Side{ICMPType: new(uint8(8))}},
		"status":   {Status: &filter.Status{Value: flow.SeenReply, Mask: flow.SeenReply | flow.Assured}},
		"mark":     {Mark: &filter.Mark{Value: 77 & 0xf, Mask: 0xf}},
		"zone":     {Zone: new(uint16(9))},
		"no zone":  {Zone: new(uint16(0))},
		"state":    {State: &filter.State{Proto: flow.TCP, N: flow.TCPTimeWait}},
		"sctp":     {State: &filter.State{Proto: flow.SCTP, N: flow.SCTPEstablished}},
		"snat":     {NAT: []filter.NAT{{Src: true}}},
		"dnat":     {NAT: []filter.NAT{{Dst: true}}},
		"any nat":  {NAT: []filter.NAT{{Src: true, Dst: true}}},
		"snat to":  {NAT: []filter.NAT{{Src: true, Addr: nat}}},
		"dnat to":  {NAT: []filter.NAT{{Dst: true, Addr: nat}}},
		"nat to":   {NAT: []filter.NAT{{Src: true, Dst: true, Addr: nat}}},
		"both nat": {NAT: []filter.NAT{{Src: true}, {Dst: true, Addr: nat}}},
		"labels":   {Labels: flow.Labels{0: 0x20}},
		"nothing":  {Mark: &filter.Mark{Value: 12345, Mask: ^uint32(0)}},
	} {
		got, want := collect(t, tab.Flows(ctx, flt)), collect(t, c.Flows(ctx, flt))
		if len(got) != len(want) || name != "nothing" && len(got) == 0 {
			t.Errorf("%s: %d flows, netlink has %d", name, len(got), len(want))
		}
		if n, err := tab.Copied(ctx, flt); err != nil || n != len(got) && !slices.Contains(inGo, name) {
			t.Errorf("%s: %d entries copied for %d flows, %v", name, n, len(got), err)
		}
		for k := range want {
			if _, ok := got[k]; !ok {
				t.Errorf("%s: missing %+v", name, k)
			}
		}
	}
}

// TestOffloaded reads connections that pass by a flow table, which have neither timeout nor state.
func TestOffloaded(t *testing.T) {
	nstest.NeedRoot(t)
	nstest.NeedTool(t, "nft")
	r := nstest.NewRouted(t)
	if _, stderr, code := r.Router.Run(t, "nft", `table inet fast {
		flowtable ft { hook ingress priority 0; devices = { eth0, eth1 }; }
		chain pass { type filter hook forward priority 0; meta l4proto tcp flow add @ft; }
	}`); code != 0 {
		nstest.KernelLacks(t, "CONFIG_NF_FLOW_TABLE", stderr)
	}
	c, err := conntrack.Dial(&conntrack.Options{NetNS: r.Router.Path()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, end := range []struct{ client, server string }{{"10.1.0.2:0", "10.2.0.2:0"}, {"[fd01::2]:0", "[fd02::2]:0"}} {
		to := nstest.ServeEcho(t, r.Server, "tcp", end.server)
		conn := nstest.Dial(t, r.Client, "tcp", netip.MustParseAddrPort(end.client), to)
		defer conn.Close()
		buf := make([]byte, 5)
		for range 3 {
			if _, err := conn.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(conn, buf); err != nil {
				t.Fatal(err)
			}
		}
	}
	ctx, start := limited(t), time.Now()
	want := collect(t, c.Flows(ctx, nil))
	offloaded := 0
	for k, f := range want {
		if f.Status.Has(flow.Offload) {
			offloaded++
		}
		f.Has, f.ID = f.Has&^flow.HasID, 0
		want[k] = f
	}
	if offloaded != 2 {
		t.Errorf("%d flows are offloaded: %+v", offloaded, want)
	}
	same(t, collect(t, open(t, r.Router, 2).Flows(ctx, nil)), want, start)
}

// TestReadingByTheKernelsVariables reads without asking the kernel where the table is after each part.
func TestReadingByTheKernelsVariables(t *testing.T) {
	ns, c := place(t)
	ctx := limited(t)
	fill(t, c, 0, 3000)
	tab := open(t, ns, 2)
	if found, err := tab.FindGeneration(); err != nil || !found {
		t.Fatalf("found: %v, %v", found, err)
	}
	if n := len(collect(t, tab.Flows(ctx, nil))); n != 3000 {
		t.Errorf("%d flows", n)
	}
	deleted := 0
	for f, err := range c.DeleteEach(ctx, tab.Flows(ctx, nil)) { // behind the reader
		if err != nil {
			t.Fatal(f, err)
		}
		deleted++
	}
	if n := len(collect(t, tab.Flows(ctx, nil))); deleted != 3000 || n != 0 {
		t.Errorf("%d deleted, %d left", deleted, n)
	}
}

// TestWithoutTheKernelsList finds the table by the kernel's variables alone.
func TestWithoutTheKernelsList(t *testing.T) {
	for _, n := range []int{0, 1, 3000} {
		ns, c := place(t)
		ctx := limited(t)
		fill(t, c, 0, n)
		want := collect(t, c.Flows(ctx, nil))
		tab := openBy(t, snapshot.OpenByNames, ns, 2)
		for range 2 {
			if got := collect(t, tab.Flows(ctx, nil)); len(want) != n || len(got) != n {
				t.Errorf("%d flows, netlink has %d of %d", len(got), len(want), n)
			} else {
				for k := range want {
					if _, ok := got[k]; !ok {
						t.Errorf("%v is missing", k)
					}
				}
			}
		}
	}
	if _, err := snapshot.OpenByNames(&snapshot.Options{NetNS: "/nowhere"}); !errors.Is(err, snapshot.ErrUnavailable) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a namespace that is none: %v", err)
	}
}

func TestManyFlowsOnce(t *testing.T) {
	ns, c := place(t)
	ctx := limited(t)
	fill(t, c, 0, 50000)
	tab := open(t, ns, 2)

	if n := len(collect(t, tab.Flows(ctx, nil))); n != 50000 {
		t.Errorf("%d flows", n)
	}
	for f, err := range tab.Flows(ctx, nil) {
		if err != nil || !f.Has.Has(flow.HasReply) {
			t.Error(f, err)
		}
		break
	}
	func() {
		defer func() { recover() }()
		for range tab.Flows(ctx, nil) {
			panic("in the loop's body")
		}
	}()
	if n := len(collect(t, tab.Flows(ctx, nil))); n != 50000 {
		t.Errorf("%d flows after a panic", n)
	}
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	for _, err := range tab.Flows(stopped, nil) {
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

// TestResultsInOrder: waiting for their turn or not, while some chunks take much longer than others.
func TestResultsInOrder(t *testing.T) {
	ns, c := place(t)
	ctx := limited(t)
	fill(t, c, 0, 30000)
	tab := open(t, ns, 2)
	var want []flow.Key
	for f, err := range tab.Flows(ctx, nil) {
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, f.Key())
	}
	for name, order := range map[string]func(*snapshot.Chunk, func()){"in turn": (*snapshot.Chunk).InTurn, "queued": (*snapshot.Chunk).Enqueue} {
		var got []flow.Key
		chunks := 0
		var mu sync.Mutex
		err := tab.Chunks(ctx, nil, func(c *snapshot.Chunk) error {
			var keys []flow.Key
			for f := range c.Flows() {
				keys = append(keys, f.Key())
			}
			mu.Lock()
			chunks++
			slow := chunks%50 == 0
			mu.Unlock()
			if slow {
				time.Sleep(20 * time.Millisecond) // others get far ahead
			}
			order(c, func() { got = append(got, keys...) })
			return nil
		})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %d flows in another order than %d", name, err, len(got), len(want))
		}
		// After an error nothing has its turn any more.
		stop := errors.New("stop")
		after := 0
		err = tab.Chunks(ctx, nil, func(c *snapshot.Chunk) error {
			order(c, func() { after++ })
			return stop
		})
		if err != stop || after > tab.Workers() {
			t.Errorf("%s: %v, %d results after an error", name, err, after)
		}
	}
}

// TestNoReferenceOfItsOwn: to find out where the table is makes the kernel hold a reference to the first flow for a moment, which does not show.
func TestNoReferenceOfItsOwn(t *testing.T) {
	for n, rounds := range map[int]int{40: 120, 20000: 40} {
		ns, c := place(t)
		ctx := limited(t)
		fill(t, c, 0, n)
		tab := open(t, ns, 2)
		for range rounds {
			if f, err := firstInUse(tab.Flows(ctx, nil)); err != nil {
				t.Fatalf("of %d: %v, %v", n, f, err)
			}
		}
	}
}

func firstInUse(flows iter.Seq2[flow.Flow, error]) (flow.Flow, error) {
	for f, err := range flows {
		if err != nil {
			return f, err
		}
		if f.Use != 1 {
			return f, fmt.Errorf("%d references", f.Use)
		}
	}
	return flow.Flow{}, nil
}

// fill makes the flows from to to-1.
func fill(t testing.TB, c *conntrack.Client, from, to int) {
	t.Helper()
	w, err := c.NewWriter()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var b conntrack.Batch
	for n := from; n < to; {
		b.Reset()
		for ; n < to && b.Len() < conntrack.MaxBatch; n++ {
			b.Create(entry(tuple(flow.UDP, flow.IPv4, n)))
		}
		results, err := w.Do(t.Context(), &b)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
}
