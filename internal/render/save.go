package render

import (
	"encoding/binary"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// appendSaveFlow appends the options of conntrack(8) that recreate f. Mark, labels,
// helper and counters have always been missing here.
func appendSaveFlow(b []byte, f *flow.Flow, verb Verb) []byte {
	b = append(b, verbs[min(int(verb), len(verbs)-1)]...)
	if f.Has.Has(flow.HasTimeout) {
		b = appendUint(b, " -t ", seconds(f.Timeout))
	}
	if f.Has.Has(flow.HasStatus) {
		b = appendSaveStatus(b, f.Status)
	}
	if f.Has.Has(flow.HasSecMark) {
		b = appendUint(b, " -c ", uint64(f.SecMark))
	}
	if f.Has.Has(flow.HasZone) {
		b = appendUint(b, " -w ", uint64(f.Zone))
	}
	if f.Orig.Zone != 0 {
		b = appendUint(b, " --orig-zone ", uint64(f.Orig.Zone))
	}
	if f.Has.Has(flow.HasReply) && f.Reply.Zone != 0 {
		b = appendUint(b, " --reply-zone ", uint64(f.Reply.Zone))
	}
	b = appendSaveAddrs(b, &f.Orig, " -s ", " -d ")
	if f.Has.Has(flow.HasReply) {
		// A translation is saved as one: the address alone would be refused.
		src, dst := " -r ", " -q "
		nat := f.NAT()
		if nat.DstAddr {
			src = " -g "
		}
		if nat.SrcAddr {
			dst = " -n "
		}
		b = appendSaveAddrs(b, &f.Reply, src, dst)
	}
	b = append(append(b, " -p "...), f.Orig.Proto.String()...)
	return appendSaveProto(b, f)
}

// appendSaveEvent appends an event as the command that would make the same change.
func appendSaveEvent(b []byte, s *Style, e *flow.Event, program string, now time.Time) []byte {
	verb := Add
	switch e.Type {
	case flow.Update:
		verb = Update
	case flow.Destroy:
		verb = Delete
	}
	b = appendEventTime(b, s, e, now)
	b = appendSaveFlow(b, &e.Flow, verb)
	return appendRequester(b, e.PortID, program)
}

// savedStatus has the status bits that can be given on a command line.
var savedStatus = [...]flow.Status{flow.Expected, flow.SeenReply, flow.Assured, flow.FixedTimeout}

func appendSaveStatus(b []byte, status flow.Status) []byte {
	b = append(b, " -u "...)
	start := len(b)
	for _, bit := range savedStatus {
		if !status.Has(bit) {
			continue
		}
		if len(b) > start {
			b = append(b, ',')
		}
		b = append(b, bit.Name()...)
	}
	if len(b) == start {
		b = append(b, "UNSET"...)
	}
	return b
}

func appendSaveAddrs(b []byte, t *flow.Tuple, src, dst string) []byte {
	if t.Src.IsValid() {
		b = appendAddr(append(b, src...), t.Src)
	}
	if t.Dst.IsValid() {
		b = appendAddr(append(b, dst...), t.Dst)
	}
	return b
}

// appendSaveProto appends the options of f's layer 4 protocol.
func appendSaveProto(b []byte, f *flow.Flow) []byte {
	switch f.Orig.Proto.Shape() {
	case flow.ShapePorts:
		b = appendUint(b, " --sport ", uint64(f.Orig.SrcPort))
		b = appendUint(b, " --dport ", uint64(f.Orig.DstPort))
		if f.Has.Has(flow.HasReply) {
			b = appendUint(b, " --reply-port-src ", uint64(f.Reply.SrcPort))
			b = appendUint(b, " --reply-port-dst ", uint64(f.Reply.DstPort))
		}
	case flow.ShapeKeys:
		b = appendUint(b, " --srckey ", uint64(f.Orig.SrcPort))
		b = appendUint(b, " --dstkey ", uint64(f.Orig.DstPort))
		if f.Has.Has(flow.HasReply) {
			b = appendUint(b, " --reply-key-src ", uint64(f.Reply.SrcPort))
			b = appendUint(b, " --reply-key-dst ", uint64(f.Reply.DstPort))
		}
	case flow.ShapeICMP:
		names := &icmpOptions
		if f.Orig.Proto == flow.ICMPv6 {
			names = &icmpv6Options
		}
		b = appendUint(b, names[0], uint64(f.Orig.ICMPType()))
		b = appendUint(b, names[1], uint64(f.Orig.ICMPCode()))
		b = appendUint(b, names[2], uint64(f.Orig.ICMPID()))
	}
	if f.Has.Has(flow.HasState) {
		if name := saveState(f.Orig.Proto, f.State); name != "" {
			b = append(append(b, " --state "...), name...)
		}
	}
	switch f.Orig.Proto {
	case flow.SCTP:
		if f.Has.Has(flow.HasVTags) {
			b = appendUint(b, " --orig-vtag ", uint64(saveVTag(f.VTags.Orig)))
			b = appendUint(b, " --reply-vtag ", uint64(saveVTag(f.VTags.Reply)))
		}
	case flow.DCCP:
		if f.Has.Has(flow.HasDCCP) {
			b = append(append(b, " --role "...), f.DCCP.Role.String()...)
		}
	}
	return b
}

var (
	icmpOptions   = [...]string{" --icmp-type ", " --icmp-code ", " --icmp-id "}
	icmpv6Options = [...]string{" --icmpv6-type ", " --icmpv6-code ", " --icmpv6-id "}
)

// saveState is the name of a state on the command line, where the heartbeats of SCTP
// have none: the C program prints a null pointer for them.
func saveState(p flow.Proto, state uint8) string {
	if p == flow.SCTP && state >= flow.SCTPHeartbeatSent {
		return "(null)"
	}
	return stateName(p, state)
}

// saveVTag is the number that stands for an SCTP tag on the command line. The C
// program swaps the bytes of what it reads there once too often, so tags go to the
// kernel in host byte order; its output undoes that, and so must ours.
func saveVTag(tag uint32) uint32 {
	var wire [4]byte
	binary.BigEndian.PutUint32(wire[:], tag)
	return binary.NativeEndian.Uint32(wire[:])
}
