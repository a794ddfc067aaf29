package render

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// now is when all tests print: 21 November 2026, a Saturday.
var now = time.Date(2026, 11, 21, 4, 5, 27, 12345678, time.UTC)

const (
	confirmed = flow.Confirmed | flow.SrcNATDone | flow.DstNATDone
	replied   = confirmed | flow.SeenReply | flow.Assured
)

// newFlow returns the flow that the C program's corpus has most: one just created,
// as the kernel dumps it.
func newFlow(p flow.Proto, srcPort, dstPort uint16) flow.Flow {
	f := flow.Flow{
		Has: flow.HasReply | flow.HasStatus | flow.HasTimeout | flow.HasMark | flow.HasUse | flow.HasID,
		Orig: flow.Tuple{Src: netip.MustParseAddr("1.1.1.1"), Dst: netip.MustParseAddr("2.2.2.2"),
			SrcPort: srcPort, DstPort: dstPort, Proto: p},
		Status: confirmed, Timeout: 500 * time.Second, Use: 1, ID: 3567221064,
	}
	f.Reply, _ = f.Orig.Inverse()
	return f
}

// newFlow6 is newFlow between IPv6 hosts.
func newFlow6(p flow.Proto, src, dst string, srcPort, dstPort uint16) flow.Flow {
	f := newFlow(p, srcPort, dstPort)
	f.Orig.Src, f.Orig.Dst = netip.MustParseAddr(src), netip.MustParseAddr(dst)
	f.Reply, _ = f.Orig.Inverse()
	return f
}

func with(f flow.Flow, change func(*flow.Flow)) flow.Flow {
	change(&f)
	return f
}

func tcpFlow() flow.Flow {
	return with(newFlow(flow.TCP, 10, 20), func(f *flow.Flow) {
		f.Has |= flow.HasState | flow.HasTCPWindow
		f.Status, f.State = replied, flow.TCPEstablished
		f.OrigWindow = flow.TCPWindow{Scale: 7, Flags: flow.TCPWindowScale | flow.TCPSackPerm}
		f.ReplyWindow = flow.TCPWindow{Flags: flow.TCPMaxAckSet}
	})
}

func icmp(typ, code uint8, id uint16) (srcPort, dstPort uint16) {
	var t flow.Tuple
	t.SetICMP(typ, code, id)
	return t.SrcPort, t.DstPort
}

// fullFlow has every attribute there is.
func fullFlow() flow.Flow {
	return with(tcpFlow(), func(f *flow.Flow) {
		f.Has = flow.AllFields
		f.Orig.Zone, f.Reply.Zone = 8, 9
		f.Reply.Dst, f.Reply.DstPort = netip.MustParseAddr("5.5.5.5"), 1000
		f.Master = flow.Tuple{Src: f.Orig.Src, Dst: f.Orig.Dst, SrcPort: 40000, DstPort: 21, Proto: flow.TCP}
		f.Status |= flow.Expected | flow.SrcNAT | flow.SeqAdjust | flow.FixedTimeout | 1<<20
		f.Mark, f.SecMark, f.SecCtx = 0xffffffff, 3, `system_u:object_r:"lo",<t>:s0`
		f.Helper, f.Zone = "ftp", 7
		f.OrigCounters = flow.Counters{Packets: 1, Bytes: 31}
		f.ReplyCounters = flow.Counters{Packets: 1<<64 - 1, Bytes: 2}
		f.Start = flow.Timestamp(now.Add(-10*time.Second - 5*time.Microsecond).UnixNano())
		f.Stop = flow.Timestamp(now.Add(-3 * time.Second).UnixNano())
		f.VTags = flow.VTags{Orig: 5, Reply: 6}
		f.DCCP = flow.DCCPInfo{Role: flow.DCCPServer, HandshakeSeq: 1<<48 - 1}
		f.Labels.Set(0)
		f.Labels.Set(5)
		f.Labels.Set(77)
		f.Labels.Set(127)
		f.OrigSeqAdj = flow.SeqAdj{CorrectionPos: 4000000000, OffsetBefore: -5, OffsetAfter: 6}
		f.ReplySeqAdj = flow.SeqAdj{CorrectionPos: 1}
		f.Synproxy = flow.Synproxy{ISN: 1, ITS: 2, TSOff: 3}
	})
}

