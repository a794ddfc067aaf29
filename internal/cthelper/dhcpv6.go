package cthelper

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// DHCPv6 (RFC 8415): a client asks the group of servers, which answer from their own addresses to its port.

const (
	dhcpv6Client  = 546
	dhcpv6MaxType = 13 // RELAY-REPL
)

// dhcpv6Waits says how long a client waits for the answer to a message: the maximum retransmission time of its type
// (RFC 8415, 7.6). What is not listed leaves the flow's timeout alone.
var dhcpv6Waits = [dhcpv6MaxType + 1]time.Duration{
	1:  120 * time.Second, // SOLICIT
	3:  30 * time.Second,  // REQUEST
	4:  4 * time.Second,   // CONFIRM
	5:  600 * time.Second, // RENEW
	6:  600 * time.Second, // REBIND
	8:  1 * time.Second,   // RELEASE
	9:  1 * time.Second,   // DECLINE
	11: 120 * time.Second, // INFORMATION-REQUEST
}

func parseDHCPv6(p *Packet, _ []byte) Result {
	o := &p.Flow.Orig
	if !o.Dst.Is6() || !o.Dst.IsMulticast() || len(p.Payload) == 0 {
		return Result{}
	}
	kind := p.Payload[0]
	if kind > dhcpv6MaxType {
		return Result{Drop: true, Note: fmt.Sprintf("Dropping DHCPv6 message with bad type %d", kind)}
	}
	e := p.expect(flow.UDP, netip.Addr{}, 0, o.Src, dhcpv6Client, flow.ExpectPermanent)
	return Result{Announced: []Announcement{{Expect: e}}, Timeout: dhcpv6Waits[kind]}
}
