package doctor

// checkModules: is there connection tracking at all, and can programs ask for its table?
func checkModules(f *Facts) Verdict {
	switch {
	case f.Tracking.Known && f.Tracking.Value == "":
		return bad("nf_conntrack is not loaded").
			means("The kernel tracks no connection: there is neither NAT nor a stateful firewall. In a container only the host can load it.").
			mend(run("modprobe nf_conntrack", "on the host"))
	case f.Netlink.Known && f.Netlink.Value == "":
		return bad("nf_conntrack_netlink is not loaded").
			means("No program can ask for the table or follow it: spoor, conntrack, conntrackd. In a container only the host can load it.").
			mend(run("modprobe nf_conntrack_netlink", "on the host"))
	case !f.Tracking.Known:
		return unknown(f.Tracking.Why)
	case !f.Netlink.Known:
		return unknown(f.Netlink.Why)
	case f.Tracking.Value == f.Netlink.Value:
		return ok("nf_conntrack and nf_conntrack_netlink are there (%s)", f.Tracking.Value)
	}
	return ok("nf_conntrack is there (%s), nf_conntrack_netlink too (%s)", f.Tracking.Value, f.Netlink.Value)
}
