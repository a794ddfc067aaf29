//go:build linux

package main

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/interop/measure"
)

// Contenders.
const (
	ours   = "ours"
	theirs = "theirs"
)

var (
	pure  = []pair{{ours, ours}, {theirs, theirs}}
	mixed = []pair{{ours, theirs}, {theirs, ours}}
)

// What is measured with. It is in proportion when -flows is smaller than usual.
const (
	cpuRate    = 50_000
	cpuTime    = 6 * time.Second
	tcpRate    = 5_000
	tcpTime    = 6 * time.Second
	delayRate  = 20_000
	delayTime  = 5 * time.Second
	climbTime  = 5 * time.Second
	fillRate   = 25_000 // slow enough for everybody
	usualFlows = 500_000

	// caughtUp is how long after the last packet all must be in the peer's cache for a rate to hold: what is only
	// queued has not been kept up with.
	caughtUp = time.Second
	// offered is which part of a rate must really come for it to have been tried.
	offered = 0.95
)

// contest is one thing to measure, and the pairs that take turns.
type contest struct {
	name    string // for -only
	title   string
	columns []column
	demands []demand
	pairs   []pair
	// hold is one run of a pair. A run without values is not counted; wrong is what must be known about
	// it in any case.
	hold func(ctx context.Context, p pair) (values []float64, wrong string, err error)
}

// contests are all of them. Those that fill the most memory come last.
func (a *arena) contests() []*contest {
	return []*contest{
		a.cpu("cpu", udpFlow, cpuRate, cpuTime, []demand{
			{What: "CPU per new UDP flow, both daemons", Flows: perSecond(cpuRate), Column: 0, Bound: atMostTimes, Limit: 0.4},
			{What: "messages per datagram", Flows: perSecond(cpuRate), Column: 3, Bound: atLeast, Limit: 8},
		}),
		a.cpu("tcp", tcpFlow, tcpRate, tcpTime, []demand{
			{What: "CPU per TCP flow, opened, used and closed, both daemons", Flows: perSecond(tcpRate), Column: 0},
		}),
		a.delay(),
		a.highest(),
		a.fill(),
	}
}

func perSecond(rate int) string { return measure.Grouped(rate) + "/s" }

// cpu sends flows at a rate that is not too much for most.
func (a *arena) cpu(name string, k kind, rate int, lasting time.Duration, demands []demand) *contest {
	flows := a.plan.scaled(rate * int(lasting/time.Second))
	return &contest{
		name:  name,
		title: fmt.Sprintf("%s %s flows, %s", measure.Grouped(flows), k, perSecond(rate)),
		columns: []column{{"CPU per flow", micros}, {"sender", micros}, {"receiver", micros}, {"messages per datagram", ratio},
			{"messages per flow", ratio}, {"bytes per flow", byteCount}, {"user time", micros},
			{"system time", micros}, {"tracked", flowRate}, {"in the peer's cache", percent}},
		demands: demands,
		pairs:   slices.Concat(pure, mixed),
		hold: func(ctx context.Context, p pair) ([]float64, string, error) {
			c, t, err := a.try(ctx, p, &order{Kind: k, Flows: flows, Rate: rate})
			if err != nil {
				return nil, "", err
			}
			if wrong := c.stop(); wrong != "" {
				return nil, wrong, nil
			}
			n := float64(t.cached)
			if n == 0 {
				return nil, t.loss(), nil
			}
			sent, received := t.sender.work(), t.receiver.work()
			sender, receiver := sent.sum().Seconds()/n, received.sum().Seconds()/n
			datagrams := float64(t.sender.datagrams())
			return []float64{sender + receiver, sender, receiver, float64(t.messages()) / datagrams, float64(t.messages()) / n,
				float64(t.sender.after.sentBytes-t.sender.before.sentBytes) / n,
				(sent.user + received.user).Seconds() / n, (sent.system + received.system).Seconds() / n, t.rate(), n / float64(t.tracked)}, t.loss(), nil
		},
	}
}

