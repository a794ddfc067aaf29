package doctor

import "github.com/spoor-project/spoor/conntrack"

// checkHooks: since Linux 4.10 a namespace tracks nothing until a rule asks for it.
func checkHooks(f *Facts) Verdict {
	none := func(v Verdict) Verdict {
		return v.means("A namespace tracks connections from the first rule on that needs it: a match of ct state, NAT. Without one its table stays empty. " +
			"If this machine has no firewall, all is as it should be.").
			mend(run("nft list ruleset", "is there such a rule?"))
	}
	switch {
	case f.Hooked.Known && f.Hooked.Value:
		return ok("packets of this namespace are tracked")
	case f.Hooked.Known:
		return none(warn("packets of this namespace are not tracked: no rule asks for it"))
	case f.Now.Entries.Known && f.Now.Entries.Value > 0:
		return ok("packets of this namespace are tracked: there are entries")
	}
	for _, id := range []uint16{conntrack.StatFound, conntrack.StatInvalid, conntrack.StatDrop, conntrack.StatInsertFailed} {
		if n, _ := f.total(id); n > 0 {
			return ok("packets of this namespace have been tracked")
		}
	}
	return none(unknown(orElse(f.Hooked.Why, "no sign that packets are tracked") + "; the table is empty"))
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
