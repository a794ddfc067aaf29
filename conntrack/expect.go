package conntrack

import (
	"context"
	"iter"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
)

// Expects streams the expectations of a family, or of both (AnyFamily).
func (c *Client) Expects(ctx context.Context, family flow.Family) iter.Seq2[flow.Expect, error] {
	return func(yield func(flow.Expect, error) bool) {
		var d decoder
		var e flow.Expect
		var malformed error
		stopped := false
		err := c.dump(ctx, func(b *nfnetlink.Builder, seq uint32) {
			b.Begin(nfnetlink.ConntrackExpect, msgExpectGet, nfnetlink.Dump, seq, uint8(family), 0)
			b.End()
		}, func(m *nfnetlink.Message) bool {
			if malformed = d.expect(m, &e); malformed != nil {
				return false
			}
			stopped = !yield(e, nil)
			return !stopped
		})
		if malformed != nil {
			err = malformed
		}
		if err != nil && !stopped {
			yield(flow.Expect{}, wrap(opListExpects, err))
		}
	}
}

// GetExpect returns the expectation of tuple t in the given zone (0 is none). Only
// what its mask covers is compared. It is [ErrNotFound] if there is none.
func (c *Client) GetExpect(ctx context.Context, t flow.Tuple, zone uint16) (flow.Expect, error) {
	var d decoder
	var e flow.Expect
	var malformed error
	err := c.roundTrip(ctx, func(b *nfnetlink.Builder, seq uint32) {
		beginExpect(b, msgExpectGet, nfnetlink.Ack, seq, &t, zone)
		b.End()
	}, func(m *nfnetlink.Message) { malformed = d.expect(m, &e) })
	if err == nil {
		err = malformed
	}
	return e, wrap(opGetExpect, err)
}

// CreateExpect makes an expectation. Tuple, Mask and Master are needed; Timeout,
// Helper, Func, Flags, Class, Zone and NAT are sent if e.Has them. The master must
// exist (else [ErrNotFound]) and have a helper (else [ErrNotSupported]), whose policy
// sets the timeout.
func (c *Client) CreateExpect(ctx context.Context, e *flow.Expect) error {
	err := c.roundTrip(ctx, func(b *nfnetlink.Builder, seq uint32) {
		beginExpect(b, msgExpectNew, nfnetlink.Create|nfnetlink.Excl|nfnetlink.Ack, seq, &e.Tuple, e.Zone)
		appendExpect(b, e)
		b.End()
	}, nil)
	return wrap(opCreateExpect, err)
}

func beginExpect(b *nfnetlink.Builder, kind uint8, flags uint16, seq uint32, t *flow.Tuple, zone uint16) {
	b.Begin(nfnetlink.ConntrackExpect, kind, flags, seq, uint8(t.Family()), 0)
	appendTuple(b, ctaExpectTuple, t)
	if zone != 0 {
		b.Uint16(ctaExpectZone, zone)
	}
}

// appendExpect appends all of e but its tuple and zone.
func appendExpect(b *nfnetlink.Builder, e *flow.Expect) {
	appendTuple(b, ctaExpectMask, &e.Mask)
	appendTuple(b, ctaExpectMaster, &e.Master)
	if e.Has.Has(flow.ExpectHasTimeout) {
		b.Uint32(ctaExpectTimeout, seconds(e.Timeout))
	}
	if e.Has.Has(flow.ExpectHasHelper) {
		b.Text(ctaExpectHelpName, e.Helper)
	}
	if e.Has.Has(flow.ExpectHasFunc) {
		b.Text(ctaExpectFN, e.Func)
	}
	if e.Has.Has(flow.ExpectHasFlags) {
		b.Uint32(ctaExpectFlags, uint32(e.Flags))
	}
	if e.Has.Has(flow.ExpectHasClass) {
		b.Uint32(ctaExpectClass, e.Class)
	}
	if e.Has.Has(flow.ExpectHasNAT) {
		at := b.Nest(ctaExpectNAT)
		var dir uint32
		if e.NATReply {
			dir = 1
		}
		b.Uint32(ctaExpectNATDir, dir)
		appendTuple(b, ctaExpectNATTuple, &e.NAT)
		b.Close(at)
	}
}

