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
		if !slices.ContainsFunc(p.nodes[1].log, func(l string) bool { return strings.HasSuffix(l, "had ended while their node was away") }) {
			t.Errorf("log: %q, %q, %+v", p.nodes[1].log, p.nodes[0].log, p.nodes[1].reunion)
		}
	}
}

// The peer of a machine that has rebooted keeps what it knows: it may be needed.
func TestFlowsOfARebootedNodeStay(t *testing.T) {
	for _, mode := range []Mode{FTFW, NOTRACK} {
		p := newPlay(t, Options{Mode: mode})
		for i := range 1000 {
			p.happen(0, flow.New, tcp(i, 3))
		}
		p.pass(time.Second)
		clear(p.nodes[0].kernel)
		p.restart(0)
		for i := range 300 {
			p.happen(0, flow.New, tcp(5000+i, 1))
		}
		p.pass(time.Minute)
		if n := len(p.cached(1, true)); n != 1300 {
			t.Errorf("mode %d: %d flows are left", mode, n)
		}
		if !slices.ContainsFunc(p.nodes[1].log, func(l string) bool { return strings.Contains(l, "its table is another") }) {
			t.Errorf("mode %d: log: %q", mode, p.nodes[1].log)
		}
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

// Expectations that ended while a node was away are forgotten, too.
func TestExpectationsThatEndedWhileAway(t *testing.T) {
	p := newPlay(t, Options{})
	for i := range 20 {
		p.happen(0, flow.New, tcp(i, flow.TCPEstablished))
		p.announce(flow.New, expectationOf(i))
	}
	p.pass(3 * time.Second)
	p.restart(0)
	for i := range 12 {
		x := expectationOf(i)
		p.nodes[0].ReadExpect(p.now, &x, false)
	}
	p.pass(30 * time.Second)
	p.mustBeInStep()
	if own, peers := p.expected(0, false), p.expected(1, true); own != 12 || peers != 12 {
		t.Errorf("%d expectations, and %d at the peer, want 12", own, peers)
	}
	// All of a machine that has rebooted stay.
	clear(p.nodes[0].kernel)
	p.restart(0)
	p.pass(30 * time.Second)
	if n := p.expected(1, true); n != 12 {
		t.Errorf("%d expectations are left of a node that has rebooted, want 12", n)
	}
}

// asked counts how often a node has asked for everything.
func (a *actor) asked() (n int) {
	for _, l := range a.log {
		if strings.Contains(l, "asking it for all flows") {
			n++
		}
	}
	return n
}

// In NOTRACK nothing is sent twice. A node that sees that something is missing asks for everything, and forgets what it is not told of.
func TestLossesAreMended(t *testing.T) {
	for _, fault := range []struct {
		name string
		play func(p *play)
	}{
		{"lossy line", func(p *play) { p.loss, p.reorder, p.duplicate = 0.05, 0.05, 0.05 }},
		{"partition", func(p *play) { p.cut = true }},
		{"restart", func(p *play) {
			for i := range 20 {
				delete(p.nodes[0].kernel, tcp(i, 0).Orig)
			}
			p.restart(0)
		}},
		{"restart with lower numbers", func(p *play) {
			delete(p.nodes[0].kernel, tcp(7, 0).Orig)
			p.nodes[0].opts.FirstSeq -= 1 << 28
			p.restart(0)
		}},
	} {
		p := newPlay(t, Options{Mode: NOTRACK})
		for i := range 400 {
			p.happen(0, flow.New, tcp(i, 3))
		}
		p.pass(2 * time.Second)
		p.mustBeInStep()
		fault.play(p)
		for range 10 {
			p.bustle(0, 20)
			p.pass(time.Second)
		}
		p.loss, p.reorder, p.duplicate, p.cut = 0, 0, 0, false
		p.pass(2 * time.Minute)
		p.mustBeInStep()
		if n := p.nodes[1].asked(); n < 1 || n > 4 {
			t.Errorf("%s: asked for everything %d times", fault.name, n)
		}
		if t.Failed() {
			t.Fatalf("%s: %q", fault.name, p.nodes[1].log)
		}
	}
}

// Where something is always missing, all is asked for ever more rarely, and nothing is forgotten because it was lost again.
func TestMendingIsNoBurden(t *testing.T) {
	p := newPlay(t, Options{Mode: NOTRACK})
	p.loss = 0.1
	for i := range 300 {
		p.happen(0, flow.New, tcp(i, 3))
	}
	p.pass(time.Hour)
	if n := p.nodes[1].asked(); n < 5 || n > 10 {
		t.Errorf("asked for everything %d times in an hour", n)
	}
	if n := len(p.cached(1, true)); n != 300 {
		t.Errorf("%d of 300 flows are left", n)
	}
	p.loss = 0
	p.pass(12 * time.Hour)
	p.loss = 1
	p.pass(3 * time.Second)
	p.loss = 0
	before := p.nodes[1].asked()
	p.pass(time.Duration(mendDelay + 2*aliveAfter))
	if n := p.nodes[1].asked() - before; n != 1 {
		t.Errorf("asked %d times soon after a loss that comes after a long quiet", n)
	}
}
