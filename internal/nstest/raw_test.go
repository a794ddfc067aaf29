//go:build linux

package nstest_test

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"

	"github.com/spoor-project/spoor/internal/nstest"
)

func TestRawCarriesPacketsOfAnyProtocol(t *testing.T) {
	t.Parallel()
	a, b := nstest.Pair(t)
	for _, proto := range []uint8{47, 132, 200} {
		for _, addrs := range [][2]string{{"10.0.0.1", "10.0.0.2"}, {"fd00::1", "fd00::2"}} {
			here, there := netip.MustParseAddr(addrs[0]), netip.MustParseAddr(addrs[1])
			near, far := nstest.ListenRaw(t, a, proto, here), nstest.ListenRaw(t, b, proto, there)
			near.Send(t, there, []byte("question"))
			packet, from := far.Receive(t)
			if string(packet) != "question" || from != here {
				t.Errorf("protocol %d: received %q from %v, want the question from %v", proto, packet, from, here)
			}
			far.Send(t, from, []byte("answer"))
			if packet, from := near.Receive(t); string(packet) != "answer" || from != there {
				t.Errorf("protocol %d: received %q from %v, want the answer from %v", proto, packet, from, there)
			}
		}
	}
}

func TestUDPLiteCarriesDatagrams(t *testing.T) {
	t.Parallel()
	a, b := nstest.Pair(t)
	for _, addrs := range [][2]string{{"10.0.0.1:1000", "10.0.0.2:2000"}, {"[fd00::1]:1000", "[fd00::2]:2000"}} {
		here, there := netip.MustParseAddrPort(addrs[0]), netip.MustParseAddrPort(addrs[1])
		near, far := nstest.ListenUDPLite(t, a, here), nstest.ListenUDPLite(t, b, there)
		if _, err := near.WriteToUDPAddrPort([]byte("hi"), there); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		n, from, err := far.ReadFromUDPAddrPort(buf)
		if string(buf[:n]) != "hi" || from != here || err != nil {
			t.Errorf("received %q from %v, %v; want hi from %v", buf[:n], from, err, here)
		}
	}
}

// The bits are taken one by one, as appendix A of RFC 9260 describes the checksum.
func TestSCTPChecksumIsThatOfTheStandard(t *testing.T) {
	t.Parallel()
	packet := nstest.SCTP{SrcPort: 10, DstPort: 20, Tag: 0, Chunk: nstest.SCTPInit, Value: nstest.InitValue(0xcafe)}.Marshal()
	blank := bytes.Clone(packet)
	clear(blank[8:12])
	crc := ^uint32(0)
	for _, c := range blank {
		crc ^= uint32(c)
		for range 8 {
			crc = crc>>1 ^ 0x82f63b78*(crc&1)
		}
	}
	crc = ^crc
	if want := []byte{byte(crc), byte(crc >> 8), byte(crc >> 16), byte(crc >> 24)}; !bytes.Equal(packet[8:12], want) {
		t.Errorf("checksum % x, want % x", packet[8:12], want)
	}
}

func TestSCTPIsReadBack(t *testing.T) {
	t.Parallel()
	for _, want := range []nstest.SCTP{
		{SrcPort: 10, DstPort: 20, Chunk: nstest.SCTPInit, Value: nstest.InitValue(0xcafe, 1, 2, 3)},
		{SrcPort: 65535, DstPort: 1, Tag: 0xffffffff, Chunk: nstest.SCTPCookieEcho, Value: []byte("cookie")},
		{SrcPort: 1, DstPort: 2, Tag: 7, Chunk: nstest.SCTPCookieAck, Value: []byte{}},
	} {
		packet := want.Marshal()
		if got, err := nstest.UnmarshalSCTP(packet); !reflect.DeepEqual(got, want) || err != nil {
			t.Errorf("read back %+v, %v; want %+v", got, err, want)
		}
		for i := range packet {
			bad := bytes.Clone(packet)
			bad[i] ^= 0x10
			if _, err := nstest.UnmarshalSCTP(bad); err == nil {
				t.Errorf("byte %d changed: no error", i)
			}
			if _, err := nstest.UnmarshalSCTP(packet[:i]); err == nil {
				t.Errorf("cut after %d bytes: no error", i)
			}
		}
	}
}
