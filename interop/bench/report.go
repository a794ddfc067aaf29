//go:build linux

package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spoor-project/spoor/interop/measure"
)

// measured is the section that this program writes.
var measured = measure.Section{
	Begin: "<!-- measured: begin (interop/bench writes this section) -->\n",
	End:   "<!-- measured: end -->\n",
}

// section is the measured section.
func section(res *results) string {
	var b strings.Builder
	m := &res.Machine
	fmt.Fprintf(&b, "Made by `%s` on Linux %s, %s, %d processors, which together compute %.1f times as much as one; %s; the original is %s.\n\n",
		res.Command, m.Kernel, m.CPU, m.Cores, m.Together, m.Go, m.Original)
	renderSummary(&b, res)
	renderTargets(&b, res)
	renderOthers(&b, res)
	renderGrowth(&b, res)
	renderFollows(&b, res)
	renderLibraries(&b, res)
	renderProcesses(&b, res)
	for _, note := range res.Notes {
		fmt.Fprintf(&b, "%s\n\n", note)
	}
	return b.String()
}

func renderSummary(b *strings.Builder, res *results) {
	reached, all := 0, 0
	for _, r := range res.Rows {
		for _, t := range r.Targets {
			all++
			if t.Reached {
				reached++
			}
		}
	}
	fmt.Fprintf(b, "%d of %d targets are reached.\n\n", reached, all)
	for _, r := range res.Rows {
		for _, p := range r.Problems {
			fmt.Fprintf(b, "- `%s` (%s), %s, not counted in %s\n", r.What, r.Entries, p.Who, p.Text)
		}
	}
	if strings.HasSuffix(b.String(), "\n\n") {
		return
	}
	b.WriteString("\n")
}

func renderTargets(b *strings.Builder, res *results) {
	b.WriteString("### Targets\n\n")
	b.WriteString("| what | entries | ours | theirs | floor | to theirs | to floor | target | reached |\n")
	b.WriteString("|---|--:|--:|--:|--:|--:|--:|---|---|\n")
	for i := range res.Rows {
		if r := &res.Rows[i]; r.Group == withTargets {
			promises, verdicts := measure.TargetCells(r.Targets)
			fmt.Fprintf(b, "%s | %s | %s |\n", comparison(r), promises, verdicts)
		}
	}
	b.WriteString("\n")
}

func renderOthers(b *strings.Builder, res *results) {
	b.WriteString("### Without a target\n\n")
	b.WriteString("| what | entries | ours | theirs | floor | to theirs | to floor |\n")
	b.WriteString("|---|--:|--:|--:|--:|--:|--:|\n")
	for i := range res.Rows {
		if r := &res.Rows[i]; r.Group == withoutTargets {
			fmt.Fprintf(b, "%s |\n", comparison(r))
		}
	}
	b.WriteString("\n")
}

// renderGrowth tells how time grows with the table. The hash table grows with it, as on a
// well kept machine.
func renderGrowth(b *strings.Builder, res *results) {
	b.WriteString("### How `-L` grows with the table\n\n")
	b.WriteString("| entries | ours | one processor | theirs | floor | to theirs | ours, per entry | entries per second and processor |\n")
	b.WriteString("|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for i := range res.Rows {
		r := &res.Rows[i]
		if r.Group != ofGrowth {
			continue
		}
		cells := []string{r.Entries}
		for _, who := range []string{ours, oneProcessor, theirs, floor} {
			cells = append(cells, cell(r.of(who)))
		}
		ratio, _ := r.ratio(theirs)
		cells = append(cells, fmt.Sprintf("%.2f", ratio))
		n, _ := strconv.Atoi(strings.ReplaceAll(r.Entries, ",", ""))
		each, rate := "–", "–"
		if f := r.of(ours); f != nil && f.Wall > 0 && n > 0 {
			each = fmt.Sprintf("%d ns", int(f.Wall)/n)
		}
		if f := r.of(oneProcessor); f != nil && f.Wall > 0 {
			rate = measure.Grouped(int(float64(n) / f.Wall.Seconds()))
		}
		fmt.Fprintf(b, "| %s |\n", strings.Join(append(cells, each, rate), " | "))
	}
	b.WriteString("\n")
}

