package guard

import (
	"cmp"
	"slices"

	"github.com/axiomhq/hyperloglog"

	"github.com/spoor-project/spoor/flow"
)

// service is a port of a host.
type service struct {
	addr [16]byte
	port uint16
	zone uint16
}

// halfOpen is what is remembered of a service over TCP.
type halfOpen struct {
	unanswered  uint32 // flows that wait for the service
	uncompleted uint32 // flows that the service waits for
	begun       window // half-open flows
	completed   window
	seen        uint32
	detail      uint32 // number and 1 of a flood; 0: there is none
}

func (h *halfOpen) worth() uint64 {
	return uint64(h.unanswered) + uint64(h.uncompleted) + uint64(h.completed.now)
}

// flood is a look at who opens flows to a service where many are half-open.
type flood struct {
	used    bool
	from    *hyperloglog.Sketch // sources; the standard error is 2.3 %
	busiest [8]busy             // by Misra and Gries: who opens more than a ninth is among them
	flows   uint32
}

// mostFloods is how many services can be looked at so at once.
const mostFloods = 256

func serviceOf(f *flow.Flow) service {
	return service{f.Orig.Dst.As16(), f.Orig.DstPort, f.Zone}
}

// opensHalf counts a flow of TCP that is not complete as half-open.
func (e *Engine) opensHalf(f *flow.Flow, r *remembered) {
	rule := e.rules.Of[SYNFlood]
	if rule == nil || f.Orig.Proto != flow.TCP || f.Status.Has(flow.Assured) {
		return
	}
	switch f.State {
	case flow.TCPSynSent, flow.TCPSynSent2:
		r.half = unanswered
	case flow.TCPSynRecv:
		r.half = uncompleted
	default:
		return
	}
	if !rule.Where.Match(f, e.clock) {
		r.half = whole
		return
	}
	n, _ := e.services.put(serviceOf(f))
	h := &e.services.at(n).V
	h.seen = e.now
	gauge := h.of(r.half)
	*gauge = stepped(*gauge, 1<<r.shift)
	h.begun.add(e.now, seconds(rule, "within"), 1<<r.shift)
	limit := uint32(rule.value("half-open"))
	if all := h.unanswered + h.uncompleted; all >= limit/2 {
		e.services.ripen(n)
		e.lookCloser(f, h)
	}
}

func (h *halfOpen) of(k half) *uint32 {
	if k == unanswered {
		return &h.unanswered
	}
	return &h.uncompleted
}

// lookCloser notes where a flood comes from.
func (e *Engine) lookCloser(f *flow.Flow, h *halfOpen) {
	if h.detail == 0 {
		i := slices.IndexFunc(e.floods, func(d flood) bool { return !d.used })
		if i < 0 {
			if len(e.floods) == mostFloods {
				return
			}
			i = len(e.floods)
			e.floods = append(e.floods, flood{})
		}
		from, _ := hyperloglog.NewSketch(11, false) // which is a precision there is
		e.floods[i] = flood{used: true, from: from}
		h.detail = uint32(i) + 1
	}
	d := &e.floods[h.detail-1]
	who := hostOf(f.Orig.Src, f.Zone)
	d.from.Insert(who.addr[:])
	d.flows++
	place := slices.IndexFunc(d.busiest[:], func(b busy) bool { return b.flows > 0 && b.who == who })
	if place < 0 {
		place = slices.IndexFunc(d.busiest[:], func(b busy) bool { return b.flows == 0 })
	}
	if place >= 0 {
		d.busiest[place].who = who
		d.busiest[place].flows++
		return
	}
	for i := range d.busiest {
		d.busiest[i].flows--
	}
}

// drain ends the look at a service.
func (e *Engine) drain(h *halfOpen) {
	if h.detail != 0 {
		e.floods[h.detail-1] = flood{}
		h.detail = 0
	}
}

// answersHalf notes that the service has answered.
func (e *Engine) answersHalf(f *flow.Flow, r *remembered) {
	if n, ok := e.services.find(serviceOf(f)); ok && r.epoch == e.flows.epoch {
		h := &e.services.at(n).V
		h.unanswered = stepped(h.unanswered, -(1 << r.shift))
		h.uncompleted = stepped(h.uncompleted, 1<<r.shift)
	}
	r.half = uncompleted
}

// closesHalf notes that a flow is not half-open any more, because the handshake was completed or because it ended before.
func (e *Engine) closesHalf(f *flow.Flow, r *remembered, completed bool) {
	if r.half == whole {
		return
	}
	if n, ok := e.services.find(serviceOf(f)); ok {
		h := &e.services.at(n).V
		if r.epoch == e.flows.epoch { // otherwise the reading has not counted it yet
			gauge := h.of(r.half)
			*gauge = stepped(*gauge, -(1 << r.shift))
		}
		if rule := e.rules.Of[SYNFlood]; completed && rule != nil {
			h.completed.add(e.now, seconds(rule, "within"), 1<<r.shift)
		}
	}
	r.half = whole
}

// halfOpenLife is for how many seconds the kernel keeps a handshake that nobody completes, by default: SYN_RECV's time.
const halfOpenLife = 60

// judgeService looks for a flood: more flows are half-open than were completed meanwhile, and it is now that they are not being completed. Half-open flows that
// a rush has left behind are many, too, compared with what little is completed after it.
func (e *Engine) judgeService(s *service, h *halfOpen) (near bool) {
	r := e.rules.Of[SYNFlood]
	if r == nil {
		e.drain(h)
		return false
	}
	limit, open := r.value("half-open"), float64(h.unanswered)+float64(h.uncompleted)
	completed := h.completed.sum(e.now, seconds(r, "within"))
	within := seconds(r, "within")
	stuck := h.begun.sum(e.now, within) - completed
	if open < limit || open <= completed || stuck < limit*min(1, float64(within)/halfOpenLife) {
		if near = open >= limit/2; !near {
			e.drain(h)
		}
		return near
	}
	v := verdict{
		Subject:  Subject{Destination: address(s.addr), Proto: flow.TCP, Port: s.port, Zone: s.zone},
		Measured: open, Limit: limit, Unit: "half-open connections", since: e.now - min(e.now, seconds(r, "within")),
		Evidence: []Evidence{{"the service has not answered", uint64(h.unanswered)}, {"answered, not completed", uint64(h.uncompleted)},
			{"completed within " + r.span("within").String(), uint64(completed)}},
	}
	v.Confidence = 1 - completed/open
	// A service that is down leaves its honest clients half-open too.
	if h.unanswered > h.uncompleted {
		v.Confidence /= 2
	}
	if h.detail != 0 {
		d := &e.floods[h.detail-1]
		v.Evidence = append(v.Evidence, Evidence{"sources", d.from.Estimate()})
		busiest := slices.MaxFunc(d.busiest[:], func(a, b busy) int { return cmp.Compare(a.flows, b.flows) })
		if busiest.flows > 0 {
			v.Evidence = append(v.Evidence, Evidence{"from " + address(busiest.who.addr).String(), uint64(busiest.flows)})
		}
		if busiest.flows > d.flows/2 {
			v.Offender = address(busiest.who.addr)
		}
	}
	e.report(r, v)
	return true
}
