//go:build linux

package interop_test

import (
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/internal/agent"
)

// countedSteps are done one after the other on node a of a pair, each when the last has reached the peer; a step that begins with
// ! is a request to the daemon, one with !! to the peer's; one with ? is done on the peer. + makes an expectation.
const countedSteps = `
	-I -s 1.1.1.1 -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 5000
	-I -s 1.1.1.1 -d 2.2.2.2 -p tcp --sport 10 --dport 20 --state SYN_SENT -t 5000
	-I -s 1.1.1.2 -d 2.2.2.2 -p tcp --sport 10 --dport 20 --state ESTABLISHED -u SEEN_REPLY,ASSURED -t 5000
	-I -s 10.1.1.1 -d 10.2.2.2 -p udp --sport 10 --dport 20 -t 5000 # filtered
	-U -s 1.1.1.1 -p udp -m 5
	-U -s 1.1.1.1 -p udp -m 6
	-U -s 1.1.1.1 -p tcp --state ESTABLISHED -u SEEN_REPLY -t 5000
	-D -s 1.1.1.1 -p udp
	-I -s 1.1.1.1 -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 5000
	!-B
	!!-n
	!-R
	!-B
	!!-c
	!!-c
	!!-R
	!!-f·external
	!-B
	!!-f
	!-f·internal
	-U -s 1.1.1.1 -p udp -m 7
	-D -s 1.1.1.2
	!-R
	!!-F·ct
	!-F·ct
	!!-n
	+
	!-B
	!-R·expect
	!!-c·expect
	!!-f
	!!-n
	-F expect
	+
	!-f
	!-R
	!-F·expect
	-F
`

// TestConntrackdCounts compares the figures of all caches, not only their form.
func TestConntrackdCounts(t *testing.T) {
	t.Parallel()
	their, our := theirDaemon(t), ourDaemon(t)
	for _, mode := range []string{"FTFW", "NOTRACK"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := setup{mode: mode, options: "ExpectationSync on"}
			// Ours is once at either end; what it counts there is what theirs counts in its place.
			reference, active, passive := newPair(t, s, their, their), newPair(t, s, our, their), newPair(t, s, their, our)
			pairs := []*pair{reference, active, passive}
			for _, argv := range commandLines(countedSteps) {
				step := strings.Join(argv[1:], " ")
				for _, p := range pairs {
					p.do(step)
				}
				time.Sleep(together) // and counted once
				for _, end := range []struct {
					what      string
					want, got *node
				}{{"active", reference.a, active.a}, {"passive", reference.b, passive.b}} {
					agree(t, end.what+", after "+step, end.want.cacheFigures, end.got.cacheFigures)
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

// together is the time in which the original sends the end and the new beginning of a flow as one.
const together = 300 * time.Millisecond

// do takes a step on node a, or where the step says.
func (p *pair) do(step string) {
	p.a.t.Helper()
	n, words := p.a, step
	if rest, ok := strings.CutPrefix(step, "!!"); ok {
		n, words = p.b, "!"+rest
	} else if rest, ok := strings.CutPrefix(step, "?"); ok {
		n, words = p.b, rest
	}
	switch request, ok := strings.CutPrefix(words, "!"); {
	case step == "+":
		n.must("conntrack", "-F") // whatever there is of it
		time.Sleep(together)
		n.addAnnounced()
	case ok:
		n.client(strings.Fields(request)...)
	default:
		n.must(append([]string{"conntrack"}, strings.Fields(words)...)...)
	}
}

// cacheFigures are those of all caches.
func (n *node) cacheFigures() string {
	caches := func(s string) string {
		s, _, _ = strings.Cut(s, "traffic processed:")
		return s
	}
	return n.ask(agent.StatCache) + caches(n.ask(agent.StatGeneral)) + "expectations:\n" + caches(n.ask(agent.StatExpect))
}
