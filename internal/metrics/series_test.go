package metrics

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/tally"
)

var update = flag.Bool("update", false, "rewrite the recorded exposition; read the diff before committing it")

// shown collects readings as a scrape does.
type shown []*reading

func (s shown) Describe(chan<- *prometheus.Desc) {}
func (s shown) Collect(ch chan<- prometheus.Metric) {
	for _, r := range s {
		r.send(ch)
	}
}

// exposition is what Prometheus is shown.
func exposition(t *testing.T, c prometheus.Collector) string {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	var b bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func udpFlow(src string, zone uint16, status flow.Status) flow.Flow {
	return flow.Flow{Has: flow.HasStatus, Zone: zone, Status: status,
		Orig: flow.Tuple{Proto: flow.UDP, Src: addr(src), Dst: addr("192.0.2.1"), SrcPort: 1, DstPort: 53}}
}

// full is a reading with everything in it.
func full(netns string) *reading {
	r := &reading{netns: netns, usage: conntrack.Usage{Entries: 300, Max: 400}, buckets: 1200}
	var all []conntrack.Counter
	for i, s := range statistics {
		if s.id != conntrack.StatIgnore { // as new kernels
			all = append(all, conntrack.Counter{ID: s.id, Value: uint32(i + 1)})
		}
	}
	idle := make([]conntrack.Counter, len(all))
	for i := range all {
		idle[i].ID = all[i].ID
	}
	r.stats.update([]conntrack.CPUStats{{CPU: 0, Counters: all}, {CPU: 1, Counters: idle}, {CPU: 2, Counters: all}})
	r.expects.update([]conntrack.CPUStats{{CPU: 0, Counters: []conntrack.Counter{{ID: 1, Value: 5}, {ID: 2, Value: 6}, {ID: 3, Value: 7}}}})
	r.events = &eventCounts{following: true, dropped: 9, losses: 2}
	r.events.begun[flow.TCP], r.events.ended[flow.TCP], r.events.begun[89] = 12, 11, 1
	tops := []Top{{tally.Src, 2}, {tally.Helper, 5}}
	g := newGroups(tops, mostGroups)
	for i, src := range []string{"10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.2", "10.0.0.3", "2001:db8::1"} {
		f := udpFlow(src, uint16(i/4), []flow.Status{0, flow.SeenReply, flow.SeenReply | flow.Assured | flow.SrcNAT}[i%3])
		if i == 5 {
			f.Helper = "a\xff\"b"
		}
		g.add(&f)
	}
	g.add(&flow.Flow{Has: flow.HasState | flow.HasStatus, State: flow.TCPEstablished, Status: flow.SeenReply | flow.Assured,
		Orig: flow.Tuple{Proto: flow.TCP, Src: addr("10.0.0.1"), Dst: addr("192.0.2.1")}})
	r.count = &lastCount{counts: g.counts(tops), took: 1500 * time.Microsecond, at: time.UnixMilli(1_700_000_000_123), way: "netlink", reason: "small",
		byWay: map[string]uint64{"netlink": 4}, failures: 1}
	return r
}

// TestExpositionIsAsRecorded: names, types and labels are an interface.
func TestExpositionIsAsRecorded(t *testing.T) {
	got := exposition(t, shown{full(""), {netns: "gone", failed: true}, {netns: "quiet"}})
	const name = "testdata/exposition.txt"
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		a, b := strings.Split(got, "\n"), strings.Split(string(want), "\n")
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				t.Fatalf("line %d: %s\nrecorded: %s", i+1, a[i], b[i])
			}
		}
		t.Error("one is longer")
	}
}

// TestNamespacesAreToldApart: the same figures of two namespaces are two series.
func TestNamespacesAreToldApart(t *testing.T) {
	one, two := exposition(t, shown{full("")}), exposition(t, shown{full(""), full("blue")})
	lines := func(text string) (n int) {
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "#") {
				n++
			}
		}
		return n
	}
	if a, b := lines(one), lines(two); b != 2*a || strings.Count(two, `netns="blue"`) != a || strings.Contains(one, "netns") {
		t.Errorf("%d series of one namespace, %d of two", a, b)
	}
}

