//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/interop/measure"
)

// Waiting for what was sent to be known.
const (
	settleLimit = 30 * time.Second
	stillLimit  = 2 * time.Second        // nothing more comes
	lookEvery   = 100 * time.Millisecond // rarely: the answer takes time that is charged to the daemon
	ackPause    = 1500 * time.Millisecond
)

// trial is flows through a pair.
type trial struct {
	sent    sending
	tracked int           // flows in the kernel's table
	cached  int           // flows in the peer's cache
	settled time.Duration // from the last packet until all were there, or the last came
	known   []mark        // when flows were in the peer's cache, if that was watched

	sender, receiver delta
}

// delta is what a daemon did in the meantime.
type delta struct{ before, after *status }

func (d *delta) work() work     { return d.after.work.since(d.before.work) }
func (d *delta) overruns() int  { return d.after.overruns - d.before.overruns }
func (d *delta) datagrams() int { return d.after.sent - d.before.sent }
func (d *delta) grown() int64   { return d.after.rss - d.before.rss }

// messages is how many messages about flows came to be known.
func (t *trial) messages() int {
	return t.receiver.after.external.messages() - t.receiver.before.external.messages()
}

// loss says what was lost, "" if nothing.
func (t *trial) loss() string {
	switch overruns := t.sender.overruns(); {
	case overruns > 0:
		return fmt.Sprintf("%s of %s flows in the peer's cache, netlink overrun %d", measure.Grouped(t.cached), measure.Grouped(t.tracked), overruns)
	case t.cached < t.tracked:
		return fmt.Sprintf("%s of %s flows in the peer's cache", measure.Grouped(t.cached), measure.Grouped(t.tracked))
	}
	return ""
}

// rate is how many flows the kernel began to track in a second.
func (t *trial) rate() float64 { return float64(t.tracked) / t.sent.Took.Seconds() }

// empty empties the tables of both nodes.
func (a *arena) empty(ctx context.Context) error {
	for _, c := range a.tables {
		if err := c.Flush(ctx, nil); err != nil {
			return err
		}
	}
	return measure.Pause(ctx, 300*time.Millisecond)
}

// openTables opens the tables of both nodes.
func (a *arena) openTables() error {
	for _, ns := range []*namespace{a.net.first, a.net.second} {
		c, err := conntrack.Dial(&conntrack.Options{NetNS: ns.path()})
		if err != nil {
			return err
		}
		a.tables = append(a.tables, c)
	}
	return nil
}

// try sends flows through a pair that has just been started, and leaves it at work.
func (a *arena) try(ctx context.Context, p pair, o *order) (c *couple, t *trial, err error) {
	if err := a.empty(ctx); err != nil {
		return nil, nil, err
	}
	if c, err = a.startCouple(ctx, p); err != nil {
		return nil, nil, err
	}
	if t, err = a.watch(ctx, c, o); err != nil {
		if wrong := c.stop(); wrong != "" {
			err = fmt.Errorf("%w; %s", err, wrong)
		}
		return nil, nil, err
	}
	return c, t, nil
}

func (a *arena) watch(ctx context.Context, c *couple, o *order) (t *trial, err error) {
	t = &trial{}
	if t.sender.before, err = c.sender.status(); err != nil {
		return nil, err
	}
	if t.receiver.before, err = c.receiver.status(); err != nil {
		return nil, err
	}
	var watch *watcher
	if o.Trace {
		watch = watchCache(c.receiver)
		defer watch.stop()
	}
	s, err := a.send(ctx, o)
	if err != nil {
		return nil, err
	}
	t.sent = *s
	end := now()
	if t.tracked, err = a.net.entries(a.net.first); err != nil {
		return nil, err
	}
	if err := a.settle(ctx, c, t, end); err != nil {
		return nil, err
	}
	if watch != nil {
		if t.known, err = watch.stop(); err != nil {
			return nil, err
		}
	}
	if err := measure.Pause(ctx, ackPause); err != nil {
		return nil, err
	}
	if t.sender.after, err = c.sender.status(); err != nil {
		return nil, err
	}
	if t.receiver.after, err = c.receiver.status(); err != nil {
		return nil, err
	}
	t.cached = t.receiver.after.external.active
	return t, nil
}

// settle waits until all flows are in the peer's cache, or nothing comes any more.
func (a *arena) settle(ctx context.Context, c *couple, t *trial, end time.Duration) error {
	changed := end
	var wrong error
	err := measure.Await(ctx, settleLimit, c.receiver.ended, func() bool {
		s, err := c.receiver.caches()
		if err != nil {
			wrong = err
			return true
		}
		if n := s.external.active; n != t.cached {
			t.cached, changed = n, now()
		}
		if t.cached >= t.tracked || now()-changed > stillLimit {
			return true
		}
		time.Sleep(lookEvery)
		return false
	})
	t.settled = changed - end
	if errors.Is(err, measure.ErrTimeout) {
		err = nil // what is there counts
	}
	return errors.Join(err, wrong)
}

// watcher looks into a cache again and again.
type watcher struct {
	end   atomic.Bool
	ended chan struct{}
	known []mark
	err   error
}

// watchEvery is the time between two looks.
const watchEvery = time.Millisecond

// watchCache has a thread of its own, which has precedence, too, so that what it sees is not seen late.
func watchCache(d *daemon) *watcher {
	w := &watcher{ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		if w.err = hurry(); w.err == nil {
			w.err = w.watch(d)
		}
	}()
	return w
}

func (w *watcher) watch(d *daemon) error {
	last := 0
	for !w.end.Load() {
		sleep(watchEvery)
		text, err := d.askAtOnce(askCaches)
		at := now()
		if err != nil {
			return err
		}
		s, err := parseCaches(text)
		if err != nil {
			return err
		}
		if n := s.external.active; n > last {
			last = n
			w.known = append(w.known, mark{at, n})
		}
	}
	return nil
}

// stop may be called twice.
func (w *watcher) stop() ([]mark, error) {
	w.end.Store(true)
	<-w.ended
	return w.known, w.err
}

// send has the traffic part send flows.
func (a *arena) send(ctx context.Context, o *order) (*sending, error) {
	arg, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, o.limit()+10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(within, a.plan.Self, partTraffic, string(arg))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	var out []byte
	if err := a.net.source.within(a.net.first, func() (err error) {
		out, err = cmd.Output()
		return err
	}); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("traffic: %w", err)
	}
	s := &sending{}
	return s, json.Unmarshal(out, s)
}
