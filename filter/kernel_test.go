package filter_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
)

// selects is what Linux does with a filter (ctnetlink_filter_match), errors included.
func selects(k *filter.Kernel, f *flow.Flow) bool {
	if k.Family != flow.AnyFamily && k.Family != f.Orig.Family() ||
		k.Mark != nil && f.Mark&k.Mark.Mask != k.Mark.Value ||
		k.Status != nil && f.Status&k.Status.Mask != k.Status.Value {
		return false
	}
	// An entry has one zone, and is not asked for which directions.
	if k.Zone != nil && *k.Zone != max(f.Zone, f.Orig.Zone, f.Reply.Zone) {
		return false
	}
	return selectsTuple(&k.Orig, k.OrigFields, &f.Orig) && selectsTuple(&k.Reply, k.ReplyFields, &f.Reply)
}

func selectsTuple(want *flow.Tuple, fields filter.TupleFields, t *flow.Tuple) bool {
	has := func(bit filter.TupleFields) bool { return fields&bit != 0 }
	// ipv6_addr_cmp returns 0 for equal addresses, and is taken for a yes or no.
	inverted := t.Family() == flow.IPv6
	if has(filter.FieldSrc) && (want.Src == t.Src) == inverted || has(filter.FieldDst) && (want.Dst == t.Dst) == inverted ||
		has(filter.FieldProto) && want.Proto != t.Proto {
		return false
	}
	switch t.Proto {
	case flow.TCP, flow.UDP:
		return (!has(filter.FieldSrcPort) || want.SrcPort == t.SrcPort) && (!has(filter.FieldDstPort) || want.DstPort == t.DstPort)
	case flow.ICMP, flow.ICMPv6:
		by := 0
		if t.Proto == flow.ICMPv6 {
			by = filter.ICMPv6Shift
		}
		return (!has(filter.FieldICMPType<<by) || want.ICMPType() == t.ICMPType()) &&
			(!has(filter.FieldICMPCode<<by) || want.ICMPCode() == t.ICMPCode()) &&
			(!has(filter.FieldICMPID<<by) || want.ICMPID() == t.ICMPID())
	}
	return true
}

// refused is why Linux would refuse k; nil if it would not.
func refused(k *filter.Kernel) error {
	const icmp = filter.FieldICMPType | filter.FieldICMPCode | filter.FieldICMPID
	for i, fields := range []filter.TupleFields{k.OrigFields, k.ReplyFields} {
		t := []flow.Tuple{k.Orig, k.Reply}[i]
		switch {
		case fields != 0 && k.Family == flow.AnyFamily:
			return fmt.Errorf("fields %#x without a family", fields)
		case fields&^filter.FieldProto&^(filter.FieldSrc|filter.FieldDst) != 0 && fields&filter.FieldProto == 0:
			return fmt.Errorf("fields %#x of an unknown protocol", fields)
		case fields&(filter.FieldSrc|filter.FieldDst) != 0 && k.Family == flow.IPv6:
			return fmt.Errorf("fields %#x of IPv6, which is compared the wrong way round", fields)
		case fields&filter.FieldSrc != 0 && !t.Src.Is4(), fields&filter.FieldDst != 0 && !t.Dst.Is4():
			return fmt.Errorf("fields %#x without the address", fields)
		case fields&(filter.FieldSrcPort|filter.FieldDstPort) != 0 && t.Proto != flow.TCP && t.Proto != flow.UDP:
			return fmt.Errorf("fields %#x: ports of %v are not compared", fields, t.Proto)
		case fields&icmp != 0 && t.Proto != flow.ICMP, fields&(icmp<<filter.ICMPv6Shift) != 0 && t.Proto != flow.ICMPv6:
			return fmt.Errorf("fields %#x of %v", fields, t.Proto)
		case fields>>12 != 0 || fields&4 != 0:
			return fmt.Errorf("fields %#x", fields)
		}
	}
	return nil
}

// source draws filters and flows from few values, so that they often meet.
type source struct{ *rand.Rand }

func (s source) family() flow.Family { return []flow.Family{flow.IPv4, flow.IPv6}[s.IntN(2)] }
func (s source) proto() flow.Proto   { return append(flow.Protos(), 50)[s.IntN(9)] }
func (s source) port() uint16        { return []uint16{0, 8, 80, 8 << 8, 128 << 8, 128<<8 | 1}[s.IntN(6)] }
func (s source) some() bool          { return s.IntN(4) == 0 }

