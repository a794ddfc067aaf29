package doctor

const (
	// bucketSize is a pointer.
	bucketSize = 8
	// usualEntry is struct nf_conn on 64-bit machines.
	usualEntry = 256
	// extensions is what the kernel allots at least for counters, times, NAT, labels, helpers (NF_CT_EXT_PREALLOC). Hardly any
	// entry needs more, and few have none.
	extensions = 128

	// Shares of the machine's memory, in percent.
	memoryWarn = 25
	memoryBad  = 60
)

// entrySize is what an entry costs, in bytes.
func (f *Facts) entrySize() uint64 {
	if f.Slab.Known {
		return f.Slab.Value.Size + extensions
	}
	return usualEntry + extensions
}

// checkMemory: what would a full table cost?
func checkMemory(f *Facts) Verdict {
	switch {
	case !f.Max.Known:
		return unknown(f.Max.Why)
	case !f.Memory.Known:
		return unknown(f.Memory.Why)
	}
	buckets, _ := f.sysctl("nf_conntrack_buckets")
	table := buckets * bucketSize
	each := size(f.entrySize()) + " an entry"
	if !f.Slab.Known {
		each = "about " + each
	}
	if f.Max.Value == 0 {
		return ok("%s, without a limit", each)
	}
	full := f.Max.Value*f.entrySize() + table
	m := Measure{Name: "memory_full", Value: float64(full), Unit: "B", Max: float64(f.Memory.Value),
		Warn: float64(f.Memory.Value / 100 * memoryWarn), Bad: float64(f.Memory.Value / 100 * memoryBad)}
	share := percent(full, f.Memory.Value)
	found := "%s, %s when full, of %s (%.0f%%)"
	if share < 1 {
		found = "%s, %s when full, of %s (%.1f%%)"
	}
	var v Verdict
	switch {
	case share >= memoryBad:
		v = bad(found, each, size(full), size(f.Memory.Value), share)
	case share >= memoryWarn:
		v = warn(found, each, size(full), size(f.Memory.Value), share)
	default:
		return ok(found, each, size(full), size(f.Memory.Value), share).measure(m)
	}
	fits := f.Memory.Value / 100 * memoryWarn / 2 / (f.entrySize() + bucketSize)
	if fits >= 1000 {
		fits -= fits % 1000
	}
	return v.means("The kernel cannot swap its table out: before it is full the machine may be out of memory and kill programs. Each namespace may fill one.").
		measure(m).mend(f.set(netfilter+"nf_conntrack_max", max(fits, 1), false, "if so many entries are enough"))
}
