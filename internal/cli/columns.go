package cli

import (
	"encoding/binary"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/render"
)

// column is a part of each line of a list.
type column struct {
	name, title string
	width       int  // what fits nearly always; more moves the columns behind
	right       bool // flush right, as numbers are
	// append appends what the flow has there; nothing is shown as a dash.
	append func(b []byte, l *look, f *flow.Flow) []byte
	// key is what lines are ordered by; equal keys leave the order as it is. Numbers begin with the largest.
	key func(l *look, f *flow.Flow) key
}

// look is what the contents of columns depend on beside the flow.
type look struct {
	now      time.Time
	services map[uint16]string // names instead of numbers; nil: none
	host     func(netip.Addr) string
}

// key is ordered as its bytes are.
type key [24]byte

func numberKey(n uint64) (k key) {
	binary.BigEndian.PutUint64(k[:], math.MaxUint64-n)
	return k
}

func textKey(s string) (k key) {
	copy(k[:], s)
	return k
}

func addrKey(a netip.Addr, port uint16) (k key) {
	b := a.As16()
	k[0] = byte(a.BitLen())
	copy(k[1:], b[:])
	binary.BigEndian.PutUint16(k[17:], port)
	return k
}

// To add a column: a row here, and a line in docs/spoor.md.
var columns = [...]column{
	{"proto", "PROTO", 6, false, appendProto, func(_ *look, f *flow.Flow) key { return textKey(f.Orig.Proto.String()) }},
	{"state", "STATE", 11, false, appendState, func(_ *look, f *flow.Flow) key { return textKey(stateOf(f)) }},
	{"src", "SOURCE", 21, false, func(b []byte, l *look, f *flow.Flow) []byte {
		return l.appendEnd(b, f.Orig.Src, f.Orig.SrcPort, f.Orig.Proto)
	}, func(_ *look, f *flow.Flow) key { return addrKey(f.Orig.Src, f.Orig.SrcPort) }},
	{"dst", "DESTINATION", 21, false, func(b []byte, l *look, f *flow.Flow) []byte {
		return l.appendEnd(b, f.Orig.Dst, f.Orig.DstPort, f.Orig.Proto)
	}, func(_ *look, f *flow.Flow) key { return addrKey(f.Orig.Dst, f.Orig.DstPort) }},
	{"nat", "TRANSLATED TO", 22, false, appendNAT, func(_ *look, f *flow.Flow) key {
		return addrKey(f.Reply.Dst, f.Reply.DstPort)
	}},
	{"reply-src", "REPLY SOURCE", 21, false, func(b []byte, l *look, f *flow.Flow) []byte {
		return l.appendEnd(b, f.Reply.Src, f.Reply.SrcPort, f.Reply.Proto)
	}, func(_ *look, f *flow.Flow) key { return addrKey(f.Reply.Src, f.Reply.SrcPort) }},
	{"reply-dst", "REPLY DESTINATION", 21, false, func(b []byte, l *look, f *flow.Flow) []byte {
		return l.appendEnd(b, f.Reply.Dst, f.Reply.DstPort, f.Reply.Proto)
	}, func(_ *look, f *flow.Flow) key { return addrKey(f.Reply.Dst, f.Reply.DstPort) }},
	{"bytes", "BYTES", 6, true, func(b []byte, _ *look, f *flow.Flow) []byte {
		return appendCounted(b, f, flow.HasOrigCounters|flow.HasReplyCounters, f.OrigCounters.Bytes+f.ReplyCounters.Bytes)
	}, func(_ *look, f *flow.Flow) key { return numberKey(f.OrigCounters.Bytes + f.ReplyCounters.Bytes) }},
	{"orig-bytes", "SENT", 6, true, func(b []byte, _ *look, f *flow.Flow) []byte {
		return appendCounted(b, f, flow.HasOrigCounters, f.OrigCounters.Bytes)
	}, func(_ *look, f *flow.Flow) key { return numberKey(f.OrigCounters.Bytes) }},
	{"reply-bytes", "ANSWER", 6, true, func(b []byte, _ *look, f *flow.Flow) []byte {
		return appendCounted(b, f, flow.HasReplyCounters, f.ReplyCounters.Bytes)
	}, func(_ *look, f *flow.Flow) key { return numberKey(f.ReplyCounters.Bytes) }},
	{"packets", "PACKETS", 7, true, func(b []byte, _ *look, f *flow.Flow) []byte {
		return appendCounted(b, f, flow.HasOrigCounters|flow.HasReplyCounters, f.OrigCounters.Packets+f.ReplyCounters.Packets)
	}, func(_ *look, f *flow.Flow) key { return numberKey(f.OrigCounters.Packets + f.ReplyCounters.Packets) }},
	{"age", "AGE", 6, true, func(b []byte, l *look, f *flow.Flow) []byte {
		if !f.Has.Has(flow.HasStart) {
			return b
		}
		return render.AppendSpan(b, l.age(f))
	}, func(l *look, f *flow.Flow) key { return numberKey(uint64(l.age(f))) }},
	{"timeout", "EXPIRES", 7, true, func(b []byte, _ *look, f *flow.Flow) []byte {
		if !f.Has.Has(flow.HasTimeout) {
			return b
		}
		return render.AppendSpan(b, f.Timeout)
	}, func(_ *look, f *flow.Flow) key { return numberKey(uint64(max(0, f.Timeout))) }},
	{"status", "STATUS", 9, false, appendStatus, func(_ *look, f *flow.Flow) key { return numberKey(uint64(f.Status)) }},
	{"mark", "MARK", 6, true, func(b []byte, _ *look, f *flow.Flow) []byte {
		if f.Mark == 0 {
			return b
		}
		return strconv.AppendUint(append(b, "0x"...), uint64(f.Mark), 16)
	}, func(_ *look, f *flow.Flow) key { return numberKey(uint64(f.Mark)) }},
	{"zone", "ZONE", 5, true, appendZone, func(_ *look, f *flow.Flow) key { return numberKey(uint64(f.Zone)) }},
	{"label", "LABELS", 8, false, appendLabels, func(_ *look, f *flow.Flow) key { return textKey(string(f.Labels[:])) }},
	{"helper", "HELPER", 8, false, func(b []byte, _ *look, f *flow.Flow) []byte { return append(b, f.Helper...) },
		func(_ *look, f *flow.Flow) key { return textKey(f.Helper) }},
	{"secctx", "CONTEXT", 20, false, func(b []byte, _ *look, f *flow.Flow) []byte { return append(b, f.SecCtx...) },
		func(_ *look, f *flow.Flow) key { return textKey(f.SecCtx) }},
	{"id", "ID", 10, true, func(b []byte, _ *look, f *flow.Flow) []byte {
		if !f.Has.Has(flow.HasID) {
			return b
		}
		return strconv.AppendUint(b, uint64(f.ID), 10)
	}, func(_ *look, f *flow.Flow) key { return numberKey(uint64(f.ID)) }},
	{"use", "USE", 3, true, func(b []byte, _ *look, f *flow.Flow) []byte { return strconv.AppendUint(b, uint64(f.Use), 10) },
		func(_ *look, f *flow.Flow) key { return numberKey(uint64(f.Use)) }},
}

