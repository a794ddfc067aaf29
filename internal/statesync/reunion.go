package statesync

// A reunion is what follows the restart of a peer. What ended in its table while it was away it will never tell: so it is asked
// for everything, and what it does not tell of any more is forgotten. Not if it tells of less than half of what
// there was, though: then its table is gone, as after a reboot, and what is here may be all that is left of it.
type reunion struct {
	on    bool
	since uint32 // flows that were told of last before this second have not been told of again
	was   int    // flows at the beginning
	heard int    // of which so many have been told of again, or to have ended
	look  Moment // when that is looked at next
	seen  int    // what it was then
}

// reunionLook is how often it is looked whether many have been told of since: less than one in a hundred are no bulk, but
// flows that happen to have the addresses and ports of old ones.
const reunionLook = 10 * aliveAfter

// reunite begins a reunion.
func (e *Engine) reunite() {
	if e.opts.NoExternalCache || e.external.Len() == 0 {
		return
	}
	if !e.reunion.on {
		e.log(Notice, "a peer has started anew: asking it for all flows")
	}
	e.reunion = reunion{on: true, since: e.now.seconds(), was: e.external.Len(), look: e.now + reunionLook}
	e.RequestResync(e.now)
}

// toldAgain notes that an external flow is told of, before it is marked as such.
func (e *Engine) toldAgain(o *object) {
	if e.reunion.on && o.touched < e.reunion.since {
		e.reunion.heard++
	}
}

// reunited ends a reunion when its time has come.
func (e *Engine) reunited() {
	r := &e.reunion
	if !r.on || e.now < r.look {
		return
	}
	if r.heard-r.seen > r.was/100 {
		r.seen, r.look = r.heard, e.now+reunionLook
		return
	}
	r.on = false
	if 2*r.heard < r.was {
		e.log(Warning, "the peer that has started anew tells of %d of %d flows: its table is another, the external cache stays", r.heard, r.was)
		return
	}
	n := 0
	for ref := range e.external.All() {
		if e.external.Meta(ref).touched < r.since {
			e.dropExternal(ref)
			n++
		}
	}
	e.stats.External.Destroyed += uint64(n)
	e.log(Notice, "%d flows of the external cache had ended before their node started anew", n)
}
