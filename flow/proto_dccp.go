package flow

// DCCP states, CT_DCCP_* of linux/netfilter/nf_conntrack_dccp.h (kernels before 6.17).
const (
	DCCPNone     uint8 = 0 // CT_DCCP_NONE
	DCCPRequest  uint8 = 1 // CT_DCCP_REQUEST
	DCCPRespond  uint8 = 2 // CT_DCCP_RESPOND
	DCCPPartOpen uint8 = 3 // CT_DCCP_PARTOPEN
	DCCPOpen     uint8 = 4 // CT_DCCP_OPEN
	DCCPCloseReq uint8 = 5 // CT_DCCP_CLOSEREQ
	DCCPClosing  uint8 = 6 // CT_DCCP_CLOSING
	DCCPTimeWait uint8 = 7 // CT_DCCP_TIMEWAIT
	DCCPIgnore   uint8 = 8 // CT_DCCP_IGNORE
	DCCPInvalid  uint8 = 9 // CT_DCCP_INVALID
)

var dccpStates = []string{"NONE", "REQUEST", "RESPOND", "PARTOPEN", "OPEN", "CLOSEREQ",
	"CLOSING", "TIMEWAIT", "IGNORE", "INVALID"}

// DCCPRole tells which side of a DCCP connection the original direction is.
type DCCPRole uint8

const (
	DCCPClient DCCPRole = 0 // CT_DCCP_ROLE_CLIENT
	DCCPServer DCCPRole = 1 // CT_DCCP_ROLE_SERVER
)

// String returns "client" or "server".
func (r DCCPRole) String() string {
	if r == DCCPServer {
		return "server"
	}
	return "client"
}

// DCCPInfo is the DCCP part of a flow beside its state.
type DCCPInfo struct {
	Role         DCCPRole
	HandshakeSeq uint64 // sequence number of the handshake, host byte order
}
