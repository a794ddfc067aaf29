package guard

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// grace is how many seconds a flow may wait for its answer before it counts as one that gets none.
const grace = 3

// Engine judges what becomes of connections. It is for one goroutine.
type Engine struct {
	rules *Rules
	start time.Time // of second 1
	now   uint32    // second
	clock time.Time

	flows        *memory
	sources      *places[host, source]
	destinations *places[host, destination]
	services     *places[service, halfOpen]
	translations *places[translation, inUse]
	senders      *places[host, sender]
	tried        targets
	floods       []flood // details of few services

	incidents incidents
	pressure  pressure
	ended     map[uint64]struct{} // flows that have ended since a reading began; nil: there is none
	shift     uint8               // one flow in 1<<shift is judged
	cleaned   uint32
	figures   Figures
}

// host is an address in a zone.
type host struct {
	addr [16]byte
	zone uint16
}

func (h *host) subject() Subject { return Subject{Source: address(h.addr), Zone: h.zone} }

// New returns an engine that remembers nothing yet. The rules are not changed afterwards by their owner.
func New(rules *Rules) *Engine {
	e := &Engine{rules: rules, incidents: newIncidents()}
	limits, evicted := rules.Memory, &e.figures.Evicted
	e.flows = newMemory(limits.Flows, evicted)
	e.tried.most = limits.Sources + limits.Sources/2
	e.sources = newPlaces[host](limits.Sources, evicted, (*source).worth, func(s *source) {
		e.tried.remove(&s.tried, func(*target) bool { return true })
	})
	e.destinations = newPlaces[host](limits.Services, evicted, (*destination).worth, func(*destination) {})
	e.services = newPlaces[service](limits.Services, evicted, (*halfOpen).worth, e.drain)
	e.translations = newPlaces[translation](limits.Services, evicted, (*inUse).worth, func(*inUse) {})
	e.senders = newPlaces[host](limits.Services, evicted, (*sender).worth, func(*sender) {})
	return e
}

// SetRules has the engine judge by other rules from now on. What it remembers stays, and findings go on; those of rules that are not there any more
// end with the next Tick. Limits of memory are those of the first rules.
func (e *Engine) SetRules(rules *Rules) { e.rules = rules }

// at moves the time on.
func (e *Engine) at(now time.Time) {
	if e.start.IsZero() {
		e.start = now.Add(-time.Second)
	}
	if now.After(e.clock) {
		e.clock, e.now = now, max(e.now, uint32(now.Sub(e.start)/time.Second))
	}
}

// time is a second as a time.
func (e *Engine) time(second uint32) time.Time {
	return e.start.Add(time.Duration(second) * time.Second)
}

// Event takes in a change of the table. A time before that of the last call is taken for the last.
func (e *Engine) Event(now time.Time, ev *flow.Event) {
	e.at(now)
	e.figures.Events++
	if ev.Type == flow.Lost {
		e.figures.Lost += max(1, ev.Dropped)
		return
	}
	f := &ev.Flow
	if !f.Orig.Src.IsValid() || !f.Orig.Dst.IsValid() {
		return
	}
	k := f.Key()
	h := e.flows.hash(&k)
	if h>>32&(1<<e.shift-1) != 0 {
		e.figures.Skipped++
		return
	}
	r := e.flows.find(h)
	switch ev.Type {
	case flow.New:
		delete(e.ended, h)
		e.begins(f, h, r, ev.PortID == 0)
	case flow.Update:
		if r != nil {
			e.progress(f, r)
		}
	case flow.Destroy:
		if e.ended != nil && len(e.ended) < mostEnded {
			e.ended[h] = struct{}{}
		}
		if r == nil {
			return
		}
		e.progress(f, r)
		e.sent(f, r)
		if r.stage == pending {
			e.fails(f, r)
		}
		if r.epoch == e.flows.epoch {
			if n, ok := e.sources.find(hostOf(f.Orig.Src, f.Zone)); ok {
				s := &e.sources.at(n).V
				s.live = stepped(s.live, -(1 << r.shift))
			}
			e.translated(f, -(1 << r.shift))
		}
		e.flows.remove(h)
	}
}

