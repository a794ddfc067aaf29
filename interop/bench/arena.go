//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/interop/measure"
)

// arena is the namespace with the table that the contests are about. All of the
// process is in it.
type arena struct {
	plan    *plan
	people  population
	client  *conntrack.Client
	results results
}

// runArena holds the contests and writes their results to stdout.
func runArena(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	a := &arena{plan: &plan{}}
	err := a.open(args)
	if err == nil {
		defer a.client.Close()
		err = a.holdAll(ctx)
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(&a.results)
	}
	if err != nil {
		if ctx.Err() == nil { // the supervisor says that it was interrupted
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		return 1
	}
	return 0
}

func (a *arena) open(args []string) (err error) {
	if len(args) != 1 {
		return fmt.Errorf("%s: wants a plan", partArena)
	}
	if err := json.Unmarshal([]byte(args[0]), a.plan); err != nil {
		return err
	}
	a.people = population{a.plan.Entries}
	a.client, err = conntrack.Dial(nil)
	return err
}

// settling is how long after a large removal the kernel may still be busy with giving
// back its memory.
const settling = 300 * time.Millisecond

// empty empties the table.
func (a *arena) empty(ctx context.Context) error {
	if err := a.client.Flush(ctx, nil); err != nil {
		return err
	}
	return measure.Pause(ctx, settling)
}

// refill empties the table and puts the first n entries there.
func (a *arena) refill(ctx context.Context, n int) error {
	if err := a.empty(ctx); err != nil {
		return err
	}
	return a.people.create(ctx, a.client, 0, n)
}

// holds is an outcome where the table has so many entries afterwards.
func (a *arena) holds(ctx context.Context, n int) func(*sample) string {
	return func(*sample) string {
		u, err := a.client.Count(ctx)
		switch {
		case err != nil:
			return err.Error()
		case int(u.Entries) != n:
			return fmt.Sprintf("the table has %d entries instead of %d", u.Entries, n)
		}
		return ""
	}
}

// holdAll goes from contest to contest in an order that fills the table as rarely as
// possible.
func (a *arena) holdAll(ctx context.Context) error {
	steps := []func(context.Context) error{
		a.lists, a.tops, a.scrapes, a.counts, a.deletions, a.scrapes, a.updates, a.loads, a.follows, a.guards,
	}
	if a.plan.Growth {
		steps = []func(context.Context) error{a.growth}
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// file is the name of a file of the benchmark.
func (a *arena) file(name string) string { return filepath.Join(a.plan.Dir, name) }
