package filter_test

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
)

var (
	addr   = netip.MustParseAddr
	prefix = netip.MustParsePrefix
)

// web is a flow with everything that can be asked for.
func web() flow.Flow {
	return flow.Flow{
		Has: flow.HasReply | flow.HasStatus | flow.HasTimeout | flow.HasState | flow.HasMark | flow.HasZone | flow.HasID | flow.HasLabels,
		Orig: flow.Tuple{Src: addr("192.0.2.1"), Dst: addr("198.51.100.1"), SrcPort: 40000, DstPort: 80,
			Zone: 4, Proto: flow.TCP},
		Reply:  flow.Tuple{Src: addr("10.0.0.9"), Dst: addr("192.0.2.1"), SrcPort: 8080, DstPort: 40000, Zone: 5, Proto: flow.TCP},
		Status: flow.SeenReply | flow.Assured | flow.Confirmed | flow.DstNAT | flow.DstNATDone | flow.SrcNATDone,
		State:  flow.TCPEstablished, Mark: 0x1234, Zone: 3, ID: 77, Timeout: 2 * time.Minute, Labels: flow.Labels{0: 0x21},
	}
}

func ping() flow.Flow {
	f := flow.Flow{Has: flow.HasReply | flow.HasStatus, Status: flow.Confirmed, Orig: flow.Tuple{Src: addr("2001:db8::1"), Dst: addr("2001:db8::2"), Proto: flow.ICMPv6}}
	f.Orig.SetICMP(128, 7, 4242)
	f.Reply, _ = f.Orig.Inverse()
	return f
}

