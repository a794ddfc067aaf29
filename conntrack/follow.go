package conntrack

import (
	"context"
	"errors"
	"iter"
	"slices"
	"syscall"
	"time"

	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
)

// FollowOptions says what to follow and how. The zero value follows all changes
// and rides out long bursts.
type FollowOptions struct {
	// Types are the kinds of change wanted; nil means all three, an empty
	// list none.
	Types []flow.EventType
	// Filter selects flows; nil selects all.
	Filter *filter.Filter

	// Buffer is the size of the kernel's queue at the start, in bytes, where an
	// event takes 1280 of the double. Zero is 8 MiB. More than
	// net.core.rmem_max needs CAP_NET_ADMIN in the initial user namespace;
	// without it the queue is as large as it may be.
	Buffer int
	// MaxBuffer is how far the queue may grow when it fills up; zero is 256
	// MiB, and a value below Buffer forbids growth. Memory is used only while
	// events are queued.
	MaxBuffer int

	// Gather is how late events may be handed over while many come, so that many come together: waking up
	// for each costs more than looking at it. Zero hands over what there is at once.
	Gather time.Duration

	// NoENOBUFS keeps events coming while the queue is full, with gaps, instead
	// of dropping everything until it has been emptied. Losses are then noticed
	// later, but still counted.
	NoENOBUFS bool
	// Reliable makes the kernel keep what it could not deliver: updates are
	// merged into the flow's next event, and destroyed flows stay in memory, and
	// count against nf_conntrack_max, until their event has been delivered.
	Reliable bool
}

const (
	defaultBuffer    = 8 << 20
	defaultMaxBuffer = 256 << 20
)

// Follower is a subscription to changes: from the moment it exists they are
// queued, by the kernel and up to its buffer.
type Follower struct {
	conn   *nfnetlink.Conn
	opts   FollowOptions
	buffer int  // size of the queue at the start, as the kernel counts
	queued bool // more is at hand behind the current event

	// The rest belongs to the goroutine that reads.
	size     int       // of the queue, as asked for
	woken    time.Time // when something was read last, if Gather is not zero
	more     bool      // there was more than could be read at once
	draining bool      // a loss was reported and the queue is not empty yet
	dropped  uint32    // the kernel's count of losses when it was looked at last
}

// Follow streams the changes of the table until ctx ends, whose error is then the
// last item. A nil opts is the zero FollowOptions. Events that the kernel dropped are told
// by an event of type [flow.Lost], whatever the options say about types and
// filters.
func (c *Client) Follow(ctx context.Context, opts *FollowOptions) iter.Seq2[flow.Event, error] {
	return func(yield func(flow.Event, error) bool) {
		s, err := c.Subscribe(opts)
		if err != nil {
			yield(flow.Event{}, err)
			return
		}
		s.Events(ctx)(yield)
	}
}

// Subscribe begins to queue changes, which [Follower.Events] then streams: list the
// table in between, and nothing is missed. Close the Follower, or range over its
// events, to end the subscription.
func (c *Client) Subscribe(opts *FollowOptions) (*Follower, error) {
	if opts == nil {
		opts = &FollowOptions{}
	}
	return c.subscribe(opFollow, opts, groupsOf(opts.Types, nfnetlink.GroupNew))
}

