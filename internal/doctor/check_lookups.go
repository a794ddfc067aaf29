package doctor

import "github.com/spoor-project/spoor/conntrack"

// Lookups begun again, a second.
const (
	restartWarn = 10_000
	restartBad  = 1_000_000
)

// checkLookups: how many lookups had to begin again because the chain changed under them?
func checkLookups(f *Facts) Verdict {
	if _, there := f.total(conntrack.StatSearchRestart); !there {
		return unknown(orElse(f.Now.Stats.Why, "this kernel does not count them"))
	}
	found := f.counted(conntrack.StatSearchRestart, "begun again")
	perSecond := 0.0
	if f.Elapsed > 0 {
		perSecond = f.perSecond(f.during(conntrack.StatSearchRestart))
	}
	v := ok("%s, %s", found, f.since())
	switch {
	case perSecond >= restartBad:
		v = bad("%s", found)
	case perSecond >= restartWarn:
		v = warn("%s", found)
	}
	if v.Level != OK {
		v = v.means("A lookup begins again when an entry moved to another chain under it. So many mean very short flows at a high rate in long chains: more " +
			"buckets shorten the chains, and a rule with notrack keeps traffic like DNS out of the table.").
			mend(run("spoor count --by proto,dport --top 10", ""))
	}
	return v.measure(f.counterMeasure("search_restart", conntrack.StatSearchRestart))
}
