//go:build linux

package main

import (
	"encoding/binary"
	"net/netip"
)

// Flows are numbered from 0. Each has a client's address and port of its own; servers are fewer.
var (
	clientNet = netip.MustParsePrefix("10.0.0.0/8")
	serverNet = netip.MustParsePrefix("198.18.0.0/15")
)

const (
	portsPerClient = 32
	portSpread     = 2000 // times portsPerClient is nearly all ports
	firstPort      = 1024
	servers        = 4000
	serverPort     = 443

	maxFlows = 1<<24*portsPerClient - portsPerClient // what clientNet has room for
)

// kind is what happens in the life of a flow.
type kind string

const (
	udpFlow kind = "UDP" // one packet
	tcpFlow kind = "TCP" // opened, used and closed
)

// step is a packet of a flow.
type step struct {
	answer   bool // from the server
	flags    byte // of TCP
	seq, ack uint32
	payload  int
}

const (
	fin = 0x01
	syn = 0x02
	psh = 0x08
	ack = 0x10
)

// Beginnings of the sequence numbers, the same in all flows: they mean nothing to anybody but their ends.
const (
	clientSeq = 1000
	serverSeq = 2_000_000
)

// steps are the packets of each kind, in their order.
var steps = map[kind][]step{
	udpFlow: {{payload: 20}},
	tcpFlow: {
		{flags: syn, seq: clientSeq},
		{flags: syn | ack, seq: serverSeq, ack: clientSeq + 1, answer: true},
		{flags: ack, seq: clientSeq + 1, ack: serverSeq + 1},
		{flags: psh | ack, seq: clientSeq + 1, ack: serverSeq + 1, payload: 40},
		{flags: psh | ack, seq: serverSeq + 1, ack: clientSeq + 41, payload: 40, answer: true},
		{flags: fin | ack, seq: clientSeq + 41, ack: serverSeq + 41},
		{flags: fin | ack, seq: serverSeq + 41, ack: clientSeq + 42, answer: true},
		{flags: ack, seq: clientSeq + 42, ack: serverSeq + 42},
	},
}

const (
	ethernetLen = 14
	ipLen       = 20
	udpLen      = 8
	tcpLen      = 20
	frameRoom   = 128 // more than any frame has

	protoTCP = 6
	protoUDP = 17
)

// mac is an Ethernet address that nobody else has.
type mac [6]byte

// frames writes the frames of one step.
type frames struct {
	step  step
	proto byte
	blank [frameRoom]byte // a frame without addresses, ports and checksums
	len   int
}

func newFrames(k kind, s step, from, to mac) *frames {
	f := &frames{step: s, proto: protoUDP}
	transport := udpLen
	if k == tcpFlow {
		f.proto, transport = protoTCP, tcpLen
	}
	f.len = ethernetLen + ipLen + transport + s.payload
	b := f.blank[:]
	copy(b[0:], to[:])
	copy(b[6:], from[:])
	binary.BigEndian.PutUint16(b[12:], 0x0800)
	ip := b[ethernetLen:]
	ip[0] = 0x45
	binary.BigEndian.PutUint16(ip[2:], uint16(ipLen+transport+s.payload))
	ip[6] = 0x40 // may not be fragmented
	ip[8] = 64
	ip[9] = f.proto
	t := ip[ipLen:]
	if k == tcpFlow {
		binary.BigEndian.PutUint32(t[4:], s.seq)
		binary.BigEndian.PutUint32(t[8:], s.ack)
		t[12] = tcpLen / 4 << 4
		t[13] = s.flags
		binary.BigEndian.PutUint16(t[14:], 0xffff)
	} else {
		binary.BigEndian.PutUint16(t[4:], uint16(udpLen+s.payload))
	}
	return f
}

// write writes the frame of flow i into b, which has frameRoom bytes, and returns it.
func (f *frames) write(b []byte, i int) []byte {
	b = b[:f.len]
	copy(b, f.blank[:f.len])
	client, port := clientOf(i)
	server := serverOf(i)
	ip := b[ethernetLen:]
	t := ip[ipLen:]
	if f.step.answer {
		binary.BigEndian.PutUint32(ip[12:], server)
		binary.BigEndian.PutUint32(ip[16:], client)
		binary.BigEndian.PutUint16(t[0:], serverPort)
		binary.BigEndian.PutUint16(t[2:], port)
	} else {
		binary.BigEndian.PutUint32(ip[12:], client)
		binary.BigEndian.PutUint32(ip[16:], server)
		binary.BigEndian.PutUint16(t[0:], port)
		binary.BigEndian.PutUint16(t[2:], serverPort)
	}
	binary.BigEndian.PutUint16(ip[10:], checksum(0, ip[:ipLen]))
	if f.proto == protoTCP { // UDP does without
		pseudo := uint32(f.proto) + uint32(len(t))
		binary.BigEndian.PutUint16(t[16:], checksum(add(pseudo, ip[12:20]), t))
	}
	return b
}

// clientOf returns the client's address and port of flow i.
func clientOf(i int) (addr uint32, port uint16) {
	who, which := i/portsPerClient, i%portsPerClient
	return base(clientNet) + 1 + uint32(who), uint16(firstPort + which*portSpread + who%portSpread)
}

func serverOf(i int) uint32 { return base(serverNet) + 1 + uint32(i)*2_654_435_761>>8%servers }

func base(p netip.Prefix) uint32 {
	b := p.Addr().As4()
	return binary.BigEndian.Uint32(b[:])
}

// checksum is that of the Internet protocols, on top of a sum.
func checksum(sum uint32, b []byte) uint16 {
	sum = add(sum, b)
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

func add(sum uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}
