//go:build linux

// Bench measures our conntrack program side by side with the original and with the
// kernel's floor: a dump of which nothing is read but the framing.
//
//	go run ./interop/bench -entries 1000000 -runs 5 -o docs/performance.md
//
// It needs root. All work is done in a network namespace that ends with it; of the
// machine itself only the size of the connection tracking table is changed, if it is
// too small, and put back at the end.
//
// One binary plays four parts, each a process of its own, told by its first argument:
// the supervisor, which is what the user starts; the arena, which runs the contests
// inside the namespace; the launcher, which starts and measures one program; and the
// floor, one of the programs measured.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/spoor-project/spoor/interop/measure"
)

// Parts that the binary plays.
const (
	partArena  = "arena"
	partLaunch = "launch"
	partFloor  = "floor"
)

// A child asks to be killed when the thread that started it ends, so every child is
// started by the one thread that lasts as long as the process.
func init() { runtime.LockOSThread() }

func main() {
	part := ""
	if len(os.Args) > 1 {
		part = os.Args[1]
	}
	switch part {
	case partFloor:
		os.Exit(runFloor(os.Args[2:]))
	case partLaunch:
		os.Exit(runLauncher(os.Args[2:]))
	case partArena:
		os.Exit(runArena(os.Args[2:]))
	}
	os.Exit(supervise(os.Args[1:]))
}

// settings are what the user chose.
type settings struct {
	Entries int
	Runs    int
	Only    []string // parts; nil: all

	out   string
	check bool
}

func parseSettings(args []string) (*settings, error) {
	s := &settings{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&s.Entries, "entries", 1_000_000, "`number` of entries in the table")
	flags.IntVar(&s.Runs, "runs", 5, "how `often` each program runs")
	only := flags.String("only", "", "only these `parts`, with commas between: "+strings.Join(parts(), " "))
	flags.StringVar(&s.out, "o", "", "`file` whose measured section is replaced; none prints it")
	flags.BoolVar(&s.check, "check", false, "exit with 1 if a target is missed")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if *only != "" {
		s.Only = strings.Split(*only, ",")
	}
	for _, name := range s.Only {
		if !slices.Contains(parts(), name) {
			return nil, fmt.Errorf("-only %s: the parts are %s", name, strings.Join(parts(), " "))
		}
	}
	switch {
	case flags.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case s.Entries < minEntries || s.Entries > maxEntries:
		return nil, fmt.Errorf("-entries must be between %d and %d", minEntries, maxEntries)
	case s.Runs < 1 || s.Runs > 100:
		return nil, errors.New("-runs must be between 1 and 100")
	}
	return s, nil
}

// Parts that are no steps.
const (
	partPerEntry = "entry"  // Go benchmarks of what is done with each entry
	partGrowth   = "growth" // how time grows with the table
)

// parts are the names that -only knows.
func parts() []string {
	names := []string{partPerEntry, partGrowth}
	for _, s := range steps {
		if !slices.Contains(names, s.name) {
			names = append(names, s.name)
		}
	}
	return names
}

// wants reports whether a part was asked for.
func (s *settings) wants(part string) bool { return s.Only == nil || slices.Contains(s.Only, part) }

// command is the command line that repeats the measurement.
func (s *settings) command() string {
	words := []string{"go run ./interop/bench", "-entries", strconv.Itoa(s.Entries), "-runs", strconv.Itoa(s.Runs)}
	if s.Only != nil {
		words = append(words, "-only", strings.Join(s.Only, ","))
	}
	if s.out != "" {
		words = append(words, "-o", s.out)
	}
	return strings.Join(words, " ")
}

// supervise prepares the machine, has the contests run, and reports.
func supervise(args []string) int {
	var s *settings
	return measure.Run("bench", func() (check bool, err error) {
		if s, err = parseSettings(args); err != nil {
			return false, err
		}
		return s.check, nil
	}, func(ctx context.Context, dir string) (missed []string, err error) {
		res, err := measureAll(ctx, s, dir)
		if err != nil {
			return nil, err
		}
		return res.missed(), measured.Publish(s.out, section(res))
	})
}

// measureAll leaves nothing behind but its results.
func measureAll(ctx context.Context, s *settings, dir string) (res *results, err error) {
	plan := &plan{settings: *s, Dir: dir}
	progress("building")
	notes, err := plan.build(ctx)
	if err != nil {
		return nil, err
	}
	var perEntry []row
	for i := range goBenchmarks {
		if !s.wants(partPerEntry) {
			break
		}
		g := &goBenchmarks[i]
		progress("go test -bench %s %s", g.pattern, g.pkg)
		rows, err := g.run(ctx, plan.root, s.Runs)
		if err != nil {
			return nil, err
		}
		perEntry = append(perEntry, rows...)
	}
	measure.WarnIfBusy(progress)

	var grown []row
	if s.wants(partGrowth) {
		if grown, err = measureGrowth(ctx, plan); err != nil {
			return nil, err
		}
	}
	res, err = enterArena(ctx, plan)
	if err != nil {
		return nil, err
	}
	res.Rows = append(append(res.Rows, perEntry...), grown...)
	res.Notes = append(res.Notes, notes...)
	res.Command, res.Machine = s.command(), measure.DescribeMachine(ctx, plan.Theirs, "--version")
	return res, nil
}

// measureGrowth lists tables of several sizes.
func measureGrowth(ctx context.Context, whole *plan) (rows []row, err error) {
	for _, n := range growthSizes(whole.Entries) {
		p := *whole
		p.Growth, p.Entries = true, n
		res, err := enterArena(ctx, &p)
		if err != nil {
			return nil, err
		}
		rows = append(rows, res.Rows...)
	}
	return rows, nil
}

// enterArena runs the contests in a process that begins in a new network namespace,
// so that all its threads are there.
func enterArena(ctx context.Context, p *plan) (res *results, err error) {
	restore, err := measure.EnlargeTable(p.Entries)
	defer func() { err = errors.Join(err, restore()) }()
	if err != nil {
		return nil, err
	}
	res = &results{}
	if err := measure.PlayApart(ctx, p.Self, partArena, p, res); err != nil {
		return nil, err
	}
	return res, nil
}

// progress tells the user, who waits for minutes, what is going on.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}
