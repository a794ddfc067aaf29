package guard

import (
	"math"
	"net/netip"

	"github.com/spoor-project/spoor/flow"
)

type addressOrNone = netip.Addr

// counts counts a flow towards a rate and reports whether that is near its limit.
func (e *Engine) counts(r *Rule, w *window, u *usual) (near bool) {
	span := seconds(r, "within")
	before := w.now
	if passed := w.add(e.now, span, e.weight()); passed > 0 {
		u.learn(float64(before)/float64(span), passed, span, r.value("rate"), e.now)
	}
	if u.born == 0 {
		u.born = e.now
	}
	return float64(w.now+w.last) >= e.fastest(r, u)*float64(span)/2
}

// learn takes in the rate of a window, after which passed-1 empty ones came. What is above the limit is not usual.
func (u *usual) learn(rate float64, passed, span uint32, limit float64, now uint32) {
	keep := math.Exp2(-float64(span) / halfLife.Seconds())
	if u.rate == 0 && rate < limit {
		u.rate = float32(rate)
	} else if rate < limit {
		u.rate = float32(float64(u.rate)*keep + rate*(1-keep))
	}
	if passed > 1 {
		u.rate *= float32(math.Pow(keep, float64(passed-1)))
	}
}

// fastest is the rate above which it is too fast.
func (e *Engine) fastest(r *Rule, u *usual) float64 {
	limit := r.value("rate")
	if times := r.value("usual"); times > 0 && u.born != 0 && float64(e.now-u.born) >= learning.Seconds() {
		limit = min(limit, max(times*float64(u.rate), limit*leastPart))
	}
	return limit
}

// tooFast is the verdict on a rate; the verdict has the measure and the limit in any case.
func (e *Engine) tooFast(r *Rule, w *window, u *usual) (v verdict, ok bool) {
	span := seconds(r, "within")
	v = verdict{Measured: w.sum(e.now, span) / float64(span), Limit: e.fastest(r, u), Unit: "flows/s", since: e.now - min(e.now, span)}
	v.Confidence = excess(v.Measured, v.Limit)
	return v, v.Measured >= v.Limit
}

// excess is the confidence that follows from how far a measure is above its limit: a half at the limit.
func excess(measured, limit float64) float64 {
	if measured <= 0 {
		return 0
	}
	return max(0, 1-limit/(2*measured))
}

// destination is what is remembered of whom flows are opened to.
type destination struct {
	rate  window
	usual usual
	seen  uint32
}

func (d *destination) worth() uint64 {
	return uint64(d.rate.now) + uint64(d.rate.last)
}

// openedTo counts what is opened to a destination.
func (e *Engine) openedTo(f *flow.Flow) {
	r := e.rules.Of[DestinationRate]
	if r == nil || !r.Where.Match(f, e.clock) {
		return
	}
	n, _ := e.destinations.put(hostOf(f.Orig.Dst, f.Zone))
	d := &e.destinations.at(n).V
	d.seen = e.now
	if e.counts(r, &d.rate, &d.usual) {
		e.destinations.ripen(n)
	}
}

func (e *Engine) judgeDestination(h *host, d *destination) (near bool) {
	r := e.rules.Of[DestinationRate]
	if r == nil {
		return false
	}
	v, ok := e.tooFast(r, &d.rate, &d.usual)
	if !ok {
		return v.Measured >= v.Limit/2
	}
	v.Subject = Subject{Destination: address(h.addr), Zone: h.zone}
	v.Evidence = []Evidence{{"new flows within " + r.span("within").String(), uint64(d.rate.sum(e.now, seconds(r, "within")))}}
	if v.Limit < r.value("rate") {
		v.Evidence = append(v.Evidence, Evidence{"usual flows/s", uint64(d.usual.rate)})
	}
	e.report(r, v)
	return true
}
