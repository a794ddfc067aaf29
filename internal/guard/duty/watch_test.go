package duty

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/guard"
)

// fakeKernel has a table and events that tests make.
type fakeKernel struct {
	mu       sync.Mutex
	table    []flow.Flow
	failRead int              // so many readings fail
	failSub  int              // so many subscriptions
	reads    int              // readings that have begun
	hold     chan struct{}    // not nil: readings wait in their middle until it is closed
	stream   chan flow.Event  // closed: the stream fails
	queued   func() (is bool) // nil: never
}

var errFake = errors.New("the kernel is busy")

func newFakeKernel() *fakeKernel { return &fakeKernel{stream: make(chan flow.Event, 100)} }

func (k *fakeKernel) Subscribe() (Events, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.failSub > 0 {
		k.failSub--
		return nil, errFake
	}
	return &fakeEvents{k, k.stream}, nil
}

func (k *fakeKernel) Count(context.Context) (conntrack.Usage, error) {
	return conntrack.Usage{Entries: 5, Max: 10}, nil
}

func (k *fakeKernel) Read(ctx context.Context, take func(iter.Seq[*flow.Flow]) error) error {
	k.mu.Lock()
	k.reads++
	fail, hold, table := k.failRead > 0, k.hold, slices.Clone(k.table)
	k.failRead = max(0, k.failRead-1)
	k.mu.Unlock()
	err := take(func(yield func(*flow.Flow) bool) {
		for i := range table {
			if !yield(&table[i]) {
				return
			}
		}
	})
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if fail {
		return errFake
	}
	return err
}

type fakeEvents struct {
	kernel *fakeKernel
	stream chan flow.Event
}

func (e *fakeEvents) Events(ctx context.Context) iter.Seq2[flow.Event, error] {
	return func(yield func(flow.Event, error) bool) {
		for {
			select {
			case ev, ok := <-e.stream:
				if !ok {
					yield(flow.Event{}, errFake)
					return
				}
				if !yield(ev, nil) {
					return
				}
			case <-ctx.Done():
				yield(flow.Event{}, ctx.Err())
				return
			}
		}
	}
}

func (e *fakeEvents) Queued() bool { return e.kernel.queued != nil && e.kernel.queued() }
func (e *fakeEvents) Close() error { return nil }

// fakeEngine writes down what it is given, and finds what tests want. Only the loop calls it, so it notices other callers by the race detector.
type fakeEngine struct {
	mu    sync.Mutex
	calls []string
	found []guard.Finding // with the next tick
	slow  time.Duration   // for each event
}

func (e *fakeEngine) note(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls = append(e.calls, fmt.Sprintf(format, args...))
}

func (e *fakeEngine) noted() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.calls)
}

func (e *fakeEngine) count(call string) (n int) {
	for _, c := range e.noted() {
		if c == call {
			n++
		}
	}
	return n
}

func (e *fakeEngine) finds(f ...guard.Finding) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.found = append(e.found, f...)
}

func (e *fakeEngine) SetRules(*guard.Rules) { e.note("rules") }
func (e *fakeEngine) Event(_ time.Time, ev *flow.Event) {
	e.note("%s %d", ev.Type, ev.Flow.Orig.SrcPort)
	time.Sleep(e.slow)
}
func (e *fakeEngine) BeginReading(time.Time)          { e.note("begin") }
func (e *fakeEngine) Read(f *flow.Flow)               { e.note("read %d", f.Orig.SrcPort) }
func (e *fakeEngine) EndReading(time.Time)            { e.note("end") }
func (e *fakeEngine) Level(_ time.Time, n, of uint32) { e.note("level %d/%d", n, of) }
func (e *fakeEngine) Sample(one int)                  { e.note("sample %d", one) }
func (e *fakeEngine) Ongoing() []guard.Finding        { return []guard.Finding{{Kind: guard.PortScan}} }
func (e *fakeEngine) Figures() guard.Figures          { return guard.Figures{Events: 7} }
func (e *fakeEngine) Tick(time.Time) []guard.Finding {
	e.mu.Lock()
	defer e.mu.Unlock()
	found := e.found
	e.found = nil
	return found
}

