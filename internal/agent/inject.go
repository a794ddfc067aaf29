package agent

import (
	"context"
	"errors"
	"sync"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/libc"
	"github.com/spoor-project/spoor/internal/statesync"
	"github.com/spoor-project/spoor/internal/statesync/wire"
)

// inject carries out operations as peers tell of flows: there is no external cache.
func (d *Daemon) inject(ctx context.Context) error {
	in := &injector{daemon: d, seen: make(map[flow.Key]bool)}
	for {
		select {
		case ops := <-d.operations:
			for i := range ops {
				if err := in.add(ctx, &ops[i]); err != nil {
					return err
				}
			}
			if err := in.finish(ctx); err != nil { // before ops is gone
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// injectCounts are the injector's. It does not ask the loop for anything: the loop may be waiting for it.
type injectCounts struct {
	mu             sync.Mutex
	flows, expects InjectStatus
}

func (c *injectCounts) add(flows, expects *InjectStatus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flows.add(flows)
	c.expects.add(expects)
}

func (c *injectCounts) get() (flows, expects InjectStatus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flows, c.expects
}

// injector carries out operations in batches, each with at most one about a flow, so that what is tried again does not
// come behind what was told later.
type injector struct {
	daemon *Daemon
	batch  conntrack.Batch
	ops    []*statesync.Operation
	seen   map[flow.Key]bool
	counts InjectStatus // since the last batch
}

func (in *injector) add(ctx context.Context, op *statesync.Operation) error {
	if op.Type.IsExpect() {
		// Its master may be in the batch.
		if err := in.finish(ctx); err != nil {
			return err
		}
		return in.daemon.injectExpect(ctx, op)
	}
	key := op.Flow.Key()
	if in.batch.Full() || in.seen[key] {
		if err := in.finish(ctx); err != nil {
			return err
		}
	}
	in.seen[key] = true
	in.ops = append(in.ops, op)
	switch op.Type {
	case wire.CTNew:
		in.create(&op.Flow)
	case wire.CTUpdate:
		in.update(&op.Flow)
	default:
		in.remove(&op.Flow)
	}
	return nil
}

func (in *injector) create(f *flow.Flow) {
	e := in.daemon.entries().entry(f, lifeLeft(f, 0))
	in.batch.Create(e)
}

// update changes what of an existing flow can be changed.
func (in *injector) update(f *flow.Flow) {
	e := in.daemon.entries().entry(f, lifeLeft(f, 0))
	e.SrcNAT, e.DstNAT, e.Master, e.Helper = nil, nil, nil, nil
	*e.Status = f.Status&^(flow.SrcNAT|flow.DstNAT) | flow.Confirmed
	in.batch.Update(e)
}

func (in *injector) remove(f *flow.Flow) {
	in.batch.Delete(&flow.Flow{Orig: f.Orig, Zone: f.Zone})
}

// finish carries out the batch, and tries in another way what has failed.
func (in *injector) finish(ctx context.Context) error {
	if in.batch.Len() == 0 {
		return nil
	}
	results, err := in.daemon.kernel.inject.Do(ctx, &in.batch)
	if err != nil {
		return err
	}
	errs := make([]error, len(results))
	for i := range results {
		errs[i] = results[i].Err
	}
	in.batch.Reset()
	for i, op := range in.ops {
		if err := in.conclude(ctx, op, errs[i]); err != nil {
			return err
		}
	}
	in.ops = in.ops[:0]
	clear(in.seen)
	counts := in.counts
	in.counts = InjectStatus{}
	in.daemon.injected.add(&counts, &InjectStatus{})
	return nil
}

// conclude deals with the outcome of an operation. The error is of the socket.
func (in *injector) conclude(ctx context.Context, op *statesync.Operation, failed error) (err error) {
	f := &op.Flow
	text := ""
	again := func(what string, fill ...func(*flow.Flow)) {
		text = what
		for _, fill := range fill {
			fill(f)
		}
		var results []conntrack.Result
		if results, err = in.daemon.kernel.inject.Do(ctx, &in.batch); err == nil {
			failed = results[len(results)-1].Err
		}
		in.batch.Reset()
	}
	ok, not := &in.counts.Created, &in.counts.CreateFailed
	switch {
	case op.Type == wire.CTDelete && errors.Is(failed, conntrack.ErrNotFound):
		return nil
	case op.Type == wire.CTDelete:
		ok, not = &in.counts.Destroyed, &in.counts.DestroyFailed
		text = "could not destroy ct entry"
	case op.Type == wire.CTNew && errors.Is(failed, conntrack.ErrExists):
		again("could not add new ct entry, even when deleting it first", in.remove, in.create)
	case op.Type == wire.CTNew:
		text = "could not add new ct entry"
	default:
		ok, not = &in.counts.Updated, &in.counts.UpdateFailed
		if errors.Is(failed, conntrack.ErrNotFound) {
			again("could not update ct entry, even if creating it instead", in.create)
		} else if failed != nil {
			again("could not update ct entry, even when deleting it first", in.remove, in.create)
		}
	}
	if err != nil {
		return err
	}
	if failed == nil {
		*ok++
		return nil
	}
	*not++
	in.daemon.log.Printf(statesync.Warning, "%s: %s", text, libc.ErrorText(failed))
	in.daemon.logFlow(f)
	return nil
}

// injectExpect carries out an operation about an expectation. The error is of the socket.
func (d *Daemon) injectExpect(ctx context.Context, op *statesync.Operation) error {
	x, w := &op.Expect, d.kernel.inject
	var counts InjectStatus
	var failed error
	ok, not, text := &counts.Created, &counts.CreateFailed, "could not add new exp entry"
	if op.Type == wire.ExpectDelete {
		ok, not, text = &counts.Destroyed, &counts.DestroyFailed, "could not delete exp entry"
		failed = perform(ctx, w, func(b *conntrack.Batch) { b.DeleteExpect(x.Tuple, x.Zone) })
	} else {
		x.Timeout = d.entries().expectTimeout(x, 0)
		x.Has |= flow.ExpectHasTimeout
		var again bool
		if again, failed = makeExpect(ctx, w, x); again {
			text += ", even when deleting it first"
		}
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case failed == nil:
		*ok++
	case op.Type == wire.ExpectDelete && errors.Is(failed, conntrack.ErrNotFound):
	default:
		*not++
		d.log.Printf(statesync.Warning, "%s: %s", text, libc.ErrorText(failed))
		d.logExpect(x)
	}
	d.injected.add(&InjectStatus{}, &counts)
	return nil
}
