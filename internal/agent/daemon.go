package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/syslog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/config"
	"github.com/spoor-project/spoor/internal/cthelper"
	"github.com/spoor-project/spoor/internal/libc"
	"github.com/spoor-project/spoor/internal/statesync"
	"github.com/spoor-project/spoor/internal/statesync/channel"
	"github.com/spoor-project/spoor/internal/statesync/wire"
)

// Daemon is a running node.
type Daemon struct {
	cfg     atomic.Pointer[config.Config] // replaced by a reload
	log     *Log
	begun   time.Time
	kernel  *kernel
	engine  *statesync.Engine // nil without Sync
	ledger  *ledger           // nil without Stats
	group   *channel.Group    // nil without Sync
	control net.Listener      // nil without UNIX Path
	metrics net.Listener      // nil without Metrics
	helpers *cthelper.Service // nil without Helper
	stop    context.CancelFunc
	work    sync.WaitGroup // goroutines

	oneReading sync.Mutex // held by who has the engine compare the kernel's table; never by the loop

	// What the others hand to the loop.
	events  chan handover[[]flow.Event]
	expects chan handover[*flow.ExpectEvent]
	packets chan handover[arrival]
	calls   chan func()
	// operations are for the injector; when it falls behind the loop waits.
	operations chan []statesync.Operation

	injected injectCounts

	// The loop's.
	next, last statesync.Moment // when the engine shall run, and when it ran
	flushing   bool             // the kernel's table is being flushed
	flushed    chan struct{}    // closed when that is over
	committing bool
	reading    bool             // the kernel's table is being read again
	rereadAt   statesync.Moment // after a loss of events; 0: not
	purgeAt    statesync.Moment // of the kernel's table; 0: not
	deaf       deafness
	runtime    RuntimeStatus
	lossTold   statesync.Moment // when a loss of events was last logged
	heard      time.Time        // when a message of a peer was last accepted
	lastCommit time.Duration    // how long it took
}

// handover lends something to the loop until done is closed.
type handover[T any] struct {
	it   T
	done chan<- struct{}
}

// arrival is what came through a channel.
type arrival struct {
	channel   int
	datagrams [][]byte
}

// runEvery bounds how often what is queued is sent: what happens within that time shares datagrams, and is late
// by no more.
const runEvery = statesync.Moment(4 * time.Millisecond)

// ErrControl says that Open could not open the control socket.
var ErrControl = errors.New("can't open unix socket!")

// Open makes everything ready: the kernel's table has been read when it returns. seq numbers the first
// message; conntrackd takes the Unix time.
func Open(cfg *config.Config, log *Log, seq uint32) (*Daemon, error) {
	d := &Daemon{
		log: log, begun: time.Now(),
		events: make(chan handover[[]flow.Event]), expects: make(chan handover[*flow.ExpectEvent]),
		packets: make(chan handover[arrival]), calls: make(chan func()), operations: make(chan []statesync.Operation, 16),
	}
	d.cfg.Store(cfg)
	if err := d.open(seq); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Daemon) open(seq uint32) (err error) {
	if err := d.listen(); err != nil {
		return fmt.Errorf("%w: %w", ErrControl, err)
	}
	if err := d.openMetrics(); err != nil {
		return fmt.Errorf("can't listen for Prometheus: %w", err)
	}
	if s := d.cfg.Load().Sync; s != nil {
		if err := d.openSync(s, seq); err != nil {
			return err
		}
	}
	if d.kernel, err = openKernel(d.cfg.Load()); err != nil {
		return fmt.Errorf("can't open netlink handler: %w", err)
	}
	if err := d.kernel.filterEvents(d.cfg.Load().General.Filter); err != nil {
		d.log.Printf(statesync.Error, "cannot set event filtering: %s", libc.ErrorText(err))
	}
	if s := d.cfg.Load().Stats; s != nil {
		if err := d.openLedger(s); err != nil {
			return err
		}
	}
	if d.ledger != nil || d.engine != nil && !d.cfg.Load().Sync.DisableInternalCache {
		if err := d.readAtStart(); err != nil {
			return err
		}
	}
	d.announce()
	return d.openHelpers()
}

