package conntrackcli

import (
	"context"
	"errors"
	"iter"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/libc"
	"github.com/spoor-project/spoor/internal/render"
)

// maxQueue is how far the kernel's queue of events may grow.
const maxQueue = 512 << 20

// untilSignal is a context that ends with SIGINT or SIGTERM.
func untilSignal() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
}

// follow is -E.
func (x *executor) follow(c *conntrack.Client) error {
	if err := x.checkMasks(); err != nil {
		return err
	}
	ctx, stop := untilSignal()
	defer stop()
	opts := x.followOptions()
	opts.Types, opts.Filter = x.types, x.selection()
	if x.given.has(optWithTable) && opts.Buffer == 0 {
		opts.Buffer = maxQueue // nobody reads while the table is listed
	}
	s, err := c.Subscribe(opts)
	if err != nil {
		x.out.message("mnl_socket_bind: " + libc.ErrorText(err) + "\n")
		return failf("Can't open netlink socket")
	}
	defer s.Close()
	if x.given.has(optBuffer) {
		x.out.message("NOTICE: Netlink socket buffer size has been set to " + itoa(s.Buffer()) + " bytes.\n")
	}

	p := x.printer(func(s *render.Style) { s.Timestamp, s.KernelTime = x.show.timestamp, x.show.ktimestamp })
	if x.given.has(optWithTable) {
		if _, err := x.print(p, c.Flows(ctx, opts.Filter)); err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
		x.out.flush()
	}
	programs := newProgramNames()
	return showEvents(x, p, "flow", s.Events(ctx), s.Queued, func(e *flow.Event, at time.Time) (flow.EventType, uint64) {
		x.out.buf = p.AppendEvent(x.out.buf, e, programs.name(e.PortID, at), at)
		return e.Type, e.Dropped
	})
}

// showEvents prints events until the user, or a loss, ends it, and then how many
// there were. show prints one and tells its type, and how many a gap has cost.
func showEvents[E any](x *executor, p *render.Printer, what string, events iter.Seq2[E, error], queued func() bool,
	show func(e *E, at time.Time) (flow.EventType, uint64)) error {
	losses := lossReport{x: x}
	n := 0
	var stopped error
	var current E // outlives the loop body, so that no event is allocated
	for e, err := range events {
		if errors.Is(err, context.Canceled) {
			break
		}
		if err != nil {
			return failf("failed to received netlink event: %s", libc.ErrorText(err)) // sic
		}
		current = e
		at := time.Now()
		if typ, dropped := show(&current, at); typ != flow.Lost {
			n++
		} else if stopped = losses.add(dropped, at); stopped != nil {
			break
		}
		x.leave(queued())
	}
	x.out.buf = p.AppendEnd(x.out.buf)
	x.out.flush()
	losses.tell()
	x.out.message(prefix + itoa(n) + " " + what + " events have been shown.\n")
	return stopped
}

// followOptions says how large the kernel's queue is to be.
func (x *executor) followOptions() *conntrack.FollowOptions {
	opts := &conntrack.FollowOptions{MaxBuffer: maxQueue}
	if x.given.has(optBuffer) {
		opts.Buffer = min(max(x.buffer, 1), 1<<30) // the kernel doubles it
	}
	return opts
}

// leave writes the events printed so far, unless the next one is at hand.
func (x *executor) leave(more bool) {
	if more {
		x.out.relax()
	} else {
		x.out.flush()
	}
}

// followExpects is -E expect.
func (x *executor) followExpects(c *conntrack.Client) error {
	ctx, stop := untilSignal()
	defer stop()
	s, err := c.SubscribeExpects(x.followOptions())
	if err != nil {
		return failf("Can't open handler")
	}
	defer s.Close()
	p := x.expectPrinter(render.Whole)
	return showEvents(x, p, "expectation", s.Events(ctx), s.Queued, func(e *flow.ExpectEvent, at time.Time) (flow.EventType, uint64) {
		x.out.buf = p.AppendExpectEvent(x.out.buf, e, at)
		return e.Type, e.Dropped
	})
}

// lossWarning is what the original says about lost events.
const lossWarning = "WARNING: We have hit ENOBUFS! We are losing events.\n" +
	"This message means that the current netlink socket buffer size is too small.\n" +
	"Please, check --buffer-size in conntrack(8) manpage.\n"

// lossReport tells about lost events: the original's warning once, and how many
// were lost, at most once a second.
type lossReport struct {
	x      *executor
	warned bool
	told   time.Time
	untold uint64
	vague  bool // of some losses the number is not known
}

// add counts a loss. It returns an error if the user wants to stop at one.
func (l *lossReport) add(n uint64, at time.Time) error {
	l.untold += n
	l.vague = l.vague || n == 0
	if !l.warned {
		l.x.out.flush()
		l.x.out.message(lossWarning)
		l.warned = true
	}
	if at.Sub(l.told) >= time.Second {
		l.tell()
		l.told = at
	}
	if l.x.given.has(optExitOnLoss) {
		return syscall.ENOBUFS
	}
	return nil
}

// tell tells what has not been told yet.
func (l *lossReport) tell() {
	switch {
	case l.untold > 0 && l.vague:
		l.x.out.message("WARNING: at least " + strconv.FormatUint(l.untold, 10) + " events have been lost.\n")
	case l.untold > 0:
		l.x.out.message("WARNING: " + strconv.FormatUint(l.untold, 10) + " events have been lost.\n")
	case l.vague:
		l.x.out.message("WARNING: events have been lost; this kernel does not tell how many.\n")
	}
	l.untold, l.vague = 0, false
}
