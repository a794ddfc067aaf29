package doctor

// checkTimestamps: do entries know when they began?
func checkTimestamps(f *Facts) Verdict {
	const name = "nf_conntrack_timestamp"
	switch v, there := f.sysctl(name); {
	case !there:
		return unknown(f.noSysctl(name))
	case v != 0:
		return ok("flows know when they began")
	}
	return warn("flows do not know when they began").
		means("Their age is missing in list and top, and conditions like age > 1h select nothing. Flows that begin from now on would know.").
		mend(f.set(netfilter+name, 1, true, ""))
}
