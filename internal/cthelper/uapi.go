package cthelper

// Message kinds of subsystem NFNL_SUBSYS_QUEUE, enum nfqnl_msg_types in include/uapi/linux/netfilter/nfnetlink_queue.h.
const (
	msgPacket  uint8 = 0 // NFQNL_MSG_PACKET
	msgVerdict uint8 = 1 // NFQNL_MSG_VERDICT
	msgConfig  uint8 = 2 // NFQNL_MSG_CONFIG
)

// Attributes of a packet and of a verdict, enum nfqnl_attr_type.
const (
	queueAttrPacket  uint16 = 1  // NFQA_PACKET_HDR: struct nfqnl_msg_packet_hdr
	queueAttrVerdict uint16 = 2  // NFQA_VERDICT_HDR: struct nfqnl_msg_verdict_hdr
	queueAttrPayload uint16 = 10 // NFQA_PAYLOAD
	queueAttrCT      uint16 = 11 // NFQA_CT
	queueAttrCTInfo  uint16 = 12 // NFQA_CT_INFO
	queueAttrCapLen  uint16 = 13 // NFQA_CAP_LEN
	queueAttrExpect  uint16 = 15 // NFQA_EXP
)

// Attributes of a configuration, enum nfqnl_attr_config.
const (
	configCommand uint16 = 1 // NFQA_CFG_CMD: struct nfqnl_msg_config_cmd
	configParams  uint16 = 2 // NFQA_CFG_PARAMS: struct nfqnl_msg_config_params
	configMaxLen  uint16 = 3 // NFQA_CFG_QUEUE_MAXLEN
	configMask    uint16 = 4 // NFQA_CFG_MASK
	configFlags   uint16 = 5 // NFQA_CFG_FLAGS
)

const (
	commandBind uint8 = 1 // NFQNL_CFG_CMD_BIND

	copyPacket uint8 = 2 // NFQNL_COPY_PACKET

	flagFailOpen  uint32 = 1 // NFQA_CFG_F_FAIL_OPEN
	flagConntrack uint32 = 2 // NFQA_CFG_F_CONNTRACK
)

// Verdicts, include/uapi/linux/netfilter.h.
const (
	verdictDrop   uint32 = 0 // NF_DROP
	verdictAccept uint32 = 1 // NF_ACCEPT
)

// Attributes of a flow, enum ctattr_type and ctattr_help of linux/netfilter/nfnetlink_conntrack.h.
const (
	flowHelp    uint16 = 5 // CTA_HELP
	flowTimeout uint16 = 7 // CTA_TIMEOUT

	flowHelpName uint16 = 1 // CTA_HELP_NAME
	flowHelpInfo uint16 = 2 // CTA_HELP_INFO
)
