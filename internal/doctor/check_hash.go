package doctor

import "github.com/spoor-project/spoor/internal/render"

// Nodes in a chain, on average: each entry has two, one for each direction.
const (
	chainWarn = 4
	chainBad  = 16
)

// checkHash: are the chains of the hash table short, now and when the table is full?
func checkHash(f *Facts) Verdict {
	buckets, there := f.sysctl("nf_conntrack_buckets")
	if !there || buckets == 0 {
		return unknown(f.noSysctl("nf_conntrack_buckets"))
	}
	m := Measure{Name: "buckets", Value: float64(buckets)}
	if !f.Now.Entries.Known && !f.Max.Known {
		return unknown(render.Plural(buckets, "bucket") + "; " + f.Now.Entries.Why).measure(m)
	}
	now := 2 * float64(f.Now.Entries.Value) / float64(buckets)
	full := 2 * float64(f.Max.Value) / float64(buckets)
	enlarge := func(v Verdict) Verdict {
		need := max(f.Max.Value, f.Now.Entries.Value)
		return v.means("Each packet is looked up in a chain of that length, which costs time on every packet; a new connection whose chain is far too long is refused. " +
			"As many buckets as entries are allowed is right.").
			mend(f.set(netfilter+"nf_conntrack_buckets", need, f.Memory.Known && percent(need*bucketSize, f.Memory.Value) <= 1, "8 bytes of memory for each"))
	}
	v := Verdict{}
	switch {
	case now > chainBad:
		v = enlarge(bad("%s, %.1f in a chain", render.Plural(buckets, "bucket"), now))
	case now > chainWarn:
		v = enlarge(warn("%s, %.1f in a chain", render.Plural(buckets, "bucket"), now))
	case full > 2*chainWarn:
		v = enlarge(warn("%s: %.1f in a chain when the table is full", render.Plural(buckets, "bucket"), full))
	case f.Max.Known && f.Max.Value > 0:
		v = ok("%s: %.1f in a chain, %.1f when the table is full", render.Plural(buckets, "bucket"), now, full)
	default:
		v = ok("%s: %.1f in a chain", render.Plural(buckets, "bucket"), now)
	}
	return v.measure(m, Measure{Name: "load", Value: round(now), Warn: chainWarn, Bad: chainBad})
}

// round leaves two digits behind the point.
func round(v float64) float64 { return float64(int64(v*100+0.5)) / 100 }
