package cthelper

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/spoor-project/spoor/flow"
)

// Why a packet is not read; the texts are conntrackd's.
var (
	errNoIPv4Header   = errors.New("no room for IPv4 header")
	errNotIPv4        = errors.New("not IPv4, skipping")
	errNoIPv6Header   = errors.New("no room for IPv6 header")
	errNotIPv6        = errors.New("not IPv6, skipping")
	errNoTCPHeader4   = errors.New("no room for IPv4 + TCP header, skip")
	errNoUDPHeader4   = errors.New("no room for IPv4 + UDP header, skip")
	errNoTCPHeader6   = errors.New("no room for IPv6 + TCP header, skip")
	errNoUDPHeader6   = errors.New("no room for IPv6 + UDP header, skip")
	errNotTCPUDP      = errors.New("not TCP/UDP, skipping")
	errUnknownFamily  = errors.New("unknown layer 3 protocol")
	errPacketTooLarge = errors.New("the packet does not grow any more")
)

const (
	ipv4Header = 20
	ipv6Header = 40
	tcpHeader  = 20
	udpHeader  = 8

	maxPacket = 0xffff // of IPv4; IPv6 does not count its header
)

// packetView tells where the parts of an IP packet are.
type packetView struct {
	raw       []byte // from the IP header on, as long as that says
	six       bool
	proto     flow.Proto
	transport int // where its header begins
	payload   int
}

// viewPacket takes the packet apart. Only TCP and UDP right behind the IP header, and no part of a fragmented packet but the
// whole, is something that helpers read.
func viewPacket(b []byte, family flow.Family) (v packetView, err error) {
	switch family {
	case flow.IPv4:
		v, err = viewIPv4(b)
	case flow.IPv6:
		v, err = viewIPv6(b)
	default:
		return v, fmt.Errorf("%w (%d), skipping", errUnknownFamily, family)
	}
	if err != nil {
		return v, err
	}
	noTCP, noUDP := errNoTCPHeader4, errNoUDPHeader4
	if v.six {
		noTCP, noUDP = errNoTCPHeader6, errNoUDPHeader6
	}
	h := v.raw[v.transport:]
	switch v.proto {
	case flow.TCP:
		if len(h) < tcpHeader {
			return v, noTCP
		}
		n := int(h[12]>>4) * 4
		if n < tcpHeader || n > len(h) {
			return v, noTCP
		}
		v.payload = v.transport + n
	case flow.UDP:
		if len(h) < udpHeader {
			return v, noUDP
		}
		if n := int(binary.BigEndian.Uint16(h[4:])); n != len(h) {
			return v, noUDP
		}
		v.payload = v.transport + udpHeader
	default:
		return v, errNotTCPUDP
	}
	return v, nil
}

func viewIPv4(b []byte) (v packetView, err error) {
	if len(b) < ipv4Header {
		return v, errNoIPv4Header
	}
	n, whole := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	switch {
	case b[0]>>4 != 4:
		return v, errNotIPv4
	case n < ipv4Header || n > whole || whole > len(b):
		return v, errNoIPv4Header
	case binary.BigEndian.Uint16(b[6:])&0x3fff != 0: // more fragments, or not the first
		return v, errNotTCPUDP
	}
	return packetView{raw: b[:whole:whole], proto: flow.Proto(b[9]), transport: n}, nil
}

func viewIPv6(b []byte) (v packetView, err error) {
	if len(b) < ipv6Header {
		return v, errNoIPv6Header
	}
	whole := ipv6Header + int(binary.BigEndian.Uint16(b[4:]))
	switch {
	case b[0]>>4 != 6:
		return v, errNotIPv6
	case whole > len(b):
		return v, errNoIPv6Header
	}
	return packetView{raw: b[:whole:whole], six: true, proto: flow.Proto(b[6]), transport: ipv6Header}, nil
}

// Payload is what helpers read.
func (v *packetView) Payload() []byte { return v.raw[v.payload:] }

// seq is the number of the payload's first byte, of TCP.
func (v *packetView) seq() uint32 {
	if v.proto != flow.TCP {
		return 0
	}
	return binary.BigEndian.Uint32(v.raw[v.transport+4:])
}

// rebuild makes the packet with another payload: lengths and checksums are right, all else is as it was.
func (v *packetView) rebuild(payload []byte) ([]byte, error) {
	b := append(append(make([]byte, 0, v.payload+len(payload)), v.raw[:v.payload]...), payload...)
	if v.six {
		if len(b)-ipv6Header > maxPacket {
			return nil, errPacketTooLarge
		}
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-ipv6Header))
	} else {
		if len(b) > maxPacket {
			return nil, errPacketTooLarge
		}
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		binary.BigEndian.PutUint16(b[10:], 0)
		binary.BigEndian.PutUint16(b[10:], ^fold(sum(b[:v.transport])))
	}
	at := v.transport + 16 // TCP's checksum
	if v.proto == flow.UDP {
		binary.BigEndian.PutUint16(b[v.transport+4:], uint16(len(b)-v.transport))
		at = v.transport + 6
		if !v.six && binary.BigEndian.Uint16(b[at:]) == 0 {
			return b, nil // the sender has none
		}
	}
	binary.BigEndian.PutUint16(b[at:], 0)
	checksum := ^fold(v.pseudoHeader(b) + sum(b[v.transport:]))
	if checksum == 0 && v.proto == flow.UDP {
		checksum = 0xffff
	}
	binary.BigEndian.PutUint16(b[at:], checksum)
	return b, nil
}

// pseudoHeader sums up what the checksums of TCP and UDP cover of the IP header of b: RFC 9293, 3.1, and RFC 8200, 8.1.
func (v *packetView) pseudoHeader(b []byte) uint64 {
	addresses := b[12:20]
	if v.six {
		addresses = b[8:40]
	}
	return sum(addresses) + uint64(v.proto) + uint64(len(b)-v.transport)
}

// sum adds up 16-bit words; a byte that is left over is the upper half of the last.
func sum(b []byte) (s uint64) {
	for len(b) >= 2 {
		s += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		s += uint64(b[0]) << 8
	}
	return s
}

// fold makes a sum a 16-bit one in ones' complement (RFC 1071).
func fold(s uint64) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
