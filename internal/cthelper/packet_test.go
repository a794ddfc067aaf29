package cthelper

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/flow"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Packets as a network has seen them, with the checksums that Linux has calculated.
var recordedPackets = []struct {
	name, packet, payload string
	family                flow.Family
	seq                   uint32
}{
	{"TFTP", `45000029a2f14000401183cc 0a010002 0a020002 e29100450015e851 000161006e6574617363696900`, "\x00\x01a\x00netascii\x00", flow.IPv4, 0},
	{"TFTP over IPv6", `60023acd00151140 fd010000000000000000000000000002 fd020000000000000000000000000002
		c08d004500152454 000161006e6574617363696900`, "\x00\x01a\x00netascii\x00", flow.IPv6, 0},
	{"FTP", `4500004824594000 40060251 0a020002 0a010002 00158e8c01785be5b137c14b80180040fce200000101080a2a6cf6734f663ca0
		323230202876734654506420332e302e33290d0a`, "220 (vsFTPd 3.0.3)\r\n", flow.IPv4, 0x01785be5},
	{"FTP over IPv6", `600edd6a00300640 fd010000000000000000000000000002 fd020000000000000000000000000002
		b3ae0015e742bd4951a4088780180040eae400000101080a540f87093c803f87 5553455220616e6f6e796d6f75730d0a`, "USER anonymous\r\n", flow.IPv6, 0xe742bd49},
	// The sender of this one has saved itself the trouble.
	{"UDP without a checksum", `45000029a2f14000401183cc 0a010002 0a020002 e291004500150000 000161006e6574617363696900`, "\x00\x01a\x00netascii\x00", flow.IPv4, 0},
}

// makePacket builds a packet with checksums.
func makePacket(t testing.TB, six bool, proto flow.Proto, options int, payload []byte) []byte {
	t.Helper()
	var head []byte
	if six {
		head = unhex(t, "60000000 00000040 fd010000000000000000000000000002 fd020000000000000000000000000002")
		head[6] = byte(proto)
	} else {
		head = unhex(t, "45000000 1b2a4000 40000000 0a010002 0a020002")
		head[9], head[0] = byte(proto), 0x45+byte(options)
		head = append(head, bytes.Repeat([]byte{1}, 4*options)...)
	}
	v := packetView{six: six, proto: proto, transport: len(head)}
	if proto == flow.TCP {
		head = append(head, unhex(t, "9c400015 000003e8 00001388 8018ffff 00000000 0101080a 00000001 00000002")...)
	} else {
		head = append(head, unhex(t, "9c400015 0000ffff")...)
	}
	v.raw, v.payload = head, len(head)
	b, err := v.rebuild(payload)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// checksumsFit verifies like a receiver does: the sum over all that is covered, with the checksum, is all ones.
func checksumsFit(b []byte) bool {
	v := packetView{raw: b, six: b[0]>>4 == 6}
	if v.six {
		v.proto, v.transport = flow.Proto(b[6]), ipv6Header
	} else {
		v.proto, v.transport = flow.Proto(b[9]), int(b[0]&15)*4
		if fold(sum(b[:v.transport])) != 0xffff {
			return false
		}
		if v.proto == flow.UDP && binary.BigEndian.Uint16(b[v.transport+6:]) == 0 {
			return true
		}
	}
	return fold(v.pseudoHeader(b)+sum(b[v.transport:])) == 0xffff
}

func TestRecordedPacketsAreTakenApart(t *testing.T) {
	for _, tt := range recordedPackets {
		b := unhex(t, tt.packet)
		v, err := viewPacket(append(b, "padding"...), tt.family)
		if err != nil || string(v.Payload()) != tt.payload || v.seq() != tt.seq {
			t.Errorf("%s: got %q, %d, %v, want %q, %d", tt.name, v.Payload(), v.seq(), err, tt.payload, tt.seq)
			continue
		}
		if !checksumsFit(b) {
			t.Errorf("%s: wrong checksum", tt.name)
		}
		again, err := v.rebuild(v.Payload())
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s: with the same payload: got %x, %v, want %x", tt.name, again, err, b)
		}
	}
}

func TestARebuiltPacketIsValid(t *testing.T) {
	for _, six := range []bool{false, true} {
		for _, proto := range []flow.Proto{flow.TCP, flow.UDP} {
			for options := range 3 {
				if six && options > 0 {
					continue
				}
				for _, payload := range []string{"", "a", "PORT 10,1,0,2,7,208\r\n", strings.Repeat("xyz", 5000)} {
					b := makePacket(t, six, proto, options, []byte("before"))
					family := flow.IPv4
					if six {
						family = flow.IPv6
					}
					v, err := viewPacket(b, family)
					if err != nil {
						t.Fatal(err)
					}
					b, err = v.rebuild([]byte(payload))
					if err != nil || !checksumsFit(b) {
						t.Fatalf("IPv6 %v, %v: %x, %v", six, proto, b, err)
					}
					again, err := viewPacket(b, family)
					if err != nil || string(again.Payload()) != payload || again.seq() != v.seq() {
						t.Fatalf("IPv6 %v, %v: payload %q, %v, want %q", six, proto, again.Payload(), err, payload)
					}
				}
			}
		}
	}
}

