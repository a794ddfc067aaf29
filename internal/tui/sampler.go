package tui

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/table"
)

// Sampler sweeps the table of a namespace. Its memory is 32 bytes a flow and some for the rows it hands out. It is for one
// goroutine, except for Pulse.
type Sampler struct {
	client *conntrack.Client
	opts   table.Options
	table  *table.Table
	small  uint32 // entries when the table was opened

	known  remembered
	groups sums
	number uint32    // of the last sweep that noted what it met
	last   time.Time // its time; zero: there is nothing to compare with
	query  string
	live   uint64 // flows that it met
	over   time.Duration
	new    uint64
	ended  uint64

	// Gap is the least time to take rates over. What is asked for sooner after the last sweep has its rates.
	Gap time.Duration
}

// NewSampler returns a sampler of a client's table, which must outlive it.
func NewSampler(c *conntrack.Client, opts *table.Options) *Sampler {
	return &Sampler{client: c, opts: *opts}
}

// Close releases what the sampler holds of the kernel.
func (s *Sampler) Close() {
	if s.table != nil {
		s.table.Close()
		s.table = nil
	}
}

// Pulse asks the kernel how full the table is.
func (s *Sampler) Pulse(ctx context.Context) (p Pulse, err error) {
	u, err := s.client.Count(ctx)
	if err != nil {
		return p, err
	}
	cpus, err := s.client.Stats(ctx)
	if err != nil {
		return p, err
	}
	p = Pulse{Time: time.Now(), Entries: u.Entries, Max: u.Max}
	for _, cpu := range cpus {
		for _, c := range cpu.Counters {
			switch c.ID {
			case conntrack.StatDrop:
				p.Dropped += c.Value
			case conntrack.StatEarlyDrop:
				p.Evicted += c.Value
			case conntrack.StatInsertFailed:
				p.Failed += c.Value
			}
		}
	}
	return p, nil
}

// open opens the table, and again when it has become so large that there may be a faster way.
func (s *Sampler) open(ctx context.Context) error {
	u, err := s.client.Count(ctx)
	if err != nil {
		return err
	}
	if s.table != nil && (s.table.BySnapshot() || u.Entries < 2*s.small) {
		return nil
	}
	s.Close()
	s.small = max(10_000, u.Entries)
	s.table, err = table.Open(ctx, s.client, &s.opts)
	return err
}

// Sweep reads the table once.
func (s *Sampler) Sweep(ctx context.Context, look Look) (*Sample, error) {
	if look.Query == nil {
		look.Query = new(filter.Query)
	}
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	before := processorTime()
	w := sweep{Sampler: s, look: look, now: time.Now()}
	text := look.Query.String()
	// A flow that the query before did not select is met for the first time and need not be new.
	w.baseline = s.last.IsZero() || text != s.query
	w.peek = !s.last.IsZero() && w.now.Sub(s.last) < s.Gap
	if !w.peek {
		s.number++
	}
	s.groups.reset()
	err := s.table.Chunks(ctx, look.Query.Filter(), w.chunk)
	if err != nil {
		s.last = time.Time{} // what has been met is not all there was
		if s.table.BySnapshot() && s.opts.Way != table.Snapshot && ctx.Err() == nil {
			// Another way may still work.
			s.Close()
			s.opts.Way = table.Netlink
			return s.Sweep(ctx, look)
		}
		return nil, err
	}
	out := w.sample()
	if !w.peek {
		s.note(&w)
	}
	out.Over, out.Baseline, out.Peek = s.over, w.baseline, w.peek
	if !w.baseline {
		out.New, out.Ended = s.new, s.ended
	}
	out.How = s.table.String()
	out.Took, out.Cost = time.Since(w.now), processorTime()-before
	return out, nil
}

