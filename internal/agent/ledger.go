package agent

import (
	"io"
	"log/syslog"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/mirror"
	"github.com/spoor-project/spoor/internal/statesync"
)

// ledger is the statistics mode: it knows the flows of the kernel's table, and writes a line for each that
// ends.
type ledger struct {
	flows   *mirror.Table[known]
	file    io.Writer      // nil: none
	syslog  *syslog.Writer // nil: none
	stats   statesync.CacheStats
	traffic statesync.Traffic

	sweep   uint32                // counts the readings of the kernel's table that tell what has vanished
	readers int                   // readings that are going on
	ended   map[flow.Key]struct{} // what has ended since one of them began, which may still have it; nil without

	lines  []byte // not written yet
	failed bool   // the last writing did, and that has been logged
	flow   flow.Flow
}

// known is what is kept with a flow.
type known struct {
	added uint32 // seconds of Moment
	seen  uint32 // the sweep in which, or since which, it was heard of
}

func newLedger(limit, size int, file io.Writer, log *syslog.Writer) *ledger {
	return &ledger{flows: mirror.New[known](limit, size), file: file, syslog: log}
}

// notListed are attributes that the dump of the cache does not show, or that are out of date at once.
const notListed = flow.HasTimeout | flow.HasUse | flow.HasOrigCounters | flow.HasReplyCounters

// event takes in a change. Only flows that were known before are written down.
func (l *ledger) event(now statesync.Moment, ev *flow.Event) {
	f := &ev.Flow
	ref := l.flows.Find(f)
	if l.ended != nil {
		if ev.Type == flow.Destroy {
			l.ended[f.Key()] = struct{}{}
		} else {
			delete(l.ended, f.Key())
		}
	}
	switch {
	case ev.Type == flow.Destroy:
		l.count(f)
		if ref == 0 {
			return
		}
		l.flows.Remove(ref)
		l.stats.Destroyed++
		l.write(f)
	case ref == 0:
		l.add(now, f)
	case ev.Type == flow.Update:
		l.change(ref, f)
	}
}

func (l *ledger) count(f *flow.Flow) {
	l.traffic.Bytes += f.OrigCounters.Bytes + f.ReplyCounters.Bytes
	l.traffic.Packets += f.OrigCounters.Packets + f.ReplyCounters.Packets
}

func (l *ledger) add(now statesync.Moment, f *flow.Flow) {
	l.flow = *f
	l.flow.Has &^= notListed
	ref := l.flows.Add(&l.flow)
	if ref == 0 {
		l.stats.Failed++
		return
	}
	l.stats.Created++
	*l.flows.Meta(ref) = known{uint32(time.Duration(now) / time.Second), l.sweep}
}

func (l *ledger) change(ref mirror.Ref, f *flow.Flow) {
	l.flows.Load(ref, &l.flow)
	statesync.Merge(&l.flow, f, flow.AllFields&^notListed)
	l.flows.Store(ref, &l.flow)
	l.flows.Meta(ref).seen = l.sweep
	l.stats.Updated++
}

// read takes in a flow of the kernel's table.
func (l *ledger) read(now statesync.Moment, f *flow.Flow) {
	if l.ended != nil {
		if _, ok := l.ended[f.Key()]; ok {
			return // the event was faster
		}
	}
	if ref := l.flows.Find(f); ref != 0 {
		l.change(ref, f)
	} else {
		l.add(now, f)
	}
}

// beginReading begins a reading of the kernel's table: of the whole, if it shall tell what has vanished.
func (l *ledger) beginReading(whole bool) {
	if whole {
		l.sweep++
	}
	if l.readers++; l.ended == nil {
		l.ended = make(map[flow.Key]struct{})
	}
}

// endReading ends it. vanished, after a reading of the whole that was complete, writes down the flows that neither read nor an event
// has told of since beginReading: their ends were missed, and what they have carried is not known.
func (l *ledger) endReading(vanished bool) {
	if l.readers--; l.readers == 0 {
		l.ended = nil
	}
	if !vanished {
		return
	}
	for ref := range l.flows.All() {
		if l.flows.Meta(ref).seen == l.sweep {
			continue
		}
		l.flows.Load(ref, &l.flow)
		l.write(&l.flow)
		l.flows.Remove(ref)
		l.stats.Destroyed++
	}
}

// write notes the end of a flow.
func (l *ledger) write(f *flow.Flow) {
	if l.file == nil && l.syslog == nil {
		return
	}
	at := time.Now()
	begin := len(l.lines)
	l.lines = appendRecord(l.lines, f, at)
	if l.syslog != nil {
		line := l.lines[begin:]
		l.syslog.Info(string(line[len(time.ANSIC)+1 : len(line)-1])) // without the time, which syslog has
	}
	if l.file == nil {
		l.lines = l.lines[:begin]
	}
}

// flush writes what there is. It reports an error if it is the first of a row.
func (l *ledger) flush() error {
	if len(l.lines) == 0 {
		return nil
	}
	_, err := l.file.Write(l.lines)
	l.lines = l.lines[:0]
	again := l.failed
	if l.failed = err != nil; again {
		return nil
	}
	return err
}

// reopen begins to append to the file at path, "" is none; what was written to before is closed. If that fails nothing is changed.
func (l *ledger) reopen(path string) error {
	var f io.Writer // not a nil *os.File
	if path != "" {
		opened, err := openLog(path)
		if err != nil {
			return err
		}
		f = opened
	}
	if old, ok := l.file.(io.Closer); ok {
		old.Close()
	}
	l.file = f
	return nil
}

// show visits up to n flows behind the one at after.
func (l *ledger) show(now statesync.Moment, at mirror.Ref, n int, visit func(*statesync.Cached)) mirror.Ref {
	for ; n > 0; n-- {
		if at = l.flows.Next(at); at == 0 {
			return 0
		}
		l.flows.Load(at, &l.flow)
		visit(&statesync.Cached{Flow: &l.flow, Age: int(uint32(time.Duration(now)/time.Second) - l.flows.Meta(at).added)})
	}
	return at
}

// status is for the statistics commands.
func (l *ledger) status() *statesync.CacheStats {
	s := l.stats
	s.Active, s.Objects, s.Bytes = l.flows.Len(), l.flows.Len(), l.flows.Bytes()
	return &s
}
