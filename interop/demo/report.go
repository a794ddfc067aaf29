//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// tell prints a line of the timeline.
func (p *play) tell(format string, args ...any) {
	fmt.Fprintf(p.out, "%7.2f s  %s\n", time.Since(p.begun).Seconds(), fmt.Sprintf(format, args...))
}

// note prints more about what was told last.
func (p *play) note(format string, args ...any) {
	fmt.Fprintf(p.out, "%11s%s\n", "", fmt.Sprintf(format, args...))
}

// watch tells when the connections go on, for as long as firewall 2 is to work.
func (p *play) watch(ctx context.Context) error {
	end := time.Now().Add(p.after)
	for told := 0; time.Now().Before(end); {
		switch n := p.talk.answeredSince(p.died); {
		case n == p.connections && told < n:
			p.tell("all %d connections go on through firewall 2", n)
			told = n
		case n > 0 && told == 0:
			p.tell("the first answer comes through firewall 2")
			told = 1
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// chartWidth is how many columns the chart has at most.
const chartWidth = 77

// chart shows how many answers came when, and marks the moment of the death.
func chart(answers []time.Time, begun, died, end time.Time, full int) string {
	column := lineEvery
	for end.Sub(begun) > chartWidth*column {
		column += lineEvery
	}
	counts := make([]int, 1+end.Sub(begun)/column)
	for _, at := range answers {
		counts[at.Sub(begun)/column]++
	}
	full *= int(column / lineEvery)
	levels := []rune("▁▂▃▄▅▆▇█")
	var bars strings.Builder
	for _, n := range counts {
		if n == 0 {
			bars.WriteByte('.')
		} else {
			bars.WriteRune(levels[max(1, min((n*len(levels)+full/2)/full, len(levels)))-1])
		}
	}
	mark := strings.Repeat(" ", int(died.Sub(begun)/column)) + "^ firewall 1 dies"
	return fmt.Sprintf("answers, a column for each %v:\n\n  %s\n  %s\n", column, bars.String(), mark)
}

// summary prints what came of the connections, and reports whether all are alive.
func (p *play) summary() bool {
	var answers []time.Time
	var silences []time.Duration
	var dead []*connection
	said := 0
	for _, c := range p.talk.all {
		answers = append(answers, c.answers...)
		silences = append(silences, c.silence())
		said += c.said
		if c.err != nil {
			dead = append(dead, c)
		}
	}
	end := p.talk.begun
	for _, at := range answers {
		end = slices.MaxFunc([]time.Time{end, at}, time.Time.Compare)
	}
	slices.Sort(silences)
	w := p.out
	fmt.Fprintf(w, "\n  %s\n", chart(answers, p.talk.begun, p.died, end, p.connections))
	fmt.Fprintf(w, "  connections alive  %d of %d\n", p.connections-len(dead), p.connections)
	fmt.Fprintf(w, "  lines answered     %d of %d, each once and in order\n", len(answers), said)
	if len(dead) == 0 {
		fmt.Fprintf(w, "  longest silence    %.2f s; in half of the connections at most %.2f s\n",
			silences[len(silences)-1].Seconds(), silences[len(silences)/2].Seconds())
	}
	for _, c := range dead[:min(len(dead), 3)] {
		fmt.Fprintf(w, "  connection %d is dead: %v\n", c.number, c.err)
	}
	return len(dead) == 0
}
