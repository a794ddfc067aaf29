package agent

import (
	"context"
	"encoding/json"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nstest"
	"github.com/spoor-project/spoor/internal/statesync"
)

// cachedFlow is a flow as it comes into a cache, between two hosts and with nothing special; change adds that.
func cachedFlow(p flow.Proto, srcPort, dstPort uint16, change ...func(*flow.Flow)) flow.Flow {
	f := flow.Flow{
		Has: flow.HasReply | flow.HasStatus | flow.HasTimeout | flow.HasUse | flow.HasLabels,
		Orig: flow.Tuple{Src: netip.MustParseAddr("10.10.1.2"), Dst: netip.MustParseAddr("10.10.2.2"),
			SrcPort: srcPort, DstPort: dstPort, Proto: p},
		Status:  flow.SeenReply | flow.Confirmed | flow.SrcNATDone | flow.DstNATDone,
		Timeout: 100 * time.Second, Use: 2, Labels: flow.Labels{1},
	}
	for _, c := range change {
		c(&f)
	}
	if f.Reply == (flow.Tuple{}) {
		f.Reply, _ = f.Orig.Inverse()
	}
	return f
}

func inState(n uint8) func(*flow.Flow) {
	return func(f *flow.Flow) { f.Has, f.State = f.Has|flow.HasState, n }
}

func marked(n uint32) func(*flow.Flow) {
	return func(f *flow.Flow) { f.Has, f.Mark = f.Has|flow.HasMark, n }
}

// counted has packets and bytes of both directions.
func counted(packets, bytes, replyPackets, replyBytes uint64) func(*flow.Flow) {
	return func(f *flow.Flow) {
		f.Has |= flow.HasOrigCounters | flow.HasReplyCounters
		f.OrigCounters, f.ReplyCounters = flow.Counters{Packets: packets, Bytes: bytes}, flow.Counters{Packets: replyPackets, Bytes: replyBytes}
	}
}

func assured(f *flow.Flow)   { f.Status |= flow.Assured }
func unreplied(f *flow.Flow) { f.Status &^= flow.SeenReply }
func echo(f *flow.Flow)      { f.Orig.SetICMP(8, 0, 4660) }

func over6(f *flow.Flow) {
	f.Orig.Src, f.Orig.Dst = netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")
}

// dataChannel is an expectation of FTP.
func dataChannel() flow.Expect {
	client, server, all := netip.MustParseAddr("10.10.1.2"), netip.MustParseAddr("10.10.2.2"), netip.MustParseAddr("255.255.255.255")
	return flow.Expect{
		Has: flow.ExpectHasMaster | flow.ExpectHasMask | flow.ExpectHasTimeout | flow.ExpectHasID | flow.ExpectHasHelper |
			flow.ExpectHasFlags | flow.ExpectHasClass,
		Tuple:   flow.Tuple{Src: client, Dst: server, DstPort: 40001, Proto: flow.TCP},
		Mask:    flow.Tuple{Src: all, Dst: all, DstPort: 65535, Proto: flow.TCP},
		Master:  flow.Tuple{Src: client, Dst: server, SrcPort: 35001, DstPort: 21, Proto: flow.TCP},
		Timeout: 300 * time.Second, ID: 77, Helper: "ftp",
	}
}

func TestDumpsAreThoseOfTheOriginal(t *testing.T) {
	var b []byte
	for _, c := range []statesync.Cached{
		{Flow: new(cachedFlow(flow.TCP, 33002, 8081, inState(flow.TCPEstablished), assured, marked(85))), Age: 17},
		{Flow: new(cachedFlow(flow.UDP, 34000, 9000, unreplied)), Age: 1},
		{Flow: new(cachedFlow(flow.ICMP, 0, 0, echo)), Age: 10},
		{Flow: new(cachedFlow(flow.GRE, 0, 0)), Age: 2},
	} {
		b = appendCachedText(b, &c, false, false)
	}
	sameAsSample(t, "dump-text", b)

	x := dataChannel()
	sameAsSample(t, "dump-expect", appendCachedExpect(nil, &statesync.CachedExpect{Expect: &x, Age: 1}, false))
	sameAsSample(t, "dump-expect-xml", appendCachedExpectXML(nil, &x))

	f := cachedFlow(flow.TCP, 33002, 8081, inState(flow.TCPEstablished), assured, marked(85))
	sameAsSample(t, "dump-xml", appendCachedXML(nil, &f, true))

	at := time.Date(2026, 11, 21, 4, 40, 22, 0, time.UTC)
	tcp := cachedFlow(flow.TCP, 35931, 8080, inState(flow.TCPTimeWait), assured, counted(5, 1268, 3, 164))
	udp := cachedFlow(flow.UDP, 34000, 9000, unreplied, counted(1, 29, 0, 0))
	sameAsSample(t, "records", appendRecord(appendRecord(nil, &tcp, at), &udp, at))
}

