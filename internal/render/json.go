package render

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/spoor-project/spoor/flow"
)

// Members are appended one after the other; appendKey puts the commas. A member
// whose attribute was not reported is left out. csv.go has a column for each: what is
// added here must be added there (a test compares them), and to docs/output.md.

func appendJSONFlow(b []byte, s *Style, f *flow.Flow, now time.Time) []byte {
	return append(appendJSONFlowMembers(append(b, '{'), s, f, now), '}')
}

func appendJSONEvent(b []byte, s *Style, e *flow.Event, program string, now time.Time) []byte {
	if e.Time != 0 {
		now = e.Time.Time()
	}
	b = appendJSONEventHead(b, e.Type, e.Dropped, now)
	if e.Type != flow.Lost {
		b = appendJSONFlowMembers(b, s, &e.Flow, now)
	}
	if e.PortID != 0 {
		b = appendJSONUint(b, `,"portid":`, uint64(e.PortID))
		if program != "" {
			b = AppendJSONString(appendKey(b, `,"program":`), program)
		}
	}
	return append(b, '}')
}

func appendJSONFlowMembers(b []byte, s *Style, f *flow.Flow, now time.Time) []byte {
	b = appendJSONProtocols(b, &f.Orig)
	if f.Has.Has(flow.HasState) {
		b = append(appendState(append(appendKey(b, `,"state":`), '"'), f.Orig.Proto, f.State), '"')
	}
	if f.Has.Has(flow.HasTimeout) {
		b = appendJSONUint(b, `,"timeout":`, seconds(f.Timeout))
	}
	orig, reply := originalOf(f), replyOf(f)
	b = appendJSONDirection(b, `,"orig":`, &orig)
	b = appendJSONDirection(b, `,"reply":`, &reply)
	if f.Has.Has(flow.HasStatus) {
		b = appendStatus(appendKey(b, `,"status":`), true, f.Status)
	}
	if t, ok := translated(f); ok {
		b = appendTranslation(appendKey(b, `,"nat":`), true, t, f.Orig.Proto.Shape())
	}
	if f.Has.Has(flow.HasMark) {
		b = appendJSONUint(b, `,"mark":`, uint64(f.Mark))
	}
	if f.Has.Has(flow.HasSecMark) {
		b = appendJSONUint(b, `,"secmark":`, uint64(f.SecMark))
	}
	if f.Has.Has(flow.HasSecCtx) {
		b = AppendJSONString(appendKey(b, `,"secctx":`), f.SecCtx)
	}
	if f.Has.Has(flow.HasZone) {
		b = appendJSONUint(b, `,"zone":`, uint64(f.Zone))
	}
	if f.Has.Has(flow.HasLabels) {
		b = appendLabelBits(appendKey(b, `,"labels":`), true, &f.Labels)
		if s.labelled(f) {
			b = appendLabelNames(appendKey(b, `,"label_names":`), true, s.Labels, &f.Labels)
		}
	}
	if f.Has.Has(flow.HasHelper) {
		b = AppendJSONString(appendKey(b, `,"helper":`), f.Helper)
	}
	if f.Has.Has(flow.HasUse) {
		b = appendJSONUint(b, `,"use":`, uint64(f.Use))
	}
	if f.Has.Has(flow.HasID) {
		b = appendJSONUint(b, `,"id":`, uint64(f.ID))
	}
	if f.Has.Has(flow.HasStart) {
		b = append(appendTime(append(appendKey(b, `,"start":`), '"'), f.Start.Time()), '"')
	}
	if f.Has.Has(flow.HasStop) {
		b = append(appendTime(append(appendKey(b, `,"stop":`), '"'), f.Stop.Time()), '"')
	}
	if f.Has.Has(flow.HasStart) {
		b = appendDuration(appendKey(b, `,"duration":`), f, now)
	}
	return appendJSONRareMembers(b, f)
}

