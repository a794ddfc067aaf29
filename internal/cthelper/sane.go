package cthelper

import (
	"encoding/binary"

	"github.com/spoor-project/spoor/flow"
)

// The network protocol of SANE (SANE Standard, 5): the answer to SANE_NET_START has the port at which the scanner's image
// can be fetched.

const (
	sanePrivate  = 4 // 1 while the answer to a start is awaited
	saneNetStart = 7
	saneRequest  = 8 // length of SANE_NET_START: a code and a handle
	saneReply    = 8 // least length of its answer: a status, zeros, a port
)

func parseSANE(p *Packet, private []byte) Result {
	if !p.established() {
		return Result{}
	}
	if p.direction() == Original {
		if len(p.Payload) == saneRequest {
			waits := binary.BigEndian.Uint32(p.Payload) == saneNetStart
			binary.NativeEndian.PutUint32(private, map[bool]uint32{true: 1}[waits])
		}
		return Result{}
	}
	if binary.NativeEndian.Uint32(private) == 0 || len(p.Payload) == 0 {
		return Result{}
	}
	clear(private)
	if len(p.Payload) < saneReply || binary.BigEndian.Uint32(p.Payload) != 0 || binary.BigEndian.Uint16(p.Payload[4:]) != 0 {
		return Result{}
	}
	port := binary.BigEndian.Uint16(p.Payload[6:])
	if port == 0 {
		return Result{}
	}
	return Result{Announced: []Announcement{{Expect: p.follow(Original, flow.TCP, port)}}}
}
