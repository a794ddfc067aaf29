//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/interop/measure"
)

// arena is where the contests are held. The process is in the first node's namespace.
type arena struct {
	plan    *plan
	net     *network
	tables  []*conntrack.Client // of both nodes
	results results
}

// runArena holds the contests and writes their results to stdout.
func runArena(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	a := &arena{plan: &plan{}}
	err := a.open(ctx, args)
	if err == nil {
		err = a.holdAll(ctx)
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(&a.results)
	}
	if err != nil {
		if ctx.Err() == nil { // the supervisor says that it was interrupted
			fmt.Fprintln(os.Stderr, "syncbench:", err)
		}
		return 1
	}
	return 0
}

func (a *arena) open(ctx context.Context, args []string) (err error) {
	if len(args) != 1 {
		return fmt.Errorf("%s: wants a plan", partArena)
	}
	if err := json.Unmarshal([]byte(args[0]), a.plan); err != nil {
		return err
	}
	if a.net, err = newNetwork(ctx); err != nil {
		return err
	}
	return a.openTables()
}

func (a *arena) holdAll(ctx context.Context) error {
	if err := a.alone(ctx); err != nil {
		return err
	}
	for _, c := range a.contests() {
		if len(a.plan.Only) > 0 && !slices.Contains(a.plan.Only, c.name) {
			continue
		}
		if err := a.holdContest(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// alone sends flows as fast as it can while nobody listens. The kernel also finds its memory for entries then, which
// is slow the first time.
func (a *arena) alone(ctx context.Context) error {
	progress("packets without daemons")
	if err := a.empty(ctx); err != nil {
		return err
	}
	s, err := a.send(ctx, &order{Kind: udpFlow, Flows: a.plan.scaled(highestRate * int(climbTime/time.Second)), Rate: 4 * highestRate})
	if err != nil {
		return err
	}
	n, err := a.net.entries(a.net.first)
	if err != nil {
		return err
	}
	a.results.Alone = float64(n) / s.Took.Seconds()
	if n == 0 {
		return fmt.Errorf("none of %d packets made the kernel track a flow", s.Packets)
	}
	progress("  %s sent, %s tracked, %s", measure.Grouped(s.Flows), measure.Grouped(n), perSecond(int(a.results.Alone)))
	return nil
}

// holdContest has the pairs take turns: what disturbs the machine for a while disturbs all of them.
func (a *arena) holdContest(ctx context.Context, c *contest) error {
	progress("%s", c.title)
	r := row{Name: c.name, Title: c.title, Columns: c.columns, Demands: c.demands}
	runs := make([][][]float64, len(c.pairs))
	for n := range a.plan.Runs {
		for i, p := range c.pairs {
			values, wrong, err := c.hold(ctx, p)
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil: // a daemon that ended, or does not answer
				values, wrong = nil, err.Error()
			case values != nil && len(values) != len(c.columns):
				panic(c.name + ": values and columns differ")
			}
			if wrong != "" {
				text := fmt.Sprintf("run %d of %d: %s", n+1, a.plan.Runs, wrong)
				if values == nil {
					text += "; not counted"
				}
				r.Problems = append(r.Problems, measure.Problem{Who: p.String(), Text: text})
				progress("  %s: %s", p, text)
			}
			if values != nil {
				runs[i] = append(runs[i], values)
				progress("  %s: %s", p, valuesText(c.columns, values))
			}
		}
	}
	for i, p := range c.pairs {
		r.Figures = append(r.Figures, summarise(p, runs[i]))
	}
	a.results.Rows = append(a.results.Rows, r)
	return nil
}

func valuesText(columns []column, values []float64) (text string) {
	for i, c := range columns {
		if i > 0 {
			text += ", "
		}
		text += c.Name + " " + c.Unit.text(values[i])
	}
	return text
}
