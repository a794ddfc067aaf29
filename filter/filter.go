package filter

import (
	"net/netip"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// Filter is a selection of flows. Nil pointers and zero values are conditions not
// given. An attribute that a flow does not have fails the condition on it,
// except for zones, where it means zone 0.
type Filter struct {
	Family flow.Family // AnyFamily: both
	Orig   Side
	Reply  Side

	Status *Status
	State  *State
	Mark   *Mark
	Zone   *uint16 // zone of both directions
	ID     *uint32
	// Timeout must be the same to the second.
	Timeout *time.Duration
	// Labels must all be set.
	Labels flow.Labels
	// NAT conditions must all hold.
	NAT []NAT
}

// Side is a condition on one direction of a flow.
type Side struct {
	Src, Dst         Addrs
	Proto            *flow.Proto
	SrcPort, DstPort *uint16 // ports, or keys of GRE; other protocols have none
	ICMPType         *uint8
	ICMPCode         *uint8
	ICMPID           *uint16
	Zone             *uint16 // zone of this direction alone
}

// Addrs is a set of addresses: those that equal Addr in the bits of Mask. Any
// pattern of mask bits is allowed. A zero Mask compares all bits; the zero Addrs
// is no condition.
type Addrs struct{ Addr, Mask netip.Addr }

// Prefix is the set of addresses in p.
func Prefix(p netip.Prefix) Addrs {
	if p.IsSingleIP() {
		return Addrs{Addr: p.Addr()}
	}
	return Addrs{Addr: p.Addr(), Mask: MaskOf(p.Addr(), p.Bits())}
}

// MaskOf returns the mask with the given number of leading ones, of the family of a.
func MaskOf(a netip.Addr, bits int) netip.Addr {
	ones := make([]byte, a.BitLen()/8)
	for i := range bits {
		ones[i/8] |= 0x80 >> (i % 8)
	}
	mask, _ := netip.AddrFromSlice(ones)
	return mask
}

// Contains reports whether addr is in the set.
func (a *Addrs) Contains(addr netip.Addr) bool {
	if !a.Mask.IsValid() {
		return addr == a.Addr
	}
	if addr.BitLen() != a.Addr.BitLen() || !addr.IsValid() {
		return false
	}
	x, y, mask := addr.As16(), a.Addr.As16(), a.Mask.As16()
	from := 0
	if addr.Is4() {
		from = 12 // the mapped form's prefix is not part of the address
	}
	for i := from; i < 16; i++ {
		if (x[i]^y[i])&mask[i] != 0 {
			return false
		}
	}
	return true
}

func (a *Addrs) given() bool { return a.Addr.IsValid() }

// Status selects flows with status & Mask == Value. Bits of Value outside Mask
// select nothing, and the kernel refuses a zero Mask.
type Status struct{ Value, Mask flow.Status }

// Mark selects flows with mark & Mask == Value.
type Mark struct{ Value, Mask uint32 }

// State selects flows in state N of protocol Proto.
type State struct {
	Proto flow.Proto
	N     uint8
}

// NAT selects flows whose source, or destination, or either, is translated.
type NAT struct {
	Src, Dst bool // both: either will do
	// Addr and Port narrow it to a translation into that address and port; the
	// zero Addr and a nil Port are any.
	Addr netip.Addr
	Port *uint16
}

// IsZero reports whether there is no condition at all, so that every flow is selected.
func (flt *Filter) IsZero() bool {
	return flt == nil || flt.Family == flow.AnyFamily && flt.Orig == (Side{}) && flt.Reply == (Side{}) &&
		flt.Status == nil && flt.State == nil && flt.Mark == nil && flt.Zone == nil && flt.ID == nil &&
		flt.Timeout == nil && flt.Labels == (flow.Labels{}) && len(flt.NAT) == 0
}

// Match reports whether f is selected.
func (flt *Filter) Match(f *flow.Flow) bool {
	if flt == nil {
		return true
	}
	if flt.Family != flow.AnyFamily && f.Orig.Family() != flt.Family {
		return false
	}
	if m := flt.Mark; m != nil && (!f.Has.Has(flow.HasMark) || f.Mark&m.Mask != m.Value) {
		return false
	}
	if s := flt.Status; s != nil && (!f.Has.Has(flow.HasStatus) || f.Status&s.Mask != s.Value) {
		return false
	}
	if s := flt.State; s != nil && (!f.Has.Has(flow.HasState) || f.Orig.Proto != s.Proto || f.State != s.N) {
		return false
	}
	if flt.Zone != nil && f.Zone != *flt.Zone {
		return false
	}
	if flt.ID != nil && (!f.Has.Has(flow.HasID) || f.ID != *flt.ID) {
		return false
	}
	if flt.Timeout != nil && (!f.Has.Has(flow.HasTimeout) || f.Timeout != *flt.Timeout) {
		return false
	}
	if flt.Labels != (flow.Labels{}) && !f.Labels.Has(&flt.Labels) {
		return false
	}
	if !flt.Orig.match(&f.Orig) || !flt.Reply.match(&f.Reply) {
		return false
	}
	for i := range flt.NAT {
		if !flt.NAT[i].match(f) {
			return false
		}
	}
	return true
}

func (s *Side) match(t *flow.Tuple) bool {
	switch {
	case s.Src.given() && !s.Src.Contains(t.Src),
		s.Dst.given() && !s.Dst.Contains(t.Dst),
		s.Proto != nil && *s.Proto != t.Proto,
		s.Zone != nil && *s.Zone != t.Zone:
		return false
	}
	// A tuple keeps ports and what ICMP has instead in the same place.
	shape := t.Proto.Shape()
	if s.ports() && (shape != flow.ShapePorts && shape != flow.ShapeKeys ||
		s.SrcPort != nil && *s.SrcPort != t.SrcPort ||
		s.DstPort != nil && *s.DstPort != t.DstPort) {
		return false
	}
	return !s.icmp() || shape == flow.ShapeICMP &&
		(s.ICMPType == nil || *s.ICMPType == t.ICMPType()) &&
		(s.ICMPCode == nil || *s.ICMPCode == t.ICMPCode()) &&
		(s.ICMPID == nil || *s.ICMPID == t.ICMPID())
}

// ports and icmp report whether there is a condition on those fields.
func (s *Side) ports() bool { return s.SrcPort != nil || s.DstPort != nil }
func (s *Side) icmp() bool  { return s.ICMPType != nil || s.ICMPCode != nil || s.ICMPID != nil }

func (n *NAT) match(f *flow.Flow) bool {
	t := f.NAT()
	return n.Src && n.side(t.SrcAddr, t.SrcPort, f.Reply.Dst, f.Reply.DstPort) ||
		n.Dst && n.side(t.DstAddr, t.DstPort, f.Reply.Src, f.Reply.SrcPort)
}

// side looks at one end: whether its address and port are translated, and into what.
func (n *NAT) side(addr, port bool, to netip.Addr, toPort uint16) bool {
	if !n.Addr.IsValid() && n.Port == nil {
		return addr || port
	}
	if n.Addr.IsValid() && (!addr || to != n.Addr) {
		return false
	}
	return n.Port == nil || port && toPort == *n.Port
}
