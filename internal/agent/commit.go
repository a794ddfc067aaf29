package agent

import (
	"context"
	"errors"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/libc"
	"github.com/spoor-project/spoor/internal/mirror"
	"github.com/spoor-project/spoor/internal/render"
	"github.com/spoor-project/spoor/internal/statesync"
)

// atOnce is how many flows of a cache are shown in one go, so that nothing else waits for long.
const atOnce = 1024

// committed is what came of a commit.
type committed struct{ made, failed int }

// commit puts what the peers told of into the kernel's table: first the flows that stand for themselves, then
// those that belong to another, then expectations. It returns when all is done.
func (d *Daemon) commit(ctx context.Context, flows, expects bool) {
	busy := false
	var flush <-chan struct{}
	if !d.call(ctx, func() {
		if busy = d.committing; busy {
			d.log.Printf(statesync.Notice, "commit already in progress, skipping")
		}
		d.committing = true
		d.purgeAt = 0
		if d.flushing {
			flush = d.flushed
		}
	}) || busy {
		return
	}
	defer d.call(ctx, func() { d.committing = false })
	if flush != nil {
		// A purge that has just begun would take away what is committed now.
		select {
		case <-flush:
		case <-ctx.Done():
			return
		}
	}
	pass := func(what string, do func(context.Context) (committed, error)) {
		begun := time.Now()
		c, err := do(ctx)
		took := time.Since(begun)
		d.call(ctx, func() {
			d.lastCommit = took
			if err != nil {
				d.log.Printf(statesync.Error, "commit: %v", err)
			}
			d.log.Printf(statesync.Notice, "Committed %d new %s", c.made, what)
			if c.failed > 0 {
				d.log.Printf(statesync.Notice, "%d %s can't be committed", c.failed, what)
			}
			d.log.Printf(statesync.Notice, "commit has taken %d.%06d seconds", took/time.Second, took%time.Second/time.Microsecond)
		})
	}
	if flows {
		pass("entries", d.commitFlows)
	}
	if expects {
		pass("expectations", d.commitExpects)
	}
}

// manyFlows are so many that it is worth while to make them without the kernel telling of each.
const manyFlows = 20_000

// commitFlows builds requests while the kernel is busy with those before. Where there are many, the kernel does not tell of new flows meanwhile, which is
// half of its work: what is made is taken into the internal cache as it is made, and what others have begun is read from the table afterwards.
func (d *Daemon) commitFlows(ctx context.Context) (c committed, err error) {
	quiet := false
	d.call(ctx, func() {
		s := d.cfg.Load().Sync
		quiet = d.kernel.events != nil && !s.DisableInternalCache && d.engine.Stats().External.Objects >= manyFlows
	})
	if quiet {
		for done := false; !done && d.call(ctx, func() { done = d.engine.MakeRoom() }); {
		}
		if err := d.kernel.events.Want(flow.New, false); err != nil {
			return c, err
		}
		defer func() {
			if wants := d.kernel.events.Want(flow.New, true); wants != nil {
				err = errors.Join(err, wants)
			}
			d.call(ctx, func() {
				if !d.reading {
					d.compareLater(ctx, tellUnknown)
				} else {
					d.rereadAt = d.now()
				}
			})
		}()
	}
	return d.commitAll(ctx, quiet)
}

// commitAll makes the flows of the external cache. take says that the internal cache does not learn of them by events.
func (d *Daemon) commitAll(ctx context.Context, take bool) (c committed, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	built, shipped := make(chan *shipment, 4), make(chan *shipment, 4)
	empty := make(chan *shipment, cap(built)+cap(shipped)+3)
	for range cap(empty) {
		empty <- new(shipment)
	}
	go func() {
		defer close(built)
		d.buildCommit(ctx, built, empty)
	}()
	// What waits for the kernel does not wait for the loop.
	taken := make(chan struct{})
	go func() {
		defer close(taken)
		for s := range shipped {
			if take {
				d.call(ctx, func() { d.engine.Made(d.now(), &s.flows, s.made()) })
			}
			empty <- s
		}
	}()
	defer func() {
		close(shipped)
		<-taken
	}()
	for s := range built {
		if err := d.ship(ctx, s, &c); err != nil {
			return c, err
		}
		shipped <- s
	}
	return c, ctx.Err()
}

// shipment is flows of the external cache, and a batch of requests to make some of them.
type shipment struct {
	flows  mirror.Parcel
	silent []int // for how many seconds nobody has told of each
	wanted []told
	batch  conntrack.Batch
	taken  []int // space for made
}

// told is a flow that is to be made.
type told struct {
	number         int // in the parcel
	passes, failed bool
}

// made are the flows that the kernel has made and that the internal cache shall have.
func (s *shipment) made() []int {
	s.taken = s.taken[:0]
	for i := range s.wanted {
		if t := &s.wanted[i]; t.passes && !t.failed {
			s.taken = append(s.taken, t.number)
		}
	}
	return s.taken
}

