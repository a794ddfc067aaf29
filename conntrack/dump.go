package conntrack

import (
	"cmp"
	"context"
	"iter"
	"syscall"

	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
)

// Flows streams the flows that flt selects; nil selects all. It is not a snapshot:
// flows made or removed meanwhile may or may not be there, flows that exist
// throughout are, once each unless their chain was read again. The order has no
// meaning.
//
// What the kernel can check of flt it checks itself, which makes finding few among
// many about ten times cheaper than listing all.
func (c *Client) Flows(ctx context.Context, flt *filter.Filter) iter.Seq2[flow.Flow, error] {
	return c.flows(ctx, msgGet, flt)
}

// FlowsAndZero streams like Flows and sets the counters of the flows it yields to
// zero, reading and zeroing in one atomic step. Counts that were read and not
// looked at are lost: do not leave the loop early.
func (c *Client) FlowsAndZero(ctx context.Context, flt *filter.Filter) iter.Seq2[flow.Flow, error] {
	if flt == nil || isFamilyOnly(flt) {
		return c.flows(ctx, msgGetZero, flt)
	}
	// The kernel would zero whatever passes its part of the filter, and an old
	// one that ignores the filter, everything. So the matches are zeroed
	// one by one.
	return c.eachInBatches(ctx, c.Flows(ctx, flt), func(b *Batch, f *flow.Flow) {
		b.GetAndZero(&f.Orig, f.Zone)
	}, func(f *flow.Flow, r *Result) {
		f.OrigCounters, f.ReplyCounters = r.Flow.OrigCounters, r.Flow.ReplyCounters
	})
}

func isFamilyOnly(flt *filter.Filter) bool {
	k, whole := flt.Kernel()
	return whole && k.Mark == nil && k.Status == nil && k.OrigFields == 0 && k.ReplyFields == 0
}

// Dying streams the flows that have been removed from the table but whose destroy
// event could not be delivered yet to a listener that insists on it.
func (c *Client) Dying(ctx context.Context, flt *filter.Filter) iter.Seq2[flow.Flow, error] {
	return c.flows(ctx, msgGetDying, flt)
}

// Unconfirmed streams the flows whose first packet is still on its way through
// the host. Since Linux 5.19 there are never any.
func (c *Client) Unconfirmed(ctx context.Context, flt *filter.Filter) iter.Seq2[flow.Flow, error] {
	return c.flows(ctx, msgGetUnconfirmed, flt)
}

// DeleteFlows removes the flows that flt selects and streams those it removed. A
// flow that vanishes or is replaced meanwhile is passed over. Leaving the loop
// stops the removal after the batch in hand, some of which may not have been
// yielded.
func (c *Client) DeleteFlows(ctx context.Context, flt *filter.Filter) iter.Seq2[flow.Flow, error] {
	return c.DeleteEach(ctx, c.Flows(ctx, flt))
}

// DeleteEach is DeleteFlows for flows that were found in another way. One with its ID is
// removed only if it is still the same.
func (c *Client) DeleteEach(ctx context.Context, flows iter.Seq2[flow.Flow, error]) iter.Seq2[flow.Flow, error] {
	return c.eachInBatches(ctx, flows, func(b *Batch, f *flow.Flow) { b.Delete(f) }, nil)
}

