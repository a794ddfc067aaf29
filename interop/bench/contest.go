//go:build linux

package main

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/spoor-project/spoor/interop/measure"
)

// Contenders.
const (
	ours   = "ours"
	theirs = "theirs"
	floor  = "floor"

	oneProcessor  = "ours, one processor"
	conntrackList = "our conntrack -L"
)

// contest is one thing to do, and the programs that do it, one after the other, again
// and again: what disturbs the machine for a while disturbs all of them.
type contest struct {
	group   group
	what    string
	entries string
	runs    int
	teams   []team
	// prepare makes the table what it must be before a run; nil if nothing is to be done.
	prepare func() error
	// finished says what is wrong with the outcome, "" if nothing.
	finished func(*sample) string
	// judge adds the targets.
	judge func(*row)
}

// team is a contender and its command line, which may differ from run to run.
type team struct {
	who  string
	argv func(run int) []string
}

// always is a command line that does not differ.
func always(argv ...string) func(int) []string { return func(int) []string { return argv } }

// hold has the contest held. A run with a wrong outcome is a problem of the row and
// counts for nothing.
func (a *arena) hold(ctx context.Context, c *contest) error {
	progress("%s (%s)", c.what, c.entries)
	r := row{Group: c.group, What: c.what, Entries: c.entries}
	samples := make([][]*sample, len(c.teams))
	problems := make([]map[string]int, len(c.teams))
	for n := range c.runs {
		for i, t := range c.teams {
			if c.prepare != nil {
				if err := c.prepare(); err != nil {
					return fmt.Errorf("prepare %s: %w", c.what, err)
				}
			}
			s, err := launch(ctx, a.plan.Self, t.argv(n))
			if err != nil {
				return err
			}
			if wrong := c.outcome(s); wrong != "" {
				if problems[i] == nil {
					problems[i] = map[string]int{}
				}
				problems[i][wrong]++
				continue
			}
			samples[i] = append(samples[i], s)
		}
	}
	for i, t := range c.teams {
		if len(samples[i]) > 0 {
			r.Figures = append(r.Figures, summarise(t.who, samples[i]))
		} else {
			r.Figures = append(r.Figures, figure{Who: t.who, Text: "fails"})
		}
		for _, wrong := range slices.Sorted(maps.Keys(problems[i])) {
			text := fmt.Sprintf("%d of %d runs: %s", problems[i][wrong], c.runs, wrong)
			r.Problems = append(r.Problems, measure.Problem{Who: t.who, Text: text})
		}
	}
	if c.judge != nil {
		c.judge(&r)
	}
	a.results.Rows = append(a.results.Rows, r)
	return nil
}

func (c *contest) outcome(s *sample) string {
	switch {
	case s.Err != "":
		return s.Err
	case s.Exit != 0:
		return fmt.Sprintf("exit status %d: %s", s.Exit, measure.LastLine(s.stderr))
	case c.finished != nil:
		return c.finished(s)
	}
	return ""
}

var summaryLine = regexp.MustCompile(`(\d+) flow entries have been `)

// tells is an outcome where the program itself says how many entries it was.
func tells(n int) func(*sample) string {
	return func(s *sample) string {
		m := summaryLine.FindStringSubmatch(s.stderr)
		if m == nil {
			return fmt.Sprintf("says %q, not how many entries", measure.LastLine(s.stderr))
		}
		if got, _ := strconv.Atoi(m[1]); got != n {
			return fmt.Sprintf("%d entries instead of %d", got, n)
		}
		return ""
	}
}

// figure is what a contender needed.
type figure struct {
	Who              string
	Text             string `json:",omitempty"` // in place of Wall, for what is no time
	Runs             int
	Wall             time.Duration // median
	Fastest, Slowest time.Duration
	User, System     time.Duration // medians
	RSS              int64         // largest
}

func summarise(who string, samples []*sample) figure {
	f := figure{Who: who, Runs: len(samples)}
	var wall, user, system []time.Duration
	for _, s := range samples {
		wall, user, system = append(wall, s.Wall), append(user, s.User), append(system, s.System)
		f.RSS = max(f.RSS, s.RSS)
	}
	f.Wall, f.User, f.System = measure.Median(wall), measure.Median(user), measure.Median(system)
	f.Fastest, f.Slowest = slices.Min(wall), slices.Max(wall)
	return f
}
