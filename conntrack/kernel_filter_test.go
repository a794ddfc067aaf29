//go:build linux

package conntrack_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
)

// pick returns one of the values.
func pick[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

// someEntry draws an entry from few values, so that filters select several.
func someEntry(r *rand.Rand) *conntrack.Entry {
	family := pick(r, flow.IPv4, flow.IPv6)
	p := pick(r, append(flow.Protos(), generic, flow.TCP, flow.UDP, flow.TCP, flow.UDP)...)
	e, _ := protocolEntry(p, family, 1)
	if family == flow.IPv4 {
		e.Orig.Src, e.Orig.Dst = netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(200))}), pick(r, addr("198.51.100.1"), addr("198.51.100.2"))
	} else {
		src := addr("2001:db8::").As16()
		src[15] = byte(r.IntN(200))
		e.Orig.Src, e.Orig.Dst = netip.AddrFrom16(src), pick(r, addr("2001:db8:1::1"), addr("::ffff:198.51.100.1"))
	}
	if s := p.Shape(); s == flow.ShapePorts || s == flow.ShapeKeys {
		e.Orig.SrcPort, e.Orig.DstPort = uint16(r.IntN(65536)), pick[uint16](r, 0, 53, 80, 8<<8)
	} else if s == flow.ShapeICMP {
		e.Orig.SetICMP(e.Orig.ICMPType(), pick[uint8](r, 0, 1), pick[uint16](r, 0, 53, 80))
	}
	e.Reply, _ = e.Orig.Inverse()
	if r.IntN(4) == 0 && family == flow.IPv4 { // the kernel takes any reply
		e.Reply.Src = addr("203.0.113.7")
	}
	switch zone := uint16(1 + r.IntN(2)); r.IntN(6) {
	case 0:
		e.Zone = zone
	case 1:
		e.Orig.Zone = zone
	case 2:
		e.Reply.Zone = zone
	}
	e.Mark = new(pick[uint32](r, 0, 1, 0x10, 0x11, 1<<31))
	e.Status = new(pick(r, flow.Confirmed, flow.SeenReply, flow.SeenReply|flow.Assured))
	switch {
	case r.IntN(3) > 0:
	case p == flow.TCP:
		e.TCP.State = new(pick(r, flow.TCPSynSent, flow.TCPTimeWait))
	case p == flow.UDP && e.Orig.Zone == 0 && e.Reply.Zone == 0 && family == flow.IPv4:
		e.Reply, _ = e.Orig.Inverse()
		e.SrcNAT = &conntrack.NAT{Addr: addr("203.0.113.9")}
	}
	if r.IntN(3) == 0 {
		e.Labels = &flow.Labels{0: byte(r.IntN(4))}
	}
	return e
}

// fillTable creates entries; those that collide with one there is are left out.
func fillTable(t *testing.T, c *conntrack.Client, entries []*conntrack.Entry) {
	t.Helper()
	w, err := c.NewWriter()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var b conntrack.Batch
	for i, e := range entries {
		b.Create(e)
		if b.Full() || i == len(entries)-1 {
			results, err := w.Do(limited(t), &b)
			if err != nil {
				t.Fatal(err)
			}
			for j, r := range results {
				if r.Err != nil && !errors.Is(r.Err, conntrack.ErrExists) {
					t.Fatalf("operation %d: %v", j, r.Err)
				}
			}
			b.Reset()
		}
	}
}

