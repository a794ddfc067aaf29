package statesync

import (
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/mirror"
)

// A verification asks the peers for everything and notes what of the external cache they do not tell of, and what
// they tell of that is not there. It works with any peer, the original included. What really changes
// meanwhile shows as a difference, too; the messages about it are few beside a bulk.
type verification struct {
	on   bool
	mark uint8 // item.seen of external flows that were told of
	last Moment
}

// BeginVerification asks for everything. Not in ALARM, where peers cannot be asked.
func (e *Engine) BeginVerification(now Moment) {
	e.RequestResync(now)
	e.verify = verification{on: true, mark: e.verify.mark + 1, last: now}
	if e.verify.mark == 0 {
		e.verify.mark = 1
	}
}

// LastTold is when a peer last told of a flow since BeginVerification: after some silence everything has come.
func (e *Engine) LastTold() Moment { return e.verify.last }

// verified notes that an external flow was told of, and whether it was there before.
func (e *Engine) verified(o *object, added bool) {
	if !e.verify.on {
		return
	}
	e.verify.last = e.now
	if o.seen == e.verify.mark {
		return // noted already
	}
	o.seen, o.state = e.verify.mark, fresh
	if added {
		o.state = updated
	}
}

// EndVerification visits the flows that the peers have not told of, and those that were missing here until they
// did, and returns how many there are in all.
func (e *Engine) EndVerification(now Moment, stale, missing func(*flow.Flow)) (checked int) {
	mark := e.verify.mark
	e.verify.on = false
	for at := mirror.Ref(0); ; {
		if at = e.external.Next(at); at == 0 {
			return checked
		}
		checked++
		switch o := e.external.Meta(at); {
		case o.seen != mark:
			e.external.Load(at, &e.flow)
			stale(&e.flow)
		case o.state == updated:
			e.external.Load(at, &e.flow)
			missing(&e.flow)
			o.state = fresh
		}
	}
}
