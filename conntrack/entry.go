package conntrack

import (
	"net/netip"
	"time"

	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
)

// Entry is a flow to be made, or changed. The kernel wants both tuples and a
// timeout to make one.
//
// To make a translated flow give the plain inverse of Orig as Reply and ask for
// the translation with SrcNAT and DstNAT: with a translated Reply the kernel would
// track the flow but not translate it. Packets are translated only if the
// namespace has a NAT chain.
type Entry struct {
	Orig, Reply flow.Tuple
	Zone        uint16 // zone of both directions; 0 is none

	// The rest of Entry, before Change, can only be given when a flow is made;
	// for one that exists the kernel answers ErrNotSupported.
	Master         *flow.Tuple // original tuple of the flow that this one belongs to
	SrcNAT, DstNAT *NAT

	Change
}

// Change says what becomes of a flow. A nil pointer leaves the attribute alone, or
// at its default in a new flow; a pointer to zero sets zero.
type Change struct {
	// Timeout is counted from now; whole seconds. The kernel caps it (INT_MAX
	// jiffies). Zero makes an entry that has already expired.
	Timeout *time.Duration
	// Status bits are only ever added: Confirmed is implied, Expected must be
	// there if the flow has it, and NAT and offload bits are ignored.
	Status *flow.Status
	// Mark replaces the bits of MarkMask, or all bits if that is nil.
	Mark, MarkMask *uint32
	// Labels replaces the bits of LabelsMask, or all bits if that is nil. A flow
	// can have labels only if a rule in the namespace used them when it was made:
	// otherwise making it ignores them and changing it is ENOSPC.
	Labels, LabelsMask *flow.Labels
	// Helper names the helper that reads the flow; "" takes it away.
	Helper *string

	// At most one of these, the one of the flow's protocol.
	TCP  *TCP
	SCTP *SCTP
	DCCP *DCCP

	OrigSeqAdj, ReplySeqAdj *flow.SeqAdj
	Synproxy                *flow.Synproxy
}

// NAT is a translation to be set up. The zero NAT marks the direction as decided,
// without a translation.
type NAT struct {
	Addr netip.Addr // the new address; the zero Addr keeps it
	Port *uint16    // the new port; nil keeps it if it is free
}

// appendEntry appends the attributes of e. withReply is false for a request about
// an entry that exists, which its original tuple identifies.
func appendEntry(b *nfnetlink.Builder, e *Entry, withReply bool) {
	appendTuple(b, ctaTupleOrig, &e.Orig)
	if withReply {
		appendTuple(b, ctaTupleReply, &e.Reply)
	}
	if e.Zone != 0 {
		b.Uint16(ctaZone, e.Zone)
	}
	if e.Master != nil {
		appendTuple(b, ctaTupleMaster, e.Master)
	}
	e.SrcNAT.append(b, ctaNATSrc)
	e.DstNAT.append(b, ctaNATDst)
	e.Change.append(b)
}

func (c *Change) append(b *nfnetlink.Builder) {
	if c.Status != nil {
		b.Uint32(ctaStatus, uint32(*c.Status|flow.Confirmed))
	}
	if c.Timeout != nil {
		b.Uint32(ctaTimeout, seconds(*c.Timeout))
	}
	if c.Mark != nil {
		mark := *c.Mark
		if c.MarkMask != nil {
			// The kernel XORs the value in after masking; only a value within
			// the mask replaces.
			mark &= *c.MarkMask
			b.Uint32(ctaMarkMask, *c.MarkMask)
		}
		b.Uint32(ctaMark, mark)
	}
	if c.Helper != nil {
		help := b.Nest(ctaHelp)
		b.Text(ctaHelpName, *c.Helper)
		b.Close(help)
	}
	if c.Labels != nil {
		labels := *c.Labels
		if c.LabelsMask != nil {
			mask := *c.LabelsMask
			for i := range labels {
				labels[i] &= mask[i]
			}
			swapLabelWords(&mask)
			b.Raw(ctaLabelsMask, mask[:])
		}
		swapLabelWords(&labels)
		b.Raw(ctaLabels, labels[:])
	}
	switch {
	case c.TCP != nil:
		c.TCP.append(b)
	case c.SCTP != nil:
		c.SCTP.append(b)
	case c.DCCP != nil:
		c.DCCP.append(b)
	}
	appendSeqAdj(b, ctaSeqAdjOrig, c.OrigSeqAdj)
	appendSeqAdj(b, ctaSeqAdjReply, c.ReplySeqAdj)
	if s := c.Synproxy; s != nil {
		at := b.Nest(ctaSynproxy)
		b.Uint32(ctaSynproxyISN, s.ISN)
		b.Uint32(ctaSynproxyITS, s.ITS)
		b.Uint32(ctaSynproxyTSOff, s.TSOff)
		b.Close(at)
	}
}

// seconds is d for the wire, which has 32 bits of whole seconds.
func seconds(d time.Duration) uint32 {
	return uint32(min(max(d/time.Second, 0), 1<<32-1))
}

func appendSeqAdj(b *nfnetlink.Builder, attr uint16, s *flow.SeqAdj) {
	if s == nil {
		return
	}
	at := b.Nest(attr)
	b.Uint32(ctaSeqAdjCorrectionPos, s.CorrectionPos)
	b.Uint32(ctaSeqAdjOffsetBefore, uint32(s.OffsetBefore))
	b.Uint32(ctaSeqAdjOffsetAfter, uint32(s.OffsetAfter))
	b.Close(at)
}