// buildCommit fills shipments with the external cache: in a first pass flows that stand for themselves, and
// then, when those are made, those that belong to another, if there are any.
func (d *Daemon) buildCommit(ctx context.Context, built chan<- *shipment, empty <-chan *shipment) {
	others := 0
	var f flow.Flow
	for _, wanted := range []bool{false, true} {
		if wanted && others == 0 {
			return
		}
		for at := mirror.Ref(0); ; {
			var s *shipment
			select {
			case s = <-empty:
			case <-ctx.Done():
				return
			}
			s.flows.Reset()
			if !d.call(ctx, func() { at, s.silent = d.engine.Parcel(d.now(), at, conntrack.MaxBatch, &s.flows, s.silent[:0]) }) {
				return
			}
			s.wanted = s.wanted[:0]
			s.batch.Reset()
			b, policy := d.entries(), d.kernel.filter()
			for i := range s.flows.Len() {
				s.flows.Load(i, &f)
				if related(&f) != wanted {
					others++
					continue
				}
				s.wanted = append(s.wanted, told{number: i, passes: policy.passes(&f, flow.New)})
				s.batch.Create(b.ofAge(&f, s.silent[i]))
			}
			select {
			case built <- s:
			case <-ctx.Done():
				return
			}
			if at == 0 {
				break
			}
		}
	}
}

// ship carries out a shipment. What exists is deleted and made anew.
func (d *Daemon) ship(ctx context.Context, s *shipment, c *committed) error {
	if len(s.wanted) == 0 {
		return nil
	}
	w := d.kernel.commit
	results, err := w.Do(ctx, &s.batch)
	if err != nil {
		return err
	}
	var exist []*told
	var f flow.Flow
	count := func(t *told, err error) {
		if err != nil {
			c.failed++
			t.failed = true
			s.flows.Load(t.number, &f)
			d.logRefused(&f, "commit-create", err)
			return
		}
		c.made++
	}
	for i := range results {
		if t := &s.wanted[i]; errors.Is(results[i].Err, conntrack.ErrExists) {
			exist = append(exist, t)
		} else {
			count(t, results[i].Err)
		}
	}
	b := d.entries()
	for len(exist) > 0 {
		part := exist[:min(len(exist), conntrack.MaxBatch/2)]
		exist = exist[len(part):]
		s.batch.Reset()
		for _, t := range part {
			s.flows.Load(t.number, &f)
			s.batch.Delete(&flow.Flow{Orig: f.Orig, Zone: f.Zone})
			s.batch.Create(b.ofAge(&f, s.silent[t.number]))
		}
		if results, err = w.Do(ctx, &s.batch); err != nil {
			return err
		}
		for i, t := range part {
			count(t, results[2*i+1].Err)
		}
	}
	return nil
}

func (d *Daemon) logRefused(f *flow.Flow, what string, err error) {
	d.log.Printf(statesync.Error, "%s: %s", what, libc.ErrorText(err))
	d.logFlow(f)
}

// logFlow writes a flow that the kernel has refused into the log, as the peer has told of it.
func (d *Daemon) logFlow(f *flow.Flow) {
	told := *f
	told.Has &^= flow.HasReply
	told.Reply = flow.Tuple{}
	d.log.Entry(string(render.NewPrinter(render.Flows, nil).AppendFlow(nil, &told, time.Now())))
}

func (d *Daemon) commitExpects(ctx context.Context) (c committed, err error) {
	type oneTold struct {
		x      flow.Expect
		silent int
	}
	var all []oneTold
	d.call(ctx, func() {
		d.engine.ExternalExpects(d.now(), func(c *statesync.CachedExpect) { all = append(all, oneTold{*c.Expect, c.Silent}) })
	})
	for i := range all {
		x := &all[i].x
		x.Timeout = d.entries().expectTimeout(x, all[i].silent)
		x.Has |= flow.ExpectHasTimeout
		if _, err := makeExpect(ctx, d.kernel.commit, x); err != nil {
			c.failed++
			d.log.Printf(statesync.Error, "commit-create: %s", libc.ErrorText(err))
			d.logExpect(x)
			continue
		}
		c.made++
	}
	return c, ctx.Err()
}

// logExpect writes an expectation that the kernel has refused into the log.
func (d *Daemon) logExpect(x *flow.Expect) {
	d.log.Entry(string(render.NewPrinter(render.Expects, nil).AppendExpect(nil, x, time.Now())))
}

// makeExpect makes an expectation. If there is one already it is deleted first, which again tells of.
func makeExpect(ctx context.Context, w *conntrack.Writer, x *flow.Expect) (again bool, err error) {
	err = perform(ctx, w, func(b *conntrack.Batch) { b.CreateExpect(x) })
	if again = errors.Is(err, conntrack.ErrExists); again {
		err = perform(ctx, w, func(b *conntrack.Batch) { b.DeleteExpect(x.Tuple, x.Zone); b.CreateExpect(x) })
	}
	return again, err
}

// expectTimeout is ofAge's timeout for expectations.
func (b *entries) expectTimeout(x *flow.Expect, silent int) time.Duration {
	if b.commitTimeout > 0 {
		return b.commitTimeout
	}
	left := x.Timeout - time.Duration(silent)*time.Second
	if !x.Has.Has(flow.ExpectHasTimeout) || left <= 0 {
		return 60 * time.Second
	}
	return left
}
