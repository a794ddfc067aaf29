//go:build linux

package conntrack

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
	"github.com/spoor-project/spoor/internal/nfnetlink/nfnetlinktest"
)

// operations are all that send a request and fail if it is refused.
var operations = map[string]func(context.Context, *Client) error{
	opGet: func(ctx context.Context, c *Client) error { _, err := c.Get(ctx, someTuple, 0); return err },
	opCreate: func(ctx context.Context, c *Client) error {
		inv, _ := someTuple.Inverse()
		return c.Create(ctx, &Entry{Orig: someTuple, Reply: inv})
	},
	opPut:    func(ctx context.Context, c *Client) error { return c.Put(ctx, &Entry{Orig: someTuple}) },
	opUpdate: func(ctx context.Context, c *Client) error { return c.Update(ctx, someTuple, 0, Change{}) },
	opDelete: func(ctx context.Context, c *Client) error { return c.Delete(ctx, &flow.Flow{Orig: someTuple}) },
	opFlush:  func(ctx context.Context, c *Client) error { return c.Flush(ctx, nil) },
	opStats:  func(ctx context.Context, c *Client) error { _, err := c.Count(ctx); return err },
	opList: func(ctx context.Context, c *Client) (err error) {
		for _, err = range c.Flows(ctx, nil) {
		}
		return err
	},
	opExpectStats: func(ctx context.Context, c *Client) error { _, err := c.ExpectStats(ctx); return err },
	opListExpects: func(ctx context.Context, c *Client) (err error) {
		for _, err = range c.Expects(ctx, flow.AnyFamily) {
		}
		return err
	},
	opGetExpect:    func(ctx context.Context, c *Client) error { _, err := c.GetExpect(ctx, someTuple, 0); return err },
	opCreateExpect: func(ctx context.Context, c *Client) error { return c.CreateExpect(ctx, &flow.Expect{Tuple: someTuple}) },
	opDeleteExpect: func(ctx context.Context, c *Client) error { return c.DeleteExpect(ctx, someTuple, 0) },
	opFlushExpects: func(ctx context.Context, c *Client) error { return c.FlushExpects(ctx) },
	opListHelpers: func(ctx context.Context, c *Client) (err error) {
		for _, err = range c.Helpers(ctx) {
		}
		return err
	},
	opListTimeouts: func(ctx context.Context, c *Client) (err error) {
		for _, err = range c.TimeoutPolicies(ctx) {
		}
		return err
	},
	opGetTimeout:      func(ctx context.Context, c *Client) error { _, err := c.GetTimeoutPolicy(ctx, "web"); return err },
	opCreateTimeout:   func(ctx context.Context, c *Client) error { return c.CreateTimeoutPolicy(ctx, &webPolicy) },
	opPutTimeout:      func(ctx context.Context, c *Client) error { return c.PutTimeoutPolicy(ctx, &webPolicy) },
	opDeleteTimeout:   func(ctx context.Context, c *Client) error { return c.DeleteTimeoutPolicy(ctx, "web") },
	opFlushTimeouts:   func(ctx context.Context, c *Client) error { return c.FlushTimeoutPolicies(ctx) },
	opDefaultTimeouts: func(ctx context.Context, c *Client) error { _, err := c.DefaultTimeouts(ctx, flow.UDP); return err },
	opSetTimeouts: func(ctx context.Context, c *Client) error {
		return c.SetDefaultTimeouts(ctx, flow.UDP, Timeouts{UDPTimeoutReplied: time.Second})
	},
	opGetHelper:    func(ctx context.Context, c *Client) error { _, err := c.GetHelper(ctx, ftpKey); return err },
	opPutHelper:    func(ctx context.Context, c *Client) error { return c.PutHelper(ctx, ftpKey, ftpChange) },
	opDeleteHelper: func(ctx context.Context, c *Client) error { return c.DeleteHelper(ctx, ftpKey) },
	opFlushHelpers: func(ctx context.Context, c *Client) error { return c.FlushHelpers(ctx) },
}

func TestARefusalIsOfItsKind(t *testing.T) {
	kinds := []error{ErrNotFound, ErrExists, ErrPermission, ErrNotSupported, ErrTableFull, ErrInterrupted,
		fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, errors.ErrUnsupported}
	tests := []struct {
		errno syscall.Errno
		is    []error
	}{
		{syscall.ENOENT, []error{ErrNotFound, fs.ErrNotExist}},
		{syscall.EEXIST, []error{ErrExists, fs.ErrExist}},
		{syscall.EPERM, []error{ErrPermission, fs.ErrPermission}},
		{syscall.EACCES, []error{ErrPermission, fs.ErrPermission}},
		{syscall.EOPNOTSUPP, []error{ErrNotSupported, errors.ErrUnsupported}},
		{syscall.ENOMEM, []error{ErrTableFull}},
		{syscall.EINTR, []error{ErrInterrupted}},
		{syscall.EINVAL, nil},
		{syscall.EBUSY, nil},
		{syscall.ENOSPC, nil},
		{syscall.ETIME, nil},
	}
	for op, do := range operations {
		for _, tt := range tests {
			c := fakeClient(t, func(r *nfnetlinktest.Request) [][]byte { return [][]byte{r.Error(tt.errno)} })
			err := do(t.Context(), c)
			var opErr *OpError
			if !errors.As(err, &opErr) || opErr.Op != op || !errors.Is(err, tt.errno) {
				t.Errorf("%s, refused with %v: got %#v", op, tt.errno, err)
				continue
			}
			for _, kind := range kinds {
				want := false
				for _, k := range tt.is {
					want = want || k == kind
				}
				want = want || kind == ErrNotSupported && tt.errno == syscall.EINVAL && bareRequest[op]
				if errors.Is(err, kind) != want {
					t.Errorf("%s: %v is %q: %v, want %v", op, err, kind, !want, want)
				}
			}
			if !strings.HasPrefix(err.Error(), op+": "+tt.errno.Error()) {
				t.Errorf("text %q, want %q first", err, op+": "+tt.errno.Error())
			}
		}
	}
}

