package guard

import "github.com/spoor-project/spoor/flow"

// rests notes for how long a flow has been silent: a packet would have put off the end of its time. How long that time is does not matter, so policies
// of timeouts do not either.
func (e *Engine) rests(f *flow.Flow, r *remembered) {
	if !f.Has.Has(flow.HasTimeout) || f.Status.Has(flow.FixedTimeout) {
		return
	}
	deadline := e.now + uint32(f.Timeout.Seconds())
	// The kernel tells whole seconds, and so does the clock here, which may be late by one.
	const slack = 3
	if r.silent == 0 || deadline > r.deadline+slack || deadline+slack < r.deadline {
		r.silent = e.now
		r.deadline = deadline
	}
}

// hoards looks who keeps many idle flows, after a reading has told.
func (e *Engine) hoards() {
	r := e.rules.Of[Hoarding]
	if r == nil {
		return
	}
	limit := r.value("flows")
	e.sources.each(func(h *host, s *source) {
		idle := float64(s.idle)
		if idle < limit {
			return
		}
		e.report(r, verdict{
			Subject: h.subject(), Offender: address(h.addr), Measured: idle, Limit: limit, Unit: "idle flows",
			Confidence: excess(idle, limit), since: e.now - min(e.now, seconds(r, "idle")),
			Evidence: []Evidence{{"silent for " + r.span("idle").String(), uint64(s.idle)}, {"flows in the table", uint64(s.live)}},
		})
	})
}
