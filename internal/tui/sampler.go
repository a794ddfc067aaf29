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

// Sampler reads the table of a namespace: whole or, where that would take too long, some parts of it at a time, of which it puts together
// what the table comes to. Its memory is 32 bytes a flow, 64 bytes a group in each part, and some for the rows it hands out. It
// is for one goroutine, except for Pulse.
type Sampler struct {
	client *conntrack.Client
	opts   table.Options
	table  *table.Table
	small  uint32 // entries when the table was opened

	entries uint32 // that the table had when it was last asked

	number uint32 // of the last sample
	look   Look   // what it was to bring out; never: it has failed
	query  string // its query
	parts  []part
	next   int           // part whose turn it is
	each   time.Duration // processor time that a part takes

	mu     sync.Mutex
	groups sums  // of all parts
	rows   []Row // the best of all parts, in order, and as many again in reserve

	// Gap is the least time to take rates over. What is asked for sooner after the last reading has its rates.
	Gap time.Duration
}

// part is what the last reading of a part of the table has brought out.
type part struct {
	memory remembered
	read   uint32        // number of the sample
	query  string        // what is remembered is what it selects
	at     time.Time     // and of when; zero: there is nothing
	over   time.Duration // and how long after the one before; 0: there was none
	live   uint64        // flows that are remembered
	new    uint64        // since the one before
	ended  uint64
	figures
	groups []sum
	others uint64 // flows of groups for which there was no room
}

// figures are sums over flows.
type figures struct{ flows, counted, fresh, bytes, packets, dBytes, dPackets, met uint64 }

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
	s.entries = u.Entries
	if s.table != nil && (s.table.BySnapshot() || u.Entries < 2*s.small) {
		return nil
	}
	s.Close()
	s.small = max(10_000, u.Entries)
	if s.table, err = table.Open(ctx, s.client, &s.opts); err != nil {
		return err
	}
	if n := s.table.Parts(); n != len(s.parts) {
		s.parts, s.next, s.look = make([]part, n), 0, never
	}
	return nil
}

// fewest is how many parts are read at least, of a table that has many.
const fewest = 8

// turn is how many parts to read, from the next one on, so that it takes no more processor time than the budget if that is not 0. What was not asked
// before is read from the whole table.
func (s *Sampler) turn(look *Look, budget time.Duration) int {
	n := len(s.parts)
	if *look != s.look || budget == 0 || time.Duration(n)*s.each <= budget {
		return n
	}
	return min(n, max(fewest, int(budget/s.each)))
}

// everything is the query of a look that has none.
var everything = new(filter.Query)

// never is no look that anybody has.
var never = Look{Limit: -1, Serial: -1}

// Sweep reads the table once: as much of it as takes no more processor time than the budget, and all of it if that is 0 or if
// the look is another than the last time. The rows of parts that are not read are looked at one by one, so all
// are as they are now.
func (s *Sampler) Sweep(ctx context.Context, look Look, budget time.Duration) (*Sample, error) {
	if look.Query == nil {
		look.Query = everything
	}
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	before := processorTime()
	count := s.turn(&look, budget)
	s.look, s.query = look, look.Query.String()
	s.number++
	w := sweep{Sampler: s, now: time.Now(), workers: make([]worker, s.table.Workers())}
	if count == len(s.parts) {
		s.next = 0
		s.groups.reset()
		s.rows = s.rows[:0]
		for i := range s.parts {
			s.parts[i].groups = s.parts[i].groups[:0]
		}
	}
	end := s.next + count
	err := w.read(ctx, s.next, min(end, len(s.parts)))
	if err == nil && end > len(s.parts) {
		err = w.read(ctx, 0, end-len(s.parts))
	}
	if err == nil {
		err = w.ranking(ctx)
	}
	if err != nil {
		for i := range s.parts {
			s.parts[i].at = time.Time{} // what has been met is not all there was
		}
		s.look = never
		if s.table.BySnapshot() && s.opts.Way != table.Snapshot && ctx.Err() == nil {
			// Another way may still work.
			s.Close()
			s.opts.Way = table.Netlink
			return s.Sweep(ctx, look, budget)
		}
		return nil, err
	}
	s.next = end % len(s.parts)
	out := w.sample()
	out.How = s.table.String()
	out.Took, out.Cost = time.Since(w.now), processorTime()-before
	s.each = max(1, out.Cost/time.Duration(count))
	out.Least = s.each * time.Duration(min(fewest, len(s.parts)))
	return out, nil
}

