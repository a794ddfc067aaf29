package mirror

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// A packed flow begins with its identity, which tells its own length, so that no identity is the
// beginning of another. Behind it come the attributes that the flow has, in the order of their bits.

// Bits of the first byte of a packed tuple.
const (
	packedIPv4 = 1 << iota
	packedIPv6
	packedZone      // the flow's zone follows
	packedTupleZone // and the direction's
)

// Bits of the byte behind Has.
const (
	replyInverse = 1 << iota // the reply tuple is the original one turned round, and not stored
	origKeys                 // the ports are no part of the identity, and follow
)

const (
	maxPacked = 4096
	maxText   = maxPacked - 1024 // of the only text without a limit, the security context
)

var le = binary.LittleEndian

// appendIdentity appends what tells flows apart.
func appendIdentity(b []byte, f *flow.Flow) []byte {
	b = appendTuple(b, &f.Orig, f.Zone)
	if !inIdentity(f.Orig.Proto) {
		b = b[:len(b)-4]
	}
	return b
}

// identityOf is the identity that a packed flow begins with.
func identityOf(b []byte) []byte {
	n := 2
	if b[0]&packedIPv4 != 0 {
		n += 2 * 4
	} else if b[0]&packedIPv6 != 0 {
		n += 2 * 16
	}
	if b[0]&packedZone != 0 {
		n += 2
	}
	if b[0]&packedTupleZone != 0 {
		n += 2
	}
	if inIdentity(flow.Proto(b[1])) {
		n += 4
	}
	return b[:n]
}

// inIdentity reports whether flows of p are told apart by what stands in place of ports.
func inIdentity(p flow.Proto) bool {
	s := p.Shape()
	return s == flow.ShapePorts || s == flow.ShapeICMP
}

// appendTuple ends with the ports.
func appendTuple(b []byte, t *flow.Tuple, zone uint16) []byte {
	form := len(b)
	b = append(b, 0, byte(t.Proto))
	switch t.Family() {
	case flow.IPv4:
		b[form] |= packedIPv4
		b = appendAddr4(appendAddr4(b, t.Src), t.Dst)
	case flow.IPv6:
		b[form] |= packedIPv6
		b = appendAddr6(appendAddr6(b, t.Src), t.Dst)
	}
	if zone != 0 {
		b[form] |= packedZone
		b = le.AppendUint16(b, zone)
	}
	if t.Zone != 0 {
		b[form] |= packedTupleZone
		b = le.AppendUint16(b, t.Zone)
	}
	return le.AppendUint16(le.AppendUint16(b, t.SrcPort), t.DstPort)
}

func appendAddr4(b []byte, a netip.Addr) []byte {
	var raw [4]byte
	if a.Is4() {
		raw = a.As4()
	}
	return append(b, raw[:]...)
}

func appendAddr6(b []byte, a netip.Addr) []byte {
	var raw [16]byte
	if a.Is6() {
		raw = a.As16()
	}
	return append(b, raw[:]...)
}