// appendJSONRareMembers appends what few flows have.
func appendJSONRareMembers(b []byte, f *flow.Flow) []byte {
	if f.Has.Has(flow.HasMaster) {
		b = append(appendKey(b, `,"master":`), '{')
		b = append(appendJSONTuple(appendJSONProto(b, f.Master.Proto), &f.Master), '}')
	}
	if f.Has.Has(flow.HasDCCP) {
		b = append(appendKey(b, `,"dccp":`), '{')
		b = AppendJSONString(appendKey(b, `,"role":`), f.DCCP.Role.String())
		b = append(appendJSONUint(b, `,"handshake_seq":`, f.DCCP.HandshakeSeq), '}')
	}
	if f.Has.Has(flow.HasSynproxy) {
		b = append(appendKey(b, `,"synproxy":`), '{')
		b = appendJSONUint(b, `,"isn":`, uint64(f.Synproxy.ISN))
		b = appendJSONUint(b, `,"its":`, uint64(f.Synproxy.ITS))
		b = append(appendJSONUint(b, `,"tsoff":`, uint64(f.Synproxy.TSOff)), '}')
	}
	return b
}

// appendJSONDirection appends what belongs to one direction, or nothing if nothing
// was reported of it.
func appendJSONDirection(b []byte, key string, d *direction) []byte {
	if *d == (direction{}) {
		return b
	}
	b = append(appendKey(b, key), '{')
	if d.tuple != nil {
		b = appendJSONTuple(b, d.tuple)
	}
	if d.counters != nil {
		b = appendJSONUint(b, `,"packets":`, d.counters.Packets)
		b = appendJSONUint(b, `,"bytes":`, d.counters.Bytes)
	}
	if d.window != nil {
		b = appendJSONUint(b, `,"wscale":`, uint64(d.window.Scale))
		b = appendTCPFlags(appendKey(b, `,"tcpflags":`), true, d.window.Flags)
	}
	if d.vtag != nil {
		b = appendJSONUint(b, `,"vtag":`, uint64(*d.vtag))
	}
	if d.seqAdj != nil {
		b = append(appendKey(b, `,"seqadj":`), '{')
		b = appendJSONUint(b, `,"pos":`, uint64(d.seqAdj.CorrectionPos))
		b = strconv.AppendInt(appendKey(b, `,"before":`), int64(d.seqAdj.OffsetBefore), 10)
		b = strconv.AppendInt(appendKey(b, `,"after":`), int64(d.seqAdj.OffsetAfter), 10)
		b = append(b, '}')
	}
	return append(b, '}')
}

func appendJSONExpect(b []byte, x *flow.Expect) []byte {
	return append(appendJSONExpectMembers(append(b, '{'), x), '}')
}

func appendJSONExpectEvent(b []byte, e *flow.ExpectEvent, now time.Time) []byte {
	b = appendJSONEventHead(b, e.Type, e.Dropped, now)
	if e.Type != flow.Lost {
		b = appendJSONExpectMembers(b, &e.Expect)
	}
	if e.PortID != 0 {
		b = appendJSONUint(b, `,"portid":`, uint64(e.PortID))
	}
	return append(b, '}')
}

func appendJSONExpectMembers(b []byte, x *flow.Expect) []byte {
	b = appendJSONProtocols(b, &x.Tuple)
	if x.Has.Has(flow.ExpectHasTimeout) {
		b = appendJSONUint(b, `,"timeout":`, seconds(x.Timeout))
	}
	b = append(appendKey(b, `,"tuple":`), '{')
	b = append(appendJSONTuple(b, &x.Tuple), '}')
	if x.Has.Has(flow.ExpectHasMask) {
		b = append(appendKey(b, `,"mask":`), '{')
		b = append(appendJSONTuple(b, &x.Mask), '}')
	}
	if x.Has.Has(flow.ExpectHasMaster) {
		b = append(appendKey(b, `,"master":`), '{')
		b = append(appendJSONTuple(appendJSONProto(b, x.Master.Proto), &x.Master), '}')
	}
	if x.Has.Has(flow.ExpectHasZone) {
		b = appendJSONUint(b, `,"zone":`, uint64(x.Zone))
	}
	if x.Has.Has(flow.ExpectHasFlags) {
		b = appendExpectFlags(appendKey(b, `,"flags":`), true, x.Flags)
	}
	if x.Has.Has(flow.ExpectHasClass) {
		b = appendJSONUint(b, `,"class":`, uint64(x.Class))
	}
	if x.Has.Has(flow.ExpectHasHelper) {
		b = AppendJSONString(appendKey(b, `,"helper":`), x.Helper)
	}
	if x.Has.Has(flow.ExpectHasFunc) {
		b = AppendJSONString(appendKey(b, `,"func":`), x.Func)
	}
	if x.Has.Has(flow.ExpectHasID) {
		b = appendJSONUint(b, `,"id":`, uint64(x.ID))
	}
	if x.Has.Has(flow.ExpectHasNAT) {
		b = append(appendKey(b, `,"nat":`), '{')
		b = AppendJSONString(appendKey(b, `,"dir":`), natDirection(x))
		b = append(appendJSONTuple(b, &x.NAT), '}')
	}
	return b
}

