package conntrack

import (
	"strconv"
	"strings"

	"github.com/spoor-project/spoor/flow"
)

// To add a state: its number in uapi_cttimeout.go, a constant and a row here.

// Generic is the protocol of timeouts for flows of all protocols that have no tracker.
const Generic flow.Proto = 255

// TimeoutState is a state of a flow that has a timeout of its own, together with the
// protocol whose state it is. The zero value is none.
type TimeoutState uint16

// The states, in the order in which the kernel numbers them. Most are those of
// [flow.Proto.StateName]. The others: Unreplied, until there was a packet in the reply
// direction; Replied, from then on, where UDP needs a flow that has lasted two seconds;
// Retrans and Unacknowledged, which shorten the timeout of a TCP connection that has
// retransmitted tcp_max_retrans times, or whose data nobody acknowledges.
const (
	TCPTimeoutSynSent        = TimeoutState(flow.TCP)<<8 | ctaTimeoutTCPSynSent
	TCPTimeoutSynRecv        = TimeoutState(flow.TCP)<<8 | ctaTimeoutTCPSynRecv
	TCPTimeoutEstablished    = TimeoutState(flow.TCP)<<8 | ctaTimeoutTCPEstablished
	TCPTimeoutFinWait        = TimeoutState(flow.TCP)<<8 | ctaTimeoutTCPFinWait
	TCPTimeoutCloseWait      = TimeoutState(flow.TCP)<<8 | ctaTimeoutTCPCloseWait
	TCPTimeoutLastAck        = TimeoutState(flow.TCP)<<8 | ctaTimeoutTCPLastAck
	TCPTimeoutTimeWait       = TimeoutState(flow.TCP)<<8 | ctaTimeoutTCPTimeWait
	TCPTimeoutClose          = TimeoutState(flow.TCP)<<8 | ctaTimeoutTCPClose
	TCPTimeoutSynSent2       = TimeoutState(flow.TCP)<<8 | ctaTimeoutTCPSynSent2
	TCPTimeoutRetrans        = TimeoutState(flow.TCP)<<8 | ctaTimeoutTCPRetrans
	TCPTimeoutUnacknowledged = TimeoutState(flow.TCP)<<8 | ctaTimeoutTCPUnack

	UDPTimeoutUnreplied = TimeoutState(flow.UDP)<<8 | ctaTimeoutUDPUnreplied
	UDPTimeoutReplied   = TimeoutState(flow.UDP)<<8 | ctaTimeoutUDPReplied

	UDPLiteTimeoutUnreplied = TimeoutState(flow.UDPLite)<<8 | ctaTimeoutUDPLiteUnreplied
	UDPLiteTimeoutReplied   = TimeoutState(flow.UDPLite)<<8 | ctaTimeoutUDPLiteReplied

	ICMPTimeout    = TimeoutState(flow.ICMP)<<8 | ctaTimeoutICMP
	ICMPv6Timeout  = TimeoutState(flow.ICMPv6)<<8 | ctaTimeoutICMPv6
	GenericTimeout = TimeoutState(Generic)<<8 | ctaTimeoutGeneric

	GRETimeoutUnreplied = TimeoutState(flow.GRE)<<8 | ctaTimeoutGREUnreplied
	GRETimeoutReplied   = TimeoutState(flow.GRE)<<8 | ctaTimeoutGREReplied

	SCTPTimeoutClosed          = TimeoutState(flow.SCTP)<<8 | ctaTimeoutSCTPClosed
	SCTPTimeoutCookieWait      = TimeoutState(flow.SCTP)<<8 | ctaTimeoutSCTPCookieWait
	SCTPTimeoutCookieEchoed    = TimeoutState(flow.SCTP)<<8 | ctaTimeoutSCTPCookieEchoed
	SCTPTimeoutEstablished     = TimeoutState(flow.SCTP)<<8 | ctaTimeoutSCTPEstablished
	SCTPTimeoutShutdownSent    = TimeoutState(flow.SCTP)<<8 | ctaTimeoutSCTPShutdownSent
	SCTPTimeoutShutdownRecd    = TimeoutState(flow.SCTP)<<8 | ctaTimeoutSCTPShutdownRecd
	SCTPTimeoutShutdownAckSent = TimeoutState(flow.SCTP)<<8 | ctaTimeoutSCTPShutdownAckSent
	SCTPTimeoutHeartbeatSent   = TimeoutState(flow.SCTP)<<8 | ctaTimeoutSCTPHeartbeatSent
	SCTPTimeoutHeartbeatAcked  = TimeoutState(flow.SCTP)<<8 | ctaTimeoutSCTPHeartbeatAcked // without effect in kernels of today

	// Kernels before 6.17.
	DCCPTimeoutRequest  = TimeoutState(flow.DCCP)<<8 | ctaTimeoutDCCPRequest
	DCCPTimeoutRespond  = TimeoutState(flow.DCCP)<<8 | ctaTimeoutDCCPRespond
	DCCPTimeoutPartOpen = TimeoutState(flow.DCCP)<<8 | ctaTimeoutDCCPPartOpen
	DCCPTimeoutOpen     = TimeoutState(flow.DCCP)<<8 | ctaTimeoutDCCPOpen
	DCCPTimeoutCloseReq = TimeoutState(flow.DCCP)<<8 | ctaTimeoutDCCPCloseReq
	DCCPTimeoutClosing  = TimeoutState(flow.DCCP)<<8 | ctaTimeoutDCCPClosing
	DCCPTimeoutTimeWait = TimeoutState(flow.DCCP)<<8 | ctaTimeoutDCCPTimeWait
)

