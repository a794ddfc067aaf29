//go:build linux

package conntrack_test

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
)

// tally is what a follower was told.
type tally struct {
	received, dropped, gaps int
}

// isLast reports whether f is the flow that marks the end of a test.
func isLast(f *flow.Flow) bool { return f.Orig.DstPort == 9999 }

func endMark() *conntrack.Entry {
	t := numbered(0)
	t.DstPort = 9999
	return entry(t)
}

// countEvents reads events until the mark, which it counts too.
func countEvents(t *testing.T, s *conntrack.Follower, each func(*flow.Event)) (sum tally) {
	t.Helper()
	for e, err := range s.Events(limited(t)) {
		if err != nil {
			t.Errorf("after %+v: %v", sum, err)
			break
		}
		if e.Type == flow.Lost {
			if e.Flow != (flow.Flow{}) || e.PortID != 0 {
				t.Errorf("a loss with a flow: %+v", e)
			}
			sum.gaps++
			sum.dropped += int(e.Dropped)
		} else {
			sum.received++
		}
		if each != nil {
			each(&e)
		}
		if e.Type != flow.Lost && isLast(&e.Flow) {
			break
		}
	}
	return sum
}

// endWith creates the mark again and again until it was seen: it may get lost itself.
// It returns how many events that caused, once stop was called.
func endWith(t *testing.T, c *conntrack.Client, seen *atomic.Bool) (events int) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !seen.Load(); {
		if time.Now().After(end) {
			t.Error("the end was never seen")
			break
		}
		e := endMark()
		if err := c.Create(t.Context(), e); err != nil {
			t.Errorf("end mark: %v", err)
			break
		}
		events++
		for wait := time.Now().Add(50 * time.Millisecond); !seen.Load() && time.Now().Before(wait); {
			time.Sleep(time.Millisecond)
		}
		if seen.Load() {
			break
		}
		if err := c.Delete(t.Context(), &flow.Flow{Orig: e.Orig}); err != nil {
			t.Error(err)
			break
		}
	}
	return events
}

var onlyNew = []flow.EventType{flow.New}

func TestEveryLossIsCounted(t *testing.T) {
	t.Parallel()
	const n = 3000
	_, c := kernel(t)
	s := subscribe(t, c, &conntrack.FollowOptions{Types: onlyNew, Buffer: 64 << 10, MaxBuffer: 1})
	if s.Buffer() != 128<<10 {
		t.Errorf("buffer of %d bytes, want %d", s.Buffer(), 128<<10)
	}
	makeMany(t, c, n) // nobody reads yet
	var gapAt int
	var seen atomic.Bool
	marks := make(chan int)
	go func() { marks <- endWith(t, c, &seen) }()
	i := 0
	sum := countEvents(t, s, func(e *flow.Event) {
		switch {
		case e.Type == flow.Lost:
			gapAt = i
		case gapAt == 0 && e.Flow.Orig != numbered(i):
			t.Errorf("event %d is of %v", i, e.Flow.Orig.Src)
		}
		i++
	})
	seen.Store(true)
	caused := n + <-marks
	if sum.gaps < 1 || sum.received+sum.dropped != caused || gapAt < 20 || sum.dropped < 2000 {
		t.Errorf("received %d, dropped %d in %d gaps, the first after %d; %d were caused", sum.received, sum.dropped, sum.gaps, gapAt, caused)
	}
}

