package conntrack

import (
	"context"
	"errors"

	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
)

// Flush removes the flows that flt selects; nil removes all of the namespace.
//
// Removing all, or all that the kernel itself can select, is one request, during
// which the kernel serves no other conntrack request of any namespace: about a
// second for a million flows. A kernel that does not understand a filter would
// remove everything, so a filter is handed to it only if it is known to
// understand it; otherwise flows are listed, matched and removed in batches.
func (c *Client) Flush(ctx context.Context, flt *filter.Filter) error {
	k, whole := flt.Kernel()
	if whole && kernelFlushes(&k, kernelVersion()) {
		err := c.flush(ctx, &k)
		// Up to Linux 6.11 a filter on tuples is refused, or taken for one
		// entry's tuple, which it is too short for; nothing is removed.
		byTuple := k.OrigFields != 0 || k.ReplyFields != 0
		if !byTuple || !errors.Is(err, ErrNotSupported) {
			return err
		}
	}
	for _, err := range c.DeleteFlows(ctx, flt) {
		if err != nil {
			return err
		}
	}
	return nil
}

// kernelFlushes reports whether a kernel of version v understands every condition
// of k in a flush.
func kernelFlushes(k *filter.Kernel, v version) bool {
	switch {
	case k.OrigFields != 0 || k.ReplyFields != 0:
		return v.atLeast(6, 12)
	case k.Zone != nil:
		return v.atLeast(6, 8)
	case k.Status != nil:
		return v.atLeast(5, 15)
	case k.Family != flow.AnyFamily:
		return v.atLeast(5, 3)
	}
	return true
}

func (c *Client) flush(ctx context.Context, k *filter.Kernel) error {
	// Version 1 asks the kernel to honour the family; with 0 it would
	// empty both (Linux 5.3).
	var version uint8
	if *k != (filter.Kernel{}) {
		version = 1
	}
	err := c.roundTrip(ctx, func(b *nfnetlink.Builder, seq uint32) {
		b.Begin(nfnetlink.Conntrack, msgDelete, nfnetlink.Ack, seq, uint8(k.Family), version)
		appendFilter(b, k)
		b.End()
	}, nil)
	return wrap(opFlush, err)
}

// roundTrip carries out a request on a socket of its own and calls answer, if not
// nil, for each message that comes back before the end.
func (c *Client) roundTrip(ctx context.Context, request func(*nfnetlink.Builder, uint32), answer func(*nfnetlink.Message)) error {
	return c.exchange(ctx, request, 1, nfnetlink.Room, func(m *nfnetlink.Message) bool {
		if answer != nil {
			answer(m)
		}
		return true
	})
}
