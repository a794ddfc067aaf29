package conntrack

// Message kinds of subsystem NFNL_SUBSYS_CTNETLINK_TIMEOUT, enum ctnl_timeout_msg_types in
// include/uapi/linux/netfilter/nfnetlink_cttimeout.h.
const (
	msgTimeoutNew        uint8 = 0 // IPCTNL_MSG_TIMEOUT_NEW
	msgTimeoutGet        uint8 = 1 // IPCTNL_MSG_TIMEOUT_GET
	msgTimeoutDelete     uint8 = 2 // IPCTNL_MSG_TIMEOUT_DELETE
	msgTimeoutDefaultSet uint8 = 3 // IPCTNL_MSG_TIMEOUT_DEFAULT_SET
	msgTimeoutDefaultGet uint8 = 4 // IPCTNL_MSG_TIMEOUT_DEFAULT_GET
)

// Attributes of a timeout policy, enum ctattr_timeout.
const (
	ctaTimeoutName   uint16 = 1 // CTA_TIMEOUT_NAME
	ctaTimeoutFamily uint16 = 2 // CTA_TIMEOUT_L3PROTO
	ctaTimeoutProto  uint16 = 3 // CTA_TIMEOUT_L4PROTO
	ctaTimeoutData   uint16 = 4 // CTA_TIMEOUT_DATA
	ctaTimeoutUse    uint16 = 5 // CTA_TIMEOUT_USE
)

// Attributes inside CTA_TIMEOUT_DATA, by protocol.
const (
	// enum ctattr_timeout_tcp
	ctaTimeoutTCPSynSent     = 1  // CTA_TIMEOUT_TCP_SYN_SENT
	ctaTimeoutTCPSynRecv     = 2  // CTA_TIMEOUT_TCP_SYN_RECV
	ctaTimeoutTCPEstablished = 3  // CTA_TIMEOUT_TCP_ESTABLISHED
	ctaTimeoutTCPFinWait     = 4  // CTA_TIMEOUT_TCP_FIN_WAIT
	ctaTimeoutTCPCloseWait   = 5  // CTA_TIMEOUT_TCP_CLOSE_WAIT
	ctaTimeoutTCPLastAck     = 6  // CTA_TIMEOUT_TCP_LAST_ACK
	ctaTimeoutTCPTimeWait    = 7  // CTA_TIMEOUT_TCP_TIME_WAIT
	ctaTimeoutTCPClose       = 8  // CTA_TIMEOUT_TCP_CLOSE
	ctaTimeoutTCPSynSent2    = 9  // CTA_TIMEOUT_TCP_SYN_SENT2
	ctaTimeoutTCPRetrans     = 10 // CTA_TIMEOUT_TCP_RETRANS
	ctaTimeoutTCPUnack       = 11 // CTA_TIMEOUT_TCP_UNACK

	// enum ctattr_timeout_udp
	ctaTimeoutUDPUnreplied = 1 // CTA_TIMEOUT_UDP_UNREPLIED
	ctaTimeoutUDPReplied   = 2 // CTA_TIMEOUT_UDP_REPLIED

	// enum ctattr_timeout_udplite
	ctaTimeoutUDPLiteUnreplied = 1 // CTA_TIMEOUT_UDPLITE_UNREPLIED
	ctaTimeoutUDPLiteReplied   = 2 // CTA_TIMEOUT_UDPLITE_REPLIED

	// enum ctattr_timeout_icmp, ctattr_timeout_icmpv6 and ctattr_timeout_generic
	ctaTimeoutICMP    = 1 // CTA_TIMEOUT_ICMP_TIMEOUT
	ctaTimeoutICMPv6  = 1 // CTA_TIMEOUT_ICMPV6_TIMEOUT
	ctaTimeoutGeneric = 1 // CTA_TIMEOUT_GENERIC_TIMEOUT

	// enum ctattr_timeout_gre
	ctaTimeoutGREUnreplied = 1 // CTA_TIMEOUT_GRE_UNREPLIED
	ctaTimeoutGREReplied   = 2 // CTA_TIMEOUT_GRE_REPLIED

	// enum ctattr_timeout_sctp
	ctaTimeoutSCTPClosed          = 1 // CTA_TIMEOUT_SCTP_CLOSED
	ctaTimeoutSCTPCookieWait      = 2 // CTA_TIMEOUT_SCTP_COOKIE_WAIT
	ctaTimeoutSCTPCookieEchoed    = 3 // CTA_TIMEOUT_SCTP_COOKIE_ECHOED
	ctaTimeoutSCTPEstablished     = 4 // CTA_TIMEOUT_SCTP_ESTABLISHED
	ctaTimeoutSCTPShutdownSent    = 5 // CTA_TIMEOUT_SCTP_SHUTDOWN_SENT
	ctaTimeoutSCTPShutdownRecd    = 6 // CTA_TIMEOUT_SCTP_SHUTDOWN_RECD
	ctaTimeoutSCTPShutdownAckSent = 7 // CTA_TIMEOUT_SCTP_SHUTDOWN_ACK_SENT
	ctaTimeoutSCTPHeartbeatSent   = 8 // CTA_TIMEOUT_SCTP_HEARTBEAT_SENT
	ctaTimeoutSCTPHeartbeatAcked  = 9 // CTA_TIMEOUT_SCTP_HEARTBEAT_ACKED

	// enum ctattr_timeout_dccp
	ctaTimeoutDCCPRequest  = 1 // CTA_TIMEOUT_DCCP_REQUEST
	ctaTimeoutDCCPRespond  = 2 // CTA_TIMEOUT_DCCP_RESPOND
	ctaTimeoutDCCPPartOpen = 3 // CTA_TIMEOUT_DCCP_PARTOPEN
	ctaTimeoutDCCPOpen     = 4 // CTA_TIMEOUT_DCCP_OPEN
	ctaTimeoutDCCPCloseReq = 5 // CTA_TIMEOUT_DCCP_CLOSEREQ
	ctaTimeoutDCCPClosing  = 6 // CTA_TIMEOUT_DCCP_CLOSING
	ctaTimeoutDCCPTimeWait = 7 // CTA_TIMEOUT_DCCP_TIMEWAIT
)
