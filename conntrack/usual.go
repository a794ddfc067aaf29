package conntrack

import (
	"encoding/binary"
	"net/netip"

	"github.com/spoor-project/spoor/flow"
)

// Nearly every tuple that a kernel sends consists of the same attributes in the
// same order: two addresses, a protocol number and two ports. Recognised by their
// headers they are read from their places, in a third of the time that walking
// takes; a list has two tuples an entry.

// attrHeader is the header of an attribute with n bytes of content, as it reads in
// the machine's byte order.
func attrHeader(t uint16, n int) uint32 {
	var b [4]byte
	binary.NativeEndian.PutUint16(b[:], uint16(4+n))
	binary.NativeEndian.PutUint16(b[2:], t)
	return binary.NativeEndian.Uint32(b[:])
}

const nestedFlag = 1 << 15 // NLA_F_NESTED

const (
	usualPorts = 4 + 3*8 // a nest of three small attributes
	usualIPv4  = 4 + 2*8 + usualPorts
	usualIPv6  = 4 + 2*20 + usualPorts
)

var (
	headIPv4    = attrHeader(ctaTupleIP|nestedFlag, 2*8)
	headIPv4Src = attrHeader(ctaIPv4Src, 4)
	headIPv4Dst = attrHeader(ctaIPv4Dst, 4)
	headIPv6    = attrHeader(ctaTupleIP|nestedFlag, 2*20)
	headIPv6Src = attrHeader(ctaIPv6Src, 16)
	headIPv6Dst = attrHeader(ctaIPv6Dst, 16)
	headPorts   = attrHeader(ctaTupleProto|nestedFlag, 3*8)
	headProto   = attrHeader(ctaProtoNum, 1)
	headSrcPort = attrHeader(ctaProtoSrcPort, 2)
	headDstPort = attrHeader(ctaProtoDstPort, 2)
)

// decodeUsualTuple decodes a tuple of the usual form; for any other it returns false
// and leaves t alone.
func decodeUsualTuple(b []byte, t *flow.Tuple) bool {
	word := binary.NativeEndian.Uint32
	var ports []byte
	switch {
	case len(b) == usualIPv4 && word(b) == headIPv4 && word(b[4:]) == headIPv4Src && word(b[12:]) == headIPv4Dst:
		ports = b[usualIPv4-usualPorts:]
	case len(b) == usualIPv6 && word(b) == headIPv6 && word(b[4:]) == headIPv6Src && word(b[24:]) == headIPv6Dst:
		ports = b[usualIPv6-usualPorts:]
	default:
		return false
	}
	if word(ports) != headPorts || word(ports[4:]) != headProto || word(ports[12:]) != headSrcPort || word(ports[20:]) != headDstPort {
		return false
	}
	if len(b) == usualIPv4 {
		t.Src = netip.AddrFrom4([4]byte(b[8:]))
		t.Dst = netip.AddrFrom4([4]byte(b[16:]))
	} else {
		t.Src = netip.AddrFrom16([16]byte(b[8:]))
		t.Dst = netip.AddrFrom16([16]byte(b[28:]))
	}
	t.Proto = flow.Proto(ports[8])
	t.SrcPort = binary.BigEndian.Uint16(ports[16:])
	t.DstPort = binary.BigEndian.Uint16(ports[24:])
	return true
}
