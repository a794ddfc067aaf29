package conntrack

// Message kinds of subsystem NFNL_SUBSYS_CTNETLINK, enum cntl_msg_types in
// include/uapi/linux/netfilter/nfnetlink_conntrack.h.
const (
	msgNew            uint8 = 0 // IPCTNL_MSG_CT_NEW
	msgGet            uint8 = 1 // IPCTNL_MSG_CT_GET
	msgDelete         uint8 = 2 // IPCTNL_MSG_CT_DELETE
	msgGetZero        uint8 = 3 // IPCTNL_MSG_CT_GET_CTRZERO
	msgGetStatsCPU    uint8 = 4 // IPCTNL_MSG_CT_GET_STATS_CPU
	msgGetStats       uint8 = 5 // IPCTNL_MSG_CT_GET_STATS
	msgGetDying       uint8 = 6 // IPCTNL_MSG_CT_GET_DYING
	msgGetUnconfirmed uint8 = 7 // IPCTNL_MSG_CT_GET_UNCONFIRMED
)

// Message kinds of subsystem NFNL_SUBSYS_CTNETLINK_EXP, enum ctnl_exp_msg_types.
const (
	msgExpectNew         uint8 = 0 // IPCTNL_MSG_EXP_NEW
	msgExpectGet         uint8 = 1 // IPCTNL_MSG_EXP_GET
	msgExpectDelete      uint8 = 2 // IPCTNL_MSG_EXP_DELETE
	msgExpectGetStatsCPU uint8 = 3 // IPCTNL_MSG_EXP_GET_STATS_CPU
)

// Attributes of an entry, enum ctattr_type.
const (
	ctaTupleOrig      uint16 = 1  // CTA_TUPLE_ORIG
	ctaTupleReply     uint16 = 2  // CTA_TUPLE_REPLY
	ctaStatus         uint16 = 3  // CTA_STATUS
	ctaProtoinfo      uint16 = 4  // CTA_PROTOINFO
	ctaHelp           uint16 = 5  // CTA_HELP
	ctaNATSrc         uint16 = 6  // CTA_NAT_SRC
	ctaTimeout        uint16 = 7  // CTA_TIMEOUT
	ctaMark           uint16 = 8  // CTA_MARK
	ctaCountersOrig   uint16 = 9  // CTA_COUNTERS_ORIG
	ctaCountersReply  uint16 = 10 // CTA_COUNTERS_REPLY
	ctaUse            uint16 = 11 // CTA_USE
	ctaID             uint16 = 12 // CTA_ID
	ctaNATDst         uint16 = 13 // CTA_NAT_DST
	ctaTupleMaster    uint16 = 14 // CTA_TUPLE_MASTER
	ctaSeqAdjOrig     uint16 = 15 // CTA_SEQ_ADJ_ORIG
	ctaSeqAdjReply    uint16 = 16 // CTA_SEQ_ADJ_REPLY
	ctaSecMark        uint16 = 17 // CTA_SECMARK
	ctaZone           uint16 = 18 // CTA_ZONE
	ctaSecCtx         uint16 = 19 // CTA_SECCTX
	ctaTimestamp      uint16 = 20 // CTA_TIMESTAMP
	ctaMarkMask       uint16 = 21 // CTA_MARK_MASK
	ctaLabels         uint16 = 22 // CTA_LABELS
	ctaLabelsMask     uint16 = 23 // CTA_LABELS_MASK
	ctaSynproxy       uint16 = 24 // CTA_SYNPROXY
	ctaFilter         uint16 = 25 // CTA_FILTER
	ctaStatusMask     uint16 = 26 // CTA_STATUS_MASK
	ctaTimestampEvent uint16 = 27 // CTA_TIMESTAMP_EVENT
)

// Attributes of a tuple, enum ctattr_tuple, ctattr_ip and ctattr_l4proto.
const (
	ctaTupleIP    uint16 = 1 // CTA_TUPLE_IP
	ctaTupleProto uint16 = 2 // CTA_TUPLE_PROTO
	ctaTupleZone  uint16 = 3 // CTA_TUPLE_ZONE

	ctaIPv4Src uint16 = 1 // CTA_IP_V4_SRC
	ctaIPv4Dst uint16 = 2 // CTA_IP_V4_DST
	ctaIPv6Src uint16 = 3 // CTA_IP_V6_SRC
	ctaIPv6Dst uint16 = 4 // CTA_IP_V6_DST

	ctaProtoNum        uint16 = 1 // CTA_PROTO_NUM
	ctaProtoSrcPort    uint16 = 2 // CTA_PROTO_SRC_PORT
	ctaProtoDstPort    uint16 = 3 // CTA_PROTO_DST_PORT
	ctaProtoICMPID     uint16 = 4 // CTA_PROTO_ICMP_ID
	ctaProtoICMPType   uint16 = 5 // CTA_PROTO_ICMP_TYPE
	ctaProtoICMPCode   uint16 = 6 // CTA_PROTO_ICMP_CODE
	ctaProtoICMPv6ID   uint16 = 7 // CTA_PROTO_ICMPV6_ID
	ctaProtoICMPv6Type uint16 = 8 // CTA_PROTO_ICMPV6_TYPE
	ctaProtoICMPv6Code uint16 = 9 // CTA_PROTO_ICMPV6_CODE
)