// groupsOf returns the multicast groups of the types; those for new, update and
// destroy are numbered one after the other.
func groupsOf(types []flow.EventType, first nfnetlink.Group) []nfnetlink.Group {
	if types == nil {
		types = []flow.EventType{flow.New, flow.Update, flow.Destroy}
	}
	var groups []nfnetlink.Group
	for _, t := range types {
		g := first + nfnetlink.Group(t-flow.New)
		if t >= flow.New && t <= flow.Destroy && !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	return groups
}

func (c *Client) subscribe(op string, opts *FollowOptions, groups []nfnetlink.Group) (*Follower, error) {
	s := &Follower{opts: *opts, size: opts.Buffer}
	if s.size == 0 {
		s.size = defaultBuffer
	}
	if s.opts.MaxBuffer == 0 {
		s.opts.MaxBuffer = defaultMaxBuffer
	}
	conn, err := c.open(nfnetlink.Options{Groups: groups, NoENOBUFS: opts.NoENOBUFS, BroadcastError: opts.Reliable,
		Gather: opts.Gather > 0})
	if err != nil {
		return nil, wrap(op, err)
	}
	s.conn = conn
	if s.buffer, err = conn.SetReadBuffer(s.size); err != nil {
		conn.Close()
		return nil, wrap(op, err)
	}
	return s, nil
}

// Close ends the subscription. A loop over Events ends with an error that is
// [os.ErrClosed].
func (s *Follower) Close() error { return s.conn.Close() }

// Buffer returns the size that the kernel's queue began with, in bytes as the kernel counts:
// double of what was asked for.
func (s *Follower) Buffer() int { return s.buffer }

// SyscallConn gives access to the socket: for options that FollowOptions does not have, such as a filter of
// the kernel's (SO_ATTACH_FILTER). It is open until Close, or the end of a loop over Events.
func (s *Follower) SyscallConn() (syscall.RawConn, error) { return s.conn.SyscallConn() }

// Want has changes of a kind queued from now on, or not any more; those that are queued already still come. What happens
// while a kind is not wanted is not reported as lost. A change that nobody follows costs the kernel only half as much.
func (s *Follower) Want(typ flow.EventType, wanted bool) error {
	for _, g := range groupsOf([]flow.EventType{typ}, nfnetlink.GroupNew) {
		if err := s.conn.SetGroup(g, wanted); err != nil {
			return wrap(opFollow, err)
		}
	}
	return nil
}

// Queued reports, within the loop over Events, whether the next event is already at
// hand: if not, it is time to flush what was made of this one and those before.
func (s *Follower) Queued() bool { return s.queued }

// Events streams the changes since Subscribe, like [Client.Follow]. It may be
// called once, and closes the Follower in the end.
func (s *Follower) Events(ctx context.Context) iter.Seq2[flow.Event, error] {
	return func(yield func(flow.Event, error) bool) {
		var d decoder
		var e flow.Event
		err := s.messages(ctx, func(m *nfnetlink.Message, lost uint64) (bool, error) {
			if m == nil {
				return yield(flow.Event{Type: flow.Lost, Dropped: lost}, nil), nil
			}
			ok, err := d.event(m, &e)
			if err != nil || !ok || !s.opts.Filter.Match(&e.Flow) {
				return true, err
			}
			return yield(e, nil), nil
		})
		if err != nil {
			yield(flow.Event{}, wrap(opFollow, err))
		}
	}
}

// messages calls each for every message that arrives, and with nil where some were
// lost. It returns nil once each returns false.
func (s *Follower) messages(ctx context.Context, each func(m *nfnetlink.Message, lost uint64) (bool, error)) error {
	stop := watch(ctx, s.conn)
	defer stop()
	read := readAhead(s.conn, s.read, s.grow, eventChunksAhead, chunkSize)
	defer read.stop()
	var m nfnetlink.Message // out here, since it goes to the heap
	for {
		c := <-read.full
		for rest := c.data; len(rest) > 0; {
			var err error
			if m, rest, err = nfnetlink.Next(rest); err != nil {
				return err
			}
			s.queued = len(rest) > 0 || c.gap || len(read.full) > 0
			if more, err := each(&m, 0); err != nil || !more {
				return err
			}
		}
		if c.gap {
			s.queued = len(read.full) > 0
			if more, err := each(nil, c.lost); err != nil || !more {
				return err
			}
		}
		if c.err != nil {
			return because(ctx, c.err)
		}
		read.release(c)
	}
}

// eventChunksAhead bounds what is read ahead of the loop body: some ten thousand
// events.
const eventChunksAhead = 8

// read reads what is queued. When the kernel reports a loss, the queue still holds
// what came before it, and takes nothing more until it is empty: there is the gap.
func (s *Follower) read(buf []byte) (c chunk) {
	var n int
	if s.draining {
		n, c.err = s.conn.RecvQueued(buf)
		switch {
		case errors.Is(c.err, syscall.ENOBUFS):
			// It was empty for a moment, and has overflown again: another gap
			// ends here, and one begins.
			c.gap, c.lost, c.err = true, s.newlyLost(), nil
			s.grow()
		case n == 0 && c.err == nil:
			s.draining = false
			c.gap, c.lost = true, s.newlyLost()
		}
	} else {
		s.gather()
		n, c.err = s.conn.RecvMany(buf)
		s.more = len(buf)-n < nfnetlink.Room
		switch {
		case errors.Is(c.err, syscall.ENOBUFS):
			s.draining, c.err = true, nil
			s.grow()
		case s.opts.NoENOBUFS:
			c.lost = s.newlyLost()
			c.gap = c.lost > 0
			s.grow()
		case s.more: // it may be much
			s.grow()
		}
	}
	c.data = buf[:n]
	return c
}

// gather waits a little if it was not long ago that something was read: there is more to come. What is there already must not wait.
func (s *Follower) gather() {
	if s.opts.Gather <= 0 || s.more {
		return
	}
	if time.Since(s.woken) < s.opts.Gather {
		time.Sleep(s.opts.Gather)
	}
	s.woken = time.Now()
}

// newlyLost returns how many events were lost since it was called last, 0 if the
// kernel does not tell.
func (s *Follower) newlyLost() uint64 {
	q, err := s.conn.Queue()
	if err != nil {
		return 0
	}
	lost := q.Dropped - s.dropped // both wrap around
	s.dropped = q.Dropped
	return uint64(lost)
}

// grow doubles the queue if it is half full and may grow.
func (s *Follower) grow() {
	if s.size >= s.opts.MaxBuffer {
		return
	}
	q, err := s.conn.Queue()
	if err != nil || q.Used < q.Size/2 {
		return
	}
	s.size = min(2*s.size, s.opts.MaxBuffer)
	if n, err := s.conn.SetReadBuffer(s.size); err != nil || n <= q.Size {
		s.size = s.opts.MaxBuffer // the limit for this user is reached
	}
}
