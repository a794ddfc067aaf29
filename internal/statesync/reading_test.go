package statesync

import (
	"slices"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// After events were lost the kernel's table is read again.
func TestReadingTellsWhatWasMissed(t *testing.T) {
	p := newPlay(t, Options{})
	p.bustle(0, 300)
	p.pass(time.Second)
	a := p.nodes[0]
	// Lost: one came, one changed, one went.
	lost := tcp(5000, 3)
	a.kernel[lost.Orig] = lost
	n := 0
	for k, f := range a.kernel {
		if f.Mark == 5000 {
			continue
		}
		if n++; n == 1 {
			delete(a.kernel, k)
		} else if n == 2 {
			f.State = 9
			a.kernel[k] = f
		}
	}
	a.BeginReading(p.now)
	for _, f := range a.kernel {
		a.Read(p.now, &f, true, false)
	}
	p.happen(0, flow.New, tcp(6000, 1)) // after the reading has passed it
	a.EndReading(p.now, true)
	p.pass(2 * time.Second)
	p.mustBeInStep()
}

// What is read was so some time ago. What events have told meanwhile is right, even if they come before.
func TestEventsKnowBetterThanTheReading(t *testing.T) {
	for _, mode := range []Mode{FTFW, ALARM, NOTRACK} {
		for _, step := range []struct {
			name  string
			event func(p *play, read flow.Flow)
		}{
			{"ends", func(p *play, f flow.Flow) { p.happen(0, flow.Destroy, f) }},
			{"changes", func(p *play, f flow.Flow) { f.State++; p.happen(0, flow.Update, f) }},
			{"begins anew", func(p *play, f flow.Flow) {
				p.happen(0, flow.Destroy, f)
				f.State++
				p.happen(0, flow.New, f)
			}},
			{"begins anew and changes", func(p *play, f flow.Flow) {
				p.happen(0, flow.Destroy, f)
				p.happen(0, flow.New, f)
				f.State++
				p.happen(0, flow.Update, f)
			}},
			{"ends, later", func(p *play, f flow.Flow) {
				p.happen(0, flow.Destroy, f)
				p.pass(2 * time.Second) // it is not even known as dead
			}},
		} {
			for _, known := range []bool{true, false} {
				p := newPlay(t, Options{Mode: mode})
				f := tcp(1, 3)
				if known {
					p.happen(0, flow.New, f)
				}
				p.pass(time.Second)
				a := p.nodes[0]
				a.BeginReading(p.now)
				step.event(p, f)
				a.Read(p.now, &f, true, false)
				a.EndReading(p.now, true)
				p.pass(2 * time.Second)
				if err := p.inStep(0); err != nil {
					t.Errorf("%v: a flow, known before %v, that %s: %v", mode, known, step.name, err)
				}
			}
		}
	}
}

// A reading that a client has asked for tells nobody, and takes nothing away.
func TestReadingOnRequest(t *testing.T) {
	p := newPlay(t, Options{})
	p.bustle(0, 300)
	p.pass(time.Second)
	p.mustBeInStep()
	a := p.nodes[0]
	missed, gone := tcp(5000, 3), tcp(5001, 3)
	p.happen(0, flow.New, gone)
	p.pass(time.Second)
	a.kernel[missed.Orig] = missed
	x := expectationOf(5000)
	a.BeginReading(p.now)
	for _, f := range a.kernel {
		if f.Orig != gone.Orig {
			a.Read(p.now, &f, false, false)
		}
	}
	a.ReadExpect(p.now, &x, false)
	a.EndReading(p.now, false)
	p.pass(2 * time.Second)
	delete(a.kernel, missed.Orig)
	if ex := p.cached(1, true); len(ex) != len(a.kernel) || p.expected(1, true) != 0 {
		t.Errorf("a peer has %d flows and %d expectations, and not still %d and 0", len(ex), p.expected(1, true), len(a.kernel))
	}
	if n := len(p.cached(0, false)); n != len(a.kernel)+1 || p.expected(0, false) != 1 {
		t.Errorf("%d flows and %d expectations, want %d and 1", n, p.expected(0, false), len(a.kernel)+1)
	}
}

// Expectations are compared with the kernel's as flows are, and after them.
func TestReadingTellsWhatExpectationsWereMissed(t *testing.T) {
	for _, mode := range []Mode{FTFW, ALARM, NOTRACK} {
		p := newPlay(t, Options{Mode: mode})
		a := p.nodes[0]
		for i := range 10 {
			p.happen(0, flow.New, tcp(i, flow.TCPEstablished))
			if i < 6 {
				p.announce(flow.New, expectationOf(i))
			}
		}
		p.pass(time.Second)
		if own, peers := p.expected(0, false), p.expected(1, true); own != 6 || peers != 6 {
			t.Fatalf("%v: %d expectations, and %d at the peer", mode, own, peers)
		}
		// Lost: 0 and 1 went, 6 and 7 came.
		a.BeginReading(p.now)
		for _, f := range a.kernel {
			a.Read(p.now, &f, true, false)
		}
		for i := 2; i < 8; i++ {
			x := expectationOf(i)
			if i == 7 { // goes, as an event tells just before it is read
				p.announce(flow.Destroy, x)
			}
			if i == 3 { // known to go before
				p.announce(flow.Destroy, x)
				p.pass(time.Second)
			}
			a.ReadExpect(p.now, &x, true)
		}
		p.announce(flow.New, expectationOf(8))     // after the reading has passed it
		p.announce(flow.Destroy, expectationOf(2)) // likewise
		a.EndReading(p.now, true)
		p.pass(2 * time.Second)
		want := []int{4, 5, 6, 8}
		for _, who := range []struct {
			name  string
			visit func(Moment, func(*CachedExpect))
		}{{"node", a.InternalExpects}, {"peer", p.nodes[1].ExternalExpects}} {
			var all []int
			who.visit(p.now, func(c *CachedExpect) {
				for i := range 10 {
					if c.Expect.Master == tcp(i, 0).Orig {
						all = append(all, i)
					}
				}
			})
			slices.Sort(all)
			if !slices.Equal(all, want) {
				t.Errorf("%v: the %s has the expectations of %v, want %v", mode, who.name, all, want)
			}
		}
		// Nothing is left of it.
		if a.reading.on || len(a.internalExps.byKey) != len(want) {
			t.Errorf("%v: %d expectations are kept", mode, len(a.internalExps.byKey))
		}
	}
}

// News is what the internal cache does not know so; a timeout is none.
func TestNews(t *testing.T) {
	p := newPlay(t, Options{})
	a := p.nodes[0]
	known := tcp(1, 3)
	p.happen(0, flow.New, known)
	for name, tt := range map[string]struct {
		change func(*flow.Flow)
		want   bool
	}{
		"nothing":       {func(*flow.Flow) {}, false},
		"timeout":       {func(f *flow.Flow) { f.Timeout /= 2 }, false},
		"state":         {func(f *flow.Flow) { f.State++ }, true},
		"status":        {func(f *flow.Flow) { f.Status |= flow.Assured }, true},
		"mark":          {func(f *flow.Flow) { f.Mark++ }, true},
		"labels":        {func(f *flow.Flow) { f.Labels.Set(7) }, true},
		"helper":        {func(f *flow.Flow) { f.Helper = "ftp" }, true},
		"another":       {func(f *flow.Flow) { f.Orig.SrcPort++ }, true},
		"references":    {func(f *flow.Flow) { f.Use, f.Has = 2, f.Has|flow.HasUse }, false},
		"what it moved": {func(f *flow.Flow) { f.OrigCounters.Bytes, f.Has = 9, f.Has|flow.HasOrigCounters }, false},
	} {
		f := known
		tt.change(&f)
		if got := a.News(&f); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	p.happen(0, flow.Destroy, known)
	if !a.News(&known) {
		t.Error("what has ended and is there again is no news")
	}
}