// begins takes in a flow that is new, r is what is remembered of it nevertheless. byPacket is false if a program has made it.
func (e *Engine) begins(f *flow.Flow, h uint64, r *remembered, byPacket bool) {
	n := e.source(f)
	s := &e.sources.at(n).V
	if r == nil {
		if r = e.flows.put(h); r != nil {
			r.shift = e.shift
			s.live = stepped(s.live, 1<<e.shift)
			e.translated(f, 1<<e.shift)
			e.opensHalf(f, r)
		}
	} // otherwise a reading was faster, and has counted it
	if byPacket {
		e.openedBy(f, s, n)
		e.openedTo(f)
		if r == nil || r.stage == pending {
			e.tries(f, s, n)
		}
	}
	if r != nil {
		e.progress(f, r)
	}
}

// weight is how many flows one that is judged stands for.
func (e *Engine) weight() uint32 { return 1 << e.shift }

// progress notes how far a flow has come.
func (e *Engine) progress(f *flow.Flow, r *remembered) {
	if r.stage == answered || !f.Has.Has(flow.HasStatus) {
		return
	}
	tcp := f.Orig.Proto == flow.TCP
	switch {
	case f.Status.Has(flow.Assured), !tcp && f.Status.Has(flow.SeenReply):
		e.completes(f, r)
	case !tcp || !f.Has.Has(flow.HasState) || r.stage != pending:
	case f.State == flow.TCPClose:
		e.fails(f, r)
	case f.State == flow.TCPSynRecv && r.half == unanswered:
		e.answersHalf(f, r)
	}
}

// completes notes that a flow has been answered.
func (e *Engine) completes(f *flow.Flow, r *remembered) {
	e.closesHalf(f, r, true)
	r.stage = answered
	n, ok := e.sources.find(hostOf(f.Orig.Src, f.Zone))
	if !ok {
		return
	}
	s := &e.sources.at(n).V
	if rule := e.rules.Of[Unreplied]; rule != nil {
		s.answered.add(e.now, seconds(rule, "within"), e.weight())
	}
	e.reached(f, s)
}

// fails notes that a flow will not be answered.
func (e *Engine) fails(f *flow.Flow, r *remembered) {
	e.closesHalf(f, r, false)
	r.stage = failed
	if n, ok := e.sources.find(hostOf(f.Orig.Src, f.Zone)); ok {
		e.refused(f, n)
	}
}

// mostEnded bounds what is remembered for the time of a reading, about a second; of more, some count as living until the next.
const mostEnded = 1 << 17

func stepped(gauge uint32, n int) uint32 { return saturated(uint64(max(0, int64(gauge)+int64(n)))) }

// BeginReading begins a reading of the whole table: at the start, after events were lost, and every now and then, as some things show only there.
// Events may come in between.
func (e *Engine) BeginReading(now time.Time) {
	e.at(now)
	e.ended = make(map[uint64]struct{})
	e.flows.epoch++
	e.sources.each(func(_ *host, s *source) { s.live, s.idle = 0, 0 })
	e.services.each(func(_ *service, h *halfOpen) { h.unanswered, h.uncompleted = 0, 0 })
	e.translations.each(func(_ *translation, u *inUse) { u.flows = 0 })
}