// heard is a sink that keeps lines.
type heard struct {
	mu    sync.Mutex
	lines []string
	fail  error
	hold  chan struct{}
}

func (h *heard) add(line string) error {
	if h.hold != nil {
		<-h.hold
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fail != nil {
		return h.fail
	}
	h.lines = append(h.lines, line)
	return nil
}

func (h *heard) Finding(f *guard.Finding) error {
	return h.add(f.Kind.String() + " " + f.Phase.String())
}
func (h *heard) Outcome(o *Outcome) error { return h.add(o.Line()) }
func (h *heard) Flush() error             { return nil }

func (h *heard) has(part string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.lines, func(line string) bool { return strings.Contains(line, part) })
}

// post is a watch being tested.
type post struct {
	t      *testing.T
	kernel *fakeKernel
	engine *fakeEngine
	heard  *heard
	watch  *Watch
	log    *bytes.Buffer // to be read after end
	stop   func()
}

func rules(t *testing.T, text string) *guard.Rules {
	t.Helper()
	r, err := guard.ParseRules(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// keep begins to watch; change may change what is watched before.
func keep(t *testing.T, text string, change func(*post)) *post {
	t.Helper()
	t.Parallel()
	p := &post{t: t, kernel: newFakeKernel(), engine: &fakeEngine{}, heard: &heard{}, log: &bytes.Buffer{}}
	log := slog.New(slog.NewTextHandler(p.log, nil))
	p.watch = &Watch{Kernel: p.kernel, Engine: p.engine, Reading: time.Hour, Log: log,
		Brakes: guard.NewBrakes(rules(t, text), guard.BrakeOptions{Enforce: true, Node: "a"})}
	if change != nil {
		change(p)
	}
	tell := NewTeller(log, p.heard)
	p.watch.Tell = tell
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- p.watch.Run(ctx) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		within, done := context.WithTimeout(context.Background(), 10*time.Second)
		defer done()
		tell.Close(within)
	})
	t.Cleanup(p.stop)
	return p
}

func (p *post) until(what string, ok func() bool) {
	p.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("%s does not come; engine: %v", what, p.engine.noted())
		}
	}
}

func fromPort(port uint16) flow.Flow {
	return flow.Flow{Orig: flow.Tuple{Proto: flow.UDP, SrcPort: port}}
}

func (p *post) happens(t flow.EventType, port uint16) {
	p.kernel.stream <- flow.Event{Type: t, Flow: fromPort(port)}
}

// TestEventsGoOnWhileTheTableIsRead, however long that takes.
func TestEventsGoOnWhileTheTableIsRead(t *testing.T) {
	p := keep(t, "", func(p *post) {
		p.kernel.hold = make(chan struct{})
		p.kernel.table = []flow.Flow{fromPort(1), fromPort(2)}
	})
	p.happens(flow.New, 3)
	p.until("the event", func() bool { return p.engine.count("NEW 3") == 1 })
	p.until("the level", func() bool { return p.engine.count("level 5/10") > 0 })
	if p.engine.count("end") > 0 {
		t.Error("the reading has ended")
	}
	close(p.kernel.hold)
	p.until("the end of the reading", func() bool { return p.engine.count("end") == 1 })
	calls := p.engine.noted()
	if i, j := slices.Index(calls, "begin"), slices.Index(calls, "read 1"); i < 0 || j < i || p.engine.count("read 2") != 1 {
		t.Errorf("%v", calls)
	}
	p.until("the figures", func() bool {
		s := p.watch.State()
		return len(s.Amiss) == 0 && s.Figures.Events == 7 && s.Ongoing[guard.PortScan] == 1 && !s.Time.IsZero()
	})
}

