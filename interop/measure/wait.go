package measure

import (
	"context"
	"errors"
	"time"
)

// Pause waits.
func Pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Ends of [Await] other than its reason.
var (
	ErrEnded   = errors.New("it ended")
	ErrTimeout = errors.New("it took too long")
)

const poll = 10 * time.Millisecond

// Await waits for a condition while a program runs, which closes ended when it does not any more.
func Await(ctx context.Context, limit time.Duration, ended <-chan struct{}, condition func() bool) error {
	timeout := time.After(limit)
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-ended:
			return ErrEnded
		case <-timeout:
			return ErrTimeout
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
