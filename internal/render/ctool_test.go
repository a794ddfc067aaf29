package render

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// What conntrack-tools 1.4.9 printed on Linux 6.18, with 500 for the timeouts and
// 3567221064 for the ids, which vary. Unlike testdata these lines are never
// rewritten.

func TestFlowIsPrintedAsByTheCProgram(t *testing.T) {
	v6 := newFlow6(flow.UDP, "2001:db8::1", "2001:db8::2", 10, 20)
	tests := []struct {
		name  string
		style Style
		flow  flow.Flow
		want  string
	}{
		{"list-tcp", Style{}, tcpFlow(),
			"tcp      6 500 ESTABLISHED src=1.1.1.1 dst=2.2.2.2 sport=10 dport=20 src=2.2.2.2 dst=1.1.1.1 sport=20 dport=10 [ASSURED] mark=0 use=1\n"},
		{"list-extended-id", Style{Extended: true, ID: true}, tcpFlow(),
			"ipv4     2 tcp      6 500 ESTABLISHED src=1.1.1.1 dst=2.2.2.2 sport=10 dport=20 src=2.2.2.2 dst=1.1.1.1 sport=20 dport=10 [ASSURED] mark=0 use=1 id=3567221064\n"},
		{"list-tcp-save", Style{Format: Save}, tcpFlow(),
			"-A -t 500 -u SEEN_REPLY,ASSURED -s 1.1.1.1 -d 2.2.2.2 -r 2.2.2.2 -q 1.1.1.1 -p tcp --sport 10 --dport 20 --reply-port-src 20 --reply-port-dst 10 --state ESTABLISHED\n"},
		{"list-tcp-xml", Style{Format: XML, Envelope: Bare}, tcpFlow(),
			`<flow><meta direction="original"><layer3 protonum="2" protoname="ipv4"><src>1.1.1.1</src><dst>2.2.2.2</dst></layer3><layer4 protonum="6" protoname="tcp"><sport>10</sport><dport>20</dport></layer4></meta><meta direction="reply"><layer3 protonum="2" protoname="ipv4"><src>2.2.2.2</src><dst>1.1.1.1</dst></layer3><layer4 protonum="6" protoname="tcp"><sport>20</sport><dport>10</dport></layer4></meta><meta direction="independent"><state>ESTABLISHED</state><timeout>500</timeout><mark>0</mark><use>1</use><id>3567221064</id><assured/></meta></flow>` + "\n"},
		{"list-udp-unreplied", Style{}, newFlow(flow.UDP, 10, 20),
			"udp      17 500 src=1.1.1.1 dst=2.2.2.2 sport=10 dport=20 [UNREPLIED] src=2.2.2.2 dst=1.1.1.1 sport=20 dport=10 mark=0 use=1\n"},
		{"list-udp-save", Style{Format: Save}, newFlow(flow.UDP, 10, 20),
			"-A -t 500 -u UNSET -s 1.1.1.1 -d 2.2.2.2 -r 2.2.2.2 -q 1.1.1.1 -p udp --sport 10 --dport 20 --reply-port-src 20 --reply-port-dst 10\n"},
		{"delete-save", Style{Format: Save, Verb: Delete}, newFlow(flow.UDP, 10, 20),
			"-D -t 500 -u UNSET -s 1.1.1.1 -d 2.2.2.2 -r 2.2.2.2 -q 1.1.1.1 -p udp --sport 10 --dport 20 --reply-port-src 20 --reply-port-dst 10\n"},
		{"list-udp-xml", Style{Format: XML}, newFlow(flow.UDP, 10, 20),
			`<?xml version="1.0" encoding="utf-8"?>
<conntrack>
<flow><meta direction="original"><layer3 protonum="2" protoname="ipv4"><src>1.1.1.1</src><dst>2.2.2.2</dst></layer3><layer4 protonum="17" protoname="udp"><sport>10</sport><dport>20</dport></layer4></meta><meta direction="reply"><layer3 protonum="2" protoname="ipv4"><src>2.2.2.2</src><dst>1.1.1.1</dst></layer3><layer4 protonum="17" protoname="udp"><sport>20</sport><dport>10</dport></layer4></meta><meta direction="independent"><timeout>500</timeout><mark>0</mark><use>1</use><id>3567221064</id><unreplied/></meta></flow>
</conntrack>
`},
		{"list-icmp", Style{}, flowCases["icmp"],
			"icmp     1 500 src=1.1.1.1 dst=2.2.2.2 type=8 code=0 id=99 [UNREPLIED] src=2.2.2.2 dst=1.1.1.1 type=0 code=0 id=99 mark=0 use=1\n"},
		{"list-icmp-save", Style{Format: Save}, flowCases["icmp"],
			"-A -t 500 -u UNSET -s 1.1.1.1 -d 2.2.2.2 -r 2.2.2.2 -q 1.1.1.1 -p icmp --icmp-type 8 --icmp-code 0 --icmp-id 99\n"},
		{"list-icmpv6", Style{Extended: true}, flowCases["icmpv6"],
			"ipv6     10 icmpv6   58 500 src=2001:db8::1 dst=2001:db8::2 type=128 code=0 id=99 [UNREPLIED] src=2001:db8::2 dst=2001:db8::1 type=129 code=0 id=99 mark=0 use=1\n"},
		{"list-icmpv6-save", Style{Format: Save}, flowCases["icmpv6"],
			"-A -t 500 -u UNSET -s 2001:db8::1 -d 2001:db8::2 -r 2001:db8::2 -q 2001:db8::1 -p icmpv6 --icmpv6-type 128 --icmpv6-code 0 --icmpv6-id 99\n"},
		{"list-gre", Style{}, flowCases["gre"],
			"gre      47 500 src=1.1.1.1 dst=2.2.2.2 srckey=0x10 dstkey=0x14 [UNREPLIED] src=2.2.2.2 dst=1.1.1.1 srckey=0x14 dstkey=0x10 mark=0 use=1\n"},
		{"list-gre-xml", Style{Format: XML, Envelope: Bare}, flowCases["gre"],
			`<flow><meta direction="original"><layer3 protonum="2" protoname="ipv4"><src>1.1.1.1</src><dst>2.2.2.2</dst></layer3><layer4 protonum="47" protoname="gre"><srckey>0x10</srckey><dstkey>0x14</dstkey></layer4></meta><meta direction="reply"><layer3 protonum="2" protoname="ipv4"><src>2.2.2.2</src><dst>1.1.1.1</dst></layer3><layer4 protonum="47" protoname="gre"><srckey>0x14</srckey><dstkey>0x10</dstkey></layer4></meta><meta direction="independent"><timeout>500</timeout><mark>0</mark><use>1</use><id>3567221064</id><unreplied/></meta></flow>` + "\n"},
		{"list-gre-save", Style{Format: Save}, flowCases["gre"],
			"-A -t 500 -u UNSET -s 1.1.1.1 -d 2.2.2.2 -r 2.2.2.2 -q 1.1.1.1 -p gre --srckey 16 --dstkey 20 --reply-key-src 20 --reply-key-dst 16\n"},
		{"list-sctp-xml-uses-tcp-state-names", Style{Format: XML, Envelope: Bare}, flowCases["sctp"],
			`<flow><meta direction="original"><layer3 protonum="2" protoname="ipv4"><src>1.1.1.1</src><dst>2.2.2.2</dst></layer3><layer4 protonum="132" protoname="sctp"><sport>10</sport><dport>20</dport></layer4></meta><meta direction="reply"><layer3 protonum="2" protoname="ipv4"><src>2.2.2.2</src><dst>1.1.1.1</dst></layer3><layer4 protonum="132" protoname="sctp"><sport>20</sport><dport>10</dport></layer4></meta><meta direction="independent"><state>FIN_WAIT</state><timeout>500</timeout><mark>0</mark><use>1</use><id>3567221064</id><unreplied/></meta></flow>` + "\n"},
		// --orig-vtag 5 --reply-vtag 6 reached the kernel as 05 00 00 00 and 06 00 00 00,
		// in the host order of the (little endian) machine that printed this.
		{"list-sctp-save", Style{Format: Save},
			with(flowCases["sctp"], func(f *flow.Flow) { f.VTags = flow.VTags{Orig: saveVTag(5), Reply: saveVTag(6)} }),
			"-A -t 500 -u UNSET -s 1.1.1.1 -d 2.2.2.2 -r 2.2.2.2 -q 1.1.1.1 -p sctp --sport 10 --dport 20 --reply-port-src 20 --reply-port-dst 10 --state ESTABLISHED --orig-vtag 5 --reply-vtag 6\n"},
		{"list-udplite", Style{}, flowCases["udplite"],
			"udplite  136 500 src=1.1.1.1 dst=2.2.2.2 sport=10 dport=20 [UNREPLIED] src=2.2.2.2 dst=1.1.1.1 sport=20 dport=10 mark=0 use=1\n"},
		{"list-unknown-proto", Style{}, newFlow(200, 0, 0),
			"unknown  200 500 src=1.1.1.1 dst=2.2.2.2 [UNREPLIED] src=2.2.2.2 dst=1.1.1.1 mark=0 use=1\n"},
		{"list-unknown-proto-save", Style{Format: Save}, newFlow(2, 0, 0),
			"-A -t 500 -u UNSET -s 1.1.1.1 -d 2.2.2.2 -r 2.2.2.2 -q 1.1.1.1 -p 2\n"},
		{"list-f6", Style{}, v6,
			"udp      17 500 src=2001:db8::1 dst=2001:db8::2 sport=10 dport=20 [UNREPLIED] src=2001:db8::2 dst=2001:db8::1 sport=20 dport=10 mark=0 use=1\n"},
		{"create-from-reply", Style{},
			with(tcpFlow(), func(f *flow.Flow) { f.Status, f.State = confirmed, flow.TCPSynSent2 }),
			"tcp      6 500 SYN_SENT2 src=1.1.1.1 dst=2.2.2.2 sport=10 dport=20 [UNREPLIED] src=2.2.2.2 dst=1.1.1.1 sport=20 dport=10 mark=0 use=1\n"},
		{"create-reply-addr-orig-ports-quirk", Style{}, newFlow(0, 0, 0),
			"unknown  0 500 src=1.1.1.1 dst=2.2.2.2 [UNREPLIED] src=2.2.2.2 dst=1.1.1.1 mark=0 use=1\n"},
		{"filter-zone", Style{},
			with(newFlow(flow.UDP, 10, 20), func(f *flow.Flow) { f.Has |= flow.HasZone; f.Zone, f.Status = 7, confirmed|flow.SeenReply }),
			"udp      17 500 src=1.1.1.1 dst=2.2.2.2 sport=10 dport=20 src=2.2.2.2 dst=1.1.1.1 sport=20 dport=10 mark=0 zone=7 use=1\n"},
		{"zone-save", Style{Format: Save},
			with(newFlow(flow.UDP, 10, 20), func(f *flow.Flow) { f.Has |= flow.HasZone; f.Zone, f.Status = 7, confirmed|flow.SeenReply }),
			"-A -t 500 -u SEEN_REPLY -w 7 -s 1.1.1.1 -d 2.2.2.2 -r 2.2.2.2 -q 1.1.1.1 -p udp --sport 10 --dport 20 --reply-port-src 20 --reply-port-dst 10\n"},
		{"orig-zone-output", Style{},
			with(newFlow(flow.UDP, 10, 20), func(f *flow.Flow) { f.Orig.Zone = 8 }),
			"udp      17 500 src=1.1.1.1 dst=2.2.2.2 sport=10 dport=20 zone-orig=8 [UNREPLIED] src=2.2.2.2 dst=1.1.1.1 sport=20 dport=10 mark=0 use=1\n"},
		{"reply-zone-output", Style{},
			with(newFlow(flow.UDP, 10, 20), func(f *flow.Flow) { f.Reply.Zone = 9 }),
			"udp      17 500 src=1.1.1.1 dst=2.2.2.2 sport=10 dport=20 [UNREPLIED] src=2.2.2.2 dst=1.1.1.1 sport=20 dport=10 zone-reply=9 mark=0 use=1\n"},
		{"reply-zone-save", Style{Format: Save},
			with(newFlow(flow.UDP, 10, 20), func(f *flow.Flow) { f.Reply.Zone = 9 }),
			"-A -t 500 -u UNSET --reply-zone 9 -s 1.1.1.1 -d 2.2.2.2 -r 2.2.2.2 -q 1.1.1.1 -p udp --sport 10 --dport 20 --reply-port-src 20 --reply-port-dst 10\n"},
		{"nat-list-save", Style{Format: Save}, flowCases["nat-both"],
			"-A -t 500 -u UNSET -s 1.1.1.1 -d 2.2.2.2 -g 6.6.6.6 -n 7.7.7.7 -p udp --sport 10 --dport 20 --reply-port-src 53 --reply-port-dst 10\n"},
		{"nat6-list", Style{}, flowCases["nat-ipv6"],
			"udp      17 500 src=2001:db8::1 dst=2001:db8::2 sport=10 dport=20 [UNREPLIED] src=2001:db8::2 dst=2001:db8::5 sport=20 dport=99 mark=0 use=1\n"},
		{"traffic-counters", Style{},
			with(newFlow(flow.UDP, 10, 20), func(f *flow.Flow) {
				f.Has |= flow.HasOrigCounters | flow.HasReplyCounters
				f.OrigCounters = flow.Counters{Packets: 1, Bytes: 31}
			}),
			"udp      17 500 src=1.1.1.1 dst=2.2.2.2 sport=10 dport=20 packets=1 bytes=31 [UNREPLIED] src=2.2.2.2 dst=1.1.1.1 sport=20 dport=10 packets=0 bytes=0 mark=0 use=1\n"},
		{"ktimestamp", Style{KernelTime: true},
			with(newFlow(flow.UDP, 10, 20), func(f *flow.Flow) {
				f.Has |= flow.HasStart
				f.Start = flow.Timestamp(time.Date(2026, 11, 1, 4, 5, 27, 0, time.UTC).UnixNano())
			}),
			"udp      17 500 src=1.1.1.1 dst=2.2.2.2 sport=10 dport=20 [UNREPLIED] src=2.2.2.2 dst=1.1.1.1 sport=20 dport=10 mark=0 delta-time=1728000 [start=Sun Nov  1 04:05:27 2026] use=1\n"},
		{"labels-list", Style{Labels: labelMap(t)},
			with(newFlow(flow.UDP, 10, 20), func(f *flow.Flow) { f.Has |= flow.HasLabels; f.Labels.Set(0); f.Labels.Set(1) }),
			"udp      17 500 src=1.1.1.1 dst=2.2.2.2 sport=10 dport=20 [UNREPLIED] src=2.2.2.2 dst=1.1.1.1 sport=20 dport=10 mark=0 use=1 labels=zero,one\n"},
		{"labels-unnamed-bit", Style{Labels: labelMap(t)}, flowCases["label-without-name"],
			"udp      17 500 src=1.1.1.1 dst=2.2.2.2 sport=10 dport=20 [UNREPLIED] src=2.2.2.2 dst=1.1.1.1 sport=20 dport=10 mark=0 use=1 labels\n"},
		{"labels-empty-map", Style{Labels: new(flow.LabelMap)}, flowCases["label-without-name"],
			"udp      17 500 src=1.1.1.1 dst=2.2.2.2 sport=10 dport=20 [UNREPLIED] src=2.2.2.2 dst=1.1.1.1 sport=20 dport=10 mark=0 use=1\n"},
		{"helper-list", Style{},
			with(newFlow(flow.UDP, 40070, 69), func(f *flow.Flow) { f.Has |= flow.HasHelper; f.Helper = "tftp" }),
			"udp      17 500 src=1.1.1.1 dst=2.2.2.2 sport=40070 dport=69 [UNREPLIED] src=2.2.2.2 dst=1.1.1.1 sport=69 dport=40070 mark=0 helper=tftp use=1\n"},
		{"ipv6-text-v4-compatible", Style{}, newFlow6(flow.UDP, "::5:1", "::1.2.3.4", 1, 2),
			"udp      17 500 src=::0.5.0.1 dst=::1.2.3.4 sport=1 dport=2 [UNREPLIED] src=::1.2.3.4 dst=::0.5.0.1 sport=2 dport=1 mark=0 use=1\n"},
		{"ipv6-text-single-zero-group", Style{}, newFlow6(flow.UDP, "2001:db8:0:1:1:1:1:1", "2001:0:0:1:0:0:0:1", 1, 2),
			"udp      17 500 src=2001:db8:0:1:1:1:1:1 dst=2001:0:0:1::1 sport=1 dport=2 [UNREPLIED] src=2001:0:0:1::1 dst=2001:db8:0:1:1:1:1:1 sport=2 dport=1 mark=0 use=1\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := NewPrinter(Flows, &tt.style)
			got := string(p.AppendEnd(p.AppendFlow(nil, &tt.flow, now)))
			if got != tt.want {
				t.Errorf("\n got %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestEventIsPrintedAsByTheCProgram(t *testing.T) {
	event := flow.Event{Type: flow.New, Flow: tcpFlow(), PortID: 3853}
	event.Flow.Has &^= flow.HasUse
	const line = "tcp      6 500 ESTABLISHED src=1.1.1.1 dst=2.2.2.2 sport=10 dport=20 src=2.2.2.2 dst=1.1.1.1 sport=20 dport=10 [ASSURED] mark=0"
	tests := []struct {
		name    string
		style   Style
		change  func(e *flow.Event)
		program string
		want    string
	}{
		{"new", Style{}, func(*flow.Event) {}, "conntrack", "    [NEW] " + line + " [USERSPACE] portid=3853 progname=conntrack\n"},
		{"update", Style{}, func(e *flow.Event) { e.Type = flow.Update }, "", " [UPDATE] " + line + " [USERSPACE] portid=3853\n"},
		{"destroy", Style{}, func(e *flow.Event) { e.Type, e.PortID = flow.Destroy, 0 }, "ignored", "[DESTROY] " + line + "\n"},
		{"extended, id", Style{Extended: true, ID: true}, func(*flow.Event) {}, "",
			"    [NEW] ipv4     2 " + line + " id=3567221064 [USERSPACE] portid=3853\n"},
		{"timestamp is when it was received", Style{Timestamp: true}, func(e *flow.Event) { e.PortID = 0 }, "",
			"[1795233927.012345]\t    [NEW] " + line + "\n"},
		{"timestamp is the kernel's", Style{Timestamp: true}, func(e *flow.Event) { e.PortID, e.Time = 0, 1_700_000_000_000_999_999 }, "",
			"[1700000000.000999]\t    [NEW] " + line + "\n"},
		{"save new", Style{Format: Save, Verb: Delete}, func(*flow.Event) {}, "",
			"-A -t 500 -u SEEN_REPLY,ASSURED -s 1.1.1.1 -d 2.2.2.2 -r 2.2.2.2 -q 1.1.1.1 -p tcp --sport 10 --dport 20 --reply-port-src 20 --reply-port-dst 10 --state ESTABLISHED [USERSPACE] portid=3853\n"},
		{"save update", Style{Format: Save}, func(e *flow.Event) { e.Type, e.PortID = flow.Update, 0 }, "",
			"-U -t 500 -u SEEN_REPLY,ASSURED -s 1.1.1.1 -d 2.2.2.2 -r 2.2.2.2 -q 1.1.1.1 -p tcp --sport 10 --dport 20 --reply-port-src 20 --reply-port-dst 10 --state ESTABLISHED\n"},
		{"save destroy", Style{Format: Save}, func(e *flow.Event) { e.Type, e.PortID = flow.Destroy, 0 }, "",
			"-D -t 500 -u SEEN_REPLY,ASSURED -s 1.1.1.1 -d 2.2.2.2 -r 2.2.2.2 -q 1.1.1.1 -p tcp --sport 10 --dport 20 --reply-port-src 20 --reply-port-dst 10 --state ESTABLISHED\n"},
		{"xml", Style{Format: XML, Timestamp: true, Envelope: Bare}, func(e *flow.Event) { e.Type, e.Time = flow.Update, 1 }, "",
			`<flow type="update"><meta direction="original"><layer3 protonum="2" protoname="ipv4"><src>1.1.1.1</src><dst>2.2.2.2</dst></layer3><layer4 protonum="6" protoname="tcp"><sport>10</sport><dport>20</dport></layer4></meta><meta direction="reply"><layer3 protonum="2" protoname="ipv4"><src>2.2.2.2</src><dst>1.1.1.1</dst></layer3><layer4 protonum="6" protoname="tcp"><sport>20</sport><dport>10</dport></layer4></meta><meta direction="independent"><state>ESTABLISHED</state><timeout>500</timeout><mark>0</mark><id>3567221064</id><assured/></meta><when><hour>4</hour><min>05</min><sec>27</sec><wday>7</wday><day>21</day><month>11</month><year>2026</year></when></flow>` + "\n"},
		{"lost", Style{}, func(e *flow.Event) { *e = flow.Event{Type: flow.Lost, Dropped: 5} }, "", ""},
		{"lost in xml", Style{Format: XML}, func(e *flow.Event) { *e = flow.Event{Type: flow.Lost} }, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := event
			tt.change(&e)
			p := NewPrinter(Flows, &tt.style)
			got := string(p.AppendEnd(p.AppendEvent(nil, &e, tt.program, now)))
			if got != tt.want {
				t.Errorf("\n got %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestExpectationIsPrintedAsByTheCProgram(t *testing.T) {
	const line = "299 proto=17 src=127.0.0.1 dst=127.0.0.1 sport=0 dport=40070 mask-src=255.255.255.255 mask-dst=255.255.255.255 sport=0 dport=65535 master-src=127.0.0.1 master-dst=127.0.0.1 sport=40070 dport=69 class=0 helper=tftp\n"
	const xml = `<flow><layer3 protonum="2" protoname="ipv4"><expected><src>127.0.0.1</src><dst>127.0.0.1</dst></expected><mask><src>255.255.255.255</src><dst>255.255.255.255</dst></mask><master><src>127.0.0.1</src><dst>127.0.0.1</dst></master></layer3><layer4 protonum="17" protoname="udp"><expected><sport>0</sport><dport>40070</dport></expected><mask><sport>0</sport><dport>65535</dport></mask><master><sport>40070</sport><dport>69</dport></master></layer4><meta><helper-name>tftp</helper-name><timeout>299</timeout><class>0</class></meta></flow>`
	tests := []struct {
		name  string
		style Style
		typ   flow.EventType
		want  string
	}{
		{"expect-list", Style{Extended: true, ID: true}, 0, line},
		{"save is ignored", Style{Format: Save}, 0, line},
		{"timestamp is filled with blanks", Style{Timestamp: true}, 0, "[1795233927.12345 ]\t" + line},
		{"expect-list-xml", Style{Format: XML}, 0, "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<expect>\n" + xml + "\n</expect>\n"},
		{"expect-get-xml", Style{Format: XML, Envelope: Headed}, 0, "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<expect>\n" + xml + "\n"},
		{"event-expect new", Style{}, flow.New, "    [NEW] " + line},
		{"event-expect destroy", Style{Timestamp: true}, flow.Destroy, "[1795233927.12345 ]\t[DESTROY] " + line},
		{"event-expect-xml", Style{Format: XML, Envelope: Bare}, flow.New, `<flow type="new">` + xml[len("<flow>"):] + "\n"},
		{"lost", Style{}, flow.Lost, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := NewPrinter(Expects, &tt.style)
			var got []byte
			if tt.typ == 0 {
				x := newExpect()
				got = p.AppendExpect(nil, &x, now)
			} else {
				got = p.AppendExpectEvent(nil, &flow.ExpectEvent{Type: tt.typ, Expect: newExpect()}, now)
			}
			if got = p.AppendEnd(got); string(got) != tt.want {
				t.Errorf("\n got %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestAddressIsPrintedAsByGlibc(t *testing.T) {
	for text, want := range map[string]string{
		"0.0.0.0": "0.0.0.0", "255.10.9.100": "255.10.9.100", "::": "::", "::1": "::1", "::ffff": "::ffff",
		"::1:0": "::0.1.0.0", "::5:1": "::0.5.0.1", "::1:0:0": "::1:0:0", "::ffff:0:1": "::ffff:0.0.0.1",
		"::ffff:1.2.3.4": "::ffff:1.2.3.4", "::fffe:1:2": "::fffe:1:2", "64:ff9b::102:304": "64:ff9b::102:304",
		"1:0:0:2:0:0:0:3": "1:0:0:2::3", "1:0:0:2:0:0:3:4": "1::2:0:0:3:4", "1:0:2:3:4:5:6:7": "1:0:2:3:4:5:6:7",
		"fe80::1%eth0": "fe80::1",
	} {
		if got := string(appendAddr(nil, netip.MustParseAddr(text))); got != want {
			t.Errorf("appendAddr(%s) = %s, want %s", text, got, want)
		}
	}
}

// TestSavedTagIsTheWireInHostOrder: -A --orig-vtag N sends N in host byte order, and
// the kernel takes the bytes as they are in the packet.
func TestSavedTagIsTheWireInHostOrder(t *testing.T) {
	const typed = 0x12345678
	inPacket := uint32(typed)
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		inPacket = bits.ReverseBytes32(typed)
	}
	if got := saveVTag(inPacket); got != typed {
		t.Errorf("saveVTag(%#x) = %#x, want %#x", inPacket, got, typed)
	}
}

// FuzzAddress compares with package netip, where that agrees with glibc.
func FuzzAddress(f *testing.F) {
	for _, text := range []string{"::", "1::", "::1", "1:0:0:2::", "0:1::", "1:0:0:2:3:0:0:4", "::ffff:1.2.3.4", "2001:db8::a:b0c:d00:ffff"} {
		raw := netip.MustParseAddr(text).As16()
		f.Add(raw[:])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var raw [16]byte
		copy(raw[:], data)
		for i := range raw {
			if len(data) > 16+i && data[16+i]%2 == 0 {
				raw[i] = 0 // zeros are what it is about
			}
		}
		a := netip.AddrFrom16(raw)
		if got, want := string(AppendAddr(nil, a)), a.String(); got != want {
			t.Errorf("AppendAddr = %s, want %s", got, want)
		}
		if got, want := string(AppendAddr(nil, a.Unmap())), a.Unmap().String(); got != want {
			t.Errorf("AppendAddr = %s, want %s", got, want)
		}
	})
}

// TestAgesMayDisagree: text cuts both ends to seconds, XML the difference.
func TestAgesMayDisagree(t *testing.T) {
	f := with(newFlow(flow.UDP, 1, 2), func(f *flow.Flow) {
		f.Has |= flow.HasStart | flow.HasStop
		f.Start, f.Stop = 1_999_999_999, 3_000_000_000
	})
	if got := age(&f, now); got != 2 {
		t.Errorf("delta-time = %d, want 2", got)
	}
	if got, want := string(appendXMLLifetime(nil, &Style{}, &f, now)), "<deltatime>1</deltatime>"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