// The queue fills up again and again, also between the moment when it was emptied and
// the moment when that is noticed.
func TestOverflowsInARow(t *testing.T) {
	t.Parallel()
	for _, noENOBUFS := range []bool{false, true} {
		const n = 5000
		_, c := kernel(t)
		s := subscribe(t, c, &conntrack.FollowOptions{Types: onlyNew, Buffer: 2048, MaxBuffer: 1, NoENOBUFS: noENOBUFS})
		var seen atomic.Bool
		marks := make(chan int)
		go func() {
			if err := createNumbered(t.Context(), c, 0, n); err != nil {
				t.Error(err)
			}
			marks <- endWith(t, c, &seen)
		}()
		sum := countEvents(t, s, func(e *flow.Event) {
			if e.Type == flow.Lost && e.Dropped == 0 {
				t.Log("a loss without a number")
			}
		})
		seen.Store(true)
		caused := n + <-marks
		if sum.gaps == 0 || sum.received+sum.dropped != caused {
			t.Errorf("NoENOBUFS %v: received %d, dropped %d in %d gaps; %d were caused", noENOBUFS, sum.received, sum.dropped, sum.gaps, caused)
		}
		t.Logf("NoENOBUFS %v: received %d, dropped %d in %d gaps", noENOBUFS, sum.received, sum.dropped, sum.gaps)
	}
}

// The queue overflows anew after the last event before a loss was taken from it, and
// before it was seen to be empty: at that moment the reader is as far ahead of the
// consumer as it may be, and held up.
func TestOverflowBetweenEmptyingTheQueueAndNoticing(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	s := subscribe(t, c, &conntrack.FollowOptions{Types: onlyNew, Buffer: 2048, MaxBuffer: 1})
	pause := func() { time.Sleep(20 * time.Millisecond) }
	made := 0
	makeMore := func(n int) {
		if err := createNumbered(limited(t), c, made, n); err != nil {
			t.Fatal(err)
		}
		made += n
	}
	makeMore(1)
	var seen atomic.Bool
	marks := make(chan int, 1)
	i := 0
	sum := countEvents(t, s, func(*flow.Event) {
		switch i++; i {
		case 1: // seven more fill all that may be read ahead, and then come too many
			for range 7 {
				makeMore(1)
				pause()
			}
			makeMore(200)
		case 2: // now the reader learns of the loss
			pause()
		case 3: // and now takes what came before the loss
			pause()
			makeMore(200)
			go func() { marks <- endWith(t, c, &seen) }()
		}
	})
	seen.Store(true)
	if caused := made + <-marks; sum.gaps == 0 || sum.received+sum.dropped != caused {
		t.Errorf("received %d, dropped %d in %d gaps; %d were caused", sum.received, sum.dropped, sum.gaps, caused)
	}
}

