package duty

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/spoor-project/spoor/internal/guard"
)

// Sink takes in what is told. It is called by one goroutine.
type Sink interface {
	Finding(f *guard.Finding) error
	Outcome(o *Outcome) error
	// Flush is called when nothing more is to be told for the moment.
	Flush() error
}

// mostUntold is how much may wait for slow sinks. What comes on top is left out, counted and told.
const mostUntold = 4096

// Teller tells sinks, by a goroutine of its own, so that a slow one holds up nobody. A sink that fails is told of once while it does, and others go on.
type Teller struct {
	queue chan any
	sinks []Sink
	log   *slog.Logger
	left  atomic.Uint64
	ended chan struct{}
	close sync.Once
}

// NewTeller begins to tell sinks, until Close. log may be nil.
func NewTeller(log *slog.Logger, sinks ...Sink) *Teller {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	t := &Teller{queue: make(chan any, mostUntold), sinks: sinks, log: log, ended: make(chan struct{})}
	go t.run()
	return t
}

// Finding tells of a finding.
func (t *Teller) Finding(f *guard.Finding) { t.put(*f) }

// Outcome tells what became of an action.
func (t *Teller) Outcome(o *Outcome) { t.put(*o) }

func (t *Teller) put(what any) {
	select {
	case t.queue <- what:
	default:
		if t.left.Add(1) == 1 {
			t.log.Warn("sinks are too slow: not all is told")
		}
	}
}

// Untold is how much was left out.
func (t *Teller) Untold() uint64 { return t.left.Load() }

// Close tells what is still waiting, for as long as ctx allows. Nobody may tell anything from then on.
func (t *Teller) Close(ctx context.Context) {
	t.close.Do(func() { close(t.queue) })
	select {
	case <-t.ended:
	case <-ctx.Done():
	}
}

func (t *Teller) run() {
	defer close(t.ended)
	failing := make([]bool, len(t.sinks))
	to := func(i int, err error) {
		if err != nil && !failing[i] {
			t.log.Warn("findings are not told", "error", err)
		} else if err == nil && failing[i] {
			t.log.Info("findings are told again")
		}
		failing[i] = err != nil
	}
	for what := range t.queue {
		for i, s := range t.sinks {
			var err error
			switch what := what.(type) {
			case guard.Finding:
				err = s.Finding(&what)
			case Outcome:
				err = s.Outcome(&what)
			}
			if err == nil && len(t.queue) == 0 {
				err = s.Flush()
			}
			to(i, err)
		}
	}
}
