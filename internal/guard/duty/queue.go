package duty

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/spoor-project/spoor/internal/guard"
)

// mostQueued is how many actions wait in each lane. What comes when it is full is refused, and said to be.
const mostQueued = 256

// Errors of actions that were not even tried.
var (
	ErrBusy    = errors.New("too many actions are waiting")
	ErrEnding  = errors.New("the guard is ending")
	ErrUnarmed = errors.New("there is nothing that could do it")
	errOver    = errors.New("its time was over before its turn came")
)

// Responders are what a [Queue] needs: [Blocklist.Block], [DeleteFlows], [Runner.Run] and [Poster.Post], or others. One that is nil
// makes its actions fail with [ErrUnarmed].
type Responders struct {
	Block  func(offender netip.Addr, d time.Duration, kind guard.Kind) error
	Delete func(ctx context.Context, offender netip.Addr) (n int, err error)
	Run    func(ctx context.Context, command []string, f *guard.Finding) (output string, err error)
	Post   func(ctx context.Context, to string, f *guard.Finding) error
}

// Queue carries out actions beside who orders them. There are two lanes, each with an order of its own: what speaks with the kernel
// does not wait for commands and requests, which may take half a minute.
type Queue struct {
	do     Responders
	after  func(Outcome)
	prompt chan guard.Action // block, delete
	slow   chan guard.Action // run, post
}

// NewQueue returns a queue that tells after what has become of each action, from several goroutines.
func NewQueue(do Responders, after func(Outcome)) *Queue {
	return &Queue{do, after, make(chan guard.Action, mostQueued), make(chan guard.Action, mostQueued)}
}

// Put orders an action, without waiting. One that is held, or for which there is no place ([ErrBusy]), is over at once.
func (q *Queue) Put(a guard.Action) {
	if a.Held != "" {
		q.after(Outcome{Action: a, Time: time.Now()})
		return
	}
	select {
	case q.lane(a.Do) <- a:
	default:
		q.after(Outcome{Action: a, Time: time.Now(), Err: ErrBusy})
	}
}

func (q *Queue) lane(do guard.Response) chan guard.Action {
	if do == guard.Block || do == guard.Delete {
		return q.prompt
	}
	return q.slow
}

// Run carries out what is put, until ctx ends. What is waiting then has failed with [ErrEnding]. Put must not be called any more when Run has returned.
func (q *Queue) Run(ctx context.Context) {
	var lanes sync.WaitGroup
	for _, lane := range []chan guard.Action{q.prompt, q.slow} {
		lanes.Go(func() {
			for ctx.Err() == nil {
				select {
				case a := <-lane:
					q.after(q.carryOut(ctx, a))
				case <-ctx.Done():
				}
			}
			for {
				select {
				case a := <-lane:
					q.after(Outcome{Action: a, Time: time.Now(), Err: ErrEnding})
				default:
					return
				}
			}
		})
	}
	lanes.Wait()
}

func (q *Queue) carryOut(ctx context.Context, a guard.Action) Outcome {
	o := Outcome{Action: a, Err: ErrUnarmed}
	f := &a.Finding
	switch {
	case a.Do == guard.Block && q.do.Block != nil:
		if left := time.Until(a.Until); left > 0 {
			o.Err = q.do.Block(f.Offender, left, f.Kind)
		} else {
			o.Err = errOver
		}
	case a.Do == guard.Delete && q.do.Delete != nil:
		o.Flows, o.Err = q.do.Delete(ctx, f.Offender)
	case a.Do == guard.Run && q.do.Run != nil:
		o.Output, o.Err = q.do.Run(ctx, a.Command, f)
	case a.Do == guard.Post && q.do.Post != nil:
		o.Err = q.do.Post(ctx, a.URL, f)
	}
	o.Time = time.Now()
	return o
}