// announce logs how the daemon works where that is not the usual way.
func (d *Daemon) announce() {
	g := &d.cfg.Load().General
	say := func(when bool, text string, args ...any) {
		if when {
			d.log.Printf(statesync.Notice, text, args...)
		}
	}
	if s := d.cfg.Load().Sync; s != nil {
		say(s.DisableInternalCache, "disabling internal cache")
		say(s.DisableExternalCache, "disabling external cache")
	}
	say(g.NetlinkEventsReliable, "reliable ctnetlink event delivery is ENABLED.")
	say(d.kernel.inKernel, "using kernel-space event filtering")
	say(g.Filter != nil && !d.kernel.inKernel, "using user-space event filtering")
	say(g.NetlinkBufferSize > g.NetlinkBufferSizeMaxGrowth,
		"NetlinkBufferSize is either not set or is greater than NetlinkBufferSizeMaxGrowth. Using current system buffer size")
	say(g.PollEvery > 0, "running in polling mode")
	if d.kernel.events != nil {
		say(true, "netlink event socket buffer size has been set to %d bytes", d.kernel.events.Buffer())
	}
}

func (d *Daemon) openSync(s *config.Sync, seq uint32) error {
	o := statesync.Options{
		Mode: modes[s.Mode], FirstSeq: seq, HashSize: int(min(d.cfg.Load().General.HashSize, 1<<22)), HashLimit: int(d.cfg.Load().General.HashLimit),
		ResendQueue: int(s.ResendQueueSize), AckWindow: int(s.ACKWindowSize),
		Refresh: int(s.RefreshTime / time.Second), CacheTimeout: int(s.CacheTimeout / time.Second),
		NoInternalCache: s.DisableInternalCache, NoExternalCache: s.DisableExternalCache,
		Wire: wire.Options{TCPWindowTracking: s.TCPWindowTracking, OmitTimeout: s.CommitTimeout > 0},
	}
	group, err := openChannels(s)
	if err != nil {
		return fmt.Errorf("can't open channel socket: %w", err)
	}
	d.group = group
	o.Room = group.Room()
	d.engine = statesync.New(o)
	return nil
}

// entries says how what peers told becomes requests to the kernel.
func (d *Daemon) entries() *entries {
	s := d.cfg.Load().Sync
	return &entries{commitTimeout: s.CommitTimeout, windows: s.TCPWindowTracking}
}

var modes = map[config.Mode]statesync.Mode{config.FTFW: statesync.FTFW, config.ALARM: statesync.ALARM, config.NOTRACK: statesync.NOTRACK}

var kinds = map[config.Kind]channel.Kind{config.UDP: channel.UDP, config.Multicast: channel.Multicast, config.TCP: channel.TCP}

// receiveBuffer is for channels of which the configuration does not say it: what a peer sends while this node is
// busy for a moment should not be lost. The system's default is enough for some hundred messages.
const receiveBuffer = 2 << 20

// openChannels opens the dedicated links.
func openChannels(s *config.Sync) (*channel.Group, error) {
	var open []*channel.Channel
	fail := func(err error) (*channel.Group, error) {
		for _, c := range open {
			c.Close()
		}
		return nil, err
	}
	current := 0
	for i := range s.Channels {
		c := &s.Channels[i]
		o := &channel.Options{Kind: kinds[c.Kind], Port: c.Port, Interface: c.Interface,
			SendBuffer: int(c.SndSocketBuffer), ReceiveBuffer: cmp.Or(int(c.RcvSocketBuffer), receiveBuffer), NoChecksum: !c.Checksum,
			ErrorQueueLength: int(s.ErrorQueueLength), Split: wholeMessages}
		if o.Local, o.Remote = c.Local, c.Peer; c.Kind == config.Multicast {
			o.Remote = c.Group
		}
		ch, err := channel.Open(o)
		if err != nil {
			return fail(err)
		}
		open = append(open, ch)
		if c.Default {
			current = i
		}
	}
	links, err := channel.OpenLinks(nil)
	if err != nil {
		return fail(err)
	}
	group, err := channel.NewGroup(open, current, links)
	if err != nil {
		links.Close()
		return fail(err)
	}
	return group, nil
}

