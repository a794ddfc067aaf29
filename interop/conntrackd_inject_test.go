//go:build linux

package interop_test

import (
	"strings"
	"testing"
	"time"
)

// injectedSteps are done one after the other on a node whose peer has no external cache. Lines are as those of countedSteps, but
// that ? is for the kernel's table of the peer.
const injectedSteps = `
	-I -s 1.1.1.1 -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 5000
	-U -s 1.1.1.1 -p udp -m 5
	!-B
	?-D -s 1.1.1.1
	-U -s 1.1.1.1 -p udp -m 6
	?-D -s 1.1.1.1
	-D -s 1.1.1.1
	+
	!-B
	!-R expect
	!-B
	?-F expect
	!-B
	-F expect
	+
	?-F expect
	-F expect
	+
	?-F expect
	?-F
	!-B
	-F expect
	?-F
	-I expect -s 1.1.3.1 -d 2.2.2.2 -p tcp --sport 4000 --dport 21 --tuple-src 1.1.3.1 --tuple-dst 2.2.2.2 --mask-src 255.255.255.255 --mask-dst 255.255.255.255 --tuple-port-src 0 --tuple-port-dst 7777 --mask-port-src 0 --mask-port-dst 65535 -t 100
	-F expect
	-F
`

// TestConntrackdInjects compares what is counted, and logged, of flows and expectations that are put into the kernel at once.
func TestConntrackdInjects(t *testing.T) {
	t.Parallel()
	their, our := theirDaemon(t), ourDaemon(t)
	for _, mode := range []string{"FTFW", "NOTRACK"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := setup{mode: mode, options: "ExpectationSync on", timers: "DisableExternalCache on"}
			reference, passive := newPair(t, s, their, their), newPair(t, s, their, our)
			for _, argv := range commandLines(injectedSteps) {
				step := strings.Join(argv[1:], " ")
				for _, p := range []*pair{reference, passive} {
					p.do(step)
				}
				time.Sleep(together) // and counted once
				agree(t, "figures after "+step, reference.b.cacheFigures, passive.b.cacheFigures)
				agree(t, "log after "+step, reference.b.refused, passive.b.refused)
				if t.Failed() {
					return
				}
			}
			for _, text := range []string{"could not add new ct entry: ", "could not add new exp entry: "} {
				if log := reference.b.refused(); !strings.Contains(log, text) {
					t.Errorf("nothing was refused of what says %q:\n%s", text, log)
				}
			}
		})
	}
}

// refused is what a node that is told of flows has logged.
func (n *node) refused() string { return n.loggedSince("-- starting in console mode --\n") }