// highest looks for the highest rate at which nothing is lost.
func (a *arena) highest() *contest {
	rungs := rates()
	start := map[pair]int{} // where the last run has ended
	return &contest{
		name:  "rate",
		title: fmt.Sprintf("The highest rate of new UDP flows, for %v, with nothing lost", climbTime),
		columns: []column{{"highest rate", flowRate}, {"CPU per flow", micros}, {"messages per datagram", ratio},
			{"peer's cache complete after", millis}},
		demands: []demand{{What: "highest rate with nothing lost", Flows: "UDP", Column: 0, Bound: atLeastTimes, Limit: 2}},
		pairs:   pure,
		hold: func(ctx context.Context, p pair) (values []float64, wrong string, err error) {
			from, stride := start[p], 1
			if _, known := start[p]; !known {
				from, stride = len(rungs)/2, 4
			}
			above := map[int]string{} // why rungs do not hold
			end, err := climb(len(rungs), from, stride, func(rung int) (bool, error) {
				reached, wrong, err := a.tryRate(ctx, p, rungs[rung])
				above[rung] = wrong
				if reached != nil && (values == nil || reached[0] > values[0]) {
					values = reached
				}
				return wrong == "", err
			})
			start[p] = end
			if values == nil || strings.HasPrefix(above[end+1], slower) {
				wrong = above[end+1]
			}
			return values, wrong, err
		},
	}
}

// slower begins the text about flows that did not come at the rate that they should have come at.
const slower = "the flows came no faster: "

// tryRate tries one rate. The values are nil if something was lost; wrong is why the rate does not hold.
func (a *arena) tryRate(ctx context.Context, p pair, rate int) (values []float64, wrong string, err error) {
	c, t, err := a.try(ctx, p, &order{Kind: udpFlow, Flows: a.plan.scaled(rate * int(climbTime/time.Second)), Rate: rate})
	if err != nil {
		// Who does not answer any more has not kept up.
		return nil, err.Error(), ctx.Err()
	}
	wrong = c.stop()
	if wrong == "" {
		wrong = t.loss()
	}
	if wrong == "" && t.settled > caughtUp {
		wrong = fmt.Sprintf("complete only after %s", measure.TimeText(t.settled))
	}
	if wrong == "" {
		n := float64(t.cached)
		values = []float64{t.rate(), (t.sender.work().sum() + t.receiver.work().sum()).Seconds() / n,
			float64(t.messages()) / float64(t.sender.datagrams()), t.settled.Seconds()}
		if t.rate() < offered*float64(rate) {
			wrong = fmt.Sprintf("%s%s of %s", slower, perSecond(int(t.rate())), perSecond(rate))
		}
	}
	progress("  %s, %s wanted, %s tracked: %s", p, perSecond(rate), perSecond(int(t.rate())), orFine(wrong))
	return values, wrong, nil
}

func orFine(wrong string) string {
	if wrong == "" {
		return "nothing lost"
	}
	return wrong
}

// delay watches the peer's cache grow.
func (a *arena) delay() *contest {
	flows := a.plan.scaled(delayRate * int(delayTime/time.Second))
	return &contest{
		name:    "delay",
		title:   fmt.Sprintf("From the packet to the peer's cache, %s UDP flows, %s", measure.Grouped(flows), perSecond(delayRate)),
		columns: []column{{"median", millis}, {"90 %", millis}, {"99 %", millis}, {"longest", millis}, {"looks per second", ratio}},
		demands: []demand{
			{What: "delay from the packet to the peer's cache, median", Flows: perSecond(delayRate), Column: 0},
			{What: "delay from the packet to the peer's cache, 99 %", Flows: perSecond(delayRate), Column: 2, Bound: atMost, Limit: 0.020},
		},
		pairs: slices.Concat(pure, mixed),
		hold: func(ctx context.Context, p pair) ([]float64, string, error) {
			c, t, err := a.try(ctx, p, &order{Kind: udpFlow, Flows: flows, Rate: delayRate, Trace: true})
			if err != nil {
				return nil, "", err
			}
			if wrong := c.stop(); wrong != "" {
				return nil, wrong, nil
			}
			if wrong := t.loss(); wrong != "" { // who is the n-th then?
				return nil, wrong, nil
			}
			q := quantiles(delays(t.sent.Trace, t.known), 0.5, 0.9, 0.99, 1)
			return []float64{q[0].Seconds(), q[1].Seconds(), q[2].Seconds(), q[3].Seconds(), float64(len(t.known)) / t.sent.Took.Seconds()}, "", nil
		},
	}
}

