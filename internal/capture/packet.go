package capture

import (
	"encoding/binary"
	"net/netip"
)

// Numbers of link types (tcpdump.org/linktypes.html), of the kinds of frames, and of protocols.
const (
	linkNull     = 0
	linkEthernet = 1
	linkRaw      = 101
	linkLoop     = 108
	linkSLL      = 113
	linkIPv4     = 228
	linkIPv6     = 229
	linkSLL2     = 276

	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd
	etherVLAN = 0x8100
	etherQinQ = 0x88a8
	etherOld  = 0x9100 // of stacked tags, too

	protoHop      = 0
	protoTCP      = 6
	protoUDP      = 17
	protoRouting  = 43
	protoFragment = 44
	protoDstOpts  = 60
)

// ipPacket finds the IP packet in a frame; nil if there is none.
func ipPacket(link uint16, b []byte) []byte {
	switch link {
	case linkRaw, linkIPv4, linkIPv6:
		return b
	case linkNull, linkLoop: // a family in the order of some machine, which the packet's version says again
		return from(b, 4)
	case linkEthernet:
		return network(b, 12, 14)
	case linkSLL:
		return network(b, 14, 16)
	case linkSLL2:
		return network(b, 0, 20)
	}
	return nil
}

// network finds the IP packet behind a header of that length with the frame's type at an offset, and behind tags.
func network(b []byte, at, header int) []byte {
	if len(b) < header {
		return nil
	}
	kind := binary.BigEndian.Uint16(b[at:])
	b = b[header:]
	for kind == etherVLAN || kind == etherQinQ || kind == etherOld {
		if len(b) < 4 {
			return nil
		}
		kind, b = binary.BigEndian.Uint16(b[2:]), b[4:]
	}
	if kind != etherIPv4 && kind != etherIPv6 {
		return nil
	}
	return b
}

func from(b []byte, n int) []byte {
	if len(b) < n {
		return nil
	}
	return b[n:]
}

// datagram is an IP packet, or a part of one.
type datagram struct {
	src, dst netip.Addr
	proto    uint8
	body     []byte // as far as it is there
	length   int    // of the body on the wire; 0 where segmentation offload has hidden it

	// A fragment is one if more follow, or it is not the first.
	id     uint32
	offset int
	more   bool
}

func (d *datagram) fragment() bool { return d.more || d.offset > 0 }

// parseIP reads the headers of IP. ok is false if the packet is too short or odd for them.
func parseIP(b []byte) (d datagram, ok bool) {
	if len(b) == 0 {
		return d, false
	}
	switch b[0] >> 4 {
	case 4:
		return parseIPv4(b)
	case 6:
		return parseIPv6(b)
	}
	return d, false
}

func parseIPv4(b []byte) (d datagram, ok bool) {
	if len(b) < 20 {
		return d, false
	}
	header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if total == 0 { // segmentation offload
		total = len(b)
	}
	if header < 20 || header > len(b) || total < header {
		return d, false
	}
	d.src, d.dst = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
	d.proto, d.length = b[9], total-header
	frag := binary.BigEndian.Uint16(b[6:])
	d.id, d.offset, d.more = uint32(binary.BigEndian.Uint16(b[4:])), int(frag&0x1fff)*8, frag&0x2000 != 0
	d.body = b[header:min(total, len(b))] // behind it may be padding of the frame
	return d, true
}

func parseIPv6(b []byte) (d datagram, ok bool) {
	if len(b) < 40 {
		return d, false
	}
	d.src, d.dst = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
	d.proto, d.length = b[6], int(binary.BigEndian.Uint16(b[4:]))
	b = b[40:]
	if d.length == 0 {
		d.length = len(b)
	}
	b = b[:min(d.length, len(b))]
	for {
		header := 8
		switch d.proto {
		case protoHop, protoRouting, protoDstOpts:
			if len(b) < 8 {
				return d, false
			}
			header = 8 * (int(b[1]) + 1)
		case protoFragment:
			if len(b) < 8 {
				return d, false
			}
			frag := binary.BigEndian.Uint16(b[2:])
			d.offset, d.more, d.id = int(frag&^7), frag&1 != 0, binary.BigEndian.Uint32(b[4:])
		default:
			d.body = b
			return d, true
		}
		if header > len(b) || d.length < header {
			return d, false
		}
		d.proto, d.length, b = b[0], d.length-header, b[header:]
		if d.offset > 0 { // what follows is the middle of something
			d.body = b
			return d, true
		}
	}
}

// segment is a part of a TCP stream.
type segment struct {
	src, dst      netip.AddrPort
	seq           uint32
	syn, fin, rst bool
	data          []byte
	missing       int // bytes of it that were not captured
}

func parseTCP(d *datagram) (s segment, ok bool) {
	b := d.body
	if len(b) < 20 {
		return s, false
	}
	header := int(b[12]>>4) * 4
	if header < 20 || header > len(b) {
		return s, false
	}
	s.src, s.dst = ports(d, b)
	s.seq, s.data, s.missing = binary.BigEndian.Uint32(b[4:]), b[header:], d.length-len(b)
	s.fin, s.syn, s.rst = b[13]&1 != 0, b[13]&2 != 0, b[13]&4 != 0
	return s, true
}

// parseUDP returns the payload, and how many bytes of it were not captured.
func parseUDP(d *datagram) (src, dst netip.AddrPort, data []byte, missing int, ok bool) {
	b := d.body
	if len(b) < 8 {
		return src, dst, nil, 0, false
	}
	length := int(binary.BigEndian.Uint16(b[4:]))
	if length < 8 || length > d.length {
		return src, dst, nil, 0, false
	}
	src, dst = ports(d, b)
	end := min(length, len(b))
	return src, dst, b[8:end], length - end, true
}

func ports(d *datagram, b []byte) (src, dst netip.AddrPort) {
	return netip.AddrPortFrom(d.src, binary.BigEndian.Uint16(b)), netip.AddrPortFrom(d.dst, binary.BigEndian.Uint16(b[2:]))
}
