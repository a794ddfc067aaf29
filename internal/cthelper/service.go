package cthelper

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
)

// Instance is a helper to be run, for one family and transport.
type Instance struct {
	Name      string
	Family    flow.Family
	Transport flow.Proto
	Queue     uint16 // of its own
	QueueLen  uint32 // packets; 0 is the kernel's
	// ExpectMax and ExpectTimeout replace those of the Protocol.
	ExpectMax     uint32
	ExpectTimeout time.Duration
}

// Kernel is what a Service wants of the kernel; a conntrack.Client is one.
type Kernel interface {
	PutHelper(context.Context, conntrack.HelperKey, conntrack.HelperChange) error
	CreateExpect(context.Context, *flow.Expect) error
	GetExpect(ctx context.Context, t flow.Tuple, zone uint16) (flow.Expect, error)
	DeleteExpect(ctx context.Context, t flow.Tuple, zone uint16) error
}

// Log is where a Service says what happens. It may be called by several goroutines.
type Log interface {
	Notice(format string, args ...any)
	Error(format string, args ...any)
}

// Options says what a Service runs.
type Options struct {
	Instances []Instance
	// Register has the kernel told of helpers that it does not know. Without, only those can be run that were registered
	// by other means (nfct add helper).
	Register bool
	Kernel   Kernel
	Log      Log
}

// Service runs helpers. They stay registered when it ends: packets of their flows then pass without being read.
type Service struct {
	kernel  Kernel
	log     *limitedLog
	workers []*worker
}

// worker runs one instance.
type worker struct {
	*Instance
	protocol Protocol
	queue    *Queue
	kernel   Kernel
	log      *limitedLog
	packet   Packet // the one at hand; here, so that it need not be allocated
	private  []byte // of its flow
	dropped  uint32 // of the queue, as was last told
	looked   time.Time
	counters counters
}

// Open registers the helpers and binds to their queues. The error is that of the first that cannot be started.
func Open(o *Options) (*Service, error) {
	s := &Service{kernel: o.Kernel, log: &limitedLog{log: o.Log}}
	for i := range o.Instances {
		w, err := s.start(&o.Instances[i], o.Register)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.workers = append(s.workers, w)
	}
	return s, nil
}

// registerLimit bounds the wait for the kernel.
const registerLimit = 5 * time.Second

func (s *Service) start(in *Instance, register bool) (*worker, error) {
	protocol, ok := Lookup(in.Name, in.Transport)
	if !ok {
		return nil, fmt.Errorf("Unknown `%s' helper", in.Name)
	}
	s.log.log.Notice("configuring helper `%s' with queuenum=%d and queuelen=%d", in.Name, in.Queue, in.QueueLen)
	s.log.log.Notice("policy name=%s expect_timeout=%d expect_max=%d", in.Name, in.ExpectTimeout/time.Second, in.ExpectMax)
	change := conntrack.HelperChange{Queue: new(uint32(in.Queue)), Enabled: new(true),
		Classes: []conntrack.HelperClass{{Name: in.Name, MaxExpects: in.ExpectMax, Timeout: in.ExpectTimeout}}}
	if register {
		change.PrivateLen = new(uint32(protocol.PrivateLen))
	}
	ctx, cancel := context.WithTimeout(context.Background(), registerLimit)
	defer cancel()
	if err := s.kernel.PutHelper(ctx, conntrack.HelperKey{Name: in.Name, Family: in.Family, Proto: in.Transport}, change); err != nil {
		return nil, &RegisterError{in.Name, err}
	}
	q, err := OpenQueue(&QueueOptions{Num: in.Queue, MaxLen: in.QueueLen})
	if err != nil {
		return nil, err
	}
	s.log.log.Notice("helper `%s' configured successfully", in.Name)
	return newWorker(in, protocol, q, s.kernel, s.log), nil
}

func newWorker(in *Instance, protocol Protocol, q *Queue, kernel Kernel, log *limitedLog) *worker {
	return &worker{Instance: in, protocol: protocol, queue: q, kernel: kernel, log: log, private: make([]byte, protocol.PrivateLen)}
}

// RegisterError is a helper that the kernel does not take. EINVAL is what a kernel says that has no user-space helpers, and
// one that is asked without Register for a helper that it does not know.
type RegisterError struct {
	Name string
	Err  error
}

