package snapshot

import (
	"errors"
	"fmt"
	"iter"

	"github.com/spoor-project/spoor/flow"
)

// ErrUnavailable is what errors of [Open] are (errors.Is): this kernel, or what the caller
// may do on it, does not allow for a snapshot. The text says what is missing.
var ErrUnavailable = errors.New("snapshot not available")

// Options says what [Open] opens. The zero value is the caller's network namespace,
// read by as many workers as Go uses processors.
type Options struct {
	// NetNS is the path of a network namespace; "" is the one of the thread that calls Open.
	// Entering another needs CAP_SYS_ADMIN.
	NetNS string
	// Workers is how many processors walk at once; 0 is as many as there are, at most 8.
	Workers int
	// IDs says that [Table.LearnID] will be called, so that what takes long there is done while the program is loaded.
	IDs bool
}

func unavailable(what string, err error) error {
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, what, err)
}

// Chunk is a part of what [Table.Chunks] hands out: the flows of some buckets, in the order in
// which they lie in the table.
type Chunk struct {
	part, worker    int
	flows           iter.Seq[*flow.Flow]
	inTurn, enqueue func(func())
}

// Part is the number of the part of the table that the chunk is of, below [Parts]. The chunks of a part are visited one after the other, by
// the same goroutine, without another in between.
func (c *Chunk) Part() int { return c.part }

// Worker is the number of the goroutine that visits the chunk, below [Table.Workers].
func (c *Chunk) Worker() int { return c.worker }

// Flows yields the flows of the chunk. One is valid until the next, and none after the visit.
func (c *Chunk) Flows() iter.Seq[*flow.Flow] { return c.flows }

// InTurn waits until all chunks that lie before this one in the table have been visited, and
// then calls do, while no other chunk has its turn. What is written inside comes out in the order in
// which netlink lists the table. If the reading has failed do is not called.
func (c *Chunk) InTurn(do func()) { c.inTurn(do) }

// Enqueue has do called as InTurn does, but waits for that only if there is much that waits already: do may be called by another goroutine, after the
// visit, but before [Table.Chunks] returns. What it needs must be its own.
func (c *Chunk) Enqueue(do func()) { c.enqueue(do) }