// someFilter draws a filter whose values are those of a flow that exists, mostly.
func someFilter(r *rand.Rand, all []flow.Flow) *filter.Filter {
	flt := &filter.Filter{}
	f := all[r.IntN(len(all))]
	sideOf := func(s *filter.Side, t *flow.Tuple) {
		switch r.IntN(8) {
		case 0, 1:
			s.Src.Addr = t.Src
		case 2:
			s.Dst.Addr = t.Dst
		case 3:
			s.Src = filter.Prefix(netip.PrefixFrom(t.Src, r.IntN(t.Src.BitLen()+1)))
		case 4:
			s.Zone = new(pick[uint16](r, 0, t.Zone, 1))
		case 5, 6:
			s.Proto = new(t.Proto)
			if shape := t.Proto.Shape(); shape == flow.ShapeICMP {
				s.ICMPType, s.ICMPID = new(t.ICMPType()), new(t.ICMPID())
			} else if shape != flow.ShapeNone {
				s.DstPort = new(t.DstPort)
				if r.IntN(4) == 0 {
					s.SrcPort = new(t.SrcPort)
				}
			}
		case 7:
			s.DstPort = new(t.DstPort)
			if t.Proto.Shape() == flow.ShapeICMP {
				s.DstPort, s.ICMPCode = nil, new(t.ICMPCode())
			}
		}
	}
	if r.IntN(3) > 0 {
		sideOf(&flt.Orig, &f.Orig)
	}
	if r.IntN(3) == 0 {
		sideOf(&flt.Reply, &f.Reply)
	}
	if r.IntN(3) == 0 {
		flt.Family = f.Orig.Family()
	}
	switch r.IntN(10) {
	case 0:
		flt.Mark = &filter.Mark{Value: f.Mark & 0x11, Mask: pick[uint32](r, 0x11, 0x10, 1, 0)}
	case 1:
		flt.Status = &filter.Status{Value: f.Status & flow.Assured, Mask: pick(r, flow.Assured, flow.Assured|flow.SeenReply)}
	case 2:
		flt.Zone = new(f.Zone)
	case 3:
		flt.State = &filter.State{Proto: f.Orig.Proto, N: f.State}
	case 4:
		flt.ID = new(f.ID)
	case 5:
		flt.Labels = f.Labels
	case 6:
		flt.NAT = []filter.NAT{{Src: true, Dst: r.IntN(2) == 0}}
	}
	return flt
}