func sameAsSample(t *testing.T, name string, got []byte) {
	t.Helper()
	if want := sampleText(t, name); string(got) != want {
		t.Errorf("%s: got\n%swant\n%s", name, got, want)
	}
}

func TestCachedText(t *testing.T) {
	const reply = "src=10.10.2.2 dst=10.10.1.2 "
	for _, c := range []struct {
		rule              string
		flow              flow.Flow
		external, expires bool
		want              string // up to the age
	}{
		{"external flows have no reply", cachedFlow(flow.TCP, 33001, 8080, inState(3), assured), true, false,
			"tcp      6 ESTABLISHED src=10.10.1.2 dst=10.10.2.2 sport=33001 dport=8080 [ASSURED]"},
		{"external flows expire in ALARM", cachedFlow(flow.UDP, 1, 2, unreplied), true, true,
			"udp      17 src=10.10.1.2 dst=10.10.2.2 sport=1 dport=2 [UNREPLIED] [expires in 98s]"},
		{"internal flows never expire", cachedFlow(flow.UDP, 1, 2), false, true,
			"udp      17 src=10.10.1.2 dst=10.10.2.2 sport=1 dport=2 " + reply + "sport=2 dport=1"},
		{"udplite", cachedFlow(flow.UDPLite, 1, 2), false, false,
			"udplite  136 src=10.10.1.2 dst=10.10.2.2 sport=1 dport=2 " + reply + "sport=2 dport=1"},
		{"sctp", cachedFlow(flow.SCTP, 1, 2, inState(4)), false, false,
			"sctp     132 ESTABLISHED src=10.10.1.2 dst=10.10.2.2 sport=1 dport=2 " + reply + "sport=2 dport=1"},
		{"dccp", cachedFlow(flow.DCCP, 1, 2, inState(4)), false, false,
			"dccp     33 OPEN src=10.10.1.2 dst=10.10.2.2 sport=1 dport=2 " + reply + "sport=2 dport=1"},
		{"icmp", cachedFlow(flow.ICMP, 0, 0, echo, unreplied), true, false,
			"icmp     1 src=10.10.1.2 dst=10.10.2.2 type=8 code=0 id=4660 [UNREPLIED]"},
		{"icmpv6", cachedFlow(flow.ICMPv6, 0, 0, over6, func(f *flow.Flow) { f.Orig.SetICMP(128, 0, 5) }), false, false,
			"icmpv6   58 src=fd00::1 dst=fd00::2 type=128 code=0 id=5 src=fd00::2 dst=fd00::1 type=129 code=0 id=5"},
		{"gre", cachedFlow(flow.GRE, 16, 32), false, false,
			"gre      47 src=10.10.1.2 dst=10.10.2.2 srckey=0x10 dstkey=0x20 " + reply + "srckey=0x20 dstkey=0x10"},
		{"a protocol without a tracker", cachedFlow(50, 0, 0), true, false, "unknown  50 src=10.10.1.2 dst=10.10.2.2"},
		{"IPv6", cachedFlow(flow.TCP, 1, 2, over6), false, false,
			"tcp      6 src=fd00::1 dst=fd00::2 sport=1 dport=2 src=fd00::2 dst=fd00::1 sport=2 dport=1"},
		{"NAT", cachedFlow(flow.UDP, 1, 2, func(f *flow.Flow) {
			f.Reply = flow.Tuple{Src: f.Orig.Dst, Dst: netip.MustParseAddr("5.5.5.5"), SrcPort: 2, DstPort: 77, Proto: flow.UDP}
		}), false, false, "udp      17 src=10.10.1.2 dst=10.10.2.2 sport=1 dport=2 src=10.10.2.2 dst=5.5.5.5 sport=2 dport=77"},
		{"what belongs to neither direction", cachedFlow(flow.UDP, 1, 2, marked(0), assured, func(f *flow.Flow) {
			f.Has |= flow.HasSecMark | flow.HasSecCtx | flow.HasZone | flow.HasHelper | flow.HasID | flow.HasMaster
			f.SecMark, f.SecCtx, f.Zone, f.Helper, f.Master = 3, "system_u", 7, "tftp", f.Orig
		}), true, false, "udp      17 src=10.10.1.2 dst=10.10.2.2 sport=1 dport=2 [ASSURED] mark=0 secmark=3 secctx=system_u " +
			"zone=7 helper=tftp"},
		{"counters", cachedFlow(flow.UDP, 1, 2, counted(1, 2, 3, 4)), false, false,
			"udp      17 src=10.10.1.2 dst=10.10.2.2 sport=1 dport=2 packets=1 bytes=2 " + reply +
				"sport=2 dport=1 packets=3 bytes=4"},
		{"offloaded", cachedFlow(flow.UDP, 1, 2, assured, func(f *flow.Flow) { f.Status |= flow.Offload }), true, false,
			"udp      17 src=10.10.1.2 dst=10.10.2.2 sport=1 dport=2 [OFFLOAD]"},
		{"a beginning that lies in the future", cachedFlow(flow.UDP, 1, 2, func(f *flow.Flow) {
			f.Has, f.Start = f.Has|flow.HasStart, 1<<63-1
		}), true, false, "udp      17 src=10.10.1.2 dst=10.10.2.2 sport=1 dport=2 delta-time=0"},
	} {
		before := c.flow
		got := appendCachedText([]byte(">"), &statesync.Cached{Flow: &c.flow, Age: 2, Silent: 2, Left: 98}, c.external, c.expires)
		if want := ">" + c.want + " [active since 2s]\n"; string(got) != want {
			t.Errorf("%s\n got %swant %s", c.rule, got, want)
		}
		if c.flow != before {
			t.Errorf("%s: the flow was changed", c.rule)
		}
	}
}

