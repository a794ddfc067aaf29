package doctor

// zoneWarn and zoneBad are shares of nf_conntrack_max that one zone of several may have, in percent.
const (
	zoneWarn = 50
	zoneBad  = 80
)

// checkZones: does one zone take the room of the others?
func checkZones(f *Facts) Verdict {
	if !f.Census.Known {
		return unknown(f.Census.Why)
	}
	zones := f.Census.Value.Zones
	var largest uint16
	for z, n := range zones {
		if n > zones[largest] || n == zones[largest] && z < largest {
			largest = z
		}
	}
	n := zones[largest]
	switch {
	case len(zones) == 0:
		return ok("no zone has entries")
	case len(zones) == 1 && largest == 0:
		return ok("no zones are in use")
	case len(zones) == 1:
		return ok("all entries are in zone %d", largest)
	case !f.Max.Known || f.Max.Value == 0:
		return ok("%d zones; zone %d is the largest: %s", len(zones), largest, entriesText(n))
	}
	share := percent(n, f.Max.Value)
	found := "zone %d has %s, %.0f%% of what all %d may have"
	var v Verdict
	switch {
	case share >= zoneBad:
		v = bad(found, largest, entriesText(n), share, len(zones))
	case share >= zoneWarn:
		v = warn(found, largest, entriesText(n), share, len(zones))
	default:
		return ok("%d zones; zone %d is the largest: %s", len(zones), largest, entriesText(n))
	}
	return v.means("Zones share one table and one limit: what one fills the others lack.").
		mend(run("spoor count --by zone --top 10", "and limit that zone in its rules, by ct count"))
}
