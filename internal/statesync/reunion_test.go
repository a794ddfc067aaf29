package statesync

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// restart has a node start anew, with what its kernel has now.
func (p *play) restart(node int) {
	old := p.nodes[node]
	o := old.opts
	o.FirstSeq += 1 << 20
	p.nodes[node] = &actor{Engine: New(o), opts: o, kernel: old.kernel}
	for _, f := range old.kernel {
		p.nodes[node].Read(p.now, &f, false, true)
	}
}

// What ended while a node was away is forgotten by its peer, although nobody tells of it.
func TestEndsWhileAwayAreFoundOut(t *testing.T) {
	for _, bad := range []bool{false, true} {
		p := newPlay(t, Options{})
		for i := range 3000 {
			p.happen(0, flow.New, tcp(i, 3))
		}
		p.pass(3 * time.Second)
		p.mustBeInStep()
		for i := range 500 { // nobody is there to see it
			delete(p.nodes[0].kernel, tcp(7*i%3000, 3).Orig)
		}
		if bad {
			p.loss, p.reorder = 0.05, 0.05
		}
		p.restart(0)
		for range 20 {
			p.bustle(0, 20) // while flows come and go
			p.pass(time.Second)
		}
		p.loss, p.reorder = 0, 0
		p.pass(5 * time.Second)
		p.mustBeInStep()
		if !slices.ContainsFunc(p.nodes[1].log, func(l string) bool { return strings.HasSuffix(l, "had ended before their node started anew") }) {
			t.Errorf("log: %q, %q, %+v", p.nodes[1].log, p.nodes[0].log, p.nodes[1].reunion)
		}
	}
}

// The peer of a machine that has rebooted keeps what it knows: it may be needed.
func TestFlowsOfARebootedNodeStay(t *testing.T) {
	p := newPlay(t, Options{})
	for i := range 1000 {
		p.happen(0, flow.New, tcp(i, 3))
	}
	p.pass(time.Second)
	clear(p.nodes[0].kernel)
	p.restart(0)
	for i := range 300 {
		p.happen(0, flow.New, tcp(5000+i, 1))
	}
	p.pass(30 * time.Second)
	if n := len(p.cached(1, true)); n != 1300 {
		t.Errorf("%d flows are left", n)
	}
	if !slices.ContainsFunc(p.nodes[1].log, func(l string) bool { return strings.Contains(l, "tells of 0 of 1000 flows") }) {
		t.Errorf("log: %q", p.nodes[1].log)
	}
}

// A peer that knows nothing is not asked for anything.
func TestFirstMeetingIsNoReunion(t *testing.T) {
	p := newPlay(t, Options{})
	p.pass(2 * time.Second)
	p.bustle(0, 50)
	p.pass(30 * time.Second)
	for i, a := range p.nodes {
		if slices.ContainsFunc(a.log, func(l string) bool { return strings.Contains(l, "anew") || strings.Contains(l, "resync") }) {
			t.Errorf("node %d: %q", i, a.log)
		}
	}
	p.mustBeInStep()
}