func TestTheKernelsExplanationIsShown(t *testing.T) {
	const want = "invalid argument: Attribute failed policy validation (at byte 24 of the request)"
	for op, do := range operations {
		c := fakeClient(t, func(r *nfnetlinktest.Request) [][]byte {
			return [][]byte{r.Explain(syscall.EINVAL, "Attribute failed policy validation", 24)}
		})
		err := do(t.Context(), c)
		var refused *nfnetlink.Error
		if err == nil || err.Error() != op+": "+want || !errors.As(err, &refused) || refused.Offset != 24 {
			t.Errorf("got %v, want %s: %s", err, op, want)
		}
	}
}

func TestAdviceFitsTheOperation(t *testing.T) {
	tests := []struct {
		op     string
		err    error
		advice string // "" for none
	}{
		{opList, syscall.EPERM, "needs CAP_NET_ADMIN in this network namespace; try sudo"},
		{opDial, syscall.EPERM, "entering another network namespace needs CAP_SYS_ADMIN; try sudo"},
		{opDial, syscall.EPROTONOSUPPORT, "modprobe nf_conntrack_netlink"},
		{opCreate, syscall.ENOMEM, "the table is full"},
		{opCreate, syscall.ENOSPC, "nf_conntrack_buckets"},
		{opUpdate, syscall.ENOSPC, "used labels"},
		{opStats, &nfnetlink.Error{Errno: syscall.EINVAL}, "nf_conntrack_netlink"},
		{opStats, &nfnetlink.Error{Errno: syscall.EINVAL, Text: "why"}, ""},
		{opGet, &nfnetlink.Error{Errno: syscall.EINVAL}, ""},
		{opGet, &nfnetlink.Error{Errno: syscall.ENOENT}, ""},
		{opGet, context.Canceled, ""},
	}
	for _, tt := range tests {
		got := wrap(tt.op, tt.err).Error()
		_, advice, given := strings.Cut(got, " (")
		if given != (tt.advice != "") || !strings.Contains(advice, tt.advice) {
			t.Errorf("%s, %v: %q, want the advice %q", tt.op, tt.err, got, tt.advice)
		}
	}
}

func TestErrorsOfTheSystemAreWrapped(t *testing.T) {
	_, err := Dial(&Options{NetNS: "/nonexistent"})
	var opErr *OpError
	if !errors.As(err, &opErr) || opErr.Op != opDial || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such namespace: %v", err)
	}
	_, err = Dial(OptionsWith(func(*nfnetlink.Options) (*nfnetlink.Conn, error) { return nil, errors.ErrUnsupported }))
	if !errors.Is(err, ErrNotSupported) {
		t.Errorf("another system: %v, want %v", err, ErrNotSupported)
	}
	if err := wrap(opGet, nil); err != nil {
		t.Errorf("no error is wrapped as %v", err)
	}
}

// A client that went on after Close would work in its caller's namespace.
func TestAClosedClientDoesNothing(t *testing.T) {
	var sent recorder
	c := fakeClient(t, sent.handle(succeed))
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for op, do := range operations {
		if err := do(t.Context(), c); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: %v, want %v", op, err, os.ErrClosed)
		}
	}
	for _, err := range c.Follow(t.Context(), nil) {
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: %v, want %v", opFollow, err, os.ErrClosed)
		}
	}
	if _, err := c.NewWriter(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("NewWriter: %v, want %v", err, os.ErrClosed)
	}
	if all := sent.take(); len(all) > 0 {
		t.Errorf("%d requests were sent", len(all))
	}
	if err := c.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestNothingIsSentUnderAnEndedContext(t *testing.T) {
	var sent recorder
	c := fakeClient(t, sent.handle(succeed))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for op, do := range operations {
		var opErr *OpError
		if err := do(ctx, c); !errors.Is(err, context.Canceled) || !errors.As(err, &opErr) || opErr.Op != op {
			t.Errorf("%s: %v, want %v", op, err, context.Canceled)
		}
	}
	if all := sent.take(); len(all) > 0 {
		t.Errorf("%d requests were sent, the first of type %#x", len(all), all[0].Type)
	}
}
