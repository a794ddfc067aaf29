package cthelper

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/spoor-project/spoor/flow"
)

// FTP (RFC 959, RFC 2428): the client says with PORT or EPRT where it listens for the data connection, the server with its
// answer to PASV. A command or an answer is believed only at the beginning of a line, of which the parser remembers for each
// direction where the last two began; so it reads nothing into the middle of a longer text that was split over packets.
//
// Like the original, the helper knows data connections over IPv4 between the two hosts of the control connection alone:
// the announced address must be that of the sender, so the answer to EPSV, which has none, announces nothing.

const (
	ftpPrivate = 24 // 2 positions for each direction, and how many of them there are
	ftpCounts  = 16
)

// ftpAnnouncement finds an address in a line, from verb on up to end, which is the byte behind it; 0 is any.
type ftpAnnouncement struct {
	verb  string // any case
	end   byte
	parse func([]byte) (addr netip.AddrPort, at, n int)
	print func(netip.AddrPort) string
}

var ftpAnnouncements = [2][]ftpAnnouncement{
	Original: {{"PORT ", '\r', parseCommas, printCommas}, {"EPRT ", '\r', parseBars, printBars}},
	Reply:    {{"227 ", 0, parseFirstCommas, printCommas}},
}

func parseFTP(p *Packet, private []byte) Result {
	if !p.established() || len(p.Payload) == 0 {
		return Result{}
	}
	d := p.direction()
	var r Result
	if ftpLineBegins(private, d, p.Seq) {
		r = p.ftpLine(d)
	}
	if p.Payload[len(p.Payload)-1] == '\n' {
		ftpRemember(private, d, p.Seq+uint32(len(p.Payload)))
	}
	return r
}

func (p *Packet) ftpLine(d Direction) Result {
	for _, a := range ftpAnnouncements[d] {
		if len(p.Payload) < len(a.verb) || !bytes.EqualFold(p.Payload[:len(a.verb)], []byte(a.verb)) {
			continue
		}
		line := p.Payload[len(a.verb):]
		announced, at, n := a.parse(line)
		if n == 0 || a.end != 0 && (at+n == len(line) || line[at+n] != a.end) {
			return Result{}
		}
		if announced.Addr() != p.tuple(d).Src || announced.Port() == 0 {
			return Result{}
		}
		e := Announcement{Expect: p.follow(d.Opposite(), flow.TCP, announced.Port())}
		if p.translated() {
			e.Rewrite = func(port uint16) []Patch {
				return []Patch{{len(a.verb) + at, n, a.print(netip.AddrPortFrom(e.Expect.Tuple.Dst, port))}}
			}
		}
		return Result{Announced: []Announcement{e}}
	}
	return Result{}
}

// parseCommas reads an address and a port of the form 192,0,2,1,7,208 at the beginning of b.
func parseCommas(b []byte) (addr netip.AddrPort, at, n int) {
	var v [6]byte
	for i := range v {
		if i > 0 {
			if n == len(b) || b[n] != ',' {
				return addr, 0, 0
			}
			n++
		}
		number, digits := leadingNumber(b[n:])
		if digits == 0 || digits > 3 || number > 255 {
			return addr, 0, 0
		}
		v[i] = byte(number)
		n += digits
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(v[:4])), binary.BigEndian.Uint16(v[4:])), 0, n
}

// parseFirstCommas is parseCommas from the first digit on: RFC 1123, 4.1.2.6.
func parseFirstCommas(b []byte) (addr netip.AddrPort, at, n int) {
	at = bytes.IndexAny(b, "0123456789\n")
	if at < 0 || b[at] == '\n' {
		return addr, 0, 0
	}
	addr, _, n = parseCommas(b[at:])
	return addr, at, n
}

func printCommas(a netip.AddrPort) string {
	if !a.Addr().Is4() {
		return ""
	}
	ip, port := a.Addr().As4(), a.Port()
	return fmt.Sprintf("%d,%d,%d,%d,%d,%d", ip[0], ip[1], ip[2], ip[3], port>>8, port&0xff)
}

// parseBars reads an address and a port of the form |1|192.0.2.1|2000|, with any byte instead of the bar.
func parseBars(b []byte) (addr netip.AddrPort, at, n int) {
	// More than any address and port need.
	if len(b) == 0 || b[0] >= '0' && b[0] <= '9' || b[0] < '!' || b[0] > '~' {
		return addr, 0, 0
	}
	fields := bytes.SplitN(b[:min(len(b), len("|1|255.255.255.255|65535|"))], b[:1], 5)
	if len(fields) != 5 || string(fields[1]) != "1" {
		return addr, 0, 0
	}
	ip, err := netip.ParseAddr(string(fields[2]))
	port, digits := leadingNumber(fields[3])
	if err != nil || !ip.Is4() || digits != len(fields[3]) || digits == 0 || port > 0xffff {
		return addr, 0, 0
	}
	return netip.AddrPortFrom(ip, uint16(port)), 0, len("||||") + len(fields[1]) + len(fields[2]) + len(fields[3])
}

func printBars(a netip.AddrPort) string {
	return fmt.Sprintf("|1|%s|%d|", a.Addr(), a.Port())
}

// ftpLineBegins reports whether a line begins with the byte of that number.
func ftpLineBegins(private []byte, d Direction, seq uint32) bool {
	for i := range ftpCount(private, d) {
		if binary.NativeEndian.Uint32(ftpPosition(private, d, i)) == seq {
			return true
		}
	}
	return false
}

// ftpRemember notes that a line begins at seq, in the place of the position that is further behind.
func ftpRemember(private []byte, d Direction, seq uint32) {
	n := ftpCount(private, d)
	if ftpLineBegins(private, d, seq) {
		return
	}
	at := n
	if n == 2 {
		first := binary.NativeEndian.Uint32(ftpPosition(private, d, 0))
		second := binary.NativeEndian.Uint32(ftpPosition(private, d, 1))
		at = 0
		if int32(first-second) >= 0 { // sequence numbers wrap around
			at = 1
		}
	} else {
		binary.NativeEndian.PutUint32(private[ftpCounts+4*int(d):], uint32(n+1))
	}
	binary.NativeEndian.PutUint32(ftpPosition(private, d, at), seq)
}

func ftpCount(private []byte, d Direction) int {
	return int(min(2, binary.NativeEndian.Uint32(private[ftpCounts+4*int(d):])))
}

func ftpPosition(private []byte, d Direction, i int) []byte {
	return private[8*int(d)+4*i:][:4]
}
