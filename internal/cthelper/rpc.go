package cthelper

import (
	"encoding/binary"

	"github.com/spoor-project/spoor/flow"
)

// ONC RPC's port mapper (RFC 5531, RFC 1833): a client asks at which port a program listens (GETPORT of version 2), and will
// connect there. The parser remembers the number of the last question and the transport that was asked for.

const (
	rpcPrivate = 16 // number of the call, transport (0: none is remembered); the rest is unused

	rpcCall, rpcReply = 0, 1
	rpcVersion        = 2
	rpcAccepted       = 0
	rpcSuccess        = 0
	rpcMaxAuth        = 400
	portmapper        = 100000
	portmapperVersion = 2
	portmapperGetPort = 3
	rpcRecordMark     = 4 // its length; it stands before each message over TCP
	rpcTransportAt    = 4 // in private
)

func parseRPC(p *Packet, private []byte) Result {
	at := 0
	if p.Flow.Orig.Proto == flow.TCP {
		if !p.established() {
			return Result{}
		}
		at = rpcRecordMark
	}
	c := cursor{b: p.Payload, at: at}
	xid, kind := c.uint32(), c.uint32()
	switch {
	case c.short:
	case p.direction() == Original && kind == rpcCall:
		if transport, ok := c.getPort(); ok {
			binary.NativeEndian.PutUint32(private, xid)
			binary.NativeEndian.PutUint32(private[rpcTransportAt:], uint32(transport))
		}
	case p.direction() == Reply && kind == rpcReply:
		return p.rpcReply(&c, private, xid)
	}
	return Result{}
}

// getPort reads a call behind its first two words: is it GETPORT, and for which transport?
func (c *cursor) getPort() (transport flow.Proto, ok bool) {
	if c.uint32() != rpcVersion || c.uint32() != portmapper || c.uint32() != portmapperVersion || c.uint32() != portmapperGetPort {
		return 0, false
	}
	if !c.skipAuth() || !c.skipAuth() {
		return 0, false
	}
	c.uint32() // the program
	c.uint32() // its version
	asked, port := c.uint32(), c.uint32()
	transport = flow.Proto(asked)
	return transport, !c.short && port == 0 && (asked == uint32(flow.TCP) || asked == uint32(flow.UDP))
}

func (p *Packet) rpcReply(c *cursor, private []byte, xid uint32) Result {
	transport := flow.Proto(binary.NativeEndian.Uint32(private[rpcTransportAt:]))
	if transport == 0 || binary.NativeEndian.Uint32(private) != xid {
		return Result{}
	}
	if c.uint32() != rpcAccepted || !c.skipAuth() || c.uint32() != rpcSuccess {
		return Result{}
	}
	at := c.at
	port := c.uint32()
	if c.short || port == 0 || port > 0xffff {
		return Result{}
	}
	// The call stays remembered: an answer that is sent again must be rewritten again.
	e := p.follow(Original, transport, uint16(port))
	e.Flags |= flow.ExpectPermanent
	a := Announcement{Expect: e}
	if p.translated() {
		a.Rewrite = func(port uint16) []Patch {
			return []Patch{{at, 4, string([]byte{0, 0, byte(port >> 8), byte(port)})}}
		}
	}
	return Result{Announced: []Announcement{a}}
}

// cursor reads words in network order. At the end of the bytes it reads zeros and says so.
type cursor struct {
	b     []byte
	at    int
	short bool
}

func (c *cursor) uint32() uint32 {
	if len(c.b)-c.at < 4 {
		c.short, c.at = true, len(c.b)
		return 0
	}
	v := binary.BigEndian.Uint32(c.b[c.at:])
	c.at += 4
	return v
}

// skipAuth passes over a flavour, a length and so many bytes, padded.
func (c *cursor) skipAuth() bool {
	c.uint32()
	n := c.uint32()
	if c.short || n > rpcMaxAuth {
		return false
	}
	if n = (n + 3) &^ 3; int(n) > len(c.b)-c.at {
		return false
	}
	c.at += int(n)
	return true
}