func TestMatch(t *testing.T) {
	side := func(s filter.Side) filter.Filter { return filter.Filter{Orig: s} }
	src := func(a filter.Addrs) filter.Filter { return side(filter.Side{Src: a}) }
	nat := func(n ...filter.NAT) filter.Filter { return filter.Filter{NAT: n} }
	tests := []struct {
		name string
		flt  filter.Filter
		web  bool
		ping bool
	}{
		{"nothing is asked for", filter.Filter{}, true, true},

		{"IPv4", filter.Filter{Family: flow.IPv4}, true, false},
		{"IPv6", filter.Filter{Family: flow.IPv6}, false, true},

		{"mark", filter.Filter{Mark: &filter.Mark{Value: 0x1234, Mask: 1<<32 - 1}}, true, false},
		{"bits of the mark", filter.Filter{Mark: &filter.Mark{Value: 0x30, Mask: 0xf0}}, true, false},
		{"other bits of the mark", filter.Filter{Mark: &filter.Mark{Value: 0x10, Mask: 0xf0}}, false, false},
		{"bits outside the mask", filter.Filter{Mark: &filter.Mark{Value: 0x34, Mask: 0xf0}}, false, false},
		{"an unknown mark is not zero", filter.Filter{Mark: &filter.Mark{Mask: 1}}, true, false},

		{"status", filter.Filter{Status: &filter.Status{Value: flow.Assured, Mask: flow.Assured}}, true, false},
		{"bit not set", filter.Filter{Status: &filter.Status{Mask: flow.Expected}}, true, true},
		{"bit should not be set", filter.Filter{Status: &filter.Status{Mask: flow.Assured}}, false, true},
		{"value outside the mask", filter.Filter{Status: &filter.Status{Value: flow.Confirmed, Mask: flow.Assured}}, false, false},

		{"state", filter.Filter{State: &filter.State{Proto: flow.TCP, N: flow.TCPEstablished}}, true, false},
		{"another state", filter.Filter{State: &filter.State{Proto: flow.TCP, N: flow.TCPClose}}, false, false},
		{"a state of another protocol", filter.Filter{State: &filter.State{Proto: flow.SCTP, N: flow.TCPEstablished}}, false, false},
		{"a state that is not known", filter.Filter{State: &filter.State{Proto: flow.ICMPv6}}, false, false},

		{"zone", filter.Filter{Zone: new(uint16(3))}, true, false},
		{"no zone", filter.Filter{Zone: new(uint16(0))}, false, true},
		{"zone of a direction is another thing", filter.Filter{Zone: new(uint16(4))}, false, false},
		{"zone of the original direction", side(filter.Side{Zone: new(uint16(4))}), true, false},
		{"zone of the reply direction", filter.Filter{Reply: filter.Side{Zone: new(uint16(5))}}, true, false},
		{"none of the original direction", side(filter.Side{Zone: new(uint16(0))}), false, true},

		{"ID", filter.Filter{ID: new(uint32(77))}, true, false},
		{"another ID", filter.Filter{ID: new(uint32(78))}, false, false},
		{"an unknown ID is not zero", filter.Filter{ID: new(uint32(0))}, false, false},

		{"timeout", filter.Filter{Timeout: new(2 * time.Minute)}, true, false},
		{"nearly", filter.Filter{Timeout: new(2*time.Minute - time.Second)}, false, false},
		{"an unknown timeout is not zero", filter.Filter{Timeout: new(time.Duration(0))}, false, false},

		{"a label", filter.Filter{Labels: flow.Labels{0: 1}}, true, false},
		{"all labels", filter.Filter{Labels: flow.Labels{0: 0x21}}, true, false},
		{"one label is missing", filter.Filter{Labels: flow.Labels{0: 0x21, 5: 1}}, false, false},

		{"source", src(filter.Addrs{Addr: addr("192.0.2.1")}), true, false},
		{"another source", src(filter.Addrs{Addr: addr("192.0.2.2")}), false, false},
		{"network", src(filter.Prefix(prefix("192.0.0.0/16"))), true, false},
		{"the bits behind a prefix do not count", src(filter.Prefix(netip.PrefixFrom(addr("192.0.99.99"), 16))), true, false},
		{"another network", src(filter.Prefix(prefix("192.1.0.0/16"))), false, false},
		{"all of IPv4", src(filter.Prefix(prefix("0.0.0.0/0"))), true, false},
		{"all of IPv6", src(filter.Prefix(prefix("::/0"))), false, true},
		{"network of IPv6", src(filter.Prefix(prefix("2001:db8::/64"))), false, true},
		{"scattered mask", src(filter.Addrs{Addr: addr("1.0.9.1"), Mask: addr("0.255.0.255")}), true, false},
		{"a mapped address is none of IPv4", src(filter.Addrs{Addr: addr("::ffff:192.0.2.1")}), false, false},
		{"nor is its network", src(filter.Prefix(prefix("::ffff:192.0.2.0/120"))), false, false},
		{"destination", side(filter.Side{Dst: filter.Addrs{Addr: addr("198.51.100.1")}}), true, false},
		{"source of the reply", filter.Filter{Reply: filter.Side{Src: filter.Addrs{Addr: addr("10.0.0.9")}}}, true, false},
		{"both directions", filter.Filter{Orig: filter.Side{Dst: filter.Addrs{Addr: addr("198.51.100.1")}},
			Reply: filter.Side{Src: filter.Addrs{Addr: addr("198.51.100.1")}}}, false, false},

		{"protocol", side(filter.Side{Proto: new(flow.TCP)}), true, false},
		{"protocol of the reply", filter.Filter{Reply: filter.Side{Proto: new(flow.ICMPv6)}}, false, true},
		{"port", side(filter.Side{DstPort: new(uint16(80))}), true, false},
		{"both ports", side(filter.Side{SrcPort: new(uint16(40000)), DstPort: new(uint16(80))}), true, false},
		{"another port", side(filter.Side{SrcPort: new(uint16(80))}), false, false},
		{"port of the reply", filter.Filter{Reply: filter.Side{SrcPort: new(uint16(8080))}}, true, false},
		{"an ICMP identifier is no port", side(filter.Side{SrcPort: new(uint16(4242))}), false, false},
		{"nor are type and code", side(filter.Side{DstPort: new(uint16(128<<8 | 7))}), false, false},
		{"type", side(filter.Side{ICMPType: new(uint8(128))}), false, true},
		{"code and identifier", side(filter.Side{ICMPCode: new(uint8(7)), ICMPID: new(uint16(4242))}), false, true},
		{"type of the answer", filter.Filter{Reply: filter.Side{ICMPType: new(uint8(129))}}, false, true},
		{"a port is no type", side(filter.Side{ICMPType: new(uint8(0))}), false, false},
		{"nor an identifier", side(filter.Side{ICMPID: new(uint16(40000))}), false, false},

		{"translated destination", nat(filter.NAT{Dst: true}), true, false},
		{"translated source", nat(filter.NAT{Src: true}), false, false},
		{"either", nat(filter.NAT{Src: true, Dst: true}), true, false},
		{"both", nat(filter.NAT{Src: true}, filter.NAT{Dst: true}), false, false},
		{"into an address", nat(filter.NAT{Dst: true, Addr: addr("10.0.0.9")}), true, false},
		{"into another address", nat(filter.NAT{Dst: true, Addr: addr("10.0.0.8")}), false, false},
		{"into a port", nat(filter.NAT{Dst: true, Port: new(uint16(8080))}), true, false},
		{"into address and port", nat(filter.NAT{Dst: true, Addr: addr("10.0.0.9"), Port: new(uint16(80))}), false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, p := web(), ping()
			if got := tt.flt.Match(&w); got != tt.web {
				t.Errorf("web: %v, want %v", got, tt.web)
			}
			if got := tt.flt.Match(&p); got != tt.ping {
				t.Errorf("ping: %v, want %v", got, tt.ping)
			}
		})
	}
}

