package render

import (
	"strconv"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// appendXMLFlow appends f as conntrack -o xml prints it, without the newline; as an
// event if typ is not 0.
func appendXMLFlow(b []byte, s *Style, f *flow.Flow, typ flow.EventType, now time.Time) []byte {
	b = appendXMLOpen(b, typ)
	counted := f.Has.Has(flow.HasOrigCounters) // decides for both directions
	b = appendXMLDirection(b, "original", &f.Orig, &f.OrigCounters, counted)
	b = appendXMLDirection(b, "reply", &f.Reply, &f.ReplyCounters, counted)

	const meta = flow.HasState | flow.HasTimeout | flow.HasMark | flow.HasSecMark | flow.HasZone |
		flow.HasUse | flow.HasStatus | flow.HasID | flow.HasLabels | flow.HasStart | flow.HasStop
	if f.Has&meta != 0 {
		b = append(b, `<meta direction="independent">`...)
	}
	b = appendXMLMeta(b, s, f, now)
	if f.Has&meta != 0 {
		b = append(b, "</meta>"...)
	}
	if s.Timestamp && typ != 0 {
		b = appendXMLWhen(b, now)
	}
	if f.Has.Has(flow.HasHelper) {
		b = appendXMLString(b, "<helper>", f.Helper, "</helper>")
	}
	return append(b, "</flow>"...)
}

// appendXMLMeta appends what belongs to neither direction.
func appendXMLMeta(b []byte, s *Style, f *flow.Flow, now time.Time) []byte {
	if f.Has.Has(flow.HasState) && f.Orig.Proto.StateName(0) != "" {
		// All protocols get the names of TCP: an old mistake that readers know.
		b = appendXMLString(b, "<state>", stateName(flow.TCP, f.State), "</state>")
	}
	if f.Has.Has(flow.HasTimeout) {
		b = appendXMLUint(b, "<timeout>", seconds(f.Timeout), "</timeout>")
	}
	if f.Has.Has(flow.HasMark) {
		b = appendXMLUint(b, "<mark>", uint64(f.Mark), "</mark>")
	}
	if s.labelled(f) {
		b = append(b, "<labels>"...)
		for bit := range flow.LabelBits {
			if name := s.Labels.Name(bit); name != "" && f.Labels.Bit(bit) {
				b = appendXMLString(b, "<label>", name, "</label>")
			}
		}
		b = append(b, "</labels>"...)
	}
	if f.Has.Has(flow.HasSecMark) {
		b = appendXMLUint(b, "<secmark>", uint64(f.SecMark), "</secmark>")
	}
	if f.Has.Has(flow.HasSecCtx) {
		b = appendXMLString(b, "<secctx>", f.SecCtx, "</secctx>")
	}
	if f.Has.Has(flow.HasZone) {
		b = appendXMLUint(b, "<zone>", uint64(f.Zone), "</zone>")
	}
	if f.Has.Has(flow.HasUse) {
		b = appendXMLUint(b, "<use>", uint64(f.Use), "</use>")
	}
	if f.Has.Has(flow.HasID) {
		b = appendXMLUint(b, "<id>", uint64(f.ID), "</id>")
	}
	if f.Has.Has(flow.HasStatus) {
		if f.Status.Has(flow.Assured) {
			b = append(b, "<assured/>"...)
		}
		if !f.Status.Has(flow.SeenReply) {
			b = append(b, "<unreplied/>"...)
		}
	}
	return appendXMLLifetime(b, s, f, now)
}

func appendXMLLifetime(b []byte, s *Style, f *flow.Flow, now time.Time) []byte {
	started, stopped := f.Has.Has(flow.HasStart), f.Has.Has(flow.HasStop)
	if s.KernelTime && (started || stopped) {
		b = append(b, "<timestamp>"...)
		if started {
			b = appendXMLUint(b, "<start>", uint64(f.Start), "</start>")
		}
		if stopped {
			b = appendXMLUint(b, "<stop>", uint64(f.Stop), "</stop>")
		}
		b = append(b, "</timestamp>"...)
	}
	if !started {
		return b
	}
	delta := age(f, now)
	if stopped {
		// Here the difference is cut to seconds, in text its two ends: they may
		// disagree by one.
		delta = uint64(max(0, f.Stop-f.Start)) / uint64(time.Second)
	}
	return appendXMLUint(b, "<deltatime>", delta, "</deltatime>")
}

// appendXMLExpect appends an expectation, or an event of one if typ is not 0.
func appendXMLExpect(b []byte, s *Style, x *flow.Expect, typ flow.EventType, now time.Time) []byte {
	b = appendXMLOpen(b, typ)

	b = appendXMLLayer3(b, &x.Tuple)
	b = appendXMLAddrs(append(b, "<expected>"...), &x.Tuple)
	b = appendXMLAddrs(append(b, "</expected><mask>"...), &x.Mask)
	b = appendXMLAddrs(append(b, "</mask><master>"...), &x.Master)
	b = append(b, "</master></layer3>"...)

	b = appendXMLLayer4(b, x.Tuple.Proto)
	b = appendXMLPorts(append(b, "<expected>"...), &x.Tuple)
	b = appendXMLPorts(append(b, "</expected><mask>"...), &x.Mask)
	b = appendXMLPorts(append(b, "</mask><master>"...), &x.Master)
	b = append(b, "</master></layer4><meta>"...)

	if x.Has.Has(flow.ExpectHasHelper) {
		b = appendXMLString(b, "<helper-name>", x.Helper, "</helper-name>")
	}
	if x.Has.Has(flow.ExpectHasTimeout) {
		b = appendXMLUint(b, "<timeout>", seconds(x.Timeout), "</timeout>")
	}
	if x.Has.Has(flow.ExpectHasClass) {
		b = appendXMLUint(b, "<class>", uint64(x.Class), "</class>")
	}
	if x.Has.Has(flow.ExpectHasZone) {
		b = appendXMLUint(b, "<zone>", uint64(x.Zone), "</zone>")
	}
	if s.Timestamp {
		b = appendXMLWhen(b, now)
	}
	if x.Flags.Has(flow.ExpectPermanent) {
		b = append(b, "<permanent/>"...)
	}
	if x.Flags.Has(flow.ExpectInactive) {
		b = append(b, "<inactive/>"...)
	}
	if x.Flags.Has(flow.ExpectUserspace) {
		b = append(b, "<userspace/>"...)
	}
	return append(b, "</meta></flow>"...)
}

func appendXMLOpen(b []byte, typ flow.EventType) []byte {
	switch typ {
	case flow.New:
		return append(b, `<flow type="new">`...)
	case flow.Update:
		return append(b, `<flow type="update">`...)
	case flow.Destroy:
		return append(b, `<flow type="destroy">`...)
	}
	return append(b, "<flow>"...)
}

func appendXMLDirection(b []byte, name string, t *flow.Tuple, c *flow.Counters, counted bool) []byte {
	b = appendXMLString(b, `<meta direction="`, name, `">`)
	b = append(appendXMLAddrs(appendXMLLayer3(b, t), t), "</layer3>"...)
	b = append(appendXMLPorts(appendXMLLayer4(b, t.Proto), t), "</layer4>"...)
	if t.Zone != 0 {
		b = appendXMLUint(b, "<zone>", uint64(t.Zone), "</zone>")
	}
	if counted {
		b = appendXMLUint(b, "<counters><packets>", c.Packets, "</packets>")
		b = appendXMLUint(b, "<bytes>", c.Bytes, "</bytes></counters>")
	}
	return append(b, "</meta>"...)
}

func appendXMLLayer3(b []byte, t *flow.Tuple) []byte {
	family := t.Family()
	b = appendXMLUint(b, `<layer3 protonum="`, uint64(family), `" protoname="`)
	return append(append(b, family.String()...), `">`...)
}

func appendXMLLayer4(b []byte, p flow.Proto) []byte {
	b = appendXMLUint(b, `<layer4 protonum="`, uint64(p), `" protoname="`)
	return append(append(b, protoName(p)...), `">`...)
}

func appendXMLAddrs(b []byte, t *flow.Tuple) []byte {
	family := t.Family()
	b = appendAddrOf(append(b, "<src>"...), t.Src, family)
	b = appendAddrOf(append(b, "</src><dst>"...), t.Dst, family)
	return append(b, "</dst>"...)
}

// appendXMLPorts appends ports or keys. ICMP's fields are not shown.
func appendXMLPorts(b []byte, t *flow.Tuple) []byte {
	switch t.Proto.Shape() {
	case flow.ShapePorts:
		b = appendXMLUint(b, "<sport>", uint64(t.SrcPort), "</sport>")
		b = appendXMLUint(b, "<dport>", uint64(t.DstPort), "</dport>")
	case flow.ShapeKeys:
		b = strconv.AppendUint(append(b, "<srckey>0x"...), uint64(t.SrcPort), 16)
		b = strconv.AppendUint(append(b, "</srckey><dstkey>0x"...), uint64(t.DstPort), 16)
		b = append(b, "</dstkey>"...)
	}
	return b
}

// appendXMLWhen appends when the line was printed; the kernel's own time stamp is
// for text alone.
func appendXMLWhen(b []byte, now time.Time) []byte {
	hour, minute, sec := now.Clock()
	year, month, day := now.Date()
	b = appendXMLUint(b, "<when><hour>", uint64(hour), "</hour><min>")
	b = append(appendPadded(b, uint64(minute), 2), "</min><sec>"...)
	b = append(appendPadded(b, uint64(sec), 2), "</sec>"...)
	b = appendXMLUint(b, "<wday>", uint64(now.Weekday())+1, "</wday>")
	b = appendXMLUint(b, "<day>", uint64(day), "</day>")
	b = appendXMLUint(b, "<month>", uint64(month), "</month>")
	b = strconv.AppendInt(append(b, "<year>"...), int64(year), 10)
	return append(b, "</year></when>"...)
}

func appendXMLUint(b []byte, open string, n uint64, closing string) []byte {
	return append(AppendDecimal(append(b, open...), n), closing...)
}

func appendXMLString(b []byte, open, s, closing string) []byte {
	return append(append(append(b, open...), s...), closing...)
}
