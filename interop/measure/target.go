package measure

import "strings"

// Target is a promise, and what came of it.
type Target struct {
	Promise string
	Value   string // what was measured, "" if nothing
	Reached bool
}

// Measured is the value, or "nothing".
func (t *Target) Measured() string {
	if t.Value == "" {
		return "nothing"
	}
	return t.Value
}

// TargetCells are two cells of a table: the promises, and what came of them.
func TargetCells(targets []Target) (promises, verdicts string) {
	var p, v []string
	for i := range targets {
		t := &targets[i]
		verdict := "**no**"
		if t.Reached {
			verdict = "yes"
		}
		p, v = append(p, t.Promise), append(v, verdict+": "+t.Measured())
	}
	return strings.Join(p, "<br>"), strings.Join(v, "<br>")
}

// Problem is a run with a wrong outcome.
type Problem struct{ Who, Text string }
