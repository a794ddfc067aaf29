package filter

import (
	"net/netip"

	"github.com/spoor-project/spoor/flow"
)

// Kernel is what the kernel can check of a filter. All conditions must hold; it
// selects at least what the filter does.
type Kernel struct {
	Family flow.Family
	Mark   *Mark   // any kernel
	Status *Status // Linux 5.15, ignored before
	// Zone compares the number, whichever direction it holds for (Linux 6.8,
	// ignored before).
	Zone *uint16
	// Orig and Reply are compared where the bits of OrigFields and ReplyFields
	// say so (Linux 5.8, ignored before). They need a Family.
	Orig, Reply             flow.Tuple
	OrigFields, ReplyFields TupleFields
}

// TupleFields says which fields of a tuple the kernel is to compare,
// CTA_FILTER_FLAG in net/netfilter/nf_internals.h.
type TupleFields uint32

const (
	FieldSrc      TupleFields = 1 << 0 // CTA_IP_SRC
	FieldDst      TupleFields = 1 << 1 // CTA_IP_DST
	FieldProto    TupleFields = 1 << 3 // CTA_PROTO_NUM
	FieldSrcPort  TupleFields = 1 << 4 // CTA_PROTO_SRC_PORT
	FieldDstPort  TupleFields = 1 << 5 // CTA_PROTO_DST_PORT
	FieldICMPType TupleFields = 1 << 6 // CTA_PROTO_ICMP_TYPE; three bits on for ICMPv6
	FieldICMPCode TupleFields = 1 << 7 // CTA_PROTO_ICMP_CODE
	FieldICMPID   TupleFields = 1 << 8 // CTA_PROTO_ICMP_ID

	// ICMPv6Shift moves the ICMP fields to the bits of ICMPv6.
	ICMPv6Shift = 3
)

// Kernel returns the part of flt that the kernel can check, and whether that part
// is the whole of it, so that on a kernel that knows all of it a match there is
// a match here.
func (flt *Filter) Kernel() (k Kernel, whole bool) {
	if flt == nil {
		return Kernel{}, true
	}
	k = Kernel{Family: flt.Family, Mark: flt.Mark, Status: flt.Status}
	whole = flt.State == nil && flt.ID == nil && flt.Timeout == nil &&
		flt.Labels == (flow.Labels{}) && len(flt.NAT) == 0

	// Asked for zone 0 the kernel leaves out entries with a zone in one direction
	// alone, and it does not tell the directions apart.
	for _, zone := range []*uint16{flt.Zone, flt.Orig.Zone, flt.Reply.Zone} {
		if zone != nil && *zone != 0 && k.Zone == nil {
			k.Zone = zone
		}
		whole = whole && zone == nil
	}
	if k.Family == flow.AnyFamily {
		k.Family = addressFamily(flt)
	}
	if k.Family == flow.AnyFamily {
		whole = whole && flt.Orig == (Side{}) && flt.Reply == (Side{})
		return k, whole
	}
	var all bool
	k.Orig, k.OrigFields, all = flt.Orig.kernel(k.Family)
	whole = whole && all
	k.Reply, k.ReplyFields, all = flt.Reply.kernel(k.Family)
	whole = whole && all
	return k, whole
}

// addressFamily is the family that the addresses of flt imply.
func addressFamily(flt *Filter) flow.Family {
	for _, a := range []netip.Addr{flt.Orig.Src.Addr, flt.Orig.Dst.Addr, flt.Reply.Src.Addr, flt.Reply.Dst.Addr} {
		switch {
		case a.Is4():
			return flow.IPv4
		case a.Is6():
			return flow.IPv6
		}
	}
	return flow.AnyFamily
}

// kernel returns the tuple and the fields of it that the kernel compares rightly,
// and whether those are all that s asks for.
func (s *Side) kernel(family flow.Family) (t flow.Tuple, fields TupleFields, whole bool) {
	whole = true
	address := func(a Addrs, to *netip.Addr, bit TupleFields) {
		if !a.given() {
			return
		}
		if family != flow.IPv4 || !a.Addr.Is4() || a.Mask.IsValid() {
			whole = false
			return
		}
		*to, fields = a.Addr, fields|bit
	}
	address(s.Src, &t.Src, FieldSrc)
	address(s.Dst, &t.Dst, FieldDst)

	icmp, ports := s.icmp(), s.ports()
	if s.Proto == nil {
		return t, fields, whole && !icmp && !ports // these mean nothing without a protocol
	}
	t.Proto, fields = *s.Proto, fields|FieldProto
	switch *s.Proto {
	case flow.TCP, flow.UDP:
		if s.SrcPort != nil {
			t.SrcPort, fields = *s.SrcPort, fields|FieldSrcPort
		}
		if s.DstPort != nil {
			t.DstPort, fields = *s.DstPort, fields|FieldDstPort
		}
		whole = whole && !icmp
	case flow.ICMP, flow.ICMPv6:
		var typ, code uint8
		var id uint16
		var bits TupleFields
		if s.ICMPType != nil {
			typ, bits = *s.ICMPType, bits|FieldICMPType
		}
		if s.ICMPCode != nil {
			code, bits = *s.ICMPCode, bits|FieldICMPCode
		}
		if s.ICMPID != nil {
			id, bits = *s.ICMPID, bits|FieldICMPID
		}
		if *s.Proto == flow.ICMPv6 {
			bits <<= ICMPv6Shift
		}
		t.SetICMP(typ, code, id)
		fields |= bits
		whole = whole && !ports
	default:
		whole = whole && !icmp && !ports
	}
	return t, fields, whole
}