// wholeMessages cuts a stream.
func wholeMessages(b []byte) int {
	r := wire.Stream(b)
	for r.Next() {
	}
	return r.Consumed()
}

// readAtStart fills the internal cache. Events are queued by now, so that nothing is missed in between.
func (d *Daemon) readAtStart() error {
	ctx := context.Background()
	for f, err := range d.kernel.client.Flows(ctx, nil) {
		if err != nil {
			return fmt.Errorf("can't get kernel conntrack table: %w", err)
		}
		switch {
		case !d.kernel.filter().passes(&f, flow.Update):
		case d.ledger != nil:
			d.ledger.read(d.now(), &f)
		default:
			d.engine.Read(d.now(), &f, false, true)
		}
	}
	if d.kernel.expect == nil {
		return nil
	}
	for x, err := range d.kernel.client.Expects(ctx, flow.AnyFamily) {
		if err != nil {
			return fmt.Errorf("can't get kernel expect table: %w", err)
		}
		if d.kernel.filter().passesExpect(&x) {
			d.engine.ExpectEvent(d.now(), &flow.ExpectEvent{Type: flow.New, Expect: x}, statesync.Commit)
		}
	}
	return nil
}

// Close gives back what Open has taken. Run does it too.
func (d *Daemon) Close() error {
	var errs []error
	if d.control != nil {
		errs = append(errs, d.control.Close())
	}
	if d.metrics != nil {
		d.metrics.Close() // the server may have done so
	}
	if d.helpers != nil {
		errs = append(errs, d.helpers.Close())
	}
	if d.group != nil {
		errs = append(errs, d.group.Close())
	}
	if d.kernel != nil {
		errs = append(errs, d.kernel.close())
	}
	return errors.Join(errs...)
}

func (d *Daemon) now() statesync.Moment { return statesync.Moment(time.Since(d.begun)) }

// Run works until ctx ends, a request stops it, or something fails without which there is no going on.
func (d *Daemon) Run(ctx context.Context) error {
	ctx, d.stop = context.WithCancel(ctx)
	defer d.stop()
	failed := make(chan error, 4)
	start := func(f func(context.Context) error) {
		d.work.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				failed <- err
			}
		})
	}
	if d.kernel.events != nil {
		start(d.followEvents)
		d.deaf.begin(d)
	} else if every := d.cfg.Load().General.PollEvery; every > 0 {
		d.rereadAt = d.now() + statesync.Moment(every)
	}
	if d.kernel.expect != nil {
		start(d.followExpects)
	}
	if d.group != nil {
		start(d.receive)
	}
	if d.control != nil {
		start(d.serve)
	}
	if d.metrics != nil {
		start(d.serveMetrics)
	}
	helped := make(chan struct{})
	if d.helpers != nil {
		start(func(ctx context.Context) error {
			defer close(helped)
			return d.helpers.Run(ctx)
		})
	} else {
		close(helped)
	}
	if s := d.cfg.Load().Sync; s != nil && s.DisableExternalCache {
		start(d.inject)
	}
	if s := d.cfg.Load().Sync; s != nil && s.StartupResync {
		d.engine.RequestResync(d.now())
	}
	err := d.loop(ctx, failed)
	d.stop()
	<-helped // what waits in their queues has been answered
	err = errors.Join(err, d.Close())
	d.work.Wait()
	return err
}

// loop owns the state.
func (d *Daemon) loop(ctx context.Context, failed <-chan error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case h := <-d.events:
			d.takeEvents(h.it)
			close(h.done)
		case h := <-d.expects:
			d.takeExpectEvent(h.it)
			close(h.done)
		case h := <-d.packets:
			d.takePackets(&h.it)
			close(h.done)
		case call := <-d.calls:
			call()
		case <-timer.C:
		}
		timer.Reset(d.turn(ctx))
	}
}

