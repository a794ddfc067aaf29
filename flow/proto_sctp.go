package flow

// SCTP states, SCTP_CONNTRACK_* of linux/netfilter/nf_conntrack_sctp.h.
const (
	SCTPNone            uint8 = 0 // SCTP_CONNTRACK_NONE
	SCTPClosed          uint8 = 1 // SCTP_CONNTRACK_CLOSED
	SCTPCookieWait      uint8 = 2 // SCTP_CONNTRACK_COOKIE_WAIT
	SCTPCookieEchoed    uint8 = 3 // SCTP_CONNTRACK_COOKIE_ECHOED
	SCTPEstablished     uint8 = 4 // SCTP_CONNTRACK_ESTABLISHED
	SCTPShutdownSent    uint8 = 5 // SCTP_CONNTRACK_SHUTDOWN_SENT
	SCTPShutdownRecd    uint8 = 6 // SCTP_CONNTRACK_SHUTDOWN_RECD
	SCTPShutdownAckSent uint8 = 7 // SCTP_CONNTRACK_SHUTDOWN_ACK_SENT
	SCTPHeartbeatSent   uint8 = 8 // SCTP_CONNTRACK_HEARTBEAT_SENT
	SCTPHeartbeatAcked  uint8 = 9 // SCTP_CONNTRACK_HEARTBEAT_ACKED, kernels before 6.1
)

var sctpStates = []string{"NONE", "CLOSED", "COOKIE_WAIT", "COOKIE_ECHOED", "ESTABLISHED",
	"SHUTDOWN_SENT", "SHUTDOWN_RECD", "SHUTDOWN_ACK_SENT", "HEARTBEAT_SENT", "HEARTBEAT_ACKED"}

// VTags are the SCTP verification tags of the two directions (RFC 9260, 8.5), in
// host byte order.
type VTags struct{ Orig, Reply uint32 }
