package doctor

// worthwhile is from how many entries on spoor reads the table by a snapshot.
const worthwhile = 30_000

// checkSnapshot: can large tables be read the fast way?
func checkSnapshot(f *Facts) Verdict {
	switch {
	case !f.Snapshot.Known:
		return unknown(f.Snapshot.Why)
	case f.Snapshot.Value == "":
		return ok("large tables are read by an eBPF program")
	}
	const meaning = "Large tables are read over netlink instead, which takes several times as long. docs/snapshot.md says what it needs: Linux 6.2 with BTF, CAP_BPF and CAP_PERFMON."
	if f.Now.Entries.Known && f.Now.Entries.Value < worthwhile {
		return ok("not available, nor needed for so small a table: %s", f.Snapshot.Value).means(meaning)
	}
	return warn("not available: %s", f.Snapshot.Value).means(meaning)
}