func TestCachedXML(t *testing.T) {
	const (
		none = `<meta direction="reply"><layer3 protonum="0" protoname="unknown"><src></src><dst></dst></layer3>` +
			`<layer4 protonum="0" protoname="unknown"></layer4></meta>`
		layer3 = `<layer3 protonum="2" protoname="ipv4"><src>10.10.1.2</src><dst>10.10.2.2</dst></layer3>`
		ports  = `<sport>1</sport><dport>2</dport>`
		back   = `<layer3 protonum="2" protoname="ipv4"><src>10.10.2.2</src><dst>10.10.1.2</dst></layer3>`
	)
	for _, c := range []struct {
		rule     string
		flow     flow.Flow
		external bool
		want     string
	}{
		{"states of SCTP have the names of TCP's", cachedFlow(flow.SCTP, 1, 2, inState(flow.SCTPEstablished)), true,
			`<flow><meta direction="original">` + layer3 + `<layer4 protonum="132" protoname="sctp">` + ports + `</layer4></meta>` + none +
				`<meta direction="independent"><state>FIN_WAIT</state></meta></flow>`},
		{"states of DCCP have the names of TCP's", cachedFlow(flow.DCCP, 1, 2, inState(flow.DCCPRequest)), true,
			`<flow><meta direction="original">` + layer3 + `<layer4 protonum="33" protoname="dccp">` + ports + `</layer4></meta>` + none +
				`<meta direction="independent"><state>SYN_SENT</state></meta></flow>`},
		{"internal flows have a reply and an id", cachedFlow(flow.GRE, 16, 32, marked(1), unreplied, func(f *flow.Flow) {
			f.Has |= flow.HasID | flow.HasZone | flow.HasHelper
			f.ID, f.Zone, f.Helper = 9, 7, "pptp"
		}), false, `<flow><meta direction="original">` + layer3 +
			`<layer4 protonum="47" protoname="gre"><srckey>0x10</srckey><dstkey>0x20</dstkey></layer4></meta><meta direction="reply">` + back +
			`<layer4 protonum="47" protoname="gre"><srckey>0x20</srckey><dstkey>0x10</dstkey></layer4></meta>` +
			`<meta direction="independent"><mark>1</mark><zone>7</zone><id>9</id><unreplied/></meta><helper>pptp</helper></flow>`},
		{"ICMP has nothing in layer 4", cachedFlow(flow.ICMP, 0, 0, echo, assured), true,
			`<flow><meta direction="original">` + layer3 + `<layer4 protonum="1" protoname="icmp"></layer4></meta>` + none +
				`<meta direction="independent"><assured/></meta></flow>`},
		{"a protocol without a tracker", cachedFlow(50, 0, 0, over6), true,
			`<flow><meta direction="original"><layer3 protonum="10" protoname="ipv6"><src>fd00::1</src><dst>fd00::2</dst></layer3>` +
				`<layer4 protonum="50" protoname="unknown"></layer4></meta>` + none + `<meta direction="independent"></meta></flow>`},
	} {
		before := c.flow
		if got := appendCachedXML([]byte(">"), &c.flow, c.external); string(got) != ">"+c.want+"\n" {
			t.Errorf("%s\n got %swant >%s", c.rule, got, c.want)
		}
		if c.flow != before {
			t.Errorf("%s: the flow was changed", c.rule)
		}
	}
}

