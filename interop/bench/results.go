//go:build linux

package main

import (
	"fmt"
	"time"
)

// results is all that was measured.
type results struct {
	Command string
	Machine machine
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
	Targets  []target
	Problems []problem
}

// problem is a run with a wrong outcome.
type problem struct{ Who, Text string }

// target is a promise, and what came of it.
type target struct {
	Promise string
	Value   string // what was measured, "" if nothing
	Reached bool
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
	t := target{Promise: fmt.Sprintf("≤ %v × %s", limit, who)}
	if ratio, ok := r.ratio(who); ok {
		t.Value, t.Reached = fmt.Sprintf("%.2f", ratio), ratio <= limit
	}
	r.Targets = append(r.Targets, t)
}

// promiseScaling: all processors are at least limit times as fast as one.
func (r *row) promiseScaling(limit float64) {
	t := target{Promise: fmt.Sprintf("≥ %v × one processor", limit)}
	if ratio, ok := r.ratio(oneProcessor); ok {
		t.Value, t.Reached = fmt.Sprintf("%.2f", 1/ratio), 1/ratio >= limit
	}
	r.Targets = append(r.Targets, t)
}

// ratioTo is a judge with a single promise.
func ratioTo(limit float64, who string) func(*row) {
	return func(r *row) { r.promiseRatio(limit, who) }
}

// promiseRSS: ours never takes more memory than limit.
func (r *row) promiseRSS(limit int64) {
	t := target{Promise: fmt.Sprintf("RSS ≤ %s", bytesText(limit))}
	if f := r.of(ours); f != nil {
		t.Value, t.Reached = bytesText(f.RSS), f.RSS <= limit
	}
	r.Targets = append(r.Targets, t)
}

func (r *row) promise(text, value string, reached bool) {
	r.Targets = append(r.Targets, target{text, value, reached})
}

// missed lists the promises that were not kept, and what we did wrong altogether.
func (res *results) missed() []string {
	var all []string
	for i := range res.Rows {
		r := &res.Rows[i]
		for _, t := range r.Targets {
			if !t.Reached {
				all = append(all, fmt.Sprintf("%s (%s): %s, measured %s", r.What, r.Entries, t.Promise, orNothing(t.Value)))
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

func orNothing(value string) string {
	if value == "" {
		return "nothing"
	}
	return value
}

// bytesText is a size in powers of 1000, as the targets mean it.
func bytesText(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// timeText has three digits or so.
func timeText(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1e3)
	}
	return fmt.Sprintf("%.2f ms", d.Seconds()*1e3)
}