func TestANilFilterSelectsEverything(t *testing.T) {
	var flt *filter.Filter
	f := web()
	if k, whole := flt.Kernel(); !flt.Match(&f) || !whole || k != (filter.Kernel{}) {
		t.Errorf("match %v, kernel %+v, whole %v", flt.Match(&f), k, whole)
	}
}

// Where a protocol has no ports, no number of a port fits.
func TestPortsAreThoseOfProtocolsThatHaveThem(t *testing.T) {
	for _, p := range append(flow.Protos(), 50) {
		f := flow.Flow{Orig: flow.Tuple{Src: addr("192.0.2.1"), Dst: addr("192.0.2.2"), Proto: p}}
		port := filter.Filter{Orig: filter.Side{SrcPort: new(uint16(0))}}
		icmp := filter.Filter{Orig: filter.Side{ICMPID: new(uint16(0))}}
		wantPort := p.Shape() == flow.ShapePorts || p.Shape() == flow.ShapeKeys
		if got := port.Match(&f); got != wantPort {
			t.Errorf("%v has port 0: %v, want %v", p, got, wantPort)
		}
		if got := icmp.Match(&f); got != (p.Shape() == flow.ShapeICMP) {
			t.Errorf("%v has ICMP identifier 0: %v", p, got)
		}
	}
}

func TestMaskOf(t *testing.T) {
	tests := []struct {
		addr string
		bits int
		want string
	}{
		{"1.2.3.4", 0, "0.0.0.0"}, {"1.2.3.4", 1, "128.0.0.0"}, {"1.2.3.4", 20, "255.255.240.0"}, {"1.2.3.4", 32, "255.255.255.255"},
		{"::1", 0, "::"}, {"::1", 33, "ffff:ffff:8000::"}, {"::1", 128, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"::ffff:1.2.3.4", 8, "ff00::"},
	}
	for _, tt := range tests {
		if got := filter.MaskOf(addr(tt.addr), tt.bits); got != addr(tt.want) {
			t.Errorf("%d bits of %s: %v, want %v", tt.bits, tt.addr, got, tt.want)
		}
	}
}

func TestAPrefixContainsWhatNetipSays(t *testing.T) {
	addrs := []netip.Addr{{}, addr("0.0.0.0"), addr("10.1.2.3"), addr("10.1.2.4"), addr("255.255.255.255"), addr("::"),
		addr("::ffff:10.1.2.3"), addr("2001:db8::1"), addr("2001:db8:0:1::1"), addr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")}
	for _, a := range addrs[1:] {
		for bits := range a.BitLen() + 1 {
			p := netip.PrefixFrom(a, bits)
			set := filter.Prefix(p)
			for _, b := range addrs {
				if got, want := set.Contains(b), p.Contains(b); got != want {
					t.Errorf("%v contains %v: %v, want %v", p, b, got, want)
				}
			}
		}
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	f := web()
	flt := filter.Filter{Family: flow.IPv4, Mark: &filter.Mark{Value: 0x34, Mask: 0xff}, Labels: flow.Labels{1},
		Orig: filter.Side{Src: filter.Prefix(prefix("192.0.2.0/24")), DstPort: new(uint16(80))}, NAT: []filter.NAT{{Dst: true}}}
	if !flt.Match(&f) {
		t.Fatal("no match")
	}
	if n := testing.AllocsPerRun(100, func() { flt.Match(&f) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkMatch(b *testing.B) {
	f := web()
	flt := filter.Filter{Orig: filter.Side{Src: filter.Prefix(prefix("192.0.2.0/24")), DstPort: new(uint16(80))}}
	b.ReportAllocs()
	for b.Loop() {
		flt.Match(&f)
	}
}

func TestIsZeroLooksAtEveryField(t *testing.T) {
	if flt := (*filter.Filter)(nil); !flt.IsZero() || !new(filter.Filter).IsZero() {
		t.Error("no condition is one")
	}
	conditions := filter.Filter{
		Family: flow.IPv4, Orig: filter.Side{Zone: new(uint16)}, Reply: filter.Side{Proto: new(flow.Proto)},
		Status: &filter.Status{}, State: &filter.State{}, Mark: &filter.Mark{}, Zone: new(uint16), ID: new(uint32),
		Timeout: new(time.Duration), Labels: flow.Labels{1}, NAT: make([]filter.NAT, 1),
	}
	all := reflect.ValueOf(conditions)
	for i := range all.NumField() {
		name := all.Type().Field(i).Name
		if all.Field(i).IsZero() {
			t.Errorf("%s: not covered by this test", name)
		}
		var one filter.Filter
		reflect.ValueOf(&one).Elem().Field(i).Set(all.Field(i))
		if one.IsZero() {
			t.Errorf("%s: not seen", name)
		}
	}
}
