package statesync

import (
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// A node that has just started again may get the answer to the greeting of its predecessor, which is none to its own: its peer
// still drops its messages if it does not greet.
func TestAnswerToThePredecessor(t *testing.T) {
	p := newPlay(t, Options{})
	for i := range 200 { // more numbers than seconds have passed
		p.happen(0, flow.New, tcp(i, flow.TCPEstablished))
	}
	p.pass(20 * time.Millisecond)
	old := p.nodes[0]
	p.nodes[0] = &actor{Engine: New(old.opts), opts: old.opts, kernel: old.kernel}
	for _, f := range old.kernel {
		p.nodes[0].Read(p.now, &f, false, true)
	}
	p.nodes[1].FlushExternal(p.now)
	p.nodes[1].RequestResync(p.now) // answers, too
	p.pass(3 * time.Second)
	p.mustBeInStep()
}
