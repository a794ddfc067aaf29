package capture_test

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// frame wraps an IP packet for a link.
type frame struct {
	name string
	link uint16
	wrap func(ip []byte) []byte
}

func ethernetType(ip []byte) []byte {
	if ip[0]>>4 == 6 {
		return []byte{0x86, 0xdd}
	}
	return []byte{0x08, 0x00}
}

func join(parts ...[]byte) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

var frames = []frame{
	{"Ethernet", 1, func(ip []byte) []byte { return join(make([]byte, 12), ethernetType(ip), ip, make([]byte, 7)) }}, // with padding
	{"Ethernet with a tag", 1, func(ip []byte) []byte { return join(make([]byte, 12), []byte{0x81, 0, 0, 7}, ethernetType(ip), ip) }},
	{"Ethernet with two tags", 1, func(ip []byte) []byte {
		return join(make([]byte, 12), []byte{0x88, 0xa8, 0, 7, 0x81, 0, 0, 8}, ethernetType(ip), ip)
	}},
	{"Linux cooked", 113, func(ip []byte) []byte { return join(make([]byte, 14), ethernetType(ip), ip) }},
	{"Linux cooked 2", 276, func(ip []byte) []byte { return join(ethernetType(ip), make([]byte, 18), ip) }},
	{"raw", 101, func(ip []byte) []byte { return ip }},
	{"null", 0, func(ip []byte) []byte { return join([]byte{2, 0, 0, 0}, ip) }},
	{"loop", 108, func(ip []byte) []byte { return join([]byte{0, 0, 0, 2}, ip) }},
}

// seen is a packet and when it was seen.
type seen struct {
	at   time.Time
	ip   []byte
	more int // bytes that were not captured
}

// format writes a capture.
type format struct {
	name  string
	grain time.Duration
	write func(f *frame, packets []seen) []byte
}

var (
	le = binary.LittleEndian
	be = binary.BigEndian
)

func pcap(order binary.AppendByteOrder, nano bool) func(f *frame, packets []seen) []byte {
	return func(f *frame, packets []seen) []byte {
		magic, grain := uint32(0xa1b2c3d4), int64(1000)
		if nano {
			magic, grain = 0xa1b23c4d, 1
		}
		b := order.AppendUint32(nil, magic)
		b = order.AppendUint32(b, 2|4<<16) // the version, which is not looked at
		b = append(b, make([]byte, 8)...)
		b = order.AppendUint32(b, 262144)
		b = order.AppendUint32(b, uint32(f.link)|0x1000_0000)
		for _, p := range packets {
			data := f.wrap(p.ip)
			b = order.AppendUint32(b, uint32(p.at.Unix()))
			b = order.AppendUint32(b, uint32(int64(p.at.Nanosecond())/grain))
			b = order.AppendUint32(b, uint32(len(data)))
			b = order.AppendUint32(b, uint32(len(data)+p.more))
			b = append(b, data...)
		}
		return b
	}
}

func block(order binary.AppendByteOrder, typ uint32, body []byte) []byte {
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	b := order.AppendUint32(nil, typ)
	b = order.AppendUint32(b, uint32(len(body)+12))
	b = append(b, body...)
	return order.AppendUint32(b, uint32(len(body)+12))
}