func TestCachedExpect(t *testing.T) {
	x := dataChannel()
	x.Flags, x.Class, x.Zone, x.Has = flow.ExpectPermanent|flow.ExpectInactive|flow.ExpectUserspace, 2, 7, x.Has|flow.ExpectHasZone
	const masks = "mask-src=255.255.255.255 mask-dst=255.255.255.255 sport=0 dport=65535 "
	want := "proto=6 src=10.10.1.2 dst=10.10.2.2 sport=0 dport=40001 " + masks +
		"master-src=10.10.1.2 master-dst=10.10.2.2 sport=35001 dport=21 zone=7 PERMANENT,INACTIVE,USERSPACE class=2 helper=ftp [active since 3s]\n"
	c := statesync.CachedExpect{Expect: &x, Age: 3, Left: 97}
	if got := string(appendCachedExpect(nil, &c, false)); got != want {
		t.Errorf(" got %swant %s", got, want)
	}
	want = strings.Replace(want, " [active", " [expires in 97s] [active", 1)
	if got := string(appendCachedExpect(nil, &c, true)); got != want {
		t.Errorf(" got %swant %s", got, want)
	}
	want = "<helper-name>ftp</helper-name><class>2</class><zone>7</zone><permanent/><inactive/><userspace/></meta></flow>\n"
	if got := string(appendCachedExpectXML(nil, &x)); !strings.HasSuffix(got, want) {
		t.Errorf(" got %swant an end of %s", got, want)
	}
}

func TestCachedJSON(t *testing.T) {
	f := cachedFlow(flow.UDP, 1, 2, marked(5), unreplied)
	c := statesync.Cached{Flow: &f, Age: 3, Left: 97}
	const line = `{"family":"ipv4","proto":"udp","protonum":17,"timeout":100,` +
		`"orig":{"src":"10.10.1.2","dst":"10.10.2.2","sport":1,"dport":2},"reply":{"src":"10.10.2.2","dst":"10.10.1.2","sport":2,"dport":1},` +
		`"status":["CONFIRMED","SRC_NAT_DONE","DST_NAT_DONE"],"mark":5,"labels":[0],"use":2`
	x := dataChannel()
	const expect = `{"family":"ipv4","proto":"tcp","protonum":6,"timeout":300,` +
		`"tuple":{"src":"10.10.1.2","dst":"10.10.2.2","sport":0,"dport":40001},` +
		`"mask":{"src":"255.255.255.255","dst":"255.255.255.255","sport":0,"dport":65535},` +
		`"master":{"proto":"tcp","protonum":6,"src":"10.10.1.2","dst":"10.10.2.2","sport":35001,"dport":21},` +
		`"flags":[],"class":0,"helper":"ftp","id":77`
	nothing := statesync.Cached{Flow: &flow.Flow{}}
	for _, l := range []struct{ got, want string }{
		{string(appendCachedJSON(nil, &c, false)), line + `,"age":3}` + "\n"},
		{string(appendCachedJSON(nil, &c, true)), line + `,"expires":97,"age":3}` + "\n"},
		{string(appendCachedJSON(nil, &nothing, false)), `{"protonum":0,"orig":{},"age":0}` + "\n"},
		{string(appendCachedExpectJSON(nil, &statesync.CachedExpect{Expect: &x, Age: 4}, false)), expect + `,"age":4}` + "\n"},
		{string(appendCachedExpectJSON(nil, &statesync.CachedExpect{Expect: &x, Age: 4, Left: 5}, true)), expect + `,"expires":5,"age":4}` + "\n"},
	} {
		if l.got != l.want {
			t.Errorf(" got %swant %s", l.got, l.want)
		}
		if !json.Valid([]byte(l.got)) {
			t.Errorf("%s is no JSON", l.got)
		}
	}
}

