//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spoor-project/spoor/interop/measure"
)

// followRow is the runs with one command line.
type followRow struct {
	What string
	Runs []followRun
}

// followRun is a program that printed events while entries were made as fast as the
// library can.
type followRun struct {
	Who     string
	Created int
	Printed int
	Told    int    // lost, as the program says; unknown if it does not
	Warned  bool   // of losses, with or without a number
	Dropped int    // lost, as the kernel says; unknown if the program had gone
	Alive   bool   // until it was told to end
	Exit    int    // status
	Said    string // its last words
	RSS     int64  // 0 if it had gone

	Creation time.Duration // with the program as a listener
	Drain    time.Duration // from the last creation to the last event printed
}

const unknown = -1

// Limits of waiting.
const (
	listenLimit = 10 * time.Second
	quietLimit  = 2 * time.Minute
	endLimit    = 30 * time.Second
	quiet       = 500 * time.Millisecond // without an event: there are no more
)

// followArgs are command lines that print what is made: with the queue of the kernel as
// the program wants it, and with one so small that it must overflow.
var followArgs = [][]string{
	{"-E", "-e", "NEW", "-o", "timestamp"},
	{"-E", "-e", "NEW", "-o", "timestamp", "-b", "20000"},
}

// follows has each program print a burst of events.
func (a *arena) follows(ctx context.Context) error {
	for _, args := range followArgs {
		if err := a.followEach(ctx, args); err != nil {
			return err
		}
	}
	return nil
}

func (a *arena) followEach(ctx context.Context, args []string) error {
	created := victims(a.plan.Entries)
	all := followRow{What: strings.Join(args, " ")}
	progress("%s (%s)", all.What, measure.Grouped(created))
	for range a.plan.Runs {
		for _, who := range []string{ours, theirs} {
			if err := a.empty(ctx); err != nil {
				return err
			}
			run := followRun{Who: who, Created: created}
			if err := a.follow(ctx, a.program(who, args...).argv(0), &run); err != nil {
				return fmt.Errorf("%s, %s: %w", all.What, who, err)
			}
			all.Runs = append(all.Runs, run)
		}
	}
	r := row{What: all.What, Entries: measure.Grouped(created) + " events"}
	kept := 0
	for _, who := range []string{ours, theirs} {
		complete, text := all.outcome(who)
		r.Figures = append(r.Figures, figure{Who: who, Text: text})
		if who == ours {
			kept = complete
		}
	}
	r.promise("printed + lost = all, and alive", fmt.Sprintf("%d of %d runs", kept, a.plan.Runs), kept == a.plan.Runs)
	a.results.Rows = append(a.results.Rows, r)
	a.results.Follows = append(a.results.Follows, all)
	return nil
}

// complete: every event was printed or reported lost, by a program that stayed.
func (run *followRun) complete() bool {
	return run.Alive && run.Exit == 0 && run.Printed+max(run.Told, 0) == run.Created
}

// outcome sums up the runs of a program: how many were complete, and a text.
func (f *followRow) outcome(who string) (complete int, text string) {
	var printed []int
	alive := 0
	for _, run := range f.Runs {
		if run.Who != who {
			continue
		}
		printed = append(printed, run.Printed)
		if run.Alive {
			alive++
		}
		if run.complete() {
			complete++
		}
	}
	text = measure.Grouped(slices.Min(printed))
	if most := slices.Max(printed); most > slices.Min(printed) {
		text += " to " + measure.Grouped(most)
	}
	return complete, fmt.Sprintf("%s printed, alive in %d of %d", text, alive, len(printed))
}

