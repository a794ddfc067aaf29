package duty

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"log/slog"
	"maps"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/guard"
)

// Watch judges what happens in a table until it is told to end, tells what it finds and has responses carried out. One loop owns the engine and
// the brakes; others hand things to it through channels that are bounded. Fields are set before Run.
type Watch struct {
	Kernel Kernel
	Engine Engine
	Brakes *guard.Brakes
	// Responders carry out what is not held.
	Responders Responders
	// Tell is told of everything, Audit of what became of responses. A nil Audit writes nothing.
	Tell  *Teller
	Audit *Audit
	// Reading is the pause between two readings of the table; 0 is a minute. It becomes longer where reading would take more than a twentieth of a processor.
	Reading time.Duration

	// Facts are looked up at the start and every ten seconds. nil: there are none.
	Facts func() (guard.Facts, error)
	// Blocked is what the set holds, likewise. nil: that is not known.
	Blocked func() ([]guard.Decision, error)
	// Announce tells the other node of a pair; Heard is what it says. nil: there is none.
	Announce func(guard.Decision) error
	Heard    <-chan guard.Decision
	// Ready is called when it watches. nil: nobody wants to know.
	Ready func()
	Log   *slog.Logger // nil: nowhere

	asked  chan func() // to be done by the loop
	events chan *events
	pieces chan *piece
	unmade chan netip.Addr // blocks that do not stand
	once   sync.Once

	mu    sync.Mutex
	state State
}

// Engine judges. [guard.Engine] is the real one.
type Engine interface {
	SetRules(*guard.Rules)
	Event(now time.Time, e *flow.Event)
	BeginReading(now time.Time)
	Read(f *flow.Flow)
	EndReading(now time.Time)
	Level(now time.Time, entries, max uint32)
	Tick(now time.Time) []guard.Finding
	Sample(one int)
	Ongoing() []guard.Finding
	Figures() guard.Figures
}

// State is how a watch is.
type State struct {
	Figures guard.Figures
	Ongoing map[guard.Kind]int
	Actions map[Tally]uint64
	Lag     time.Duration // from an event to when it is judged
	Time    time.Time     // when it was so; zero: it has not begun
	Amiss   []string      // what keeps it from seeing
}

// Tally is a kind of response and what became of it.
type Tally struct {
	Response guard.Response
	Result   string // done, failed or held
}

// Bounds of the loop.
const (
	defaultReading = time.Minute
	mostEvents     = 256 // handed over at once
	batches        = 16
	mostFlows      = 256
	pieces         = 8

	mostUnmade = 256

	readingShare = 0.05 // of a processor
	lossShare    = 0.25 // after events were lost
	lookAround   = 10 * time.Second
	judgeStep    = 250 * time.Millisecond // what is found later is stopped later
	pactStep     = 50 * time.Millisecond
	firstRetry   = time.Second
	lastRetry    = 30 * time.Second
	silence      = time.Minute // between two notices of the same kind
)

// events are some, in their order.
type events struct {
	all    []flow.Event
	behind time.Time // since when there have always been more; zero: there are no more
	err    error     // why there will be none for a while
	back   bool      // there are some again
}

// piece is a part of a reading of the table.
type piece struct {
	flows []flow.Flow
	end   bool
	err   error // of the reading
}

func (w *Watch) prepare() {
	w.once.Do(func() {
		w.asked = make(chan func())
		w.events = make(chan *events, batches)
		w.pieces = make(chan *piece, pieces)
		w.unmade = make(chan netip.Addr, mostUnmade)
		if w.Log == nil {
			w.Log = slog.New(slog.DiscardHandler)
		}
	})
}

// Do has something done by the loop, and waits for that. It reports false if ctx ends before.
func (w *Watch) Do(ctx context.Context, what func()) bool {
	w.prepare()
	done := make(chan struct{})
	select {
	case w.asked <- func() { defer close(done); what() }:
		<-done
		return true
	case <-ctx.Done():
		return false
	}
}

// SetRules has other rules apply from now on; what is remembered stays.
func (w *Watch) SetRules(ctx context.Context, rules *guard.Rules) bool {
	return w.Do(ctx, func() {
		w.Engine.SetRules(rules)
		w.Brakes.SetRules(rules)
	})
}