// turn does what is due and returns how long nothing will be.
func (d *Daemon) turn(ctx context.Context) time.Duration {
	now := d.now()
	if d.rereadAt != 0 && now >= d.rereadAt && !d.reading {
		d.rereadAt = 0
		if every := d.cfg.Load().General.PollEvery; every > 0 {
			d.rereadAt = now + statesync.Moment(every)
		}
		d.readKernel(ctx)
	}
	if d.deaf.at != 0 && now >= d.deaf.at && !d.reading && !d.committing {
		d.deaf.look(ctx, d)
	}
	if d.purgeAt != 0 && now >= d.purgeAt {
		d.purgeAt = 0
		d.log.Printf(statesync.Notice, "flushing kernel conntrack table (scheduled)")
		d.engine.FlushInternal(now)
		d.flushKernel(ctx, nil)
	}
	if d.engine == nil {
		return d.until(now + statesync.Moment(time.Hour))
	}
	if d.engine.Pending() {
		d.next = min(d.next, d.last+runEvery)
	}
	if now >= d.next && d.congested() {
		// What waits in the engine is merged; what a channel has no room for is lost.
		d.next = now + runEvery
	}
	if now >= d.next {
		d.next, d.last = d.engine.Run(now), now
		d.carryOut(ctx)
	}
	return d.until(d.next)
}

// until returns how long it is to a moment, or to the next reading of the table or its purge.
func (d *Daemon) until(next statesync.Moment) time.Duration {
	if d.rereadAt != 0 && !d.reading { // whose end is a call
		next = min(next, d.rereadAt)
	}
	if d.deaf.at != 0 && !d.reading && !d.committing {
		next = min(next, d.deaf.at)
	}
	if d.purgeAt != 0 {
		next = min(next, d.purgeAt)
	}
	return time.Duration(max(0, next-d.now()))
}

// congested reports whether the peer at the other end of a stream is there but slow.
func (d *Daemon) congested() bool {
	c := d.group.Channels()[d.group.Current()]
	if c.Kind() != channel.TCP {
		return false
	}
	s := c.Stats()
	return s.Client && s.Queue.Len >= s.Queue.Max/2
}

func (d *Daemon) takeEvents(events []flow.Event) {
	now := d.now()
	for i := range events {
		ev := &events[i]
		if ev.Type == flow.Lost {
			d.lostEvents(now)
			continue
		}
		switch {
		case d.engine != nil:
			d.engine.Event(now, ev, d.kernel.origin(ev.PortID))
		case d.ledger != nil:
			d.ledger.event(now, ev)
		}
	}
	d.flushLedger()
}

// takeExpectEvent is takeEvents for expectations.
func (d *Daemon) takeExpectEvent(ev *flow.ExpectEvent) {
	switch {
	case d.engine == nil:
	case ev.Type == flow.Lost:
		d.lostEvents(d.now())
	default:
		d.engine.ExpectEvent(d.now(), ev, d.kernel.origin(ev.PortID))
	}
}

// openLedger opens what the statistics mode writes to.
func (d *Daemon) openLedger(s *config.Stats) error {
	var w *syslog.Writer
	if s.Syslog != "" {
		var err error
		if w, err = OpenSyslog(s.Syslog); err != nil {
			d.log.Printf(statesync.Warning, "can't reach syslog: %v", err)
		}
	}
	g := &d.cfg.Load().General
	d.ledger = newLedger(int(g.HashLimit), int(min(g.HashSize, 1<<22)), nil, w)
	if err := d.ledger.reopen(s.LogFile); err != nil {
		return fmt.Errorf("can't open logfile `%s': %w", s.LogFile, err)
	}
	return nil
}

// lostEvents has the kernel's table read again, when the storm that made the kernel drop events may be over.
func (d *Daemon) lostEvents(now statesync.Moment) {
	after := d.cfg.Load().General.NetlinkOverrunResync
	again := after > 0 && (d.engine != nil || d.ledger != nil)
	if now-d.lossTold > lossesTold || d.lossTold == 0 {
		d.lossTold = now
		what := "it is not read again, so the caches may differ from it (NetlinkOverrunResync)"
		if again {
			what = fmt.Sprintf("it is read again in %v", after)
		}
		d.log.Printf(statesync.Warning, "the kernel has dropped events about its table: %s. "+
			"Larger NetlinkBufferSize and NetlinkBufferSizeMaxGrowth may avoid that", what)
	}
	if again {
		d.rereadAt = now + statesync.Moment(after)
	}
}

