package tui

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
)

// slowKiller previews until its context ends, if it is told to.
type slowKiller struct {
	begun    chan int // number of keys of each Preview
	wait     bool
	prepared int
	killed   []int
}

func (k *slowKiller) Preview(ctx context.Context, keys []flow.Key, _ *filter.Query) Preview {
	k.begun <- len(keys)
	if k.wait {
		<-ctx.Done()
		k.wait = false
		return Preview{Err: ctx.Err()}
	}
	k.prepared = len(keys)
	return Preview{Count: len(keys)}
}

func (k *slowKiller) Kill(context.Context) Killed {
	k.killed = append(k.killed, k.prepared)
	return Killed{Deleted: k.prepared}
}

func (k *slowKiller) Forget() { k.prepared = 0 }

// TestOnlyWhatWasShownIsKilled: neither what was asked before nor what is no longer waited for.
func TestOnlyWhatWasShownIsKilled(t *testing.T) {
	k := &slowKiller{begun: make(chan int, 9), wait: true}
	x := &executioner{killer: k, asked: make(chan any, 9), done: make(chan struct{})}
	ctx, stop := context.WithCancel(t.Context())
	told := make(chan any, 9)
	go x.run(ctx, func(msg any) { told <- msg })
	next := func() any {
		t.Helper()
		select {
		case msg := <-told:
			return msg
		case <-time.After(10 * time.Second):
			t.Fatal("no answer")
			return nil
		}
	}
	x.do(Ask{Serial: 1, Keys: make([]flow.Key, 1)})
	<-k.begun
	x.do(Forget{}) // ends it
	if p, ok := next().(Preview); !ok || p.Serial != 1 || !errors.Is(p.Err, context.Canceled) {
		t.Errorf("%+v", p)
	}
	x.do(Kill{1}) // shows nothing
	x.do(Ask{Serial: 2, Keys: make([]flow.Key, 2)})
	if p, ok := next().(Preview); !ok || p.Serial != 2 || p.Count != 2 {
		t.Errorf("%+v", p)
	}
	x.do(Kill{1})
	x.do(Ask{Serial: 3, Keys: make([]flow.Key, 3)})
	next()
	x.do(Kill{3})
	if done, ok := next().(Killed); !ok || done.Deleted != 3 {
		t.Errorf("%+v", done)
	}
	x.do(Kill{3}) // a second time
	stop()
	<-x.done
	if len(k.killed) != 1 {
		t.Errorf("killed: %v", k.killed)
	}
}

// counted is a table whose sweeps are counted, and may fail.
type counted struct {
	sweeps chan Look
	fail   chan error
}

func (c *counted) Pulse(context.Context) (Pulse, error) { return Pulse{Time: noon}, nil }

func (c *counted) Sweep(_ context.Context, look Look, budget time.Duration) (*Sample, error) {
	if budget != Budget(20*time.Millisecond) {
		return nil, errors.New("no budget")
	}
	c.sweeps <- look
	select {
	case err := <-c.fail:
		return nil, err
	default:
		return &Sample{Look: look}, nil
	}
}

// TestReader sweeps what is asked for, over and over, and goes on after a failure; paused only what is asked for anew.
func TestReader(t *testing.T) {
	c := &counted{sweeps: make(chan Look), fail: make(chan error, 1)}
	r := &reader{source: c, interval: 20 * time.Millisecond, looks: make(chan Look, 1), paused: make(chan bool, 1), done: make(chan struct{})}
	ctx, stop := context.WithCancel(t.Context())
	told := make(chan any, 1000)
	go r.run(ctx, func(msg any) { told <- msg })
	swept := func() Look {
		t.Helper()
		select {
		case look := <-c.sweeps:
			return look
		case <-time.After(10 * time.Second):
			t.Fatal("no sweep")
			return Look{}
		}
	}
	select {
	case look := <-c.sweeps:
		t.Errorf("nobody asked for %+v", look)
	case <-time.After(60 * time.Millisecond):
	}
	replace(r.looks, Look{Serial: 1})
	replace(r.looks, Look{Serial: 2})
	for swept().Serial != 2 {
	}
	c.fail <- errors.New("no luck")
	swept()
	swept()
	r.paused <- true
	time.Sleep(30 * time.Millisecond)
	select {
	case <-c.sweeps: // one may have been begun
	case <-time.After(60 * time.Millisecond):
	}
	select {
	case look := <-c.sweeps:
		t.Errorf("paused, and yet %+v", look)
	case <-time.After(60 * time.Millisecond):
	}
	replace(r.looks, Look{Serial: 3})
	if got := swept(); got.Serial != 3 {
		t.Errorf("asked while paused: %+v", got)
	}
	r.paused <- false
	swept()
	stop()
	for done := false; !done; {
		select {
		case <-c.sweeps:
		case <-r.done:
			done = true
		}
	}
	close(told)
	pulses, failures := 0, 0
	for msg := range told {
		switch msg.(type) {
		case Pulse:
			pulses++
		case Failed:
			failures++
		}
	}
	if pulses < 5 || failures != 1 {
		t.Errorf("%d pulses, %d failures", pulses, failures)
	}
}

func TestPace(t *testing.T) {
	if got := Pace(noon, time.Second, 100*time.Millisecond); got != noon.Add(time.Second) {
		t.Error(got)
	}
	if got := Pace(noon, time.Second, 640*time.Millisecond); got.Sub(noon.Add(4*time.Second)).Abs() > time.Millisecond {
		t.Error(got)
	}
	if got := Budget(2 * time.Second); got != 320*time.Millisecond {
		t.Error(got)
	}
}

// large is a table of which even the least that can be read costs much.
type large struct{ sweeps chan time.Time }

func (l *large) Pulse(context.Context) (Pulse, error) { return Pulse{Time: noon}, nil }

func (l *large) Sweep(_ context.Context, look Look, _ time.Duration) (*Sample, error) {
	l.sweeps <- time.Now()
	return &Sample{Look: look, Least: 16 * time.Millisecond}, nil
}

// TestReaderSpares the processor.
func TestReaderSpares(t *testing.T) {
	l := &large{sweeps: make(chan time.Time, 100)}
	r := &reader{source: l, interval: 10 * time.Millisecond, looks: make(chan Look, 1), paused: make(chan bool, 1), done: make(chan struct{})}
	ctx, stop := context.WithCancel(t.Context())
	go r.run(ctx, func(any) {})
	replace(r.looks, Look{Serial: 1})
	for before, n := <-l.sweeps, 0; n < 3; n++ {
		next := <-l.sweeps
		if gap := next.Sub(before); gap < 99*time.Millisecond {
			t.Errorf("again after %v", gap)
		}
		before = next
	}
	stop()
	<-r.done
}
