package doctor

import "github.com/spoor-project/spoor/flow"

// hoard is a timeout, and the entries that wait for it.
type hoard struct {
	sysctl string
	what   string // the entries
	// usual is the longest that a kernel sets by itself, sensible a silence after which a flow has most likely ended; seconds.
	usual, sensible uint64
}

// hoards are the timeouts that keep entries for longer than for moments.
var hoards = []hoard{
	{"nf_conntrack_tcp_timeout_established", "tcp established", 432000, 86400},
	{"nf_conntrack_tcp_timeout_close_wait", "tcp close_wait", 60, 60},
	{"nf_conntrack_tcp_timeout_fin_wait", "tcp fin_wait", 120, 120},
	{"nf_conntrack_tcp_timeout_time_wait", "tcp time_wait", 120, 120},
	{"nf_conntrack_tcp_timeout_syn_sent", "tcp syn_sent", 120, 120},
	{"nf_conntrack_tcp_timeout_syn_recv", "tcp syn_recv", 60, 60},
	{"nf_conntrack_tcp_timeout_last_ack", "tcp last_ack", 30, 30},
	{"nf_conntrack_udp_timeout", "udp", 30, 30},
	{"nf_conntrack_udp_timeout_stream", "udp stream", 180, 180},
	{"nf_conntrack_icmp_timeout", "icmp", 30, 30},
	{"nf_conntrack_icmpv6_timeout", "icmpv6", 30, 30},
	{"nf_conntrack_gre_timeout_stream", "gre stream", 180, 180},
	{"nf_conntrack_sctp_timeout_established", "sctp established", 432000, 86400},
	{"nf_conntrack_generic_timeout", "other protocols", 600, 600},
}

// hoardOf finds the timeout that a flow waits for; "" if it is none of hoards.
func hoardOf(f *flow.Flow) string {
	stream := f.Status.Has(flow.Assured)
	switch f.Orig.Proto {
	case flow.TCP:
		switch f.State {
		case flow.TCPEstablished:
			return "nf_conntrack_tcp_timeout_established"
		case flow.TCPCloseWait:
			return "nf_conntrack_tcp_timeout_close_wait"
		case flow.TCPFinWait:
			return "nf_conntrack_tcp_timeout_fin_wait"
		case flow.TCPTimeWait:
			return "nf_conntrack_tcp_timeout_time_wait"
		case flow.TCPSynSent:
			return "nf_conntrack_tcp_timeout_syn_sent"
		case flow.TCPSynRecv:
			return "nf_conntrack_tcp_timeout_syn_recv"
		case flow.TCPLastAck:
			return "nf_conntrack_tcp_timeout_last_ack"
		}
	case flow.UDP, flow.UDPLite:
		if stream {
			return "nf_conntrack_udp_timeout_stream"
		}
		return "nf_conntrack_udp_timeout"
	case flow.ICMP:
		return "nf_conntrack_icmp_timeout"
	case flow.ICMPv6:
		return "nf_conntrack_icmpv6_timeout"
	case flow.GRE:
		if stream {
			return "nf_conntrack_gre_timeout_stream"
		}
	case flow.SCTP:
		if f.State == flow.SCTPEstablished {
			return "nf_conntrack_sctp_timeout_established"
		}
	case flow.DCCP:
	default:
		return "nf_conntrack_generic_timeout"
	}
	return ""
}