// flowCases are recorded in every format. Each protocol has one of its own name.
var flowCases = map[string]flow.Flow{
	"tcp":     tcpFlow(),
	"udp":     newFlow(flow.UDP, 10, 20),
	"udplite": newFlow(flow.UDPLite, 10, 20),
	"gre":     newFlow(flow.GRE, 0x10, 20),
	"icmp": func() flow.Flow {
		id, kind := icmp(8, 0, 99)
		return newFlow(flow.ICMP, id, kind)
	}(),
	"icmpv6": func() flow.Flow {
		id, kind := icmp(128, 0, 99)
		return newFlow6(flow.ICMPv6, "2001:db8::1", "2001:db8::2", id, kind)
	}(),
	"sctp": with(newFlow(flow.SCTP, 10, 20), func(f *flow.Flow) {
		f.Has |= flow.HasState | flow.HasVTags
		// Bytewise palindromes: Save prints other numbers in each byte order.
		f.State, f.VTags = flow.SCTPEstablished, flow.VTags{Orig: 0x05000005, Reply: 0x12343412}
	}),
	"dccp": with(newFlow(flow.DCCP, 10, 20), func(f *flow.Flow) {
		f.Has |= flow.HasState | flow.HasDCCP
		f.State, f.DCCP = flow.DCCPOpen, flow.DCCPInfo{Role: flow.DCCPServer, HandshakeSeq: 77}
	}),
	"other-protocol": newFlow(200, 0, 0),
	"empty":          {},
	"everything":     fullFlow(),
	"unknown-state": with(tcpFlow(), func(f *flow.Flow) {
		f.State = 11
	}),
	"sctp-heartbeat": with(newFlow(flow.SCTP, 10, 20), func(f *flow.Flow) {
		f.Has |= flow.HasState
		f.State = flow.SCTPHeartbeatSent
	}),
	"nat-both": with(newFlow(flow.UDP, 10, 20), func(f *flow.Flow) {
		f.Reply.Src, f.Reply.Dst, f.Reply.SrcPort = netip.MustParseAddr("6.6.6.6"), netip.MustParseAddr("7.7.7.7"), 53
	}),
	"nat-ipv6": with(newFlow6(flow.UDP, "2001:db8::1", "2001:db8::2", 10, 20), func(f *flow.Flow) {
		f.Reply.Dst, f.Reply.DstPort = netip.MustParseAddr("2001:db8::5"), 99
	}),
	"nat-icmp": func() flow.Flow {
		id, kind := icmp(8, 0, 99)
		f := newFlow(flow.ICMP, id, kind)
		f.Reply.Dst = netip.MustParseAddr("5.5.5.5")
		f.Reply.SetICMP(0, 0, 100)
		return f
	}(),
	"nat-not-decided": with(newFlow(flow.UDP, 10, 20), func(f *flow.Flow) {
		f.Reply.Dst, f.Status = netip.MustParseAddr("5.5.5.5"), flow.Confirmed
	}),
	"offloaded": with(newFlow(flow.UDP, 10, 20), func(f *flow.Flow) {
		f.Has &^= flow.HasTimeout
		f.Timeout, f.Status = 0, replied|flow.Offload
	}),
	"offloaded-to-hardware": with(newFlow(flow.UDP, 10, 20), func(f *flow.Flow) {
		f.Status = replied | flow.Offload | flow.HWOffload
	}),
	"label-without-name": with(newFlow(flow.UDP, 10, 20), func(f *flow.Flow) {
		f.Has |= flow.HasLabels
		f.Labels.Set(77)
	}),
	"still-running": with(newFlow(flow.UDP, 10, 20), func(f *flow.Flow) {
		f.Has |= flow.HasStart
		f.Start = flow.Timestamp(now.Add(-1500 * time.Millisecond).UnixNano())
	}),
	"clock-stepped-back": with(newFlow(flow.UDP, 10, 20), func(f *flow.Flow) {
		f.Has |= flow.HasStart
		f.Start = flow.Timestamp(now.Add(time.Hour).UnixNano())
	}),
	"original-only": with(newFlow(flow.UDP, 10, 20), func(f *flow.Flow) {
		f.Has, f.Reply, f.Status, f.Timeout, f.Use, f.ID = 0, flow.Tuple{}, 0, 0, 0, 0
	}),
	"one-address": {Orig: flow.Tuple{Src: netip.MustParseAddr("1.1.1.1"), Proto: flow.UDP}},
	"ipv4-compatible": with(newFlow6(flow.UDP, "::5:1", "::1.2.3.4", 1, 2), func(f *flow.Flow) {
		f.Reply.Src, f.Reply.Dst = netip.MustParseAddr("::1"), netip.MustParseAddr("::ffff:1.2.3.4")
	}),
}

