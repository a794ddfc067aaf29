//go:build linux

package conntrack

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"reflect"
	"syscall"
	"testing"
	"time"

	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
	"github.com/spoor-project/spoor/internal/nfnetlink/nfnetlinktest"
)

func TestAKernelIsOnlyTrustedWithFiltersItKnows(t *testing.T) {
	// The condition, and the first version that does not take a flush by it for a
	// flush of everything.
	conditions := []struct {
		name  string
		set   func(*filter.Kernel)
		since version
	}{
		{"mark", func(k *filter.Kernel) { k.Mark = &filter.Mark{Value: 1, Mask: 1} }, version{0, 0}},
		{"family", func(k *filter.Kernel) { k.Family = flow.IPv4 }, version{5, 3}},
		{"status", func(k *filter.Kernel) { k.Status = &filter.Status{Mask: 8} }, version{5, 15}},
		{"zone", func(k *filter.Kernel) { k.Zone = new(uint16(1)) }, version{6, 8}},
		{"original tuple", func(k *filter.Kernel) { k.OrigFields = filter.FieldProto }, version{6, 12}},
		{"reply tuple", func(k *filter.Kernel) { k.ReplyFields = filter.FieldSrc }, version{6, 12}},
	}
	versions := []version{{}, {4, 19}, {5, 2}, {5, 3}, {5, 4}, {5, 10}, {5, 14}, {5, 15}, {5, 19}, {6, 0}, {6, 1}, {6, 7},
		{6, 8}, {6, 11}, {6, 12}, {6, 18}, {7, 0}, {10, 1}}
	for set := range 1 << len(conditions) {
		var k filter.Kernel
		names := []string{}
		var since version
		for i, c := range conditions {
			if set&(1<<i) != 0 {
				c.set(&k)
				names = append(names, c.name)
				if c.since.atLeast(since.major, since.minor) {
					since = c.since
				}
			}
		}
		for _, v := range versions {
			if got, want := kernelFlushes(&k, v), v.atLeast(since.major, since.minor); got != want {
				t.Errorf("%v on Linux %d.%d: %v, want %v", names, v.major, v.minor, got, want)
			}
		}
	}
}

func TestParseVersion(t *testing.T) {
	for release, want := range map[string]version{
		"6.18.44-fc-v657": {6, 18}, "4.19.191": {4, 19}, "5.15.0-91-generic": {5, 15}, "6.8": {6, 8}, "6.12-rc1": {6, 12},
		"7": {7, 0}, "": {}, "unknown": {}, "-1.2": {}, "6.x": {6, 0}, "6..3": {6, 0}, "10.100.1": {10, 100},
	} {
		if got := parseVersion(release); got != want {
			t.Errorf("%q: %v, want %v", release, got, want)
		}
	}
}

