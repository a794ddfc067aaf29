//go:build linux

package table_test

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"os"
	"strings"
	"sync"
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

func place(t *testing.T, entries int) (*nstest.NS, *conntrack.Client, context.Context) {
	t.Helper()
	nstest.NeedRoot(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	ns := nstest.New(t)
	c, err := conntrack.Dial(&conntrack.Options{NetNS: ns.Path()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	for i := range entries {
		e := conntrack.Entry{Orig: flow.Tuple{Proto: flow.UDP, Src: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}),
			Dst: netip.MustParseAddr("192.0.2.1"), SrcPort: 1000, DstPort: uint16(i % 3)}}
		e.Reply, _ = e.Orig.Inverse()
		e.Timeout = new(10 * time.Minute)
		if err := c.Create(ctx, &e); err != nil {
			t.Fatal(err)
		}
	}
	return ns, c, ctx
}

func open(t *testing.T, ctx context.Context, c *conntrack.Client, opts table.Options) *table.Table {
	t.Helper()
	tab, err := table.Open(ctx, c, &opts)
	if err != nil {
		if opts.Way == table.Snapshot {
			nstest.Unavailable(t, []string{"snapshot"}, err.Error())
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { tab.Close() })
	return tab
}

// TestBothWaysReadTheSame: in the same order, by the loop and by chunks.
func TestBothWaysReadTheSame(t *testing.T) {
	ns, c, ctx := place(t, 300)
	flt := &filter.Filter{Orig: filter.Side{DstPort: new(uint16(1))}}
	var want []flow.Key
	for _, way := range []table.Way{table.Netlink, table.Snapshot, table.Fastest} {
		tab := open(t, ctx, c, table.Options{NetNS: ns.Path(), Way: way, IDs: true})
		if by := tab.BySnapshot(); by != (way == table.Snapshot) {
			t.Errorf("%q: by snapshot: %v", way, by)
		}
		var got []flow.Key
		for f, err := range tab.Flows(ctx, flt) {
			if err != nil {
				t.Fatal(err)
			}
			if !f.Has.Has(flow.HasID) {
				t.Fatalf("%q: %v has no identifier", way, f)
			}
			got = append(got, f.Key())
		}
		if want == nil {
			want = got
		}
		var chunked []flow.Key
		if err := tab.Chunks(ctx, flt, func(chunk *table.Chunk) error {
			var keys []flow.Key
			for f := range chunk.Flows() {
				keys = append(keys, f.Key())
			}
			chunk.Enqueue(func() { chunked = append(chunked, keys...) })
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for _, list := range [][]flow.Key{got, chunked} {
			if len(list) != 100 {
				t.Fatalf("%q: %d flows", way, len(list))
			}
			for i := range list {
				if list[i] != want[i] {
					t.Fatalf("%q: flow %d is %v, want %v", way, i, list[i], want[i])
				}
			}
		}
	}
}

// TestPartsAreTheTable: each flow is in one part, always the same, whatever part is read with which others.
func TestPartsAreTheTable(t *testing.T) {
	ns, c, ctx := place(t, 300)
	for _, way := range []table.Way{table.Netlink, table.Snapshot} {
		tab := open(t, ctx, c, table.Options{NetNS: ns.Path(), Way: way})
		n := tab.Parts()
		parts := func(spans ...[2]int) map[flow.Key]int {
			t.Helper()
			got := map[flow.Key]int{}
			for _, span := range spans {
				var mu sync.Mutex
				last := make([]int, tab.Workers())
				closed := map[int]bool{}
				if err := tab.ChunksOf(ctx, nil, span[0], span[1], func(chunk *table.Chunk) error {
					mu.Lock()
					defer mu.Unlock()
					part, w := chunk.Part(), chunk.Worker()
					if part < span[0] || part >= span[1] {
						t.Errorf("%q: a chunk of part %d in %v", way, part, span)
					}
					if part != last[w] {
						closed[last[w]], last[w] = true, part
					}
					if part != 0 && closed[part] {
						t.Errorf("%q: part %d comes up twice", way, part)
					}
					for f := range chunk.Flows() {
						if _, twice := got[f.Key()]; twice {
							t.Errorf("%q: %v comes up twice", way, f)
						}
						got[f.Key()] = part
					}
					return nil
				}); err != nil {
					t.Fatal(err)
				}
			}
			return got
		}
		whole := parts([2]int{0, n})
		if len(whole) != 300 {
			t.Fatalf("%q: %d flows", way, len(whole))
		}
		if got := parts([2]int{n / 3, n}, [2]int{0, n / 3}, [2]int{0, 0}, [2]int{n, n}); !maps.Equal(got, whole) {
			t.Errorf("%q: %d flows in two pieces are not those of the whole", way, len(got))
		}
	}
}

func TestErrorOfVisitEndsTheReading(t *testing.T) {
	ns, c, ctx := place(t, 50)
	stop := errors.New("stop")
	for _, way := range []table.Way{table.Netlink, table.Snapshot} {
		tab := open(t, ctx, c, table.Options{NetNS: ns.Path(), Way: way})
		var visits atomic.Int32
		err := tab.Chunks(ctx, nil, func(chunk *table.Chunk) error {
			visits.Add(1)
			for range chunk.Flows() {
				break
			}
			return stop
		})
		if !errors.Is(err, stop) || int(visits.Load()) > tab.Workers() {
			t.Errorf("%q: %v after %d visits", way, err, visits.Load())
		}
	}
}

func TestWhyIsTold(t *testing.T) {
	_, c, ctx := place(t, 0)
	for way, want := range map[table.Way][2]string{
		table.Netlink: {table.ReasonOff, "over netlink: SPOOR_SNAPSHOT=off"},
		table.Fastest: {table.ReasonSmall, "over netlink: of 0 entries; a snapshot is faster from 15000 on"},
	} {
		if tab := open(t, ctx, c, table.Options{Way: way}); tab.String() != want[1] || tab.Reason() != want[0] {
			t.Errorf("%q: %s: %s", way, tab.Reason(), tab)
		}
	}
	if got := open(t, ctx, c, table.Options{Way: table.Snapshot, IDs: true}).String(); !strings.Contains(got, "no entry to learn from") {
		t.Error(got)
	}
}
