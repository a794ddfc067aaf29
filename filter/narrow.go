package filter

import (
	"net/netip"

	"github.com/spoor-project/spoor/flow"
)

// Filter returns conditions that every flow which q selects fulfils, and that a dump or a snapshot can check before it hands
// out a flow; what they leave in, Match must still look at. That holds for flows whose status is known, as it is of
// all that the kernel lists.
func (q *Query) Filter() *Filter {
	flt := new(Filter)
	if q.IsZero() {
		return flt
	}
	must := []node{*q.root}
	if q.root.op == opAnd {
		must = q.root.kids
	}
	for i := range must {
		switch n := &must[i]; {
		case n.op == opTest:
			flt.narrow(&n.test)
		case n.op == opNot && n.kids[0].op == opTest && n.kids[0].test.field == fieldStatus:
			flt.status(0, n.kids[0].test.status)
		}
	}
	// These depend on what has become known of the protocol.
	for i := range must {
		if n := &must[i]; n.op == opTest {
			flt.state(n.test.states)
			flt.nat(n.test.field)
		}
	}
	return flt
}

// narrow adds a condition, if there is room for it.
func (flt *Filter) narrow(t *test) {
	side := &flt.Orig
	if t.dir == reply {
		side = &flt.Reply
	}
	switch t.field {
	case fieldFamily:
		if n, ok := t.single(); ok {
			flt.Family = flow.Family(n)
		}
	case fieldProto:
		narrowNumber(t, &side.Proto)
	case fieldSrc:
		side.Src.narrow(t.addrs)
	case fieldDst:
		side.Dst.narrow(t.addrs)
	case fieldSrcPort:
		narrowNumber(t, &side.SrcPort)
	case fieldDstPort:
		narrowNumber(t, &side.DstPort)
	case fieldICMPType:
		narrowNumber(t, &side.ICMPType)
	case fieldICMPCode:
		narrowNumber(t, &side.ICMPCode)
	case fieldICMPID:
		narrowNumber(t, &side.ICMPID)
	case fieldZone:
		if t.dir == noDirection {
			narrowNumber(t, &flt.Zone)
		} else {
			narrowNumber(t, &side.Zone)
		}
	case fieldStatus:
		if t.status&(t.status-1) == 0 {
			flt.status(t.status, t.status)
		}
	case fieldMark:
		if len(t.marks) == 1 {
			flt.Mark = &t.marks[0]
		}
	case fieldLabel:
		if set := t.labels; countBits(&set) == 1 {
			for i := range set {
				flt.Labels[i] |= set[i]
			}
		}
	case fieldID:
		narrowNumber(t, &flt.ID)
	}
}

// single is the only number of the set.
func (t *test) single() (uint64, bool) {
	if len(t.numbers) != 1 || t.numbers[0].lo != t.numbers[0].hi {
		return 0, false
	}
	return t.numbers[0].lo, true
}

func narrowNumber[T ~uint8 | ~uint16 | ~uint32](t *test, to **T) {
	if n, ok := t.single(); ok {
		*to = new(T(n))
	}
}

func (a *Addrs) narrow(spans []addrSpan) {
	if len(spans) != 1 {
		return
	}
	s := spans[0]
	if s.lo == s.hi {
		*a = Addrs{Addr: s.lo}
		return
	}
	for bits := s.lo.BitLen() - 1; bits > 0; bits-- {
		p := netip.PrefixFrom(s.lo, bits)
		if p.Masked().Addr() != s.lo {
			return
		}
		if lastOf(p) == s.hi {
			*a = Prefix(p)
			return
		}
	}
}

// status asks for the bits of mask to be as in value. What has been asked for before stays.
func (flt *Filter) status(value, mask flow.Status) {
	if flt.Status == nil {
		flt.Status = new(Status)
	}
	mask &^= flt.Status.Mask
	flt.Status.Mask |= mask
	flt.Status.Value |= value & mask
}

func (flt *Filter) state(states []State) {
	var of []State
	for _, s := range states {
		if flt.Orig.Proto == nil || *flt.Orig.Proto == s.Proto {
			of = append(of, s)
		}
	}
	if len(of) == 1 {
		flt.State = &of[0]
	}
}

// nat asks for a translation. Into what is left to Match: a Filter's NAT looks at an address only if it is itself translated. Nor
// does it tell identifiers of ICMP from ports.
func (flt *Filter) nat(f field) {
	if flt.Orig.Proto == nil || flt.Orig.Proto.Shape() == flow.ShapeICMP {
		return
	}
	switch f {
	case fieldSNAT:
		flt.NAT = append(flt.NAT, NAT{Src: true})
	case fieldDNAT:
		flt.NAT = append(flt.NAT, NAT{Dst: true})
	case fieldNAT:
		flt.NAT = append(flt.NAT, NAT{Src: true, Dst: true})
	}
}

func countBits(set *flow.Labels) (n int) {
	for bit := range flow.LabelBits {
		if set.Bit(bit) {
			n++
		}
	}
	return n
}
