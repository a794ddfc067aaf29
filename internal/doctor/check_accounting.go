package doctor

// checkAccounting: do entries count packets and bytes?
func checkAccounting(f *Facts) Verdict {
	const name = "nf_conntrack_acct"
	switch v, there := f.sysctl(name); {
	case !there:
		return unknown(f.noSysctl(name))
	case v != 0:
		return ok("flows count packets and bytes")
	}
	return warn("flows do not count packets and bytes").
		means("They are missing in list, top, count and conntrack -L, and conditions like bytes > 10M select nothing. Flows that begin from now on would count.").
		mend(f.set(netfilter+name, 1, true, ""))
}
