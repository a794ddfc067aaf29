package statesync

import (
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/mirror"
	"github.com/spoor-project/spoor/internal/statesync/wire"
)

// tracker follows the numbers of the messages that come. All peers are one: a node does not tell
// them apart.
type tracker struct {
	last  uint32
	known bool // last is there
}

// acknowledger collects what FTFW acknowledges next.
type acknowledger struct {
	open   bool
	from   uint32
	window int // messages until the range is acknowledged without waiting
}

// order is how a message's number stands to the last.
type order uint8

const (
	inSync order = iota // the next, or the first of all
	after               // some are missing before it
	before              // not newer
)

func (t *tracker) order(seq uint32) order {
	switch d := int32(seq - t.last); {
	case !t.known, d == 1:
		return inSync
	case d > 1:
		return after
	}
	return before
}

// verdict is what a mode makes of a message.
type verdict uint8

const (
	dropped verdict = iota
	accepted
	bad
)

// Datagram takes in a datagram from a peer. It reports whether a message in it was accepted, so that the
// channel it came through is one the peer uses.
func (e *Engine) Datagram(now Moment, b []byte) (used bool) {
	r := wire.Datagram(b)
	return e.messages(now, &r)
}

// Stream takes in what has come through a TCP connection and has not been consumed yet.
func (e *Engine) Stream(now Moment, b []byte) (consumed int, used bool) {
	r := wire.Stream(b)
	used = e.messages(now, &r)
	return r.Consumed(), used
}

func (e *Engine) messages(now Moment, r *wire.Reader) (used bool) {
	e.now = now
	for r.Next() {
		fault := r.Fault
		if fault == 0 {
			switch e.receive(&r.Message) {
			case accepted:
				used = true
			case bad:
				fault = wire.BadHeader
			}
		}
		if fault != 0 {
			e.fault(fault)
		}
	}
	return used
}

func (e *Engine) fault(f wire.Fault) { e.stats.Network.Malformed++; e.stats.Network.Faults[f]++ }

func (e *Engine) receive(m *wire.Message) verdict {
	switch e.opts.Mode {
	case ALARM:
		return e.receiveALARM(m)
	case NOTRACK:
		return e.receiveNOTRACK(m)
	}
	return e.receiveFTFW(m)
}

// receiveALARM takes messages as they come; those with flags are for modes that this is not.
func (e *Engine) receiveALARM(m *wire.Message) verdict {
	if m.Flags == 0 {
		e.data(m)
	}
	return accepted
}

func (e *Engine) receiveNOTRACK(m *wire.Message) verdict {
	if v := e.handle(m, wire.Resync|wire.Alive); v != accepted {
		return v
	}
	e.track(m.Seq)
	return accepted
}

// track counts what is missing.
func (e *Engine) track(seq uint32) order {
	o := e.received.order(seq)
	switch o {
	case after:
		e.stats.Network.Lost += uint64(seq - e.received.last - 1)
		e.missing(false)
	case before:
		e.stats.Network.Before++
		if e.received.last-seq > farBefore {
			e.missing(true)
		}
	}
	e.received = tracker{seq, true}
	return o
}

// receiveFTFW takes each message once, in order; what is missing is asked for.
func (e *Engine) receiveFTFW(m *wire.Message) verdict {
	o := e.received.order(m.Seq)
	hello := m.Flags.Has(wire.Hello)
	if hello {
		// It says so in every message until it is answered; but if the numbers go on, it is still
		// the same start.
		if !e.peerHello || o == before {
			e.peerStarted(m.Seq)
			o = inSync
		}
		e.answer = true
	}
	if o == before {
		e.stats.Network.Before++
		return dropped
	}
	if v := e.handle(m, wire.Ack|wire.Nack|wire.Resync|wire.Alive); v != accepted {
		return v
	}
	e.peerHello = hello
	if m.Flags.Has(wire.HelloBack) && e.greeted {
		e.hello = false
	}
	if o == after {
		last := e.received.last
		e.stats.Network.Lost += uint64(m.Seq - last - 1)
		if e.acks.open {
			e.control(wire.Ack, e.acks.from, last)
		}
		e.control(wire.Nack, last+1, m.Seq-1)
		e.acks = acknowledger{true, m.Seq, e.opts.AckWindow - 1}
	} else {
		if !e.acks.open {
			e.acks.open, e.acks.from = true, m.Seq
		}
		if e.acks.window--; e.acks.window <= 0 {
			e.control(wire.Ack, e.acks.from, m.Seq)
			e.acks.open, e.acks.window = false, e.opts.AckWindow
		}
	}
	e.received = tracker{m.Seq, true}
	return accepted
}

// peerStarted makes a new beginning with a peer that has just started, whose numbers may be lower than
// before. It will not acknowledge what it was sent earlier, and may never have got it: all of that
// is sent again. The original forgets it, and so loses what a late or repeated greeting pushes out.
func (e *Engine) peerStarted(seq uint32) {
	for e.resend.len > 0 {
		if n := e.resend.pop(); n.kind() == ofControl {
			e.forget(n)
		} else {
			e.again(n)
		}
	}
	if e.acks.open && int32(seq-e.acks.from) < 0 {
		e.acks.from, e.acks.window = seq, e.opts.AckWindow-1
	}
	e.restarted()
}