// eachInBatches does something to every flow and yields those that were still there.
// done, if not nil, looks at the result first.
func (c *Client) eachInBatches(ctx context.Context, flows iter.Seq2[flow.Flow, error], do func(*Batch, *flow.Flow), done func(*flow.Flow, *Result)) iter.Seq2[flow.Flow, error] {
	return func(yield func(flow.Flow, error) bool) {
		w, err := c.NewWriter()
		if err != nil {
			yield(flow.Flow{}, err)
			return
		}
		defer w.Close()
		var b Batch
		todo := make([]flow.Flow, 0, MaxBatch)
		carryOut := func() bool {
			results, err := w.Do(ctx, &b)
			for i := range results {
				r := &results[i]
				if isNotFound(r.Err) {
					continue
				}
				if err = r.Err; err != nil {
					break
				}
				if done != nil {
					done(&todo[i], r)
				}
				if !yield(todo[i], nil) {
					return false
				}
			}
			todo = todo[:0]
			b.Reset()
			if err != nil {
				yield(flow.Flow{}, err)
			}
			return err == nil
		}
		// A refusal that would meet every flow shall not be met 256 times, so
		// the first batch is of one.
		limit := 1
		for f, err := range flows {
			if err != nil {
				if carryOut() {
					yield(flow.Flow{}, err)
				}
				return
			}
			todo = append(todo, f)
			do(&b, &todo[len(todo)-1])
			if len(todo) >= limit {
				if !carryOut() {
					return
				}
				limit = min(2*limit, MaxBatch)
			}
		}
		carryOut()
	}
}

// flows dumps one of the kernel's lists of flows.
func (c *Client) flows(ctx context.Context, kind uint8, flt *filter.Filter) iter.Seq2[flow.Flow, error] {
	return func(yield func(flow.Flow, error) bool) {
		var k filter.Kernel
		if kind == msgGet || kind == msgGetZero {
			k, _ = flt.Kernel()
		} else if flt != nil {
			k.Family = flt.Family // these lists know no other filter
		}
		request := func(b *nfnetlink.Builder, seq uint32) {
			b.Begin(nfnetlink.Conntrack, kind, nfnetlink.Dump, seq, uint8(k.Family), 0)
			appendFilter(b, &k)
			b.End()
		}
		var d decoder
		var f flow.Flow
		var malformed error
		err := c.dump(ctx, request, func(m *nfnetlink.Message) bool {
			if malformed = d.flow(m, &f); malformed != nil {
				return false
			}
			return !flt.Match(&f) || yield(f, nil)
		})
		if err = cmp.Or(malformed, err); err != nil {
			yield(flow.Flow{}, wrap(opList, err))
		}
	}
}

// A dump reads ahead of the loop body up to chunksAhead chunks of chunkSize bytes,
// which the kernel fills on another core meanwhile. A chunk has room for eight
// datagrams, so that the two sides need not wake each other for each.
const (
	chunksAhead = 6
	chunkSize   = 8 * nfnetlink.Room
)

// dump sends a dump request on a socket of its own and calls each for every
// message of the answer, until each returns false.
func (c *Client) dump(ctx context.Context, request func(*nfnetlink.Builder, uint32), each func(*nfnetlink.Message) bool) error {
	return c.exchange(ctx, request, chunksAhead, chunkSize, each)
}

// exchange is dump with another number and size of chunks: short answers need only
// little memory.
func (c *Client) exchange(ctx context.Context, request func(*nfnetlink.Builder, uint32), chunks, size int, each func(*nfnetlink.Message) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	conn, err := c.open(nfnetlink.Options{})
	if err != nil {
		return err
	}
	const seq = 1
	var b nfnetlink.Builder
	request(&b, seq)
	stop := watch(ctx, conn)
	defer stop()
	if err := conn.Send(b.Bytes()); err != nil {
		conn.Close()
		return because(ctx, err)
	}

	read := readAhead(conn, func(buf []byte) chunk {
		n, err := conn.RecvMany(buf)
		return chunk{data: buf[:n], err: err}
	}, func() {}, chunks, size)
	defer read.stop()
	interrupted := false
	var m nfnetlink.Message // out here, since it goes to the heap
	for {
		c := <-read.full
		if c.err != nil {
			return because(ctx, c.err)
		}
		for rest := c.data; len(rest) > 0; {
			if m, rest, err = nfnetlink.Next(rest); err != nil {
				return err
			}
			if m.Seq != seq {
				continue
			}
			interrupted = interrupted || m.Flags&nfnetlink.DumpIntr != 0
			if end, err := m.End(); end {
				if err == nil && interrupted {
					err = syscall.EINTR
				}
				return err
			}
			if m.Data() && !each(&m) {
				return nil
			}
		}
		read.release(c)
	}
}
