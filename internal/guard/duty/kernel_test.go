//go:build linux

package duty

import (
	"context"
	"iter"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nstest"
	tables "github.com/spoor-project/spoor/internal/table"
)

// TestKernelIsReadEveryWay there is, again and again, and tells its changes.
func TestKernelIsReadEveryWay(t *testing.T) {
	nstest.NeedRoot(t)
	ns := nstest.New(t)
	client, err := conntrack.Dial(&conntrack.Options{NetNS: ns.Path()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	create := func(port int) {
		t.Helper()
		e := conntrack.Entry{Orig: flow.Tuple{Proto: flow.UDP, Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"), SrcPort: uint16(port), DstPort: 53}}
		e.Reply, _ = e.Orig.Inverse()
		e.Timeout = new(10 * time.Minute)
		if err := client.Create(ctx, &e); err != nil {
			t.Fatal(err)
		}
	}
	for port := range 300 {
		create(1 + port)
	}
	for _, way := range []tables.Way{tables.Netlink, tables.Snapshot, tables.Fastest} {
		k := &Conntrack{Client: client, NetNS: ns.Path(), Way: way, Buffer: 1 << 20}
		for range 2 {
			var read atomic.Int64
			if err := k.Read(ctx, func(flows iter.Seq[*flow.Flow]) error {
				for f := range flows {
					read.Add(int64(f.Orig.SrcPort))
				}
				return nil
			}); err != nil || read.Load() != 300*301/2 {
				t.Errorf("%q: sum of ports %d, %v", way, read.Load(), err)
			}
		}
		k.Close()
	}
	k := &Conntrack{Client: client, NetNS: ns.Path(), Buffer: 1 << 20}
	events, err := k.Subscribe()
	if err != nil {
		t.Fatal(err)
	}
	create(1000)
	for e, err := range events.Events(ctx) {
		if err != nil || e.Type != flow.New || e.Flow.Orig.SrcPort != 1000 {
			t.Errorf("%v %v", e, err)
		}
		break
	}
	if u, err := k.Count(ctx); err != nil || u.Entries != 301 {
		t.Errorf("%+v %v", u, err)
	}
}
