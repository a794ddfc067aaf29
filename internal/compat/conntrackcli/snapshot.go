package conntrackcli

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/render"
	"github.com/spoor-project/spoor/snapshot"
)

// snapshotWorthwhile is from how many entries on a snapshot is faster than netlink, in
// spite of the time it takes to load its program.
const snapshotWorthwhile = 30_000

// openSnapshot opens the table's snapshot if the flows shall be read from it; nil is no
// error, but leaves it to netlink.
func (x *executor) openSnapshot(c *conntrack.Client) (*snapshot.Table, error) {
	forced := x.env.Snapshot == "on"
	if x.env.Snapshot == "off" {
		x.overNetlink("SPOOR_SNAPSHOT=off")
		return nil, nil
	}
	ctx := context.Background()
	if !forced {
		u, err := c.Count(ctx)
		if err != nil {
			return nil, nil // the dump will say what is wrong
		}
		if u.Entries < snapshotWorthwhile {
			x.overNetlink("of %d entries; a snapshot is faster from %d on", u.Entries, snapshotWorthwhile)
			return nil, nil
		}
	}
	var opts snapshot.Options
	if x.where != nil {
		opts.NetNS = x.where.NetNS
	}
	var known []flow.Flow
	if x.needsID() {
		var err error
		if known, err = someFlows(ctx, c); err != nil || len(known) == 0 {
			x.overNetlink("there is no entry to learn from how identifiers are made")
			return nil, nil
		}
	}
	t, err := snapshot.Open(&opts)
	if err == nil && known != nil {
		if err = t.LearnID(ctx, known); err != nil {
			t.Close()
		}
	}
	switch {
	case err == nil:
		x.note("the table is read by a snapshot, by %d workers", t.Workers())
		return t, nil
	case forced:
		return nil, failf("SPOOR_SNAPSHOT=on: %v", err)
	}
	x.overNetlink("%v", err)
	return nil, nil
}

// overNetlink tells why there is no snapshot.
func (x *executor) overNetlink(format string, args ...any) {
	x.note("the table is read over netlink: "+format, args...)
}

// note tells something if --verbose is given.
func (x *executor) note(format string, args ...any) {
	if x.given.has(optVerbose) {
		x.out.message("conntrack: " + fmt.Sprintf(format, args...) + "\n")
	}
}

// needsID reports whether what is printed or done has to do with the identifier.
func (x *executor) needsID() bool {
	return x.cmd == cmdDelete || x.given.has(optID) || x.show.id || x.show.xml || x.show.ours()
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

// printSnapshot prints the flows that flt selects by way of a snapshot. done is false if
// there is none, and nothing has been printed.
func (x *executor) printSnapshot(c *conntrack.Client, p *render.Printer, flt *filter.Filter) (n int, done bool, err error) {
	if flt != nil && flt.Status != nil && flt.Status.Mask == 0 {
		x.overNetlink("the kernel shall refuse that status itself")
		return 0, false, nil
	}
	t, err := x.openSnapshot(c)
	if t == nil || err != nil {
		return 0, false, err
	}
	defer t.Close()
	at := time.Now()
	contexts := contexts{client: c}
	pieces := sync.Pool{New: func() any { return new([]byte) }}
	err = t.Chunks(context.Background(), flt, func(c *snapshot.Chunk) error {
		buf := pieces.Get().(*[]byte)
		defer pieces.Put(buf)
		piece, records := p.Piece(), 0
		text := (*buf)[:0]
		for f := range c.Flows() {
			contexts.fill(f)
			text = piece.AppendFlow(text, f, at)
			records++
		}
		*buf = text
		if records == 0 {
			return nil
		}
		c.InTurn(func() {
			x.out.buf = p.BeginPiece(x.out.buf, records)
			x.out.bulk(text)
			n += records
		})
		return nil
	})
	return n, true, err
}

// contexts turns security marks into the text that the security module has for them, which
// only netlink tells. Where there is such a module, flows without a mark have one too.
type contexts struct {
	client *conntrack.Client
	plain  atomic.Pointer[string] // of flows without a mark; nil: not known
	mu     sync.Mutex
	known  map[uint32]string // "": none
}

// filled fills the flows that pass.
func (s *contexts) filled(flows iter.Seq2[flow.Flow, error]) iter.Seq2[flow.Flow, error] {
	return func(yield func(flow.Flow, error) bool) {
		for f, err := range flows {
			if s.fill(&f); !yield(f, err) {
				return
			}
		}
	}
}

// fill replaces the mark of f by its context, as netlink would report f.
func (s *contexts) fill(f *flow.Flow) {
	var text string
	if plain := s.plain.Load(); plain != nil && !f.Has.Has(flow.HasSecMark) {
		text = *plain
	} else {
		text = s.ask(f)
	}
	f.Has &^= flow.HasSecMark
	f.SecMark = 0
	if text != "" {
		f.SecCtx, f.Has = text, f.Has|flow.HasSecCtx
	}
}

// ask has netlink tell the context of f unless one of the same mark has been told.
func (s *contexts) ask(f *flow.Flow) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if text, ok := s.known[f.SecMark]; ok {
		return text
	}
	now, err := s.client.Get(context.Background(), f.Orig, f.Zone)
	if err != nil {
		return "" // it has ended; the next one of this mark will tell
	}
	if s.known == nil {
		s.known = make(map[uint32]string)
	}
	s.known[f.SecMark] = now.SecCtx
	if f.SecMark == 0 {
		s.plain.Store(&now.SecCtx)
	}
	return now.SecCtx
}