// usualColumns are shown unless others are asked for.
const usualColumns = "proto,state,src,dst,nat,bytes,age,timeout,status"

// columnNames lists all columns.
func columnNames() string {
	var all []string
	for i := range columns {
		all = append(all, columns[i].name)
	}
	return strings.Join(all, ",")
}

func columnNamed(name string) (*column, error) {
	i := slices.IndexFunc(columns[:], func(c column) bool { return c.name == name })
	if i < 0 {
		return nil, usagef("there is no column %q: choose from %s", name, columnNames())
	}
	return &columns[i], nil
}

func columnsNamed(list string) (all []*column, err error) {
	for name := range strings.SplitSeq(list, ",") {
		c, err := columnNamed(strings.TrimSpace(name))
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// appendLine appends a line with the columns, of which the last is not filled up.
func appendLine(b []byte, cols []*column, l *look, f *flow.Flow) []byte {
	for i, c := range cols {
		if i > 0 {
			b = append(b, "  "...)
		}
		begin := len(b)
		if b = c.append(b, l, f); len(b) == begin {
			b = append(b, '-')
		}
		b = aligned(b, begin, c.width, c.right, i == len(cols)-1)
	}
	return append(b, '\n')
}

// appendTitles appends the line above.
func appendTitles(b []byte, cols []*column) []byte {
	for i, c := range cols {
		if i > 0 {
			b = append(b, "  "...)
		}
		begin := len(b)
		b = aligned(append(b, c.title...), begin, c.width, c.right, i == len(cols)-1)
	}
	return append(b, '\n')
}

const blanks = "                                        "

// aligned fills b[begin:] up to the width.
func aligned(b []byte, begin, width int, right, last bool) []byte {
	missing := width - (len(b) - begin)
	if missing <= 0 || last && !right {
		return b
	}
	end := len(b)
	b = append(b, blanks...)
	if right {
		copy(b[begin+missing:end+missing], b[begin:end])
		copy(b[begin:begin+missing], blanks)
	}
	return b[:end+missing]
}

func appendProto(b []byte, _ *look, f *flow.Flow) []byte { return append(b, f.Orig.Proto.String()...) }

// stateOf is the tracker's state or, for protocols without states, whether there was an answer.
func stateOf(f *flow.Flow) string {
	switch {
	case f.Has.Has(flow.HasState):
		return f.Orig.Proto.StateName(f.State)
	case !f.Status.Has(flow.SeenReply):
		return "UNREPLIED"
	}
	return ""
}

func appendState(b []byte, _ *look, f *flow.Flow) []byte { return append(b, stateOf(f)...) }

// appendEnd appends an address and what tells flows between the same hosts apart.
func (l *look) appendEnd(b []byte, a netip.Addr, port uint16, p flow.Proto) []byte {
	if !a.IsValid() {
		return b
	}
	name := ""
	if l.host != nil {
		name = l.host(a)
	}
	shape := p.Shape()
	ports := shape == flow.ShapePorts || shape == flow.ShapeKeys
	switch {
	case name != "":
		b = append(b, name...)
	case a.Is6() && ports:
		b = append(render.AppendAddr(append(b, '['), a), ']')
	default:
		b = render.AppendAddr(b, a)
	}
	if !ports {
		return b
	}
	b = append(b, ':')
	if l.services != nil {
		if service := l.services[port]; service != "" {
			return append(b, service...)
		}
	}
	return render.AppendDecimal(b, uint64(port))
}

// appendNAT appends what source and destination are translated into.
func appendNAT(b []byte, l *look, f *flow.Flow) []byte {
	t := f.Translated()
	src, dst := t.SrcAddr || t.SrcPort, t.DstAddr || t.DstPort
	if src {
		b = l.appendEnd(append(b, "from "...), f.Reply.Dst, f.Reply.DstPort, f.Reply.Proto)
	}
	if dst {
		if src {
			b = append(b, ' ')
		}
		b = l.appendEnd(append(b, "to "...), f.Reply.Src, f.Reply.SrcPort, f.Reply.Proto)
	}
	return b
}

// appendCounted appends a number of bytes or packets in four or five characters.
func appendCounted(b []byte, f *flow.Flow, has flow.Fields, n uint64) []byte {
	if f.Has&has == 0 {
		return b
	}
	return render.AppendShort(b, n)
}

// age is for how long the flow has lasted, or lasted.
func (l *look) age(f *flow.Flow) time.Duration {
	if !f.Has.Has(flow.HasStart) {
		return 0
	}
	end := flow.Timestamp(l.now.UnixNano())
	if f.Has.Has(flow.HasStop) {
		end = f.Stop
	}
	return max(0, time.Duration(end-f.Start))
}

// appendStatus appends what is worth knowing: that all others are CONFIRMED is not.
func appendStatus(b []byte, _ *look, f *flow.Flow) []byte {
	begin := len(b)
	for _, s := range [...]struct {
		bit  flow.Status
		text string
	}{
		{flow.Assured, "assured"}, {flow.Expected, "related"}, {flow.Dying, "dying"}, {flow.Offload, "offload"},
		{flow.HWOffload, "hw_offload"}, {flow.FixedTimeout, "fixed_timeout"},
	} {
		if f.Status.Has(s.bit) {
			if len(b) > begin {
				b = append(b, ',')
			}
			b = append(b, s.text...)
		}
	}
	return b
}

// appendZone appends the zone, of one direction if it is not that of both.
func appendZone(b []byte, _ *look, f *flow.Flow) []byte {
	switch {
	case f.Zone != 0:
		return strconv.AppendUint(b, uint64(f.Zone), 10)
	case f.Orig.Zone != 0:
		return strconv.AppendUint(append(b, "orig "...), uint64(f.Orig.Zone), 10)
	case f.Reply.Zone != 0:
		return strconv.AppendUint(append(b, "reply "...), uint64(f.Reply.Zone), 10)
	}
	return b
}

func appendLabels(b []byte, _ *look, f *flow.Flow) []byte {
	begin := len(b)
	if f.Labels == (flow.Labels{}) {
		return b
	}
	for bit := range flow.LabelBits {
		if f.Labels.Bit(bit) {
			if len(b) > begin {
				b = append(b, ',')
			}
			b = strconv.AppendInt(b, int64(bit), 10)
		}
	}
	return b
}
