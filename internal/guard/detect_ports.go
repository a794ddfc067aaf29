package guard

import (
	"fmt"

	"github.com/spoor-project/spoor/flow"
)

// translation is what a public address can have only so many ports for: everything else of a tuple.
type translation struct {
	public, remote [16]byte
	port, zone     uint16
	proto          flow.Proto
}

// inUse is how many flows there are of a translation.
type inUse struct {
	flows uint32
}

func (u *inUse) worth() uint64 {
	return uint64(u.flows)
}

// translated counts a flow whose source is translated; n is negative when it ends.
func (e *Engine) translated(f *flow.Flow, n int) {
	r := e.rules.Of[PortExhaustion]
	if r == nil || !f.Has.Has(flow.HasReply) || f.Orig.Proto.Shape() != flow.ShapePorts {
		return
	}
	if f.Reply.Dst == f.Orig.Src && f.Reply.DstPort == f.Orig.SrcPort || !f.Reply.Dst.IsValid() || !f.Reply.Src.IsValid() {
		return
	}
	k := translation{f.Reply.Dst.As16(), f.Reply.Src.As16(), f.Reply.SrcPort, f.Zone, f.Orig.Proto}
	if n < 0 {
		if at, ok := e.translations.find(k); ok {
			u := &e.translations.at(at).V
			u.flows = stepped(u.flows, n)
		}
		return
	}
	if !r.Where.Match(f, e.clock) {
		return
	}
	at, _ := e.translations.put(k)
	u := &e.translations.at(at).V
	u.flows = stepped(u.flows, n)
	if float64(u.flows) >= r.value("used")*r.value("ports") {
		e.translations.ripen(at)
	}
}

// judgeTranslation looks whether a public address runs out of ports.
func (e *Engine) judgeTranslation(k *translation, u *inUse) (near bool) {
	r := e.rules.Of[PortExhaustion]
	if r == nil {
		return false
	}
	used := float64(u.flows) / r.value("ports")
	if used < r.value("used") {
		return false
	}
	e.report(r, verdict{
		Subject:  Subject{Destination: address(k.public), Proto: k.proto, Zone: k.zone},
		Measured: 100 * used, Limit: 100 * r.value("used"), Unit: "%", Confidence: 1, since: e.now,
		Evidence: []Evidence{{fmt.Sprintf("ports in use towards %s port %d", address(k.remote), k.port), uint64(u.flows)}},
	})
	return true
}
