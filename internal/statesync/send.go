package statesync

import (
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/mirror"
	"github.com/spoor-project/spoor/internal/statesync/wire"
)

// control is a control message that waits to be sent, or for being acknowledged.
type control struct {
	item
	flags wire.Flags
	span  wire.Range
}

// control queues a message between the daemons.
func (e *Engine) control(flags wire.Flags, from, to uint32) {
	var n node
	if last := len(e.freeControls) - 1; last >= 0 {
		n, e.freeControls = e.freeControls[last], e.freeControls[:last]
	} else {
		n = ofControl | node(len(e.controls))
		e.controls = append(e.controls, control{})
	}
	e.controls[n.index()] = control{flags: flags, span: wire.Range{From: from, To: to}}
	e.transmit.push(n)
}

// queueUp has a node sent in the next run.
func (e *Engine) queueUp(n node) {
	if e.item(n).in == inTransmit {
		return
	}
	e.leave(n)
	e.transmit.push(n)
}

// burst is how many datagrams leave in one run: a receiver's socket holds about a hundred, of the system's default
// size, and in some modes what it drops is lost.
const burst = 64

// send sends what is queued; of much only a part, the rest in the next run.
func (e *Engine) send() {
	for e.transmit.len > 0 && len(e.out.ends) < burst {
		n := e.transmit.pop()
		it := e.item(n)
		it.seq = e.seq
		switch {
		case !e.write(n):
			// It has nothing that a peer could take.
			e.stats.Network.SendMalformed++
			if it.state == dead || n.kind() == ofControl {
				e.forget(n)
			}
		case e.opts.Mode == FTFW && e.wantsAck(n):
			if e.resend.len >= e.resend.limit {
				e.resend.overflows++
				e.release(e.resend.pop())
			}
			e.resend.push(n)
		default:
			e.release(n)
		}
	}
	e.lastRun = e.now
}

// wantsAck reports whether a node stays until it is acknowledged.
func (e *Engine) wantsAck(n node) bool {
	return n.kind() != ofControl || e.controls[n.index()].flags&wire.Alive == 0
}

// release lets a node go that is in no queue: a dead one is forgotten, a live one may be repeated.
func (e *Engine) release(n node) {
	switch {
	case n.kind() == ofControl, e.item(n).state == dead:
		e.forget(n)
	case e.opts.Mode == ALARM:
		e.repeatLater(n)
	}
}

func (e *Engine) forget(n node) {
	switch n.kind() {
	case ofControl:
		e.freeControls = append(e.freeControls, n)
	case ofExpect:
		e.internalExps.remove(n)
	default:
		e.internal.Remove(mirror.Ref(n))
	}
}

// write appends the message that tells of n, and reports whether there is one.
func (e *Engine) write(n node) bool {
	h := wire.Header{Seq: e.seq, Flags: e.greeting()}
	begin := len(e.out.bytes)
	it := e.item(n)
	switch n.kind() {
	case ofControl:
		c := &e.controls[n.index()]
		c.flags |= h.Flags // greetings stay when it is repeated
		h.Flags = c.flags
		e.out.bytes = wire.AppendControl(e.out.bytes, h, c.span)
	case ofExpect:
		h.Type = it.state.expectType()
		e.out.bytes = wire.AppendExpect(e.out.bytes, h, &e.internalExps.objects[n.index()].exp, e.opts.Wire)
	default:
		h.Type = it.state.flowType()
		e.internal.Load(mirror.Ref(n), &e.flow)
		e.out.bytes = wire.AppendFlow(e.out.bytes, h, &e.flow, e.opts.Wire)
	}
	return e.wrote(begin)
}

// wrote takes in what has been appended to the output since begin: a message, or nothing.
func (e *Engine) wrote(begin int) bool {
	if len(e.out.bytes) == begin {
		return false
	}
	e.seq++
	e.answer, e.greeted = false, true
	e.out.message(begin, e.opts.Room)
	return true
}