// handle carries out a message. Control messages are those that the mode knows.
func (e *Engine) handle(m *wire.Message, known wire.Flags) verdict {
	const greetings = wire.Hello | wire.HelloBack
	what := m.Flags &^ greetings
	switch {
	case m.Type.IsFlow(), m.Type.IsExpect():
		if what != 0 {
			return bad
		}
		e.data(m)
		return accepted
	case m.Type != wire.Control, what&known == 0:
		return bad
	case m.Range.To != m.Range.From && int32(m.Range.To-m.Range.From) < 0:
		return bad
	}
	switch what {
	case wire.Ack:
		e.acknowledged(m.Range)
	case wire.Nack:
		e.missed(m.Range)
	case wire.Resync:
		e.log(Notice, "resync requested by other node")
		e.SendBulk(e.now)
	case wire.Alive:
	default:
		return bad
	}
	return accepted
}

// inRange yields the nodes of the resend queue with a number of the range, which they are in the order
// of.
func (e *Engine) inRange(r wire.Range, take func(node)) {
	for n := e.resend.first; n != 0; {
		it := e.item(n)
		next := it.next
		if int32(it.seq-r.To) > 0 {
			return
		}
		if int32(it.seq-r.From) >= 0 {
			e.resend.remove(n)
			take(n)
		}
		n = next
	}
}

func (e *Engine) acknowledged(r wire.Range) { e.inRange(r, e.release) }
func (e *Engine) missed(r wire.Range)       { e.inRange(r, e.again) }

// again sends what was sent once more.
func (e *Engine) again(n node) {
	e.stats.Network.Resent++
	e.transmit.push(n)
}

// data takes in what a message tells of an object.
func (e *Engine) data(m *wire.Message) {
	var fault wire.Fault
	switch {
	case m.Type.IsFlow():
		fault = e.toldFlow(m)
	case m.Type.IsExpect():
		fault = e.toldExpect(m)
	default:
		fault = wire.BadType
	}
	if fault != 0 {
		e.fault(fault)
	}
}

func (e *Engine) toldFlow(m *wire.Message) wire.Fault {
	if f := e.decoder.Flow(m, &e.told); f != 0 {
		return f
	}
	if e.opts.NoExternalCache {
		e.out.Kernel = append(e.out.Kernel, Operation{Type: m.Type, Flow: e.told.Flow})
		return 0
	}
	told := &e.told.Flow
	ref := e.external.Find(told)
	added := ref == 0
	switch {
	case m.Type == wire.CTDelete:
		if ref == 0 {
			return 0
		}
		e.toldAgain(e.external.Meta(ref))
		e.dropExternal(ref)
		e.stats.External.Destroyed++
		return 0
	case ref == 0:
		if ref = e.external.Add(told); ref == 0 {
			e.stats.External.full()
			return 0
		}
		e.stats.External.Created++
		e.external.Meta(ref).added = e.now.seconds()
	case m.Type == wire.CTNew: // another life of it
		e.external.Store(ref, told)
		e.stats.External.Destroyed++
		e.stats.External.Created++
		e.external.Meta(ref).added = e.now.seconds()
	default:
		e.external.Load(ref, &e.old)
		e.old.Reply = told.Reply // made from the translation, which is told each time
		Merge(&e.old, told, flow.AllFields)
		e.external.Store(ref, &e.old)
		e.stats.External.Updated++
	}
	o := e.external.Meta(ref)
	if added {
		e.toldAnew()
	} else {
		e.toldAgain(o)
	}
	o.touched = e.now.seconds()
	e.verified(o, added)
	if e.opts.Mode == ALARM {
		e.byAge.renew(flowNode(ref))
	}
	return 0
}

func (e *Engine) dropExternal(ref mirror.Ref) {
	if n := flowNode(ref); e.externalItem(n).in == inAge {
		e.byAge.remove(n)
	}
	e.external.Remove(ref)
}

// expire forgets what nobody has told of for CacheTimeout, in ALARM: so it is with everything of a peer that is gone.
func (e *Engine) expire() {
	old := func(touched uint32) bool { return int(e.now.seconds()-touched) >= e.opts.CacheTimeout }
	for e.byAge.len > 0 {
		ref := mirror.Ref(e.byAge.first)
		if !old(e.external.Meta(ref).touched) {
			break
		}
		e.dropExternal(ref)
		e.stats.External.Destroyed++
	}
	for e.expsByAge.len > 0 {
		i := e.expsByAge.first.index()
		if !old(e.externalExps.objects[i].touched) {
			break
		}
		e.dropExternalExpect(i)
	}
}

// FlushExternal empties the external cache. Nobody is told.
func (e *Engine) FlushExternal(now Moment) {
	e.now = now
	e.stats.External.Destroyed += uint64(e.external.Len())
	e.external.Clear()
	e.byAge.clear()
}
