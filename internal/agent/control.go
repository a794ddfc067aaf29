package agent

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/config"
	"github.com/spoor-project/spoor/internal/mirror"
	"github.com/spoor-project/spoor/internal/render"
	"github.com/spoor-project/spoor/internal/statesync"
)

// Request is what a client asks for: one number, in the machine's byte order. The daemon answers with text
// and closes the connection.
type Request int32

// The numbers are those of conntrackd, so that each side may be the original.
const (
	FlushFlows          Request = 0
	ResyncFlows         Request = 1
	DumpInternal        Request = 16
	DumpExternal        Request = 17
	CommitFlows         Request = 18
	FlushCachesOld      Request = 19
	Stop                Request = 20
	StatGeneral         Request = 21
	SendBulk            Request = 22
	RequestResync       Request = 23
	DumpInternalXML     Request = 24
	DumpExternalXML     Request = 25
	PurgeLater          Request = 26
	StatNetwork         Request = 28
	StatCache           Request = 29
	StatRuntime         Request = 30
	StatLink            Request = 31
	StatResend          Request = 32
	FlushInternal       Request = 33
	FlushExternal       Request = 34
	StatProcess         Request = 35
	StatQueue           Request = 36
	StatExpect          Request = 37
	FlushExpects        Request = 38
	ResyncExpects       Request = 39
	DumpInternalExpects Request = 40
	DumpExternalExpects Request = 41
	CommitExpects       Request = 42
	FlushAll            Request = 43
	ResyncAll           Request = 44
	FlushCaches         Request = 45
	CommitAll           Request = 46
	DumpInternalExpXML  Request = 47
	DumpExternalExpXML  Request = 48

	// Ours, far from those of the original.
	StatJSON                Request = 1000
	DumpInternalJSON        Request = 1001
	DumpExternalJSON        Request = 1002
	DumpInternalExpectsJSON Request = 1003
	DumpExternalExpectsJSON Request = 1004
	Verify                  Request = 1005
)

// patience is how long a client may take for its request, or for reading a piece of the answer. It
// keeps nobody waiting but itself.
const (
	requestPatience = 5 * time.Second
	answerPatience  = time.Minute
)

// listen opens the control socket.
func (d *Daemon) listen() error {
	path := d.cfg.Load().General.UNIXPath
	if path == "" {
		return nil
	}
	os.Remove(path)
	old := syscall.Umask(0o177)
	defer syscall.Umask(old)
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	d.control = l
	return nil
}

// serve answers clients until ctx ends.
func (d *Daemon) serve(ctx context.Context) error {
	for {
		conn, err := d.control.Accept()
		if err != nil {
			return err
		}
		d.work.Go(func() {
			defer conn.Close()
			stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) })
			defer stop()
			d.answer(ctx, conn)
		})
	}
}

func (d *Daemon) answer(ctx context.Context, conn net.Conn) {
	conn.SetReadDeadline(time.Now().Add(requestPatience))
	var b [4]byte
	if _, err := io.ReadFull(conn, b[:]); err != nil {
		d.call(ctx, func() { d.runtime.ReadsFailed++ })
		return
	}
	d.handle(ctx, Request(int32(binary.NativeEndian.Uint32(b[:]))), conn)
}

// Ask sends a request to the daemon at path and copies its answer.
func Ask(path string, r Request, answer io.Writer) error {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	defer conn.Close()
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], uint32(r))
	if _, err := conn.Write(b[:]); err != nil {
		return err
	}
	_, err = io.Copy(answer, conn)
	return err
}

// reply writes a piece of an answer, and reports whether the client is still there.
func reply(conn net.Conn, b []byte) bool {
	conn.SetWriteDeadline(time.Now().Add(answerPatience))
	_, err := conn.Write(b)
	return err == nil
}

