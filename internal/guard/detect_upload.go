package guard

import (
	"net/netip"
	"slices"

	"github.com/spoor-project/spoor/flow"
)

// sender is what is remembered of a source inside that sends to the outside.
type sender struct {
	kbytes window
	seen   uint32
}

func (s *sender) worth() uint64 {
	return uint64(s.kbytes.now) + uint64(s.kbytes.last)
}

// sent counts what the opener of a flow has sent to the outside since it was counted last.
func (e *Engine) sent(f *flow.Flow, r *remembered) {
	if !f.Has.Has(flow.HasOrigCounters) {
		return
	}
	kbytes := saturated(f.OrigCounters.Bytes >> 10)
	more := kbytes - min(kbytes, r.kbytes)
	r.kbytes = kbytes
	rule := e.rules.Of[Upload]
	if rule == nil || more == 0 || !e.inside(f.Orig.Src) || e.inside(f.Orig.Dst) || f.Orig.Dst.IsMulticast() || !rule.Where.Match(f, e.clock) {
		return
	}
	n, _ := e.senders.put(hostOf(f.Orig.Src, f.Zone))
	s := &e.senders.at(n).V
	s.seen = e.now
	s.kbytes.add(e.now, seconds(rule, "within"), saturated(uint64(more)<<r.shift))
	if float64(s.kbytes.now)+float64(s.kbytes.last) >= rule.value("bytes")/1024 {
		e.senders.ripen(n)
	}
}

func (e *Engine) inside(a netip.Addr) bool {
	return slices.ContainsFunc(e.rules.Inside, func(p netip.Prefix) bool { return p.Contains(a) })
}

// judgeSender looks whether a source sends very much to the outside.
func (e *Engine) judgeSender(h *host, s *sender) (near bool) {
	r := e.rules.Of[Upload]
	if r == nil {
		return false
	}
	bytes, limit := 1024*s.kbytes.sum(e.now, seconds(r, "within")), r.value("bytes")
	if bytes < limit {
		return bytes >= limit/2
	}
	e.report(r, verdict{
		Subject: h.subject(), Offender: address(h.addr), Measured: bytes, Limit: limit, Unit: "bytes",
		Confidence: excess(bytes, limit), since: e.now - min(e.now, seconds(r, "within")),
		Evidence: []Evidence{{"bytes sent to the outside within " + r.span("within").String(), uint64(bytes)}},
	})
	return true
}