// pcapng begins with a section that has nothing to say, and has blocks that nobody knows.
func pcapng(order binary.AppendByteOrder, resolution byte, perSec uint64, simple bool) func(f *frame, packets []seen) []byte {
	return func(f *frame, packets []seen) []byte {
		section := func(order binary.AppendByteOrder) []byte {
			body := order.AppendUint32(nil, 0x1a2b3c4d)
			body = order.AppendUint16(body, 1)
			return block(order, 0x0a0d0d0a, append(body, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255))
		}
		other := binary.AppendByteOrder(le)
		if order == le {
			other = be
		}
		b := join(section(other), section(order), block(order, 4, make([]byte, 5000)))
		body := order.AppendUint16(nil, f.link)
		body = append(body, 0, 0)
		body = order.AppendUint32(body, 0)
		body = order.AppendUint16(body, 2) // a name
		body = order.AppendUint16(body, 5)
		body = append(body, "sync0\x00\x00\x00"...)
		body = order.AppendUint16(body, 9)
		body = order.AppendUint16(body, 1)
		body = append(body, resolution, 0, 0, 0)
		body = order.AppendUint16(body, 14)
		body = order.AppendUint16(body, 8)
		if order == le {
			body = le.AppendUint64(body, 1000)
		} else {
			body = be.AppendUint64(body, 1000)
		}
		b = append(b, block(order, 1, append(body, 0, 0, 0, 0))...)
		for _, p := range packets {
			data := f.wrap(p.ip)
			if simple {
				b = append(b, block(order, 3, append(order.AppendUint32(nil, uint32(len(data))), data...))...)
				continue
			}
			stamp := uint64(p.at.Unix()-1000)*perSec + uint64(p.at.Nanosecond())*perSec/1e9
			body := order.AppendUint32(nil, 0)
			body = order.AppendUint32(body, uint32(stamp>>32))
			body = order.AppendUint32(body, uint32(stamp))
			body = order.AppendUint32(body, uint32(len(data)))
			body = order.AppendUint32(body, uint32(len(data)+p.more))
			b = append(b, block(order, 6, append(body, data...))...)
		}
		return b
	}
}

var formats = []format{
	{"pcap", time.Microsecond, pcap(le, false)},
	{"pcap, big-endian", time.Microsecond, pcap(be, false)},
	{"pcap, nanoseconds", 1, pcap(le, true)},
	{"pcap, nanoseconds, big-endian", 1, pcap(be, true)},
	{"pcapng", time.Microsecond, pcapng(le, 6, 1e6, false)},
	{"pcapng, big-endian", time.Microsecond, pcapng(be, 6, 1e6, false)},
	{"pcapng, nanoseconds", 1, pcapng(le, 9, 1e9, false)},
	{"pcapng, binary fractions", 1, pcapng(le, 0x80|32, 1<<32, false)},
	{"pcapng, without times", 0, pcapng(le, 6, 1e6, true)},
}

// ip makes packets, of IPv4 or IPv6 as the addresses are.
func ip(src, dst netip.Addr, proto byte, body []byte) []byte {
	return ipPart(src, dst, proto, 0, 0, false, body)
}

// ipPart makes a fragment.
func ipPart(src, dst netip.Addr, proto byte, id uint16, at int, more bool, body []byte) []byte {
	whole := at == 0 && !more
	var b []byte
	if src.Is4() {
		frag := uint16(at / 8)
		if more {
			frag |= 0x2000
		}
		// With an option, as some have.
		b = be.AppendUint16([]byte{0x46, 0}, uint16(24+len(body)))
		b = be.AppendUint16(be.AppendUint16(b, id), frag)
		b = append(b, 64, proto, 0, 0)
		b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
		return append(append(b, 1, 1, 1, 0), body...)
	}
	var ext []byte
	if whole {
		ext = []byte{proto, 0, 1, 4, 0, 0, 0, 0} // hop-by-hop options
		proto = 0
	} else {
		frag := uint16(at)
		if more {
			frag |= 1
		}
		ext = be.AppendUint16([]byte{proto, 0}, frag)
		ext = be.AppendUint32(ext, uint32(id))
		proto = 44
	}
	b = be.AppendUint16([]byte{0x60, 0, 0, 0}, uint16(len(ext)+len(body)))
	b = append(b, proto, 1)
	b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	return append(append(b, ext...), body...)
}

func udp(src, dst netip.AddrPort, data []byte) []byte {
	b := be.AppendUint16(be.AppendUint16(nil, src.Port()), dst.Port())
	b = be.AppendUint16(b, uint16(8+len(data)))
	return append(append(b, 0, 0), data...)
}

const (
	fin = 1
	syn = 2
	rst = 4
	ack = 16
)

func tcp(src, dst netip.AddrPort, seq uint32, flags byte, data []byte) []byte {
	b := be.AppendUint16(be.AppendUint16(nil, src.Port()), dst.Port())
	b = be.AppendUint32(be.AppendUint32(b, seq), 0)
	b = append(b, 8<<4, flags, 255, 255, 0, 0, 0, 0)
	return append(append(b, make([]byte, 12)...), data...)
}
