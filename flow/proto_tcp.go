package flow

// TCP states, TCP_CONNTRACK_* of linux/netfilter/nf_conntrack_tcp.h.
const (
	TCPNone        uint8 = 0 // TCP_CONNTRACK_NONE
	TCPSynSent     uint8 = 1 // TCP_CONNTRACK_SYN_SENT
	TCPSynRecv     uint8 = 2 // TCP_CONNTRACK_SYN_RECV
	TCPEstablished uint8 = 3 // TCP_CONNTRACK_ESTABLISHED
	TCPFinWait     uint8 = 4 // TCP_CONNTRACK_FIN_WAIT
	TCPCloseWait   uint8 = 5 // TCP_CONNTRACK_CLOSE_WAIT
	TCPLastAck     uint8 = 6 // TCP_CONNTRACK_LAST_ACK
	TCPTimeWait    uint8 = 7 // TCP_CONNTRACK_TIME_WAIT
	TCPClose       uint8 = 8 // TCP_CONNTRACK_CLOSE
	TCPSynSent2    uint8 = 9 // TCP_CONNTRACK_SYN_SENT2, once LISTEN
)

var tcpStates = []string{"NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT",
	"CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE", "SYN_SENT2"}

// TCPFlags are the window tracker's notes about one direction of a connection,
// IP_CT_TCP_FLAG_* of linux/netfilter/nf_conntrack_tcp.h.
type TCPFlags uint8

const (
	TCPWindowScale  TCPFlags = 1 << iota // IP_CT_TCP_FLAG_WINDOW_SCALE
	TCPSackPerm                          // IP_CT_TCP_FLAG_SACK_PERM
	TCPCloseInit                         // IP_CT_TCP_FLAG_CLOSE_INIT
	TCPBeLiberal                         // IP_CT_TCP_FLAG_BE_LIBERAL
	TCPDataUnacked                       // IP_CT_TCP_FLAG_DATA_UNACKNOWLEDGED
	TCPMaxAckSet                         // IP_CT_TCP_FLAG_MAXACK_SET
	TCPChallengeAck                      // IP_CT_EXP_CHALLENGE_ACK
	TCPSimultOpen                        // IP_CT_TCP_SIMULTANEOUS_OPEN
)

// TCPWindow is what the kernel reveals of its window tracking for one direction.
type TCPWindow struct {
	Scale uint8 // shift count, 0 to 14 (RFC 7323)
	Flags TCPFlags
}
