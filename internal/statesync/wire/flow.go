package wire

import (
	"net/netip"
	"strings"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// Flow is a flow as a peer tells of it.
//
// It looks like a flow that the kernel reports. The reply tuple, which is not sent, is made from the
// inverse of the original one and the translation: so the kernel will report it once the flow has
// been made there. Also not sent, and therefore missing, are counters, ID, use count, security
// context, time stamps, the flags of TCP windows, the handshake number of DCCP, the keys of GRE, the ports of
// UDP-Lite and zones of one direction.
type Flow struct {
	flow.Flow
	// Attrs are the attributes that the flow was made from, without those that mean nothing for
	// its protocol and address family.
	Attrs Attrs
}

// Numbers that the code below speaks of. The others stand in the table alone.
const (
	ctIPv4, ctIPv6, ctProto     = 0, 1, 2
	ctMasterIPv4, ctMasterIPv6  = 8, 9
	ctMasterProto, ctMasterPort = 10, 11
	ctSNATv4, ctDNATv4          = 12, 13
	ctSPAT, ctDPAT              = 14, 15
	ctSNATv6, ctDNATv6          = 29, 30
)

type flowAttr = attr[flow.Flow, flow.Fields]

// flows is the table of conntrack attributes. To add one, add a row where it is sent.
var flows = table[flow.Flow, flow.Fields]{
	attrs: []flowAttr{
		{number: ctIPv4, name: "IPV4", field: pair4(orig), when: isIPv4},
		{number: ctIPv6, name: "IPV6", field: pair6(orig), when: isIPv6},
		{number: 5, name: "STATUS", field: number32(func(f *flow.Flow) *flow.Status { return &f.Status }),
			has: flow.HasStatus, always: true, meaning: statusNames},
		{number: ctProto, name: "L4PROTO", field: number8(func(f *flow.Flow) *flow.Proto { return &f.Orig.Proto }),
			meaning: protoName},
		{number: 3, name: "PORT", field: ports(orig), of: hasPorts, when: sendsPorts},
		{number: 4, name: "TCP_STATE", field: number8(state), has: flow.HasState, of: is(flow.TCP),
			meaning: stateName(flow.TCP)},
		{number: 25, name: "TCP_WSCALE_ORIG", field: number8(func(f *flow.Flow) *uint8 { return &f.OrigWindow.Scale }),
			has: flow.HasTCPWindow, of: is(flow.TCP), when: sendsScale},
		{number: 26, name: "TCP_WSCALE_REPL", field: number8(func(f *flow.Flow) *uint8 { return &f.ReplyWindow.Scale }),
			has: flow.HasTCPWindow, of: is(flow.TCP), when: sendsScale},
		{number: 17, name: "SCTP_STATE", field: number8(state), has: flow.HasState, of: is(flow.SCTP),
			meaning: stateName(flow.SCTP)},
		{number: 18, name: "SCTP_VTAG_ORIG", field: number32(func(f *flow.Flow) *uint32 { return &f.VTags.Orig }),
			has: flow.HasVTags, of: is(flow.SCTP), when: stateKnown},
		{number: 19, name: "SCTP_VTAG_REPL", field: number32(func(f *flow.Flow) *uint32 { return &f.VTags.Reply }),
			has: flow.HasVTags, of: is(flow.SCTP), when: stateKnown},
		{number: 20, name: "DCCP_STATE", field: number8(state), has: flow.HasState, of: is(flow.DCCP),
			meaning: stateName(flow.DCCP)},
		{number: 21, name: "DCCP_ROLE", field: number8(func(f *flow.Flow) *flow.DCCPRole { return &f.DCCP.Role }),
			has: flow.HasDCCP, of: is(flow.DCCP), when: stateKnown, meaning: roleName},
		{number: 22, name: "ICMP_TYPE", field: icmpType(), of: isICMP},
		{number: 23, name: "ICMP_CODE", field: icmpCode(), of: isICMP},
		{number: 24, name: "ICMP_ID", field: swapped16(func(f *flow.Flow) *uint16 { return &f.Orig.SrcPort }), of: isICMP},
		{number: 6, name: "TIMEOUT", field: seconds(timeout), has: flow.HasTimeout, when: sendsTimeout[flow.Flow]},
		{number: 7, name: "MARK", field: number32(func(f *flow.Flow) *uint32 { return &f.Mark }), has: flow.HasMark},
		{number: ctMasterIPv4, name: "MASTER_IPV4", field: pair4(master), has: flow.HasMaster, of: ofIPv4,
			when: masterOfFamily},
		{number: ctMasterIPv6, name: "MASTER_IPV6", field: pair6(master), has: flow.HasMaster, of: ofIPv6,
			when: masterOfFamily},
		{number: ctMasterProto, name: "MASTER_L4PROTO",
			field: number8(func(f *flow.Flow) *flow.Proto { return &f.Master.Proto }), of: hasMaster, meaning: protoName},
		{number: ctMasterPort, name: "MASTER_PORT", field: ports(master), of: masterHasPorts},
		{number: ctSNATv4, name: "SNAT_IPV4", field: addr4(natSource), of: ofIPv4, when: translatesSource},
		{number: ctSNATv6, name: "SNAT_IPV6", field: addr6(natSource), of: ofIPv6, when: translatesSource},
		{number: ctDNATv4, name: "DNAT_IPV4", field: addr4(natDestination), of: ofIPv4, when: translatesDestination},
		{number: ctDNATv6, name: "DNAT_IPV6", field: addr6(natDestination), of: ofIPv6, when: translatesDestination},
		{number: ctSPAT, name: "SPAT_PORT", field: natPort(func(f *flow.Flow) *uint16 { return &f.Reply.DstPort }),
			when: func(f *flow.Flow, _ Options) bool { return f.NAT().SrcPort }},
		{number: ctDPAT, name: "DPAT_PORT", field: natPort(func(f *flow.Flow) *uint16 { return &f.Reply.SrcPort }),
			when: func(f *flow.Flow, _ Options) bool { return f.NAT().DstPort }},
		{number: 16, name: "NAT_SEQ_ADJ", field: seqAdj(), has: flow.HasOrigSeqAdj | flow.HasReplySeqAdj},
		{number: 27, name: "HELPER_NAME", field: text(helperSize, func(f *flow.Flow) *string { return &f.Helper }),
			has: flow.HasHelper, when: func(f *flow.Flow, _ Options) bool { return fitsText(f.Helper, helperSize) }},
		{number: 28, name: "LABELS", field: labels(), has: flow.HasLabels,
			when: func(f *flow.Flow, _ Options) bool { return f.Labels != (flow.Labels{}) }},
		{number: 31, name: "SYNPROXY", field: synproxy(), has: flow.HasSynproxy},
		{number: 32, name: "ZONE", field: number16(func(f *flow.Flow) *uint16 { return &f.Zone }), has: flow.HasZone},
	},
	has:      func(f *flow.Flow) *flow.Fields { return &f.Has },
	v4:       1 << ctIPv4,
	v6:       1 << ctIPv6,
	needed:   1 << ctProto,
	complete: completeReply,
}.indexed()

// AppendFlow appends to b a message that tells of f. h.Type is CTNew, CTUpdate or CTDelete; what is sent
// of f does not depend on it. h.Length need not be given.
//
// Which addresses and ports are sent as translated follows from f.Reply and f.Status; without a reply
// tuple none are. A helper name that does not fit, of more than 11 bytes, is not sent, nor is a
// label area without a label. Nothing at all is appended for a flow without two original addresses of
// one family, which no peer could take. The message is no longer than [MaxSize].
func AppendFlow(b []byte, h Header, f *flow.Flow, o Options) []byte {
	set := flows.sent(f, o)
	if !flows.suffices(set) {
		return b
	}
	return flows.append(b, h, f, set)
}

// Append appends the message that f was decoded from, in the order in which the original sends. If it
// came from there it is the same again, but for the type, flags and number in h.
func (f *Flow) Append(b []byte, h Header) []byte { return flows.append(b, h, &f.Flow, f.Attrs) }

// Flow decodes a message about a flow into f, replacing what was there. The fault is BadType if m.Type is
// none of a flow's, or BadPayload; f is not changed then.
func (d *Decoder) Flow(m *Message, f *Flow) Fault {
	if !m.Type.IsFlow() {
		return BadType
	}
	return flows.decode(d, m.body, &f.Flow, &f.Attrs, true)
}

// Merge decodes a CTUpdate into f, which must be what is known of the same flow: what the message has
// replaces what was there, what it lacks stays. Faults are as of [Decoder.Flow].
func (d *Decoder) Merge(m *Message, f *Flow) Fault {
	if !m.Type.IsFlow() {
		return BadType
	}
	return flows.decode(d, m.body, &f.Flow, &f.Attrs, false)
}

// SrcNAT returns the source translation to ask the kernel for when it makes the flow, whose reply
// tuple is then to be given as the plain inverse of Orig. ok is false if there is none to ask for. A zero
// Addr keeps the address and a zero port the port. Only TCP and UDP have a port.
func (f *Flow) SrcNAT() (addr netip.Addr, port uint16, ok bool) {
	return f.translation(f.Reply.Dst, f.Reply.DstPort, 1<<ctSNATv4|1<<ctSNATv6, 1<<ctSPAT)
}

// DstNAT is [Flow.SrcNAT] for the destination.
func (f *Flow) DstNAT() (addr netip.Addr, port uint16, ok bool) {
	return f.translation(f.Reply.Src, f.Reply.SrcPort, 1<<ctDNATv4|1<<ctDNATv6, 1<<ctDPAT)
}

func (f *Flow) translation(to netip.Addr, toPort uint16, addrs, ports Attrs) (addr netip.Addr, port uint16, ok bool) {
	if f.Attrs&addrs != 0 {
		addr, ok = to, true
	}
	if f.Attrs&ports != 0 && (f.Orig.Proto == flow.TCP || f.Orig.Proto == flow.UDP) {
		port, ok = toPort, true
	}
	return addr, port, ok
}

// Related reports whether f belongs to another flow that is completely known, by addresses,
// protocol and ports. Such a flow can be made only after its master.
func (f *Flow) Related() bool {
	return f.Attrs&(1<<ctMasterIPv4|1<<ctMasterIPv6) != 0 && f.Attrs.has(ctMasterProto) && f.Attrs.has(ctMasterPort)
}

// completeReply makes those parts of the reply tuple that no attribute gave.
func completeReply(f *flow.Flow, have Attrs) {
	inv, _ := f.Orig.Inverse()
	if have&(1<<ctSNATv4|1<<ctSNATv6) == 0 {
		f.Reply.Dst = inv.Dst
	}
	if have&(1<<ctDNATv4|1<<ctDNATv6) == 0 {
		f.Reply.Src = inv.Src
	}
	if !have.has(ctSPAT) || isICMP(f) {
		f.Reply.DstPort = inv.DstPort
	}
	if !have.has(ctDPAT) || isICMP(f) {
		f.Reply.SrcPort = inv.SrcPort
	}
	f.Reply.Proto = inv.Proto
	f.Has |= flow.HasReply
}

// Places.

func orig(f *flow.Flow) *flow.Tuple           { return &f.Orig }
func master(f *flow.Flow) *flow.Tuple         { return &f.Master }
func natSource(f *flow.Flow) *netip.Addr      { return &f.Reply.Dst }
func natDestination(f *flow.Flow) *netip.Addr { return &f.Reply.Src }
func state(f *flow.Flow) *uint8               { return &f.State }
func timeout(f *flow.Flow) *time.Duration     { return &f.Timeout }

// natPort is a translated port. Those of ICMP are the original's mistake: they are sent as 0, and
// what is received is overwritten by completeReply.
func natPort(at func(*flow.Flow) *uint16) field[flow.Flow] {
	field := swapped16(at)
	encode := field.encode
	field.encode = func(b []byte, f *flow.Flow) []byte {
		if isICMP(f) {
			return append(b, 0, 0)
		}
		return encode(b, f)
	}
	return field
}

func icmpType() field[flow.Flow] {
	return field[flow.Flow]{form8,
		func(b []byte, f *flow.Flow) []byte { return append(b, f.Orig.ICMPType()) },
		func(_ *Decoder, p []byte, f *flow.Flow) { f.Orig.SetICMP(p[0], f.Orig.ICMPCode(), f.Orig.ICMPID()) }}
}

func icmpCode() field[flow.Flow] {
	return field[flow.Flow]{form8,
		func(b []byte, f *flow.Flow) []byte { return append(b, f.Orig.ICMPCode()) },
		func(_ *Decoder, p []byte, f *flow.Flow) { f.Orig.SetICMP(f.Orig.ICMPType(), p[0], f.Orig.ICMPID()) }}
}

// Which flows have an attribute.

func is(p flow.Proto) func(*flow.Flow) bool {
	return func(f *flow.Flow) bool { return f.Orig.Proto == p }
}

func isICMP(f *flow.Flow) bool   { return f.Orig.Proto.Shape() == flow.ShapeICMP }
func hasPorts(f *flow.Flow) bool { return portsKnown(f.Orig.Proto) }
func ofIPv4(f *flow.Flow) bool   { return f.Orig.Src.Is4() }
func ofIPv6(f *flow.Flow) bool   { return f.Orig.Src.Is6() }
func hasMaster(f *flow.Flow) bool {
	return f.Has.Has(flow.HasMaster) && f.Master.Family() == f.Orig.Family()
}
func masterHasPorts(f *flow.Flow) bool {
	return hasMaster(f) && portsKnown(f.Master.Proto)
}

// portsKnown reports whether the kernel reports ports, or keys, for p.
func portsKnown(p flow.Proto) bool {
	return p.Shape() == flow.ShapePorts || p.Shape() == flow.ShapeKeys
}

// portsSent reports whether the original sends the ports of p.
func portsSent(p flow.Proto) bool {
	return p == flow.TCP || p == flow.UDP || p == flow.SCTP || p == flow.DCCP
}

// When an attribute is sent.

func isIPv4(f *flow.Flow, _ Options) bool         { return bothIPv4(&f.Orig) }
func isIPv6(f *flow.Flow, _ Options) bool         { return bothIPv6(&f.Orig) }
func masterOfFamily(f *flow.Flow, _ Options) bool { return hasMaster(f) }
func sendsPorts(f *flow.Flow, _ Options) bool     { return portsSent(f.Orig.Proto) }
func stateKnown(f *flow.Flow, _ Options) bool     { return f.Has.Has(flow.HasState) }
func sendsScale(f *flow.Flow, o Options) bool     { return o.TCPWindowTracking && stateKnown(f, o) }

func translatesSource(f *flow.Flow, _ Options) bool {
	return f.NAT().SrcAddr && f.Reply.Dst.BitLen() == f.Orig.Src.BitLen()
}

func translatesDestination(f *flow.Flow, _ Options) bool {
	return f.NAT().DstAddr && f.Reply.Src.BitLen() == f.Orig.Dst.BitLen()
}

func sendsTimeout[T any](_ *T, o Options) bool { return !o.OmitTimeout }

func bothIPv4(t *flow.Tuple) bool { return t.Src.Is4() && t.Dst.Is4() }
func bothIPv6(t *flow.Tuple) bool { return t.Src.Is6() && t.Dst.Is6() }

// fitsText reports whether a name, with its zero byte, takes no more than size bytes. An empty
// name is none.
func fitsText(name string, size int) bool {
	return name != "" && len(name) < size && strings.IndexByte(name, 0) < 0
}

// What numbers mean.

func protoName(n uint32) string {
	if p := flow.Proto(n); p.Known() {
		return p.String()
	}
	return ""
}

func stateName(p flow.Proto) func(uint32) string {
	return func(n uint32) string { return p.StateName(uint8(n)) }
}

func roleName(n uint32) string { return flow.DCCPRole(n).String() }

func statusNames(n uint32) string {
	var names []string
	for _, bit := range flow.StatusBits() {
		if flow.Status(n).Has(bit) {
			names = append(names, bit.Name())
		}
	}
	return strings.Join(names, ",")
}