// follow is one run. The program writes into a file: reading a pipe would take time
// from one of the processors.
func (a *arena) follow(ctx context.Context, argv []string, run *followRun) (err error) {
	out, err := os.Create(a.file("events"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close(), os.Remove(out.Name())) }()
	var stderr bytes.Buffer
	p, err := stand(ctx, out, &stderr, argv...)
	if err != nil {
		return err
	}
	defer func() {
		p.cmd.Process.Kill()
		<-p.done
	}()

	if err := measure.Await(ctx, listenLimit, p.done, func() bool { return listener() != nil }); err != nil {
		return fmt.Errorf("wait for its subscription: %w", err)
	}
	start := time.Now()
	if err := a.people.create(ctx, a.client, 1, 1+run.Created); err != nil {
		return err
	}
	last := time.Now()
	run.Creation = last.Sub(start)
	if last, err = awaitQuiet(ctx, out, last, p.done); err != nil {
		return fmt.Errorf("wait for the last event: %w", err)
	}
	run.Drain = last.Sub(start) - run.Creation

	run.Told, run.Dropped = unknown, unknown
	if l := listener(); l != nil {
		run.Dropped = l.dropped
	}
	select {
	case <-p.done:
	default:
		run.Alive = true
		run.RSS = highWater(p.cmd.Process.Pid)
		p.cmd.Process.Signal(syscall.SIGINT)
	}
	never := func() bool { return false }
	if err := measure.Await(ctx, endLimit, p.done, never); !errors.Is(err, measure.ErrEnded) {
		return fmt.Errorf("wait for its end: %w", err)
	}
	run.Exit = exitStatus(p.cmd.ProcessState.Sys().(syscall.WaitStatus))
	run.Said = measure.LastLine(stderr.String())
	run.Warned = strings.Contains(stderr.String(), "losing events")
	if n, ok := toldLost(stderr.String()); ok {
		run.Told = n
	}
	run.Printed, err = countLines(out)
	return err
}

// awaitQuiet waits until the program has nothing more to print, or has ended, and
// returns when it printed last.
func awaitQuiet(ctx context.Context, out *os.File, last time.Time, ended <-chan struct{}) (time.Time, error) {
	size := int64(unknown)
	err := measure.Await(ctx, quietLimit, ended, func() bool {
		info, err := out.Stat()
		now := time.Now()
		if err == nil && info.Size() != size {
			size = info.Size()
			last = now
		}
		l := listener()
		return now.Sub(last) >= quiet && (l == nil || l.queued == 0)
	})
	if errors.Is(err, measure.ErrEnded) {
		err = nil
	}
	return last, err
}

// subscription is a netlink socket that hears of new entries.
type subscription struct {
	queued, dropped int
}

// listener finds the one in this namespace, nil if there is none.
func listener() *subscription {
	text, err := os.ReadFile("/proc/self/net/netlink")
	if err != nil {
		return nil
	}
	const groupNew = 1 // NFNLGRP_CONNTRACK_NEW, as a mask
	for line := range strings.Lines(string(text)) {
		// sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode
		f := strings.Fields(line)
		if len(f) < 10 || f[1] != strconv.Itoa(netlinkNetfilter) {
			continue
		}
		if groups, err := strconv.ParseUint(f[3], 16, 32); err != nil || groups&groupNew == 0 {
			continue
		}
		s := &subscription{}
		s.queued, _ = strconv.Atoi(f[4])
		s.dropped, _ = strconv.Atoi(f[8])
		return s
	}
	return nil
}

// highWater is the most memory that a process has had, in bytes.
func highWater(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}

var lostLine = regexp.MustCompile(`(\d+) events have been lost`)

// toldLost adds up what a program says about losses.
func toldLost(stderr string) (n int, told bool) {
	for _, m := range lostLine.FindAllStringSubmatch(stderr, -1) {
		k, _ := strconv.Atoi(m[1])
		n, told = n+k, true
	}
	return n, told
}

func countLines(f *os.File) (int, error) {
	buf := make([]byte, 256<<10)
	lines, offset := 0, int64(0)
	for {
		n, err := f.ReadAt(buf, offset)
		lines += bytes.Count(buf[:n], []byte("\n"))
		offset += int64(n)
		if err == io.EOF {
			return lines, nil
		}
		if err != nil {
			return 0, err
		}
	}
}
