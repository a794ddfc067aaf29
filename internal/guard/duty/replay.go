package duty

import (
	"errors"
	"io"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/guard"
	"github.com/spoor-project/spoor/internal/recording"
)

// Replayed is what a replay has gone through.
type Replayed struct {
	Events   uint64 // changes
	Present  uint64 // flows that were in the table before
	Lost     uint64 // events that the recording lacks, as far as it tells
	Bad      uint64 // lines that could not be read
	From, To time.Time
	Took     time.Duration
}

// aftermath is for how long the clock goes on behind the last record: what was tried last, and not answered, is to be judged too.
const aftermath = 5 * time.Second

// longSilence is from when on a silence is gone through by the minute instead of by the second.
const longSilence = time.Hour

// Replay has an engine judge a recording at full speed, by the recording's own clock, and hands over what is found. Lines that cannot be read are told and passed over; an error is that of the input.
func Replay(from *recording.Reader, engine Engine, found func(now time.Time, f *guard.Finding), bad func(error)) (Replayed, error) {
	p := replay{engine: engine, found: found}
	begun := time.Now()
	for {
		r, err := from.Next()
		if line := (*recording.Error)(nil); errors.As(err, &line) {
			p.sum.Bad++
			bad(err)
			continue
		}
		if err != nil {
			p.finish()
			p.sum.Took = time.Since(begun)
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return p.sum, err
		}
		p.take(r)
	}
}

// replay is one being made.
type replay struct {
	engine  Engine
	found   func(time.Time, *guard.Finding)
	sum     Replayed
	now     time.Time // zero: no record has told the time yet
	next    time.Time // tick
	reading bool
	early   []flow.Flow // of the table, before a time was told
}

func (p *replay) take(r *recording.Record) {
	if !r.Time.IsZero() {
		p.advance(r.Time)
	}
	if r.Event.Type == 0 {
		p.sum.Present++
		switch {
		case p.now.IsZero():
			p.early = append(p.early, r.Event.Flow)
		case p.reading:
			p.engine.Read(&r.Event.Flow)
		case p.sum.Events == 0:
			p.begin()
			p.engine.Read(&r.Event.Flow)
		}
		return
	}
	if p.early != nil {
		p.begin()
	}
	p.endReading()
	if r.Event.Type == flow.Lost {
		p.sum.Lost += r.Event.Dropped // what had changed follows as if it had been told
	} else {
		p.sum.Events++
	}
	p.engine.Event(p.now, &r.Event)
}

// begin begins the reading of what was there.
func (p *replay) begin() {
	p.reading = true
	p.engine.BeginReading(p.now)
	for i := range p.early {
		p.engine.Read(&p.early[i])
	}
	p.early = nil
}

func (p *replay) endReading() {
	if p.reading {
		p.reading = false
		p.engine.EndReading(p.now)
	}
}

// advance lets the clock go on. It does not go back: some records of several processors may be in another order than their times.
func (p *replay) advance(to time.Time) {
	if p.now.IsZero() {
		p.now, p.next, p.sum.From = to, to.Add(time.Second), to
	}
	for !p.next.After(to) {
		p.now = p.next
		for _, f := range p.engine.Tick(p.now) {
			p.found(p.now, &f)
		}
		step := time.Second
		if to.Sub(p.now) > longSilence {
			step = time.Minute
		}
		p.next = p.next.Add(step)
	}
	if to.After(p.now) {
		p.now = to
	}
	p.sum.To = p.now
}

// finish lets the clock go on until what has happened last has been judged.
func (p *replay) finish() {
	if p.now.IsZero() {
		return // there was nothing that had a time
	}
	if p.early != nil {
		p.begin()
	}
	p.endReading()
	end := p.now
	p.advance(end.Add(aftermath))
	p.sum.To = end
}
