package doctor

import "github.com/spoor-project/spoor/conntrack"

// From how many packets a second on it is too much.
const (
	insertFailedWarn = 1
	insertFailedBad  = 100
)

// checkInserts: are new connections lost because two packets claimed the same tuple, or a chain was too long?
func checkInserts(f *Facts) Verdict {
	failed, there := f.total(conntrack.StatInsertFailed)
	long, _ := f.total(conntrack.StatChainTooLong)
	if !there {
		return unknown(orElse(f.Now.Stats.Why, "this kernel does not count them"))
	}
	found := f.counted(conntrack.StatInsertFailed, "failed")
	if n, counted := f.total(conntrack.StatClashResolve); counted && n > 0 {
		found += ", " + f.counted(conntrack.StatClashResolve, "resolved")
	}
	if long > 0 {
		found += ", " + f.counted(conntrack.StatChainTooLong, "refused")
	}
	measures := []Measure{f.counterMeasure("insert_failed", conntrack.StatInsertFailed),
		f.counterMeasure("clash_resolve", conntrack.StatClashResolve), f.counterMeasure("chaintoolong", conntrack.StatChainTooLong)}
	if f.during(conntrack.StatChainTooLong) > 0 || long > 0 {
		v := warn("%s", found)
		if f.during(conntrack.StatChainTooLong) > 0 {
			v = bad("%s", found)
		}
		v = v.means("Connections were refused because their chain in the hash table was too long: either there are too few buckets, or very many connections " +
			"differ only in what the hash leaves out.").measure(measures...)
		if buckets, known := f.sysctl("nf_conntrack_buckets"); known {
			need := max(2*buckets, f.Max.Value)
			v = v.mend(f.set(netfilter+"nf_conntrack_buckets", need, f.Memory.Known && percent(need*bucketSize, f.Memory.Value) <= 1, "8 bytes of memory for each"))
		}
		return v
	}
	perSecond := 0.0
	if f.Elapsed > 0 {
		perSecond = f.perSecond(f.during(conntrack.StatInsertFailed))
	}
	const meaning = "Two packets began the same connection at the same time, or NAT found no free port, and one of the two was dropped. DNS clients that send A and AAAA " +
		"queries from one socket, behind NAT, are the usual reason; they repeat the query after seconds."
	var v Verdict
	switch {
	case perSecond >= insertFailedBad:
		v = bad("%s", found).means(meaning)
	case perSecond >= insertFailedWarn:
		v = warn("%s", found).means(meaning)
	default:
		v = ok("%s, %s", found, f.since())
		if failed > 0 {
			v = v.means(meaning)
		}
	}
	if v.Level != OK {
		v = v.mend(run("echo options single-request-reopen >> /etc/resolv.conf", "on the clients with glibc; or spread source NAT: masquerade fully-random"))
	}
	return v.measure(measures...)
}
