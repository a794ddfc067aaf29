//go:build linux

package main

import (
	"fmt"
	"time"

	"github.com/spoor-project/spoor/interop/measure"
)

// results is all that was measured.
type results struct {
	Command string
	Machine measure.Machine
	Rows    []row
	Follows []followRow
	Notes   []string // about what was left out
}

// group is where a row is shown.
type group int

const (
	withTargets group = iota
	withoutTargets
	ofLibraries
	ofGrowth
)

// row is one contest's outcome.
type row struct {
	Group    group
	What     string
	Entries  string
	Figures  []figure
	Targets  []measure.Target
	Problems []measure.Problem
}

// of returns a contender's figure, nil if it has none.
func (r *row) of(who string) *figure {
	for i := range r.Figures {
		if r.Figures[i].Who == who {
			return &r.Figures[i]
		}
	}
	return nil
}

// ratio is how long we took in units of what somebody else took.
func (r *row) ratio(who string) (float64, bool) {
	a, b := r.of(ours), r.of(who)
	if a == nil || b == nil || a.Wall == 0 || b.Wall == 0 {
		return 0, false
	}
	return float64(a.Wall) / float64(b.Wall), true
}

// promiseRatio: ours takes at most limit times what who takes.
func (r *row) promiseRatio(limit float64, who string) {
	t := measure.Target{Promise: fmt.Sprintf("≤ %v × %s", limit, who)}
	if ratio, ok := r.ratio(who); ok {
		t.Value, t.Reached = fmt.Sprintf("%.2f", ratio), ratio <= limit
	}
	r.Targets = append(r.Targets, t)
}

// promiseScaling: all processors are at least limit times as fast as one.
func (r *row) promiseScaling(limit float64) {
	t := measure.Target{Promise: fmt.Sprintf("≥ %v × one processor", limit)}
	if ratio, ok := r.ratio(oneProcessor); ok {
		t.Value, t.Reached = fmt.Sprintf("%.2f", 1/ratio), 1/ratio >= limit
	}
	r.Targets = append(r.Targets, t)
}

// promiseTime: ours takes at most so long.
func (r *row) promiseTime(limit time.Duration) {
	t := measure.Target{Promise: fmt.Sprintf("≤ %v", limit)}
	if f := r.of(ours); f != nil && f.Wall > 0 {
		t.Value, t.Reached = f.Wall.Round(time.Millisecond).String(), f.Wall <= limit
	}
	r.Targets = append(r.Targets, t)
}

// ratioTo is a judge with a single promise.
func ratioTo(limit float64, who string) func(*row) {
	return func(r *row) { r.promiseRatio(limit, who) }
}

// promiseRSS: ours never takes more memory than limit.
func (r *row) promiseRSS(limit int64) {
	t := measure.Target{Promise: fmt.Sprintf("RSS ≤ %s", measure.BytesText(limit))}
	if f := r.of(ours); f != nil {
		t.Value, t.Reached = measure.BytesText(f.RSS), f.RSS <= limit
	}
	r.Targets = append(r.Targets, t)
}

func (r *row) promise(text, value string, reached bool) {
	r.Targets = append(r.Targets, measure.Target{Promise: text, Value: value, Reached: reached})
}

// missed lists the promises that were not kept, and what we did wrong altogether.
func (res *results) missed() []string {
	var all []string
	for i := range res.Rows {
		r := &res.Rows[i]
		for _, t := range r.Targets {
			if !t.Reached {
				all = append(all, fmt.Sprintf("%s (%s): %s, measured %s", r.What, r.Entries, t.Promise, t.Measured()))
			}
		}
		for _, p := range r.Problems {
			if p.Who != theirs {
				all = append(all, fmt.Sprintf("%s (%s): %s, %s", r.What, r.Entries, p.Who, p.Text))
			}
		}
	}
	return all
}
