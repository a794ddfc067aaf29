package agent

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/config"
	"github.com/spoor-project/spoor/internal/statesync"
)

// kernel is the daemon's side towards the kernel's table.
type kernel struct {
	client *conntrack.Client
	events *conntrack.Follower       // nil when polling, and when nobody wants to know
	expect *conntrack.ExpectFollower // nil without
	wanted atomic.Pointer[filter]    // replaced by a reload

	// Who writes what, so that events of the daemon's own doing are told from those of others.
	commit, flush, inject *conntrack.Writer
	oneFlush              sync.Mutex // guards flush

	received, filtered, failed, overruns atomic.Uint64

	inKernel bool // the event socket has a program; the loop's
}

func openKernel(cfg *config.Config) (*kernel, error) {
	k := &kernel{}
	f := newFilter(cfg.General.Filter)
	k.wanted.Store(f)
	var err error
	if k.client, err = conntrack.Dial(nil); err != nil {
		return nil, err
	}
	g := &cfg.General
	if g.NetlinkBufferSize > g.NetlinkBufferSizeMaxGrowth {
		limited := *g
		limited.NetlinkBufferSize = 0
		g = &limited
	}
	opts := &conntrack.FollowOptions{
		// The sizes of the configuration are as the kernel counts: it makes the double of what is asked for.
		Buffer: int(g.NetlinkBufferSize / 2), MaxBuffer: int(g.NetlinkBufferSizeMaxGrowth / 2),
		Gather: gatherEvents, Reliable: g.NetlinkEventsReliable, NoENOBUFS: g.NetlinkEventsReliable,
	}
	if g.PollEvery == 0 && (cfg.Sync != nil || cfg.Stats != nil) {
		if k.events, err = k.client.Subscribe(opts); err != nil {
			return nil, errors.Join(err, k.close())
		}
	}
	if s := cfg.Sync; s != nil && s.ExpectationSync {
		f.helpers, f.anyHelper = s.ExpectationHelpers, s.ExpectationHelpers == nil
		if k.expect, err = k.client.SubscribeExpects(opts); err != nil {
			return nil, errors.Join(err, k.close())
		}
	}
	for _, w := range []**conntrack.Writer{&k.commit, &k.flush, &k.inject} {
		if *w, err = k.client.NewWriter(); err != nil {
			return nil, errors.Join(err, k.close())
		}
	}
	return k, nil
}

func (k *kernel) close() error {
	var errs []error
	for _, w := range []*conntrack.Writer{k.commit, k.flush, k.inject} {
		if w != nil {
			errs = append(errs, w.Close())
		}
	}
	if k.events != nil {
		errs = append(errs, k.events.Close())
	}
	if k.expect != nil {
		errs = append(errs, k.expect.Close())
	}
	errs = append(errs, k.client.Close())
	// Streams close their sockets when they end.
	errs = slices.DeleteFunc(errs, func(err error) bool { return errors.Is(err, os.ErrClosed) })
	return errors.Join(errs...)
}

// filter says what the daemon is about.
func (k *kernel) filter() *filter { return k.wanted.Load() }

// filterEvents has the kernel check events, as far as it can and the configuration wants it. If that fails, all come, and are
// checked here, as they are in any case.
func (k *kernel) filterEvents(c *config.Filter) error {
	if k.events == nil {
		return nil
	}
	socket, err := k.events.SyscallConn()
	if err != nil {
		return err
	}
	prog := eventProgram(c)
	if err = attach(socket, prog); errors.Is(err, syscall.ENOMEM) { // net.core.optmem_max
		prog = eventProgram(withoutAddresses(c))
		err = attach(socket, prog)
	}
	if err != nil {
		prog = nil
		attach(socket, nil) // what was there before may drop what is wanted now
	}
	k.inKernel = len(prog) > 0
	return err
}

// origin tells who made the kernel do something.
func (k *kernel) origin(portID uint32) statesync.Origin {
	switch portID {
	case 0:
	case k.commit.PortID():
		return statesync.Commit
	case k.flush.PortID():
		return statesync.Flush
	case k.inject.PortID():
		return statesync.Injector
	}
	return statesync.Others
}

// gatherEvents is how late an event may be told of in busy times.
const gatherEvents = 4 * time.Millisecond

// eventsAtOnce is how many events are handed over together if so many have come.
const eventsAtOnce = 256

// follow hands over events, as many at once as there are, until ctx ends or deliver returns false. The slice
// is lent until deliver returns.
func (k *kernel) follow(ctx context.Context, deliver func([]flow.Event) bool) error {
	batch := make([]flow.Event, 0, eventsAtOnce)
	for ev, err := range k.events.Events(ctx) {
		if err != nil {
			return err
		}
		switch {
		case ev.Type == flow.Lost:
			k.failed.Add(1)
			k.overruns.Add(1)
			batch = append(batch, ev)
		default:
			k.received.Add(1)
			if k.filter().passes(&ev.Flow, ev.Type) {
				batch = append(batch, ev)
			} else {
				k.filtered.Add(1)
			}
		}
		if len(batch) > 0 && (len(batch) == cap(batch) || !k.events.Queued()) {
			if !deliver(batch) {
				return nil
			}
			batch = batch[:0]
		}
	}
	return nil
}

// followExpects is follow for expectations, of which there are few.
func (k *kernel) followExpects(ctx context.Context, deliver func(*flow.ExpectEvent) bool) error {
	for ev, err := range k.expect.Events(ctx) {
		if err != nil {
			return err
		}
		if ev.Type == flow.Lost {
			k.failed.Add(1)
			k.overruns.Add(1)
		} else if !k.filter().passesExpect(&ev.Expect) {
			continue
		}
		if !deliver(&ev) {
			return nil
		}
	}
	return nil
}

// flushFlows deletes the flows that pass the filter; others are none of the daemon's business.
func (k *kernel) flushFlows(ctx context.Context) error {
	k.oneFlush.Lock()
	defer k.oneFlush.Unlock()
	var b conntrack.Batch
	carryOut := func() error {
		if b.Len() == 0 {
			return nil
		}
		_, err := k.flush.Do(ctx, &b)
		b.Reset()
		return err
	}
	for f, err := range k.client.Flows(ctx, nil) {
		if err != nil {
			return err
		}
		if !k.filter().passes(&f, flow.Update) {
			continue
		}
		if b.Delete(&f); b.Full() {
			if err := carryOut(); err != nil {
				return err
			}
		}
	}
	return carryOut()
}

func (k *kernel) flushExpects(ctx context.Context) error {
	k.oneFlush.Lock()
	defer k.oneFlush.Unlock()
	return perform(ctx, k.flush, (*conntrack.Batch).FlushExpects)
}

// perform carries out some operations and tells what became of the last. The writer is the one by which the events of
// it are known as our own.
func perform(ctx context.Context, w *conntrack.Writer, fill func(*conntrack.Batch)) error {
	var b conntrack.Batch
	fill(&b)
	results, err := w.Do(ctx, &b)
	if err != nil {
		return err
	}
	return results[len(results)-1].Err
}
