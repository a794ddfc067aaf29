package cthelper

import (
	"encoding/binary"

	"github.com/spoor-project/spoor/flow"
)

// TFTP (RFC 1350): the server answers a request from a port of its own choice.

const (
	tftpRead  = 1 // RRQ
	tftpWrite = 2 // WRQ
)

func parseTFTP(p *Packet, _ []byte) Result {
	if len(p.Payload) < 2 {
		return Result{}
	}
	if op := binary.BigEndian.Uint16(p.Payload); op != tftpRead && op != tftpWrite {
		return Result{}
	}
	// To the client's address and port as the server sees them; really it listens at those of the original direction.
	e := p.follow(Reply, flow.UDP, p.Flow.Reply.DstPort)
	p.translate(&e, Reply, p.Flow.Orig.SrcPort)
	return Result{Announced: []Announcement{{Expect: e}}}
}