// timeoutNames are the names of the states, those of a protocol by their numbers from 1.
var timeoutNames = map[flow.Proto][]string{
	flow.ICMP: {"TIMEOUT"},
	flow.TCP: {"SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE",
		"SYN_SENT2", "RETRANS", "UNACKNOWLEDGED"},
	flow.UDP:    {"UNREPLIED", "REPLIED"},
	flow.DCCP:   {"REQUEST", "RESPOND", "PARTOPEN", "OPEN", "CLOSEREQ", "CLOSING", "TIMEWAIT"},
	flow.GRE:    {"UNREPLIED", "REPLIED"},
	flow.ICMPv6: {"TIMEOUT"},
	flow.SCTP: {"CLOSED", "COOKIE_WAIT", "COOKIE_ECHOED", "ESTABLISHED", "SHUTDOWN_SENT", "SHUTDOWN_RECD",
		"SHUTDOWN_ACK_SENT", "HEARTBEAT_SENT", "HEARTBEAT_ACKED"},
	flow.UDPLite: {"UNREPLIED", "REPLIED"},
	Generic:      {"TIMEOUT"},
}

// TimeoutStates lists the states of a protocol that have timeouts, in the order of their
// numbers; nil if it has no tracker and is not [Generic]. They are those that the package
// knows: a kernel may have fewer, or more.
func TimeoutStates(p flow.Proto) []TimeoutState {
	var all []TimeoutState
	for i := range timeoutNames[p] {
		all = append(all, timeoutState(p, uint8(i+1)))
	}
	return all
}

func timeoutState(p flow.Proto, number uint8) TimeoutState {
	return TimeoutState(p)<<8 | TimeoutState(number)
}

// ParseTimeoutState finds the state of p that has the given name, in any case of letters.
func ParseTimeoutState(p flow.Proto, name string) (TimeoutState, bool) {
	for i, s := range timeoutNames[p] {
		// Of the same length, so that only ASCII letters fold.
		if len(s) == len(name) && strings.EqualFold(s, name) {
			return timeoutState(p, uint8(i+1)), true
		}
	}
	return 0, false
}

// Proto returns the protocol whose state it is.
func (s TimeoutState) Proto() flow.Proto { return flow.Proto(s >> 8) }

// String returns the name of the state within its protocol ("ESTABLISHED"), or its number
// if it has none.
func (s TimeoutState) String() string {
	number := int(s & 0xff)
	if names := timeoutNames[s.Proto()]; number >= 1 && number <= len(names) {
		return names[number-1]
	}
	return strconv.Itoa(number)
}
