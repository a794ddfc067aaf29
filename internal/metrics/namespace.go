package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/table"
)

// namespace is one whose figures are exported: a goroutine follows its events, another counts its flows.
type namespace struct {
	name   string // as a label; "": the one of this process
	client *conntrack.Client
	file   *os.File // keeps the path below right; nil for the one of this process
	path   string   // "": the one of this process
	opts   *Options
	log    *slog.Logger
	end    context.CancelFunc
	loops  sync.WaitGroup

	// kernel guards the statistics, also while they are read: they have to be added in the order they were read in.
	kernel  sync.Mutex
	stats   totals
	expects totals

	// mu guards what the loops tell.
	mu          sync.Mutex
	events      eventCounts
	eventsError error // why events are not being followed; nil: they are
	count       lastCount
	countError  error // of the last counting
	begun       time.Time
	toldLoss    time.Time
}

// These bound what a namespace may take.
const (
	mostEventBuffer = 64 << 20 // of the kernel's memory, while events are queued
	eventsGather    = 5 * time.Millisecond
	countPatience   = 5 * time.Minute
	firstRetry      = time.Second
	lastRetry       = 30 * time.Second
	lossSilence     = time.Minute // between two notices of lost events
)

// openNamespace opens what is at the path; "" is the namespace of this process. Its events are queued when it returns. Namespaces take
// turns at counting their flows: who sends to turn has it, until it is received.
func openNamespace(ctx context.Context, name, path string, opts *Options, turn chan struct{}) (*namespace, error) {
	n := &namespace{name: name, opts: opts, log: opts.Log, begun: time.Now()}
	if name != "" {
		n.log = n.log.With("netns", name)
	}
	if path != "" {
		var err error
		if n.file, err = os.Open(path); err != nil {
			return nil, err
		}
		n.path = "/proc/self/fd/" + strconv.Itoa(int(n.file.Fd()))
	}
	var err error
	if n.client, err = conntrack.Dial(&conntrack.Options{NetNS: n.path}); err != nil {
		n.file.Close() // also of nil, which is an error that does not matter
		return nil, err
	}
	ctx, n.end = context.WithCancel(ctx)
	if opts.Events {
		follower, err := n.subscribe()
		n.eventsError, n.events.following = err, err == nil
		if err != nil {
			n.log.Warn("events are not followed", "error", err)
		}
		n.loops.Go(func() { n.follow(ctx, follower) })
	}
	if opts.CountInterval > 0 {
		n.count.byWay = make(map[string]uint64)
		n.loops.Go(func() { n.keepCounting(ctx, turn) })
	}
	return n, nil
}

// close ends the loops and waits for them.
func (n *namespace) close() {
	n.end()
	n.loops.Wait()
	n.client.Close()
	n.file.Close()
}

func (n *namespace) subscribe() (*conntrack.Follower, error) {
	return n.client.Subscribe(&conntrack.FollowOptions{
		Types: []flow.EventType{flow.New, flow.Destroy}, Gather: eventsGather, MaxBuffer: mostEventBuffer,
	})
}

// follow counts events until ctx ends. What fails is tried again.
func (n *namespace) follow(ctx context.Context, follower *conntrack.Follower) {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		var err error
		if follower == nil {
			follower, err = n.subscribe()
		}
		if err == nil {
			since := time.Now()
			n.mu.Lock()
			n.eventsError, n.events.following = nil, true
			n.mu.Unlock()
			err = n.countEvents(ctx, follower)
			follower = nil
			if time.Since(since) > lastRetry {
				wait = firstRetry
			}
		}
		if ctx.Err() != nil {
			return
		}
		n.mu.Lock()
		told := n.eventsError != nil && n.eventsError.Error() == err.Error()
		if n.events.following {
			n.events.losses++ // until the next subscription nobody counts
		}
		n.eventsError, n.events.following = err, false
		n.mu.Unlock()
		if !told {
			n.log.Warn("events are not followed", "error", err)
		}
		pause(ctx, wait)
	}
}

var errEnded = errors.New("the stream of events ended")

func (n *namespace) countEvents(ctx context.Context, follower *conntrack.Follower) error {
	for e, err := range follower.Events(ctx) {
		if err != nil {
			return err
		}
		n.mu.Lock()
		p := e.Flow.Orig.Proto
		switch e.Type {
		case flow.New:
			n.events.begun[p]++
		case flow.Destroy:
			n.events.ended[p]++
		case flow.Lost:
			n.events.losses++
			n.events.dropped += e.Dropped
			if time.Since(n.toldLoss) > lossSilence {
				n.toldLoss = time.Now()
				n.log.Warn("events were lost", "now", e.Dropped, "since the start", n.events.dropped)
			}
		}
		n.mu.Unlock()
	}
	return errEnded
}