// TestLossHasTheTableRead again, also when a reading is going on already: it may have passed what was lost.
func TestLossHasTheTableRead(t *testing.T) {
	p := keep(t, "", func(p *post) { p.kernel.hold = make(chan struct{}) })
	p.until("the reading", func() bool { return p.engine.count("begin") == 1 })
	p.kernel.stream <- flow.Event{Type: flow.Lost, Dropped: 12}
	p.until("the loss", func() bool { return p.engine.count("LOST 0") == 1 })
	if p.engine.count("begin") != 1 {
		t.Error("two readings at once")
	}
	close(p.kernel.hold)
	p.until("the second reading", func() bool { return p.engine.count("end") == 2 })
	p.kernel.stream <- flow.Event{Type: flow.Lost}
	p.until("the third reading", func() bool { return p.engine.count("end") == 3 })
	p.stop()
	if n := strings.Count(p.log.String(), "events were lost"); n != 1 || !strings.Contains(p.log.String(), "now=12") {
		t.Errorf("told %d times: %s", n, p.log)
	}
}

// TestFailedReadingIsBegunAgain, and not ended.
func TestFailedReadingIsBegunAgain(t *testing.T) {
	p := keep(t, "", func(p *post) { p.kernel.failRead = 1 })
	p.until("the failure", func() bool { return len(p.watch.State().Amiss) > 0 })
	if got := p.watch.State().Amiss[0]; got != "the table was not read: "+errFake.Error() {
		t.Error(got)
	}
	p.until("the reading", func() bool { return p.engine.count("end") == 1 })
	if p.engine.count("begin") != 2 {
		t.Errorf("%v", p.engine.noted())
	}
	p.until("health", func() bool { return len(p.watch.State().Amiss) == 0 })
}

// TestStreamThatFailsIsBegunAgain: what was missed meanwhile counts as lost.
func TestStreamThatFailsIsBegunAgain(t *testing.T) {
	p := keep(t, "", nil)
	p.until("the reading", func() bool { return p.engine.count("end") == 1 })
	p.kernel.mu.Lock()
	old := p.kernel.stream
	p.kernel.stream, p.kernel.failSub = make(chan flow.Event, 10), 1
	p.kernel.mu.Unlock()
	close(old)
	p.until("the notice", func() bool { return len(p.watch.State().Amiss) > 0 })
	p.until("another reading", func() bool { return p.engine.count("LOST 0") == 1 && p.engine.count("end") == 2 })
	p.happens(flow.Destroy, 9)
	p.until("events", func() bool { return p.engine.count("DESTROY 9") == 1 })
	p.until("health", func() bool { return len(p.watch.State().Amiss) == 0 })
}

// TestCannotBegin: without the first subscription there is no guard.
func TestCannotBegin(t *testing.T) {
	k := newFakeKernel()
	k.failSub = 1
	w := &Watch{Kernel: k, Engine: &fakeEngine{}, Brakes: guard.NewBrakes(&guard.Rules{}, guard.BrakeOptions{})}
	if err := w.Run(t.Context()); err != errFake {
		t.Error(err)
	}
}

// TestTooManyEventsAreSampled, and that is told.
func TestTooManyEventsAreSampled(t *testing.T) {
	p := keep(t, "", func(p *post) {
		p.kernel.queued = func() bool { return true }
		p.kernel.stream = make(chan flow.Event, 5*mostEvents)
		for range 5 * mostEvents {
			p.kernel.stream <- flow.Event{Type: flow.New}
		}
		p.engine.slow = 3 * time.Millisecond
	})
	p.until("sampling", func() bool { return p.engine.count("sample 2") == 1 })
	p.stop()
	if !strings.Contains(p.log.String(), "only some flows are") {
		t.Error(p.log)
	}
}

func scan(id uint64, offender string) guard.Finding {
	return guard.Finding{ID: id, Kind: guard.PortScan, Offender: netip.MustParseAddr(offender), Time: time.Now()}
}

