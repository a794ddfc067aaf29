package doctor

// checkHelpers: are helpers attached to flows by their port alone?
func checkHelpers(f *Facts) Verdict {
	const name = "nf_conntrack_helper"
	v, there := f.sysctl(name)
	switch {
	case !there && len(f.Sysctls) == 0, !there && f.NoSysctls != "":
		return unknown(f.noSysctl(name))
	case !there || v == 0:
		return ok("helpers are attached by rules only")
	}
	return warn("helpers are attached by port number (nf_conntrack_helper = 1)").
		means("A peer that uses a helper's port can have the firewall open others. Linux 6.0 has no such setting any more: attach helpers by rules, and turn this off.").
		mend(f.set(netfilter+name, 0, false, "first give those who need FTP, SIP and the like a rule: ct helper set"))
}