// pack appends f. An address that is missing in a tuple with another is read back as 0, attributes
// without their bit in Has are left out, and so is a security context of several thousand bytes.
func pack(b []byte, f *flow.Flow) []byte {
	has := f.Has
	if len(f.SecCtx) > maxText {
		has &^= flow.HasSecCtx
	}
	b = appendIdentity(b, f)
	b = le.AppendUint32(b, uint32(has))
	form := len(b)
	b = append(b, 0)
	if !inIdentity(f.Orig.Proto) && (f.Orig.SrcPort|f.Orig.DstPort) != 0 {
		b[form] |= origKeys
		b = le.AppendUint16(le.AppendUint16(b, f.Orig.SrcPort), f.Orig.DstPort)
	}
	if has.Has(flow.HasReply) {
		if inverse, _ := f.Orig.Inverse(); inverse == f.Reply {
			b[form] |= replyInverse
		} else {
			b = appendTuple(b, &f.Reply, 0)
		}
	}
	if has.Has(flow.HasStatus) {
		b = le.AppendUint32(b, uint32(f.Status))
	}
	if has.Has(flow.HasTimeout) {
		b = le.AppendUint32(b, uint32(f.Timeout/time.Second))
	}
	if has.Has(flow.HasState) {
		b = append(b, f.State)
	}
	if has.Has(flow.HasTCPWindow) {
		b = append(b, f.OrigWindow.Scale, byte(f.OrigWindow.Flags), f.ReplyWindow.Scale, byte(f.ReplyWindow.Flags))
	}
	if has.Has(flow.HasVTags) {
		b = le.AppendUint32(le.AppendUint32(b, f.VTags.Orig), f.VTags.Reply)
	}
	if has.Has(flow.HasDCCP) {
		b = le.AppendUint64(append(b, byte(f.DCCP.Role)), f.DCCP.HandshakeSeq)
	}
	for _, n := range [...]struct {
		bit   flow.Fields
		value uint32
	}{{flow.HasMark, f.Mark}, {flow.HasSecMark, f.SecMark}, {flow.HasUse, f.Use}, {flow.HasID, f.ID}} {
		if has.Has(n.bit) {
			b = le.AppendUint32(b, n.value)
		}
	}
	if has.Has(flow.HasSecCtx) {
		b = append(le.AppendUint16(b, uint16(len(f.SecCtx))), f.SecCtx...)
	}
	if has.Has(flow.HasMaster) {
		b = appendTuple(b, &f.Master, 0)
	}
	b = appendCounters(b, has.Has(flow.HasOrigCounters), f.OrigCounters)
	b = appendCounters(b, has.Has(flow.HasReplyCounters), f.ReplyCounters)
	if has.Has(flow.HasStart) {
		b = le.AppendUint64(b, uint64(f.Start))
	}
	if has.Has(flow.HasStop) {
		b = le.AppendUint64(b, uint64(f.Stop))
	}
	if has.Has(flow.HasHelper) {
		name := f.Helper[:min(len(f.Helper), 255)]
		b = append(append(b, byte(len(name))), name...)
	}
	if has.Has(flow.HasLabels) {
		b = append(b, f.Labels[:]...)
	}
	b = appendSeqAdj(b, has.Has(flow.HasOrigSeqAdj), f.OrigSeqAdj)
	b = appendSeqAdj(b, has.Has(flow.HasReplySeqAdj), f.ReplySeqAdj)
	if has.Has(flow.HasSynproxy) {
		b = le.AppendUint32(le.AppendUint32(le.AppendUint32(b, f.Synproxy.ISN), f.Synproxy.ITS), f.Synproxy.TSOff)
	}
	return b
}

func appendCounters(b []byte, has bool, c flow.Counters) []byte {
	if !has {
		return b
	}
	return le.AppendUint64(le.AppendUint64(b, c.Packets), c.Bytes)
}

func appendSeqAdj(b []byte, has bool, s flow.SeqAdj) []byte {
	if !has {
		return b
	}
	b = le.AppendUint32(b, s.CorrectionPos)
	return le.AppendUint32(le.AppendUint32(b, uint32(s.OffsetBefore)), uint32(s.OffsetAfter))
}

// packed is what has not been read yet of a flow that pack has made.
type packed struct{ b []byte }

func (p *packed) next(n int) []byte {
	b := p.b[:n]
	p.b = p.b[n:]
	return b
}

func (p *packed) uint8() uint8   { return p.next(1)[0] }
func (p *packed) uint16() uint16 { return le.Uint16(p.next(2)) }
func (p *packed) uint32() uint32 { return le.Uint32(p.next(4)) }
func (p *packed) uint64() uint64 { return le.Uint64(p.next(8)) }

// tuple reads a tuple but for its ports, and the flow's zone.
func (p *packed) tuple(t *flow.Tuple) (zone uint16) {
	form := p.uint8()
	t.Proto = flow.Proto(p.uint8())
	switch {
	case form&packedIPv4 != 0:
		t.Src = netip.AddrFrom4([4]byte(p.next(4)))
		t.Dst = netip.AddrFrom4([4]byte(p.next(4)))
	case form&packedIPv6 != 0:
		t.Src = netip.AddrFrom16([16]byte(p.next(16)))
		t.Dst = netip.AddrFrom16([16]byte(p.next(16)))
	}
	if form&packedZone != 0 {
		zone = p.uint16()
	}
	if form&packedTupleZone != 0 {
		t.Zone = p.uint16()
	}
	return zone
}

func (p *packed) ports(t *flow.Tuple) { t.SrcPort, t.DstPort = p.uint16(), p.uint16() }