// comparison is the cells that all comparing tables begin with.
func comparison(r *row) string {
	cells := []string{"`" + r.What + "`", r.Entries}
	if strings.Contains(r.What, "(") {
		cells[0] = r.What
	}
	for _, who := range []string{ours, theirs, floor} {
		cells = append(cells, cell(r.of(who)))
	}
	for _, who := range []string{theirs, floor} {
		text := "–"
		if ratio, ok := r.ratio(who); ok {
			text = fmt.Sprintf("%.2f", ratio)
		}
		cells = append(cells, text)
	}
	return "| " + strings.Join(cells, " | ")
}

func cell(f *figure) string {
	switch {
	case f == nil:
		return "–"
	case f.Text != "":
		return f.Text
	}
	return measure.TimeText(f.Wall)
}

func renderFollows(b *strings.Builder, res *results) {
	const header = "| program | created | in | printed | told lost | dropped by the kernel | last event after | stayed | max RSS | last words |\n" +
		"|---|--:|--:|--:|--:|--:|--:|---|--:|---|\n"
	b.WriteString("### Bursts of events\n\nThe library makes entries as fast as it can, and a program prints them.\n\n")
	for _, f := range res.Follows {
		fmt.Fprintf(b, "`%s`:\n\n%s", f.What, header)
		for i := range f.Runs {
			renderFollowRun(b, &f.Runs[i])
		}
		b.WriteString("\n")
	}
}

func renderFollowRun(b *strings.Builder, run *followRun) {
	stayed, rss := "yes", measure.BytesText(run.RSS)
	if !run.Alive {
		stayed, rss = fmt.Sprintf("**no**, exit status %d", run.Exit), "–"
	}
	cells := []string{run.Who, measure.Grouped(run.Created), measure.TimeText(run.Creation), measure.Grouped(run.Printed), toldText(run),
		countText(run.Dropped), measure.TimeText(run.Drain), stayed, rss, strings.ReplaceAll(run.Said, "|", "\\|")}
	fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
}

// toldText is what the program says about losses.
func toldText(run *followRun) string {
	if run.Told == unknown && run.Warned {
		return "yes, not how many"
	}
	return countText(run.Told)
}

func countText(n int) string {
	if n == unknown {
		return "–"
	}
	return measure.Grouped(n)
}

func renderLibraries(b *strings.Builder, res *results) {
	for i := range res.Rows {
		r := &res.Rows[i]
		if r.Group != ofLibraries || len(r.Figures) == 0 {
			continue
		}
		fmt.Fprintf(b, "### Go libraries\n\nA dump of %s entries by a small program.\n\n", r.Entries)
		b.WriteString("| library | wall | user | system | max RSS |\n|---|--:|--:|--:|--:|\n")
		for _, f := range r.Figures {
			if f.Text != "" {
				continue
			}
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", f.Who, measure.TimeText(f.Wall), measure.TimeText(f.User), measure.TimeText(f.System), measure.BytesText(f.RSS))
		}
		b.WriteString("\n")
	}
}

// renderProcesses is the detail behind the times. With two cores at work user and
// system together are more than wall.
func renderProcesses(b *strings.Builder, res *results) {
	b.WriteString("### Processes\n\n")
	b.WriteString("| what | entries | program | runs | wall | fastest | slowest | user | system | max RSS |\n")
	b.WriteString("|---|--:|---|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, r := range res.Rows {
		for _, f := range r.Figures {
			if f.Text != "" || r.Group == ofLibraries || r.Group == ofGrowth {
				continue
			}
			fmt.Fprintf(b, "| `%s` | %s | %s | %d | %s | %s | %s | %s | %s | %s |\n", r.What, r.Entries, f.Who, f.Runs,
				measure.TimeText(f.Wall), measure.TimeText(f.Fastest), measure.TimeText(f.Slowest), measure.TimeText(f.User), measure.TimeText(f.System), measure.BytesText(f.RSS))
		}
	}
	b.WriteString("\n")
}