// values writes out a filter with what its pointers point to.
func values(flt *filter.Filter) string {
	text, err := json.Marshal(flt)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func TestAFilteredListingIsWhatMatchSelects(t *testing.T) {
	t.Parallel()
	ns, c := kernel(t)
	useLabels(t, ns)
	useNAT(t, ns)
	r := rand.New(rand.NewPCG(1, 1))
	entries := make([]*conntrack.Entry, 600)
	for i := range entries {
		entries[i] = someEntry(r)
	}
	fillTable(t, c, entries)
	var all []flow.Flow
	for _, f := range list(t, c, nil) {
		all = append(all, f)
	}
	if len(all) < 400 || len(all) != count(t, c) {
		t.Fatalf("%d entries listed, %d counted", len(all), count(t, c))
	}
	selected, whole := 0, 0
	for range rounds(20, 300) {
		flt := someFilter(r, all)
		got := list(t, c, flt)
		for _, f := range all {
			_, listed := got[f.Key()]
			if match := flt.Match(&f); match != listed {
				t.Errorf("%s\n%+v: listed %v, match %v", values(flt), f, listed, match)
			}
			if listed {
				selected++
			}
			delete(got, f.Key())
		}
		for _, f := range got {
			t.Errorf("%s\nlisted, and not there before: %+v", values(flt), f)
		}
		if _, w := flt.Kernel(); w {
			whole++
		}
		if t.Failed() {
			return
		}
	}
	if selected < 100 || whole < 3 {
		t.Errorf("%d selected, %d filters for the kernel alone: too few to mean anything", selected, whole)
	}
}

func TestFlushAndDeleteFlowsRemoveWhatMatchSelects(t *testing.T) {
	t.Parallel()
	ns, c := kernel(t)
	useLabels(t, ns)
	useNAT(t, ns)
	r := rand.New(rand.NewPCG(2, 2))
	entries := make([]*conntrack.Entry, 150)
	for i := range entries {
		entries[i] = someEntry(r)
	}
	remove := []func(*filter.Filter, map[flow.Key]flow.Flow){
		func(flt *filter.Filter, before map[flow.Key]flow.Flow) {
			if err := c.Flush(limited(t), flt); err != nil {
				t.Error(err)
			}
		},
		func(flt *filter.Filter, before map[flow.Key]flow.Flow) {
			removed := map[flow.Key]bool{}
			for f, err := range c.DeleteFlows(limited(t), flt) {
				if err != nil || removed[f.Key()] {
					t.Fatalf("%+v: twice %v, %v", f.Orig, removed[f.Key()], err)
				}
				removed[f.Key()] = true
			}
			for key, f := range before {
				if flt.Match(&f) != removed[key] {
					t.Errorf("%s\n%+v: told as removed: %v", values(flt), f, removed[key])
				}
			}
		},
	}
	for i := range rounds(8, 100) {
		fillTable(t, c, entries)
		before := list(t, c, nil)
		var all []flow.Flow
		for _, f := range before {
			all = append(all, f)
		}
		flt := someFilter(r, all)
		remove[i%2](flt, before)
		after := list(t, c, nil)
		for key, f := range before {
			if _, there := after[key]; there == flt.Match(&f) {
				t.Errorf("%s\n%+v: there %v, was selected %v", values(flt), f, there, flt.Match(&f))
			}
		}
		if t.Failed() {
			return
		}
	}
}

// The value of a status filter may be zero, its mask not.
func TestStatusFiltersOfTheKernel(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	e := entry(tuple(flow.UDP, flow.IPv4, 1))
	create(t, c, e)
	if all := list(t, c, &filter.Filter{Status: &filter.Status{Mask: flow.Assured}}); len(all) != 1 {
		t.Errorf("not assured: %d flows, want 1", len(all))
	}
	for _, err := range c.Flows(limited(t), &filter.Filter{Status: &filter.Status{}}) {
		if err == nil {
			t.Log("this kernel takes a status mask of zero")
		}
	}
}

func TestDeleteFlowsPassesOverWhatVanishes(t *testing.T) {
	t.Parallel()
	ns, c := kernel(t)
	const n = 2000
	makeMany(t, c, n)
	vanish := make(chan error, 1)
	other := dial(t, ns)
	removed, asked := map[flow.Key]bool{}, 0
	for f, err := range c.DeleteFlows(limited(t), nil) {
		if err != nil {
			t.Fatal(err)
		}
		if removed[f.Key()] = true; len(removed) == 1 { // now that it is under way
			go func() { vanish <- removeOdd(t.Context(), other) }()
		}
		asked++
	}
	if err := <-vanish; err != nil {
		t.Error(err)
	}
	if left := count(t, c); left != 0 || asked != len(removed) {
		t.Errorf("%d are left; %d told as removed, %d of them different", left, asked, len(removed))
	}
	t.Logf("%d of %d removed by DeleteFlows", asked, n)
}

// removeOdd removes every second flow of makeMany.
func removeOdd(ctx context.Context, c *conntrack.Client) error {
	for i := 1; i < 2000; i += 2 {
		if err := c.Delete(ctx, &flow.Flow{Orig: numbered(i)}); err != nil && !errors.Is(err, conntrack.ErrNotFound) {
			return err
		}
	}
	return nil
}

// numbered is the i-th of many tuples.
func numbered(i int) flow.Tuple {
	return flow.Tuple{Src: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), Dst: addr("198.51.100.1"),
		SrcPort: 1000, DstPort: 53, Proto: flow.UDP}
}

// makeMany creates the first n numbered flows.
func makeMany(t testing.TB, c *conntrack.Client, n int) {
	t.Helper()
	if err := createNumbered(limited(t), c, 0, n); err != nil {
		t.Fatal(err)
	}
}

// createNumbered creates n numbered flows from a number on; it is for goroutines.
func createNumbered(ctx context.Context, c *conntrack.Client, from, n int) error {
	w, err := c.NewWriter()
	if err != nil {
		return err
	}
	defer w.Close()
	var b conntrack.Batch
	for i := range n {
		b.Create(entry(numbered(from + i)))
		if !b.Full() && i < n-1 {
			continue
		}
		results, err := w.Do(ctx, &b)
		if err != nil {
			return err
		}
		for _, r := range results {
			if r.Err != nil {
				return r.Err
			}
		}
		b.Reset()
	}
	return nil
}
