//go:build linux

package interop_test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/agent"
)

// setting is something that a configuration can say, and what it makes of the flows of the active node.
type setting struct {
	name    string
	setup   setup
	arrives func(line string) bool // which flows the passive node is told of, by what it shows of them; nil is all
	expects bool                   // expectations arrive, too
	check   func(t *testing.T, p *pair)
}

var settings = []setting{
	{name: "window tracking", setup: setup{options: "TCPWindowTracking on"}, check: checkWindows},
	{name: "no window tracking", setup: setup{options: "TCPWindowTracking off"}, check: checkWindows},
	{name: "commit timeout", setup: setup{timers: "CommitTimeout 333"}, check: func(t *testing.T, p *pair) {
		p.b.client("-c")
		table, left := p.b.kernelTable()
		if strings.Count(table, "\n") < len(replicatedFlows)-5 {
			t.Errorf("committed only\n%s", table)
		}
		for line, n := range left {
			if n < 300 || n > 333 {
				t.Errorf("committed with a timeout of %d: %s", n, line)
			}
		}
	}},
	{name: "expectations of all", setup: setup{options: "ExpectationSync on"}, expects: true},
	{name: "expectations of some", setup: setup{options: "ExpectationSync { sip FT }"}, expects: true},
	{name: "expectations of others", setup: setup{options: "ExpectationSync { sip h323 }"}},
	{name: "protocols accepted", setup: setup{general: "Filter { Protocol Accept { TCP SCTP } }"},
		arrives: func(line string) bool { return strings.HasPrefix(line, "tcp ") || strings.HasPrefix(line, "sctp ") }},
	{name: "protocols ignored", setup: setup{general: "Filter From Userspace { Protocol Ignore { UDP ICMP ipv6-icmp } }"},
		arrives: func(line string) bool { return !strings.HasPrefix(line, "udp ") && !strings.HasPrefix(line, "icmp") }},
	{name: "addresses ignored", setup: setup{general: "Filter { Address Ignore { IPv4_address 1.1.1.1 IPv4_address 1.1.2.0/30 IPv6_address 2001:db8:2::/48 } }"},
		arrives: func(line string) bool {
			return !strings.Contains(line, "src=1.1.1.1 ") && !regexp.MustCompile(`src=1\.1\.2\.[123] `).MatchString(line) &&
				!strings.Contains(line, "src=2001:db8:2:")
		}},
	{name: "states accepted", setup: setup{general: "Filter { State Accept { ESTABLISHED TIME_WAIT CLOSED for TCP } }"},
		arrives: func(line string) bool {
			return !strings.HasPrefix(line, "tcp ") || regexp.MustCompile(` (ESTABLISHED|TIME_WAIT|CLOSE) `).MatchString(line)
		}},
	{name: "states ignored", setup: setup{general: "Filter From Userspace { State Ignore { SYN_SENT SYN_RECV LISTEN for TCP } }"},
		arrives: func(line string) bool { return !strings.Contains(line, " SYN_") }},
	{name: "small cache", setup: setup{general: "HashLimit 10"}, arrives: func(line string) bool {
		return slices.ContainsFunc(replicatedFlows[:10], func(r replicated) bool { return strings.HasPrefix(line, r.shown) })
	}, check: func(t *testing.T, p *pair) {
		if s := p.a.ask(agent.StatCache); !strings.Contains(s, "no space left in cache:\t") || strings.Contains(s[:strings.Index(s, "update OK")], "left in cache:\t           0") {
			t.Errorf("no failures counted:\n%s", s)
		}
	}},
	{name: "small queue", setup: setup{timers: "ResendQueueSize 5 ACKWindowSize 2"}},
	{name: "reliable events", setup: setup{general: "NetlinkEventsReliable on"}},
	{name: "polling", setup: setup{general: "PollSecs 1"}},
	{name: "sockets", setup: setup{link: "SndSocketBuffer 1249280 RcvSocketBuffer 1249280 Checksum off"}},
	{name: "sockets of a stream", setup: setup{channel: "TCP", link: "SndSocketBuffer 1249280 RcvSocketBuffer 1249280 Checksum off ErrorQueueLength 512"}},
}

// TestConntrackdSettings looks at what settings do, with either program at either end.
func TestConntrackdSettings(t *testing.T) {
	t.Parallel()
	for who, tools := range castings(t) {
		if tools[0] == tools[1] {
			continue
		}
		for _, s := range settings {
			t.Run(s.name+"/"+who, func(t *testing.T) {
				t.Parallel()
				p := newPair(t, s.setup, tools[0], tools[1])
				p.a.addFlows()
				want := ""
				for line := range strings.Lines(shownFlows()) {
					if s.arrives == nil || s.arrives(line) {
						want += line
					}
				}
				settles(t, "the peer's external cache", sortLines(want), func() string { return withoutHelpers(p.b.external()) })
				expects := ""
				if s.expects {
					expects = expectShown + "\n"
				}
				settles(t, "the peer's expectations", expects, p.b.externalExpects)
				if s.check != nil {
					s.check(t, p)
				}
				p.a.must("conntrack", "-F")
				settles(t, "the peer's external cache in the end", "", p.b.external)
			})
		}
	}
}

