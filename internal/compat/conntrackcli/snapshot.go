package conntrackcli

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/internal/render"
	"github.com/spoor-project/spoor/internal/table"
)

// open prepares to read the flows of the table the fastest way.
func (x *executor) open(c *conntrack.Client) (*table.Table, error) {
	opts := table.Options{Way: table.Way(x.env.Snapshot), IDs: x.needsID()}
	if x.where != nil {
		opts.NetNS = x.where.NetNS
	}
	t, err := table.Open(context.Background(), c, &opts)
	if err != nil {
		return nil, failf("%v", err)
	}
	x.note("the table is read %v", t)
	return t, nil
}

// overNetlink tells why the table is not read by a snapshot.
func (x *executor) overNetlink(why string) {
	x.note("the table is read over netlink: %s", why)
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

// printSnapshot prints the flows that flt selects by way of a snapshot. done is false if
// there is none, and nothing has been printed.
func (x *executor) printSnapshot(c *conntrack.Client, p *render.Printer, flt *filter.Filter) (n int, done bool, err error) {
	if flt != nil && flt.Status != nil && flt.Status.Mask == 0 {
		x.overNetlink("the kernel shall refuse that status itself")
		return 0, false, nil
	}
	t, err := x.open(c)
	if err != nil {
		return 0, false, err
	}
	defer t.Close()
	if !t.BySnapshot() {
		return 0, false, nil
	}
	at := time.Now()
	pieces := sync.Pool{New: func() any { return new([]byte) }}
	err = t.Chunks(context.Background(), flt, func(c *table.Chunk) error {
		buf := pieces.Get().(*[]byte)
		piece, records := p.Piece(), 0
		text := (*buf)[:0]
		for f := range c.Flows() {
			text = piece.AppendFlow(text, f, at)
			records++
		}
		*buf = text
		if records == 0 {
			pieces.Put(buf)
			return nil
		}
		c.Enqueue(func() {
			x.out.buf = p.BeginPiece(x.out.buf, records)
			x.out.bulk(text)
			n += records
			pieces.Put(buf)
		})
		return nil
	})
	return n, true, err
}
