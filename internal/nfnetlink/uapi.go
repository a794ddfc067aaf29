package nfnetlink

// include/uapi/linux/netlink.h
const (
	headerLen = 16 // sizeof(struct nlmsghdr)

	typeError = 2  // NLMSG_ERROR
	typeDone  = 3  // NLMSG_DONE
	typeMin   = 16 // NLMSG_MIN_TYPE: smaller types belong to netlink itself

	attrTypeMask = 0x3fff // NLA_TYPE_MASK
	attrNested   = 0x8000 // NLA_F_NESTED

	extAckText   = 1 // NLMSGERR_ATTR_MSG
	extAckOffset = 2 // NLMSGERR_ATTR_OFFS
)

// Flags of a message header, include/uapi/linux/netlink.h.
const (
	Request      = 0x1   // NLM_F_REQUEST
	Ack          = 0x4   // NLM_F_ACK
	DumpIntr     = 0x10  // NLM_F_DUMP_INTR
	DumpFiltered = 0x20  // NLM_F_DUMP_FILTERED
	Dump         = 0x300 // NLM_F_DUMP
	Replace      = 0x100 // NLM_F_REPLACE
	Excl         = 0x200 // NLM_F_EXCL
	Create       = 0x400 // NLM_F_CREATE

	capped  = 0x100 // NLM_F_CAPPED
	ackTLVs = 0x200 // NLM_F_ACK_TLVS
)

// Subsystem is a netfilter subsystem, NFNL_SUBSYS_* of
// include/uapi/linux/netfilter/nfnetlink.h.
type Subsystem uint8

const (
	Conntrack        Subsystem = 1 // NFNL_SUBSYS_CTNETLINK
	ConntrackExpect  Subsystem = 2 // NFNL_SUBSYS_CTNETLINK_EXP
	PacketQueue      Subsystem = 3 // NFNL_SUBSYS_QUEUE
	ConntrackTimeout Subsystem = 8 // NFNL_SUBSYS_CTNETLINK_TIMEOUT
	ConntrackHelper  Subsystem = 9 // NFNL_SUBSYS_CTHELPER
)

// Group is a multicast group, NFNLGRP_* of include/uapi/linux/netfilter/nfnetlink.h.
type Group uint8

const (
	GroupNew           Group = 1 // NFNLGRP_CONNTRACK_NEW
	GroupUpdate        Group = 2 // NFNLGRP_CONNTRACK_UPDATE
	GroupDestroy       Group = 3 // NFNLGRP_CONNTRACK_DESTROY
	GroupExpectNew     Group = 4 // NFNLGRP_CONNTRACK_EXP_NEW
	GroupExpectUpdate  Group = 5 // NFNLGRP_CONNTRACK_EXP_UPDATE
	GroupExpectDestroy Group = 6 // NFNLGRP_CONNTRACK_EXP_DESTROY
)
