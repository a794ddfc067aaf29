package doctor

import (
	"math"
	"time"
)

// Times until the table is full, in seconds.
const (
	fullWarn = 3600
	fullBad  = 300
)

// checkGrowth: how soon is the table full, if it goes on like this?
func checkGrowth(f *Facts) Verdict {
	switch {
	case !f.Now.Entries.Known:
		return unknown(f.Now.Entries.Why)
	case f.Elapsed <= 0 || !f.Before.Entries.Known:
		return unknown("was looked at only once")
	}
	before, now := f.Before.Entries.Value, f.Now.Entries.Value
	growth := (float64(now) - float64(before)) / f.Elapsed.Seconds()
	m := Measure{Name: "growth", Value: math.Round(growth*10) / 10}
	look := f.Elapsed.Round(100 * time.Millisecond).String()
	switch {
	case !f.Max.Known:
		v := unknown(rate(growth) + " entries; " + orElse(f.Max.Why, "the limit is not known"))
		return v.measure(m)
	case f.Max.Value == 0:
		return ok("%s entries in %s, no limit", signed(growth), look).measure(m)
	case now == before:
		return ok("the same number of entries %s later", look).measure(m)
	// A moment's noise is no growth: it has to be a thousandth of the table.
	case growth <= 0 || now-before < max(10, now/1000):
		return ok("%s entries in %s: not filling up", signed(growth), look).measure(m)
	}
	left := uint64(0)
	if f.Max.Value > now {
		left = uint64(float64(f.Max.Value-now) / growth)
	}
	var v Verdict
	switch {
	case left <= fullBad:
		v = bad("%s entries: full in %s", signed(growth), seconds(left))
	case left <= fullWarn:
		v = warn("%s entries: full in %s", signed(growth), seconds(left))
	default:
		return ok("%s entries: full in %s at the earliest", signed(growth), seconds(left)).measure(m)
	}
	return v.means("That is if it goes on as in these %s; --interval 60s looks for longer. See who makes so many: an attack, a scan, or a service "+
		"that does not close.", look).
		measure(m).mend(run("spoor count --by src --top 10 unreplied", "")).mend(f.raise(f.Max.Value)...)
}

func signed(perSecond float64) string {
	if perSecond > 0 {
		return "+" + rate(perSecond)
	}
	return rate(perSecond)
}
