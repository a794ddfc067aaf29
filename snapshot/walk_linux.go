package snapshot

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
)

// Parts is how many parts of the table are walked one by one. A flow is in the same one for as long as it lives: the kernel rounds the number of
// buckets up to whole pages of pointers, and bucket = hash * buckets >> 32, so each
// part is the same range of hashes in a table of any size.
const Parts = 512

// Chunks hands the flows that flt selects to visit, some thousand at a time; nil selects all. visit
// is called by several goroutines at once. If visit returns an error, or ctx ends, no new chunk is begun and Chunks
// returns that error once all visits have returned.
func (t *Table) Chunks(ctx context.Context, flt *filter.Filter, visit func(*Chunk) error) error {
	return t.ChunksOf(ctx, flt, 0, Parts, visit)
}

// ChunksOf is [Table.Chunks] for the parts from begin on and before end, which must be in 0 to [Parts].
func (t *Table) ChunksOf(ctx context.Context, flt *filter.Filter, begin, end int, visit func(*Chunk) error) error {
	return read(ctx, t.walkers, begin, end, selection(flt), func(w *walker, part uint32, records []byte) error {
		var malformed error
		if err := visit(&Chunk{int(part), w.buffer, w.flows(flt, records, &malformed), w.inTurn, w.enqueue}); err != nil {
			return err
		}
		return malformed
	})
}

// read has the walkers walk parts of the table and hands what they copy to take, which is called
// by all of them at once.
func read(ctx context.Context, walkers []*walker, begin, end int, ask request, take func(*walker, uint32, []byte) error) error {
	s := &sweep{ctx: ctx, take: take, ask: ask, queue: make(map[uint32][]func()), turn: uint32(begin), end: uint32(end)}
	s.turned.L = &s.mu
	s.next.Store(uint32(begin))
	if len(walkers) > 1 {
		var err error
		if s.first, err = walkers[0].firstPart(); err != nil {
			return err
		}
	}
	var wg sync.WaitGroup
	for _, w := range walkers {
		wg.Go(func() {
			if err := w.run(s); err != nil {
				s.fail(err)
			}
		})
	}
	wg.Wait()
	return s.err
}

var errLeft = errors.New("loop left")

// Flows streams the flows that flt selects; nil selects all. They come in the order in which
// netlink lists them, which has no meaning.
func (t *Table) Flows(ctx context.Context, flt *filter.Filter) iter.Seq2[flow.Flow, error] {
	return func(yield func(flow.Flow, error) bool) {
		turns := make(chan turn)
		end := make(chan error, 1)
		go func() {
			end <- t.Chunks(ctx, flt, func(c *Chunk) (err error) {
				c.InTurn(func() {
					mine := turn{c.Flows(), make(chan error)}
					turns <- mine
					err = <-mine.done
				})
				return err
			})
			close(turns)
		}()
		// However the loop is left, the walkers are sent home before Flows returns.
		defer func() {
			for turn := range turns {
				turn.done <- errLeft
			}
		}()
		for turn := range turns {
			if !turn.take(yield) {
				return
			}
		}
		if err := <-end; err != nil {
			yield(flow.Flow{}, err)
		}
	}
}

// turn is a chunk on its way to the loop of Flows.
type turn struct {
	flows iter.Seq[*flow.Flow]
	done  chan error // says that the chunk is not needed any more
}

// take yields the flows and reports whether more are wanted.
func (t *turn) take(yield func(flow.Flow, error) bool) (more bool) {
	err := errLeft
	defer func() { t.done <- err }() // also when the loop's body panics
	for f := range t.flows {
		if !yield(*f, nil) {
			return false
		}
	}
	err = nil
	return true
}

// sweep is one reading of the table, by all walkers.
type sweep struct {
	ctx  context.Context
	take func(*walker, uint32, []byte) error
	ask  request
	end  uint32 // part before which it ends

	first   uint32        // part with the first entry of the namespace
	showing sync.RWMutex  // held for reading while the kernel shows that entry
	next    atomic.Uint32 // part to be walked
	failed  atomic.Bool   // err is set

	mu     sync.Mutex // guards what follows; held during a turn
	turned sync.Cond  // turn or err has changed
	turn   uint32     // first part that is not done
	done   [Parts]bool
	queue  map[uint32][]func() // by part, of which it is not the turn yet
	queued int                 // in all of them
	err    error
}

// mostQueued bounds the memory of results that wait for their turn.
const mostQueued = 16

func (s *sweep) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		s.failed.Store(true)
	}
	s.turned.Broadcast()
}

