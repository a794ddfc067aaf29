//go:build linux

package main

import (
	"fmt"
	"strings"

	"github.com/spoor-project/spoor/interop/measure"
)

// measured is the section that this program writes.
var measured = measure.Section{
	Begin: "<!-- measured sync: begin (interop/syncbench writes this section) -->\n",
	End:   "<!-- measured sync: end -->\n",
}

// render is the measured section.
func render(res *results) string {
	var b strings.Builder
	m := &res.Machine
	fmt.Fprintf(&b, "Made by `%s` on Linux %s, %s, %d processors, which together compute %.1f times as much as one; %s; the original is %s.\n", res.Command, m.Kernel, m.CPU, m.Cores, m.Together, m.Go, m.Original)
	fmt.Fprintf(&b, "Without daemons the machine tracked %s new UDP flows.\n\n", perSecond(int(res.Alone)))
	renderSummary(&b, res)
	renderTargets(&b, res)
	for i := range res.Rows {
		renderRow(&b, &res.Rows[i])
	}
	return b.String()
}

func renderSummary(b *strings.Builder, res *results) {
	reached, all := 0, 0
	problems := ""
	for i := range res.Rows {
		r := &res.Rows[i]
		for k := range r.Demands {
			if t, ok := r.Demands[k].target(r); ok {
				all++
				if t.Reached {
					reached++
				}
			}
		}
		for _, p := range r.Problems {
			problems += fmt.Sprintf("- %s: %s, %s\n", r.Title, p.Who, p.Text)
		}
	}
	fmt.Fprintf(b, "%d of %d targets are reached.\n\n", reached, all)
	if problems != "" {
		b.WriteString(problems + "\n")
	}
}

func renderTargets(b *strings.Builder, res *results) {
	b.WriteString("### Targets of the replication\n\n")
	b.WriteString("| what | flows | ours | theirs | to theirs | target | reached |\n|---|--:|--:|--:|--:|---|---|\n")
	for i := range res.Rows {
		r := &res.Rows[i]
		for k := range r.Demands {
			d := &r.Demands[k]
			promise, verdict := "–", "–"
			if t, ok := d.target(r); ok {
				promise, verdict = measure.TargetCells([]measure.Target{t})
			}
			quotient := "–"
			mine, have := r.median(ours, d.Column)
			other, haveOther := r.median(theirs, d.Column)
			if have && haveOther && other > 0 {
				quotient = fmt.Sprintf("%.2f", mine/other)
			}
			text := func(v float64, have bool) string {
				if !have {
					return "–"
				}
				return r.Columns[d.Column].Unit.text(v)
			}
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s |\n", d.What, d.Flows, text(mine, have), text(other, haveOther), quotient, promise, verdict)
		}
	}
	b.WriteString("\n")
}

// renderRow shows every column, and how far the runs differ in the first.
func renderRow(b *strings.Builder, r *row) {
	fmt.Fprintf(b, "### %s\n\n| sender → receiver | runs |", r.Title)
	for i, c := range r.Columns {
		fmt.Fprintf(b, " %s |", c.Name)
		if i == 0 {
			b.WriteString(" least | most |")
		}
	}
	b.WriteString("\n|---|--:|" + strings.Repeat("--:|", len(r.Columns)+2) + "\n")
	for _, f := range r.Figures {
		fmt.Fprintf(b, "| %s | %d |", f.Pair, f.Runs)
		for i, c := range r.Columns {
			if f.Spreads == nil {
				b.WriteString(" – |")
				if i == 0 {
					b.WriteString(" – | – |")
				}
				continue
			}
			s := f.Spreads[i]
			fmt.Fprintf(b, " %s |", c.Unit.text(s.Median))
			if i == 0 {
				fmt.Fprintf(b, " %s | %s |", c.Unit.text(s.Least), c.Unit.text(s.Most))
			}
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}
