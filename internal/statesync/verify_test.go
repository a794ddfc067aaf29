package statesync

import (
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
)

func TestVerification(t *testing.T) {
	for _, mode := range []Mode{FTFW, NOTRACK} {
		p := newPlay(t, Options{Mode: mode})
		p.bustle(0, 300)
		p.pass(time.Second)
		verify := func() (stale, missing, checked int) {
			b := p.nodes[1]
			b.BeginVerification(p.now)
			begun := p.now
			p.pass(5 * time.Second)
			if b.LastTold() <= begun || p.now-b.LastTold() < Moment(2*time.Second) {
				t.Errorf("%v: the bulk took until %v", mode, time.Duration(b.LastTold()-begun))
			}
			checked = b.EndVerification(p.now, func(*flow.Flow) { stale++ }, func(*flow.Flow) { missing++ })
			return stale, missing, checked
		}
		n := len(p.nodes[0].kernel)
		if s, m, c := verify(); s != 0 || m != 0 || c != n {
			t.Errorf("%v: in step, but %d stale, %d missing of %d (%d)", mode, s, m, c, n)
		}
		// One vanishes silently, one comes silently.
		for _, f := range p.nodes[0].kernel {
			p.happen(0, flow.Destroy, f)
			break
		}
		ref := p.nodes[0].internal.Next(0)
		for p.nodes[0].internal.Meta(ref).state != dead {
			ref = p.nodes[0].internal.Next(ref)
		}
		p.nodes[0].dropInternal(ref)
		fresh := tcp(99999, 3)
		p.nodes[0].kernel[fresh.Orig] = fresh
		p.nodes[0].Event(p.now, &flow.Event{Type: flow.New, Flow: fresh}, Commit)
		if s, m, c := verify(); s != 1 || m != 1 || c != n+1 {
			t.Errorf("%v: %d stale, %d missing of %d, want 1, 1, %d", mode, s, m, c, n+1)
		}
	}
}
