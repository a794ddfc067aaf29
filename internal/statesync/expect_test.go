package statesync

import (
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// expectationOf is one that flow number i has announced.
func expectationOf(i int) flow.Expect {
	master := tcp(i, flow.TCPEstablished)
	x := flow.Expect{Has: flow.ExpectHasMaster | flow.ExpectHasMask | flow.ExpectHasTimeout | flow.ExpectHasHelper,
		Tuple: master.Orig, Master: master.Orig, Helper: "ftp", Timeout: 300 * time.Second}
	x.Tuple.SrcPort, x.Tuple.DstPort = 0, 5000
	x.Mask = flow.Tuple{Src: master.Orig.Src, Dst: master.Orig.Dst, DstPort: 0xffff, Proto: flow.TCP}
	return x
}

func (p *play) announce(typ flow.EventType, x flow.Expect) {
	p.nodes[0].ExpectEvent(p.now, &flow.ExpectEvent{Type: typ, Expect: x}, Others)
}

func (p *play) expected(node int, external bool) (n int) {
	visit := func(*CachedExpect) { n++ }
	if external {
		p.nodes[node].ExternalExpects(p.now, visit)
	} else {
		p.nodes[node].InternalExpects(p.now, visit)
	}
	return n
}

// Flows and expectations come from the kernel on two ways, so that an expectation may be there before its master.
func TestExpectationMayComeBeforeItsMaster(t *testing.T) {
	for _, step := range []struct {
		name   string
		play   func(p *play)
		expect int
	}{
		{"master first", func(p *play) {
			p.happen(0, flow.New, tcp(1, flow.TCPEstablished))
			p.announce(flow.New, expectationOf(1))
		}, 1},
		{"master at once", func(p *play) {
			p.announce(flow.New, expectationOf(1))
			p.happen(0, flow.New, tcp(1, flow.TCPEstablished))
		}, 1},
		{"master soon", func(p *play) {
			p.announce(flow.New, expectationOf(1))
			p.pass(time.Second)
			p.happen(0, flow.Update, tcp(1, flow.TCPEstablished))
		}, 1},
		{"master late", func(p *play) {
			p.announce(flow.New, expectationOf(1))
			p.pass(time.Minute)
			p.announce(flow.New, expectationOf(2))
			p.happen(0, flow.New, tcp(1, flow.TCPEstablished))
		}, 0},
		{"gone before its master came", func(p *play) {
			p.announce(flow.New, expectationOf(1))
			p.announce(flow.Destroy, expectationOf(1))
			p.happen(0, flow.New, tcp(1, flow.TCPEstablished))
		}, 0},
		{"another's master", func(p *play) {
			p.announce(flow.New, expectationOf(1))
			p.happen(0, flow.New, tcp(2, flow.TCPEstablished))
		}, 0},
		{"many without a master", func(p *play) {
			for i := range 10 * maxOrphans {
				p.announce(flow.New, expectationOf(i+1))
			}
			p.happen(0, flow.New, tcp(10*maxOrphans, flow.TCPEstablished))
		}, 0},
	} {
		p := newPlay(t, Options{})
		step.play(p)
		p.pass(time.Second)
		if own, peers := p.expected(0, false), p.expected(1, true); own != step.expect || peers != step.expect {
			t.Errorf("%s: %d expectations, and %d at the peer, want %d", step.name, own, peers, step.expect)
		}
	}
}

// In ALARM a peer forgets the expectations of a node that has fallen silent, and no others.
func TestAlarmForgetsExpectations(t *testing.T) {
	p := newPlay(t, Options{Mode: ALARM, Refresh: 5, CacheTimeout: 15})
	for i := range 5 {
		p.happen(0, flow.New, tcp(i, flow.TCPEstablished))
		p.announce(flow.New, expectationOf(i))
	}
	p.pass(time.Minute)
	if n := p.expected(1, true); n != 5 {
		t.Errorf("%d expectations are left of 5 that are repeated", n)
	}
	p.announce(flow.Destroy, expectationOf(0))
	p.pass(time.Second)
	if n := p.expected(1, true); n != 4 {
		t.Errorf("%d expectations, want 4", n)
	}
	p.cut = true
	p.announce(flow.Destroy, expectationOf(1))
	p.pass(9 * time.Second)
	if n := p.expected(1, true); n != 4 {
		t.Errorf("%d expectations after a short silence, want 4", n)
	}
	p.cut = false
	p.pass(7 * time.Second) // those that live are repeated
	if n := p.expected(1, true); n != 3 {
		t.Errorf("%d expectations, want 3: one has gone unheard", n)
	}
	p.cut = true
	p.pass(16 * time.Second)
	if flows, n := len(p.cached(1, true)), p.expected(1, true); n != 0 || flows != 0 {
		t.Errorf("%d flows and %d expectations of a peer that is silent", flows, n)
	}
	if s := p.nodes[1].Stats().ExternalExps; s.Active != 0 || s.Destroyed != s.Created {
		t.Errorf("%+v", s)
	}
	// It comes back, and a flush in between does no harm.
	p.cut = false
	p.pass(7 * time.Second)
	p.nodes[1].FlushExternalExpects(p.now)
	p.pass(7 * time.Second)
	if n := p.expected(1, true); n != 3 {
		t.Errorf("%d expectations of a peer that is back, want 3", n)
	}
}