// Refresh looks at the rows of a sample again, one by one: that takes little even where the table is large, so rows can be up to date between two sweeps.
// Those that have ended, or are not selected any more, are left out; new ones do not come. The sample is left as it is.
func (s *Sampler) Refresh(ctx context.Context, old *Sample) (*Sample, error) {
	out := *old
	before, _ := old.rows()
	out.Again, out.RowsTime, out.Rows = true, time.Now(), make([]Row, 0, len(old.Rows))
	out.RowsOver = out.RowsTime.Sub(before)
	for i := range old.Rows {
		r := &old.Rows[i]
		f, err := s.client.Get(ctx, r.Flow.Orig, r.Flow.Zone)
		if errors.Is(err, conntrack.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		both := f.Has & r.Flow.Has
		if both.Has(flow.HasID) && f.ID != r.Flow.ID || both.Has(flow.HasStart) && f.Start != r.Flow.Start || !out.Look.Query.Match(&f, out.RowsTime) {
			continue // it is another, or is not wanted any more
		}
		now := Row{Flow: f, New: r.New}
		now.DBytes, now.DPackets = now.Bytes()-min(now.Bytes(), r.Bytes()), now.Packets()-min(now.Packets(), r.Packets())
		now.rank = out.Look.rank(out.RowsTime, &now, r.rank[len(r.rank)-1])
		out.Rows = append(out.Rows, now)
	}
	out.Rows = best(out.Rows, len(out.Rows))
	return &out, nil
}

// note keeps what the next sweep is compared with.
func (s *Sampler) note(w *sweep) {
	s.over, s.new, s.ended = 0, 0, 0
	if !s.last.IsZero() {
		s.over = w.now.Sub(s.last)
	}
	if !w.baseline {
		s.new, s.ended = w.total.Flows-w.total.met, s.live-min(s.live, w.total.met)
	}
	s.last, s.query, s.live = w.now, w.look.Query.String(), w.total.Flows
	s.known.tidy(s.number)
}

// sweep is one reading of the table, by several workers.
type sweep struct {
	*Sampler
	look     Look
	now      time.Time
	baseline bool // what is met for the first time is not new
	peek     bool // leaves what is remembered as it is

	mu    sync.Mutex
	idle  []*worker
	total struct {
		Sample
		met uint64 // flows that the sweep before has met too
	}
}

// worker is what one of those that read at the same time has gathered.
type worker struct {
	Sample
	met  uint64
	rows []Row // up to twice the limit; from the limit on they are put in order now and then
	full bool  // rows[limit-1] is the least that counts
	sums []pending
}

// pending is a flow's share of its group.
type pending struct {
	hash uint64
	sum  sum
}

func (w *sweep) chunk(c *table.Chunk) error {
	w.mu.Lock()
	var mine *worker
	if last := len(w.idle) - 1; last >= 0 {
		mine, w.idle = w.idle[last], w.idle[:last]
	}
	w.mu.Unlock()
	if mine == nil {
		mine = &worker{}
	}
	for f := range c.Flows() {
		if w.look.Query.Match(f, w.now) {
			w.flow(mine, f)
		}
	}
	w.flush(mine)
	w.mu.Lock()
	w.idle = append(w.idle, mine)
	w.mu.Unlock()
	return nil
}

var seed = maphash.MakeSeed()

func keyHash[T comparable](key *T) uint64 { return maphash.Comparable(seed, *key) }

func (w *sweep) flow(mine *worker, f *flow.Flow) {
	key := f.Key()
	bytes, packets := f.OrigCounters.Bytes+f.ReplyCounters.Bytes, f.OrigCounters.Packets+f.ReplyCounters.Packets
	hash := keyHash(&key)
	var c change
	if w.peek {
		c = w.known.peek(hash, w.number, w.baseline)
	} else {
		c = w.known.note(hash, bytes, packets, w.number, w.baseline)
	}
	if c.again {
		return
	}
	fresh := c.first > w.look.Since
	mine.Flows++
	mine.Bytes += bytes
	mine.Packets += packets
	mine.DBytes += c.bytes
	mine.DPackets += c.packets
	if f.Has&(flow.HasOrigCounters|flow.HasReplyCounters) != 0 {
		mine.Counted++
	}
	if c.known {
		mine.met++
	}
	if fresh {
		mine.SinceNew++
	} else if w.look.OnlyNew {
		return
	}
	if w.look.By != Flows {
		g := groupings[w.look.By].key(f)
		one := sum{key: g, flows: 1, bytes: bytes, packets: packets, dBytes: c.bytes, dPackets: c.packets}
		if fresh {
			one.fresh = 1
		}
		if mine.sums = append(mine.sums, pending{keyHash(&g), one}); len(mine.sums) == 256 {
			w.flush(mine)
		}
		return
	}
	limit := w.look.Limit
	if limit <= 0 {
		return
	}
	r := w.look.rankOf(w.now, f, bytes, packets, c.bytes, c.packets, hash)
	if mine.full && r.compare(&mine.rows[limit-1].rank) >= 0 {
		return
	}
	mine.rows = append(mine.rows, Row{*f, c.bytes, c.packets, fresh, r})
	if len(mine.rows) >= 2*limit {
		mine.rows = best(mine.rows, limit)
		mine.full = true
	}
}

// rank is a row's place in the order that is asked for; last is its own number.
func (l *Look) rank(now time.Time, r *Row, last uint64) rank {
	return l.rankOf(now, &r.Flow, r.Bytes(), r.Packets(), r.DBytes, r.DPackets, last)
}

func (l *Look) rankOf(now time.Time, f *flow.Flow, bytes, packets, dBytes, dPackets, last uint64) rank {
	left := uint64(max(0, f.Timeout/time.Second))
	var first uint64
	switch l.Sort {
	case ByPPS:
		first = dPackets
	case ByBytes:
		first = bytes
	case ByPackets:
		first = packets
	case ByAge:
		if f.Has.Has(flow.HasStart) {
			first = uint64(max(1, now.UnixNano()-int64(f.Start)))
		}
	case ByTimeout:
		first = left
	default:
		first = dBytes
	}
	if l.Reverse {
		first = ^first
	}
	// The last is the flow's own: equal ones do not change places from one sample to the next.
	return rank{first, dBytes, bytes, left, last}
}

// best are the first n rows.
func best(rows []Row, n int) []Row {
	slices.SortFunc(rows, func(a, b Row) int { return a.rank.compare(&b.rank) })
	if len(rows) > n {
		rows = rows[:n]
	}
	return rows
}

// flush adds what a worker has gathered to the groups.
func (w *sweep) flush(mine *worker) {
	if len(mine.sums) == 0 {
		return
	}
	w.groups.mu.Lock()
	defer w.groups.mu.Unlock()
	for i := range mine.sums {
		w.groups.add(mine.sums[i].hash, &mine.sums[i].sum)
	}
	mine.sums = mine.sums[:0]
}

// sample puts together what the workers have gathered.
func (w *sweep) sample() *Sample {
	t := &w.total
	for _, mine := range w.idle {
		t.Flows += mine.Flows
		t.Counted += mine.Counted
		t.SinceNew += mine.SinceNew
		t.Bytes += mine.Bytes
		t.Packets += mine.Packets
		t.DBytes += mine.DBytes
		t.DPackets += mine.DPackets
		t.met += mine.met
		t.Rows = append(t.Rows, mine.rows...)
	}
	t.Rows = slices.Clone(best(t.Rows, w.look.Limit))
	t.Look, t.Number, t.Time = w.look, w.number, w.now
	if w.look.By != Flows {
		w.largest()
	}
	out := t.Sample
	return &out
}

// largest takes the largest groups.
func (w *sweep) largest() {
	type candidate struct {
		rank rank
		sum  *sum
	}
	order := func(a, b candidate) int { return a.rank.compare(&b.rank) }
	var all []candidate
	limit, cut := max(0, w.look.Limit), false
	for i := range w.groups.places {
		p := &w.groups.places[i]
		if p.flows == 0 {
			continue
		}
		c := candidate{w.groupRank(p), p}
		if limit == 0 || cut && c.rank.compare(&all[limit-1].rank) >= 0 {
			continue
		}
		if all = append(all, c); len(all) >= 2*limit {
			slices.SortFunc(all, order)
			all, cut = all[:limit], true
		}
	}
	slices.SortFunc(all, order)
	t := &w.total
	t.AllGroups, t.Others = uint64(w.groups.used), w.groups.others
	for _, c := range all[:min(limit, len(all))] {
		g := Group{Flows: uint64(c.sum.flows), New: uint64(c.sum.fresh), Bytes: c.sum.bytes, Packets: c.sum.packets,
			DBytes: c.sum.dBytes, DPackets: c.sum.dPackets}
		g.Name, g.Condition = groupings[w.look.By].text(&c.sum.key)
		t.Groups = append(t.Groups, g)
	}
}

func (w *sweep) groupRank(p *sum) rank {
	var first uint64
	switch w.look.Sort {
	case ByRate:
		first = p.dBytes
	case ByPPS:
		first = p.dPackets
	case ByBytes:
		first = p.bytes
	case ByPackets:
		first = p.packets
	case ByNew:
		first = uint64(p.fresh)
	default:
		first = uint64(p.flows)
	}
	if w.look.Reverse {
		first = ^first
	}
	return rank{first, p.dBytes, uint64(p.flows), p.bytes, keyHash(&p.key)}
}

// processorTime is what the process has used of all processors.
func processorTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