func (s source) addr(family flow.Family) netip.Addr {
	if family == flow.IPv6 {
		return []netip.Addr{addr("2001:db8::1"), addr("2001:db8::2"), addr("::ffff:192.0.2.1"), addr("::")}[s.IntN(4)]
	}
	return []netip.Addr{addr("192.0.2.1"), addr("192.0.2.2"), addr("0.0.0.0")}[s.IntN(3)]
}

func (s source) flow() flow.Flow {
	f := flow.Flow{Has: flow.HasReply | flow.HasStatus | flow.HasMark | flow.HasID | flow.HasTimeout,
		Status: flow.Status(s.IntN(4)) * flow.SeenReply, Mark: uint32(s.IntN(4)), ID: uint32(s.IntN(3)), Timeout: time.Minute}
	f.Orig = flow.Tuple{Proto: s.proto()}
	family := s.family()
	f.Orig.Src, f.Orig.Dst = s.addr(family), s.addr(family)
	if f.Orig.Proto.Shape() != flow.ShapeNone {
		f.Orig.SrcPort, f.Orig.DstPort = s.port(), s.port()
	}
	f.Reply, _ = f.Orig.Inverse()
	if s.some() { // translated
		f.Reply.Src, f.Reply.Dst = s.addr(family), s.addr(family)
		f.Status |= flow.SrcNATDone | flow.DstNATDone
	}
	switch zone := uint16(s.IntN(3)); s.IntN(4) {
	case 0:
		f.Zone = zone
	case 1:
		f.Orig.Zone = zone
	case 2:
		f.Reply.Zone = zone
	}
	if f.Orig.Proto == flow.TCP {
		f.Has |= flow.HasState
		f.State = uint8(s.IntN(3))
	}
	return f
}

func (s source) filter() *filter.Filter {
	flt := &filter.Filter{Orig: s.side(), Reply: s.side()}
	if s.some() {
		flt.Family = s.family()
	}
	if s.some() {
		flt.Mark = &filter.Mark{Value: uint32(s.IntN(4)), Mask: uint32(s.IntN(4))}
	}
	if s.some() {
		flt.Status = &filter.Status{Value: flow.Status(s.IntN(4)) * flow.SeenReply, Mask: flow.Status(s.IntN(3)+1) * flow.SeenReply}
	}
	if s.some() {
		flt.Zone = new(uint16(s.IntN(3)))
	}
	switch s.IntN(20) {
	case 0:
		flt.State = &filter.State{Proto: flow.TCP, N: uint8(s.IntN(3))}
	case 1:
		flt.ID = new(uint32(s.IntN(3)))
	case 2:
		flt.Timeout = new(time.Minute)
	case 3:
		flt.NAT = []filter.NAT{{Src: true, Dst: true}}
	}
	return flt
}

func (s source) side() (side filter.Side) {
	if s.some() {
		side.Proto = new(s.proto())
	}
	family := s.family()
	if s.some() {
		side.Src.Addr = s.addr(family)
	}
	if s.some() {
		side.Dst = filter.Prefix(netip.PrefixFrom(s.addr(family), s.IntN(33)))
	}
	if s.some() && s.some() {
		side.Zone = new(uint16(s.IntN(3)))
	}
	for _, field := range []**uint16{&side.SrcPort, &side.DstPort, &side.ICMPID} {
		if s.some() && s.some() {
			*field = new(s.port())
		}
	}
	for _, field := range []**uint8{&side.ICMPType, &side.ICMPCode} {
		if s.some() && s.some() {
			*field = new(uint8(s.port() >> 8))
		}
	}
	return side
}

// checkKernel states the law: the kernel's part never selects less than the filter, and
// the same if it is the whole filter. It reports whether the flow was selected.
func checkKernel(t *testing.T, flt *filter.Filter, f *flow.Flow) (match, whole bool) {
	t.Helper()
	k, whole := flt.Kernel()
	if err := refused(&k); err != nil {
		t.Fatalf("%+v: refused: %v", flt, err)
	}
	match = flt.Match(f)
	switch sent := selects(&k, f); {
	case match && !sent:
		t.Fatalf("%+v is selected by %+v, and would be left out by %+v", f, flt, k)
	case whole && sent && !match:
		t.Fatalf("%+v is not selected by %+v, and would be by %+v", f, flt, k)
	}
	return match, whole
}

func TestTheKernelsPartSelectsNoLess(t *testing.T) {
	s := source{rand.New(rand.NewPCG(1, 2))}
	matches, wholes := 0, 0
	for range 2000 {
		flt := s.filter()
		for range 40 {
			f := s.flow()
			match, whole := checkKernel(t, flt, &f)
			if match {
				matches++
				if whole {
					wholes++
				}
			}
		}
	}
	if matches < 500 || wholes < 100 {
		t.Errorf("%d matches, %d of them the kernel's alone: too few to mean anything", matches, wholes)
	}
}