func TestAPacketDoesNotGrowBeyondItsLength(t *testing.T) {
	for _, six := range []bool{false, true} {
		v, err := viewPacket(makePacket(t, six, flow.UDP, 0, nil), map[bool]flow.Family{false: flow.IPv4, true: flow.IPv6}[six])
		if err != nil {
			t.Fatal(err)
		}
		room := maxPacket - len(v.raw)
		if six {
			room += ipv6Header
		}
		if _, err := v.rebuild(make([]byte, room)); err != nil {
			t.Errorf("IPv6 %v: %v", six, err)
		}
		if _, err := v.rebuild(make([]byte, room+1)); !errors.Is(err, errPacketTooLarge) {
			t.Errorf("IPv6 %v: one byte more: %v, want %v", six, err, errPacketTooLarge)
		}
	}
}

func TestWhatIsNotReadIsNamed(t *testing.T) {
	four := func(change func(b []byte)) []byte {
		b := makePacket(t, false, flow.TCP, 0, []byte("payload"))
		change(b)
		return b
	}
	six := func(proto flow.Proto, change func(b []byte)) []byte {
		b := makePacket(t, true, proto, 0, []byte("payload"))
		change(b)
		return b
	}
	udp := makePacket(t, false, flow.UDP, 0, nil)
	tests := []struct {
		name   string
		packet []byte
		family flow.Family
		want   string
	}{
		{"empty", nil, flow.IPv4, "no room for IPv4 header"},
		{"short", four(func([]byte) {})[:19], flow.IPv4, "no room for IPv4 header"},
		{"version", four(func(b []byte) { b[0] = 0x65 }), flow.IPv4, "not IPv4, skipping"},
		{"header length", four(func(b []byte) { b[0] = 0x44 }), flow.IPv4, "no room for IPv4 header"},
		{"header longer than packet", four(func(b []byte) { b[3] = 19 }), flow.IPv4, "no room for IPv4 header"},
		{"cut off", four(func(b []byte) { b[2] = 1 }), flow.IPv4, "no room for IPv4 header"},
		{"first fragment", four(func(b []byte) { b[6] = 0x20 }), flow.IPv4, "not TCP/UDP, skipping"},
		{"second fragment", four(func(b []byte) { b[7] = 1 }), flow.IPv4, "not TCP/UDP, skipping"},
		{"ICMP", four(func(b []byte) { b[9] = 1 }), flow.IPv4, "not TCP/UDP, skipping"},
		{"no room for TCP", four(func(b []byte) { b[3] = 39 }), flow.IPv4, "no room for IPv4 + TCP header, skip"},
		{"TCP header length", four(func(b []byte) { b[32] = 0x40 }), flow.IPv4, "no room for IPv4 + TCP header, skip"},
		{"TCP header too long", four(func(b []byte) { b[32] = 0xf0 }), flow.IPv4, "no room for IPv4 + TCP header, skip"},
		{"no room for UDP", append(append([]byte{}, udp[:2]...), append([]byte{0, 27}, udp[4:]...)...), flow.IPv4, "no room for IPv4 + UDP header, skip"},
		{"UDP length", append(append([]byte{}, udp[:24]...), append([]byte{0, 9}, udp[26:]...)...), flow.IPv4, "no room for IPv4 + UDP header, skip"},
		{"short", six(flow.TCP, func([]byte) {})[:39], flow.IPv6, "no room for IPv6 header"},
		{"version", six(flow.TCP, func(b []byte) { b[0] = 0x45 }), flow.IPv6, "not IPv6, skipping"},
		{"cut off", six(flow.TCP, func(b []byte) { b[4] = 1 }), flow.IPv6, "no room for IPv6 header"},
		{"extension header", six(flow.TCP, func(b []byte) { b[6] = 0 }), flow.IPv6, "not TCP/UDP, skipping"},
		{"no room for TCP", six(flow.TCP, func(b []byte) { b[5] = 19 }), flow.IPv6, "no room for IPv6 + TCP header, skip"},
		{"no room for UDP", six(flow.UDP, func(b []byte) { b[5] = 7 }), flow.IPv6, "no room for IPv6 + UDP header, skip"},
		{"family", udp, flow.AnyFamily, "unknown layer 3 protocol (0), skipping"},
	}
	for _, tt := range tests {
		if _, err := viewPacket(tt.packet, tt.family); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// FuzzPacket: what can be read can be rebuilt, with any payload, and is valid then.
func FuzzPacket(f *testing.F) {
	for _, tt := range recordedPackets {
		f.Add(unhex(f, tt.packet), false, []byte(tt.payload))
	}
	for _, proto := range []flow.Proto{flow.TCP, flow.UDP} {
		f.Add(makePacket(f, false, proto, 1, []byte("a")), false, []byte("bc"))
		f.Add(makePacket(f, true, proto, 0, []byte("a")), true, []byte(""))
	}
	f.Fuzz(func(t *testing.T, b []byte, six bool, payload []byte) {
		family := flow.IPv4
		if six {
			family = flow.IPv6
		}
		v, err := viewPacket(b, family)
		if err != nil {
			return
		}
		out, err := v.rebuild(payload)
		if err != nil {
			if !errors.Is(err, errPacketTooLarge) {
				t.Fatal(err)
			}
			return
		}
		again, err := viewPacket(out, family)
		if err != nil || !bytes.Equal(again.Payload(), payload) || again.payload != v.payload || !checksumsFit(out) {
			t.Fatalf("%x became %x: %v", b, out, err)
		}
	})
}