func TestDumpsDoNotAllocate(t *testing.T) {
	f := cachedFlow(flow.TCP, 1, 2, inState(3), marked(4))
	c := statesync.Cached{Flow: &f, Age: 1000, Left: 1000}
	b := make([]byte, 0, 4096)
	for name, line := range map[string]func(){
		"text": func() { appendCachedText(b, &c, true, true) },
		"XML":  func() { appendCachedXML(b, &f, true) },
		"JSON": func() { appendCachedJSON(b, &c, true) },
	} {
		if n := testing.AllocsPerRun(100, line); n != 0 {
			t.Errorf("%s: %v allocations a line, want 0", name, n)
		}
	}
}

// internalEntries are made in the kernel. They have marks, because not all kernels tell of a mark that is 0.
const internalEntries = `
	-p tcp --sport 1 --dport 2 --state ESTABLISHED -u SEEN_REPLY,ASSURED -m 85
	-p tcp --sport 2 --dport 2 --state SYN_SENT -m 1 -n 5.5.5.5:77
	-p udp --sport 1 --dport 2 -m 1 -w 7
	-p udp --sport 1 --dport 2 -m 1 -g 6.6.6.6:78
	-p udplite --sport 1 --dport 2 -m 1
	-p sctp --sport 1 --dport 2 --state ESTABLISHED --orig-vtag 1 --reply-vtag 2 -m 1
	-p icmp --icmp-type 8 --icmp-code 0 --icmp-id 4660 -m 1
	-p gre --srckey 16 --dstkey 32 -m 1
	-p 50 -m 1`

// externalFlows are what a peer tells of.
func externalFlows() (all []flow.Flow) {
	port := uint16(0)
	add := func(p flow.Proto, change ...func(*flow.Flow)) {
		port++
		all = append(all, cachedFlow(p, port, 80, change...))
	}
	for _, p := range []flow.Proto{flow.TCP, flow.SCTP, flow.DCCP} {
		for n := range uint8(10) {
			add(p, inState(n), marked(uint32(n)))
		}
	}
	add(flow.UDP, unreplied)
	add(flow.UDP, over6, assured, func(f *flow.Flow) { f.Status |= flow.Offload })
	add(flow.UDP, func(f *flow.Flow) { f.Status |= flow.HWOffload })
	add(flow.UDP, func(f *flow.Flow) { f.Has, f.Zone = f.Has|flow.HasZone, 7 })
	add(flow.UDP, func(f *flow.Flow) { f.Has, f.Helper = f.Has|flow.HasHelper, "tftp" })
	add(flow.TCP, inState(flow.TCPEstablished), func(f *flow.Flow) {
		f.Has, f.Master, f.Status = f.Has|flow.HasMaster, all[0].Orig, f.Status|flow.Expected
	})
	add(flow.TCP, inState(flow.TCPEstablished), func(f *flow.Flow) {
		f.Reply = flow.Tuple{Src: netip.MustParseAddr("6.6.6.6"), Dst: netip.MustParseAddr("5.5.5.5"),
			SrcPort: 8, DstPort: 7, Proto: flow.TCP}
		f.Status |= flow.SrcNAT | flow.DstNAT
	})
	add(flow.ICMP, echo)
	add(flow.ICMPv6, over6, func(f *flow.Flow) { f.Orig.SetICMP(128, 0, 5) })
	add(flow.UDPLite)
	add(flow.GRE)
	add(50, func(f *flow.Flow) { f.Orig.SrcPort, f.Orig.DstPort = 0, 0 })
	return all
}

// ages are not compared: the two count from different moments.
var ages = regexp.MustCompile(` \[(expires in|active since) \d+s\]`)

// sorted is a dump without ages, in an order of its own.
func sorted(dump string) []string {
	lines := slices.Collect(strings.Lines(ages.ReplaceAllString(dump, " [$1]")))
	slices.Sort(lines)
	return lines
}

func sameDump(t *testing.T, what, ours, theirs string) {
	t.Helper()
	got, want := sorted(ours), sorted(theirs)
	for i := range max(len(got), len(want)) {
		var g, w string
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("%s\n got %q\nwant %q", what, g, w)
		}
	}
}

