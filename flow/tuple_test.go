package flow

import (
	"net/netip"
	"reflect"
	"testing"
	"unsafe"
)

func tuple(p Proto, src, dst string, srcPort, dstPort uint16) Tuple {
	return Tuple{Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), SrcPort: srcPort, DstPort: dstPort, Proto: p}
}

func TestInverseSwapsAddressesAndPorts(t *testing.T) {
	for _, p := range []Proto{TCP, UDP, DCCP, GRE, SCTP, UDPLite, 200} {
		orig := tuple(p, "1.1.1.1", "2.2.2.2", 10, 20)
		orig.Zone = 7
		got, ok := orig.Inverse()
		want := tuple(p, "2.2.2.2", "1.1.1.1", 20, 10) // without zone
		if got != want || !ok {
			t.Errorf("%v: Inverse() = %+v, %v, want %+v", p, got, ok, want)
		}
	}
}

func TestInverseOfICMPHasTheAnswersType(t *testing.T) {
	tests := []struct {
		proto    Proto
		typ, ans uint8
		ok       bool
	}{
		{ICMP, 8, 0, true}, {ICMP, 0, 8, true}, {ICMP, 13, 14, true}, {ICMP, 14, 13, true},
		{ICMP, 15, 16, true}, {ICMP, 16, 15, true}, {ICMP, 17, 18, true}, {ICMP, 18, 17, true},
		{ICMP, 3, 255, false}, {ICMP, 128, 255, false}, {ICMP, 255, 255, false},
		{ICMPv6, 128, 129, true}, {ICMPv6, 129, 128, true}, {ICMPv6, 139, 140, true}, {ICMPv6, 140, 139, true},
		{ICMPv6, 8, 255, false}, {ICMPv6, 135, 255, false},
	}
	for _, tt := range tests {
		orig := tuple(tt.proto, "2001:db8::1", "2001:db8::2", 0, 0)
		orig.SetICMP(tt.typ, 5, 99)
		inv, ok := orig.Inverse()
		if ok != tt.ok || inv.ICMPType() != tt.ans || inv.ICMPCode() != 5 || inv.ICMPID() != 99 {
			t.Errorf("%v type %d: Inverse() has type %d, code %d, id %d, %v, want type %d, code 5, id 99, %v",
				tt.proto, tt.typ, inv.ICMPType(), inv.ICMPCode(), inv.ICMPID(), ok, tt.ans, tt.ok)
		}
		if inv.Src != orig.Dst || inv.Dst != orig.Src {
			t.Errorf("%v type %d: addresses are not swapped", tt.proto, tt.typ)
		}
	}
}

func TestTupleFamily(t *testing.T) {
	four, six := netip.MustParseAddr("1.1.1.1"), netip.MustParseAddr("::ffff:1.1.1.1")
	tests := []struct {
		src, dst netip.Addr
		want     Family
	}{
		{netip.Addr{}, netip.Addr{}, AnyFamily}, {four, four, IPv4}, {six, six, IPv6},
		{four, netip.Addr{}, IPv4}, {netip.Addr{}, four, IPv4}, {netip.Addr{}, six, IPv6},
	}
	for _, tt := range tests {
		if got := (&Tuple{Src: tt.src, Dst: tt.dst}).Family(); got != tt.want {
			t.Errorf("family of %v, %v = %v, want %v", tt.src, tt.dst, got, tt.want)
		}
	}
}

func TestKeyIsSmallAndHasNoPointers(t *testing.T) {
	if size := unsafe.Sizeof(Key{}); size > 44 {
		t.Errorf("Key has %d bytes, want at most 44", size)
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Key]()) {
		switch kind := f.Type.Kind(); kind {
		case reflect.Array, reflect.Uint8, reflect.Uint16:
		default:
			t.Errorf("Key.%s is a %v, which the garbage collector may have to follow", f.Name, kind)
		}
	}
}

func TestKeysTellTuplesApart(t *testing.T) {
	base := tuple(UDP, "1.1.1.1", "2.2.2.2", 10, 20)
	other := []func(*Tuple){
		func(t *Tuple) { t.Src = netip.MustParseAddr("1.1.1.2") },
		func(t *Tuple) { t.Dst = netip.MustParseAddr("2.2.2.3") },
		func(t *Tuple) { t.SrcPort++ },
		func(t *Tuple) { t.DstPort++ },
		func(t *Tuple) { t.Proto = TCP },
		func(t *Tuple) { t.Zone = 1 },
		func(t *Tuple) { // the same 16 bytes, another family
			t.Src, t.Dst = netip.MustParseAddr("::ffff:1.1.1.1"), netip.MustParseAddr("::ffff:2.2.2.2")
		},
	}
	seen := map[Key]int{base.Key(0): -1, base.Key(1): -2}
	for i, change := range other {
		c := base
		change(&c)
		if j, dup := seen[c.Key(0)]; dup {
			t.Errorf("changes %d and %d have one key", i, j)
		}
		seen[c.Key(0)] = i
	}
}

// FuzzKey states the law: a key holds the whole tuple, and the zone.
func FuzzKey(f *testing.F) {
	f.Add([]byte{1, 1, 1, 1}, []byte{2, 2, 2, 2}, uint16(10), uint16(20), uint16(3), uint16(4), uint8(6))
	f.Add(make([]byte, 4), make([]byte, 4), uint16(0), uint16(0), uint16(0), uint16(0), uint8(0))
	f.Add(make([]byte, 16), make([]byte, 16), uint16(1), uint16(1), uint16(0), uint16(1), uint8(17))
	mapped := netip.MustParseAddr("::ffff:1.2.3.4").AsSlice()
	f.Add(mapped, mapped, uint16(1), uint16(1), uint16(0), uint16(1), uint8(17))
	f.Add([]byte{}, []byte{}, uint16(1), uint16(1), uint16(0), uint16(1), uint8(17))
	f.Fuzz(func(t *testing.T, src, dst []byte, srcPort, dstPort, dirZone, zone uint16, proto uint8) {
		orig := Tuple{SrcPort: srcPort, DstPort: dstPort, Zone: dirZone, Proto: Proto(proto)}
		if len(src) != len(dst) {
			return // a tuple is of one family
		}
		orig.Src, _ = netip.AddrFromSlice(src)
		orig.Dst, _ = netip.AddrFromSlice(dst)
		key := orig.Key(zone)
		if got := key.Tuple(); got != orig {
			t.Errorf("Key().Tuple() = %+v, want %+v", got, orig)
		}
		if key.Zone != zone || key.Family != orig.Family() {
			t.Errorf("key of %+v has zone %d, family %v", orig, key.Zone, key.Family)
		}
		if inv, ok := orig.Inverse(); ok {
			back, ok := inv.Inverse()
			back.Zone = dirZone
			if back != orig || !ok {
				t.Errorf("inverse of the inverse = %+v, %v, want %+v", back, ok, orig)
			}
		}
	})
}
