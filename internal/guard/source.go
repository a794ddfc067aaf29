package guard

import (
	"time"

	"github.com/spoor-project/spoor/flow"
)

// source is what is remembered of who opens flows.
type source struct {
	rate     window // flows opened, for SourceRate
	opened   window // the same for Unreplied, and for scans
	answered window
	usual    usual
	live     uint32 // flows in the table
	idle     uint32 // of them, as the last reading had it
	tried    uint32 // list of targets
	count    uint16 // of them
	seen     uint32
	flows    uint32 // opened at all
	doubt    uint32 // since when hardly anything is answered; 0: it is
}

// worth is more the more there is to lose.
func (s *source) worth() uint64 {
	return uint64(s.live) + uint64(s.flows) + 8*uint64(s.count)
}

// source is the number of the place of a flow's source.
func (e *Engine) source(f *flow.Flow) uint32 {
	n, _ := e.sources.put(hostOf(f.Orig.Src, f.Zone))
	e.sources.at(n).V.seen = e.now
	return n
}

// openedBy counts what a source opens.
func (e *Engine) openedBy(f *flow.Flow, s *source, n uint32) {
	s.flows = saturated(uint64(s.flows) + uint64(e.weight()))
	if r := e.rules.Of[SourceRate]; r != nil && r.Where.Match(f, e.clock) {
		if e.counts(r, &s.rate, &s.usual) {
			e.sources.ripen(n)
		}
	}
	r := e.rules.Of[Unreplied]
	if f.Status.Has(flow.Expected) || r != nil && !r.Where.Match(f, e.clock) {
		return
	}
	span := e.openedSpan()
	s.opened.add(e.now, span, e.weight())
	if r == nil {
		return
	}
	s.answered.roll(e.now, span)
	if o, a := s.opened.now+s.opened.last, s.answered.now+s.answered.last; float64(o) >= r.value("flows") && float64(o-min(o, a)) >= r.value("share")*float64(o)/2 {
		e.sources.ripen(n)
	}
}

// openedSpan is over how many seconds a source's flows are counted: those of Unreplied, as without it nothing but scans needs the count.
func (e *Engine) openedSpan() uint32 {
	if r := e.rules.Of[Unreplied]; r != nil {
		return seconds(r, "within")
	}
	return 60
}

// judgeSource looks at a source that is near a limit.
func (e *Engine) judgeSource(h *host, s *source) (near bool) {
	if r := e.rules.Of[SourceRate]; r != nil {
		if v, ok := e.tooFast(r, &s.rate, &s.usual); ok {
			near = true
			v.Subject, v.Offender = h.subject(), address(h.addr)
			v.Evidence = []Evidence{{"new flows within " + r.span("within").String(), uint64(s.rate.sum(e.now, seconds(r, "within")))}, {"flows in the table", uint64(s.live)}}
			e.report(r, v)
		} else if v.Measured >= v.Limit/2 {
			near = true
		}
	}
	near = e.judgeUnreplied(h, s) || near
	return e.judgeTargets(h, s) || near
}

// judgeUnreplied looks whether hardly anything that a source opens is answered, for longer than answers take.
func (e *Engine) judgeUnreplied(h *host, s *source) (near bool) {
	r := e.rules.Of[Unreplied]
	if r == nil {
		return false
	}
	span := seconds(r, "within")
	opened, answers := s.opened.sum(e.now, span), s.answered.sum(e.now, span)
	missing := max(0, opened-answers)
	if opened < r.value("flows") || missing < r.value("share")*opened {
		s.doubt = 0
		return opened >= r.value("flows")/2
	}
	if s.doubt == 0 {
		s.doubt = e.now
	}
	if e.now-s.doubt < grace {
		return true
	}
	part := missing / opened
	e.report(r, verdict{
		Subject: h.subject(), Offender: address(h.addr), Measured: 100 * part, Limit: 100 * r.value("share"), Unit: "%", Confidence: part, since: e.now - min(e.now, span),
		Evidence: []Evidence{{"opened within " + r.span("within").String(), uint64(opened)}, {"answered", uint64(min(answers, opened))}},
	})
	return true
}

// verdict is what is found of a subject in a Tick.
type verdict struct {
	Subject    Subject
	Offender   addressOrNone
	Measured   float64
	Limit      float64
	Unit       string
	Confidence float64
	Evidence   []Evidence
	since      uint32 // second
}

// usual is the rate of a subject that has been usual, learned over hours.
type usual struct {
	rate float32 // a second
	born uint32  // second since when it has been learned; 0: not yet
}

const (
	// learning is how long a rate must have been watched before it is called usual.
	learning = 10 * time.Minute
	// halfLife is how fast what was usual is forgotten.
	halfLife = time.Hour
	// leastPart of the rule's rate must be there for something to be unusual: many times nearly nothing is little.
	leastPart = 0.2
)