// shownFlows is what a peer shows of everything that addFlows makes.
func shownFlows() string {
	all := masterShown + "\n" + relatedShown + "\n"
	for _, r := range replicatedFlows {
		all += r.shown + "\n"
	}
	return sortLines(withoutHelpers(all))
}

// checkWindows commits a connection that uses large windows: either the peer knows their scales, or it does not look.
func checkWindows(t *testing.T, p *pair) {
	tracking := strings.HasSuffix(p.a.must("grep", "TCPWindowTracking", p.a.conf), "on\n")
	life, status, state := lifetime, flow.SeenReply|flow.Assured, uint8(flow.TCPEstablished)
	ours, others, scaled := uint8(7), uint8(9), flow.TCPWindowScale
	e := conntrack.Entry{Orig: tupleOf("1.1.4.1", "2.2.2.2", 10, 20, flow.TCP), Change: conntrack.Change{
		Timeout: &life, Status: &status, TCP: &conntrack.TCP{
			State: &state, Orig: &conntrack.TCPWindow{Scale: &ours, Flags: scaled, Mask: scaled},
			Reply: &conntrack.TCPWindow{Scale: &others, Flags: scaled, Mask: scaled}}}}
	e.Reply, _ = e.Orig.Inverse()
	if err := p.a.lib().Create(t.Context(), &e); err != nil {
		t.Fatal(err)
	}
	settles(t, "the connection arrives", "true", func() string { return strconv.FormatBool(strings.Contains(p.b.external(), "src=1.1.4.1 ")) })
	p.b.client("-c")
	f, err := p.b.lib().Get(t.Context(), e.Orig, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(f.OrigWindow.Scale, f.ReplyWindow.Scale, f.OrigWindow.Flags&flow.TCPBeLiberal != 0, f.ReplyWindow.Flags&flow.TCPBeLiberal != 0)
	want := "0 0 true true"
	switch {
	case tracking && p.b.tool.foreign:
		want = "0 0 false false" // what 1.4.7 is told it hands to the kernel, which does not take it in that form
	case tracking:
		want = "7 9 false false"
	}
	if got != want {
		t.Errorf("committed with scales and leniency %s, want %s", got, want)
	}
}

// TestConntrackdSecondChannel takes the device of the first channel away, and gives it back.
func TestConntrackdSecondChannel(t *testing.T) {
	t.Parallel()
	for who, tools := range castings(t) {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			p := idlePair(t, setup{channels: `
				UDP Default { IPv4_address 10.0.0.%[1]d IPv4_Destination_Address 10.0.0.%[2]d Port 3780 Interface eth0 }
				UDP { IPv4_address 10.0.1.%[1]d IPv4_Destination_Address 10.0.1.%[2]d Port 3781 Interface eth1 }
			`}, tools[0], tools[1])
			secondCable(t, p)
			p.start()
			p.greeted()
			b := newBustle(p.a)
			b.steps(100)
			inStep(t, "over the first", p.a, p.b)
			active := func(n *node) string {
				for line := range strings.Lines(n.ask(agent.StatLink)) {
					if strings.Contains(line, "role=ACTIVE") {
						return line
					}
				}
				return ""
			}
			for _, n := range []*node{p.a, p.b} {
				settles(t, n.name+": the first channel", "UDP traffic device=eth0 status=RUNNING role=ACTIVE:\n", func() string { return active(n) })
			}
			for range 2 {
				p.a.must("ip", "link", "set", "eth0", "down")
				b.steps(100)
				for _, n := range []*node{p.a, p.b} {
					settles(t, n.name+": the second channel", "UDP traffic device=eth1 status=RUNNING role=ACTIVE:\n", func() string { return active(n) })
				}
				inStep(t, "over the second", p.a, p.b)
				p.a.must("ip", "link", "set", "eth0", "up")
				time.Sleep(200 * time.Millisecond)
				p.b.must("ip", "link", "set", "eth1", "down") // this time the other node sees it first
				b.steps(100)
				for _, n := range []*node{p.a, p.b} {
					settles(t, n.name+": the first channel again", "UDP traffic device=eth0 status=RUNNING role=ACTIVE:\n", func() string { return active(n) })
				}
				inStep(t, "over the first again", p.a, p.b)
				p.b.must("ip", "link", "set", "eth1", "up")
			}
			log := p.a.must("cat", p.a.log)
			if !strings.Contains(log, "[notice] device `eth1' becomes dedicated link\n") {
				t.Errorf("log:\n%s", log)
			}
		})
	}
}