// sweep is one reading, by several workers.
type sweep struct {
	*Sampler
	now      time.Time
	workers  []worker
	noted    bool // something was read that was not read just before
	baseline bool // some parts are read for the first time with this query
}

// worker is one of those that read at the same time, each a part.
type worker struct {
	part           *part // nil: it has not begun
	baseline, peek bool
	figures
	perSecond float64 // what something that was counted since the part was read before comes to each second
	groups    sums
	others    uint64
	rows      []Row // up to twice the limit; from the limit on they are put in order now and then
	full      bool  // rows[limit-1] is the least that counts
}

// read reads the parts from begin on and before end.
func (w *sweep) read(ctx context.Context, begin, end int) error {
	if err := w.table.ChunksOf(ctx, w.look.Query.Filter(), begin, end, w.chunk); err != nil {
		return err
	}
	for i := range w.workers {
		w.done(&w.workers[i])
	}
	// Parts in which there is nothing.
	var none worker
	for i := begin; i < end; i++ {
		if p := &w.parts[i]; p.read != w.number {
			w.start(&none, p)
			w.done(&none)
		}
	}
	return nil
}

func (w *sweep) chunk(c *table.Chunk) error {
	mine := &w.workers[c.Worker()]
	if p := &w.parts[c.Part()]; p != mine.part {
		w.done(mine)
		w.start(mine, p)
	}
	for f := range c.Flows() {
		if w.look.Query.Match(f, w.now) {
			w.flow(mine, f)
		}
	}
	return nil
}

// start begins a part.
func (w *sweep) start(mine *worker, p *part) {
	mine.part, mine.figures, mine.others = p, figures{}, 0
	mine.groups.reset()
	mine.baseline = p.at.IsZero() || p.query != w.query
	mine.peek = !p.at.IsZero() && w.now.Sub(p.at) < w.Gap
	if p.read = w.number; !mine.peek {
		p.over = 0
		if !p.at.IsZero() {
			p.over = w.now.Sub(p.at)
		}
		p.at, p.query = w.now, w.query
		p.memory.begin(w.number, int(w.entries)/len(w.parts))
	}
	if mine.perSecond = 0; p.over > 0 {
		mine.perSecond = 1 / p.over.Seconds()
	}
}