// Attributes inside the containers of an entry.
const (
	// enum ctattr_protoinfo
	ctaProtoinfoTCP  uint16 = 1 // CTA_PROTOINFO_TCP
	ctaProtoinfoDCCP uint16 = 2 // CTA_PROTOINFO_DCCP
	ctaProtoinfoSCTP uint16 = 3 // CTA_PROTOINFO_SCTP

	// enum ctattr_protoinfo_tcp
	ctaTCPState       uint16 = 1 // CTA_PROTOINFO_TCP_STATE
	ctaTCPWScaleOrig  uint16 = 2 // CTA_PROTOINFO_TCP_WSCALE_ORIGINAL
	ctaTCPWScaleReply uint16 = 3 // CTA_PROTOINFO_TCP_WSCALE_REPLY
	ctaTCPFlagsOrig   uint16 = 4 // CTA_PROTOINFO_TCP_FLAGS_ORIGINAL
	ctaTCPFlagsReply  uint16 = 5 // CTA_PROTOINFO_TCP_FLAGS_REPLY

	// enum ctattr_protoinfo_dccp
	ctaDCCPState        uint16 = 1 // CTA_PROTOINFO_DCCP_STATE
	ctaDCCPRole         uint16 = 2 // CTA_PROTOINFO_DCCP_ROLE
	ctaDCCPHandshakeSeq uint16 = 3 // CTA_PROTOINFO_DCCP_HANDSHAKE_SEQ

	// enum ctattr_protoinfo_sctp
	ctaSCTPState     uint16 = 1 // CTA_PROTOINFO_SCTP_STATE
	ctaSCTPVTagOrig  uint16 = 2 // CTA_PROTOINFO_SCTP_VTAG_ORIGINAL
	ctaSCTPVTagReply uint16 = 3 // CTA_PROTOINFO_SCTP_VTAG_REPLY

	// enum ctattr_counters
	ctaCountersPackets uint16 = 1 // CTA_COUNTERS_PACKETS
	ctaCountersBytes   uint16 = 2 // CTA_COUNTERS_BYTES

	// enum ctattr_tstamp
	ctaTimestampStart uint16 = 1 // CTA_TIMESTAMP_START
	ctaTimestampStop  uint16 = 2 // CTA_TIMESTAMP_STOP

	// enum ctattr_seqadj
	ctaSeqAdjCorrectionPos uint16 = 1 // CTA_SEQADJ_CORRECTION_POS
	ctaSeqAdjOffsetBefore  uint16 = 2 // CTA_SEQADJ_OFFSET_BEFORE
	ctaSeqAdjOffsetAfter   uint16 = 3 // CTA_SEQADJ_OFFSET_AFTER

	// enum ctattr_synproxy
	ctaSynproxyISN   uint16 = 1 // CTA_SYNPROXY_ISN
	ctaSynproxyITS   uint16 = 2 // CTA_SYNPROXY_ITS
	ctaSynproxyTSOff uint16 = 3 // CTA_SYNPROXY_TSOFF

	// enum ctattr_help
	ctaHelpName uint16 = 1 // CTA_HELP_NAME

	// enum ctattr_secctx
	ctaSecCtxName uint16 = 1 // CTA_SECCTX_NAME

	// enum ctattr_nat and ctattr_protonat
	ctaNATv4MinIP uint16 = 1 // CTA_NAT_V4_MINIP
	ctaNATv4MaxIP uint16 = 2 // CTA_NAT_V4_MAXIP
	ctaNATProto   uint16 = 3 // CTA_NAT_PROTO
	ctaNATv6MinIP uint16 = 4 // CTA_NAT_V6_MINIP
	ctaNATv6MaxIP uint16 = 5 // CTA_NAT_V6_MAXIP

	ctaProtoNATPortMin uint16 = 1 // CTA_PROTONAT_PORT_MIN
	ctaProtoNATPortMax uint16 = 2 // CTA_PROTONAT_PORT_MAX

	// enum ctattr_filter
	ctaFilterOrigFlags  uint16 = 1 // CTA_FILTER_ORIG_FLAGS
	ctaFilterReplyFlags uint16 = 2 // CTA_FILTER_REPLY_FLAGS
)

// Attributes of an expectation, enum ctattr_expect and ctattr_expect_nat.
const (
	ctaExpectMaster   uint16 = 1  // CTA_EXPECT_MASTER
	ctaExpectTuple    uint16 = 2  // CTA_EXPECT_TUPLE
	ctaExpectMask     uint16 = 3  // CTA_EXPECT_MASK
	ctaExpectTimeout  uint16 = 4  // CTA_EXPECT_TIMEOUT
	ctaExpectID       uint16 = 5  // CTA_EXPECT_ID
	ctaExpectHelpName uint16 = 6  // CTA_EXPECT_HELP_NAME
	ctaExpectZone     uint16 = 7  // CTA_EXPECT_ZONE
	ctaExpectFlags    uint16 = 8  // CTA_EXPECT_FLAGS
	ctaExpectClass    uint16 = 9  // CTA_EXPECT_CLASS
	ctaExpectNAT      uint16 = 10 // CTA_EXPECT_NAT
	ctaExpectFN       uint16 = 11 // CTA_EXPECT_FN

	ctaExpectNATDir   uint16 = 1 // CTA_EXPECT_NAT_DIR
	ctaExpectNATTuple uint16 = 2 // CTA_EXPECT_NAT_TUPLE
)

// Statistics, enum ctattr_stats_global.
const (
	ctaStatsGlobalEntries    uint16 = 1 // CTA_STATS_GLOBAL_ENTRIES
	ctaStatsGlobalMaxEntries uint16 = 2 // CTA_STATS_GLOBAL_MAX_ENTRIES
)