func (n *NAT) append(b *nfnetlink.Builder, attr uint16) {
	if n == nil {
		return
	}
	at := b.Nest(attr)
	switch {
	case n.Addr.Is4():
		ip := n.Addr.As4()
		b.Raw(ctaNATv4MinIP, ip[:])
	case n.Addr.Is6():
		ip := n.Addr.As16()
		b.Raw(ctaNATv6MinIP, ip[:])
	}
	if n.Port != nil {
		proto := b.Nest(ctaNATProto)
		b.Uint16(ctaProtoNATPortMin, *n.Port)
		b.Uint16(ctaProtoNATPortMax, *n.Port)
		b.Close(proto)
	}
	b.Close(at)
}

// appendTuple appends t whole. An address that is not known is sent as zeros of
// the other's family.
func appendTuple(b *nfnetlink.Builder, attr uint16, t *flow.Tuple) {
	at := b.Nest(attr)
	ip := b.Nest(ctaTupleIP)
	if t.Family() == flow.IPv6 {
		src, dst := as16(t.Src), as16(t.Dst)
		b.Raw(ctaIPv6Src, src[:])
		b.Raw(ctaIPv6Dst, dst[:])
	} else {
		src, dst := as4(t.Src), as4(t.Dst)
		b.Raw(ctaIPv4Src, src[:])
		b.Raw(ctaIPv4Dst, dst[:])
	}
	b.Close(ip)
	proto := b.Nest(ctaTupleProto)
	b.Uint8(ctaProtoNum, uint8(t.Proto))
	switch t.Proto.Shape() {
	case flow.ShapePorts, flow.ShapeKeys:
		b.Uint16(ctaProtoSrcPort, t.SrcPort)
		b.Uint16(ctaProtoDstPort, t.DstPort)
	case flow.ShapeICMP:
		id, typ, code := icmpAttrs(t.Proto)
		b.Uint16(id, t.ICMPID())
		b.Uint8(typ, t.ICMPType())
		b.Uint8(code, t.ICMPCode())
	}
	b.Close(proto)
	if t.Zone != 0 {
		b.Uint16(ctaTupleZone, t.Zone)
	}
	b.Close(at)
}

func icmpAttrs(p flow.Proto) (id, typ, code uint16) {
	if p == flow.ICMPv6 {
		return ctaProtoICMPv6ID, ctaProtoICMPv6Type, ctaProtoICMPv6Code
	}
	return ctaProtoICMPID, ctaProtoICMPType, ctaProtoICMPCode
}

func as4(a netip.Addr) (b [4]byte) {
	if a.Is4() {
		b = a.As4()
	}
	return b
}

func as16(a netip.Addr) (b [16]byte) {
	if a.IsValid() {
		b = a.As16()
	}
	return b
}

// appendFilter appends what the kernel shall check. The family goes into the
// message's header.
func appendFilter(b *nfnetlink.Builder, k *filter.Kernel) {
	if k.Mark != nil {
		b.Uint32(ctaMark, k.Mark.Value)
		b.Uint32(ctaMarkMask, k.Mark.Mask)
	}
	if k.Status != nil {
		b.Uint32(ctaStatus, uint32(k.Status.Value))
		b.Uint32(ctaStatusMask, uint32(k.Status.Mask))
	}
	if k.Zone != nil {
		b.Uint16(ctaZone, *k.Zone)
	}
	if k.OrigFields == 0 && k.ReplyFields == 0 {
		return
	}
	appendTupleFields(b, ctaTupleOrig, &k.Orig, k.OrigFields)
	appendTupleFields(b, ctaTupleReply, &k.Reply, k.ReplyFields)
	at := b.Nest(ctaFilter) // here alone the kernel insists on the nested flag
	b.HostUint32(ctaFilterOrigFlags, uint32(k.OrigFields))
	b.HostUint32(ctaFilterReplyFlags, uint32(k.ReplyFields))
	b.Close(at)
}

// appendTupleFields appends the fields of t that are to be compared.
func appendTupleFields(b *nfnetlink.Builder, attr uint16, t *flow.Tuple, fields filter.TupleFields) {
	if fields == 0 {
		return
	}
	has := func(bits filter.TupleFields) bool { return fields&bits != 0 }
	at := b.Nest(attr)
	if has(filter.FieldSrc | filter.FieldDst) {
		ip := b.Nest(ctaTupleIP)
		if has(filter.FieldSrc) {
			src := as4(t.Src)
			b.Raw(ctaIPv4Src, src[:])
		}
		if has(filter.FieldDst) {
			dst := as4(t.Dst)
			b.Raw(ctaIPv4Dst, dst[:])
		}
		b.Close(ip)
	}
	if has(filter.FieldProto) {
		proto := b.Nest(ctaTupleProto)
		b.Uint8(ctaProtoNum, uint8(t.Proto))
		if has(filter.FieldSrcPort) {
			b.Uint16(ctaProtoSrcPort, t.SrcPort)
		}
		if has(filter.FieldDstPort) {
			b.Uint16(ctaProtoDstPort, t.DstPort)
		}
		id, typ, code := icmpAttrs(t.Proto)
		if has(filter.FieldICMPID | filter.FieldICMPID<<filter.ICMPv6Shift) {
			b.Uint16(id, t.ICMPID())
		}
		if has(filter.FieldICMPType | filter.FieldICMPType<<filter.ICMPv6Shift) {
			b.Uint8(typ, t.ICMPType())
		}
		if has(filter.FieldICMPCode | filter.FieldICMPCode<<filter.ICMPv6Shift) {
			b.Uint8(code, t.ICMPCode())
		}
		b.Close(proto)
	}
	b.Close(at)
}
