package statesync

import (
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/mirror"
)

// Cached is a flow of a cache. It is valid during the visit.
type Cached struct {
	Flow *flow.Flow
	// Age is the time since the flow was added, in seconds; a flow that was told of as new again is
	// as young as that.
	Age int
	// Silent is the time since the last message about it, in seconds; of external flows.
	Silent int
	// Left is how long it will live without another message, in seconds; of external flows in ALARM.
	Left int
}

// Internal visits up to n flows of the internal cache that live, behind the one at after, and returns
// where to go on; 0 is the beginning, and the end. Flows may come and go between the calls.
func (e *Engine) Internal(now Moment, after mirror.Ref, n int, visit func(*Cached)) mirror.Ref {
	return e.visit(now, e.internal, after, n, visit)
}

// External visits flows of the external cache, as Internal does.
func (e *Engine) External(now Moment, after mirror.Ref, n int, visit func(*Cached)) mirror.Ref {
	return e.visit(now, e.external, after, n, visit)
}

// Parcel puts up to n flows of the external cache into a parcel, and for how many seconds nobody has told of each behind silent, which
// it returns; for the rest it is External.
func (e *Engine) Parcel(now Moment, at mirror.Ref, n int, p *mirror.Parcel, silent []int) (mirror.Ref, []int) {
	for ; n > 0; n-- {
		if at = e.external.Next(at); at == 0 {
			break
		}
		if o := e.external.Meta(at); o.state != dead {
			e.external.Pack(at, p)
			silent = append(silent, int(now.seconds()-o.touched))
		}
	}
	return at, silent
}

func (e *Engine) visit(now Moment, t *mirror.Table[object], at mirror.Ref, n int, visit func(*Cached)) mirror.Ref {
	for ; n > 0; n-- {
		if at = t.Next(at); at == 0 {
			return 0
		}
		o := t.Meta(at)
		if o.state == dead {
			continue
		}
		t.Load(at, &e.flow)
		c := Cached{Flow: &e.flow, Age: int(now.seconds() - o.added), Silent: int(now.seconds() - o.touched)}
		c.Left = max(0, e.opts.CacheTimeout-c.Silent)
		visit(&c)
	}
	return at
}

// CachedExpect is what Cached is, of an expectation.
type CachedExpect struct {
	Expect            *flow.Expect
	Age, Silent, Left int
}

// InternalExpects and ExternalExpects visit the expectations of a cache, of which there are few.
func (e *Engine) InternalExpects(now Moment, visit func(*CachedExpect)) {
	e.visitExpects(now, &e.internalExps, visit)
}

// ExternalExpects is described with InternalExpects.
func (e *Engine) ExternalExpects(now Moment, visit func(*CachedExpect)) {
	e.visitExpects(now, &e.externalExps, visit)
}

func (e *Engine) visitExpects(now Moment, c *expectations, visit func(*CachedExpect)) {
	for i := c.next(0); i != 0; i = c.next(i) {
		o := &c.objects[i]
		if o.state == dead {
			continue
		}
		x := CachedExpect{Expect: &o.exp, Age: int(now.seconds() - o.added), Silent: int(now.seconds() - o.touched)}
		x.Left = max(0, e.opts.CacheTimeout-x.Silent)
		visit(&x)
	}
}

// FlushInternalExpects and FlushExternalExpects empty the caches of expectations. Nobody is told.
func (e *Engine) FlushInternalExpects(now Moment) {
	for i := e.internalExps.next(0); i != 0; i = e.internalExps.next(i) {
		n := ofExpect | node(i)
		if e.internalExps.objects[i].state != dead {
			e.stats.InternalExps.Destroyed++
		}
		e.leave(n)
		e.internalExps.remove(n)
	}
}

// FlushExternalExpects is described with FlushInternalExpects.
func (e *Engine) FlushExternalExpects(now Moment) {
	e.stats.ExternalExps.Destroyed += uint64(len(e.externalExps.byKey))
	e.externalExps = expectations{limit: e.opts.HashLimit}
	e.expsByAge.clear()
}

// Knows reports whether f is in the internal cache, and lives.
func (e *Engine) Knows(f *flow.Flow) bool {
	ref := e.internal.Find(f)
	return ref != 0 && e.internal.Meta(ref).state != dead
}

// News reports whether f is not in the internal cache, or is there in another state: otherwise than by its timeout, of which no event tells.
func (e *Engine) News(f *flow.Flow) bool {
	ref := e.internal.Find(f)
	if ref == 0 || e.internal.Meta(ref).state == dead {
		return true
	}
	e.internal.Load(ref, &e.old)
	return e.old.Status != f.Status || e.old.State != f.State || e.old.Mark != f.Mark || e.old.Labels != f.Labels || e.old.Helper != f.Helper
}
