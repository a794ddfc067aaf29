package agent

import (
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
)

// entries builds what the kernel is asked to make of a peer's flows.
type entries struct {
	commitTimeout time.Duration // 0: as the peer told
	windows       bool          // TCPWindowTracking
}

// ofAge is an entry for a flow that was told of some seconds ago.
func (b *entries) ofAge(f *flow.Flow, silent int) conntrack.Entry {
	timeout := b.commitTimeout
	if timeout == 0 {
		timeout = lifeLeft(f, silent)
	}
	return b.entry(f, timeout)
}

// lifeLeft is the timeout that the peer told, less the time since. A flow that should be gone by now, or
// of which nothing is known, gets a minute, in which a packet may come.
func lifeLeft(f *flow.Flow, silent int) time.Duration {
	const minute = 60 * time.Second
	if !f.Has.Has(flow.HasTimeout) {
		return minute
	}
	if left := f.Timeout - time.Duration(silent)*time.Second; left > 0 {
		return left
	}
	return minute
}

func (b *entries) entry(f *flow.Flow, timeout time.Duration) conntrack.Entry {
	e := conntrack.Entry{Orig: f.Orig, Zone: f.Zone}
	e.Reply, _ = f.Orig.Inverse()
	e.Timeout = &timeout
	status := f.Status&^flow.Expected | flow.Confirmed // the kernel adds Expected if there is a master
	e.Status = &status
	e.SrcNAT, e.DstNAT = translations(f)
	if f.Has.Has(flow.HasMark) {
		e.Mark = &f.Mark
	}
	if f.Has.Has(flow.HasHelper) && f.Helper != "" {
		e.Helper = &f.Helper
	}
	if f.Has.Has(flow.HasLabels) {
		e.Labels = &f.Labels
	}
	if f.Has.Has(flow.HasMaster) && f.Master.Src.IsValid() {
		e.Master = &f.Master
	}
	if f.Has.Has(flow.HasOrigSeqAdj) && f.Has.Has(flow.HasReplySeqAdj) {
		e.OrigSeqAdj, e.ReplySeqAdj = &f.OrigSeqAdj, &f.ReplySeqAdj
	}
	if f.Has.Has(flow.HasSynproxy) {
		e.Synproxy = &f.Synproxy
	}
	b.protocol(&e, f)
	return e
}

func (b *entries) protocol(e *conntrack.Entry, f *flow.Flow) {
	if !f.Has.Has(flow.HasState) {
		return
	}
	switch f.Orig.Proto {
	case flow.TCP:
		e.TCP = &conntrack.TCP{State: &f.State}
		if !b.windows {
			// The windows of a connection that was not seen from its beginning must not be checked.
			liberal := &conntrack.TCPWindow{Flags: flow.TCPBeLiberal, Mask: flow.TCPBeLiberal}
			e.TCP.Orig, e.TCP.Reply = liberal, liberal
		} else if f.Has.Has(flow.HasTCPWindow) {
			// The kernel takes scales only together with the flag, which the original does not give.
			const scaled = flow.TCPWindowScale
			e.TCP.Orig = &conntrack.TCPWindow{Scale: &f.OrigWindow.Scale, Flags: scaled, Mask: scaled}
			e.TCP.Reply = &conntrack.TCPWindow{Scale: &f.ReplyWindow.Scale, Flags: scaled, Mask: scaled}
		}
	case flow.SCTP:
		e.SCTP = &conntrack.SCTP{State: &f.State, VTags: &f.VTags}
	case flow.DCCP:
		e.DCCP = &conntrack.DCCP{State: &f.State, Role: &f.DCCP.Role}
	}
}

// translations is what the kernel is asked to do to the packets of a flow.
func translations(f *flow.Flow) (src, dst *conntrack.NAT) {
	n := f.NAT()
	ports := f.Orig.Proto == flow.TCP || f.Orig.Proto == flow.UDP
	request := func(addr, port bool, to flow.Tuple, source bool) *conntrack.NAT {
		if !addr && !(port && ports) {
			return nil
		}
		r := &conntrack.NAT{Addr: to.Src}
		p := to.SrcPort
		if source {
			r.Addr, p = to.Dst, to.DstPort
		}
		if port && ports {
			r.Port = &p
		}
		return r
	}
	return request(n.SrcAddr, n.SrcPort, f.Reply, true), request(n.DstAddr, n.DstPort, f.Reply, false)
}

// related reports whether a flow can be made only after another: it was expected, and its master is known.
func related(f *flow.Flow) bool { return f.Has.Has(flow.HasMaster) && f.Master.Src.IsValid() }