// greeting is what every message of FTFW says of its sender's start.
func (e *Engine) greeting() (f wire.Flags) {
	if e.hello {
		f |= wire.Hello
	}
	if e.answer {
		f |= wire.HelloBack
	}
	return f
}

// bypass tells of an event, or a flow of the kernel's table, at once.
func (e *Engine) bypass(t flow.EventType, f *flow.Flow) {
	h := wire.Header{Seq: e.seq}
	switch t {
	case flow.New:
		e.stats.Bypass.New++
	case flow.Update:
		h.Type = wire.CTUpdate
		e.stats.Bypass.Updated++
	case flow.Destroy:
		h.Type = wire.CTDelete
		e.stats.Bypass.Destroyed++
	}
	e.writeFlow(h, f)
}

func (e *Engine) writeFlow(h wire.Header, f *flow.Flow) {
	begin := len(e.out.bytes)
	e.out.bytes = wire.AppendFlow(e.out.bytes, h, f, e.opts.Wire)
	if !e.wrote(begin) {
		e.stats.Network.SendMalformed++
	}
}

// Bypass sends a flow of the kernel's table, as Output.DumpKernel asks for, in place of Read.
func (e *Engine) Bypass(now Moment, f *flow.Flow) {
	e.now = now
	if e.reading.hasFlowEnded(f) {
		return
	}
	e.writeFlow(wire.Header{Seq: e.seq}, f)
}

// repeatLater arms the timer of ALARM: a whole number of seconds up to Refresh, and up to one more.
func (e *Engine) repeatLater(n node) {
	const perSecond = int(Moment(time.Second) / wheelTick)
	ticks := (1+e.opts.Random.IntN(e.opts.Refresh))*perSecond + 2*(1+e.opts.Random.IntN(5))
	e.refreshes.add(n, e.now, ticks, (e.opts.Refresh+1)*perSecond)
}

// refresh queues the flows that are to be repeated.
func (e *Engine) refresh() { e.refreshes.turn(e.now, e.queueUp) }

// bulk is a telling of the whole internal cache, which goes on between the runs so that it never keeps
// back what happens meanwhile.
type bulk struct {
	on    bool
	flow  mirror.Ref // told up to here
	exp   int        // likewise, once all flows are told
	flows bool       // there are flows left
}

func (b *bulk) pending() bool { return b.on }

const (
	// bulkPart is how much of a bulk goes into one run: with bulkPause a million flows take five seconds.
	bulkPart  = 1000
	bulkPause = Moment(5 * time.Millisecond)
)

// SendBulk tells the peers of everything.
func (e *Engine) SendBulk(now Moment) {
	e.now = now
	switch {
	case e.opts.Mode == ALARM:
	case e.opts.NoInternalCache:
		e.out.DumpKernel = true
	default:
		e.log(Notice, "sending bulk update")
		e.stats.Network.Bulks++
		e.bulk = bulk{on: true, flows: true}
	}
}

// bulkOn queues the next part of a bulk.
func (e *Engine) bulkOn() {
	if !e.bulk.on {
		return
	}
	room := bulkPart - e.transmit.len
	if e.opts.Mode == FTFW {
		// What is not acknowledged must not be pushed out by what follows.
		room = min(room, e.resend.limit*3/4-e.resend.len-e.transmit.len)
	}
	for ; room > 0 && e.bulk.flows; room-- {
		ref := e.internal.Next(e.bulk.flow)
		if ref == 0 {
			e.bulk.flows = false
			break
		}
		e.bulk.flow = ref
		e.queueUp(flowNode(ref))
	}
	for ; room > 0 && !e.bulk.flows; room-- {
		if e.bulk.exp = e.internalExps.next(e.bulk.exp); e.bulk.exp == 0 {
			e.bulk.on = false
			return
		}
		e.queueUp(ofExpect | node(e.bulk.exp))
	}
}

// RequestResync asks the peers for everything.
func (e *Engine) RequestResync(now Moment) {
	e.now = now
	if e.opts.Mode != ALARM {
		e.control(wire.Resync, 0, 0)
	}
}
