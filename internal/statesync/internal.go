package statesync

import (
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/mirror"
	"github.com/spoor-project/spoor/internal/statesync/wire"
)

// object is what a cache keeps with a flow, in seconds of Moment.
type object struct {
	item
	added   uint32
	touched uint32 // external: the last message about it
}

// state is what has happened to an internal flow since it was added, and the type of message that tells it.
type state uint8

const (
	fresh   state = iota // nothing
	updated              // changed
	dead                 // gone; kept until that has been told, or acknowledged
)

func (s state) flowType() wire.Type   { return wire.CTNew + wire.Type(s) }
func (s state) expectType() wire.Type { return wire.ExpectNew + wire.Type(s) }

// item returns what all nodes have of a node of the internal side.
func (e *Engine) item(n node) *item {
	switch n.kind() {
	case ofExpect:
		return &e.internalExps.objects[n.index()].item
	case ofControl:
		return &e.controls[n.index()].item
	}
	return &e.internal.Meta(mirror.Ref(n)).item
}

// externalItem is item of the external side.
func (e *Engine) externalItem(n node) *item {
	if n.kind() == ofExpect {
		return &e.externalExps.objects[n.index()].item
	}
	return &e.external.Meta(mirror.Ref(n)).item
}

// Event takes in a change that the kernel has reported and that has passed the filters.
func (e *Engine) Event(now Moment, ev *flow.Event, by Origin) {
	e.now = now
	if ev.Type == flow.Destroy {
		e.count(&ev.Flow)
		e.reading.flowEnded(&ev.Flow)
	}
	switch {
	case by == Injector:
		return
	case e.opts.NoInternalCache:
		if by == Others {
			e.bypass(ev.Type, &ev.Flow)
		}
		return
	}
	tell := by == Others
	ref := e.internal.Find(&ev.Flow)
	switch ev.Type {
	case flow.New:
		e.added(ref, &ev.Flow, tell)
	case flow.Update:
		e.changed(ref, &ev.Flow, tell)
	case flow.Destroy:
		e.destroyed(ref, tell)
	}
}

// MakeRoom prepares the internal cache for flows that a commit will make: for as many as there are in the external one. It does a part of
// that at each call, and reports whether it is done.
func (e *Engine) MakeRoom() (done bool) {
	return e.opts.NoInternalCache || e.internal.Reserve(e.internal.Len()+e.external.Len())
}

// Made takes in flows of a parcel that Parcel has filled, those with the given numbers, which a commit has made and of which no event
// tells, unless they are known already. Nobody is told.
func (e *Engine) Made(now Moment, p *mirror.Parcel, numbers []int) {
	e.now = now
	if e.opts.NoInternalCache {
		return
	}
	added := func(_ int, ref mirror.Ref) { e.born(ref, false) }
	e.internal.AddMissing(p, numbers, func(n int, ref mirror.Ref) {
		if e.internal.Meta(ref).state == dead {
			e.discard(ref)
			p.Load(n, &e.flow)
			added(n, e.internal.Add(&e.flow))
		}
	}, added)
}

// count adds up what ended flows have carried; each counter wraps at 32 bits, as the original's.
func (e *Engine) count(f *flow.Flow) {
	e.stats.Traffic.Bytes += uint64(uint32(f.OrigCounters.Bytes)) + uint64(uint32(f.ReplyCounters.Bytes))
	e.stats.Traffic.Packets += uint64(uint32(f.OrigCounters.Packets)) + uint64(uint32(f.ReplyCounters.Packets))
}

// notKept are attributes that a cache has no use for.
const notKept = flow.HasUse | flow.HasOrigCounters | flow.HasReplyCounters

func (e *Engine) added(ref mirror.Ref, f *flow.Flow, tell bool) {
	if ref != 0 {
		e.discard(ref)
	}
	e.flow = *f
	e.flow.Has &^= notKept
	e.born(e.internal.Add(&e.flow), tell)
}

// born is told what Add has returned of a flow that is new to the internal cache.
func (e *Engine) born(ref mirror.Ref, tell bool) {
	if ref == 0 {
		e.stats.Internal.full()
		return
	}
	e.stats.Internal.Created++
	e.begin(ref, tell)
}

// begin starts the life of a flow in the internal cache.
func (e *Engine) begin(ref mirror.Ref, tell bool) {
	o := e.internal.Meta(ref)
	o.added, o.seen = e.now.seconds(), e.generation
	e.touched(flowNode(ref), tell)
	if len(e.orphans) > 0 {
		e.internal.Load(ref, &e.old)
		e.adopt(e.old.Orig)
	}
}

// touched queues what has changed, or has only its repetition begin anew.
func (e *Engine) touched(n node, tell bool) {
	if tell {
		e.queueUp(n)
	} else if e.opts.Mode == ALARM {
		e.leave(n)
		e.repeatLater(n)
	}
}

