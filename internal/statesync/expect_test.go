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
	visit := func(*flow.Expect, int, int) { n++ }
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
