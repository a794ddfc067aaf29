package conntrack

// Message kinds of subsystem NFNL_SUBSYS_CTHELPER, enum nfnl_cthelper_msg_types in
// include/uapi/linux/netfilter/nfnetlink_cthelper.h.
const (
	msgHelperNew    uint8 = 0 // NFNL_MSG_CTHELPER_NEW
	msgHelperGet    uint8 = 1 // NFNL_MSG_CTHELPER_GET
	msgHelperDelete uint8 = 2 // NFNL_MSG_CTHELPER_DEL
)

// Attributes of a user-space helper, enum nfnl_cthelper_type and those of its containers.
const (
	helperName       uint16 = 1 // NFCTH_NAME
	helperTuple      uint16 = 2 // NFCTH_TUPLE
	helperQueue      uint16 = 3 // NFCTH_QUEUE_NUM
	helperPolicy     uint16 = 4 // NFCTH_POLICY
	helperPrivateLen uint16 = 5 // NFCTH_PRIV_DATA_LEN
	helperStatus     uint16 = 6 // NFCTH_STATUS

	helperStatusDisabled uint32 = 0 // NFCT_HELPER_STATUS_DISABLED
	helperStatusEnabled  uint32 = 1 // NFCT_HELPER_STATUS_ENABLED

	// enum nfnl_cthelper_tuple_type
	helperTupleFamily uint16 = 1 // NFCTH_TUPLE_L3PROTONUM
	helperTupleProto  uint16 = 2 // NFCTH_TUPLE_L4PROTONUM

	// enum nfnl_cthelper_policy_type
	helperPolicyCount uint16 = 1 // NFCTH_POLICY_SET_NUM
	helperPolicyFirst uint16 = 2 // NFCTH_POLICY_SET1
	helperPolicyLast  uint16 = 5 // NFCTH_POLICY_SET4

	// enum nfnl_cthelper_pol_type
	helperClassName    uint16 = 1 // NFCTH_POLICY_NAME
	helperClassMax     uint16 = 2 // NFCTH_POLICY_EXPECT_MAX
	helperClassTimeout uint16 = 3 // NFCTH_POLICY_EXPECT_TIMEOUT
)