// unpack is the reverse of pack.
func unpack(b []byte, f *flow.Flow, names *names) {
	*f = flow.Flow{}
	p := packed{b}
	f.Zone = p.tuple(&f.Orig)
	if inIdentity(f.Orig.Proto) {
		p.ports(&f.Orig)
	}
	f.Has = flow.Fields(p.uint32())
	form := p.uint8()
	if form&origKeys != 0 {
		p.ports(&f.Orig)
	}
	switch {
	case form&replyInverse != 0:
		f.Reply, _ = f.Orig.Inverse()
	case f.Has.Has(flow.HasReply):
		p.tuple(&f.Reply)
		p.ports(&f.Reply)
	}
	if f.Has.Has(flow.HasStatus) {
		f.Status = flow.Status(p.uint32())
	}
	if f.Has.Has(flow.HasTimeout) {
		f.Timeout = time.Duration(p.uint32()) * time.Second
	}
	if f.Has.Has(flow.HasState) {
		f.State = p.uint8()
	}
	if f.Has.Has(flow.HasTCPWindow) {
		f.OrigWindow = flow.TCPWindow{Scale: p.uint8(), Flags: flow.TCPFlags(p.uint8())}
		f.ReplyWindow = flow.TCPWindow{Scale: p.uint8(), Flags: flow.TCPFlags(p.uint8())}
	}
	if f.Has.Has(flow.HasVTags) {
		f.VTags = flow.VTags{Orig: p.uint32(), Reply: p.uint32()}
	}
	if f.Has.Has(flow.HasDCCP) {
		f.DCCP = flow.DCCPInfo{Role: flow.DCCPRole(p.uint8()), HandshakeSeq: p.uint64()}
	}
	for _, n := range [...]struct {
		bit   flow.Fields
		value *uint32
	}{{flow.HasMark, &f.Mark}, {flow.HasSecMark, &f.SecMark}, {flow.HasUse, &f.Use}, {flow.HasID, &f.ID}} {
		if f.Has.Has(n.bit) {
			*n.value = p.uint32()
		}
	}
	if f.Has.Has(flow.HasSecCtx) {
		f.SecCtx = names.of(p.next(int(p.uint16())))
	}
	if f.Has.Has(flow.HasMaster) {
		p.tuple(&f.Master)
		p.ports(&f.Master)
	}
	if f.Has.Has(flow.HasOrigCounters) {
		f.OrigCounters = flow.Counters{Packets: p.uint64(), Bytes: p.uint64()}
	}
	if f.Has.Has(flow.HasReplyCounters) {
		f.ReplyCounters = flow.Counters{Packets: p.uint64(), Bytes: p.uint64()}
	}
	if f.Has.Has(flow.HasStart) {
		f.Start = flow.Timestamp(p.uint64())
	}
	if f.Has.Has(flow.HasStop) {
		f.Stop = flow.Timestamp(p.uint64())
	}
	if f.Has.Has(flow.HasHelper) {
		f.Helper = names.of(p.next(int(p.uint8())))
	}
	if f.Has.Has(flow.HasLabels) {
		f.Labels = flow.Labels(p.next(len(f.Labels)))
	}
	if f.Has.Has(flow.HasOrigSeqAdj) {
		f.OrigSeqAdj = p.seqAdj()
	}
	if f.Has.Has(flow.HasReplySeqAdj) {
		f.ReplySeqAdj = p.seqAdj()
	}
	if f.Has.Has(flow.HasSynproxy) {
		f.Synproxy = flow.Synproxy{ISN: p.uint32(), ITS: p.uint32(), TSOff: p.uint32()}
	}
}

func (p *packed) seqAdj() flow.SeqAdj {
	return flow.SeqAdj{CorrectionPos: p.uint32(), OffsetBefore: int32(p.uint32()), OffsetAfter: int32(p.uint32())}
}

// names makes each text once, as long as there are not too many different ones.
type names struct{ known map[string]string }

const maxNames = 1024

func (n *names) of(b []byte) string {
	if s, ok := n.known[string(b)]; ok {
		return s
	}
	s := string(b)
	if n.known == nil {
		n.known = make(map[string]string)
	}
	if len(n.known) < maxNames {
		n.known[s] = s
	}
	return s
}