// TestLabelsAreBounded: whatever is in the table.
func TestLabelsAreBounded(t *testing.T) {
	tops := []Top{{tally.Src, 3}, {tally.Mark, 100}}
	g := newGroups(tops, 1000)
	total := 0
	for i := range 20_000 {
		f := udpFlow(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).String(), uint16(i), flow.SeenReply)
		f.Orig.Proto, f.Mark = flow.Proto(i%50), uint32(i)
		f.Has, f.State = f.Has|flow.HasState, uint8(i/256%10)
		for range 1 + 50*(1-min(i%5000, 1)) { // four sources have 51 flows
			g.add(&f)
			total++
		}
	}
	for i, top := range g.tops {
		if n := top.Groups(); n > 1000 || !g.pruned[i] {
			t.Errorf("top %d has %d groups", i, n)
		}
	}
	c := g.counts(tops)
	if len(c.zones) != mostZones || len(c.kinds) > 256*10 || len(c.tops[0].largest) != 3 || len(c.tops[1].largest) > 100 {
		t.Errorf("%d zones, %d kinds", len(c.zones), len(c.kinds))
	}
	sum := c.otherZones
	for _, z := range c.zones {
		sum += z.flows
	}
	kinds := uint64(0)
	for _, k := range c.kinds {
		kinds += k.flows
	}
	if sum != uint64(total) || kinds != uint64(total) {
		t.Errorf("%d flows in zones, %d in kinds, want %d", sum, kinds, total)
	}
	for i := range c.tops {
		n := c.tops[i].others
		for _, g := range c.tops[i].largest {
			n += g.Flows
		}
		if n != uint64(total) || c.tops[i].exact {
			t.Errorf("top %d has %d flows, exact: %v", i, n, c.tops[i].exact)
		}
	}
	if got := c.tops[0].largest[0]; got.Flows != 51 {
		t.Errorf("the largest source has %d flows", got.Flows)
	}
	exposition(t, shown{{count: &lastCount{counts: c}}})
}

// TestWorkersAddUp: many workers count what one does.
func TestWorkersAddUp(t *testing.T) {
	tops := []Top{{tally.Src, 10}, {tally.Dst, 1}}
	one := newGroups(tops, mostGroups)
	parts := []*groups{newGroups(tops, mostGroups), newGroups(tops, mostGroups), newGroups(tops, mostGroups)}
	for i := range 1000 {
		f := udpFlow(fmt.Sprintf("10.0.0.%d", i%7), uint16(i%5), flow.Status(i%64))
		one.add(&f)
		parts[i%3].add(&f)
	}
	sum := newGroups(tops, mostGroups)
	for _, p := range parts {
		sum.merge(p)
	}
	if a, b := one.counts(tops), sum.counts(tops); !reflect.DeepEqual(a, b) {
		t.Errorf("%+v\nof three workers\n%+v", a, b)
	}
}

func TestCountersDoNotWrapAround(t *testing.T) {
	var all totals
	for _, v := range []uint32{1 << 31, 1<<32 - 1, 5, 5, 1 << 31} {
		all.update([]conntrack.CPUStats{{CPU: 3, Counters: []conntrack.Counter{{ID: 10, Value: v}, {ID: 999, Value: 1}}}, {CPU: 1}})
	}
	if got := all.sum(10); got != 1<<32+1<<31 || !all.has(10) || all.has(9) {
		t.Errorf("%d", got)
	}
	if all.cpus[0].cpu != 1 || !all.cpus[0].idle() || all.cpus[1].idle() {
		t.Errorf("%+v", all.cpus)
	}
	before := all.clone()
	all.update([]conntrack.CPUStats{{CPU: 3, Counters: []conntrack.Counter{{ID: 10, Value: 1<<31 + 1}}}})
	if before.sum(10)+1 != all.sum(10) {
		t.Error("a clone changed")
	}
}

func TestTopIsParsed(t *testing.T) {
	for text, want := range map[string]string{"src=20": "", "nat-dst=100": "", "src": "a number from 1 to 100", "src=0": "a number", "src=101": "a number",
		"source=3": `no field "source": choose from family,proto`, "": "no field", "src=-1": "a number", "src=99999999999999999999": "a number"} {
		top, err := ParseTop(text)
		if want == "" && (err != nil || top.String() != text) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, %v", text, top, err)
		}
	}
}

func FuzzParseTop(f *testing.F) {
	for _, s := range []string{"src=20", "dport=1", "nat-src=100", "=", "src=+1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		top, err := ParseTop(text)
		if err != nil {
			return
		}
		if top.N < 1 || top.N > MaxTop {
			t.Errorf("%q: %v", text, top)
		}
		if again, err := ParseTop(top.String()); err != nil || again != top {
			t.Errorf("%q: %v is not read as itself: %v, %v", text, top, again, err)
		}
	})
}

// FuzzLabel: every text becomes a label that Prometheus can read, and no two the same unless one looks quoted.
func FuzzLabel(f *testing.F) {
	f.Add("blue", "\xff")
	f.Add("\xfe", "\xff")
	f.Fuzz(func(t *testing.T, a, b string) {
		if a != b && label(a) == label(b) && !strings.HasPrefix(a, `"`) && !strings.HasPrefix(b, `"`) {
			t.Errorf("%q and %q are both %q", a, b, label(a))
		}
		desc := prometheus.NewDesc("x", "x", []string{"netns"}, nil)
		if _, err := prometheus.NewConstMetric(desc, gauge, 1, label(a)); err != nil {
			t.Error(err)
		}
	})
}
