//go:build linux

package snapshot_test

import (
	"net/netip"
	"reflect"
	"sync"
	"testing"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/tally"
	"github.com/spoor-project/spoor/snapshot"
)

// Groups counted by all workers at once are those that netlink has.
func TestGroupedCounts(t *testing.T) {
	ns, c := place(t)
	ctx := limited(t)
	fill(t, c, 0, 3000)
	for i := range 40 {
		e := entry(tuple(flow.TCP, flow.IPv6, i))
		e.Zone = uint16(i % 3)
		e.TCP = &conntrack.TCP{State: new(uint8(1 + i%5))}
		if err := c.Create(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	e := entry(tuple(flow.TCP, flow.IPv4, 5000))
	e.SrcNAT = &conntrack.NAT{Addr: netip.MustParseAddr("203.0.113.9")}
	if err := c.Create(ctx, e); err != nil {
		t.Fatal(err)
	}
	tab := open(t, ns, 2)
	for _, by := range [][]tally.Field{
		{tally.State}, {tally.Proto, tally.Zone}, {tally.Src}, {tally.Dst, tally.DstPort}, {tally.NATSrc}, {},
	} {
		for _, flt := range []*filter.Filter{nil, {Orig: filter.Side{Proto: new(flow.TCP)}}} {
			want := tally.New(by...)
			for f, err := range c.Flows(ctx, flt) {
				if err != nil {
					t.Fatal(err)
				}
				want.Add(&f)
			}
			var mu sync.Mutex
			got := tally.New(by...)
			err := tab.Chunks(ctx, flt, func(c *snapshot.Chunk) error {
				part := tally.New(by...)
				for f := range c.Flows() {
					part.Add(f)
				}
				mu.Lock()
				defer mu.Unlock()
				got.Merge(part)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if a, b := got.Top(-1, tally.ByFlows), want.Top(-1, tally.ByFlows); !reflect.DeepEqual(a, b) {
				t.Errorf("by %v: %v, netlink has %v", by, a, b)
			}
		}
	}
}
