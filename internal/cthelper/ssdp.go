package cthelper

import (
	"bytes"
	"net/netip"
	"strings"

	"github.com/spoor-project/spoor/flow"
)

// SSDP, the discovery of UPnP (UPnP Device Architecture, 1 and 4): a control point asks a multicast group over UDP; devices
// answer from their own addresses and say where their description is, over HTTP. There the control point may subscribe to
// events, which the device then sends to the address that it was told. All of them are texts of the form of HTTP.
//
// The expectations carry the helper's name, so that it reads what comes of them. The kernel looks it up among the helpers for the
// expected protocol, so without an instance for TCP it refuses what an answer over UDP announces. Linux 6.18.24 and later ignore the name.

const ssdpName = "ssdp"

// ssdpGroups are FF0X::C in the scopes of link, site and world (IANA, IPv6 Multicast Address Space Registry); GUPnP asks the last of them
// from a global address.
var ssdpGroups = []netip.Addr{netip.MustParseAddr("239.255.255.250"), netip.MustParseAddr("ff02::c"), netip.MustParseAddr("ff05::c"), netip.MustParseAddr("ff0e::c")}

func parseSSDP(p *Packet, _ []byte) Result {
	var a Announcement
	ok := false
	switch p.Flow.Orig.Proto {
	case flow.UDP:
		if p.State == New {
			a, ok = p.ssdpSearch()
		} else {
			a, ok = p.ssdpAnswer()
		}
	case flow.TCP:
		if p.State != Established {
			break
		}
		switch {
		case begins(p.Payload, "SUBSCRIBE "):
			a, ok = p.ssdpSubscribe()
		case begins(p.Payload, "NOTIFY "):
			a, ok = Announcement{Expect: p.ssdpNotify()}, true
		}
	}
	if !ok {
		return Result{}
	}
	a.Expect.Helper = ssdpName
	a.Expect.Has |= flow.ExpectHasHelper
	return Result{Announced: []Announcement{a}}
}

// ssdpSearch reads a question: whoever may answer it.
func (p *Packet) ssdpSearch() (a Announcement, ok bool) {
	o := &p.Flow.Orig
	for _, group := range ssdpGroups {
		if o.Dst == group && begins(p.Payload, "M-SEARCH") {
			return Announcement{Expect: p.expect(flow.UDP, netip.Addr{}, 0, o.Src, o.SrcPort, flow.ExpectPermanent)}, true
		}
	}
	return a, false
}

// ssdpAnswer reads where a device says that its description is.
func (p *Packet) ssdpAnswer() (a Announcement, ok bool) {
	value, _, ok := header(p.Payload, "LOCATION")
	if !ok || !beginsFold(value, "http://") {
		return a, false
	}
	where, _, ok := leadingHost(value[len("http://"):], p.Flow.Orig.Family())
	if !ok {
		return a, false
	}
	return Announcement{Expect: p.expect(flow.TCP, netip.Addr{}, 0, where.Addr(), where.Port(), flow.ExpectPermanent)}, true
}

// ssdpSubscribe reads where the control point wants to be told of events.
func (p *Packet) ssdpSubscribe() (a Announcement, ok bool) {
	const before = "<http://"
	value, at, ok := header(p.Payload, "CALLBACK")
	if !ok || !beginsFold(value, before) {
		return a, false
	}
	where, n, ok := leadingHost(value[len(before):], p.Flow.Orig.Family())
	if !ok || where.Addr() != p.Flow.Orig.Src {
		return a, false
	}
	a.Expect = p.follow(Reply, flow.TCP, where.Port())
	if p.translated() {
		a.Rewrite = func(port uint16) []Patch {
			return []Patch{{at + len(before), n, netip.AddrPortFrom(a.Expect.Tuple.Dst, port).String()}}
		}
	}
	return a, true
}

// ssdpNotify expects the next connection for events like the one that it reads.
func (p *Packet) ssdpNotify() flow.Expect {
	e := p.follow(Original, flow.TCP, p.Flow.Orig.DstPort)
	p.translate(&e, Original, p.Flow.Reply.SrcPort)
	return e
}

// maxHeader is the length from which on the value of a header is not believed.
const maxHeader = 256

// header finds the first header of that name, and where its value begins.
func header(text []byte, name string) (value []byte, at int, ok bool) {
	for line := range bytes.Lines(text) {
		if len(line) > len(name) && line[len(name)] == ':' && beginsFold(line, name) {
			value = bytes.TrimLeft(line[len(name)+1:], " \t")
			at += len(line) - len(value)
			value = bytes.TrimRight(value, "\r\n")
			return value, at, len(value) < maxHeader
		}
		if len(bytes.TrimRight(line, "\r\n")) == 0 { // the body follows
			return nil, 0, false
		}
		at += len(line)
	}
	return nil, 0, false
}

// leadingHost reads the host and the port, 80 if none is given, at the beginning of the rest of a URL, and how long they are.
func leadingHost(b []byte, family flow.Family) (where netip.AddrPort, n int, ok bool) {
	text := string(b[:min(len(b), maxHeader)])
	host := text
	if rest, bracket := strings.CutPrefix(text, "["); bracket {
		i := strings.IndexByte(rest, ']')
		if i < 0 {
			return where, 0, false
		}
		host, n = rest[:i], i+2
	} else {
		if i := strings.IndexAny(text, ":/>"); i >= 0 {
			host = text[:i]
		}
		n = len(host)
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || !isHost(addr) || addr.Is4() != (family == flow.IPv4) || addr.Is6() != strings.HasPrefix(text, "[") {
		return where, 0, false
	}
	port := uint16(80)
	if n < len(text) && text[n] == ':' {
		var digits int
		if port, digits, ok = leadingPort(b[n+1:]); !ok {
			return where, 0, false
		}
		n += 1 + digits
	}
	if n < len(text) && text[n] != '/' && text[n] != '>' {
		return where, 0, false
	}
	return netip.AddrPortFrom(addr, port), n, true
}

func begins(b []byte, with string) bool { return bytes.HasPrefix(b, []byte(with)) }

func beginsFold(b []byte, with string) bool {
	return len(b) >= len(with) && strings.EqualFold(string(b[:len(with)]), with)
}
