package doctor

// checkPrivileges: what the kernel lets the process do counts, not which capabilities it has: in a user namespace they may be
// worth nothing for this network namespace.
func checkPrivileges(f *Facts) Verdict {
	denied := func() Verdict {
		return warn("the kernel does not let this user ask for the table").
			means("It needs the capability CAP_NET_ADMIN in this network namespace. Some of what follows is unknown for that.").
			mend(run("sudo spoor doctor", "or give the service or container that capability"))
	}
	switch {
	case f.Admitted.Known && f.Admitted.Value:
		return ok("the kernel answers questions about the table")
	case f.Admitted.Known:
		return denied()
	case f.Capable.Known && f.Capable.Value:
		return ok("CAP_NET_ADMIN")
	case f.Capable.Known:
		return denied()
	}
	return unknown(f.Capable.Why)
}
