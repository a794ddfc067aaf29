package guard

import (
	"cmp"
	"slices"
	"time"
)

// incidents are the findings that go on.
type incidents struct {
	of    map[incidentKey]*incident
	next  uint64
	begun int
}

// incidentKey tells findings apart: a source that scans several hosts is one scan.
type incidentKey struct {
	kind    Kind
	subject Subject
}

type incident struct {
	Finding
	rule   *Rule
	seen   uint32  // second in which it was reported last
	told   float64 // the measure when it was handed out last
	toldAt uint32
	fresh  bool // it has not been handed out yet
}

const (
	// mostIncidents go on at once; what is found beyond is only counted as evicted.
	mostIncidents = 4096
	// A finding is handed out again when it has become so many times worse, or after so long.
	worse      = 4
	reminding  = time.Hour
	leastQuiet = 30 // seconds without a report after which it is over
)

func newIncidents() incidents { return incidents{of: make(map[incidentKey]*incident)} }

func keyOf(k Kind, s Subject) incidentKey {
	switch k {
	case PortScan, HostSweep, SlowScan:
		s = Subject{Source: s.Source, Zone: s.Zone}
	}
	return incidentKey{k, s}
}

func (in *incidents) has(k Kind, s Subject) bool { return in.of[keyOf(k, s)] != nil }

// report takes a verdict: a finding begins, or it goes on.
func (e *Engine) report(r *Rule, v verdict) {
	in := &e.incidents
	key := keyOf(r.Kind, v.Subject)
	i := in.of[key]
	if i == nil {
		if len(in.of) == mostIncidents {
			e.figures.Evicted++
			return
		}
		in.next++
		i = &incident{fresh: true}
		i.Finding = Finding{ID: in.next, Kind: r.Kind, Subject: v.Subject, Since: e.time(max(1, v.since))}
		in.of[key] = i
		in.begun++
	}
	i.rule, i.Rule = r, r.threshold()
	i.seen = e.now
	if i.fresh || v.Measured > i.Measured {
		i.Measured, i.Limit, i.Unit, i.Confidence, i.Evidence = v.Measured, v.Limit, v.Unit, v.Confidence, v.Evidence
	}
	if v.Offender.IsValid() {
		i.Offender = v.Offender
	}
}

// quiet is how many seconds without a report end a finding. Those that only a reading shows wait for the next ones.
func (i *incident) quiet() uint32 {
	quiet := uint32(leastQuiet)
	if slices.ContainsFunc(kinds[i.Kind].params, func(p param) bool { return p.name == "within" }) {
		quiet = max(quiet, min(seconds(i.rule, "within"), 3600))
	}
	if i.Kind == Hoarding {
		quiet = 600
	}
	return quiet
}

// settle returns what is to be handed out.
func (in *incidents) settle(e *Engine) (out []Finding) {
	for key, i := range in.of {
		switch {
		case e.now-i.seen > i.quiet() || e.rules.Of[i.Kind] == nil:
			delete(in.of, key)
			in.begun--
			i.Phase = Ends
		case i.fresh:
			i.Phase = Begins
		case i.Measured >= worse*i.told || e.now-i.toldAt >= uint32(reminding.Seconds()):
			i.Phase = Continues
		default:
			continue
		}
		i.fresh, i.told, i.toldAt = false, i.Measured, e.now
		i.Time = e.clock
		f := i.Finding
		f.Evidence = slices.Clone(f.Evidence)
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b Finding) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// ongoing are those that have been handed out, in the order in which they began.
func (in *incidents) ongoing() []Finding {
	var out []Finding
	for _, i := range in.of {
		if !i.fresh {
			f := i.Finding
			f.Evidence = slices.Clone(f.Evidence)
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b Finding) int { return cmp.Compare(a.ID, b.ID) })
	return out
}
