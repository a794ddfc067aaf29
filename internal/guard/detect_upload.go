package guard

import (
	"net/netip"
	"slices"

	"github.com/spoor-project/spoor/flow"
)

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
	n := e.source(f)
	s := &e.sources.at(n).V
	span := seconds(rule, "within")
	s.upload.add(e.now, span, saturated(uint64(more)<<r.shift))
	if float64(s.upload.now)+float64(s.upload.last) >= rule.value("bytes")/1024 {
		ripens(&e.ripe.sources, n, &s.ripe)
	}
}

func (e *Engine) inside(a netip.Addr) bool {
	return slices.ContainsFunc(e.rules.Inside, func(p netip.Prefix) bool { return p.Contains(a) })
}

// judgeUpload looks whether a source sends very much to the outside.
func (e *Engine) judgeUpload(h *host, s *source) (near bool) {
	r := e.rules.Of[Upload]
	if r == nil {
		return false
	}
	bytes, limit := 1024*s.upload.sum(e.now, seconds(r, "within")), r.value("bytes")
	if bytes < limit {
		return bytes >= limit/2
	}
	e.report(r, verdict{
		Subject: h.subject(), Offender: address(h.addr), Measured: bytes, Limit: limit, Unit: "bytes",
		Confidence: excess(bytes, limit), since: e.now - min(e.now, seconds(r, "within")),
		Evidence: []Evidence{{"bytes sent to the outside within " + r.span("within").String(), uint64(bytes)}, {"flows in the table", uint64(s.live)}},
	})
	return true
}
