package conntrack

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
)

// Operations, as errors name them.
const (
	opDial   = "open ctnetlink"
	opList   = "list flows"
	opGet    = "get flow"
	opCreate = "create flow"
	opPut    = "put flow"
	opUpdate = "update flow"
	opDelete = "delete flow"
	opFlush  = "flush flows"
	opFollow = "follow flows"
	opStats  = "read statistics"

	opListExpects  = "list expectations"
	opGetExpect    = "get expectation"
	opCreateExpect = "create expectation"
	opDeleteExpect = "delete expectation"
	opFlushExpects = "flush expectations"
	opFollowExpect = "follow expectations"
	opExpectStats  = "read expectation statistics"

	opListTimeouts    = "list timeout policies"
	opGetTimeout      = "get timeout policy"
	opCreateTimeout   = "create timeout policy"
	opPutTimeout      = "put timeout policy"
	opDeleteTimeout   = "delete timeout policy"
	opFlushTimeouts   = "flush timeout policies"
	opDefaultTimeouts = "get default timeouts"
	opSetTimeouts     = "set default timeouts"

	opListHelpers  = "list helpers"
	opGetHelper    = "get helper"
	opPutHelper    = "put helper"
	opDeleteHelper = "delete helper"
	opFlushHelpers = "flush helpers"
)

// Options says where a [Client] works. The zero value is the caller's network
// namespace.
type Options struct {
	// NetNS is the path of a network namespace ("/run/netns/blue",
	// "/proc/42/ns/net"); "" is the one of the thread that calls Dial.
	// Entering another needs CAP_SYS_ADMIN.
	NetNS string

	// dial replaces the kernel in tests.
	dial func(*nfnetlink.Options) (*nfnetlink.Conn, error)
}

// Client works on the connection tracking table of one network namespace.
type Client struct {
	dial  func(*nfnetlink.Options) (*nfnetlink.Conn, error)
	netns *os.File // nil: the caller's

	mu  sync.Mutex // guards cmd and one
	cmd *Writer    // for the operations on one entry
	one Batch      // of one

	life   sync.RWMutex // keeps netns open while it is used; guards closed
	closed bool
}

// Dial opens a Client. A nil opts is the zero Options. No goroutine is started, and
// no privilege is needed before the first operation.
func Dial(opts *Options) (*Client, error) {
	if opts == nil {
		opts = &Options{}
	}
	c := &Client{dial: opts.dial}
	if c.dial == nil {
		c.dial = nfnetlink.Dial
	}
	if opts.NetNS != "" {
		f, err := os.Open(opts.NetNS)
		if err != nil {
			return nil, wrap(opDial, err)
		}
		c.netns = f
	}
	if err := c.connect(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// connect opens the command socket if there is none. c.mu is held, or c not shared yet.
func (c *Client) connect() error {
	if c.cmd != nil {
		return nil
	}
	w, err := c.NewWriter()
	c.cmd = w
	return err
}

// open makes a socket in the client's namespace.
func (c *Client) open(opts nfnetlink.Options) (*nfnetlink.Conn, error) {
	c.life.RLock()
	defer c.life.RUnlock()
	if c.closed {
		return nil, os.ErrClosed
	}
	opts.NetNS = c.netns
	return c.dial(&opts)
}

// Close closes the client, whose methods return [os.ErrClosed] from then on. Streams
// that are being read go on.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error
	if c.cmd != nil {
		err = c.cmd.Close()
		c.cmd = nil
	}
	c.life.Lock()
	defer c.life.Unlock()
	if c.netns != nil && !c.closed {
		err = errors.Join(err, c.netns.Close())
	}
	c.closed = true
	return err
}

// do carries out a batch of one.
func (c *Client) do(ctx context.Context, fill func(*Batch)) (Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.connect(); err != nil {
		return Result{}, err
	}
	c.one.Reset()
	fill(&c.one)
	results, err := c.cmd.Do(ctx, &c.one)
	if err != nil {
		// Answers may be under way; a fresh socket never sees them.
		c.cmd.Close()
		c.cmd = nil
		return Result{}, err
	}
	return results[0], results[0].Err
}

// Get returns the flow that has t as one of its two tuples, in the given zone (0
// is none). It is [ErrNotFound] if there is none.
func (c *Client) Get(ctx context.Context, t flow.Tuple, zone uint16) (flow.Flow, error) {
	r, err := c.do(ctx, func(b *Batch) { b.Get(&t, zone) })
	if err != nil {
		return flow.Flow{}, err
	}
	return r.Flow, nil
}

// GetAndZero is Get, and sets the counters of the flow to zero in the same atomic
// step. The counters returned are those before.
func (c *Client) GetAndZero(ctx context.Context, t flow.Tuple, zone uint16) (flow.Flow, error) {
	r, err := c.do(ctx, func(b *Batch) { b.GetAndZero(&t, zone) })
	if err != nil {
		return flow.Flow{}, err
	}
	return r.Flow, nil
}

// Create makes a flow. It is [ErrExists] if there is one with either tuple.
func (c *Client) Create(ctx context.Context, e *Entry) error {
	_, err := c.do(ctx, func(b *Batch) { b.Create(e) })
	return err
}

// Put makes a flow, or changes the one that has e.Orig. Changing fails with
// [ErrNotSupported] if e has a Master or NAT.
func (c *Client) Put(ctx context.Context, e *Entry) error {
	_, err := c.do(ctx, func(b *Batch) { b.Put(e) })
	return err
}

// Update changes the flow that has t as one of its tuples, in the given zone (0 is
// none). It is [ErrNotFound] if there is none. The kernel applies a change in
// steps: after an error some attributes may have changed.
func (c *Client) Update(ctx context.Context, t flow.Tuple, zone uint16, ch Change) error {
	_, err := c.do(ctx, func(b *Batch) { b.Update(&Entry{Orig: t, Zone: zone, Change: ch}) })
	return err
}

// Delete removes f, by its original tuple, zone and, if f.Has it, ID: a flow that
// took f's place meanwhile is left alone, and the error is [ErrNotFound]. Only if the
// kernel made that one of f's own memory, as it may at once, it has f's ID too.
func (c *Client) Delete(ctx context.Context, f *flow.Flow) error {
	_, err := c.do(ctx, func(b *Batch) { b.Delete(f) })
	return err
}

// watch makes conn fail when ctx ends. The returned function ends the watch and
// makes conn usable again.
func watch(ctx context.Context, conn *nfnetlink.Conn) (stop func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	fired := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		conn.SetDeadline(time.Unix(1, 0))
		close(fired)
	})
	return func() {
		if !cancel() {
			<-fired
		}
		conn.SetDeadline(time.Time{})
	}
}

// because returns the context's error in place of the deadline that [watch] set.
func because(ctx context.Context, err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