// fill fills the peer's cache, and has it commit when the sender has died.
func (a *arena) fill() *contest {
	flows := a.plan.Flows
	return &contest{
		name:  "fill",
		title: fmt.Sprintf("%s UDP flows in the peer's cache, and their commit", measure.Grouped(flows)),
		columns: []column{{"memory per flow", byteCount}, {"sender's", byteCount}, {"resident before", megabytes}, {"resident after", megabytes},
			{"commit", seconds}, {"its user time", seconds}, {"system time", seconds}, {"the kernel alone", seconds}},
		demands: []demand{
			{What: "memory per flow in the peer's cache", Flows: measure.Grouped(flows), Column: 0, Bound: atMostTimes, Limit: 0.4},
			{What: "commit", Flows: measure.Grouped(flows), Column: 4, Bound: atMostTimes, Limit: 0.35},
		},
		pairs: pure,
		hold: func(ctx context.Context, p pair) ([]float64, string, error) {
			c, t, err := a.try(ctx, p, &order{Kind: udpFlow, Flows: flows, Rate: fillRate})
			if err != nil {
				return nil, "", err
			}
			defer c.stop()
			if wrong := t.loss(); wrong != "" {
				return nil, wrong, nil
			}
			c.sender.kill()
			took, done, wrong, err := a.commit(ctx, c.receiver, t)
			if err != nil || wrong != "" {
				return nil, wrong, err
			}
			c.stop()
			alone, err := a.kernelAlone(ctx)
			if err != nil {
				return nil, "", err
			}
			n := float64(t.cached)
			return []float64{float64(t.receiver.grown()) / n, float64(t.sender.grown()) / n, float64(t.receiver.before.rss),
				float64(t.receiver.after.rss), took.Seconds(), done.user.Seconds(), done.system.Seconds(), alone.Seconds()}, "", nil
		},
	}
}

// commitLimit ends a commit that hangs.
const commitLimit = 2 * time.Minute

// commit has a daemon commit what it was told, and counts what the kernel then has.
func (a *arena) commit(ctx context.Context, d *daemon, t *trial) (took time.Duration, done work, wrong string, err error) {
	// What the first node's table had gives the second's its memory.
	if err := a.empty(ctx); err != nil {
		return 0, done, "", err
	}
	within, cancel := context.WithTimeout(ctx, commitLimit)
	defer cancel()
	cmd := exec.CommandContext(within, a.plan.program(d.who), "-C", d.config(), "-c")
	begun := now()
	out, err := cmd.CombinedOutput()
	took = now() - begun
	switch {
	case ctx.Err() != nil:
		return 0, done, "", ctx.Err()
	case err != nil:
		return 0, done, fmt.Sprintf("-c: %v: %s", err, measure.LastLine(string(out))), nil
	}
	n, err := a.net.entries(a.net.second)
	if err != nil {
		return 0, done, "", err
	}
	if n != t.cached {
		return 0, done, fmt.Sprintf("the kernel has %s entries after the commit instead of %s", measure.Grouped(n), measure.Grouped(t.cached)), nil
	}
	s, err := d.status()
	if err != nil {
		return 0, done, "", err
	}
	return took, s.work.since(t.receiver.after.work), "", nil
}

// kernelAlone is how long the kernel takes to put the flows of the second node into its table, of which it is told as little as possible, in messages that
// have been made before.
func (a *arena) kernelAlone(ctx context.Context) (time.Duration, error) {
	table := a.tables[1]
	var batches []*conntrack.Batch
	for f, err := range table.Flows(ctx, nil) {
		if err != nil {
			return 0, err
		}
		if n := len(batches); n == 0 || batches[n-1].Full() {
			batches = append(batches, new(conntrack.Batch))
		}
		batches[len(batches)-1].Create(&conntrack.Entry{Orig: f.Orig, Reply: f.Reply, Change: conntrack.Change{Timeout: &f.Timeout, Status: &f.Status}})
	}
	if err := a.empty(ctx); err != nil {
		return 0, err
	}
	w, err := table.NewWriter()
	if err != nil {
		return 0, err
	}
	defer w.Close()
	begun := now()
	for _, b := range batches {
		results, err := w.Do(ctx, b)
		if err != nil {
			return 0, err
		}
		for i := range results {
			if results[i].Err != nil {
				return 0, results[i].Err
			}
		}
	}
	return now() - begun, nil
}