func (e *Engine) changed(ref mirror.Ref, f *flow.Flow, tell bool) {
	if ref == 0 {
		e.flow = *f
		e.flow.Has &^= flow.HasUse
		if ref = e.internal.Add(&e.flow); ref == 0 {
			e.stats.Internal.full()
			return
		}
		e.stats.Internal.Created++
		e.internal.Meta(ref).state = updated
		e.begin(ref, tell)
		return
	}
	o := e.internal.Meta(ref)
	if o.state == dead {
		e.added(ref, f, tell)
		return
	}
	e.internal.Load(ref, &e.old)
	Merge(&e.old, f, flow.AllFields&^flow.HasUse)
	e.internal.Store(ref, &e.old)
	o.state, o.seen = updated, e.generation
	e.stats.Internal.Updated++
	e.touched(flowNode(ref), tell)
}

func (e *Engine) destroyed(ref mirror.Ref, tell bool) {
	if ref == 0 || e.internal.Meta(ref).state == dead {
		return
	}
	e.stats.Internal.Destroyed++
	if !tell {
		e.dropInternal(ref)
		return
	}
	e.internal.Meta(ref).state = dead
	e.queueUp(flowNode(ref))
}

// discard forgets a flow at once, which counts as its end.
func (e *Engine) discard(ref mirror.Ref) {
	if e.internal.Meta(ref).state != dead {
		e.stats.Internal.Destroyed++
	}
	e.dropInternal(ref)
}

// dropInternal forgets a flow at once.
func (e *Engine) dropInternal(ref mirror.Ref) {
	e.leave(flowNode(ref))
	e.internal.Remove(ref)
}

// leave takes a node out of the queue that it is in.
func (e *Engine) leave(n node) {
	switch e.item(n).in {
	case inTransmit:
		e.transmit.remove(n)
	case inResend:
		e.resend.remove(n)
	case inWheel:
		e.refreshes.remove(n)
	}
}

// Merge puts the attributes that src has, of those given, into dst. What a flow is, and how it is
// translated, does not change.
func Merge(dst, src *flow.Flow, which flow.Fields) {
	has := src.Has & which
	if dst.Has.Has(flow.HasReply) {
		has &^= flow.HasReply
	}
	dst.Has |= has
	for _, field := range [...]struct {
		bit flow.Fields
		set func(dst, src *flow.Flow)
	}{
		{flow.HasReply, func(dst, src *flow.Flow) { dst.Reply = src.Reply }},
		{flow.HasStatus, func(dst, src *flow.Flow) { dst.Status = src.Status }},
		{flow.HasTimeout, func(dst, src *flow.Flow) { dst.Timeout = src.Timeout }},
		{flow.HasState, func(dst, src *flow.Flow) { dst.State = src.State }},
		{flow.HasTCPWindow, func(dst, src *flow.Flow) { dst.OrigWindow, dst.ReplyWindow = src.OrigWindow, src.ReplyWindow }},
		{flow.HasVTags, func(dst, src *flow.Flow) { dst.VTags = src.VTags }},
		{flow.HasDCCP, func(dst, src *flow.Flow) { dst.DCCP = src.DCCP }},
		{flow.HasMark, func(dst, src *flow.Flow) { dst.Mark = src.Mark }},
		{flow.HasSecMark, func(dst, src *flow.Flow) { dst.SecMark = src.SecMark }},
		{flow.HasSecCtx, func(dst, src *flow.Flow) { dst.SecCtx = src.SecCtx }},
		{flow.HasZone, func(dst, src *flow.Flow) { dst.Zone = src.Zone }},
		{flow.HasUse, func(dst, src *flow.Flow) { dst.Use = src.Use }},
		{flow.HasID, func(dst, src *flow.Flow) { dst.ID = src.ID }},
		{flow.HasMaster, func(dst, src *flow.Flow) { dst.Master = src.Master }},
		{flow.HasOrigCounters, func(dst, src *flow.Flow) { dst.OrigCounters = src.OrigCounters }},
		{flow.HasReplyCounters, func(dst, src *flow.Flow) { dst.ReplyCounters = src.ReplyCounters }},
		{flow.HasStart, func(dst, src *flow.Flow) { dst.Start = src.Start }},
		{flow.HasStop, func(dst, src *flow.Flow) { dst.Stop = src.Stop }},
		{flow.HasHelper, func(dst, src *flow.Flow) { dst.Helper = src.Helper }},
		{flow.HasLabels, func(dst, src *flow.Flow) { dst.Labels = src.Labels }},
		{flow.HasOrigSeqAdj, func(dst, src *flow.Flow) { dst.OrigSeqAdj = src.OrigSeqAdj }},
		{flow.HasReplySeqAdj, func(dst, src *flow.Flow) { dst.ReplySeqAdj = src.ReplySeqAdj }},
		{flow.HasSynproxy, func(dst, src *flow.Flow) { dst.Synproxy = src.Synproxy }},
	} {
		if has.Has(field.bit) {
			field.set(dst, src)
		}
	}
}

// FlushInternal empties the internal cache without a word to the peers.
func (e *Engine) FlushInternal(now Moment) {
	e.now = now
	for ref := range e.internal.All() {
		e.discard(ref)
	}
}