// Almost all filters in use are of one or two conditions.
func TestTheKernelsPartOfSmallFilters(t *testing.T) {
	s := source{rand.New(rand.NewPCG(3, 4))}
	flows := make([]flow.Flow, 200)
	for i := range flows {
		flows[i] = s.flow()
	}
	for range 1000 {
		flt := &filter.Filter{Family: []flow.Family{flow.AnyFamily, flow.IPv4, flow.IPv6}[s.IntN(3)]}
		side := []*filter.Side{&flt.Orig, &flt.Reply}[s.IntN(2)]
		switch s.IntN(7) {
		case 0:
			side.Src.Addr = s.addr(s.family())
		case 1:
			side.Dst.Addr = s.addr(s.family())
		case 2:
			side.Proto, side.DstPort = new(s.proto()), new(s.port())
		case 3:
			side.Proto, side.ICMPID = new(s.proto()), new(s.port())
		case 4:
			side.Proto, side.ICMPType = new(s.proto()), new(uint8(s.port()>>8))
		case 5:
			side.SrcPort = new(s.port())
		case 6:
			flt.Zone = new(uint16(s.IntN(3)))
		}
		for i := range flows {
			checkKernel(t, flt, &flows[i])
		}
	}
}

func TestWhatTheKernelIsAsked(t *testing.T) {
	four, six := filter.Addrs{Addr: addr("192.0.2.1")}, filter.Addrs{Addr: addr("2001:db8::1")}
	tests := []struct {
		name   string
		flt    filter.Filter
		family flow.Family
		orig   filter.TupleFields
		whole  bool
	}{
		{"nothing", filter.Filter{}, flow.AnyFamily, 0, true},
		{"an address implies its family", filter.Filter{Orig: filter.Side{Src: four}}, flow.IPv4, filter.FieldSrc, true},
		{"so does that of the reply", filter.Filter{Reply: filter.Side{Dst: four}, Orig: filter.Side{Proto: new(flow.TCP)}},
			flow.IPv4, filter.FieldProto, true},
		{"IPv6 addresses are not for the kernel", filter.Filter{Orig: filter.Side{Src: six, Dst: six}}, flow.IPv6, 0, false},
		{"but the rest is", filter.Filter{Orig: filter.Side{Src: six, Proto: new(flow.UDP), SrcPort: new(uint16(53))}},
			flow.IPv6, filter.FieldProto | filter.FieldSrcPort, false},
		{"a masked address implies its family and no more",
			filter.Filter{Orig: filter.Side{Dst: filter.Prefix(prefix("10.0.0.0/8"))}}, flow.IPv4, 0, false},
		{"without a family there is no protocol", filter.Filter{Orig: filter.Side{Proto: new(flow.TCP)}}, flow.AnyFamily, 0, false},
		{"ports of TCP", filter.Filter{Family: flow.IPv4, Orig: filter.Side{Proto: new(flow.TCP), DstPort: new(uint16(0))}},
			flow.IPv4, filter.FieldProto | filter.FieldDstPort, true},
		{"ports of SCTP are not compared", filter.Filter{Family: flow.IPv4, Orig: filter.Side{Proto: new(flow.SCTP), DstPort: new(uint16(1))}},
			flow.IPv4, filter.FieldProto, false},
		{"ICMP", filter.Filter{Family: flow.IPv4, Orig: filter.Side{Proto: new(flow.ICMP), ICMPType: new(uint8(8)), ICMPID: new(uint16(1))}},
			flow.IPv4, filter.FieldProto | filter.FieldICMPType | filter.FieldICMPID, true},
		{"ICMPv6", filter.Filter{Family: flow.IPv6, Orig: filter.Side{Proto: new(flow.ICMPv6), ICMPCode: new(uint8(0))}},
			flow.IPv6, filter.FieldProto | filter.FieldICMPCode<<filter.ICMPv6Shift, true},
		{"zones are not told apart", filter.Filter{Zone: new(uint16(1))}, flow.AnyFamily, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k, whole := tt.flt.Kernel()
			if k.Family != tt.family || k.OrigFields != tt.orig || whole != tt.whole {
				t.Errorf("family %v, fields %#x, whole %v; want %v, %#x, %v", k.Family, k.OrigFields, whole, tt.family, tt.orig, tt.whole)
			}
		})
	}
}
