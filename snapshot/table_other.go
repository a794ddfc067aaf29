//go:build !linux

package snapshot

import (
	"context"
	"errors"
	"iter"

	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
)

// Table reads the table of one network namespace.
type Table struct{}

var errSystem = unavailable("operating system", errors.New("not Linux"))

// Open fails with [ErrUnavailable]: this is not Linux.
func Open(*Options) (*Table, error) { return nil, errSystem }

// Workers is 0.
func (t *Table) Workers() int { return 0 }

// Close does nothing.
func (t *Table) Close() error { return nil }

// LearnID fails.
func (t *Table) LearnID(context.Context, []flow.Flow) error { return errSystem }

// Chunks fails.
func (t *Table) Chunks(context.Context, *filter.Filter, func(*Chunk) error) error {
	return errSystem
}

// ChunksOf fails.
func (t *Table) ChunksOf(context.Context, *filter.Filter, int, int, func(*Chunk) error) error {
	return errSystem
}

// Parts is how many parts a table has.
const Parts = 1

// Flows yields an error.
func (t *Table) Flows(context.Context, *filter.Filter) iter.Seq2[flow.Flow, error] {
	return func(yield func(flow.Flow, error) bool) { yield(flow.Flow{}, errSystem) }
}
