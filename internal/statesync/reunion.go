package statesync

// A reunion is what follows the restart of a peer, and in NOTRACK, which sends nothing twice, the loss of messages. What ended in its
// table meanwhile the peer will never tell: so it is asked for everything, and what it does not tell of any more is
// forgotten. Not if it tells of less than half of what there was, though: then its table is gone, as after a reboot, and what is
// here may be all that is left of it. Where nothing says that it has restarted, new flows count as well: in a long
// silence most of the old ones can end. Nor is anything forgotten if messages were lost again.
type reunion struct {
	on      bool
	restart bool
	since   uint32 // what was told of last before this second has not been told of again
	was     int    // flows at the beginning
	heard   int    // of which so many have been told of again, or to have ended
	added   int    // so many have been told of that were not there
	exps    int    // so many expectations have been told of again, or to have ended
	lost    bool   // messages have been lost since
	look    Moment // when it is looked what has been heard
	seen    int    // what it was then
}

// reunionLook is how often it is looked whether many have been told of since: less than one in a hundred are no bulk, but
// flows that happen to have the addresses and ports of old ones.
const reunionLook = 10 * aliveAfter

// restarted begins the reunion with a peer that has started anew.
func (e *Engine) restarted() {
	if e.opts.NoExternalCache || e.external.Len() == 0 {
		return
	}
	if !e.reunion.on {
		e.log(Notice, "a peer has started anew: asking it for all flows")
	}
	e.reunite(true)
}

func (e *Engine) reunite(restart bool) {
	e.reunion = reunion{on: !e.opts.NoExternalCache, restart: restart, since: e.now.seconds(), was: e.external.Len(), look: e.now + reunionLook}
	e.RequestResync(e.now)
}

// toldAgain notes that an external flow is told of, before it is marked as such.
func (e *Engine) toldAgain(o *object) {
	if e.reunion.on && o.touched < e.reunion.since {
		e.reunion.heard++
	}
}

// toldAnew notes that a flow has come into the external cache.
func (e *Engine) toldAnew() { e.reunion.added++ }

// expToldAgain is toldAgain for an expectation.
func (e *Engine) expToldAgain(x *expectation) {
	if e.reunion.on && x.touched < e.reunion.since {
		e.reunion.exps++
	}
}

// reunited ends a reunion when its time has come.
func (e *Engine) reunited() {
	r := &e.reunion
	if !r.on || e.now < r.look {
		return
	}
	if heard := r.heard + r.exps; heard-r.seen > r.was/100 {
		r.seen, r.look = heard, e.now+reunionLook
		return
	}
	r.on = false
	switch {
	case r.lost:
		return // there will be another
	case 2*r.heard < r.was && (r.restart || 2*(r.heard+r.added) < r.was):
		e.log(Warning, "the peer that was away tells of %d of %d flows: its table is another, the external cache stays", r.heard, r.was)
		return
	}
	flows, exps := 0, 0
	for ref := range e.external.All() {
		if e.external.Meta(ref).touched < r.since {
			e.dropExternal(ref)
			flows++
		}
	}
	e.stats.External.Destroyed += uint64(flows)
	for i := e.externalExps.next(0); i != 0; i = e.externalExps.next(i) {
		if e.externalExps.objects[i].touched < r.since {
			e.dropExternalExpect(i)
			exps++
		}
	}
	e.log(Notice, "%d flows and %d expectations of the external cache had ended while their node was away", flows, exps)
}

// mending says when a node in NOTRACK asks for everything, because messages were lost.
type mending struct {
	due         Moment // 0: nothing is missing
	begun, next Moment // when it asked last, and may again
	pause       Moment // between the two
	restart     bool   // it was certainly because a peer has restarted
}

const (
	// mendDelay lets a burst of losses pass.
	mendDelay = aliveAfter
	// mendPause is the shortest time between two times. It doubles while there are losses again and again: then a bulk is more of a
	// burden than a help. With several peers there are always some, as they cannot be told apart.
	mendPause     = 10 * aliveAfter
	mendPauseMost = 3600 * aliveAfter
	// farBefore is how far back a number tells of a new start and not of a datagram that was overtaken.
	farBefore = 1 << 14
)

// missing notes that messages have been lost in NOTRACK, certainly because a peer has restarted or perhaps not.
func (e *Engine) missing(restart bool) {
	e.mend.restart = e.mend.restart || restart
	e.reunion.lost = e.reunion.on
	if m := &e.mend; m.due == 0 {
		m.due = max(e.now+mendDelay, m.next)
	}
}

// mended asks for everything when it is time to.
func (e *Engine) mended() {
	m := &e.mend
	if m.due == 0 || e.now < m.due || e.reunion.on {
		return
	}
	if m.begun == 0 || e.now-m.begun > 10*m.pause {
		m.pause = mendPause
	} else {
		m.pause = min(2*m.pause, mendPauseMost)
	}
	restart := m.restart
	*m = mending{begun: e.now, next: e.now + m.pause, pause: m.pause}
	e.log(Notice, "messages of a peer were lost: asking it for all flows")
	e.reunite(restart)
}