// keepCounting counts the flows again and again, with a pause in between, until ctx ends.
func (n *namespace) keepCounting(ctx context.Context, turn chan struct{}) {
	told := "" // the way
	for ctx.Err() == nil {
		select {
		case turn <- struct{}{}:
		case <-ctx.Done():
			return
		}
		way, text, err := n.countFlows(ctx)
		<-turn
		if ctx.Err() != nil {
			return
		}
		n.mu.Lock()
		failed := err != nil && (n.countError == nil || n.countError.Error() != err.Error())
		n.countError = err
		if err != nil {
			n.count.failures++
		}
		n.mu.Unlock()
		if failed {
			n.log.Warn("the flows were not counted", "error", err)
		} else if err == nil && way != told {
			told = way
			n.log.Info("the table is read " + text)
		}
		pause(ctx, n.opts.CountInterval)
	}
}

// countFlows reads the table and counts its flows, on all processors. It tells how it was read, in a word and in a text.
func (n *namespace) countFlows(ctx context.Context) (way, text string, err error) {
	ctx, cancel := context.WithTimeout(ctx, countPatience)
	defer cancel()
	begun := time.Now()
	t, err := table.Open(ctx, n.client, &table.Options{NetNS: n.path, Way: n.opts.Way})
	if err != nil {
		return "", "", err
	}
	defer t.Close()
	var mu sync.Mutex
	var idle []*groups // one for each worker
	err = t.Chunks(ctx, nil, func(chunk *table.Chunk) error {
		mu.Lock()
		var mine *groups
		if last := len(idle) - 1; last >= 0 {
			mine, idle = idle[last], idle[:last]
		}
		mu.Unlock()
		if mine == nil {
			mine = newGroups(n.opts.Top, mostGroups/t.Workers())
		}
		for f := range chunk.Flows() {
			mine.add(f)
		}
		mu.Lock()
		idle = append(idle, mine)
		mu.Unlock()
		return nil
	})
	if err != nil {
		return "", "", err
	}
	sum := newGroups(n.opts.Top, mostGroups)
	for _, g := range idle {
		sum.merge(g)
	}
	way = ways[0]
	if t.BySnapshot() {
		way = ways[1]
	}
	now := time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.count.counts, n.count.took, n.count.at = sum.counts(n.opts.Top), now.Sub(begun), now
	n.count.way, n.count.reason = way, t.Reason()
	n.count.byWay[way]++
	return way, t.String(), nil
}

// read asks the kernel for its counters, and takes what the loops have told. It does not read the table. It is
// nil if the namespace has been closed.
func (n *namespace) read(ctx context.Context) *reading {
	r := &reading{netns: n.name, buckets: buckets()}
	if err := n.readKernel(ctx, r); errors.Is(err, os.ErrClosed) {
		return nil
	} else if err != nil {
		r.failed = true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.opts.Events {
		e := n.events
		r.events = &e
	}
	if n.opts.CountInterval > 0 {
		c := n.count
		c.byWay = make(map[string]uint64)
		for way, times := range n.count.byWay {
			c.byWay[way] = times
		}
		r.count = &c
	}
	return r
}

func (n *namespace) readKernel(ctx context.Context, r *reading) error {
	n.kernel.Lock()
	defer n.kernel.Unlock()
	var err error
	if r.usage, err = n.client.Count(ctx); err != nil {
		return err
	}
	stats, err := n.client.Stats(ctx)
	if err != nil {
		return err
	}
	expects, err := n.client.ExpectStats(ctx)
	if err != nil {
		return err
	}
	n.stats.update(stats)
	n.expects.update(expects)
	r.stats, r.expects = n.stats.clone(), n.expects.clone()
	return nil
}

// problems tells what is wrong.
func (n *namespace) problems(ctx context.Context) (all []string) {
	if _, err := n.client.Count(ctx); err != nil {
		all = append(all, err.Error())
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.opts.Events && n.eventsError != nil {
		all = append(all, "events are not followed: "+n.eventsError.Error())
	}
	if n.opts.CountInterval > 0 {
		last := n.count.at
		if last.IsZero() {
			last = n.begun
		}
		if n.countError != nil {
			all = append(all, "the flows were not counted: "+n.countError.Error())
		} else if silent := time.Since(last); silent > countPatience+2*n.opts.CountInterval {
			all = append(all, fmt.Sprintf("the flows were last counted %v ago", silent.Round(time.Second)))
		}
	}
	return all
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
