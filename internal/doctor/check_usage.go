package doctor

import "github.com/spoor-project/spoor/internal/render"

// Shares of nf_conntrack_max, in percent.
const (
	usageWarn = 75
	usageBad  = 90
)

// checkUsage: how full is the table?
func checkUsage(f *Facts) Verdict {
	if !f.Now.Entries.Known {
		return unknown(f.Now.Entries.Why)
	}
	n := f.Now.Entries.Value
	entries := Measure{Name: "entries", Value: float64(n)}
	switch {
	case !f.Max.Known:
		v := unknown(render.Grouped(n) + " entries; " + orElse(f.Max.Why, "the limit is not known"))
		return v.measure(entries)
	case f.Max.Value == 0:
		return ok("%s, no limit", entriesText(n)).measure(entries)
	}
	limit := f.Max.Value
	entries.Max, entries.Warn, entries.Bad = float64(limit), float64(limit*usageWarn/100), float64(limit*usageBad/100)
	found := "%s of %s entries (%.0f%%)"
	share := percent(n, limit)
	var v Verdict
	switch {
	case share >= usageBad:
		v = bad(found, render.Grouped(n), render.Grouped(limit), share)
	case share >= usageWarn:
		v = warn(found, render.Grouped(n), render.Grouped(limit), share)
	default:
		return ok(found, render.Grouped(n), render.Grouped(limit), share).measure(entries)
	}
	return v.means("When the table is full, packets that begin a connection are dropped. Every namespace may reach the limit by itself. " +
		"Look first what fills it: spoor count --by src --top 10").
		measure(entries).mend(f.raise(limit)...)
}

func entriesText(n uint64) string {
	if n == 1 {
		return "1 entry"
	}
	return render.Grouped(n) + " entries"
}

// affordable is the share of the machine's memory, in percent, up to which a larger table does no harm.
const affordable = 10

// raise is how to double the limit, and the hash table with it.
func (f *Facts) raise(limit uint64) (steps []Remedy) {
	safe, note := false, "the memory of the machine is not known"
	if f.Memory.Known {
		need := f.entrySize()*2*limit + 2*limit*bucketSize
		safe = percent(need, f.Memory.Value) <= affordable
		note = size(need) + " of memory when full, of " + size(f.Memory.Value)
	}
	if buckets, there := f.sysctl("nf_conntrack_buckets"); there && buckets < 2*limit {
		steps = append(steps, f.set(netfilter+"nf_conntrack_buckets", 2*limit, safe, note))
	}
	return append(steps, f.set(netfilter+"nf_conntrack_max", 2*limit, safe, note))
}