// lossesTold is how often losses of events are logged at most.
const lossesTold = statesync.Moment(30 * time.Second)

func (d *Daemon) takePackets(a *arrival) {
	now := d.now()
	for _, b := range a.datagrams {
		if d.engine.Datagram(now, b) {
			d.group.Accepted(a.channel)
			d.heard = time.Now()
		}
	}
}

// carryOut does what the engine wants done.
func (d *Daemon) carryOut(ctx context.Context) {
	out := d.engine.Take()
	for _, l := range out.Log {
		d.log.Printf(l.Level, "%s", l.Text)
	}
	if len(out.Kernel) > 0 {
		select {
		case d.operations <- slices.Clone(out.Kernel):
		case <-ctx.Done():
		}
	}
	if out.DumpKernel {
		d.bypassAll(ctx)
	}
	var datagrams [][]byte
	for b := range out.Datagrams {
		datagrams = append(datagrams, b)
	}
	if len(datagrams) > 0 {
		d.group.Send(datagrams...) // counted by the channel
		d.engine.SetRoom(d.group.Room())
	}
	d.engine.Done()
}

// Alive reports whether the loop takes calls, before ctx ends.
func (d *Daemon) Alive(ctx context.Context) bool { return d.call(ctx, func() {}) }

// call has f run in the loop, and reports whether it was.
func (d *Daemon) call(ctx context.Context, f func()) bool {
	done := make(chan struct{})
	select {
	case d.calls <- func() { f(); close(done) }:
		<-done
		return true
	case <-ctx.Done():
		return false
	}
}

// lend hands something to the loop, and reports whether it took it.
func lend[T any](ctx context.Context, to chan<- handover[T], it T) bool {
	done := make(chan struct{})
	select {
	case to <- handover[T]{it, done}:
		<-done
		return true
	case <-ctx.Done():
		return false
	}
}

func (d *Daemon) followEvents(ctx context.Context) error {
	return d.kernel.follow(ctx, func(events []flow.Event) bool { return lend(ctx, d.events, events) })
}

func (d *Daemon) followExpects(ctx context.Context) error {
	return d.kernel.followExpects(ctx, func(ev *flow.ExpectEvent) bool { return lend(ctx, d.expects, ev) })
}

func (d *Daemon) receive(ctx context.Context) error {
	deliver := func(channel int, datagrams [][]byte) { lend(ctx, d.packets, arrival{channel, datagrams}) }
	return d.group.Run(ctx, deliver, func(v channel.Verdict, device string) {
		switch v {
		case channel.Switched:
			d.log.Printf(statesync.Notice, "device `%s' becomes dedicated link", device)
		case channel.NoneLeft:
			d.log.Printf(statesync.Error, "no dedicated links available!")
		}
	})
}

// readKernel reads the kernel's table again in the background, and tells the peers what is found, and what has vanished.
func (d *Daemon) readKernel(ctx context.Context) {
	switch {
	case d.ledger != nil:
		d.audit(ctx)
		return
	case d.engine == nil:
		return
	case d.cfg.Load().Sync.DisableInternalCache:
		d.bypassAll(ctx) // what has vanished nobody knows
		return
	}
	d.runtime.Resyncs++
	d.compareLater(ctx, tellAll)
}

// compareLater has the internal caches compared with the kernel's tables, whole, in the background.
func (d *Daemon) compareLater(ctx context.Context, tell telling) {
	d.reading = true
	d.work.Go(func() {
		err := d.compareKernel(ctx, true, true, tell)
		d.call(ctx, func() {
			d.reading = false
			if err != nil && ctx.Err() == nil {
				// What has vanished cannot be told by half a table: once more.
				d.log.Printf(statesync.Error, "%v", err)
				d.lostEvents(d.now())
			}
		})
	})
}