// appendJSONEventHead opens the object of an event.
func appendJSONEventHead(b []byte, typ flow.EventType, dropped uint64, now time.Time) []byte {
	b = append(b, '{')
	if name := typeName(typ); name != "" {
		b = AppendJSONString(appendKey(b, `,"type":`), name)
	}
	b = append(appendTime(append(appendKey(b, `,"time":`), '"'), now), '"')
	if dropped != 0 {
		b = appendJSONUint(b, `,"dropped":`, dropped)
	}
	return b
}

func appendJSONProtocols(b []byte, t *flow.Tuple) []byte {
	if family := t.Family(); family != flow.AnyFamily {
		b = appendJSONName(appendKey(b, `,"family":`), family.String())
	}
	return appendJSONProto(b, t.Proto)
}

func appendJSONProto(b []byte, p flow.Proto) []byte {
	if p.Known() {
		b = appendJSONName(appendKey(b, `,"proto":`), p.String())
	}
	return appendJSONUint(b, `,"protonum":`, uint64(p))
}

func appendJSONTuple(b []byte, t *flow.Tuple) []byte {
	if t.Src.IsValid() {
		b = append(AppendAddr(append(appendKey(b, `,"src":`), '"'), t.Src), '"')
	}
	if t.Dst.IsValid() {
		b = append(AppendAddr(append(appendKey(b, `,"dst":`), '"'), t.Dst), '"')
	}
	switch t.Proto.Shape() {
	case flow.ShapePorts:
		b = appendJSONUint(b, `,"sport":`, uint64(t.SrcPort))
		b = appendJSONUint(b, `,"dport":`, uint64(t.DstPort))
	case flow.ShapeKeys:
		b = appendJSONUint(b, `,"srckey":`, uint64(t.SrcPort))
		b = appendJSONUint(b, `,"dstkey":`, uint64(t.DstPort))
	case flow.ShapeICMP:
		b = appendJSONUint(b, `,"type":`, uint64(t.ICMPType()))
		b = appendJSONUint(b, `,"code":`, uint64(t.ICMPCode()))
		b = appendJSONUint(b, `,"id":`, uint64(t.ICMPID()))
	}
	if t.Zone != 0 {
		b = appendJSONUint(b, `,"zone":`, uint64(t.Zone))
	}
	return b
}

// appendKey appends a key, which is given as it follows another member, with comma, quotes and colon.
func appendKey(b []byte, key string) []byte {
	if b[len(b)-1] == '{' {
		key = key[1:]
	}
	return append(b, key...)
}

func appendJSONUint(b []byte, key string, n uint64) []byte {
	return AppendDecimal(appendKey(b, key), n)
}

// appendJSONName appends a string of ours, in which nothing needs escaping.
func appendJSONName(b []byte, s string) []byte {
	return append(append(append(b, '"'), s...), '"')
}

// AppendJSONString appends s as a string. Helpers, contexts and programs are named
// by others and may hold any byte: what is not UTF-8 becomes U+FFFD.
func AppendJSONString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError {
				b = append(b, `\ufffd`...)
			} else {
				b = append(b, s[i:i+size]...)
			}
			i += size
			continue
		}
		i++
	}
	return append(b, '"')
}
