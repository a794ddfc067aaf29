//go:build linux

package nstest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Raw sends and receives the packets of one IP protocol, each without its IP header, for protocols which no socket of the kernel
// speaks. While it is open the kernel does not complain to senders about an unknown protocol.
type Raw struct {
	conn *net.IPConn
}

// ListenRaw opens a raw socket with an address of the namespace, which is the source of what it sends. It is closed when the test
// ends.
func ListenRaw(t testing.TB, ns *NS, proto uint8, local netip.Addr) *Raw {
	t.Helper()
	network := fmt.Sprintf("ip4:%d", proto)
	if local.Is6() {
		network = fmt.Sprintf("ip6:%d", proto)
	}
	var conn *net.IPConn
	var err error
	ns.Do(func() { conn, err = net.ListenIP(network, &net.IPAddr{IP: local.AsSlice()}) })
	if err != nil {
		t.Fatalf("listen for protocol %d: %v", proto, err)
	}
	t.Cleanup(func() { conn.Close() })
	return &Raw{conn}
}

// Close stops listening before the test ends.
func (r *Raw) Close() error { return r.conn.Close() }

// Send sends one packet.
func (r *Raw) Send(t testing.TB, to netip.Addr, packet []byte) {
	t.Helper()
	if _, err := r.conn.WriteToIP(packet, &net.IPAddr{IP: to.AsSlice()}); err != nil {
		t.Fatalf("send raw packet: %v", err)
	}
}

// Receive waits for one packet, a few seconds at most.
func (r *Raw) Receive(t testing.TB) (packet []byte, from netip.Addr) {
	t.Helper()
	r.conn.SetReadDeadline(time.Now().Add(exchangeLimit))
	buf := make([]byte, 64<<10)
	n, addr, err := r.conn.ReadFromIP(buf)
	if err != nil {
		t.Fatalf("receive raw packet: %v", err)
	}
	from, _ = netip.AddrFromSlice(addr.IP)
	return buf[:n], from.Unmap()
}

// ListenUDPLite opens a UDP-Lite socket (RFC 3828), for which package net has no name. It is closed when the test ends; reading
// and writing fails after a few seconds.
func ListenUDPLite(t testing.TB, ns *NS, local netip.AddrPort) *net.UDPConn {
	t.Helper()
	var conn net.PacketConn
	var err error
	// A child which another test is just starting may have the port's last owner open.
	Wait(t, "a free port", func() bool {
		ns.Do(func() { conn, err = listenUDPLite(local) })
		return !errors.Is(err, unix.EADDRINUSE)
	})
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		Unavailable(t, []string{"udplite"}, "the kernel has no UDP-Lite sockets")
	}
	if err != nil {
		t.Fatalf("listen for UDP-Lite: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(exchangeLimit))
	return conn.(*net.UDPConn)
}

func listenUDPLite(local netip.AddrPort) (net.PacketConn, error) {
	family, sockaddr := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: int(local.Port())})
	if local.Addr().Is4() {
		sockaddr.(*unix.SockaddrInet4).Addr = local.Addr().As4()
	} else {
		family, sockaddr = unix.AF_INET6, &unix.SockaddrInet6{Port: int(local.Port()), Addr: local.Addr().As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_UDPLITE)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "udplite")
	defer file.Close() // FilePacketConn has a copy
	if err := unix.Bind(fd, sockaddr); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	return net.FilePacketConn(file)
}

// SCTP is an SCTP packet with one chunk (RFC 9260, section 3).
type SCTP struct {
	SrcPort, DstPort uint16
	Tag              uint32 // of its receiver
	Chunk            uint8  // one of the SCTP constants
	Value            []byte // what the chunk holds behind its header
}

// Chunk types of the four packets which begin an association.
const (
	SCTPInit       = 1
	SCTPInitAck    = 2
	SCTPCookieEcho = 10
	SCTPCookieAck  = 11
)

// InitValue is what the chunks INIT and INIT ACK hold: the tag which its sender wants to find in packets, and limits.
func InitValue(tag uint32, parameters ...byte) []byte {
	v := binary.BigEndian.AppendUint32(nil, tag)
	v = binary.BigEndian.AppendUint32(v, 64<<10) // receiver window
	v = binary.BigEndian.AppendUint16(v, 1)      // outbound streams
	v = binary.BigEndian.AppendUint16(v, 1)      // inbound streams
	v = binary.BigEndian.AppendUint32(v, tag)    // first sequence number
	return append(v, parameters...)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Marshal returns the packet with its checksum, for [Raw.Send].
func (p SCTP) Marshal() []byte {
	b := binary.BigEndian.AppendUint16(nil, p.SrcPort)
	b = binary.BigEndian.AppendUint16(b, p.DstPort)
	b = binary.BigEndian.AppendUint32(b, p.Tag)
	b = append(b, 0, 0, 0, 0, p.Chunk, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(4+len(p.Value)))
	b = append(b, p.Value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	// Alone among the fields the checksum has its low byte first (RFC 9260, appendix A).
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, castagnoli))
	return b
}

// UnmarshalSCTP reads a packet's first chunk, after it checked the checksum.
func UnmarshalSCTP(b []byte) (SCTP, error) {
	if len(b) < 16 {
		return SCTP{}, fmt.Errorf("SCTP packet of %d bytes", len(b))
	}
	sum := binary.LittleEndian.Uint32(b[8:])
	blank := append([]byte(nil), b...)
	clear(blank[8:12])
	if want := crc32.Checksum(blank, castagnoli); sum != want {
		return SCTP{}, fmt.Errorf("SCTP checksum %#x, want %#x", sum, want)
	}
	size := int(binary.BigEndian.Uint16(b[14:]))
	if size < 4 || 12+size > len(b) {
		return SCTP{}, fmt.Errorf("SCTP chunk of %d bytes in a packet of %d", size, len(b))
	}
	return SCTP{
		SrcPort: binary.BigEndian.Uint16(b), DstPort: binary.BigEndian.Uint16(b[2:]), Tag: binary.BigEndian.Uint32(b[4:]),
		Chunk: b[12], Value: b[16 : 12+size],
	}, nil
}

// GRE returns a packet of generic routing encapsulation (RFC 2784), which has no key that the kernel would look at.
func GRE(payload string) []byte { return append([]byte{0, 0, 0x08, 0}, payload...) }

// EnhancedGRE returns a packet as PPTP uses it (RFC 2637, section 4.1), with the call id of its receiver as key.
func EnhancedGRE(call uint16, payload string) []byte {
	b := []byte{0x30, 0x01, 0x88, 0x0b} // key and sequence number present; version 1; PPP
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	b = binary.BigEndian.AppendUint16(b, call)
	b = binary.BigEndian.AppendUint32(b, 0)
	return append(b, payload...)
}
