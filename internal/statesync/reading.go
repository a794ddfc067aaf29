package statesync

import "github.com/spoor-project/spoor/flow"

// A reading of the kernel's table goes BeginReading, Read for each flow, ReadExpect for each expectation, EndReading. It
// takes its time: what it brings may be older than what events have told since it began, and then events are right.
type reading struct {
	on bool
	// What has ended since it began.
	flows   map[flow.Key]struct{}
	expects map[expectKey]struct{}
}

func (r *reading) flowEnded(f *flow.Flow) {
	if r.on {
		r.flows[f.Key()] = struct{}{}
	}
}

func (r *reading) expectEnded(x *flow.Expect) {
	if r.on {
		r.expects[keyOf(x)] = struct{}{}
	}
}

func (r *reading) hasFlowEnded(f *flow.Flow) bool {
	_, ended := r.flows[f.Key()]
	return ended
}

// BeginReading begins to compare the internal caches with the kernel's table. There is one reading at a time.
func (e *Engine) BeginReading(now Moment) {
	e.now = now
	e.generation++
	e.reading = reading{on: true, flows: make(map[flow.Key]struct{}), expects: make(map[expectKey]struct{})}
}

// Read takes in a flow of the kernel's table. tell says that it is sent, as after events were lost; the
// reading at the start and that of a request send nothing. At the start, where there were no events, flows count as
// new, and nobody needs to begin or end.
func (e *Engine) Read(now Moment, f *flow.Flow, tell, start bool) {
	e.now = now
	if e.reading.hasFlowEnded(f) {
		return
	}
	e.flow = *f
	e.flow.Has &^= notKept
	ref := e.internal.Find(&e.flow)
	if start && ref == 0 {
		e.added(0, &e.flow, tell)
		return
	}
	if e.reading.on && ref != 0 && e.internal.Meta(ref).seen == e.generation {
		e.internal.Load(ref, &e.old)
		e.flow.Has &= onlyRead | ^e.old.Has
	}
	e.changed(ref, &e.flow, tell)
}

// onlyRead is what events do not tell of.
const onlyRead = flow.HasOrigSeqAdj | flow.HasReplySeqAdj

// ReadExpect takes in an expectation, as Read does flows; first come the flows, without which expectations are nothing.
func (e *Engine) ReadExpect(now Moment, x *flow.Expect, tell bool) {
	if _, ended := e.reading.expects[keyOf(x)]; ended {
		return
	}
	by := Commit
	if tell {
		by = Others
	}
	e.ExpectEvent(now, &flow.ExpectEvent{Type: flow.Update, Expect: *x}, by)
}

// EndReading ends what BeginReading began. Only if the reading was complete, of flows and of expectations, may vanished be
// set: then the end of those is told that neither the reading nor an event has told of.
func (e *Engine) EndReading(now Moment, vanished bool) {
	e.now = now
	e.reading = reading{}
	if !vanished {
		return
	}
	for i := e.internalExps.next(0); i != 0; i = e.internalExps.next(i) {
		if o := &e.internalExps.objects[i]; o.seen != e.generation && o.state != dead {
			e.expectDestroyed(i, true)
		}
	}
	for ref := range e.internal.All() {
		if o := e.internal.Meta(ref); o.seen != e.generation && o.state != dead {
			e.destroyed(ref, true)
		}
	}
}
