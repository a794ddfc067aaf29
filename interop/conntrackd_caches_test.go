//go:build linux

package interop_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/internal/agent"
)

// inKernels waits until what one kernel tracks the other does, too.
func inKernels(t *testing.T, what string, from, to *node) bool {
	t.Helper()
	table := func(n *node) func() string {
		return func() string { s, _ := n.committable(); return s }
	}
	return agree(t, what, table(from), table(to))
}

// TestConntrackdWithoutExternalCache has flows put into the kernel as they are told of.
func TestConntrackdWithoutExternalCache(t *testing.T) {
	t.Parallel()
	for who, tools := range castings(t) {
		for _, mode := range []string{"FTFW", "NOTRACK"} {
			s := setup{mode: mode, timers: "DisableExternalCache on", options: "ExpectationSync on"}
			t.Run(mode+"/"+who, func(t *testing.T) {
				t.Parallel()
				testInjection(t, s, newPair(t, s, tools[0], tools[1]))
			})
			t.Run(mode+"/"+who+"/many", func(t *testing.T) {
				t.Parallel()
				// The original loses what a TCP channel cannot take at once.
				s := setup{mode: mode, timers: "DisableExternalCache on", general: "NetlinkBufferSize 8388608", link: "RcvSocketBuffer 8388608"}
				if !tools[0].foreign && !tools[1].foreign {
					s.channel = "TCP"
				}
				p := newPair(t, s, tools[0], tools[1])
				p.greeted() // there is a connection
				newBustle(p.a).flows(3000)
				inKernels(t, "many flows", p.a, p.b)
				p.a.must("conntrack", "-F")
				inKernels(t, "none", p.a, p.b)
			})
		}
	}
}

func testInjection(t *testing.T, s setup, p *pair) {
	active, passive := p.a, p.b
	active.keepLabels()
	passive.keepLabels()
	active.addFlows()
	if !inKernels(t, "the peer's kernel", active, passive) {
		return
	}
	settles(t, "the peer's expectations", expectLines(active), func() string { return expectLines(passive) })
	wantCommitted(t, active, passive) // with timeouts
	if got := passive.client("-e"); got != "" {
		t.Errorf("there is an external cache:\n%s", got)
	}
	if s.mode == "FTFW" {
		settles(t, "the other's internal cache", "", passive.internal)
	}

	for _, argv := range commandLines(`
		-U -p udp -s 1.1.1.1 -m 99
		-U -p tcp -s 1.1.1.1 --sport 10 --dport 20 --state ESTABLISHED -u SEEN_REPLY,ASSURED -t 4000
		-D -p icmp -s 1.1.1.1
	`) {
		active.must(argv...)
	}
	inKernels(t, "the peer's kernel after changes", active, passive)

	// The other direction, at the same time.
	passive.load("-I -s 9.1.1.1 -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 5000\n")
	inKernels(t, "the node's kernel", passive, active)

	// Neither tells the other of what it was told.
	counts := func() string { return active.ask(agent.StatGeneral) + passive.ask(agent.StatGeneral) }
	injected := func() (lines string) {
		for line := range strings.Lines(counts()) {
			if strings.HasPrefix(line, "connections ") {
				lines += line
			}
		}
		return lines
	}
	before := injected()
	time.Sleep(time.Second)
	if after := injected(); after != before {
		t.Errorf("operations go on with nothing happening:\n%s\nthen\n%s", before, after)
	}
	// What a node was told of it does not tell of, not even its end.
	passive.must("conntrack", "-D", "-s", "9.1.1.1")
	active.must("conntrack", "-F", "expect")
	settles(t, "no expectations", "", func() string { return expectLines(passive) })
	active.must("conntrack", "-F")
	inKernels(t, "nothing", active, passive)
}

// TestConntrackdWithoutInternalCache has events told as they come.
func TestConntrackdWithoutInternalCache(t *testing.T) {
	t.Parallel()
	for who, tools := range castings(t) {
		for _, external := range []string{"on", "off"} {
			s := setup{mode: "NOTRACK", timers: "DisableInternalCache on DisableExternalCache " + external}
			t.Run(fmt.Sprintf("%s/DisableExternalCache %s", who, external), func(t *testing.T) {
				t.Parallel()
				testBypass(t, external == "on", newPair(t, s, tools[0], tools[1]))
			})
		}
	}
}

func testBypass(t *testing.T, inject bool, p *pair) {
	active, passive := p.a, p.b
	b := newBustle(active)
	follows := func(what string) {
		t.Helper()
		if inject {
			inKernels(t, what, active, passive)
			return
		}
		kernel := func() string { table, _ := active.kernelTable(); return told(table) }
		agree(t, what, kernel, passive.external)
	}
	b.steps(300)
	follows("events")
	if !inject {
		passive.client("-f", "external")
		active.client("-B")
		follows("bulk")
		passive.client("-f", "external")
		passive.client("-n")
		follows("answer to a resync request")
	}
	b.steps(100)
	follows("more events")

	// What stands for the internal cache is the kernel's table.
	table := func(s string) string {
		var b strings.Builder
		for line := range strings.Lines(sortLines(s)) {
			if m := timeoutColumn.FindStringSubmatch(line); m != nil {
				b.WriteString(m[1] + " " + m[3] + "\n")
			} else {
				t.Errorf("strange line %q", line)
			}
		}
		return sortLines(b.String())
	}
	kernel, _ := active.kernelTable()
	if got := table(active.client("-i")); got != kernel {
		t.Errorf("-i\n%s", differing(kernel, got))
	}
	if got := table(active.client("-i", "-x")); got != kernel {
		t.Errorf("-i -x\n%s", differing(kernel, got))
	}
	active.client("-R")
	active.must("conntrack", "-I", "-s", "10.0.0.9", "-d", "10.0.0.8", "-p", "udp", "--sport", "1", "--dport", "2", "-t", "100")
	active.client("-f", "internal")
	settles(t, "after -f internal", "", func() string { s, _ := active.kernelTable(); return s })
	if s := active.must("conntrack", "-L"); !strings.Contains(s, "src=10.0.0.9 ") {
		t.Errorf("-f internal deletes what the filter leaves out:\n%s", s)
	}
}
