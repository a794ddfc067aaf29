package render

import (
	"slices"
	"strconv"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// appendTextFlow appends f as conntrack -L prints it, without the newline.
func appendTextFlow(b []byte, s *Style, f *flow.Flow, now time.Time) []byte {
	proto := f.Orig.Proto
	if s.Extended {
		family := f.Orig.Family()
		b = appendProtocol(b, family.String(), uint64(family))
	}
	switch proto {
	case flow.TCP: // nearly all are one of these two
		b = append(b, "tcp      6 "...)
	case flow.UDP:
		b = append(b, "udp      17 "...)
	default:
		b = appendProtocol(b, protoName(proto), uint64(proto))
	}
	if f.Has.Has(flow.HasTimeout) {
		b = append(AppendDecimal(b, seconds(f.Timeout)), ' ')
	}
	if f.Has.Has(flow.HasState) {
		if name := stateName(proto, f.State); name != "" {
			b = append(append(b, name...), ' ')
		}
	}
	b = appendTextEnds(b, &f.Orig)
	if f.Orig.Zone != 0 {
		b = append(appendUint(b, "zone-orig=", uint64(f.Orig.Zone)), ' ')
	}
	if f.Has.Has(flow.HasOrigCounters) {
		b = appendTextCounters(b, f.OrigCounters)
	}
	if f.Has.Has(flow.HasStatus) && !f.Status.Has(flow.SeenReply) {
		b = append(b, "[UNREPLIED] "...)
	}
	if f.Has.Has(flow.HasReply) {
		b = appendTextEnds(b, &f.Reply)
		if f.Reply.Zone != 0 {
			b = append(appendUint(b, "zone-reply=", uint64(f.Reply.Zone)), ' ')
		}
	}
	if f.Has.Has(flow.HasReplyCounters) {
		b = appendTextCounters(b, f.ReplyCounters)
	}
	switch {
	case f.Status.Has(flow.HWOffload):
		b = append(b, "[HW_OFFLOAD] "...)
	case f.Status.Has(flow.Offload):
		b = append(b, "[OFFLOAD] "...)
	case f.Status.Has(flow.Assured):
		b = append(b, "[ASSURED] "...)
	}
	b = appendTextMeta(b, s, f, now)
	return trimBlank(b)
}

// appendTextMeta appends what belongs to neither direction.
func appendTextMeta(b []byte, s *Style, f *flow.Flow, now time.Time) []byte {
	if f.Has.Has(flow.HasMark) {
		b = append(appendUint(b, "mark=", uint64(f.Mark)), ' ')
	}
	if f.Has.Has(flow.HasSecMark) {
		b = append(appendUint(b, "secmark=", uint64(f.SecMark)), ' ')
	}
	if f.Has.Has(flow.HasSecCtx) {
		b = append(append(append(b, "secctx="...), f.SecCtx...), ' ')
	}
	if f.Has.Has(flow.HasZone) {
		b = append(appendUint(b, "zone=", uint64(f.Zone)), ' ')
	}
	if f.Has.Has(flow.HasStart) {
		b = append(appendUint(b, "delta-time=", age(f, now)), ' ')
	}
	if s.KernelTime {
		if f.Has.Has(flow.HasStart) {
			b = appendKernelTime(b, "[start=", f.Start, now.Location())
		}
		if f.Has.Has(flow.HasStop) {
			b = appendKernelTime(b, "[stop=", f.Stop, now.Location())
		}
	}
	if f.Has.Has(flow.HasHelper) {
		b = append(append(append(b, "helper="...), f.Helper...), ' ')
	}
	if f.Has.Has(flow.HasUse) {
		b = append(appendUint(b, "use=", uint64(f.Use)), ' ')
	}
	if s.ID && f.Has.Has(flow.HasID) {
		b = append(appendUint(b, "id=", uint64(f.ID)), ' ')
	}
	if s.labelled(f) {
		b = appendTextLabels(b, s.Labels, &f.Labels)
	}
	return b
}

// appendTextEvent appends an event as conntrack -E prints it.
func appendTextEvent(b []byte, s *Style, e *flow.Event, program string, now time.Time) []byte {
	b = appendEventTime(b, s, e, now)
	b = appendEventType(b, e.Type)
	b = appendTextFlow(b, s, &e.Flow, now)
	return appendRequester(b, e.PortID, program)
}

// appendTextExpect appends an expectation, or an event of one if typ is not 0.
func appendTextExpect(b []byte, s *Style, x *flow.Expect, typ flow.EventType, now time.Time) []byte {
	if s.Timestamp {
		b = append(strconv.AppendInt(append(b, '['), now.Unix(), 10), '.')
		usec := len(b)
		b = strconv.AppendInt(b, int64(now.Nanosecond()/1000), 10)
		// Filled with blanks on the right, where events of flows have zeros on the left.
		b = append(b, "      "[len(b)-usec:]...)
		b = append(b, "]\t"...)
	}
	b = appendEventType(b, typ)
	if x.Has.Has(flow.ExpectHasTimeout) {
		b = append(AppendDecimal(b, seconds(x.Timeout)), ' ')
	}
	b = append(appendUint(b, "proto=", uint64(x.Tuple.Proto)), ' ')
	b = appendTextTuple(b, &x.Tuple, "src=", "dst=")
	if x.Has.Has(flow.ExpectHasMask) {
		b = appendTextTuple(b, &x.Mask, "mask-src=", "mask-dst=")
	}
	if x.Has.Has(flow.ExpectHasMaster) {
		b = appendTextTuple(b, &x.Master, "master-src=", "master-dst=")
	}
	if x.Has.Has(flow.ExpectHasZone) {
		b = append(appendUint(b, "zone=", uint64(x.Zone)), ' ')
	}
	if x.Flags != 0 {
		for i, name := range expectFlagNames {
			if x.Flags.Has(1 << i) {
				b = append(append(b, name...), ',')
			}
		}
		if b[len(b)-1] == ',' {
			b = b[:len(b)-1]
		}
		b = append(b, ' ')
	}
	if x.Has.Has(flow.ExpectHasClass) {
		b = append(appendUint(b, "class=", uint64(x.Class)), ' ')
	}
	if x.Has.Has(flow.ExpectHasHelper) {
		b = append(append(b, "helper="...), x.Helper...)
	}
	return trimBlank(b)
}

// expectFlagNames has the names of the expectation flags, by bit.
var expectFlagNames = [...]string{"PERMANENT", "INACTIVE", "USERSPACE"}

// appendProtocol appends the name and number of a protocol in columns.
func appendProtocol(b []byte, name string, number uint64) []byte {
	b = append(b, name...)
	b = append(b, "         "[min(len(name), 8):]...) // 8 columns and a blank
	return append(AppendDecimal(b, number), ' ')
}

// appendTextEnds is appendTextTuple for a tuple of a flow, of which there are two in each line. It makes room for all of it at once, and
// puts whole words there, of which the next covers what is too much: to append such small pieces one by one takes twice the time.
func appendTextEnds(b []byte, t *flow.Tuple) []byte {
	if !t.Src.Is4() || !t.Dst.Is4() || t.Proto.Shape() != flow.ShapePorts {
		return appendTextTuple(b, t, "src=", "dst=")
	}
	at := len(b)
	b = slices.Grow(b, len("src=255.255.255.255 dst=255.255.255.255 sport=65535 dport=65535         "))
	b = b[:cap(b)]
	*(*[4]byte)(b[at:]) = [4]byte{'s', 'r', 'c', '='}
	at = putIPv4(b, at+len("src="), t.Src.As4())
	*(*[8]byte)(b[at:]) = [8]byte{' ', 'd', 's', 't', '='}
	at = putIPv4(b, at+len(" dst="), t.Dst.As4())
	*(*[8]byte)(b[at:]) = [8]byte{' ', 's', 'p', 'o', 'r', 't', '='}
	at = putPort(b, at+len(" sport="), t.SrcPort)
	*(*[8]byte)(b[at:]) = [8]byte{' ', 'd', 'p', 'o', 'r', 't', '='}
	at = putPort(b, at+len(" dport="), t.DstPort)
	b[at] = ' '
	return b[:at+1]
}

// appendTextTuple appends the addresses of t, under the given names, and what tells
// it apart from others between the same hosts.
func appendTextTuple(b []byte, t *flow.Tuple, src, dst string) []byte {
	if family := t.Family(); family != flow.AnyFamily {
		b = append(appendAddrOf(append(b, src...), t.Src, family), ' ')
		b = append(appendAddrOf(append(b, dst...), t.Dst, family), ' ')
	}
	switch t.Proto.Shape() {
	case flow.ShapePorts:
		b = appendUint(b, "sport=", uint64(t.SrcPort))
		b = append(appendUint(b, " dport=", uint64(t.DstPort)), ' ')
	case flow.ShapeKeys:
		b = strconv.AppendUint(append(b, "srckey=0x"...), uint64(t.SrcPort), 16)
		b = append(strconv.AppendUint(append(b, " dstkey=0x"...), uint64(t.DstPort), 16), ' ')
	case flow.ShapeICMP:
		b = appendUint(b, "type=", uint64(t.ICMPType()))
		b = appendUint(b, " code=", uint64(t.ICMPCode()))
		b = append(appendUint(b, " id=", uint64(t.ICMPID())), ' ')
	}
	return b
}

func appendTextCounters(b []byte, c flow.Counters) []byte {
	b = appendUint(b, "packets=", c.Packets)
	return append(appendUint(b, " bytes=", c.Bytes), ' ')
}

// appendTextLabels appends the names of the labels that have one. If none has, only
// the word "labels" is left, without the equals sign.
func appendTextLabels(b []byte, m *flow.LabelMap, set *flow.Labels) []byte {
	b = append(b, "labels"...)
	sep := byte('=')
	for bit := range flow.LabelBits {
		if !set.Bit(bit) {
			continue
		}
		if name := m.Name(bit); name != "" {
			b = append(append(b, sep), name...)
			sep = ','
		}
	}
	return append(b, ' ')
}

// appendKernelTime appends a time as ctime(3) prints it.
func appendKernelTime(b []byte, name string, ts flow.Timestamp, zone *time.Location) []byte {
	b = ts.Time().In(zone).AppendFormat(append(b, name...), time.ANSIC)
	return append(b, "] "...)
}

// appendEventTime appends when the event happened, as the kernel says, or else when
// it was received.
func appendEventTime(b []byte, s *Style, e *flow.Event, now time.Time) []byte {
	if !s.Timestamp {
		return b
	}
	if e.Time != 0 {
		now = e.Time.Time()
	}
	b = strconv.AppendInt(append(b, '['), now.Unix(), 10)
	b = appendPadded(append(b, '.'), uint64(now.Nanosecond()/1000), 6)
	return append(b, "]\t"...)
}

// appendEventType appends the type of an event, flush right in ten columns.
func appendEventType(b []byte, typ flow.EventType) []byte {
	switch typ {
	case flow.New:
		return append(b, "    [NEW] "...)
	case flow.Update:
		return append(b, " [UPDATE] "...)
	case flow.Destroy:
		return append(b, "[DESTROY] "...)
	}
	return b
}

// appendRequester appends who asked for a change, unless the kernel made it itself.
func appendRequester(b []byte, portID uint32, program string) []byte {
	if portID == 0 {
		return b
	}
	b = appendUint(b, " [USERSPACE] portid=", uint64(portID))
	if program != "" {
		b = append(append(b, " progname="...), program...)
	}
	return b
}

// trimBlank drops the blank that every field leaves behind it.
func trimBlank(b []byte) []byte {
	if n := len(b) - 1; n >= 0 && b[n] == ' ' {
		return b[:n]
	}
	return b
}
