package doctor

// checkEvents: does the kernel report changes?
func checkEvents(f *Facts) Verdict {
	const name = "nf_conntrack_events"
	switch v, there := f.sysctl(name); {
	case !there:
		return unknown(f.noSysctl(name))
	case v == 1:
		return ok("changes of flows are reported")
	case v != 0: // 2, since Linux 5.19
		return ok("changes of flows that begin while somebody listens are reported")
	}
	return warn("changes of flows are not reported").
		means("spoor watch, conntrack -E, conntrackd and whatever else follows the table see nothing. Only flows that begin from now on would be reported.").
		mend(f.set(netfilter+name, 1, true, ""))
}
