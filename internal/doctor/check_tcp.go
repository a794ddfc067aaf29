package doctor

import "strings"

// checkTCP: is TCP tracked in an unusual way?
func checkTCP(f *Facts) Verdict {
	loose, there := f.sysctl("nf_conntrack_tcp_loose")
	liberal, there2 := f.sysctl("nf_conntrack_tcp_be_liberal")
	if !there && !there2 {
		return unknown(f.noSysctl("nf_conntrack_tcp_loose"))
	}
	var found, meaning []string
	var mend []Remedy
	if there && loose == 0 {
		found = append(found, "tcp_loose is 0")
		meaning = append(meaning, "Connections whose beginning was not seen are invalid: after a restart or a failover to this machine, or after a flush, those that exist stall.")
		mend = append(mend, f.set(netfilter+"nf_conntrack_tcp_loose", 1, false, "not if SYNPROXY needs it"))
	}
	if there2 && liberal != 0 {
		found = append(found, "tcp_be_liberal is 1")
		meaning = append(meaning, "Packets outside the window are not invalid: useful with asymmetric routes and broken peers, but the firewall no longer stops forged ones.")
		mend = append(mend, f.set(netfilter+"nf_conntrack_tcp_be_liberal", 0, false, "not while routes are asymmetric"))
	}
	if len(found) == 0 {
		return ok("windows are checked, connections are picked up in their midst")
	}
	return warn("%s", strings.Join(found, ", ")).means("%s Leave it if it was meant so.", strings.Join(meaning, " ")).mend(mend...)
}
