//go:build linux

package nstest

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"
)

// Ping sends one ICMP echo request with the given identifier and waits for the answer, of whichever protocol the address wants.
func Ping(t testing.TB, ns *NS, to netip.Addr, id uint16) {
	t.Helper()
	network, request, answer := "ip4:icmp", byte(8), byte(0)
	if to.Is6() {
		network, request, answer = "ip6:ipv6-icmp", 128, 129
	}
	var conn *net.IPConn
	var err error
	ns.Do(func() { conn, err = net.DialIP(network, nil, &net.IPAddr{IP: to.AsSlice()}) })
	if err != nil {
		t.Fatalf("ping: %v", err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(exchangeLimit))

	echo := []byte{0: request, 7: 1}
	binary.BigEndian.PutUint16(echo[4:], id)
	if to.Is4() { // the kernel does it for ICMPv6 only
		binary.BigEndian.PutUint16(echo[2:], checksum(echo))
	}
	if _, err := conn.Write(echo); err != nil {
		t.Fatalf("ping %s: %v", to, err)
	}
	for buf := make([]byte, 1500); ; {
		n, _, err := conn.ReadFromIP(buf) // which, unlike Read, leaves out the IPv4 header
		if err != nil {
			t.Fatalf("ping %s: %v", to, err)
		}
		if m := buf[:n]; n >= len(echo) && m[0] == answer && binary.BigEndian.Uint16(m[4:]) == id {
			return
		}
	}
}

// checksum is the internet checksum of RFC 1071, for an even number of bytes.
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 0; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	sum = sum>>16 + sum&0xffff
	return ^uint16(sum + sum>>16)
}
