package flow

import "time"

// ExpectFields is a set of optional attributes of an expectation.
type ExpectFields uint16

const (
	ExpectHasMaster  ExpectFields = 1 << iota // Master
	ExpectHasMask                             // Mask
	ExpectHasTimeout                          // Timeout
	ExpectHasID                               // ID
	ExpectHasHelper                           // Helper
	ExpectHasZone                             // Zone
	ExpectHasFlags                            // Flags
	ExpectHasClass                            // Class
	ExpectHasNAT                              // NAT, NATReply
	ExpectHasFunc                             // Func
)

// Has reports whether all attributes of want are in f.
func (f ExpectFields) Has(want ExpectFields) bool { return f&want == want }

// ExpectFlags are NF_CT_EXPECT_* of linux/netfilter/nf_conntrack_common.h.
type ExpectFlags uint32

const (
	ExpectPermanent ExpectFlags = 1 << iota // NF_CT_EXPECT_PERMANENT: stays after a match
	ExpectInactive                          // NF_CT_EXPECT_INACTIVE: does not match yet
	ExpectUserspace                         // NF_CT_EXPECT_USERSPACE: made by a user-space helper
)

// Has reports whether all bits of want are set in f.
func (f ExpectFlags) Has(want ExpectFlags) bool { return f&want == want }

// Expect announces a connection that belongs to another one: the data channel of
// an FTP session, for example. The zero Expect is empty.
type Expect struct {
	Has ExpectFields

	Tuple  Tuple // what the new connection will look like
	Mask   Tuple // which bits of Tuple count; only its source is used, the rest is exact
	Master Tuple // original tuple of the flow that announced it

	Timeout time.Duration // until the expectation is forgotten; whole seconds
	ID      uint32        // opaque
	Helper  string        // name of the helper of the master, at most 15 bytes
	Func    string        // name of the function that sets up the new connection
	Zone    uint16
	Flags   ExpectFlags
	Class   uint32 // index of the helper's policy

	NAT      Tuple // translation of the new connection
	NATReply bool  // NAT holds for the reply direction
}

// ExpectEvent is a change of the expectation table. Type is New, Destroy or Lost
// (or Update, which no kernel has sent yet).
type ExpectEvent struct {
	Type    EventType
	Expect  Expect // zero for Lost
	PortID  uint32 // netlink port of the socket that asked for it, 0 for the kernel
	Dropped uint64 // for Lost: how many events were lost, 0 if not known
}
