package table

import (
	"context"
	"fmt"
	"iter"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/snapshot"
)

// worthwhile is from how many entries on a snapshot is faster than netlink, in
// spite of the time it takes to load its program.
const worthwhile = 15_000

// Way says how a table is to be read.
type Way string

// The values of the environment variable SPOOR_SNAPSHOT; every other one is Fastest.
const (
	Fastest  Way = ""
	Snapshot Way = "on"  // or fail, in small tables too
	Netlink  Way = "off" // never by a snapshot
)

// Options says what [Open] opens. The zero value is the namespace of the calling thread, the fastest way, without identifiers.
type Options struct {
	NetNS string // path of the network namespace that the client is of; "" is the caller's
	Way   Way
	// IDs: flows must have their identifier, which a snapshot has to learn first.
	IDs bool
}

// Table is the table of one network namespace. It is not for several goroutines.
type Table struct {
	client   *conntrack.Client
	snap     *snapshot.Table // nil: over netlink
	reason   string
	why      string
	contexts contexts
}

// The values of [Table.Reason].
const (
	ReasonOff         = "off"         // a snapshot was not wanted
	ReasonSmall       = "small"       // netlink is as fast
	ReasonUnreadable  = "unreadable"  // it is not known how large the table is
	ReasonUnavailable = "unavailable" // a snapshot is not possible
)

// Open prepares to read the table of a client, which must outlive it. It fails only if a snapshot is insisted on.
func Open(ctx context.Context, c *conntrack.Client, opts *Options) (*Table, error) {
	t := &Table{client: c, contexts: contexts{client: c}}
	if opts.Way == Netlink {
		t.reason, t.why = ReasonOff, "SPOOR_SNAPSHOT=off"
		return t, nil
	}
	if opts.Way != Snapshot {
		u, err := c.Count(ctx)
		if err != nil {
			t.reason, t.why = ReasonUnreadable, err.Error()
			return t, nil // to read it will say the same
		}
		if u.Entries < worthwhile {
			t.reason, t.why = ReasonSmall, fmt.Sprintf("of %d entries; a snapshot is faster from %d on", u.Entries, worthwhile)
			return t, nil
		}
	}
	var known []flow.Flow
	if opts.IDs {
		var err error
		if known, err = someFlows(ctx, c); err != nil || len(known) == 0 {
			t.reason, t.why = ReasonUnavailable, "there is no entry to learn from how identifiers are made"
			return t, nil
		}
	}
	snap, err := snapshot.Open(&snapshot.Options{NetNS: opts.NetNS, IDs: opts.IDs})
	if err == nil && known != nil {
		if err = snap.LearnID(ctx, known); err != nil {
			snap.Close()
		}
	}
	switch {
	case err == nil:
		t.snap = snap
	case opts.Way == Snapshot:
		return nil, fmt.Errorf("SPOOR_SNAPSHOT=on: %w", err)
	default:
		t.reason, t.why = ReasonUnavailable, err.Error()
	}
	return t, nil
}

// Close releases what the table holds; the client stays open.
func (t *Table) Close() error {
	if t.snap == nil {
		return nil
	}
	return t.snap.Close()
}

// BySnapshot reports whether the table is read by a snapshot.
func (t *Table) BySnapshot() bool { return t.snap != nil }

// Reason is why the table is not read by a snapshot, in a word of which there are few; "" if it is.
func (t *Table) Reason() string { return t.reason }

// String tells how the table is read, and why.
func (t *Table) String() string {
	if t.snap != nil {
		return fmt.Sprintf("by a snapshot, by %d workers", t.snap.Workers())
	}
	return "over netlink: " + t.why
}

// Workers is how many chunks are visited at once.
func (t *Table) Workers() int {
	if t.snap != nil {
		return t.snap.Workers()
	}
	return 1
}

// Flows streams the flows that flt selects; nil selects all. They are as netlink reports them.
func (t *Table) Flows(ctx context.Context, flt *filter.Filter) iter.Seq2[flow.Flow, error] {
	if t.snap == nil {
		return t.client.Flows(ctx, flt)
	}
	return func(yield func(flow.Flow, error) bool) {
		for f, err := range t.snap.Flows(ctx, flt) {
			if t.contexts.fill(&f); !yield(f, err) {
				return
			}
		}
	}
}

// Chunks hands the flows that flt selects to visit in pieces, on as many goroutines as there are workers. It
// ends with the first error of a visit, or of the reading.
func (t *Table) Chunks(ctx context.Context, flt *filter.Filter, visit func(*Chunk) error) error {
	return t.ChunksOf(ctx, flt, 0, t.Parts(), visit)
}

// Parts is how many parts of the table can be read for themselves. A flow stays in its part.
func (t *Table) Parts() int {
	if t.snap != nil {
		return snapshot.Parts
	}
	return 1
}

// ChunksOf is [Table.Chunks] for the parts from begin on and before end, which must be in 0 to [Table.Parts].
func (t *Table) ChunksOf(ctx context.Context, flt *filter.Filter, begin, end int, visit func(*Chunk) error) error {
	if t.snap != nil {
		return t.snap.ChunksOf(ctx, flt, begin, end, func(c *snapshot.Chunk) error {
			return visit(&Chunk{table: t, part: c})
		})
	}
	if begin >= end {
		return nil
	}
	var failed error
	err := visit(&Chunk{table: t, flows: func(yield func(*flow.Flow) bool) {
		for f, err := range t.client.Flows(ctx, flt) {
			if err != nil {
				failed = err
				return
			}
			if !yield(&f) {
				return
			}
		}
	}})
	if err != nil {
		return err
	}
	return failed
}

// Chunk is a piece of the table.
type Chunk struct {
	table *Table
	part  *snapshot.Chunk
	flows iter.Seq[*flow.Flow] // without a part: the whole table
}

// Part is the number of the part that the chunk is of. The chunks of a part are visited one after the other, without another by the same worker in between.
func (c *Chunk) Part() int {
	if c.part == nil {
		return 0
	}
	return c.part.Part()
}

// Worker is the number of the goroutine that visits the chunk, below [Table.Workers].
func (c *Chunk) Worker() int {
	if c.part == nil {
		return 0
	}
	return c.part.Worker()
}

// Flows yields the flows of the chunk. One is valid until the next, and none after the visit.
func (c *Chunk) Flows() iter.Seq[*flow.Flow] {
	if c.part == nil {
		return c.flows
	}
	return func(yield func(*flow.Flow) bool) {
		for f := range c.part.Flows() {
			c.table.contexts.fill(f)
			if !yield(f) {
				return
			}
		}
	}
}

// Enqueue has do called when all chunks that lie before this one in the table have had their turn, and while no other has: perhaps by
// another goroutine, after the visit, but before Chunks returns. What it needs must be its own. If the reading has failed do is not called.
func (c *Chunk) Enqueue(do func()) {
	if c.part == nil {
		do()
		return
	}
	c.part.Enqueue(do)
}

// someFlows returns the flows at the beginning of a dump.
func someFlows(ctx context.Context, c *conntrack.Client) ([]flow.Flow, error) {
	var some []flow.Flow
	for f, err := range c.Flows(ctx, nil) {
		if err != nil {
			return nil, err
		}
		if some = append(some, f); len(some) == 8 {
			break
		}
	}
	return some, nil
}