// handle carries out a request. What a mode does not have is accepted, and does nothing.
func (d *Daemon) handle(ctx context.Context, r Request, conn net.Conn) {
	switch r {
	case Stop:
		d.stop()
		return
	case StatGeneral, StatNetwork, StatCache, StatRuntime, StatLink, StatResend, StatProcess, StatQueue, StatExpect, StatJSON:
		d.statistics(ctx, r, conn)
		return
	}
	if d.ledger != nil {
		d.handleLedger(ctx, r, conn)
		return
	}
	if d.engine == nil {
		return
	}
	s := d.cfg.Load().Sync
	expects := s.ExpectationSync
	switch r {
	case FlushFlows, FlushAll:
		d.flushRequested(ctx, expects && r == FlushAll)
	case FlushExpects:
		if expects {
			d.flushExpects(ctx)
		}
	case ResyncFlows, ResyncAll, ResyncExpects:
		d.resyncRequested(ctx, r)
	case DumpInternal, DumpInternalXML, DumpInternalJSON, DumpExternal, DumpExternalXML, DumpExternalJSON:
		d.dumpFlows(ctx, r, conn)
	case DumpInternalExpects, DumpInternalExpXML, DumpInternalExpectsJSON, DumpExternalExpects, DumpExternalExpXML, DumpExternalExpectsJSON:
		if expects {
			d.dumpExpects(ctx, r, conn)
		}
	case CommitFlows, CommitExpects, CommitAll:
		if !s.DisableExternalCache {
			text := map[Request]string{CommitFlows: "committing conntrack cache", CommitExpects: "committing expectation cache",
				CommitAll: "committing all external caches"}[r]
			if r == CommitExpects && !expects {
				return
			}
			d.notice(ctx, text)
			d.commit(ctx, r != CommitExpects, expects && r != CommitFlows)
		}
	case FlushCaches, FlushCachesOld, FlushInternal, FlushExternal:
		d.flushCaches(ctx, r)
	case Verify:
		d.verify(ctx, conn)
	case SendBulk:
		d.call(ctx, func() { d.engine.SendBulk(d.now()) })
	case RequestResync:
		d.call(ctx, func() {
			if s.Mode != config.ALARM {
				d.log.Printf(statesync.Notice, "resync requested")
				d.engine.RequestResync(d.now())
			}
		})
	case PurgeLater:
		d.call(ctx, func() {
			if d.purgeAt == 0 {
				d.log.Printf(statesync.Notice, "flushing conntrack table in %d secs", s.PurgeTimeout/time.Second)
				d.purgeAt = d.now() + statesync.Moment(s.PurgeTimeout)
			}
		})
	default:
		d.call(ctx, func() { d.runtime.RequestsUnknown++ })
	}
}

// handleLedger carries out the requests that the statistics mode knows.
func (d *Daemon) handleLedger(ctx context.Context, r Request, conn net.Conn) {
	switch r {
	case FlushFlows, FlushAll:
		d.flushRequested(ctx, false)
	case ResyncFlows, ResyncAll:
		d.notice(ctx, "resync with master conntrack table")
		d.readLedger(ctx, false)
	case DumpInternal, DumpInternalXML, DumpInternalJSON:
		d.dumpCache(ctx, r, conn, false, false, d.ledger.show)
	case FlushCachesOld, FlushInternal:
		d.call(ctx, func() {
			d.log.Printf(statesync.Notice, "flushing internal cache")
			d.ledger.flows.Clear()
		})
	}
}

func (d *Daemon) notice(ctx context.Context, text string) {
	d.call(ctx, func() { d.log.Printf(statesync.Notice, "%s", text) })
}

// flushRequested empties the kernel's table; the client waits for it.
func (d *Daemon) flushRequested(ctx context.Context, expects bool) {
	done := make(chan struct{})
	d.call(ctx, func() {
		d.log.Printf(statesync.Notice, "flushing kernel conntrack table")
		if d.flushing {
			close(done)
			return
		}
		d.flushKernel(ctx, func() { close(done) })
	})
	select {
	case <-done:
	case <-ctx.Done():
		return
	}
	if expects {
		d.flushExpects(ctx)
	}
}

func (d *Daemon) flushExpects(ctx context.Context) {
	d.notice(ctx, "flushing kernel expect table")
	if err := d.kernel.flushExpects(ctx); err != nil {
		d.call(ctx, func() { d.log.Printf(statesync.Error, "can't flush the kernel's expectations: %v", err) })
	}
}

func (d *Daemon) resyncRequested(ctx context.Context, r Request) {
	d.call(ctx, func() {
		if d.cfg.Load().Sync.DisableInternalCache {
			d.log.Printf(statesync.Notice, "resync is unsupported in this mode")
			return
		}
		if r != ResyncExpects {
			d.log.Printf(statesync.Notice, "resync with master conntrack table")
			d.runtime.Resyncs++
		}
		if r != ResyncFlows && d.cfg.Load().Sync.ExpectationSync {
			d.log.Printf(statesync.Notice, "resync with master expect table")
		}
	})
	if d.cfg.Load().Sync.DisableInternalCache {
		return
	}
	d.logFailure(ctx, d.compareKernel(ctx, r != ResyncExpects, r != ResyncFlows, tellNothing))
}

