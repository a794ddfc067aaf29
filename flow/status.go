package flow

// Status is the set of a flow's status bits, IPS_* of
// linux/netfilter/nf_conntrack_common.h.
type Status uint32

const (
	Expected     Status = 1 << iota // IPS_EXPECTED: announced by an expectation
	SeenReply                       // IPS_SEEN_REPLY: packets were seen in both directions
	Assured                         // IPS_ASSURED: not evicted early when the table is full
	Confirmed                       // IPS_CONFIRMED: in the table
	SrcNAT                          // IPS_SRC_NAT: source translation is set up
	DstNAT                          // IPS_DST_NAT: destination translation is set up
	SeqAdjust                       // IPS_SEQ_ADJUST: TCP sequence numbers are shifted
	SrcNATDone                      // IPS_SRC_NAT_DONE: the source hooks have decided
	DstNATDone                      // IPS_DST_NAT_DONE: the destination hooks have decided
	Dying                           // IPS_DYING: removed from the table
	FixedTimeout                    // IPS_FIXED_TIMEOUT: packets do not refresh the timeout
	Template                        // IPS_TEMPLATE: a rule's pattern, not a flow
	NATClash                        // IPS_NAT_CLASH; IPS_UNTRACKED before 4.12
	HelperSet                       // IPS_HELPER: the helper was assigned by a rule
	Offload                         // IPS_OFFLOAD: in a flow table (4.16)
	HWOffload                       // IPS_HW_OFFLOAD: in the hardware's flow table (5.8)
)

var statusNames = [...]string{"EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED", "SRC_NAT",
	"DST_NAT", "SEQ_ADJUST", "SRC_NAT_DONE", "DST_NAT_DONE", "DYING", "FIXED_TIMEOUT",
	"TEMPLATE", "NAT_CLASH", "HELPER", "OFFLOAD", "HW_OFFLOAD"}

// Has reports whether all bits of want are set in s.
func (s Status) Has(want Status) bool { return s&want == want }

// Name returns the name of a single bit ("SEEN_REPLY"), or "" if it has none.
func (s Status) Name() string {
	for i, name := range statusNames {
		if s == 1<<i {
			return name
		}
	}
	return ""
}

// StatusBits returns the bits that have a name, in ascending order.
func StatusBits() []Status {
	bits := make([]Status, len(statusNames))
	for i := range bits {
		bits[i] = 1 << i
	}
	return bits
}
