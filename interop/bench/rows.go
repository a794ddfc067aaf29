//go:build linux

package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spoor-project/spoor/interop/measure"
)

// countRuns is how often -C runs for each program: it takes a millisecond or two, of
// which the scheduler may add half.
const countRuns = 200

// program is a team of one of the two programs, with the same arguments for both.
func (a *arena) program(who string, args ...string) team {
	path := a.plan.Ours
	if who == theirs {
		path = a.plan.Theirs
	}
	return team{who, always(append([]string{path}, args...)...)}
}

// with is a team of our program with changes to its environment.
func (a *arena) with(who, environment string, args ...string) team {
	argv := append([]string{"/usr/bin/env"}, strings.Fields(environment)...)
	return team{who, always(append(append(argv, a.plan.Ours), args...)...)}
}

// alone is a team of our program on one processor.
func (a *arena) alone(args ...string) team { return a.with(oneProcessor, "GOMAXPROCS=1", args...) }

func (a *arena) floor(request string) team {
	return team{floor, always(a.plan.Self, partFloor, request)}
}

// lists reads a full table.
func (a *arena) lists(ctx context.Context) error {
	progress("filling the table")
	all := a.plan.Entries
	if err := a.refill(ctx, all); err != nil {
		return err
	}
	list := func(what string, args ...string) *contest {
		return &contest{what: what, entries: measure.Grouped(all), runs: a.plan.Runs, finished: tells(all),
			teams: []team{a.program(ours, args...), a.program(theirs, args...), a.floor(floorDump)}}
	}
	plain := list("-L", "-L")
	plain.teams = append(plain.teams, a.alone("-L"),
		a.with("ours, one processor, netlink", "GOMAXPROCS=1 SPOOR_SNAPSHOT=off", "-L"))
	plain.judge = func(r *row) {
		r.promiseRatio(0.2, floor)
		r.promiseRatio(0.12, theirs)
		r.promiseRSS(64e6)
		r.promiseScaling(1.7)
	}
	netlink := list("-L, netlink", "-L")
	netlink.teams[0] = a.with(ours, "SPOOR_SNAPSHOT=off", "-L")
	netlink.judge = func(r *row) {
		r.promiseRatio(1.15, floor)
		r.promiseRatio(0.75, theirs)
		r.promiseRSS(32e6)
	}
	few := func(c *contest) *contest {
		c.entries = "1 of " + measure.Grouped(all)
		c.teams = c.teams[:2]
		c.finished = tells(1)
		return c
	}
	lone := few(list("-L -s A", "-L", "-s", loneSource.String()))
	lone.judge = ratioTo(0.1, theirs)
	loneNetlink := few(list("-L -s A, netlink", "-L", "-s", loneSource.String()))
	loneNetlink.teams[0] = a.with(ours, "SPOOR_SNAPSHOT=off", "-L", "-s", loneSource.String())
	loneNetlink.judge = ratioTo(0.3, theirs)
	// Whatever we print, against what they need for plain text.
	as := func(format string) *contest {
		c := list("-L -o "+format+" (theirs: -L)", "-L", "-o", format)
		c.teams[1] = a.program(theirs, "-L")
		c.judge = ratioTo(0.2, theirs)
		return c
	}
	save, xml, json := as("save"), as("xml"), as("json")
	procfs := list("cat /proc/net/nf_conntrack")
	procfs.group, procfs.finished = withoutTargets, nil
	procfs.teams = []team{{"procfs", always("/bin/cat", "/proc/net/nf_conntrack")}, a.floor(floorDump)}

	front := &contest{what: "spoor list", entries: measure.Grouped(all), runs: a.plan.Runs,
		teams: []team{{ours, always(a.plan.Front, "list")}, {conntrackList, always(a.plan.Ours, "-L")}},
		judge: ratioTo(1, conntrackList)}
	largest := &contest{what: "spoor count --by src --top 20", entries: measure.Grouped(all), runs: a.plan.Runs,
		teams: []team{{ours, always(a.plan.Front, "count", "--by", "src", "--top", "20")}},
		finished: func(s *sample) string {
			if !strings.Contains(s.stderr, measure.Grouped(all)+" flows in ") {
				return "it says: " + s.stderr
			}
			return ""
		},
		judge: func(r *row) { r.promiseTime(500 * time.Millisecond) }}

	contests := []*contest{plain, netlink, lone, loneNetlink, save, xml, json, procfs, front, largest}
	if a.plan.Libraries != "" {
		libraries := list("dump through a Go library")
		libraries.group = ofLibraries
		libraries.teams = []team{a.floor(floorDump)}
		for _, name := range []string{"spoor/conntrack", "vishvananda/netlink"} {
			libraries.teams = append(libraries.teams, team{name, always(a.plan.Libraries, name)})
		}
		contests = append(contests, libraries)
	}
	return a.holdEach(ctx, contests...)
}

