package statesync

import (
	"slices"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/statesync/wire"
)

// expectations is a cache of them; there are few.
type expectations struct {
	limit   int
	objects []expectation // number 0 is unused
	free    []int
	byKey   map[expectKey]int
}

type expectation struct {
	item
	added, touched uint32
	there          bool
	exp            flow.Expect
}

// expectKey is what tells expectations apart.
type expectKey struct{ tuple, mask, master flow.Tuple }

func keyOf(x *flow.Expect) expectKey { return expectKey{x.Tuple, x.Mask, x.Master} }

func (c *expectations) find(x *flow.Expect) int { return c.byKey[keyOf(x)] }

// add returns 0 if there is no room.
func (c *expectations) add(x *flow.Expect) int {
	if len(c.byKey) >= c.limit {
		return 0
	}
	if c.byKey == nil {
		c.byKey, c.objects = make(map[expectKey]int), make([]expectation, 1)
	}
	i := len(c.objects)
	if last := len(c.free) - 1; last >= 0 {
		i, c.free = c.free[last], c.free[:last]
	} else {
		c.objects = append(c.objects, expectation{})
	}
	c.objects[i] = expectation{exp: *x, there: true}
	c.byKey[keyOf(x)] = i
	return i
}

func (c *expectations) remove(n node) {
	i := n.index()
	delete(c.byKey, keyOf(&c.objects[i].exp))
	c.objects[i] = expectation{}
	c.free = append(c.free, i)
}

// next is the first behind i, 0 if there is none.
func (c *expectations) next(i int) int {
	for i++; i < len(c.objects); i++ {
		if c.objects[i].there {
			return i
		}
	}
	return 0
}

// ExpectEvent takes in a change of the kernel's expectations that has passed the filters. Of an expectation
// whose master is not in the internal cache, and does not come soon, nothing is told.
func (e *Engine) ExpectEvent(now Moment, ev *flow.ExpectEvent, by Origin) {
	e.now = now
	if by == Injector || e.opts.NoInternalCache {
		return
	}
	tell := by == Others
	c, x := &e.internalExps, &ev.Expect
	i := c.find(x)
	if ev.Type == flow.Destroy {
		e.reading.expectEnded(x)
		e.orphans = slices.DeleteFunc(e.orphans, func(o orphan) bool { return keyOf(&o.event.Expect) == keyOf(x) })
		if i != 0 && c.objects[i].state != dead {
			e.expectDestroyed(i, tell)
		}
		return
	}
	if !e.masterKnown(x) {
		e.orphaned(ev, by)
		return
	}
	if i != 0 {
		was := c.objects[i].state
		c.objects[i].exp = *x
		c.objects[i].state = updated
		if ev.Type == flow.New {
			c.objects[i].state, c.objects[i].added = fresh, now.seconds()
		}
		if was == dead {
			e.stats.InternalExps.Created++
		} else {
			e.stats.InternalExps.Updated++
		}
	} else {
		if i = c.add(x); i == 0 {
			e.stats.InternalExps.full()
			return
		}
		c.objects[i].added = now.seconds()
		e.stats.InternalExps.Created++
	}
	c.objects[i].seen = e.generation
	e.touched(ofExpect|node(i), tell)
}

func (e *Engine) expectDestroyed(i int, tell bool) {
	e.stats.InternalExps.Destroyed++
	n := ofExpect | node(i)
	if !tell {
		e.leave(n)
		e.internalExps.remove(n)
		return
	}
	e.internalExps.objects[i].state = dead
	e.queueUp(n)
}

func (e *Engine) masterKnown(x *flow.Expect) bool {
	e.old = flow.Flow{Orig: x.Master, Zone: x.Zone}
	return e.internal.Find(&e.old) != 0
}

// orphan is an expectation whose master has not come yet. The two come from the kernel on different ways.
type orphan struct {
	event flow.ExpectEvent
	by    Origin
	until Moment
}

const (
	// orphanFor is how long a master may be late, which it is when there are many events.
	orphanFor  = Moment(5 * time.Second)
	maxOrphans = 1024
)

func (e *Engine) orphaned(ev *flow.ExpectEvent, by Origin) {
	e.orphans = slices.DeleteFunc(e.orphans, func(o orphan) bool { return o.until < e.now })
	if len(e.orphans) < maxOrphans {
		e.orphans = append(e.orphans, orphan{*ev, by, e.now + orphanFor})
	}
}

// adopt takes in the expectations that have waited for a flow.
func (e *Engine) adopt(master flow.Tuple) {
	var mine []orphan
	e.orphans = slices.DeleteFunc(e.orphans, func(o orphan) bool {
		if o.event.Expect.Master != master {
			return false
		}
		if o.until >= e.now {
			mine = append(mine, o)
		}
		return true
	})
	for i := range mine {
		e.ExpectEvent(e.now, &mine[i].event, mine[i].by)
	}
}

func (e *Engine) toldExpect(m *wire.Message) wire.Fault {
	if f := e.decoder.Expect(m, &e.toldExp); f != 0 {
		return f
	}
	x := &e.toldExp.Expect
	if e.opts.NoExternalCache {
		e.out.Kernel = append(e.out.Kernel, Operation{Type: m.Type, Expect: *x})
		return 0
	}
	c := &e.externalExps
	i := c.find(x)
	if i != 0 {
		e.expToldAgain(&c.objects[i])
	}
	switch {
	case m.Type == wire.ExpectDelete:
		if i != 0 {
			e.dropExternalExpect(i)
		}
		return 0
	case i == 0:
		if i = c.add(x); i == 0 {
			e.stats.ExternalExps.full()
			return 0
		}
		e.stats.ExternalExps.Created++
		c.objects[i].added = e.now.seconds()
	case m.Type == wire.ExpectNew: // another life of it
		c.objects[i].exp = *x
		e.stats.ExternalExps.Destroyed++
		e.stats.ExternalExps.Created++
		c.objects[i].added = e.now.seconds()
	default:
		c.objects[i].exp = *x
		e.stats.ExternalExps.Updated++
	}
	c.objects[i].touched = e.now.seconds()
	if e.opts.Mode == ALARM {
		e.expsByAge.renew(ofExpect | node(i))
	}
	return 0
}

func (e *Engine) dropExternalExpect(i int) {
	n := ofExpect | node(i)
	if e.externalItem(n).in == inAge {
		e.expsByAge.remove(n)
	}
	e.externalExps.remove(n)
	e.stats.ExternalExps.Destroyed++
}