var eventCases = map[string]flow.Event{
	"new":         {Type: flow.New, Flow: tcpFlow(), PortID: 3853},
	"update":      {Type: flow.Update, Flow: tcpFlow(), Time: flow.Timestamp(now.Add(-time.Second).UnixNano())},
	"destroy":     {Type: flow.Destroy, Flow: fullFlow(), PortID: 1},
	"lost":        {Type: flow.Lost, Dropped: 12},
	"lost-some":   {Type: flow.Lost},
	"no-type":     {Flow: newFlow(flow.UDP, 1, 2)},
	"destroy-udp": {Type: flow.Destroy, Flow: newFlow(flow.UDP, 1, 2)},
}

func newExpect() flow.Expect {
	lo, ones := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("255.255.255.255")
	return flow.Expect{
		Has: flow.ExpectHasMaster | flow.ExpectHasMask | flow.ExpectHasTimeout | flow.ExpectHasID |
			flow.ExpectHasHelper | flow.ExpectHasFlags | flow.ExpectHasClass,
		Tuple:   flow.Tuple{Src: lo, Dst: lo, DstPort: 40070, Proto: flow.UDP},
		Mask:    flow.Tuple{Src: ones, Dst: ones, DstPort: 65535, Proto: flow.UDP},
		Master:  flow.Tuple{Src: lo, Dst: lo, SrcPort: 40070, DstPort: 69, Proto: flow.UDP},
		Timeout: 299 * time.Second, ID: 4711, Helper: "tftp",
	}
}

func fullExpect() flow.Expect {
	x := newExpect()
	x.Has |= flow.ExpectHasZone | flow.ExpectHasNAT | flow.ExpectHasFunc
	x.Zone, x.Flags, x.Class = 3, 1<<7|flow.ExpectPermanent|flow.ExpectInactive|flow.ExpectUserspace, 4
	x.Func, x.NATReply = `nat-"follow",master`, true
	x.NAT = flow.Tuple{Src: netip.MustParseAddr("10.0.0.1"), SrcPort: 21, Proto: flow.TCP}
	return x
}

var expectCases = map[string]flow.Expect{
	"expect":            newExpect(),
	"expect-everything": fullExpect(),
	"expect-empty":      {},
	"expect-icmp":       {Tuple: flowCases["icmp"].Orig},
	"expect-unknown-flag": {Has: flow.ExpectHasFlags | flow.ExpectHasClass, Flags: 8, Class: 1,
		Tuple: flowCases["gre"].Orig},
}

var expectEventCases = map[string]flow.ExpectEvent{
	"expect-new":     {Type: flow.New, Expect: newExpect()},
	"expect-update":  {Type: flow.Update, Expect: newExpect(), PortID: 5},
	"expect-destroy": {Type: flow.Destroy, Expect: fullExpect()},
	"expect-lost":    {Type: flow.Lost, Dropped: 3},
}

var statsCases = map[string][]CPUStats{
	"statistics": {
		{CPU: 0, Names: []string{"found", "invalid", "insert"}, Values: []uint64{0, 1, 4294967295}},
		{CPU: 11, Names: []string{"found", "insert", "new"}, Values: []uint64{7, 9, 8}},
		{CPU: 12345, Names: []string{"found", "invalid"}, Values: []uint64{3}},
	},
	"statistics-none": nil,
}

func labelMap(t testing.TB) *flow.LabelMap {
	t.Helper()
	m, err := flow.ParseLabelMap(strings.NewReader("# map\n0 zero\n1 one\n5 spaced name\n100 hundred\n127 last\n"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}