// growthSizes are the tables that show how time grows with their size, as far as they are not
// much larger than the one that the user has chosen.
func growthSizes(entries int) (sizes []int) {
	for _, n := range []int{1_000, 10_000, 100_000, 1_000_000, 4_000_000} {
		if n <= 4*entries {
			sizes = append(sizes, n)
		}
	}
	return sizes
}

// growth lists a table of one of those sizes.
func (a *arena) growth(ctx context.Context) error {
	n := a.plan.Entries
	if err := a.refill(ctx, n); err != nil {
		return err
	}
	return a.hold(ctx, &contest{
		group: ofGrowth, what: "-L", entries: measure.Grouped(n), runs: a.plan.Runs, finished: tells(n),
		teams: []team{a.program(ours, "-L"), a.alone("-L"), a.program(theirs, "-L"), a.floor(floorDump)},
	})
}

func (a *arena) holdEach(ctx context.Context, contests ...*contest) error {
	for _, c := range contests {
		if err := a.hold(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// counts asks for the number of entries: a process's start and end, mostly.
func (a *arena) counts(ctx context.Context) error {
	return a.hold(ctx, &contest{
		what: "-C", entries: measure.Grouped(a.plan.Entries), runs: countRuns,
		teams: []team{a.program(ours, "-C"), a.program(theirs, "-C"), a.floor(floorCount)},
		judge: ratioTo(3, theirs),
	})
}

// deletions removes the entries of one network, among others and alone.
func (a *arena) deletions(ctx context.Context) error {
	all, few := a.plan.Entries, victims(a.plan.Entries)
	among := &contest{
		what: "-D -s NET", entries: measure.Grouped(few) + " of " + measure.Grouped(all), runs: a.plan.Runs,
		teams: []team{a.program(ours, "-D", "-s", victimNet.String()), a.program(theirs, "-D", "-s", victimNet.String())},
		// The victims follow the lone entry; the table is full at first.
		prepare:  func() error { return a.top(ctx, 1, 1+few, all) },
		finished: both(tells(few), a.holds(ctx, all-few)),
		judge:    ratioTo(0.4, theirs),
	}
	if err := a.hold(ctx, among); err != nil {
		return err
	}
	if err := a.empty(ctx); err != nil {
		return err
	}
	alone := *among
	alone.entries = measure.Grouped(few) + " of " + measure.Grouped(few)
	alone.prepare = func() error { return a.top(ctx, 1, 1+few, few) }
	alone.finished = both(tells(few), a.holds(ctx, 0))
	return a.hold(ctx, &alone)
}

// top puts the entries from number first up to end back, unless the table has its full
// number already. A run that failed half-way leaves some, so those are removed first.
func (a *arena) top(ctx context.Context, first, end, full int) error {
	u, err := a.client.Count(ctx)
	if err != nil {
		return err
	}
	switch int(u.Entries) {
	case full:
		return nil
	case full - (end - first):
	default:
		if err := a.empty(ctx); err != nil {
			return err
		}
		if full > end-first {
			return a.people.create(ctx, a.client, 0, full)
		}
	}
	if err := a.people.create(ctx, a.client, first, end); err != nil {
		return err
	}
	return measure.Pause(ctx, settling)
}

// updates sets a mark that the entries do not have yet. The family is told because
// without it (or an address) version 1.4.7 of the original sends none and is refused.
func (a *arena) updates(ctx context.Context) error {
	n := a.plan.Entries / 10
	if err := a.refill(ctx, n); err != nil {
		return err
	}
	mark := 0
	next := func(path string) func(int) []string {
		return func(int) []string {
			mark++
			return []string{path, "-U", "-f", "ipv4", "-m", strconv.Itoa(mark)}
		}
	}
	return a.hold(ctx, &contest{
		group: withoutTargets, what: "-U -f ipv4 -m N", entries: measure.Grouped(n), runs: a.plan.Runs,
		teams:    []team{{ours, next(a.plan.Ours)}, {theirs, next(a.plan.Theirs)}},
		finished: tells(n),
	})
}

// loads reads a file of entries into an empty table.
func (a *arena) loads(ctx context.Context) error {
	all := a.plan.Entries
	file := a.file("entries")
	if err := a.people.writeFile(file); err != nil {
		return err
	}
	// Memory that the kernel has never used for entries is slow the first time.
	if err := a.refill(ctx, all); err != nil {
		return err
	}
	return a.hold(ctx, &contest{
		what: "-R FILE", entries: measure.Grouped(all), runs: a.plan.Runs,
		teams:    []team{a.program(ours, "-R", file), a.program(theirs, "-R", file)},
		prepare:  func() error { return a.empty(ctx) },
		finished: a.holds(ctx, all),
		judge:    ratioTo(0.3, theirs),
	})
}

// both is an outcome with two conditions.
func both(one, other func(*sample) string) func(*sample) string {
	return func(s *sample) string {
		var wrong []string
		for _, check := range []func(*sample) string{one, other} {
			if text := check(s); text != "" {
				wrong = append(wrong, text)
			}
		}
		return strings.Join(wrong, "; ")
	}
}
