//go:build linux

package conntrack_test

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nstest"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

var addr = netip.MustParseAddr

// kernel returns a namespace of the test's own and a client for it.
func kernel(t testing.TB) (*nstest.NS, *conntrack.Client) {
	t.Helper()
	ns := nstest.New(t)
	return ns, dial(t, ns)
}

func dial(t testing.TB, ns *nstest.NS) *conntrack.Client {
	t.Helper()
	c, err := conntrack.Dial(&conntrack.Options{NetNS: ns.Path()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// limited is a context that ends a stuck test. A flush in any namespace holds up the
// requests of all, so that on a busy machine each may take a second.
func limited(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// tuple is a tuple between two documentation addresses, told from others by n.
func tuple(p flow.Proto, family flow.Family, n int) flow.Tuple {
	t := flow.Tuple{Src: netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}), Dst: addr("198.51.100.1"),
		SrcPort: uint16(1000 + n), DstPort: 80, Proto: p}
	if family == flow.IPv6 {
		src := addr("2001:db8::").As16()
		src[15] = byte(n)
		t.Src, t.Dst = netip.AddrFrom16(src), addr("2001:db8:1::1")
	}
	switch p.Shape() {
	case flow.ShapeICMP:
		t.SetICMP(8, 0, uint16(1000+n))
		if p == flow.ICMPv6 {
			t.SetICMP(128, 0, uint16(1000+n))
		}
	case flow.ShapeNone:
		t.SrcPort, t.DstPort = 0, 0
	}
	return t
}

// entry is an entry that lives for five minutes.
func entry(t flow.Tuple) *conntrack.Entry {
	reply, _ := t.Inverse()
	return &conntrack.Entry{Orig: t, Reply: reply, Change: conntrack.Change{Timeout: new(5 * time.Minute)}}
}

// rounds counts up to most, or, where the machine is slow, to least: listing a table goes
// through the entries of all namespaces.
func rounds(least, most int) iter.Seq[int] {
	return func(yield func(int) bool) {
		end := time.Now().Add(4 * time.Second)
		for i := 0; i < most && (i < least || time.Now().Before(end)); i++ {
			if !yield(i) {
				return
			}
		}
	}
}

func create(t testing.TB, c *conntrack.Client, entries ...*conntrack.Entry) {
	t.Helper()
	for _, e := range entries {
		if err := c.Create(limited(t), e); err != nil {
			t.Fatalf("%+v: %v", e.Orig, err)
		}
	}
}

func get(t testing.TB, c *conntrack.Client, tuple flow.Tuple, zone uint16) flow.Flow {
	t.Helper()
	f, err := c.Get(limited(t), tuple, zone)
	if err != nil {
		t.Fatalf("%+v: %v", tuple, err)
	}
	return f
}

// list returns the flows that flt selects, by key, and fails on duplicates.
func list(t testing.TB, c *conntrack.Client, flt *filter.Filter) map[flow.Key]flow.Flow {
	t.Helper()
	all := map[flow.Key]flow.Flow{}
	for f, err := range c.Flows(limited(t), flt) {
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := all[f.Key()]; twice {
			t.Errorf("%+v is listed twice", f.Orig)
		}
		all[f.Key()] = f
	}
	return all
}

func count(t testing.TB, c *conntrack.Client) int {
	t.Helper()
	u, err := c.Count(limited(t))
	if err != nil {
		t.Fatal(err)
	}
	return int(u.Entries)
}

// differences lists the fields in which two structs differ.
func differences[T comparable](got, want T) (all []string) {
	g, w := reflect.ValueOf(got), reflect.ValueOf(want)
	for i := range g.NumField() {
		if a, b := g.Field(i).Interface(), w.Field(i).Interface(); a != b {
			all = append(all, fmt.Sprintf("%s: got %+v, want %+v", g.Type().Field(i).Name, a, b))
		}
	}
	return all
}

// check compares what the kernel has with what was asked for; ID and Use are its own.
func check(t testing.TB, got, want flow.Flow) {
	t.Helper()
	if !got.Has.Has(flow.HasID|flow.HasUse) || got.ID == 0 || got.Use == 0 {
		t.Errorf("%+v: ID %d, use %d", got.Orig, got.ID, got.Use)
	}
	if d := want.Timeout - got.Timeout; d < 0 || d > 3*time.Second {
		t.Errorf("%+v: timeout %v, want %v or a little less", got.Orig, got.Timeout, want.Timeout)
	}
	want.Has |= flow.HasID | flow.HasUse | flow.HasReply | flow.HasStatus | flow.HasTimeout | flow.HasMark | flow.HasSynproxy
	want.ID, want.Use, want.Timeout = got.ID, got.Use, got.Timeout
	if want.Reply == (flow.Tuple{}) {
		want.Reply, _ = want.Orig.Inverse()
	}
	if want.Status == 0 {
		want.Status = flow.Confirmed
	}
	for _, diff := range differences(got, want) {
		t.Errorf("%+v: %s", got.Orig, diff)
	}
}