// State tells how the watch is, about a second ago. What it returns is not changed afterwards.
func (w *Watch) State() State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

// Run watches until ctx ends, which is no error. An error is that it could not begin.
func (w *Watch) Run(ctx context.Context) error {
	w.prepare()
	first, err := w.Kernel.Subscribe()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	var others, queue sync.WaitGroup
	l := &loop{Watch: w, ctx: ctx, clock: newClock(), told: make(map[string]time.Time), free: make(chan *events, batches+2),
		spare: make(chan *piece, pieces+runtime.NumCPU()), queue: NewQueue(w.Responders, w.became)}
	// What the loop has ordered last is still there when the queue ends.
	within, last := context.WithCancel(context.WithoutCancel(ctx))
	queue.Go(func() { l.queue.Run(within) })
	defer func() {
		stop()
		others.Wait()
		last()
		queue.Wait()
	}()
	others.Go(func() { l.follow(first) })
	looked := make(chan around, 1)
	if w.Facts != nil || w.Blocked != nil {
		l.around(w.look()) // nothing is done before it is known to whom it must not be done
		others.Go(func() { l.lookAround(looked) })
	}
	if w.Ready != nil {
		w.Ready()
	}
	l.run(&others, looked)
	return nil
}

// loop is what Run needs while it runs. What is below belongs to the goroutine of run.
type loop struct {
	*Watch
	ctx   context.Context
	clock *clock
	free  chan *events
	spare chan *piece
	queue *Queue

	thin    thinning
	behind  time.Time // as in events
	stamped time.Duration
	lag     time.Duration
	told    map[string]time.Time // notices

	reading  bool
	again    bool          // events were lost during the reading
	begun    time.Time     // of the reading
	due      time.Time     // when the table is to be read next
	took     time.Duration // the last reading
	retry    time.Duration
	readFail string
	deaf     string // why there are no events
	factFail string
}

func (l *loop) run(others *sync.WaitGroup, looked <-chan around) {
	usage := make(chan conntrack.Usage, 1)
	others.Go(func() { l.count(usage) })
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	judge := time.NewTicker(judgeStep)
	defer judge.Stop()
	step := time.NewTicker(pactStep)
	defer step.Stop()
	l.read(others)
	l.publish()
	for {
		select {
		case <-l.ctx.Done():
			l.end()
			return
		case b := <-l.events:
			l.judge(b)
		case p := <-l.pieces:
			l.take(p)
		case u := <-usage:
			l.Engine.Level(l.clock.now(), u.Entries, u.Max)
		case do := <-l.asked:
			do()
		case d := <-l.Heard:
			l.Brakes.Hear(l.clock.now(), d)
		case offender := <-l.unmade:
			l.Brakes.Release(offender)
		case a := <-looked:
			l.around(a)
		case <-step.C:
			if at, ok := l.Brakes.Next(); ok && !at.After(l.clock.now()) {
				l.act(l.Brakes.Due(l.clock.now()))
			}
		case <-judge.C:
			l.found(l.clock.now(), true)
		case <-tick.C:
			l.tick(l.clock.now())
			if !l.reading && !time.Now().Before(l.due) {
				l.read(others)
			}
		}
	}
}

// follow hands events over until the end. What fails is tried again.
func (l *loop) follow(from Events) {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		begun := time.Now()
		err := l.deliver(from)
		if l.ctx.Err() != nil {
			return
		}
		if time.Since(begun) > lastRetry {
			wait = firstRetry
		}
		for err != nil {
			if !l.hand(&events{err: err}) || !pause(l.ctx, wait) {
				return
			}
			if from, err = l.Kernel.Subscribe(); err == nil && !l.hand(&events{back: true}) {
				from.Close()
				return
			}
			wait = min(2*wait, lastRetry)
		}
	}
}

var errEnded = errors.New("the stream of events ended")

