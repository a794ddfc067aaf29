package agent

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/config"
	"github.com/spoor-project/spoor/internal/mirror"
	"github.com/spoor-project/spoor/internal/render"
	"github.com/spoor-project/spoor/internal/statesync"
)

const (
	// silence is how long nothing has come when a peer is done telling of everything, and longest is how long that may take.
	silence = 2 * time.Second
	longest = 2 * time.Minute
	// answerWithin is how long a peer that is there keeps quiet at most: it says something every second.
	answerWithin = 3 * time.Second
	// differences shown of each kind; all are counted.
	shownDifferences = 1000
)

// verify compares the kernel's table with the internal cache, and the external cache with what the peers tell
// when they are asked for everything, and writes the differences. The last line is "in step" if there is none.
func (d *Daemon) verify(ctx context.Context, conn net.Conn) {
	if s := d.cfg.Load().Sync; s.Mode == config.ALARM || s.DisableExternalCache || s.DisableInternalCache {
		reply(conn, []byte("cannot verify: that takes both caches, and a mode in which peers can be asked (FTFW or NOTRACK)\n"))
		return
	}
	v := &report{printer: render.NewPrinter(render.Flows, nil)}
	if err := d.verifyInternal(ctx, v); err != nil {
		v.line("%v", err)
		v.found++
	}
	if !reply(conn, v.text) {
		return
	}
	v.text = v.text[:0]
	d.verifyExternal(ctx, v)
	if v.found == 0 {
		v.line("in step")
	} else {
		v.line("%d differences", v.found)
	}
	reply(conn, v.text)
}

// report is what a verification has found.
type report struct {
	printer *render.Printer
	text    []byte
	found   int
	shown   int // of the kind being shown
}

func (v *report) line(format string, args ...any) { v.text = fmt.Appendf(v.text, format+"\n", args...) }

func (v *report) difference(what string, f *flow.Flow) {
	v.found++
	if v.shown++; v.shown > shownDifferences {
		return
	}
	v.text = append(v.text, what...)
	v.text = v.printer.AppendFlow(v.text, f, time.Now())
}

// verifyInternal looks each flow of the kernel up in the cache, and the other way round.
func (d *Daemon) verifyInternal(ctx context.Context, v *report) error {
	there := make(map[flow.Key]flow.Flow)
	n := 0
	err := d.eachFlow(ctx, func(f *flow.Flow) { there[f.Key()] = *f })
	if err != nil {
		return err
	}
	n = len(there)
	var extra []flow.Flow
	for at := mirror.Ref(0); ; {
		if !d.call(ctx, func() {
			at = d.engine.Internal(d.now(), at, atOnce, func(c *statesync.Cached) {
				if _, ok := there[c.Flow.Key()]; ok {
					delete(there, c.Flow.Key())
				} else {
					extra = append(extra, *c.Flow)
				}
			})
		}) {
			return ctx.Err()
		}
		if at == 0 {
			break
		}
	}
	// Flows come and go while the table is read: only what is still so a moment later is a difference.
	for _, f := range there {
		if d.still(ctx, &f, true) {
			v.difference("only in the kernel: ", &f)
		}
	}
	v.shown = 0
	for i := range extra {
		if d.still(ctx, &extra[i], false) {
			v.difference("only in the internal cache: ", &extra[i])
		}
	}
	v.shown = 0
	v.line("kernel and internal cache: %d flows compared", n)
	return nil
}

// still reports whether a flow is still in the kernel's table, if it was, and not in the cache, or the other way round.
func (d *Daemon) still(ctx context.Context, f *flow.Flow, inKernel bool) bool {
	_, err := d.kernel.client.Get(ctx, f.Orig, f.Zone)
	if (err == nil) != inKernel {
		return false
	}
	cached := false
	d.call(ctx, func() { cached = d.engine.Knows(f) })
	return cached != inKernel
}

func (d *Daemon) verifyExternal(ctx context.Context, v *report) {
	asked := time.Now()
	d.call(ctx, func() { d.engine.BeginVerification(d.now()) })
	heard := false
	for time.Since(asked) < longest {
		select {
		case <-time.After(silence / 4):
		case <-ctx.Done():
			return
		}
		quiet := false
		d.call(ctx, func() {
			heard = d.heard.After(asked)
			quiet = d.now()-d.engine.LastTold() > statesync.Moment(silence)
		})
		if quiet && (heard || time.Since(asked) >= answerWithin) {
			break
		}
	}
	d.call(ctx, func() {
		stale := func(f *flow.Flow) { v.difference("only in the external cache, not told by a peer: ", withoutReply(f)) }
		if !heard {
			stale = func(*flow.Flow) {} // which is all of it
		}
		n := d.engine.EndVerification(d.now(), stale,
			func(f *flow.Flow) { v.difference("was missing in the external cache: ", withoutReply(f)) })
		if heard {
			v.line("external cache and peers: %d flows compared", n)
			return
		}
		v.found++
		v.line("no peer is heard: %d flows of the external cache not compared", n)
	})
}

func withoutReply(f *flow.Flow) *flow.Flow {
	g := *f
	g.Has &^= flow.HasReply
	return &g
}
