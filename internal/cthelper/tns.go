package cthelper

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strconv"

	"github.com/spoor-project/spoor/flow"
)

// TNS, under Oracle's SQL*Net: the listener may send a client on to another address with a REDIRECT, which has a text such as
// (ADDRESS=(PROTOCOL=tcp)(HOST=192.0.2.1)(PORT=1521)). The text may also come in a DATA packet of its own, behind a REDIRECT
// without one.

const (
	tnsPrivate = 1 // 1 while the text is awaited

	tnsHeader     = 8  // length, checksum, type, flags, checksum of the header
	tnsText       = 10 // a REDIRECT has the length of the text before it, DATA some flags
	tnsTypeAt     = 4
	tnsRedirect   = 5
	tnsData       = 6
	tnsMaxAddress = len("255.255.255.255)")
)

func parseTNS(p *Packet, private []byte) Result {
	if p.State != EstablishedReply || len(p.Payload) < tnsHeader {
		return Result{}
	}
	awaited := private[0] != 0
	private[0] = 0
	kind := p.Payload[tnsTypeAt]
	switch {
	case len(p.Payload) < tnsText:
		return Result{}
	case kind == tnsRedirect && binary.BigEndian.Uint16(p.Payload[tnsHeader:]) == 0:
		private[0] = 1
		return Result{}
	case kind == tnsRedirect, kind == tnsData && awaited:
	default:
		return Result{}
	}
	host, hostAt, hostLen, ok := tnsHost(p.Payload)
	if !ok || p.Flow.Orig.Family() != flow.IPv4 {
		return Result{}
	}
	port, portAt, portLen, ok := tnsPort(p.Payload, hostAt+hostLen)
	if !ok {
		return Result{}
	}
	if !p.translated() || host != p.Flow.Reply.Src {
		// Another host than this one is reached as the rules say, with what they make of the address.
		return Result{Announced: []Announcement{{Expect: p.expect(flow.TCP, p.Flow.Orig.Src, 0, host, port, 0)}}}
	}
	a := Announcement{Expect: p.follow(Original, flow.TCP, port)}
	length, textLength := binary.BigEndian.Uint16(p.Payload), binary.BigEndian.Uint16(p.Payload[tnsHeader:])
	a.Rewrite = func(port uint16) []Patch {
		newHost, newPort := a.Expect.Tuple.Dst.String(), strconv.Itoa(int(port))
		more := uint16(len(newHost) - hostLen + len(newPort) - portLen)
		patches := []Patch{
			{0, 2, string(binary.BigEndian.AppendUint16(nil, length+more))}, {2, 2, "\x00\x00"}, {6, 2, "\x00\x00"},
			{hostAt, hostLen, newHost}, {portAt, portLen, newPort},
		}
		if kind == tnsRedirect {
			patches = append(patches, Patch{tnsHeader, 2, string(binary.BigEndian.AppendUint16(nil, textLength+more))})
		}
		return patches
	}
	return Result{Announced: []Announcement{a}}
}

// tnsHost finds the address in a text, which has four numbers.
func tnsHost(b []byte) (host netip.Addr, at, n int, ok bool) {
	const word = "HOST="
	i := bytes.Index(b[tnsText:], []byte(word))
	if i < 0 {
		return host, 0, 0, false
	}
	at = tnsText + i + len(word)
	n = bytes.IndexByte(b[at:min(len(b), at+tnsMaxAddress)], ')')
	if n < 0 {
		return host, 0, 0, false
	}
	host, err := netip.ParseAddr(string(b[at : at+n]))
	return host, at, n, err == nil && host.Is4() && isHost(host)
}

func tnsPort(b []byte, from int) (port uint16, at, n int, ok bool) {
	const word = "PORT="
	i := bytes.Index(b[from:], []byte(word))
	if i < 0 {
		return 0, 0, 0, false
	}
	at = from + i + len(word)
	port, n, ok = leadingPort(b[at:])
	return port, at, n, ok && at+n < len(b) && b[at+n] == ')'
}