func (l *loop) deliver(from Events) error {
	b := l.empty()
	var behind time.Time
	for e, err := range from.Events(l.ctx) {
		if err != nil {
			return err
		}
		b.all = append(b.all, e)
		more := from.Queued()
		if more && len(b.all) < mostEvents {
			continue
		}
		if !more {
			behind = time.Time{}
		} else if behind.IsZero() {
			behind = time.Now()
		}
		b.behind = behind
		if !l.hand(b) {
			return l.ctx.Err()
		}
		b = l.empty()
	}
	return errEnded
}

func (l *loop) empty() *events {
	select {
	case b := <-l.free:
		*b = events{all: b.all[:0]}
		return b
	default:
		return &events{all: make([]flow.Event, 0, mostEvents)}
	}
}

func (l *loop) hand(b *events) bool {
	select {
	case l.events <- b:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// judge has the engine judge events.
func (l *loop) judge(b *events) {
	now := l.clock.now()
	switch {
	case b.err != nil:
		l.deaf = "events are not followed: " + b.err.Error()
		l.notice("events are not followed; it is tried again", "error", b.err)
		return
	case b.back:
		l.deaf = ""
		l.Log.Info("events are followed again")
		l.lost(now, &flow.Event{Type: flow.Lost})
		return
	}
	for i := range b.all {
		e := &b.all[i]
		if e.Type == flow.Lost {
			l.lost(now, e)
			continue
		}
		l.Engine.Event(now, e)
	}
	l.behind, l.stamped = b.behind, 0
	if last := &b.all[len(b.all)-1]; last.Time != 0 {
		l.stamped = time.Since(last.Time.Time())
	}
	select {
	case l.free <- b:
	default:
	}
}

// lost has the table read again: what has been missed shows there.
func (l *loop) lost(now time.Time, e *flow.Event) {
	l.Engine.Event(now, e)
	l.notice("events were lost; the table is read again", "now", e.Dropped, "since the start", l.Engine.Figures().Lost)
	if l.reading {
		l.again = true
		return
	}
	l.soon()
}

// soon has the table read as soon as the time that the last reading took allows.
func (l *loop) soon() {
	if at := l.begun.Add(time.Duration(float64(l.took) / lossShare)); at.Before(l.due) {
		l.due = at
	}
}

// notice logs something that may come many times.
func (l *loop) notice(text string, args ...any) {
	if now := time.Now(); now.Sub(l.told[text]) >= silence {
		l.told[text] = now
		l.Log.Warn(text, args...)
	}
}

// read begins to read the table.
func (l *loop) read(others *sync.WaitGroup) {
	l.reading, l.again, l.begun = true, false, time.Now()
	l.Engine.BeginReading(l.clock.now())
	others.Go(func() {
		err := l.Kernel.Read(l.ctx, func(flows iter.Seq[*flow.Flow]) error {
			p := l.emptyPiece()
			for f := range flows {
				if p.flows = append(p.flows, *f); len(p.flows) == mostFlows {
					if !l.handPiece(p) {
						return l.ctx.Err()
					}
					p = l.emptyPiece()
				}
			}
			if !l.handPiece(p) {
				return l.ctx.Err()
			}
			return nil
		})
		l.handPiece(&piece{end: true, err: err})
	})
}

func (l *loop) emptyPiece() *piece {
	select {
	case p := <-l.spare:
		p.flows = p.flows[:0]
		return p
	default:
		return &piece{flows: make([]flow.Flow, 0, mostFlows)}
	}
}

func (l *loop) handPiece(p *piece) bool {
	select {
	case l.pieces <- p:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// take takes in a part of the table.
func (l *loop) take(p *piece) {
	for i := range p.flows {
		l.Engine.Read(&p.flows[i])
	}
	if !p.end {
		select {
		case l.spare <- p:
		default:
		}
		return
	}
	l.reading, l.took = false, time.Since(l.begun)
	if p.err != nil {
		l.retry = min(max(firstRetry, 2*l.retry), lastRetry)
		l.due = time.Now().Add(l.retry)
		l.readFail = "the table was not read: " + p.err.Error()
		l.notice("the table was not read; it is tried again", "error", p.err)
		return
	}
	l.retry, l.readFail = 0, ""
	l.Engine.EndReading(l.clock.now())
	l.due = l.begun.Add(max(cmp.Or(l.Reading, defaultReading), time.Duration(float64(l.took)/readingShare)))
	if l.again {
		l.soon()
	}
}

// count asks how full the table is, once a second.
func (l *loop) count(to chan<- conntrack.Usage) {
	for ok := true; ok; ok = pause(l.ctx, time.Second) {
		u, err := l.Kernel.Count(l.ctx)
		if err != nil {
			continue // readings fail as well, and are told
		}
		select {
		case to <- u:
		case <-l.ctx.Done():
		}
	}
}

// tick does what is done once a second.
func (l *loop) tick(now time.Time) {
	l.lag, l.stamped = l.stamped, 0
	if !l.behind.IsZero() {
		l.lag = max(l.lag, time.Since(l.behind))
	}
	if l.thin.adjust(now, l.lag) {
		l.Engine.Sample(l.thin.one)
		if l.thin.one > 1 {
			l.Log.Warn("there are more events than can be judged in time: only some flows are", "one in", l.thin.one, "lag", l.lag.Round(time.Millisecond))
		} else {
			l.Log.Info("all flows are judged again")
		}
	}
	l.publish()
}

// found tells what has been found, and has done what is to be done about it.
func (l *loop) found(now time.Time, act bool) {
	all := l.Engine.Tick(now)
	for _, f := range all {
		l.Tell.Finding(&f)
		if act {
			l.act(l.Brakes.Decide(now, &f))
		}
	}
	for _, d := range l.Brakes.Announcements() {
		if l.Announce == nil {
			continue
		}
		if err := l.Announce(d); err != nil {
			l.notice("the other node was not told", "error", err)
		}
	}
	if len(all) > 0 {
		l.publish()
	}
}

func (l *loop) publish() {
	ongoing := make(map[guard.Kind]int)
	for _, f := range l.Engine.Ongoing() {
		ongoing[f.Kind]++
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state.Figures, l.state.Ongoing = l.Engine.Figures(), ongoing
	l.state.Lag, l.state.Time = l.lag, time.Now()
	l.state.Amiss = nil
	for _, text := range []string{l.deaf, l.readFail, l.factFail} {
		if text != "" {
			l.state.Amiss = append(l.state.Amiss, text)
		}
	}
}

// end tells what has been found last.
func (l *loop) end() {
	l.found(l.clock.now(), false)
}

// act has actions carried out, or told why they are not.
func (l *loop) act(actions []guard.Action) {
	for _, a := range actions {
		l.queue.Put(a)
	}
}

// became counts, writes and tells what became of an action.
func (w *Watch) became(o Outcome) {
	w.mu.Lock()
	counts := maps.Clone(w.state.Actions)
	if counts == nil {
		counts = make(map[Tally]uint64)
	}
	counts[Tally{o.Action.Do, o.Result()}]++
	w.state.Actions = counts
	w.mu.Unlock()
	w.Audit.Write(&o)
	w.Tell.Outcome(&o)
	if o.Err != nil && o.Action.Do == guard.Block {
		select {
		case w.unmade <- o.Action.Finding.Offender: // may be decided on again
		default: // the set will show that it does not stand
		}
	}
}

// around is what is true outside: who must be left alone, and what the set holds.
type around struct {
	facts   *guard.Facts
	blocked []guard.Decision
	known   bool // blocked is
	err     error
}

func (w *Watch) look() (a around) {
	if w.Facts != nil {
		f, err := w.Facts()
		a.facts, a.err = &f, err
	}
	if w.Blocked != nil {
		var err error
		a.blocked, err = w.Blocked()
		a.known = err == nil
		a.err = errors.Join(a.err, err)
	}
	return a
}

func (l *loop) lookAround(to chan<- around) {
	for pause(l.ctx, lookAround) {
		select {
		case to <- l.look():
		case <-l.ctx.Done():
		}
	}
}

func (l *loop) around(a around) {
	if a.facts != nil {
		l.Brakes.SetFacts(*a.facts)
	}
	if a.known {
		l.Brakes.Adopt(l.clock.now(), a.blocked)
	}
	l.factFail = ""
	if a.err != nil {
		l.factFail = a.err.Error()
		l.notice("not all is known of the surroundings", "error", a.err)
	}
}

// pause waits, and reports false if ctx ends meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