// done ends the part that the worker has begun.
func (w *sweep) done(mine *worker) {
	p := mine.part
	if p == nil {
		return
	}
	mine.part = nil
	p.figures = mine.figures
	if !mine.peek {
		p.new, p.ended = 0, 0
		if !mine.baseline {
			p.new, p.ended = p.flows-p.met, p.live-min(p.live, p.met)
		}
		p.live = p.flows
		p.memory.tidy()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.noted = w.noted || !mine.peek
	w.baseline = w.baseline || mine.baseline
	for i := range p.groups {
		w.Sampler.groups.take(&p.groups[i])
	}
	p.groups, p.others = p.groups[:0], mine.others
	for i := range mine.groups.places {
		if g := &mine.groups.places[i]; g.flows == 0 {
			continue
		} else if w.Sampler.groups.add(g) {
			p.groups = append(p.groups, *g)
		} else {
			p.others += uint64(g.flows)
		}
	}
}

var seed = maphash.MakeSeed()

func keyHash[T comparable](key *T) uint64 { return maphash.Comparable(seed, *key) }

func (w *sweep) flow(mine *worker, f *flow.Flow) {
	key := f.Key()
	bytes, packets := f.OrigCounters.Bytes+f.ReplyCounters.Bytes, f.OrigCounters.Packets+f.ReplyCounters.Packets
	hash := keyHash(&key)
	var c change
	if mine.peek {
		c = mine.part.memory.peek(hash, w.number, mine.baseline)
	} else {
		c = mine.part.memory.note(hash, bytes, packets, mine.baseline)
	}
	if c.again {
		return
	}
	fresh := c.first > w.look.Since
	if w.look.Since == SinceLast {
		fresh = c.first == w.number
	}
	mine.flows++
	mine.bytes += bytes
	mine.packets += packets
	mine.dBytes += c.bytes
	mine.dPackets += c.packets
	if f.Has&(flow.HasOrigCounters|flow.HasReplyCounters) != 0 {
		mine.counted++
	}
	if c.known {
		mine.met++
	}
	if fresh {
		mine.fresh++
	} else if w.look.OnlyNew {
		return
	}
	if w.look.By != Flows {
		one := sum{key: groupings[w.look.By].key(f), flows: 1, bytes: bytes, packets: packets,
			bps: float64(c.bytes) * mine.perSecond, pps: float64(c.packets) * mine.perSecond}
		if fresh {
			one.fresh = 1
		}
		if !mine.groups.add(&one) {
			mine.others++
		}
		return
	}
	limit := w.look.Limit
	if limit <= 0 {
		return
	}
	r := w.look.rankOf(w.now, f, bytes, packets, c.bytes, c.packets, mine.part.over, hash)
	if mine.full && r.compare(&mine.rows[limit-1].rank) >= 0 {
		return
	}
	mine.rows = append(mine.rows, Row{Flow: *f, DBytes: c.bytes, DPackets: c.packets, Over: mine.part.over, New: fresh, at: mine.part.at, part: mine.part, rank: r})
	if len(mine.rows) >= 2*limit {
		mine.rows = best(mine.rows, limit)
		mine.full = true
	}
}

// rankOf is a row's place in the order that is asked for; last is its own number.
func (l *Look) rankOf(now time.Time, f *flow.Flow, bytes, packets, dBytes, dPackets uint64, over time.Duration, last uint64) rank {
	left := uint64(max(0, f.Timeout/time.Second))
	if over > 0 {
		// Rows of several parts have counted over different times; in an hour, so that whole numbers keep apart what differs.
		hourly := func(n uint64) uint64 { return uint64(min(float64(n)*float64(time.Hour)/float64(over), 1<<63)) }
		dBytes, dPackets = hourly(dBytes), hourly(dPackets)
	}
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

// mostRenewed is how many rows are looked at one by one, which takes some microseconds each.
const mostRenewed = 1000

// ranking puts the best rows of what was read together with those of before, which are looked at again.
func (w *sweep) ranking(ctx context.Context) error {
	limit := max(0, w.look.Limit)
	old := w.Sampler.rows
	rows := make([]Row, 0, 2*min(limit, len(old)))
	for i := range old {
		r := &old[i]
		if r.part.read == w.number {
			continue // the part has been read, and what is still there is among the new ones
		}
		if i >= min(limit, mostRenewed) {
			rows = append(rows, *r)
			rows[len(rows)-1].New = r.New && w.look.Since != SinceLast
		} else if now, there, err := w.renew(ctx, r); err != nil {
			return err
		} else if there {
			rows = append(rows, now)
		}
	}
	for i := range w.workers {
		rows = append(rows, w.workers[i].rows...)
	}
	w.Sampler.rows = best(rows, 2*limit)
	return nil
}

// renew looks at the flow of a row again. One that has ended, or that is not selected any more, is not there.
func (w *sweep) renew(ctx context.Context, old *Row) (r Row, there bool, err error) {
	at := time.Now()
	f, err := w.client.Get(ctx, old.Flow.Orig, old.Flow.Zone)
	if errors.Is(err, conntrack.ErrNotFound) {
		return r, false, nil
	}
	if err != nil {
		return r, false, err
	}
	both := f.Has & old.Flow.Has
	if both.Has(flow.HasID) && f.ID != old.Flow.ID || both.Has(flow.HasStart) && f.Start != old.Flow.Start || !w.look.Query.Match(&f, at) {
		return r, false, nil // it is another, or is not wanted any more
	}
	r = Row{Flow: f, Over: at.Sub(old.at), New: old.New && w.look.Since != SinceLast, at: at, part: old.part}
	r.DBytes, r.DPackets = r.Bytes()-min(r.Bytes(), old.Bytes()), r.Packets()-min(r.Packets(), old.Packets())
	r.rank = w.look.rankOf(at, &f, r.Bytes(), r.Packets(), r.DBytes, r.DPackets, r.Over, old.rank[len(old.rank)-1])
	return r, true, nil
}

// sample puts together what is known of all parts.
func (w *sweep) sample() *Sample {
	out := &Sample{Look: w.look, Number: w.number, Time: w.now, Baseline: w.baseline, Peek: !w.noted}
	measured := time.Duration(0)
	for i := range w.parts {
		p := &w.parts[i]
		if p.over <= 0 {
			measured = 0
			break
		}
		measured += p.over
	}
	out.Over = measured / time.Duration(len(w.parts))
	var dBytes, dPackets, new, ended float64
	for i := range w.parts {
		p := &w.parts[i]
		out.Flows += p.flows
		out.Counted += p.counted
		out.SinceNew += p.fresh
		out.Bytes += p.bytes
		out.Packets += p.packets
		out.Others += p.others
		if out.Over > 0 {
			share := float64(out.Over) / float64(p.over)
			dBytes += float64(p.dBytes) * share
			dPackets += float64(p.dPackets) * share
			new += float64(p.new) * share
			ended += float64(p.ended) * share
		}
	}
	out.DBytes, out.DPackets = rounded(dBytes), rounded(dPackets)
	if !w.baseline {
		out.New, out.Ended = rounded(new), rounded(ended)
	}
	out.Rows = slices.Clone(w.Sampler.rows[:min(max(0, w.look.Limit), len(w.Sampler.rows))])
	if w.look.By != Flows {
		w.largest(out)
	}
	return out
}

func rounded(x float64) uint64 { return uint64(x + 0.5) }

// largest takes the largest groups.
func (w *sweep) largest(out *Sample) {
	type candidate struct {
		rank rank
		sum  *sum
	}
	order := func(a, b candidate) int { return a.rank.compare(&b.rank) }
	var all []candidate
	groups := &w.Sampler.groups
	limit, cut := max(0, w.look.Limit), false
	for i := range groups.places {
		p := &groups.places[i]
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
	out.AllGroups = uint64(groups.used)
	for _, c := range all[:min(limit, len(all))] {
		g := Group{Flows: uint64(c.sum.flows), New: uint64(c.sum.fresh), Bytes: c.sum.bytes, Packets: c.sum.packets,
			DBytes: rounded(c.sum.bps * out.Over.Seconds()), DPackets: rounded(c.sum.pps * out.Over.Seconds())}
		g.Name, g.Condition = groupings[w.look.By].text(&c.sum.key)
		out.Groups = append(out.Groups, g)
	}
}

func (w *sweep) groupRank(p *sum) rank {
	bps, pps := uint64(1000*p.bps), uint64(1000*p.pps)
	var first uint64
	switch w.look.Sort {
	case ByRate:
		first = bps
	case ByPPS:
		first = pps
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
	return rank{first, bps, uint64(p.flows), p.bytes, keyHash(&p.key)}
}

// processorTime is what the process has used of all processors.
func processorTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
