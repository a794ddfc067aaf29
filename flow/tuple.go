package flow

import "net/netip"

// Tuple identifies one direction of a flow.
type Tuple struct {
	Src, Dst netip.Addr // both of one family; the zero Addr means not known

	// SrcPort and DstPort are in host byte order. Their meaning follows
	// Proto.Shape: ports; the keys of GRE; for ICMP and ICMPv6 SrcPort holds the
	// identifier and DstPort type<<8|code, which is how the kernel stores
	// them (see ICMPType, ICMPCode, ICMPID); for all others they are zero.
	SrcPort, DstPort uint16

	// Zone is the conntrack zone of this direction alone; zero is none. A zone
	// that holds for both directions is Flow.Zone.
	Zone uint16

	Proto Proto
}

// Family returns the family of the addresses, or [AnyFamily] if neither is known.
func (t *Tuple) Family() Family {
	switch {
	case t.Src.Is4(), t.Dst.Is4():
		return IPv4
	case t.Src.Is6(), t.Dst.Is6():
		return IPv6
	}
	return AnyFamily
}

// ICMPType, ICMPCode and ICMPID read the fields of an ICMP or ICMPv6 tuple.
func (t *Tuple) ICMPType() uint8 { return uint8(t.DstPort >> 8) }
func (t *Tuple) ICMPCode() uint8 { return uint8(t.DstPort) }
func (t *Tuple) ICMPID() uint16  { return t.SrcPort }

// SetICMP fills the fields of an ICMP or ICMPv6 tuple.
func (t *Tuple) SetICMP(typ, code uint8, id uint16) {
	t.SrcPort, t.DstPort = id, uint16(typ)<<8|uint16(code)
}

// Inverse returns the tuple of the other direction of an untranslated flow. ok is
// false for an ICMP type that has no answer; the type is then 255, which the
// kernel refuses. The direction's zone is not carried over.
func (t *Tuple) Inverse() (inv Tuple, ok bool) {
	inv = Tuple{Src: t.Dst, Dst: t.Src, SrcPort: t.DstPort, DstPort: t.SrcPort, Proto: t.Proto}
	if t.Proto.Shape() != ShapeICMP {
		return inv, true
	}
	// The answer is found by the protocol, not by the addresses: the kernel does
	// accept ICMP between IPv6 hosts.
	family := IPv4
	if t.Proto == ICMPv6 {
		family = IPv6
	}
	answer, ok := ICMPAnswer(family, t.ICMPType())
	if !ok {
		answer = 255
	}
	inv.SetICMP(answer, t.ICMPCode(), t.ICMPID())
	return inv, ok
}

// Key returns t as a map key, for a flow in the given zone.
func (t *Tuple) Key(zone uint16) Key {
	k := Key{SrcPort: t.SrcPort, DstPort: t.DstPort, Zone: zone, TupleZone: t.Zone,
		Family: t.Family(), Proto: t.Proto}
	if t.Src.IsValid() {
		k.Src = t.Src.As16()
	}
	if t.Dst.IsValid() {
		k.Dst = t.Dst.As16()
	}
	return k
}

// Key is a tuple and its zone in 42 bytes without pointers: a map of a million of
// them costs the garbage collector nothing. IPv4 addresses are stored mapped
// into IPv6 (RFC 4291, 2.5.5.2); Family tells them apart.
type Key struct {
	Src, Dst         [16]byte
	SrcPort, DstPort uint16
	Zone, TupleZone  uint16
	Family           Family
	Proto            Proto
}

// Tuple returns the tuple that k was made from; an address that was not known has
// become the family's zero address.
func (k *Key) Tuple() Tuple {
	t := Tuple{SrcPort: k.SrcPort, DstPort: k.DstPort, Zone: k.TupleZone, Proto: k.Proto}
	switch k.Family {
	case IPv4:
		t.Src, t.Dst = netip.AddrFrom16(k.Src).Unmap(), netip.AddrFrom16(k.Dst).Unmap()
	case IPv6:
		t.Src, t.Dst = netip.AddrFrom16(k.Src), netip.AddrFrom16(k.Dst)
	}
	return t
}