// FuzzParseVersion states the laws: never negative, and what is printed is parsed.
func FuzzParseVersion(f *testing.F) {
	f.Add("6.18.44-fc-v657", uint16(6), uint16(18))
	f.Add("99999999999999999999.1", uint16(0), uint16(0))
	f.Fuzz(func(t *testing.T, release string, major, minor uint16) {
		if v := parseVersion(release); v.major < 0 || v.minor < 0 {
			t.Errorf("%q: %v", release, v)
		}
		want := version{int(major), int(minor)}
		if got := parseVersion(fmt.Sprintf("%d.%d.0-%s", major, minor, release)); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// someFilters are conditions of every kind, alone and together.
func someFilters() map[string]*filter.Filter {
	four, six := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	all := map[string]*filter.Filter{
		"none":         nil,
		"empty":        {},
		"IPv4":         {Family: flow.IPv4},
		"IPv6":         {Family: flow.IPv6},
		"mark":         {Mark: &filter.Mark{Value: 1, Mask: 0xff}},
		"status":       {Status: &filter.Status{Value: flow.Confirmed, Mask: flow.Confirmed}},
		"state":        {State: &filter.State{Proto: flow.TCP, N: flow.TCPEstablished}},
		"zone":         {Zone: new(uint16(3))},
		"no zone":      {Zone: new(uint16(0))},
		"ID":           {ID: new(uint32(9))},
		"timeout":      {Timeout: new(time.Minute)},
		"labels":       {Labels: flow.Labels{1}},
		"NAT":          {NAT: []filter.NAT{{Src: true}}},
		"protocol":     {Orig: filter.Side{Proto: new(flow.TCP)}},
		"port":         {Family: flow.IPv4, Orig: filter.Side{Proto: new(flow.TCP), DstPort: new(uint16(80))}},
		"SCTP port":    {Family: flow.IPv4, Orig: filter.Side{Proto: new(flow.SCTP), DstPort: new(uint16(80))}},
		"ICMP type":    {Family: flow.IPv4, Orig: filter.Side{Proto: new(flow.ICMP), ICMPType: new(uint8(8))}},
		"ICMPv6 ID":    {Family: flow.IPv6, Orig: filter.Side{Proto: new(flow.ICMPv6), ICMPID: new(uint16(8))}},
		"v6 port":      {Family: flow.IPv6, Reply: filter.Side{Proto: new(flow.UDP), SrcPort: new(uint16(53))}},
		"contradicted": {Family: flow.IPv4, Orig: filter.Side{Src: filter.Addrs{Addr: six}}},
		"mixed":        {Orig: filter.Side{Src: filter.Addrs{Addr: six}}, Reply: filter.Side{Src: filter.Addrs{Addr: four}}},
		"mixed back":   {Orig: filter.Side{Src: filter.Addrs{Addr: four}}, Reply: filter.Side{Src: filter.Addrs{Addr: six}}},
		"prefix":       {Orig: filter.Side{Src: filter.Prefix(netip.MustParsePrefix("192.0.2.0/24"))}},
		"v6 prefix":    {Orig: filter.Side{Dst: filter.Prefix(netip.MustParsePrefix("2001:db8::/32"))}},
		"mapped":       {Orig: filter.Side{Src: filter.Addrs{Addr: netip.MustParseAddr("::ffff:192.0.2.1")}}},
		"dir zone":     {Orig: filter.Side{Zone: new(uint16(3))}, Reply: filter.Side{Zone: new(uint16(0))}},
	}
	for name, addr := range map[string]netip.Addr{"v4": four, "v6": six} {
		all[name+" source"] = &filter.Filter{Orig: filter.Side{Src: filter.Addrs{Addr: addr}}}
		all[name+" destination"] = &filter.Filter{Orig: filter.Side{Dst: filter.Addrs{Addr: addr}}}
		all[name+" reply"] = &filter.Filter{Reply: filter.Side{Src: filter.Addrs{Addr: addr}, Dst: filter.Addrs{Addr: addr}}}
		all[name+" source, port and mark"] = &filter.Filter{Mark: &filter.Mark{Value: 1, Mask: 1},
			Orig: filter.Side{Src: filter.Addrs{Addr: addr}, Proto: new(flow.UDP), SrcPort: new(uint16(7))}}
		all[name+" host prefix"] = &filter.Filter{Orig: filter.Side{Src: filter.Prefix(netip.PrefixFrom(addr, addr.BitLen()))}}
	}
	return all
}

// isJustFamily reports whether flt has no condition but that on the family.
func isJustFamily(flt *filter.Filter, family flow.Family) bool {
	return flt == nil || reflect.DeepEqual(*flt, filter.Filter{Family: family})
}

// checkFilterRequest finds what kernels get wrong in a request with a filter.
func checkFilterRequest(r *nfnetlinktest.Request) error {
	attrs := attrsOf(r.Attrs())
	for _, typ := range []uint16{ctaTupleOrig, ctaTupleReply} {
		tuple, ok := attrs[typ]
		if !ok {
			continue
		}
		for n := tuple.Nested(); n.Next(); {
			for ip := n.Nested(); n.Type == ctaTupleIP && ip.Next(); {
				if ip.Type == ctaIPv6Src || ip.Type == ctaIPv6Dst || len(ip.Data) != 4 || flow.Family(r.Family()) != flow.IPv4 {
					return fmt.Errorf("address %x of family %d in tuple %d", ip.Data, r.Family(), typ)
				}
			}
			if n.Type == ctaTupleZone {
				return fmt.Errorf("zone in tuple %d", typ)
			}
		}
	}
	flt, ok := attrs[ctaFilter]
	if _, orig := attrs[ctaTupleOrig]; !ok && orig {
		return fmt.Errorf("a tuple without a filter means one entry")
	}
	if _, mask := attrs[ctaMarkMask]; mask != (attrs[ctaMark].Data != nil) {
		return fmt.Errorf("mark and mask go together")
	}
	if _, mask := attrs[ctaStatusMask]; mask != (attrs[ctaStatus].Data != nil) {
		return fmt.Errorf("status and mask go together")
	}
	for words := flt.Nested(); words.Next(); {
		bits := filter.TupleFields(binary.NativeEndian.Uint32(words.Data))
		if flow.Family(r.Family()) == flow.IPv6 && bits&(filter.FieldSrc|filter.FieldDst) != 0 {
			return fmt.Errorf("kernels compare IPv6 addresses the wrong way round; flags %#x", bits)
		}
		if flow.Family(r.Family()) == flow.AnyFamily && bits != 0 {
			return fmt.Errorf("flags %#x without a family", bits)
		}
	}
	return nil
}

func TestNoFilterAsksForWhatKernelsGetWrong(t *testing.T) {
	var sent recorder
	c := fakeClient(t, sent.handle(succeed))
	for name, flt := range someFilters() {
		for _, err := range c.Flows(t.Context(), flt) {
			t.Errorf("%s: %v", name, err)
		}
		for _, err := range c.FlowsAndZero(t.Context(), flt) {
			t.Errorf("%s: %v", name, err)
		}
		if err := c.Flush(t.Context(), flt); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, r := range sent.take() {
			if err := checkFilterRequest(r); err != nil {
				t.Errorf("%s: request of type %#x: %v", name, r.Type, err)
			}
		}
	}
}

func TestFlushDeletesInBulkOnlyWhatTheKernelSelects(t *testing.T) {
	var sent recorder
	c := fakeClient(t, sent.handle(succeed))
	for name, flt := range someFilters() {
		if err := c.Flush(t.Context(), flt); err != nil {
			t.Fatal(err)
		}
		k, whole := flt.Kernel()
		bulk := whole && kernelFlushes(&k, kernelVersion())
		all := sent.take()
		if len(all) != 1 {
			t.Errorf("%s: %d requests, want one", name, len(all))
			continue
		}
		r := all[0]
		if deletes := r.Kind() == msgDelete; deletes != bulk {
			t.Errorf("%s: request of type %#x, want a bulk deletion: %v", name, r.Type, bulk)
		}
		attrs := attrsOf(r.Attrs())
		if bulk && !isJustFamily(flt, flow.AnyFamily) && len(attrs) == 0 && r.Family() == 0 {
			t.Errorf("%s: everything would be removed", name)
		}
		// Version 0 makes the kernel forget the family.
		if bulk && r.Family() != 0 && r.Payload[1] == 0 {
			t.Errorf("%s: family %d in a request of version 0", name, r.Family())
		}
	}
}

// A kernel that turns out not to know a filter refuses it; then flows are removed one
// by one.
func TestFlushFallsBackWhenTheFilterIsRefused(t *testing.T) {
	if v := kernelVersion(); !v.atLeast(6, 12) {
		t.Skipf("Linux %d.%d is not asked to flush by tuple", v.major, v.minor)
	}
	var sent recorder
	flt := &filter.Filter{Orig: filter.Side{Dst: filter.Addrs{Addr: numbered(0).Dst}}}
	entries := table(600, done)
	c := fakeClient(t, sent.handle(func(r *nfnetlinktest.Request) [][]byte {
		if _, ok := attrsOf(r.Attrs())[ctaFilter]; ok && r.Kind() == msgDelete {
			return [][]byte{r.Error(syscall.EOPNOTSUPP)}
		}
		return entries(r)
	}))
	if err := c.Flush(t.Context(), flt); err != nil {
		t.Fatal(err)
	}
	deleted := 0
	for _, r := range sent.take()[1:] {
		if attrs := attrsOf(r.Attrs()); r.Kind() == msgDelete {
			if tuple := attrs[ctaTupleOrig]; decodeTuple(tuple.Nested()) != numbered(deleted) {
				t.Fatalf("deletion %d is not of entry %d", deleted, deleted)
			}
			deleted++
		}
	}
	if deleted != 600 {
		t.Errorf("%d deleted, want 600", deleted)
	}
	// Refusals of other kinds are final.
	c = fakeClient(t, sent.handle(func(r *nfnetlinktest.Request) [][]byte { return [][]byte{r.Error(syscall.EPERM)} }))
	if err := c.Flush(t.Context(), flt); err == nil || len(sent.take()) != 1 {
		t.Errorf("not permitted: %v, want one request and its error", err)
	}
}

// Entries that do not pass the whole filter keep their counts.
func TestFlowsAndZeroZeroesOnlyMatches(t *testing.T) {
	for name, flt := range someFilters() {
		var sent recorder
		c := fakeClient(t, sent.handle(table(300, done)))
		want := map[flow.Tuple]bool{}
		for i := range 300 {
			// A reply tuple has the number that an expectation's tuple has.
			if orig := numbered(i); flt.Match(&flow.Flow{Has: flow.HasReply, Orig: orig, Reply: orig}) {
				want[orig] = true
			}
		}
		yielded := 0
		for f, err := range c.FlowsAndZero(t.Context(), flt) {
			if err != nil || !want[f.Orig] {
				t.Fatalf("%s: got %v, %v", name, f.Orig, err)
			}
			yielded++
		}
		if yielded != len(want) {
			t.Errorf("%s: %d flows, want %d", name, yielded, len(want))
		}
		for _, r := range sent.take() {
			attrs := attrsOf(r.Attrs())
			tuple := attrs[ctaTupleOrig]
			switch {
			case r.Kind() != msgGetZero:
			case r.Flags&nfnetlink.Dump != 0:
				if flt != nil && !isJustFamily(flt, flt.Family) {
					t.Errorf("%s: all that the kernel selects is zeroed", name)
				}
			case !want[decodeTuple(tuple.Nested())]:
				t.Errorf("%s: %v is zeroed", name, decodeTuple(tuple.Nested()))
			}
		}
	}
}

func TestFlushWithoutAFilterIsOneRequest(t *testing.T) {
	var sent recorder
	c := fakeClient(t, sent.handle(succeed))
	if err := c.Flush(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	all := sent.take()
	if len(all) != 1 || !all[0].Is(nfnetlink.Conntrack, msgDelete) || len(attrsOf(all[0].Attrs())) != 0 || all[0].Family() != 0 {
		t.Errorf("requests %+v", all)
	}
}
