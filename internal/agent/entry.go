package agent

import (
	"net/netip"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
)

// entries builds what the kernel is asked to make of a peer's flows. An entry is there until the next is built: there may be
// millions, so they use the same memory.
type entries struct {
	commitTimeout time.Duration // 0: as the peer told
	windows       bool          // TCPWindowTracking

	conntrack.Entry
	timeout     time.Duration
	status      flow.Status
	tcp         conntrack.TCP
	orig, reply conntrack.TCPWindow
	sctp        conntrack.SCTP
	dccp        conntrack.DCCP
	src, dst    translation
}

// ofAge is an entry for a flow that was told of some seconds ago.
func (b *entries) ofAge(f *flow.Flow, silent int) *conntrack.Entry {
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

func (b *entries) entry(f *flow.Flow, timeout time.Duration) *conntrack.Entry {
	e := &b.Entry
	*e = conntrack.Entry{Orig: f.Orig, Zone: f.Zone}
	e.Reply, _ = f.Orig.Inverse()
	b.timeout, e.Timeout = timeout, &b.timeout
	b.status, e.Status = f.Status&^flow.Expected|flow.Confirmed, &b.status // the kernel adds Expected if there is a master
	e.SrcNAT, e.DstNAT = b.translations(f)
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
	b.protocol(f)
	return e
}

// The windows of a connection that was not seen from its beginning must not be checked.
var liberal = conntrack.TCPWindow{Flags: flow.TCPBeLiberal, Mask: flow.TCPBeLiberal}

func (b *entries) protocol(f *flow.Flow) {
	if !f.Has.Has(flow.HasState) {
		return
	}
	switch f.Orig.Proto {
	case flow.TCP:
		b.tcp = conntrack.TCP{State: &f.State}
		if !b.windows {
			b.tcp.Orig, b.tcp.Reply = &liberal, &liberal
		} else if f.Has.Has(flow.HasTCPWindow) {
			// The kernel takes scales only together with the flag, which the original does not give.
			const scaled = flow.TCPWindowScale
			b.orig = conntrack.TCPWindow{Scale: &f.OrigWindow.Scale, Flags: scaled, Mask: scaled}
			b.reply = conntrack.TCPWindow{Scale: &f.ReplyWindow.Scale, Flags: scaled, Mask: scaled}
			b.tcp.Orig, b.tcp.Reply = &b.orig, &b.reply
		}
		b.TCP = &b.tcp
	case flow.SCTP:
		b.sctp = conntrack.SCTP{State: &f.State, VTags: &f.VTags}
		b.SCTP = &b.sctp
	case flow.DCCP:
		b.dccp = conntrack.DCCP{State: &f.State, Role: &f.DCCP.Role}
		b.DCCP = &b.dccp
	}
}

// translation is what the kernel is asked to do to one end of the packets of a flow.
type translation struct {
	nat  conntrack.NAT
	port uint16
}

func (b *entries) translations(f *flow.Flow) (src, dst *conntrack.NAT) {
	n := f.NAT()
	ports := f.Orig.Proto == flow.TCP || f.Orig.Proto == flow.UDP
	if port := n.SrcPort && ports; n.SrcAddr || port {
		src = b.src.to(f.Reply.Dst, f.Reply.DstPort, port)
	}
	if port := n.DstPort && ports; n.DstAddr || port {
		dst = b.dst.to(f.Reply.Src, f.Reply.SrcPort, port)
	}
	return src, dst
}

// to is a translation to an address and, if that is translated too, a port.
func (t *translation) to(addr netip.Addr, port uint16, withPort bool) *conntrack.NAT {
	t.nat, t.port = conntrack.NAT{Addr: addr}, port
	if withPort {
		t.nat.Port = &t.port
	}
	return &t.nat
}

// related reports whether a flow can be made only after another: it was expected, and its master is known.
func related(f *flow.Flow) bool { return f.Has.Has(flow.HasMaster) && f.Master.Src.IsValid() }
