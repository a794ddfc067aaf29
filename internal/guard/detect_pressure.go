package guard

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// pressure is how full the table is, and how fast that changes.
type pressure struct {
	entries, max uint32
	at           time.Time
	growth       float64 // entries a second, smoothed
}

// smoothing is over how long growth is told.
const smoothing = 15 * time.Second

// Level takes in how full the table is; a max of 0 is none.
func (e *Engine) Level(now time.Time, entries, max uint32) {
	e.at(now)
	p := &e.pressure
	if passed := e.clock.Sub(p.at); !p.at.IsZero() && passed > 0 {
		rate := (float64(entries) - float64(p.entries)) / passed.Seconds()
		weight := min(1, float64(passed)/float64(smoothing))
		p.growth += (rate - p.growth) * weight
	}
	p.entries, p.max, p.at = entries, max, e.clock
}

// judgePressure looks whether the table is full, or is going to be soon.
func (e *Engine) judgePressure() {
	r, p := e.rules.Of[TablePressure], &e.pressure
	if r == nil || p.max == 0 || e.clock.Sub(p.at) > smoothing {
		return
	}
	used, limit := float64(p.entries)/float64(p.max), r.value("used")
	left := time.Duration(0)
	ahead := r.span("ahead")
	soon := false
	if p.growth > 0 && ahead > 0 {
		seconds := (float64(p.max) - float64(p.entries)) / p.growth
		left = time.Duration(seconds * float64(time.Second))
		// An emptier table has time to be looked at, and its growth may be that of a morning.
		soon = seconds <= ahead.Seconds() && used >= limit/2
	}
	if used < limit && !soon {
		return
	}
	v := verdict{Measured: 100 * used, Limit: 100 * limit, Unit: "%", Confidence: max(min(1, used), 0.5), since: e.now,
		Evidence: []Evidence{{fmt.Sprintf("entries of %d", p.max), uint64(p.entries)}}}
	if soon {
		v.Evidence = append(v.Evidence, Evidence{"seconds until it is full, as it grows now", uint64(left / time.Second)})
	}
	if e.incidents.has(TablePressure, v.Subject) {
		e.report(r, v) // who fills it was told when it began
		return
	}
	for i, s := range e.busiest(3) {
		v.Evidence = append(v.Evidence, Evidence{"flows of " + address(s.who.addr).String(), uint64(s.flows)})
		if i == 0 && s.flows > p.entries/2 {
			v.Offender = address(s.who.addr)
		}
	}
	e.report(r, v)
}

// busy is a source and how many flows it has.
type busy struct {
	who   host
	flows uint32
}

// busiest are the sources with most flows in the table.
func (e *Engine) busiest(n int) (best []busy) {
	e.sources.each(func(h *host, s *source) {
		if s.live == 0 || len(best) == n && s.live <= best[n-1].flows {
			return
		}
		if best = append(best, busy{*h, s.live}); len(best) > 1 {
			slices.SortStableFunc(best, func(a, b busy) int { return cmp.Compare(b.flows, a.flows) })
		}
		best = best[:min(len(best), n)]
	})
	return best
}
