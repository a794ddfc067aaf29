//go:build linux

// Syncbench measures our conntrackd side by side with the original: what the replication of flows costs, how
// many it carries, how late they come, what they need in memory, and how long a commit takes.
//
//	go run ./interop/syncbench -runs 3 -o docs/performance.md
//
// It needs root, conntrackd, nft and ip. All work is done in network namespaces that end with it; of the machine itself
// only the size of the connection tracking table is changed, if it is too small, and put back at the end.
//
// One binary plays three parts, each a process of its own, told by its first argument: the supervisor, which is what
// the user starts; the arena, which makes two nodes and a source of packets and holds the contests; and the traffic,
// which is in the source and sends the packets.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spoor-project/spoor/interop/measure"
)

// Parts that the binary plays.
const (
	partArena   = "arena"
	partTraffic = "traffic"
)

// A child asks to be killed when the thread that started it ends, so every child is started by the one thread
// that lasts as long as the process.
func init() { runtime.LockOSThread() }

func main() {
	part := ""
	if len(os.Args) > 1 {
		part = os.Args[1]
	}
	switch part {
	case partTraffic:
		os.Exit(runTraffic(os.Args[2:]))
	case partArena:
		os.Exit(runArena(os.Args[2:]))
	}
	os.Exit(supervise(os.Args[1:]))
}

// settings are what the user chose.
type settings struct {
	Runs  int
	Flows int
	Only  []string

	out   string
	check bool
}

var contestNames = []string{"cpu", "tcp", "delay", "rate", "fill"}

func parseSettings(args []string) (*settings, error) {
	s := &settings{}
	only := ""
	flags := flag.NewFlagSet("syncbench", flag.ContinueOnError)
	flags.IntVar(&s.Runs, "runs", 3, "how `often` each pair runs")
	flags.IntVar(&s.Flows, "flows", usualFlows, "`number` of flows that fill the cache; fewer make everything shorter in proportion")
	flags.StringVar(&only, "only", "", "hold only these contests: a `list` of "+strings.Join(contestNames, ", "))
	flags.StringVar(&s.out, "o", "", "`file` whose measured section is replaced; none prints it")
	flags.BoolVar(&s.check, "check", false, "exit with 1 if a target is missed")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if only != "" {
		s.Only = strings.Split(only, ",")
	}
	for _, name := range s.Only {
		if !slices.Contains(contestNames, name) {
			return nil, fmt.Errorf("-only: no contest %q", name)
		}
	}
	switch {
	case flags.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case s.Runs < 1 || s.Runs > 100:
		return nil, errors.New("-runs must be between 1 and 100")
	case s.Flows < usualFlows/100 || s.Flows > 4*usualFlows:
		return nil, fmt.Errorf("-flows must be between %d and %d", usualFlows/100, 4*usualFlows)
	}
	return s, nil
}

// command is the command line that repeats the measurement.
func (s *settings) command() string {
	words := []string{"go run ./interop/syncbench", "-runs", strconv.Itoa(s.Runs)}
	if s.Flows != usualFlows {
		words = append(words, "-flows", strconv.Itoa(s.Flows))
	}
	if len(s.Only) > 0 {
		words = append(words, "-only", strings.Join(s.Only, ","))
	}
	if s.out != "" {
		words = append(words, "-o", s.out)
	}
	return strings.Join(words, " ")
}

// scaled is a number of flows, fewer if the user wants it shorter.
func (s *settings) scaled(flows int) int {
	return max(1, flows*min(s.Flows, usualFlows)/usualFlows)
}

// plan is what the arena is told.
type plan struct {
	settings
	Dir    string // for files; removed in the end
	Self   string // this binary
	Ours   string
	Theirs string
}

func (p *plan) program(who string) string {
	if who == theirs {
		return p.Theirs
	}
	return p.Ours
}

// supervise prepares the machine, has the contests held, and reports.
func supervise(args []string) int {
	var s *settings
	return measure.Run("syncbench", func() (check bool, err error) {
		if s, err = parseSettings(args); err != nil {
			return false, err
		}
		return s.check, nil
	}, func(ctx context.Context, dir string) (missed []string, err error) {
		res, err := measureAll(ctx, s, dir)
		if err != nil {
			return nil, err
		}
		return res.missed(), measured.Publish(s.out, render(res))
	})
}

// measureAll leaves nothing behind but its results.
func measureAll(ctx context.Context, s *settings, dir string) (res *results, err error) {
	p := &plan{settings: *s, Dir: dir, Ours: filepath.Join(dir, "conntrackd")}
	if p.Self, err = os.Executable(); err != nil {
		return nil, err
	}
	if p.Theirs, err = exec.LookPath("conntrackd"); err != nil {
		return nil, fmt.Errorf("find the original to compare with: %w", err)
	}
	progress("building")
	root, err := measure.ModuleRoot(ctx)
	if err != nil {
		return nil, err
	}
	if err := measure.BuildShipped(ctx, root, p.Ours, "./cmd/conntrackd"); err != nil {
		return nil, err
	}
	measure.WarnIfBusy(progress)
	restore, err := measure.EnlargeTable(max(s.Flows, highestRate*int(climbTime/time.Second)))
	defer func() { err = errors.Join(err, restore()) }()
	if err != nil {
		return nil, err
	}
	res = &results{}
	if err := measure.PlayApart(ctx, p.Self, partArena, p, res); err != nil {
		return nil, err
	}
	res.Command, res.Machine = s.command(), measure.DescribeMachine(ctx, p.Theirs, "-v")
	// It tells of its licence too.
	if v := regexp.MustCompile(`v[0-9][0-9.]*[0-9]`).FindString(res.Machine.Original); v != "" {
		res.Machine.Original = "conntrackd " + v
	}
	return res, nil
}

// progress tells the user, who waits for minutes, what is going on.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "syncbench: "+format+"\n", args...)
}
