package tui

import (
	"cmp"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// Sample is what a sweep has brought out. It is not changed once it has been handed out.
type Sample struct {
	Look   Look
	Number uint32 // 1 is the first
	Time   time.Time
	// Over is the time that rates are taken over; 0 if there was nothing before to compare with. Where parts of the table are read at a
	// time it is the mean of theirs, and what is counted since the sample before is brought to it.
	Over time.Duration

	// Baseline: New and Ended are not known, since the query has changed. Peek: the rates are those of the sample before, which is
	// too recent to compare with.
	Baseline, Peek bool

	// Of all flows that the query selects:
	Flows, Counted   uint64 // Counted have counters, which they have if accounting was on when they began
	New, Ended       uint64 // since the sample before
	SinceNew         uint64 // how many are new in the sense of Look.Since
	Bytes, Packets   uint64
	DBytes, DPackets uint64 // counted since the sample before

	Rows []Row // by nothing; as they are now, whenever their part was read

	Groups            []Group
	AllGroups, Others uint64 // how many groups there are, and flows beyond the most that are told apart

	Took, Cost time.Duration // of the sweep: time, and processor time
	Least      time.Duration // processor time that the next one takes at least
	How        string        // the table was read
}

// PerSecond is n counted over the time of the sample, each second; 0 if there is none.
func (s *Sample) PerSecond(n uint64) float64 { return perSecond(n, s.Over) }

// Row is a flow.
type Row struct {
	Flow flow.Flow
	// DBytes and DPackets were counted in the time Over, until now; 0: that is not known.
	DBytes, DPackets uint64
	Over             time.Duration
	New              bool // in the sense of Look.Since

	at   time.Time
	part *part
	rank rank
}

// PerSecond is n counted in the time of the row, each second; 0 if that is not known.
func (r *Row) PerSecond(n uint64) float64 { return perSecond(n, r.Over) }

func perSecond(n uint64, over time.Duration) float64 {
	if over <= 0 {
		return 0
	}
	return float64(n) / over.Seconds()
}

// Bytes and Packets are of both directions.
func (r *Row) Bytes() uint64   { return r.Flow.OrigCounters.Bytes + r.Flow.ReplyCounters.Bytes }
func (r *Row) Packets() uint64 { return r.Flow.OrigCounters.Packets + r.Flow.ReplyCounters.Packets }

// Group is flows that have something in common.
type Group struct {
	Name      string
	Condition string // of the filter language, which selects them
	Flows     uint64
	New       uint64 // in the sense of Look.Since
	Bytes     uint64
	Packets   uint64
	// Counted since the sample before, of the flows that are still there.
	DBytes, DPackets uint64
}

// Pulse is what the kernel tells of the table at no cost.
type Pulse struct {
	Time         time.Time
	Entries, Max uint32 // Max 0: no limit
	// Counters of all processors since boot; they wrap around.
	Dropped, Evicted, Failed uint32 // packets for which no entry could be made, entries evicted, insertions lost
}

// rank puts rows in order: the larger first, of equal ones that with the larger next number.
type rank [5]uint64

// compare is negative if r comes before o: larger ones come first.
func (r *rank) compare(o *rank) int {
	for i := range r {
		if r[i] != o[i] {
			return cmp.Compare(o[i], r[i])
		}
	}
	return 0
}