// Read takes in a flow of the table.
func (e *Engine) Read(f *flow.Flow) {
	if !f.Orig.Src.IsValid() || !f.Orig.Dst.IsValid() {
		return
	}
	k := f.Key()
	h := e.flows.hash(&k)
	if h>>32&(1<<e.shift-1) != 0 {
		return
	}
	if _, ended := e.ended[h]; ended {
		return // what was read is older than the event
	}
	r := e.flows.find(h)
	if r == nil {
		if r = e.flows.put(h); r == nil {
			return
		}
		r.shift, r.epoch = e.shift, e.flows.epoch-1
		r.kbytes = saturated(f.OrigCounters.Bytes >> 10) // who knows when that was
	} else if r.epoch == e.flows.epoch {
		return // an event was faster
	}
	e.progress(f, r)
	e.sent(f, r)
	e.rests(f, r)
	r.epoch, r.half = e.flows.epoch, whole
	s := &e.sources.at(e.source(f)).V
	s.live = stepped(s.live, 1<<r.shift)
	if idle, rule := r.silent != 0, e.rules.Of[Hoarding]; idle && rule != nil && e.now-r.silent >= seconds(rule, "idle") && rule.Where.Match(f, e.clock) {
		s.idle = stepped(s.idle, 1<<r.shift)
	}
	e.translated(f, 1<<r.shift)
	if r.stage == pending {
		e.opensHalf(f, r)
	}
}

// EndReading ends the reading: flows that have not been read are forgotten. A reading that failed is not ended but begun again.
func (e *Engine) EndReading(now time.Time) {
	e.at(now)
	e.ended = nil
	e.figures.Readings++
	e.flows.sweep()
	e.hoards()
}

// Sample has only one flow in so many judged, a power of two, when there are too many for the processor; counts are scaled. 1 judges all.
func (e *Engine) Sample(one int) {
	shift := uint8(0)
	for 1<<shift < one && shift < 16 {
		shift++
	}
	e.shift = shift
}

// Tick is to be called about once a second. It returns what has been found since, in the order of kinds.
func (e *Engine) Tick(now time.Time) []Finding {
	e.at(now)
	e.look()
	e.judgePressure()
	e.clean()
	found := e.incidents.settle(e)
	slices.SortStableFunc(found, func(a, b Finding) int { return cmp.Compare(a.Kind, b.Kind) })
	for i := range found {
		if found[i].Phase == Begins {
			e.figures.Found[found[i].Kind]++
		}
	}
	return found
}

// look judges what is near a limit.
func (e *Engine) look() {
	e.sources.look(e.judgeSource)
	e.destinations.look(e.judgeDestination)
	e.services.look(e.judgeService)
	e.senders.look(e.judgeSender)
	e.translations.look(e.judgeTranslation)
}

// clean forgets, piece by piece, what has been quiet for long.
func (e *Engine) clean() {
	const parts = 64
	part := e.cleaned % parts
	e.cleaned++
	quiet := func(seen, span uint32) bool { return e.now-seen > span }
	e.sources.clean(part, parts, func(s *source) bool {
		e.expire(s)
		return s.live == 0 && s.tried == 0 && quiet(s.seen, quietSource)
	})
	e.destinations.clean(part, parts, func(d *destination) bool { return quiet(d.seen, quietDestination) })
	e.services.clean(part, parts, func(h *halfOpen) bool { return h.unanswered+h.uncompleted == 0 && quiet(h.seen, quietSource) })
	e.senders.clean(part, parts, func(s *sender) bool { return quiet(s.seen, quietSender) })
	e.translations.clean(part, parts, func(u *inUse) bool { return u.flows == 0 })
}

// After so many seconds without a flow a place is given back; what has been usual is lost with it.
const (
	quietSource      = 900
	quietDestination = 6 * 3600
	quietSender      = 8 * 86400 // more than a rule can ask for
)

// Ongoing are the findings that have begun and not ended.
func (e *Engine) Ongoing() []Finding { return e.incidents.ongoing() }

// Figures are the counters.
func (e *Engine) Figures() Figures {
	f := e.figures
	f.Flows, f.Sources, f.Services, f.Destinations = e.flows.used, e.sources.used, e.services.used, e.destinations.used
	f.Ongoing, f.Sampling = e.incidents.begun, 1<<e.shift
	return f
}

// hostOf is where an address is remembered. A zone of one direction alone is left out: what it tells apart are not hosts.
func hostOf(a netip.Addr, zone uint16) host { return host{a.As16(), zone} }

// seconds is a parameter that is a time.
func seconds(r *Rule, name string) uint32 { return uint32(r.value(name)) }