// DeleteExpect removes the expectation of tuple t in the given zone (0 is none). It
// is [ErrNotFound] if there is none.
func (c *Client) DeleteExpect(ctx context.Context, t flow.Tuple, zone uint16) error {
	err := c.roundTrip(ctx, func(b *nfnetlink.Builder, seq uint32) {
		beginExpect(b, msgExpectDelete, nfnetlink.Ack, seq, &t, zone)
		b.End()
	}, nil)
	return wrap(opDeleteExpect, err)
}

// FlushExpects removes all expectations of the namespace.
func (c *Client) FlushExpects(ctx context.Context) error {
	err := c.roundTrip(ctx, func(b *nfnetlink.Builder, seq uint32) {
		b.Begin(nfnetlink.ConntrackExpect, msgExpectDelete, nfnetlink.Ack, seq, 0, 0)
		b.End()
	}, nil)
	return wrap(opFlushExpects, err)
}

// ExpectFollower is a subscription to changes of the expectation table, see
// [Follower].
type ExpectFollower struct{ s *Follower }

// SubscribeExpects begins to queue changes of the expectation table; of the
// options Filter is not used.
func (c *Client) SubscribeExpects(opts *FollowOptions) (*ExpectFollower, error) {
	if opts == nil {
		opts = &FollowOptions{}
	}
	s, err := c.subscribe(opFollowExpect, opts, groupsOf(opts.Types, nfnetlink.GroupExpectNew))
	if err != nil {
		return nil, err
	}
	return &ExpectFollower{s}, nil
}

// Close ends the subscription.
func (x *ExpectFollower) Close() error { return x.s.Close() }

// Queued is like [Follower.Queued].
func (x *ExpectFollower) Queued() bool { return x.s.queued }

// Events streams the changes since SubscribeExpects. It may be called once, and
// closes the follower in the end.
func (x *ExpectFollower) Events(ctx context.Context) iter.Seq2[flow.ExpectEvent, error] {
	return func(yield func(flow.ExpectEvent, error) bool) {
		var d decoder
		stopped := false
		err := x.s.messages(ctx, func(m *nfnetlink.Message, lost uint64) (bool, error) {
			e := flow.ExpectEvent{Type: flow.Lost, Dropped: lost}
			if m != nil {
				ok, err := d.expectEvent(m, &e)
				if err != nil || !ok {
					return true, err
				}
			}
			stopped = !yield(e, nil)
			return !stopped, nil
		})
		if err != nil && !stopped {
			yield(flow.ExpectEvent{}, wrap(opFollowExpect, err))
		}
	}
}

// FollowExpects streams the changes of the expectation table until ctx ends, like
// [Client.Follow].
func (c *Client) FollowExpects(ctx context.Context, opts *FollowOptions) iter.Seq2[flow.ExpectEvent, error] {
	return func(yield func(flow.ExpectEvent, error) bool) {
		x, err := c.SubscribeExpects(opts)
		if err != nil {
			yield(flow.ExpectEvent{}, err)
			return
		}
		x.Events(ctx)(yield)
	}
}

// expectEvent decodes a message of an expectation multicast group. ok is false for
// one that is no such event.
func (d *decoder) expectEvent(m *nfnetlink.Message, e *flow.ExpectEvent) (ok bool, err error) {
	if m.Subsystem() != nfnetlink.ConntrackExpect {
		return false, nil
	}
	t, ok := eventType(m, msgExpectNew, msgExpectDelete)
	if !ok {
		return false, nil
	}
	e.Type, e.PortID, e.Dropped = t, m.PortID, 0
	if err := d.expect(m, &e.Expect); err != nil {
		return false, err
	}
	return true, nil
}
