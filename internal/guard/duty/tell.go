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

// mostUntold is how much may wait for a slow sink. What comes on top is left out, counted and told.
const mostUntold = 4096

// Teller tells sinks, each by a goroutine of its own, so that a slow one holds up nobody. A sink that fails is told of once while it does.
type Teller struct {
	workers []*teller
	left    atomic.Uint64
	close   sync.Once
	ended   sync.WaitGroup
}

// teller tells one sink.
type teller struct {
	*Teller
	sink  Sink
	queue chan any
	log   *slog.Logger
	slow  atomic.Bool // that has been told
}

// NewTeller begins to tell sinks, until Close. log may be nil.
func NewTeller(log *slog.Logger, sinks ...Sink) *Teller {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	t := &Teller{}
	for _, s := range sinks {
		w := &teller{Teller: t, sink: s, queue: make(chan any, mostUntold), log: log}
		t.workers = append(t.workers, w)
		t.ended.Go(w.run)
	}
	return t
}

// Finding tells of a finding.
func (t *Teller) Finding(f *guard.Finding) { t.put(*f) }

// Outcome tells what became of an action.
func (t *Teller) Outcome(o *Outcome) { t.put(*o) }

func (t *Teller) put(what any) {
	for _, w := range t.workers {
		select {
		case w.queue <- what:
		default:
			t.left.Add(1)
			if !w.slow.Swap(true) {
				w.log.Warn("a sink is too slow: not all is told")
			}
		}
	}
}

// Untold is how much was left out, all sinks together.
func (t *Teller) Untold() uint64 { return t.left.Load() }

// Close tells what is still waiting, for as long as ctx allows. Nobody may tell anything from then on.
func (t *Teller) Close(ctx context.Context) {
	t.close.Do(func() {
		for _, w := range t.workers {
			close(w.queue)
		}
	})
	ended := make(chan struct{})
	go func() {
		t.ended.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

func (w *teller) run() {
	failing := false
	for what := range w.queue {
		var err error
		switch what := what.(type) {
		case guard.Finding:
			err = w.sink.Finding(&what)
		case Outcome:
			err = w.sink.Outcome(&what)
		}
		if err == nil && len(w.queue) == 0 {
			err = w.sink.Flush()
		}
		if err != nil && !failing {
			w.log.Warn("findings are not told", "error", err)
		} else if err == nil && failing {
			w.log.Info("findings are told again")
		}
		failing = err != nil
	}
}
