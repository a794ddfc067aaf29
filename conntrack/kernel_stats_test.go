//go:build linux

package conntrack_test

import (
	"net/netip"
	"runtime"
	"testing"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nstest"
)

func TestCountIsOfTheNamespace(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	_, other := kernel(t)
	makeMany(t, c, 300)
	makeMany(t, other, 20)
	u, err := c.Count(limited(t))
	if err != nil || u.Entries != 300 || u.Max == 0 {
		t.Errorf("got %+v, %v, want 300 entries", u, err)
	}
}

func TestStatsAreOfEveryProcessor(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	makeMany(t, c, 300)
	all, err := c.Stats(limited(t))
	if err != nil || len(all) < runtime.NumCPU() {
		t.Fatalf("%d processors, %v, want at least %d", len(all), err, runtime.NumCPU())
	}
	inserted := 0
	for i, cpu := range all {
		if cpu.CPU != i || len(cpu.Counters) < 8 {
			t.Errorf("processor %d is number %d and has %d counters", i, cpu.CPU, len(cpu.Counters))
		}
		for j, n := range cpu.Counters {
			if conntrack.StatName(n.ID) == "" || j > 0 && n.ID <= cpu.Counters[j-1].ID {
				t.Errorf("counter %d is number %d, %q", j, n.ID, conntrack.StatName(n.ID))
			}
			if n.ID == conntrack.StatInsert {
				inserted += int(n.Value)
			}
		}
	}
	if inserted != 300 {
		t.Errorf("%d insertions, want 300", inserted)
	}
}

func TestExpectStats(t *testing.T) {
	t.Parallel()
	ns, c := kernel(t)
	useHelpers(t, ns)
	ns.LoopbackUp()
	readFile(t, ns, "127.0.0.1", 40070)
	if err := c.FlushExpects(limited(t)); err != nil {
		t.Fatal(err)
	}
	all, err := c.ExpectStats(limited(t))
	if err != nil || len(all) < runtime.NumCPU() {
		t.Fatalf("%d processors, %v, want at least %d", len(all), err, runtime.NumCPU())
	}
	sums := map[string]uint32{}
	for _, cpu := range all {
		for _, n := range cpu.Counters {
			sums[conntrack.ExpectStatName(n.ID)] += n.Value
		}
	}
	// The helper sees a packet over the loopback twice, and makes its expectation anew.
	if len(sums) != 3 || sums["expect_create"] == 0 || sums["expect_create"] != sums["expect_delete"] {
		t.Errorf("got %v, want as many created as deleted", sums)
	}
}

func TestStatNames(t *testing.T) {
	for id, want := range map[uint16]string{0: "", conntrack.StatSearched: "searched", conntrack.StatFound: "found",
		conntrack.StatInvalid: "invalid", conntrack.StatInsertFailed: "insert_failed", conntrack.StatEarlyDrop: "early_drop",
		conntrack.StatChainTooLong: "chaintoolong", 16: "", 65535: ""} {
		if got := conntrack.StatName(id); got != want {
			t.Errorf("counter %d is called %q, want %q", id, got, want)
		}
	}
	for id, want := range map[uint16]string{0: "", conntrack.ExpectStatNew: "expect_new", conntrack.ExpectStatDelete: "expect_delete", 4: ""} {
		if got := conntrack.ExpectStatName(id); got != want {
			t.Errorf("counter %d of expectations is called %q, want %q", id, got, want)
		}
	}
}

func TestZeroingLeavesOtherFlowsAlone(t *testing.T) {
	t.Parallel()
	ns, c := kernel(t)
	ns.Sysctl("net/netfilter/nf_conntrack_acct", "1")
	useHelpers(t, ns)
	ns.LoopbackUp()
	for _, server := range []string{"127.0.0.1:7001", "127.0.0.1:7002", "[::1]:7003"} {
		echo := nstest.ServeEcho(t, ns, "udp", server)
		nstest.Exchange(t, ns, "udp", netip.AddrPort{}, echo, 4)
	}
	// Bytes differ between the families, packets do not.
	packets := func() map[uint16]uint64 {
		sums := map[uint16]uint64{}
		for _, f := range list(t, c, nil) {
			if !f.Has.Has(flow.HasOrigCounters | flow.HasReplyCounters) {
				t.Errorf("%+v has no counters", f.Orig)
			}
			sums[f.Orig.DstPort] += f.OrigCounters.Packets + f.ReplyCounters.Packets
		}
		return sums
	}
	is := func(what string, a, b, d uint64) {
		t.Helper()
		if got := packets(); got[7001] != a || got[7002] != b || got[7003] != d {
			t.Errorf("%s: packets %v, want %d, %d and %d", what, got, a, b, d)
		}
	}
	is("at first", 8, 8, 8)
	zero := func(flt *filter.Filter, want int) {
		t.Helper()
		n := 0
		for f, err := range c.FlowsAndZero(limited(t), flt) {
			if err != nil || f.OrigCounters.Packets != 4 || f.ReplyCounters.Packets != 4 {
				t.Errorf("%+v before zeroing: %+v, %+v, %v", f.Orig, f.OrigCounters, f.ReplyCounters, err)
			}
			n++
		}
		if n != want {
			t.Errorf("%d flows, want %d", n, want)
		}
	}
	// The kernel can check all of the first filter, some of the second, and the family
	// of the last.
	zero(&filter.Filter{Family: flow.IPv4, Orig: filter.Side{Proto: new(flow.UDP), DstPort: new(uint16(7001))}}, 1)
	is("the first zeroed", 0, 8, 8)
	zero(&filter.Filter{Orig: filter.Side{Src: filter.Addrs{Addr: addr("::2")}}}, 0)
	is("none zeroed", 0, 8, 8)
	zero(&filter.Filter{Family: flow.IPv6}, 1)
	is("IPv6 zeroed", 0, 8, 0)

	var second flow.Tuple
	for _, f := range list(t, c, &filter.Filter{Orig: filter.Side{DstPort: new(uint16(7002))}}) {
		second = f.Orig
	}
	f, err := c.GetAndZero(limited(t), second, 0)
	if err != nil || f.OrigCounters.Packets != 4 {
		t.Errorf("GetAndZero: %+v, %v", f.OrigCounters, err)
	}
	is("all zeroed", 0, 0, 0)
}