// Error has the form that conntrackd's has.
func (e *RegisterError) Error() string {
	return fmt.Sprintf("trying to configure cthelper `%s': %v", e.Name, e.Err)
}

// Unwrap returns the kernel's answer.
func (e *RegisterError) Unwrap() error { return e.Err }

// Close gives the queues up. Run does it too.
func (s *Service) Close() error {
	var errs []error
	for _, w := range s.workers {
		if err := w.queue.Close(); !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Run answers packets until ctx ends, or a queue fails for good. Packets that wait then are answered before it returns.
func (s *Service) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		for _, w := range s.workers {
			w.queue.Interrupt()
		}
	})
	defer stop()
	var work sync.WaitGroup
	failed := make(chan error, len(s.workers))
	for _, w := range s.workers {
		work.Go(func() {
			if err := w.run(ctx); err != nil && ctx.Err() == nil {
				failed <- fmt.Errorf("helper `%s': %w", w.Name, err)
				cancel()
			}
		})
	}
	work.Wait()
	close(failed)
	return errors.Join(<-failed, s.Close())
}

// lastTime bounds how long packets that are queued are answered after the end; more may come all the time.
const lastTime = time.Second

func (w *worker) run(ctx context.Context) error {
	var d Delivery
	var end time.Time
	work := context.WithoutCancel(ctx) // what has begun is carried out
	for {
		err := w.queue.Next(&d)
		var refused *nfnetlink.Error
		switch {
		case err == nil && (end.IsZero() || time.Now().Before(end)):
		case ctx.Err() != nil && end.IsZero():
			end = time.Now().Add(lastTime)
			w.queue.Last()
			continue
		case ctx.Err() != nil:
			return w.queue.Flush()
		case errors.As(err, &refused):
			w.log.Error("failed to send verdict: %v", refused)
			continue
		case errors.Is(err, nfnetlink.ErrMalformed):
			w.log.Error("failed to process message: %v", err)
			continue
		default:
			return fmt.Errorf("failed to receive message: %w", err)
		}
		w.lookForLosses()
		v := w.decide(work, &d)
		if err := w.queue.Decide(&v); err != nil {
			w.log.Error("failed to send verdict: %v", err)
		}
	}
}

// lookEvery bounds how often the kernel is asked whether packets found no room.
const lookEvery = 100 * time.Millisecond

// lookForLosses says when packets pass without being read.
func (w *worker) lookForLosses() {
	now := time.Now()
	if now.Sub(w.looked) < lookEvery {
		return
	}
	w.looked = now
	if dropped := w.queue.Dropped(); dropped != w.dropped {
		w.counters.unread.Add(uint64(dropped - w.dropped))
		w.log.Error("the socket of queue %d is full: %d packets passed without helper `%s' reading them", w.Queue, dropped-w.dropped, w.Name)
		w.dropped = dropped
	}
	if w.queue.Full() {
		w.log.Error("queue %d is full: packets pass without helper `%s' reading them", w.Queue, w.Name)
	}
}

// decide reads a packet and carries out what comes of it. What cannot be read passes.
func (w *worker) decide(ctx context.Context, d *Delivery) Verdict {
	v := Verdict{ID: d.ID}
	switch {
	case d.Packet == nil:
		w.log.Error("packet with no payload")
		return v
	case !d.Tracked:
		w.log.Error("no CT attached to this packet")
		return v
	case d.FlowErr != nil:
		w.log.Error("cannot convert message to CT")
		return v
	}
	view, err := viewPacket(d.Packet, d.Family)
	if err != nil {
		w.log.Error("%v", err)
		return v
	}
	if view.proto != d.Flow.Orig.Proto || d.Flow.Orig.Family() != d.Family {
		return v // an error that ICMP carries, or the outer packet of a tunnel
	}
	clear(w.private)
	copy(w.private, d.Private)
	w.packet = Packet{Flow: &d.Flow, State: d.State, Seq: view.seq(), Payload: view.Payload()}
	w.counters.read.Add(1)
	r := w.protocol.Parse(&w.packet, w.private)
	if r.Note != "" {
		w.log.Notice("%s", r.Note)
	}
	if !slices.Equal(d.Private, w.private) && d.Flow.Helper != "" {
		v.Helper, v.Private = d.Flow.Helper, w.private
	}
	v.Timeout, v.Drop = r.Timeout, r.Drop
	if len(r.Announced) > 0 {
		w.announce(ctx, &view, r.Announced, &v)
	}
	w.counters.count(&v)
	return v
}