// flushCaches forgets what is in the caches. Nobody is told.
func (d *Daemon) flushCaches(ctx context.Context, r Request) {
	kernelToo := false
	d.call(ctx, func() {
		now, e := d.now(), d.engine
		text := map[Request]string{FlushInternal: "flushing internal cache", FlushExternal: "flushing external cache"}[r]
		if text == "" {
			text = "flushing caches"
		}
		d.log.Printf(statesync.Notice, "%s", text)
		if r != FlushExternal {
			d.purgeAt = 0
			// Without an internal cache it is the kernel's table that stands for it.
			kernelToo = d.cfg.Load().Sync.DisableInternalCache
			e.FlushInternal(now)
		}
		if r != FlushInternal {
			if d.committing {
				d.log.Printf(statesync.Error, "ignoring flush command, commit still in progress")
				return
			}
			e.FlushExternal(now)
		}
		if r == FlushCaches || r == FlushCachesOld {
			e.FlushInternalExpects(now)
			e.FlushExternalExpects(now)
		}
	})
	if kernelToo {
		d.flushRequested(ctx, false)
	}
}

// dumpFlows writes a cache, piece by piece, so that a slow client keeps nothing but itself waiting.
func (d *Daemon) dumpFlows(ctx context.Context, r Request, conn net.Conn) {
	external := r == DumpExternal || r == DumpExternalXML || r == DumpExternalJSON
	if !external && d.cfg.Load().Sync.DisableInternalCache {
		d.dumpKernel(ctx, r, conn)
		return
	}
	from := d.engine.Internal
	if external {
		from = d.engine.External
	}
	d.dumpCache(ctx, r, conn, external, external && d.cfg.Load().Sync.Mode == config.ALARM, from)
}

// dumpCache writes a cache piece by piece.
func (d *Daemon) dumpCache(ctx context.Context, r Request, conn net.Conn, external, expires bool,
	from func(statesync.Moment, mirror.Ref, int, func(*statesync.Cached)) mirror.Ref) {
	var b []byte
	for at := mirror.Ref(0); ; {
		b = b[:0]
		if !d.call(ctx, func() {
			at = from(d.now(), at, atOnce, func(c *statesync.Cached) {
				switch r {
				case DumpInternalXML, DumpExternalXML:
					b = appendCachedXML(b, c.Flow, external)
				case DumpInternalJSON, DumpExternalJSON:
					b = appendCachedJSON(b, c, expires)
				default:
					b = appendCachedText(b, c, external, expires)
				}
			})
		}) || !reply(conn, b) || at == 0 {
			return
		}
	}
}

func (d *Daemon) dumpExpects(ctx context.Context, r Request, conn net.Conn) {
	from, expires := d.engine.ExternalExpects, d.cfg.Load().Sync.Mode == config.ALARM
	switch r {
	case DumpInternalExpects, DumpInternalExpXML, DumpInternalExpectsJSON:
		from, expires = d.engine.InternalExpects, false
	}
	var b []byte
	d.call(ctx, func() {
		from(d.now(), func(c *statesync.CachedExpect) {
			switch r {
			case DumpInternalExpXML, DumpExternalExpXML:
				b = appendCachedExpectXML(b, c.Expect)
			case DumpInternalExpectsJSON, DumpExternalExpectsJSON:
				b = appendCachedExpectJSON(b, c, expires)
			default:
				b = appendCachedExpect(b, c, expires)
			}
		})
	})
	reply(conn, b)
}

func (d *Daemon) statistics(ctx context.Context, r Request, conn net.Conn) {
	var b []byte
	d.call(ctx, func() {
		s := d.status(r == StatResend || r == StatQueue || r == StatJSON)
		if r == StatJSON {
			b = appendStatusJSON(nil, s)
		} else {
			b, _ = appendStatistics(nil, int32(r), s)
		}
	})
	reply(conn, b)
}

// dumpKernel writes the kernel's table in place of the internal cache that there is not. The original has no XML of it.
func (d *Daemon) dumpKernel(ctx context.Context, r Request, conn net.Conn) {
	style := (*render.Style)(nil)
	if r == DumpInternalJSON {
		style = &dumpJSON
	}
	p := render.NewPrinter(render.Flows, style)
	var b []byte
	for f, err := range d.kernel.client.Flows(ctx, nil) {
		if err != nil {
			return
		}
		if !d.kernel.filter().passes(&f, flow.Update) {
			continue
		}
		if b = p.AppendFlow(b, &f, time.Now()); len(b) > 64<<10 {
			if !reply(conn, b) {
				return
			}
			b = b[:0]
		}
	}
	reply(conn, b)
}