// TestSlowResponsesDelayNoBlock and no judging; what fails may be decided on again; what is held is told.
func TestSlowResponsesDelayNoBlock(t *testing.T) {
	release := make(chan struct{})
	var mu sync.Mutex
	var blocked []string
	fail := true
	p := keep(t, "port-scan ports=20 then block 1h, post http://192.0.2.1/\nallow 192.0.2.66", func(p *post) {
		p.watch.Responders = Responders{
			Post: func(ctx context.Context, to string, f *guard.Finding) error {
				select {
				case <-release:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			},
			Block: func(offender netip.Addr, d time.Duration, kind guard.Kind) error {
				mu.Lock()
				defer mu.Unlock()
				if fail {
					fail = false
					return errFake
				}
				blocked = append(blocked, offender.String())
				return nil
			},
		}
	})
	blocks := func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(blocked, " ")
	}
	p.engine.finds(scan(1, "192.0.2.7"))
	p.until("the failure", func() bool { return p.heard.has("failed, " + errFake.Error()) })
	p.until("its consequence", func() bool { return len(p.watch.unmade) == 0 })
	p.engine.finds(scan(2, "192.0.2.7"), scan(3, "192.0.2.8"), scan(4, "192.0.2.66"))
	p.until("the blocks", func() bool { return blocks() == "192.0.2.7 192.0.2.8" })
	p.until("what is held", func() bool { return p.heard.has("allowed: allow 192.0.2.66") })
	p.happens(flow.New, 77)
	p.until("judging", func() bool { return p.engine.count("NEW 77") == 1 })
	if p.heard.has("post to http://192.0.2.1 (port-scan by 192.0.2.7): done") {
		t.Error("the request has been answered")
	}
	close(release)
	p.until("the request", func() bool { return p.heard.has("post to http://192.0.2.1 (port-scan by 192.0.2.7): done") })
	p.until("the counts", func() bool {
		a := p.watch.State().Actions
		return a[Tally{guard.Block, "done"}] == 2 && a[Tally{guard.Block, "failed"}] == 1 && a[Tally{guard.Post, "done"}] == 3 && a[Tally{guard.Block, "held"}] == 1
	})
}

// TestWhatWaitsAtTheEndIsTold: no response is lost without a word, in the audit log neither.
func TestWhatWaitsAtTheEndIsTold(t *testing.T) {
	begun := make(chan struct{}, 10)
	log := t.TempDir() + "/audit"
	p := keep(t, "port-scan ports=20 then run /bin/true", func(p *post) {
		p.watch.Audit = OpenAudit(log, "a", func(text string) { t.Error(text) })
		p.watch.Responders = Responders{Run: func(ctx context.Context, command []string, f *guard.Finding) (string, error) {
			begun <- struct{}{}
			<-ctx.Done()
			return "", ctx.Err()
		}}
	})
	p.engine.finds(scan(1, "192.0.2.7"), scan(2, "192.0.2.8"))
	<-begun
	p.until("both findings", func() bool {
		p.heard.mu.Lock()
		defer p.heard.mu.Unlock()
		return len(p.heard.lines) == 2
	})
	p.stop()
	text, err := os.ReadFile(log)
	if err != nil || strings.Count(string(text), "\n") != 2 || strings.Count(string(text), `"result":"failed"`) != 2 {
		t.Errorf("%v %s", err, text)
	}
	if !p.heard.has("192.0.2.7): failed, context canceled") || !p.heard.has("192.0.2.8): failed, the guard is ending") {
		t.Errorf("%q", p.heard.lines)
	}
}

// TestNothingIsDoneBeforeItIsKnownToWhom it must not be.
func TestNothingIsDoneBeforeItIsKnownToWhom(t *testing.T) {
	own := netip.MustParseAddr("192.0.2.9")
	p := keep(t, "port-scan ports=20 then block 1h", func(p *post) {
		p.watch.Facts = func() (guard.Facts, error) { return guard.Facts{Own: map[netip.Addr]struct{}{own: {}}}, nil }
		p.engine.finds(scan(1, "192.0.2.9"))
		p.watch.Blocked = func() ([]guard.Decision, error) {
			return []guard.Decision{{Offender: netip.MustParseAddr("192.0.2.10"), Until: time.Now().Add(2 * time.Hour)}}, errFake
		}
	})
	p.until("the brakes", func() bool { return p.heard.has("allowed: own address") })
	p.until("the notice", func() bool { return slices.Contains(p.watch.State().Amiss, errFake.Error()) })
}

