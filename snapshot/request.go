package snapshot

import (
	"encoding/binary"
	"net/netip"

	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
)

// match selects tuples: those that equal Value in the bits of Mask. Both have the form of
// struct nf_conntrack_tuple.
type match struct{ Value, Mask [tupleSize]byte }

// request is struct request in bpf/snapshot.c.
type request struct {
	HashAt, SizeAt          uint64
	FD, Buffer, Bucket, End uint32
	Orig, Reply             match
	Status, StatusMask      uint32
	Mark, MarkMask          uint32
	Zone, ZoneMask          uint32
	State, StateMask        uint16
	Flags                   uint32
	Hash, Net               uint64
	Size, Length            uint32
	Jiffies, Now            uint64
	Error, Retried          uint32
	Node                    uint64
	Begun, Tries            uint32
}

// Bits of request.Flags.
const (
	withExtensions = 1 << iota
	withOrig
	withReply
	withSNAT
	withDNAT
	withNAT
)

// complaint says what the program reports in Error, enum error in bpf/snapshot.c.
func (r *request) complaint() string {
	switch r.Error {
	case 0:
		return "it has moved"
	case 1:
		return "what the kernel tells does not lead to it"
	case 2:
		return "memory that is none"
	case 3:
		return "chains that change all the time"
	}
	return "unknown error"
}

// selection is the part of flt that the program checks; it never leaves out what flt selects.
func selection(flt *filter.Filter) (r request) {
	r.Flags = withExtensions
	if flt == nil {
		return r
	}
	if flt.Family != flow.AnyFamily {
		r.Orig.family(flt.Family)
	}
	r.Orig.side(&flt.Orig)
	r.Reply.side(&flt.Reply)
	if s := flt.Status; s != nil {
		r.Status, r.StatusMask = uint32(s.Value), uint32(s.Mask)
	}
	if m := flt.Mark; m != nil {
		r.Mark, r.MarkMask = m.Value, m.Mask
	}
	// An entry with a zone in one direction counts as zone 0.
	if z := flt.Zone; z != nil && *z != 0 {
		r.Zone, r.ZoneMask = uint32(*z), 0xffff
	}
	if s := flt.State; s != nil {
		r.Orig.proto(s.Proto)
		if s.Proto == flow.TCP {
			r.State, r.StateMask = uint16(s.N), 0xff
		}
	}
	for i := range flt.NAT {
		r.nat(&flt.NAT[i])
	}
	if r.Orig.Mask != ([tupleSize]byte{}) {
		r.Flags |= withOrig
	}
	if r.Reply.Mask != ([tupleSize]byte{}) {
		r.Flags |= withReply
	}
	return r
}

// nat asks for a translation. Into what shows in the reply tuple.
func (r *request) nat(n *filter.NAT) {
	switch {
	case n.Src && n.Dst:
		r.Flags |= withNAT
	case n.Src:
		r.Flags |= withSNAT
		r.Reply.side(&filter.Side{Dst: filter.Addrs{Addr: n.Addr}, DstPort: n.Port})
	case n.Dst:
		r.Flags |= withDNAT
		r.Reply.side(&filter.Side{Src: filter.Addrs{Addr: n.Addr}, SrcPort: n.Port})
	}
}

func (m *match) set(at int, value, mask byte) {
	m.Value[at], m.Mask[at] = value&mask, mask
}

func (m *match) family(f flow.Family) {
	m.set(18, byte(f), 0xff)
	m.set(19, 0, 0xff)
}

func (m *match) proto(p flow.Proto) { m.set(38, byte(p), 0xff) }

func (m *match) number(at int, v uint16) {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	m.set(at, b[0], 0xff)
	m.set(at+1, b[1], 0xff)
}

func (m *match) addrs(at int, a *filter.Addrs) {
	if !a.Addr.IsValid() {
		return
	}
	mask := a.Mask
	if !mask.IsValid() {
		mask = filter.MaskOf(a.Addr, a.Addr.BitLen())
	}
	if a.Addr.BitLen() != mask.BitLen() || a.Addr.Is4() != mask.Is4() {
		return // a mask that fits no address of the family: left to the filter
	}
	m.family(familyOf(a.Addr))
	value, bits := a.Addr.AsSlice(), mask.AsSlice()
	for i := range value {
		m.set(at+i, value[i], bits[i])
	}
}

func familyOf(a netip.Addr) flow.Family {
	if a.Is4() {
		return flow.IPv4
	}
	return flow.IPv6
}

func (m *match) side(s *filter.Side) {
	m.addrs(0, &s.Src)
	m.addrs(20, &s.Dst)
	if s.Proto != nil {
		m.proto(*s.Proto)
	}
	if s.SrcPort != nil {
		m.number(16, *s.SrcPort)
	}
	if s.DstPort != nil {
		m.number(36, *s.DstPort)
	}
	if s.ICMPID != nil {
		m.number(16, *s.ICMPID)
	}
	if s.ICMPType != nil {
		m.set(36, *s.ICMPType, 0xff)
	}
	if s.ICMPCode != nil {
		m.set(37, *s.ICMPCode, 0xff)
	}
}
