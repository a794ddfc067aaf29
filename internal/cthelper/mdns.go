package cthelper

import (
	"net/netip"

	"github.com/spoor-project/spoor/flow"
)

// Multicast DNS (RFC 6762): a question goes to a group, answers come from other addresses, with the port that the question
// went to as their source.

func parseMDNS(p *Packet, _ []byte) Result { return p.answersFromAnyone() }

// answersFromAnyone expects answers to what was sent to a group.
func (p *Packet) answersFromAnyone() Result {
	o := &p.Flow.Orig
	e := p.expect(flow.UDP, netip.Addr{}, o.DstPort, o.Src, o.SrcPort, flow.ExpectPermanent)
	return Result{Announced: []Announcement{{Expect: e}}}
}