// inTurn calls do when all parts before this one are done.
func (s *sweep) inTurn(part uint32, do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.turn != part && s.err == nil {
		s.turned.Wait()
	}
	s.unqueue(part)
	if s.err == nil {
		do()
	}
}

// enqueue is inTurn without waiting, unless there is too much that waits.
func (s *sweep) enqueue(part uint32, do func()) {
	s.mu.Lock()
	if s.turn != part && s.queued < mostQueued && s.err == nil {
		s.queue[part] = append(s.queue[part], do)
		s.queued++
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	s.inTurn(part, do)
}

// unqueue calls what has waited for the turn of a part, which it is now.
func (s *sweep) unqueue(part uint32) {
	for _, do := range s.queue[part] {
		if s.err == nil {
			do()
		}
		s.queued--
	}
	delete(s.queue, part)
}

func (s *sweep) finish(part uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done[part] = true
	for s.turn < s.end && s.done[s.turn] {
		s.unqueue(s.turn)
		s.turn++
	}
	s.turned.Broadcast()
}

// walker has a processor's share of the work: its own file and buffer.
type walker struct {
	table  *Table
	fd     int
	buffer int
	memory []byte

	ask   request
	known generation // of the table that ask is about
	told  time.Time  // when the kernel was asked for that
	dec   decoder
	seen  []uint64 // entries of this part handed over already
	again bool     // the part is being read again

	inTurn, enqueue func(func()) // of the part being walked
}

const (
	// triesPerPart bounds how often a part is read again because the table has moved.
	triesPerPart = 100
	// patience is less than it takes to resize the table twice, which can make it the same again, with other entries meanwhile.
	patience = 10 * time.Millisecond
)

// place is where the table is. Two are the same if it has certainly not been elsewhere in between, or if it has hardly had the time.
type place struct {
	hash  uint64
	size  uint32
	known generation
}

func (w *walker) place() place { return place{w.ask.Hash, w.ask.Size, w.known} }

// watch has resizes counted from now on, if they are not yet and if that is possible, and reports whether anything has changed by that.
func (w *walker) watch() bool {
	if w.known.known {
		return false
	}
	w.table.findGeneration(w.ask.Hash, w.ask.Size)
	return w.table.found.Load() != nil
}

func (w *walker) run(s *sweep) error {
	w.begin(s.ask)
	w.dec.layout, w.dec.hz, w.dec.id = &w.table.layout, uint32(w.table.hz), w.table.id
	if err := w.locate(s); err != nil {
		return err
	}
	for {
		part := s.next.Add(1) - 1
		if part >= s.end || s.failed.Load() {
			return nil
		}
		if err := s.ctx.Err(); err != nil {
			return err
		}
		w.inTurn = func(do func()) { s.inTurn(part, do) }
		w.enqueue = func(do func()) { s.enqueue(part, do) }
		if err := w.part(s, part); err != nil {
			return err
		}
		s.finish(part)
	}
}

// begin makes a request that the walker knows nothing for yet.
func (w *walker) begin(ask request) {
	w.ask, w.known = ask, generation{}
	w.ask.FD, w.ask.Buffer = uint32(w.fd), uint32(w.buffer)
	if n := w.table.names; n != nil {
		w.ask.HashAt, w.ask.SizeAt, w.ask.Net = n.hash, n.size, w.table.net
	}
}

// part walks one part of the table and hands over what is in it.
func (w *walker) part(s *sweep, part uint32) error {
	w.seen, w.again = w.seen[:0], false
	var begin, end uint32
	bounds := func() {
		begin = uint32(uint64(part) * uint64(w.ask.Size) / Parts)
		end = uint32(uint64(part+1) * uint64(w.ask.Size) / Parts)
	}
	bounds()
	for tries := 0; begin < end; {
		before := w.place()
		if time.Since(w.told) > patience { // it was not its turn
			if err := w.locate(s); err != nil {
				return err
			}
		}
		told := w.told
		w.ask.Bucket, w.ask.End = begin, end
		var got request
		if w.place() == before {
			if err := w.walk(s, part); err != nil {
				return err
			}
			got = w.ask
			if err := w.locate(s); err != nil {
				return err
			}
		}
		if got.Error != 0 || got.Hash != before.hash || w.place() != before || w.told.Sub(told) > patience && w.watch() {
			if tries++; tries > triesPerPart {
				return fmt.Errorf("snapshot: the table does not come to rest: %s", got.complaint())
			}
			w.again = true
			bounds()
			continue
		}
		begin = got.Bucket
		w.dec.jiffies = uint32(got.Jiffies)
		if got.Length > 0 {
			if err := s.take(w, part, w.memory[:got.Length]); err != nil {
				return err
			}
		}
	}
	return nil
}

// flows decodes those of the records that flt selects.
func (w *walker) flows(flt *filter.Filter, records []byte, malformed *error) iter.Seq[*flow.Flow] {
	if flt.IsZero() {
		flt = nil
	}
	return func(yield func(*flow.Flow) bool) {
		for f := range w.records(records, malformed) {
			if (flt == nil || flt.Match(f)) && !yield(f) {
				return
			}
		}
	}
}

// records decodes records and drops those that have been there before.
func (w *walker) records(records []byte, malformed *error) iter.Seq2[*flow.Flow, []byte] {
	return func(yield func(*flow.Flow, []byte) bool) {
		var f flow.Flow
		bucket, first := ^uint32(0), 0
		old := len(w.seen)
		for rest := records; len(rest) > 0; {
			var rec []byte
			var err error
			if rec, rest, err = w.dec.next(rest); err != nil {
				*malformed = err
				return
			}
			if b := le.Uint32(rec[recordBucket:]); b != bucket {
				bucket, first = b, len(w.seen)
			}
			ct := le.Uint64(rec[recordCT:])
			if slices.Contains(w.seen[first:], ct) || w.again && slices.Contains(w.seen[:old], ct) {
				continue
			}
			w.seen = append(w.seen, ct)
			if err := w.dec.flow(rec, &f); err != nil {
				*malformed = err
				return
			}
			if !yield(&f, rec) {
				return
			}
		}
	}
}

// refresh has the kernel put the table's address and size into the state of the open file, which it does
// whenever a reading begins. A byte of the first entry is enough. To read on instead would have kernels
// before 6.18 go through all that was read.
func (w *walker) refresh(s *sweep) error {
	if s != nil {
		s.showing.RLock()
		defer s.showing.RUnlock()
	}
	var b [1]byte
	for {
		_, err := unix.Pread(w.fd, b[:], 0)
		if err != unix.EINTR {
			return err
		}
	}
}

// walk walks what is asked for of a part. For as long as the kernel shows an entry it holds a reference to it, which
// would be counted if the entry were copied meanwhile.
func (w *walker) walk(s *sweep, part uint32) error {
	if part <= s.first {
		s.showing.Lock()
		defer s.showing.Unlock()
	}
	return w.call()
}

// firstPart finds out which part has the first entry of the namespace. If that cannot be told, it is the last.
func (w *walker) firstPart() (uint32, error) {
	if w.table.names != nil {
		return 0, nil // nothing is shown
	}
	w.begin(request{})
	if err := w.locate(nil); err != nil {
		return 0, err
	}
	size := w.ask.Size
	for begin, step := uint32(0), uint32(64); begin < size; step = min(8*step, size) {
		w.ask.Bucket, w.ask.End = begin, begin+min(step, size-begin)
		if err := w.call(); err != nil {
			return 0, err
		}
		if w.ask.Error != 0 || w.ask.Size != size {
			break
		}
		begin = w.ask.Bucket
		if w.ask.Length > 0 {
			return uint32(uint64(le.Uint32(w.memory[recordBucket:])) * Parts / uint64(size)), nil
		}
	}
	return Parts - 1, nil
}

// locate finds out where the table is now. s is the reading that goes on, if there is one.
func (w *walker) locate(s *sweep) error {
	if w.unmoved() {
		return nil
	}
	w.ask.Bucket, w.ask.End = 0, 0
	var err error
	if w.table.names != nil {
		err = w.look()
	} else {
		err = w.askList(s)
	}
	if err != nil {
		return err
	}
	switch {
	case w.ask.Error != 0:
		return fmt.Errorf("snapshot: no table was found: %s", w.ask.complaint())
	case w.ask.Size == 0 || w.ask.Size%Parts != 0:
		return fmt.Errorf("snapshot: a table of %d buckets", w.ask.Size)
	}
	return nil
}

// askList has the kernel tell where the table is.
func (w *walker) askList(s *sweep) error {
	w.known = w.table.generation() // first, lest it be that of a later one
	w.told = time.Now()
	if err := w.refresh(s); err != nil {
		return err
	}
	took := time.Since(w.told)
	if err := w.call(); err != nil {
		return err
	}
	if w.ask.Error == 0 {
		w.table.waited(took, w.ask.Hash, w.ask.Size)
	}
	return nil
}

// call has the program do what w.ask asks for, which then has its answer.
func (w *walker) call() error {
	// To go through its fields by reflection would take longer than most calls do.
	ask := unsafe.Slice((*byte)(unsafe.Pointer(&w.ask)), unsafe.Sizeof(w.ask))
	_, err := w.table.walk.Run(&ebpf.RunOptions{Context: ask, ContextOut: ask})
	return err
}