// announce makes the expectations. The last goes with the verdict, if the packet need not tell of it.
func (w *worker) announce(ctx context.Context, view *packetView, all []Announcement, v *Verdict) {
	var patches []Patch
	var made []*flow.Expect
	for i := range all {
		a := &all[i]
		if a.Rewrite == nil {
			if i == len(all)-1 {
				v.Expect = &a.Expect
			} else if err := w.expect(ctx, &a.Expect); err != nil {
				w.counters.refused.Add(1)
				w.log.Error("cannot expect what helper `%s' has read: %v", w.Name, err)
			} else {
				w.counters.expected.Add(1)
			}
			continue
		}
		if err := w.expectAnywhere(ctx, &a.Expect); err != nil {
			w.counters.refused.Add(1)
			w.log.Error("no port for what helper `%s' has read, dropping the packet: %v", w.Name, err)
			w.forget(ctx, made)
			v.Drop, v.Expect = true, nil
			return
		}
		made = append(made, &a.Expect)
		patches = append(patches, a.Rewrite(a.Expect.Tuple.DstPort)...)
	}
	if len(patches) == 0 {
		return
	}
	packet, err := view.rebuild(apply(view.Payload(), patches))
	if err != nil {
		w.log.Error("cannot rewrite a packet of helper `%s', dropping it: %v", w.Name, err)
		w.forget(ctx, made)
		v.Drop, v.Expect = true, nil
		return
	}
	w.counters.expected.Add(uint64(len(made)))
	v.Packet = packet
}

// expect makes an expectation. One that is there already, for the same flow, is as good: its packet was sent again.
func (w *worker) expect(ctx context.Context, e *flow.Expect) error {
	err := w.kernel.CreateExpect(ctx, e)
	if !errors.Is(err, conntrack.ErrExists) {
		return err
	}
	if old, oldErr := w.kernel.GetExpect(ctx, e.Tuple, e.Zone); oldErr == nil && old.Master == e.Master && old.NAT.SrcPort == e.NAT.SrcPort {
		return nil
	}
	return err
}

// portTries is how many ports are tried until one is free.
const portTries = 512

// expectAnywhere makes an expectation to its destination port or, if that is taken, to the next one that is free, and
// changes e so.
func (w *worker) expectAnywhere(ctx context.Context, e *flow.Expect) (err error) {
	for range portTries {
		if err = w.expect(ctx, e); err == nil || !busy(err) && !errors.Is(err, conntrack.ErrExists) {
			return err
		}
		if e.Tuple.DstPort++; e.Tuple.DstPort == 0 {
			break
		}
	}
	return err
}

// forget takes expectations back.
func (w *worker) forget(ctx context.Context, made []*flow.Expect) {
	for _, e := range made {
		w.kernel.DeleteExpect(ctx, e.Tuple, e.Zone)
	}
}

// limitedLog passes errors on, of each kind one in a while: packets can be many.
type limitedLog struct {
	log Log

	mu   sync.Mutex
	told map[string]*telling // by format
}

type telling struct {
	last  time.Time
	since int // how many were not passed on
}

// tellEvery is how often an error of a kind is logged at most.
const tellEvery = 10 * time.Second

func (l *limitedLog) Error(format string, args ...any)  { l.tell(l.log.Error, format, args) }
func (l *limitedLog) Notice(format string, args ...any) { l.tell(l.log.Notice, format, args) }

func (l *limitedLog) tell(to func(string, ...any), format string, args []any) {
	key := format
	if format == "%v" || format == "%s" { // the text makes the kind; there are few
		key = fmt.Sprintf(format, args...)
	}
	l.mu.Lock()
	t := l.told[key]
	if t == nil {
		if l.told == nil {
			l.told = make(map[string]*telling)
		}
		t = &telling{}
		l.told[key] = t
	}
	now := time.Now()
	if !t.last.IsZero() && now.Sub(t.last) < tellEvery {
		t.since++
		l.mu.Unlock()
		return
	}
	since := t.since
	t.last, t.since = now, 0
	l.mu.Unlock()
	to(format, args...)
	if since > 0 {
		to("(%d more of these since the last)", since)
	}
}
