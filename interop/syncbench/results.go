//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spoor-project/spoor/interop/measure"
)

// results is all that was measured.
type results struct {
	Command string
	Machine measure.Machine
	Alone   float64 // new flows per second without daemons
	Rows    []row
}

// row is one contest's outcome.
type row struct {
	Name, Title string
	Columns     []column
	Demands     []demand
	Figures     []figure
	Problems    []measure.Problem
}

// column is one of the values of each run.
type column struct {
	Name string
	Unit unit
}

// figure is what a pair has done.
type figure struct {
	Pair    pair
	Runs    int
	Spreads []spread // one for each column; nil without runs
}

type spread struct{ Median, Least, Most float64 }

func summarise(p pair, runs [][]float64) figure {
	f := figure{Pair: p, Runs: len(runs)}
	if len(runs) == 0 {
		return f
	}
	for c := range runs[0] {
		var all []float64
		for _, r := range runs {
			all = append(all, r[c])
		}
		f.Spreads = append(f.Spreads, spread{measure.Median(all), slices.Min(all), slices.Max(all)})
	}
	return f
}

// median is the value of a column for two of the same kind.
func (r *row) median(who string, column int) (float64, bool) {
	for _, f := range r.Figures {
		if f.Pair == (pair{who, who}) && f.Spreads != nil {
			return f.Spreads[column].Median, true
		}
	}
	return 0, false
}

// bound is what kind of limit a demand has.
type bound int

const (
	none bound = iota
	atMost
	atLeast
	atMostTimes // what theirs have
	atLeastTimes
)

// demand is a line of the table of targets: the values of a column for ours and theirs.
type demand struct {
	What, Flows string
	Column      int
	Bound       bound
	Limit       float64
}

// target judges it; ok is false without a bound.
func (d *demand) target(r *row) (t measure.Target, ok bool) {
	mine, have := r.median(ours, d.Column)
	unit := r.Columns[d.Column].Unit
	switch d.Bound {
	case none:
		return t, false
	case atMost, atLeast:
		t.Promise = "≤ " + unit.text(d.Limit)
		t.Reached = have && mine <= d.Limit
		if d.Bound == atLeast {
			t.Promise = "≥ " + unit.text(d.Limit)
			t.Reached = have && mine >= d.Limit
		}
		if have {
			t.Value = unit.text(mine)
		}
	default:
		other, haveOther := r.median(theirs, d.Column)
		sign, reached := "≤", func(q float64) bool { return q <= d.Limit }
		if d.Bound == atLeastTimes {
			sign, reached = "≥", func(q float64) bool { return q >= d.Limit }
		}
		t.Promise = fmt.Sprintf("%s %v × theirs", sign, d.Limit)
		if have && haveOther && other > 0 {
			t.Value, t.Reached = fmt.Sprintf("%.2f", mine/other), reached(mine/other)
		}
	}
	return t, true
}

// missed lists the promises that were not kept, and what went wrong with ours alone.
func (res *results) missed() []string {
	var all []string
	for i := range res.Rows {
		r := &res.Rows[i]
		for k := range r.Demands {
			d := &r.Demands[k]
			if t, ok := d.target(r); ok && !t.Reached {
				all = append(all, fmt.Sprintf("%s (%s): %s, measured %s", d.What, d.Flows, t.Promise, t.Measured()))
			}
		}
		for _, p := range r.Problems {
			// That the machine has no more to offer is nobody's fault.
			if p.Who == (pair{ours, ours}).String() && !strings.Contains(p.Text, slower) {
				all = append(all, fmt.Sprintf("%s: %s, %s", r.Title, p.Who, p.Text))
			}
		}
	}
	return all
}

// unit says how a value is written.
type unit int

const (
	ratio unit = iota
	micros
	millis
	seconds
	byteCount
	megabytes
	flowRate
	percent
)

func (u unit) text(v float64) string {
	switch u {
	case micros:
		return fmt.Sprintf("%.2f µs", v*1e6)
	case millis:
		return fmt.Sprintf("%.1f ms", v*1e3)
	case seconds:
		return measure.TimeText(time.Duration(v * float64(time.Second)))
	case byteCount:
		return fmt.Sprintf("%.0f bytes", v)
	case megabytes:
		return measure.BytesText(int64(v))
	case flowRate:
		return perSecond(int(v))
	case percent:
		return fmt.Sprintf("%.1f %%", v*100)
	}
	return fmt.Sprintf("%.1f", v)
}
