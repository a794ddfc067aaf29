package flow

import "time"

// Fields is a set of optional attributes of a flow. The original tuple is always
// there and has no bit.
type Fields uint32

const (
	HasReply         Fields = 1 << iota // Reply
	HasStatus                           // Status
	HasTimeout                          // Timeout
	HasState                            // State
	HasTCPWindow                        // OrigWindow, ReplyWindow
	HasVTags                            // VTags
	HasDCCP                             // DCCP
	HasMark                             // Mark
	HasSecMark                          // SecMark
	HasSecCtx                           // SecCtx
	HasZone                             // Zone
	HasUse                              // Use
	HasID                               // ID
	HasMaster                           // Master
	HasOrigCounters                     // OrigCounters
	HasReplyCounters                    // ReplyCounters
	HasStart                            // Start
	HasStop                             // Stop
	HasHelper                           // Helper
	HasLabels                           // Labels
	HasOrigSeqAdj                       // OrigSeqAdj
	HasReplySeqAdj                      // ReplySeqAdj
	HasSynproxy                         // Synproxy
	lastField
)

// AllFields is the set of all attributes.
const AllFields = lastField - 1

// Has reports whether all attributes of want are in f.
func (f Fields) Has(want Fields) bool { return f&want == want }

// Flow is one entry of the connection tracking table. The zero Flow is empty; a
// field whose bit is not in Has is zero and means nothing.
type Flow struct {
	Has Fields

	Orig   Tuple // as the first packet was seen
	Reply  Tuple // as answers are expected
	Master Tuple // original tuple of the flow that announced this one

	Status  Status
	Timeout time.Duration // until the entry is removed if no packet comes; whole seconds
	Mark    uint32        // ctmark
	SecMark uint32        // no longer sent by the kernel (2.6.37), which sends SecCtx
	SecCtx  string        // security context, as the security module prints it
	Helper  string        // name of the helper that reads this flow, at most 15 bytes
	Zone    uint16        // zone of both directions; 0 is never reported
	Use     uint32        // references to the kernel's object; one more while it is looked up
	ID      uint32        // opaque and stable while the entry lives; unique only together with Orig

	// Counters are there if nf_conntrack_acct was on when the entry was made.
	OrigCounters, ReplyCounters Counters
	// Start and Stop are there if nf_conntrack_timestamp was on when the entry was
	// made; Stop only once the entry has ended.
	Start, Stop Timestamp

	// State is the tracker's state; its names are Orig.Proto's.
	State                   uint8
	OrigWindow, ReplyWindow TCPWindow // TCP
	VTags                   VTags     // SCTP
	DCCP                    DCCPInfo  // DCCP

	Labels                  Labels
	OrigSeqAdj, ReplySeqAdj SeqAdj
	Synproxy                Synproxy
}

// Counters are the packets and bytes of one direction; bytes count from the
// layer 3 header on.
type Counters struct{ Packets, Bytes uint64 }

// Timestamp is a point in time in nanoseconds since the Unix epoch.
type Timestamp int64

// Time returns ts as a time in the local zone.
func (ts Timestamp) Time() time.Time { return time.Unix(0, int64(ts)) }

// SeqAdj is how TCP sequence numbers of one direction are shifted, after a helper
// changed the length of a packet.
type SeqAdj struct {
	CorrectionPos uint32 // sequence number from which OffsetAfter holds
	OffsetBefore  int32
	OffsetAfter   int32
}

// Synproxy is the state that the SYNPROXY target keeps for a connection.
type Synproxy struct {
	ISN   uint32 // initial sequence number
	ITS   uint32 // initial timestamp
	TSOff uint32 // timestamp offset
}

// Labels are the 128 bits of connlabel.
type Labels [16]byte

// LabelBits is the number of labels that an entry can hold.
const LabelBits = 128

// Bit reports whether label n is set; false for n out of range.
func (l *Labels) Bit(n int) bool {
	return n >= 0 && n < LabelBits && l[n/8]&(1<<(n%8)) != 0
}

// Set sets label n, which must be in 0 to LabelBits-1.
func (l *Labels) Set(n int) { l[n/8] |= 1 << (n % 8) }

// Has reports whether all labels of want are set in l.
func (l *Labels) Has(want *Labels) bool {
	for i, w := range want {
		if l[i]&w != w {
			return false
		}
	}
	return true
}

// Key returns the map key of f's original direction.
func (f *Flow) Key() Key { return f.Orig.Key(f.Zone) }

// Translation tells how the kernel's NAT changes a flow.
type Translation struct {
	SrcAddr, DstAddr bool // an address is translated
	SrcPort, DstPort bool // a port, key or ICMP field is translated
}

// NAT compares the two directions and returns what is translated. Only what the
// NAT hooks have decided counts (SrcNATDone, DstNATDone); a flow whose status was
// not reported is taken as decided, and one without a reply tuple as untranslated. Note that for ICMP the port halves differ in
// nearly every flow, since a reply has another type.
func (f *Flow) NAT() Translation {
	var t Translation
	if !f.Has.Has(HasReply) {
		return t
	}
	if !f.Has.Has(HasStatus) || f.Status.Has(SrcNATDone) {
		t.SrcAddr = f.Reply.Dst != f.Orig.Src
		t.SrcPort = f.Reply.DstPort != f.Orig.SrcPort
	}
	if !f.Has.Has(HasStatus) || f.Status.Has(DstNATDone) {
		t.DstAddr = f.Reply.Src != f.Orig.Dst
		t.DstPort = f.Reply.SrcPort != f.Orig.DstPort
	}
	return t
}

// Translated is NAT as people mean it: for ICMP only a different identifier counts, as a change of the source port.
// NAT is what the programs of conntrack-tools go by.
func (f *Flow) Translated() Translation {
	t := f.NAT()
	if f.Has.Has(HasReply) && f.Orig.Proto.Shape() == ShapeICMP {
		decided := !f.Has.Has(HasStatus) || f.Status&(SrcNATDone|DstNATDone) != 0
		t.SrcPort = decided && f.Orig.ICMPID() != f.Reply.ICMPID()
		t.DstPort = false
	}
	return t
}