// trickle creates ten flows one after another, so slowly that each fills a buffer of the
// reader, which then does not read on until the consumer does.
func trickle(t *testing.T, c *conntrack.Client) {
	for i := range 10 {
		if err := c.Create(t.Context(), entry(numbered(1<<20+i))); err != nil {
			t.Error(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// stall reads nothing until go on is closed.
func stall(goOn <-chan bool) func(*flow.Event) {
	first := true
	return func(*flow.Event) {
		if first {
			first = false
			<-goOn
		}
	}
}

func TestAStalledConsumerIsToldWhatItMissed(t *testing.T) {
	t.Parallel()
	const n = 2000
	_, c := kernel(t)
	s := subscribe(t, c, &conntrack.FollowOptions{Types: onlyNew, Buffer: 64 << 10, MaxBuffer: 1})
	goOn := make(chan bool)
	var seen atomic.Bool
	marks := make(chan int)
	go func() {
		trickle(t, c)
		if err := createNumbered(t.Context(), c, 0, n); err != nil {
			t.Error(err)
		}
		close(goOn)
		marks <- endWith(t, c, &seen)
	}()
	sum := countEvents(t, s, stall(goOn))
	seen.Store(true)
	caused := 10 + n + <-marks
	if sum.gaps == 0 || sum.received+sum.dropped != caused {
		t.Errorf("received %d, dropped %d in %d gaps; %d were caused", sum.received, sum.dropped, sum.gaps, caused)
	}
}

func TestAGrowingQueueLosesNothing(t *testing.T) {
	t.Parallel()
	const n = 6000 // the queue has room for half of them at the start
	_, c := kernel(t)
	s := subscribe(t, c, &conntrack.FollowOptions{Types: onlyNew, Buffer: 2 << 20, MaxBuffer: 64 << 20})
	goOn := make(chan bool)
	go func() {
		trickle(t, c)
		for i := 0; i < n; i += 100 {
			if err := createNumbered(t.Context(), c, i, 100); err != nil {
				t.Error(err)
				break
			}
			time.Sleep(10 * time.Millisecond) // no faster than the queue grows
		}
		close(goOn)
		if err := c.Create(t.Context(), endMark()); err != nil {
			t.Error(err)
		}
	}()
	sum := countEvents(t, s, stall(goOn))
	if want := 10 + n + 1; sum.gaps != 0 || sum.received != want {
		t.Errorf("received %d, dropped %d in %d gaps, want %d and none", sum.received, sum.dropped, sum.gaps, want)
	}
}

func TestTheBufferIsWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	text, err := os.ReadFile("/proc/sys/net/core/rmem_max")
	if err != nil {
		t.Fatal(err)
	}
	most, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	for asked, want := range map[int]int{0: 8 << 20, 1 << 16: 1 << 16, 1 << 20: 1 << 20, 16 << 20: 16 << 20} {
		// The kernel counts double; root of a user namespace cannot exceed the limit.
		s := subscribe(t, c, &conntrack.FollowOptions{Buffer: asked})
		if got := s.Buffer(); got != 2*want && got != 2*min(want, most) {
			t.Errorf("asked for %d bytes: %d, want %d", asked, got, 2*want)
		}
	}
}

// With a reliable listener the kernel keeps the events of destroyed flows, and the flows
// themselves, until they can be delivered.
func TestReliableListenersGetEveryDestroy(t *testing.T) {
	t.Parallel()
	const n = 500
	ns, c := kernel(t)
	watcher := dial(t, ns)
	s := subscribe(t, c, &conntrack.FollowOptions{Types: []flow.EventType{flow.Destroy}, Buffer: 64 << 10, MaxBuffer: 1, NoENOBUFS: true, Reliable: true})
	makeMany(t, c, n)
	removed := 0
	for _, err := range c.DeleteFlows(limited(t), nil) {
		if err != nil {
			t.Fatal(err)
		}
		removed++
	}
	dying := 0
	for f, err := range watcher.Dying(limited(t), nil) {
		if err != nil {
			t.Fatal(err)
		}
		if !f.Status.Has(flow.Dying) || f.Orig.Proto != flow.UDP {
			t.Errorf("%+v", f)
		}
		dying++
	}
	last := &filter.Filter{Family: flow.IPv4, Orig: filter.Side{Src: filter.Addrs{Addr: numbered(n - 1).Src}}}
	for f, err := range watcher.Dying(limited(t), last) {
		if err != nil || f.Orig != numbered(n-1) {
			t.Errorf("filtered: %v, %v", f.Orig, err)
		}
	}
	// What was delivered fills the queue; the rest is dying, and still counted.
	if entries := count(t, watcher); removed != n || dying < 300 || dying >= n || entries != dying {
		t.Errorf("%d removed, %d dying, %d counted", removed, dying, entries)
	}
	if left := list(t, watcher, nil); len(left) != 0 {
		t.Errorf("%d are still listed", len(left))
	}
	told := map[flow.Key]bool{}
	for e, err := range s.Events(limited(t)) {
		if err != nil {
			t.Fatalf("after %d: %v", len(told), err)
		}
		if e.Type == flow.Lost {
			continue // an attempt that failed, and will be made again
		}
		if told[e.Flow.Key()] {
			t.Errorf("%v was told twice", e.Flow.Orig)
		}
		if told[e.Flow.Key()] = true; len(told) == n {
			break
		}
	}
	for f, err := range watcher.Dying(limited(t), nil) {
		t.Errorf("still dying: %v, %v", f.Orig, err)
	}
}