// telling is what the peers are told of a reading: of flows that are found, and, if flows and expectations have both been read, of what has vanished.
type telling uint8

const (
	tellNothing telling = iota
	tellUnknown         // of flows that the internal cache has not known
	tellNews            // and of those that are otherwise there
	tellAll
)

// compareKernel has the loop compare the internal caches with the kernel's tables.
func (d *Daemon) compareKernel(ctx context.Context, flows, expects bool, tell telling) (err error) {
	d.oneReading.Lock()
	defer d.oneReading.Unlock()
	d.call(ctx, func() { d.engine.BeginReading(d.now()) })
	if flows {
		err = d.eachFlow(ctx, func(f *flow.Flow) {
			told := tell == tellAll || tell == tellUnknown && !d.engine.Knows(f) || tell == tellNews && d.engine.News(f)
			d.engine.Read(d.now(), f, told, false)
		})
	}
	if err == nil && expects && d.kernel.expect != nil {
		err = d.eachExpect(ctx, func(x *flow.Expect) { d.engine.ReadExpect(d.now(), x, tell == tellAll) })
	}
	d.call(ctx, func() { d.engine.EndReading(d.now(), tell != tellNothing && flows && expects && err == nil) })
	return err
}

// eachFlow has each flow of the kernel's table that passes the filter taken in by the loop. The error says what it is about.
func (d *Daemon) eachFlow(ctx context.Context, take func(*flow.Flow)) error {
	batch := make([]flow.Flow, 0, eventsAtOnce)
	handOver := func() bool {
		ok := d.call(ctx, func() {
			for i := range batch {
				take(&batch[i])
			}
		})
		batch = batch[:0]
		return ok
	}
	for f, err := range d.kernel.client.Flows(ctx, nil) {
		if err != nil {
			return fmt.Errorf("can't get kernel conntrack table: %w", err)
		}
		if !d.kernel.filter().passes(&f, flow.Update) {
			continue
		}
		if batch = append(batch, f); len(batch) == cap(batch) && !handOver() {
			return ctx.Err()
		}
	}
	if !handOver() {
		return ctx.Err()
	}
	return nil
}

// eachExpect is eachFlow for expectations, of which there are few.
func (d *Daemon) eachExpect(ctx context.Context, take func(*flow.Expect)) error {
	for x, err := range d.kernel.client.Expects(ctx, flow.AnyFamily) {
		if err != nil {
			return fmt.Errorf("can't get kernel expect table: %w", err)
		}
		if d.kernel.filter().passesExpect(&x) && !d.call(ctx, func() { take(&x) }) {
			return ctx.Err()
		}
	}
	return nil
}

// bypassAll sends the kernel's table: a bulk without an internal cache.
func (d *Daemon) bypassAll(ctx context.Context) {
	d.work.Go(func() {
		d.oneReading.Lock()
		defer d.oneReading.Unlock()
		d.call(ctx, func() { d.engine.BeginReading(d.now()) })
		err := d.eachFlow(ctx, func(f *flow.Flow) { d.engine.Bypass(d.now(), f) })
		d.call(ctx, func() { d.engine.EndReading(d.now(), false) })
		d.logFailure(ctx, err)
	})
}

// logFailure logs an error, if it is one and not only that the daemon ends.
func (d *Daemon) logFailure(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		d.call(ctx, func() { d.log.Printf(statesync.Error, "%v", err) })
	}
}

// flushKernel empties the kernel's table of the flows that pass the filter, in the background.
// done, if not nil, is called when that is over.
func (d *Daemon) flushKernel(ctx context.Context, done func()) {
	if d.flushing {
		return
	}
	d.flushing, d.flushed = true, make(chan struct{})
	d.runtime.Flushes++
	d.work.Go(func() {
		defer func() {
			if done != nil {
				done()
			}
		}()
		err := d.kernel.flushFlows(ctx)
		d.call(ctx, func() {
			d.flushing = false
			close(d.flushed)
			if err != nil && ctx.Err() == nil {
				d.log.Printf(statesync.Error, "can't flush the kernel's table: %v", err)
			}
		})
	})
}