func TestRulesChangeWhileItRuns(t *testing.T) {
	p := keep(t, "port-scan ports=20", nil)
	if !p.watch.SetRules(t.Context(), rules(t, "port-scan ports=30 then block 1h")) {
		t.Fatal("not done")
	}
	if p.engine.count("rules") != 1 {
		t.Error(p.engine.noted())
	}
	p.engine.finds(scan(1, "192.0.2.7"))
	p.until("the brakes", func() bool { return p.heard.has("failed, " + ErrUnarmed.Error()) })
}

// TestDecisionsOfAPair go both ways.
func TestDecisionsOfAPair(t *testing.T) {
	heard := make(chan guard.Decision, 1)
	told := make(chan guard.Decision, 10)
	p := keep(t, "port-scan ports=20 then block 1h", func(p *post) {
		p.watch.Brakes = guard.NewBrakes(rules(t, "port-scan ports=20 then block 1h"), guard.BrakeOptions{Enforce: true, Node: "a", Pair: true})
		p.watch.Heard = heard
		p.watch.Announce = func(d guard.Decision) error { told <- d; return nil }
		p.watch.Responders = Responders{Block: func(netip.Addr, time.Duration, guard.Kind) error { return nil }}
	})
	p.engine.finds(scan(1, "192.0.2.7"))
	if d := <-told; d.Node != "a" || d.Offender.String() != "192.0.2.7" {
		t.Errorf("%+v", d)
	}
	heard <- guard.Decision{Offender: netip.MustParseAddr("192.0.2.8"), Kind: guard.PortScan, Node: "b", Time: time.Now(), Until: time.Now().Add(time.Hour)}
	p.until("the other node's block", func() bool { return p.heard.has("192.0.2.8") && p.heard.has("decided by node b") })
}

func TestThinning(t *testing.T) {
	t.Parallel()
	var th thinning
	now := time.Unix(1000, 0)
	step := func(seconds int, lag time.Duration) (changes []int) {
		for range seconds {
			now = now.Add(time.Second)
			if th.adjust(now, lag) {
				changes = append(changes, th.one)
			}
		}
		return changes
	}
	want := func(got []int, want ...int) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
	want(step(100, 100*time.Millisecond))
	want(step(30, 5*time.Second), 2, 4, 8, 16, 32, 64)
	want(step(29, 0))
	want(step(200, 0), 32, 16, 8, 4, 2, 1)
	// What was given back too early is given back later the next time.
	want(step(3, 3*time.Second), 2)
	want(step(59, 0))
	want(step(2, 0), 1)
	// Neither late nor in time changes nothing.
	want(step(3, 3*time.Second), 2)
	want(step(1000, time.Second))
	want(step(300, 0), 1)
}

func TestClockNeverGoesBack(t *testing.T) {
	c := newClock()
	begin := c.start.Round(0)
	last := begin
	for i, s := range []struct{ wall, gone, want time.Duration }{
		{0, 0, 0},
		{time.Second, time.Second, time.Second},
		{-time.Hour, 2 * time.Second, 2 * time.Second}, // set back
		{time.Hour, 3 * time.Second, time.Hour},        // set ahead, or asleep
		{time.Hour + time.Second, 4 * time.Second, time.Hour + time.Second},
		{time.Minute, 5 * time.Second, time.Hour + 2*time.Second},
	} {
		got := c.at(begin.Add(s.wall), s.gone)
		if !got.Equal(begin.Add(s.want)) || got.Before(last) {
			t.Errorf("%d: %v, want %v", i, got.Sub(begin), s.want)
		}
		last = got
	}
}
