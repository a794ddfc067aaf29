package doctor

import "github.com/spoor-project/spoor/conntrack"

// counterMeasure is a counter for monitoring.
func (f *Facts) counterMeasure(name string, id uint16) Measure {
	n, _ := f.total(id)
	return Measure{Name: name, Value: float64(n), Unit: "c"}
}

// checkDrops: has the table been too full for a packet?
func checkDrops(f *Facts) Verdict {
	drop, there := f.total(conntrack.StatDrop)
	early, _ := f.total(conntrack.StatEarlyDrop)
	if !there {
		return unknown(orElse(f.Now.Stats.Why, "this kernel does not count them"))
	}
	found := f.counted(conntrack.StatDrop, "dropped") + ", " + f.counted(conntrack.StatEarlyDrop, "evicted")
	v := ok("%s %s", found, f.since())
	switch {
	case f.during(conntrack.StatDrop) > 0 || f.during(conntrack.StatEarlyDrop) > 0:
		v = bad("%s", found)
	case drop > 0 || early > 0:
		v = warn("%s, %s: none now", found, f.since())
	}
	v = v.measure(f.counterMeasure("drop", conntrack.StatDrop), f.counterMeasure("early_drop", conntrack.StatEarlyDrop))
	if v.Level == OK {
		return v
	}
	v = v.means("Packets are dropped that would have begun a connection: mostly because the table was full, seldom for want of memory. Before that the " +
		"kernel evicts entries that are not assured.")
	if v.Level == Bad && f.Max.Known && f.Max.Value > 0 && percent(f.Now.Entries.Value, f.Max.Value) >= usageWarn {
		v = v.mend(f.raise(f.Max.Value)...)
	}
	return v
}