func TestOriginalDumpsTheSameInternalFlows(t *testing.T) {
	t.Parallel()
	nstest.NeedTool(t, "conntrack")
	a, _ := nstest.Pair(t)
	o := newOracle(t, a, `Stats { LogFile off }`)
	entries := strings.Split(strings.TrimSpace(internalEntries), "\n")
	for _, e := range entries {
		a.MustRun(t, strings.Fields("conntrack -I -t 600 -s 1.1.1.1 -d 2.2.2.2 "+e)...)
	}
	for _, e := range []string{"-p udp --sport 1 --dport 2", "-p icmpv6 --icmpv6-type 128 --icmpv6-code 0 --icmpv6-id 5"} {
		a.MustRun(t, strings.Fields("conntrack -I -t 600 -s fd01::1 -d fd01::2 -m 1 "+e)...)
	}
	nstest.Wait(t, "the flows in conntrackd's cache", func() bool {
		return strings.Count(o.says(t, DumpInternal), "\n") == len(entries)+2
	})
	kernel, err := conntrack.Dial(&conntrack.Options{NetNS: a.Path()})
	if err != nil {
		t.Fatal(err)
	}
	defer kernel.Close()
	var text, xml []byte
	for f, err := range kernel.Flows(context.Background(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		text = appendCachedText(text, &statesync.Cached{Flow: &f}, false, false)
		xml = appendCachedXML(xml, &f, false)
	}
	sameDump(t, "text", string(text), o.says(t, DumpInternal))
	sameDump(t, "XML", string(xml), o.says(t, DumpInternalXML))
}

// A peer tells both the original and our engine of flows and expectations.
func TestOriginalDumpsTheSameExternalFlows(t *testing.T) {
	t.Parallel()
	a, b := nstest.Pair(t)
	o := newOracle(t, a, `Sync {
		Mode ALARM { CacheTimeout 1000 }
		UDP { IPv4_address 10.0.0.1 IPv4_Destination_Address 10.0.0.2 Port 3780 Interface eth0 }
		Options { ExpectationSync on }
	}`)
	toOriginal := nstest.Dial(t, b, "udp", netip.AddrPort{}, netip.MustParseAddrPort("10.0.0.1:3780"))
	options := statesync.Options{Mode: statesync.ALARM, CacheTimeout: 1000}
	peer, engine := statesync.New(options), statesync.New(options)
	flows := externalFlows()
	for _, f := range flows {
		peer.Event(0, &flow.Event{Type: flow.New, Flow: f}, statesync.Others)
	}
	for i, flags := range []flow.ExpectFlags{0, flow.ExpectPermanent, flow.ExpectInactive | flow.ExpectUserspace} {
		x := dataChannel()
		x.Master, x.Tuple.DstPort, x.Flags = flows[0].Orig, uint16(i), flags
		peer.ExpectEvent(0, &flow.ExpectEvent{Type: flow.New, Expect: x}, statesync.Others)
	}
	peer.Run(0)
	for datagram := range peer.Take().Datagrams {
		engine.Datagram(0, datagram)
		if _, err := toOriginal.Write(datagram); err != nil {
			t.Fatal(err)
		}
	}
	nstest.Wait(t, "the expectations in conntrackd's cache", func() bool {
		return strings.Count(o.says(t, DumpExternalExpects), "\n") == 3
	})
	var text, xml, expects, expectsXML []byte
	engine.External(0, 0, 1<<30, func(c *statesync.Cached) {
		text = appendCachedText(text, c, true, true)
		xml = appendCachedXML(xml, c.Flow, true)
	})
	engine.ExternalExpects(0, func(c *statesync.CachedExpect) {
		expects = appendCachedExpect(expects, c, true)
		expectsXML = appendCachedExpectXML(expectsXML, c.Expect)
	})
	if got := strings.Count(string(text), "\n"); got != len(flows) {
		t.Errorf("%d flows, want %d", got, len(flows))
	}
	sameDump(t, "text", string(text), o.says(t, DumpExternal))
	sameDump(t, "XML", string(xml), o.says(t, DumpExternalXML))
	sameDump(t, "expectations", string(expects), o.says(t, DumpExternalExpects))
	sameDump(t, "expectations in XML", string(expectsXML), o.says(t, DumpExternalExpXML))
}
