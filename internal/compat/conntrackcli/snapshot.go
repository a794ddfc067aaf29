package conntrackcli

import (
	"context"
	"sync"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/render"
	"github.com/spoor-project/spoor/snapshot"
)

// snapshotWorthwhile is from how many entries on a snapshot is faster than netlink, in
// spite of the time it takes to load its program.
const snapshotWorthwhile = 60_000

// openSnapshot opens the table's snapshot if the flows shall be read from it; nil is no
// error, but leaves it to netlink.
func (x *executor) openSnapshot(c *conntrack.Client) (*snapshot.Table, error) {
	forced := x.env.Snapshot == "on"
	if x.env.Snapshot == "off" {
		return nil, nil
	}
	ctx := context.Background()
	if !forced {
		if u, err := c.Count(ctx); err != nil || u.Entries < snapshotWorthwhile {
			return nil, nil // the dump will say what is wrong
		}
	}
	var opts snapshot.Options
	if x.where != nil {
		opts.NetNS = x.where.NetNS
	}
	t, err := snapshot.Open(&opts)
	if err == nil && x.needsID() {
		if err = learnID(ctx, t, c); err != nil {
			t.Close()
		}
	}
	switch {
	case err == nil:
		return t, nil
	case forced:
		return nil, failf("SPOOR_SNAPSHOT=on: %v", err)
	}
	return nil, nil
}

// needsID reports whether what is printed or done has to do with the identifier.
func (x *executor) needsID() bool {
	return x.cmd == cmdDelete || x.given.has(optID) || x.show.id || x.show.xml || x.show.ours()
}

// learnID teaches t to tell identifiers, by some that netlink tells.
func learnID(ctx context.Context, t *snapshot.Table, c *conntrack.Client) error {
	var known []flow.Flow
	for f, err := range c.Flows(ctx, nil) {
		if err != nil {
			return err
		}
		if known = append(known, f); len(known) == 8 {
			break
		}
	}
	if len(known) == 0 {
		return nil // an empty table
	}
	return t.LearnID(ctx, known)
}

// printSnapshot prints the flows that flt selects by way of a snapshot. done is false if
// there is none, and nothing has been printed.
func (x *executor) printSnapshot(c *conntrack.Client, p *render.Printer, flt *filter.Filter) (n int, done bool, err error) {
	if flt != nil && flt.Status != nil && flt.Status.Mask == 0 {
		return 0, false, nil // the kernel refuses it, and shall say so
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
			if f.Has.Has(flow.HasSecMark) {
				contexts.fill(f)
			}
			text = piece.AppendFlow(text, f, at)
			records++
		}
		*buf = text
		c.InTurn(func() {
			x.out.buf = p.AppendPiece(x.out.buf, text, records)
			x.out.relax()
			n += records
		})
		return nil
	})
	return n, true, err
}

// contexts turns security marks into the text that the security module has for them, which
// only netlink tells.
type contexts struct {
	client *conntrack.Client
	mu     sync.Mutex
	known  map[uint32]string // "": none
}

// fill replaces the mark of f by its context, as netlink would report f.
func (s *contexts) fill(f *flow.Flow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, ok := s.known[f.SecMark]
	if !ok {
		now, err := s.client.Get(context.Background(), f.Orig, f.Zone)
		if err == nil && s.known == nil {
			s.known = make(map[uint32]string)
		}
		if err == nil {
			s.known[f.SecMark] = now.SecCtx
		}
		text = now.SecCtx
	}
	f.Has &^= flow.HasSecMark
	f.SecMark = 0
	if text != "" {
		f.SecCtx, f.Has = text, f.Has|flow.HasSecCtx
	}
}
