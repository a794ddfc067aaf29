//go:build linux

package interop_test

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"syscall"
	"testing"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/agent"
)

// TestConntrackdOverrun has the kernel drop events about flows and expectations, because our daemon does not read them. It has to
// find out, read both tables again, and tell its peer.
func TestConntrackdOverrun(t *testing.T) {
	t.Parallel()
	for who, tools := range castings(t) {
		if tools[0].foreign {
			continue // 1.4.7 leaves expectations out
		}
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, setup{options: "ExpectationSync on",
				general: "NetlinkBufferSize 8192 NetlinkBufferSizeMaxGrowth 8192 NetlinkOverrunResync 1"}, tools[0], tools[1])
			p.greeted()
			p.a.addAnnounced()
			b := newBustle(p.a)
			b.steps(20)
			caughtUp(t, "before", p)

			daemon := p.a.running.cmd.Process
			daemon.Signal(syscall.SIGSTOP)
			b.steps(1000)
			lib, whole := p.a.lib(), netip.MustParseAddr("255.255.255.255")
			for i := range 100 { // each takes the place of the last
				if err := lib.CreateExpect(t.Context(), &flow.Expect{
					Has:   flow.ExpectHasHelper,
					Tuple: tupleOf("1.1.3.1", "2.2.2.2", 0, uint16(52000+i), flow.TCP), Master: controlTuple(), Helper: "ftp",
					Mask: flow.Tuple{Src: whole, Dst: whole, DstPort: 0xffff, Proto: flow.TCP},
				}); err != nil {
					t.Error(err)
				}
			}
			daemon.Signal(syscall.SIGCONT)
			if !settles(t, "overruns", "true", func() string { return strconv.FormatBool(p.a.overruns() > 0) }) {
				return
			}
			caughtUp(t, "afterwards", p)
			b.steps(20)
			p.a.must("conntrack", "-F", "expect")
			caughtUp(t, "from then on", p)
		})
	}
}

// TestConntrackdOverrunWithoutCache is about the same without an internal cache. What has ended nobody knows then, but everything that
// is there is told.
func TestConntrackdOverrunWithoutCache(t *testing.T) {
	t.Parallel()
	for who, tools := range castings(t) {
		if tools[0].foreign {
			continue // 1.4.7 does nothing
		}
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, setup{mode: "NOTRACK", timers: "DisableInternalCache on",
				general: "NetlinkBufferSize 8192 NetlinkBufferSizeMaxGrowth 8192 NetlinkOverrunResync 1"}, tools[0], tools[1])
			p.greeted()
			daemon := p.a.running.cmd.Process
			daemon.Signal(syscall.SIGSTOP)
			newBustle(p.a).flows(1000)
			daemon.Signal(syscall.SIGCONT)
			settles(t, "overruns", "true", func() string { return strconv.FormatBool(p.a.overruns() > 0) })
			kernel := func() string { table, _ := p.a.kernelTable(); return told(table) }
			agree(t, "the peer's external cache", kernel, p.b.external)
		})
	}
}

// caughtUp waits until kernel, internal cache and the peer's external cache are equal, in flows and in expectations.
func caughtUp(t *testing.T, what string, p *pair) {
	t.Helper()
	kernel := func() string { table, _ := p.a.kernelTable(); return withoutHelpers(told(table)) }
	expected := func() string {
		return apply([]rule{{expectLife, ""}}, sortLines(p.a.must("conntrack", "-L", "expect")))
	}
	_ = agree(t, what+": internal cache", kernel, func() string { return withoutHelpers(told(p.a.internal())) }) &&
		agree(t, what+": the peer's external cache", kernel, func() string { return withoutHelpers(p.b.external()) }) &&
		agree(t, what+": internal expectations", expected, func() string { return apply(ageRules, sortLines(p.a.ask(agent.DumpInternalExpects))) }) &&
		agree(t, what+": the peer's expectations", expected, p.b.externalExpects)
}

var (
	expectLife  = regexp.MustCompile(`(?m)^\d+ `)
	overrunLine = regexp.MustCompile(`netlink overrun:\s+(\d+)`)
)

// overruns is how often the kernel has dropped events.
func (n *node) overruns() int {
	m := overrunLine.FindStringSubmatch(n.ask(agent.StatRuntime))
	if m == nil {
		return 0
	}
	count, err := strconv.Atoi(m[1])
	if err != nil {
		n.t.Error(fmt.Errorf("%q: %w", m[0], err))
	}
	return count
}
