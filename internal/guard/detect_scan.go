package guard

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/spoor-project/spoor/flow"
)

// scans are the kinds that are judged by the targets a source has tried in vain, each with the flag of targets that count.
var scans = [...]struct {
	kind Kind
	flag uint8
	many string // the parameter with the limit
}{{PortScan, forPorts, "ports"}, {HostSweep, forHosts, "hosts"}, {SlowScan, forSlow, "targets"}}

// portOf is the port that is tried; of ICMP none.
func portOf(t *flow.Tuple) uint16 {
	if t.Proto.Shape() == flow.ShapePorts {
		return t.DstPort
	}
	return 0
}

// tries notes what a source tries to reach. The first flow of a source is not noted: most of those who send one packet send no other, and there
// may be millions of them.
func (e *Engine) tries(f *flow.Flow, s *source, n uint32) {
	if s.flows <= e.weight() || f.Status.Has(flow.Expected) || f.Orig.Dst.IsMulticast() {
		return
	}
	var flags uint8
	least, most := 1<<30, 0
	for i := range scans {
		if r := e.rules.Of[scans[i].kind]; r != nil && r.Where.Match(f, e.clock) {
			flags |= scans[i].flag
			limit := int(r.value(scans[i].many))
			least, most = min(least, limit), max(most, limit)
		}
	}
	if flags == 0 {
		return
	}
	addr, port := f.Orig.Dst.As16(), portOf(&f.Orig)
	if t := e.tried.find(s.tried, &addr, f.Orig.Proto, port); t != nil {
		t.at, t.flags = e.now, t.flags|flags
	} else if int(s.count) < 2*most { // more would not make it plainer
		if !e.tried.add(&s.tried, target{addr: addr, port: port, proto: f.Orig.Proto, flags: flags, at: e.now}) {
			e.figures.Evicted++
			return
		}
		s.count++
	}
	if int(s.count) >= least {
		e.sources.ripen(n)
	}
}

// reached notes that a source has got an answer.
func (e *Engine) reached(f *flow.Flow, s *source) {
	if s.tried == 0 {
		return
	}
	addr, port := f.Orig.Dst.As16(), portOf(&f.Orig)
	s.count -= uint16(e.tried.remove(&s.tried, func(t *target) bool {
		return t.port == port && t.proto == f.Orig.Proto && t.addr == addr
	}))
}

// refused notes that a source will not get an answer.
func (e *Engine) refused(f *flow.Flow, n uint32) {
	s := &e.sources.at(n).V
	if s.tried == 0 {
		return
	}
	addr := f.Orig.Dst.As16()
	if t := e.tried.find(s.tried, &addr, f.Orig.Proto, portOf(&f.Orig)); t != nil {
		t.flags |= refused
		s.seen = e.now
		if s.count > 1 {
			e.sources.ripen(n)
		}
	}
}

// longest is for how long targets are of interest.
func (e *Engine) longest() (span uint32) {
	for i := range scans {
		if r := e.rules.Of[scans[i].kind]; r != nil {
			span = max(span, seconds(r, "within"))
		}
	}
	return span
}

// expire forgets targets that are of no interest any more.
func (e *Engine) expire(s *source) {
	if s.tried == 0 {
		return
	}
	span := e.longest()
	s.count -= uint16(e.tried.remove(&s.tried, func(t *target) bool { return e.now-t.at > span }))
}

// Who opens very many flows has always some that are not answered: a resolver asks servers that are away, an office behind one address
// is many people. So what is tried in vain has to be a part of all that a source opens.
const (
	leastScanPart = 0.05
	// A slow scan may come from somebody who does a lot beside, if the targets are spread over time: programs try the same again and again.
	leastSlowPart = 0.03
	leastSpread   = 1.0 / 36 // of the rule's time
	// Who does hardly anything else need not be slow.
	mostly = 0.5
)

// stands reports whether that many targets stand out from what else a source does.
func (e *Engine) stands(s *source, group []*target, k Kind, span uint32) bool {
	measured := float64(len(group)) * float64(e.weight()) // as flows are counted
	if k != SlowScan {
		counted := e.openedSpan()
		return measured >= leastScanPart*s.opened.sum(e.now, counted)*max(1, float64(span)/float64(counted))
	}
	first, last := group[0].at, group[0].at
	for _, t := range group {
		first, last = min(first, t.at), max(last, t.at)
	}
	part := measured / float64(max(1, s.flows))
	return part >= mostly || part >= leastSlowPart && float64(last-first) >= leastSpread*float64(span)
}

// judgeTargets looks for scans.
func (e *Engine) judgeTargets(h *host, s *source) (near bool) {
	if s.tried == 0 {
		return false
	}
	e.expire(s)
	all := e.tried.list(s.tried, make([]*target, 0, s.count))
	fast := false
	for i := range scans {
		r := e.rules.Of[scans[i].kind]
		if r == nil {
			continue
		}
		span, slow := seconds(r, "within"), scans[i].kind == SlowScan
		counted := make([]*target, 0, len(all))
		for _, t := range all {
			vain := t.flags&refused != 0 || e.now-t.at >= grace
			// What has been told as a fast scan is no slow one as well.
			if vain && t.flags&scans[i].flag != 0 && e.now-t.at <= span && !(slow && t.flags&told != 0) {
				counted = append(counted, t)
			}
		}
		limit := r.value(scans[i].many)
		near = near || e.now-s.seen <= grace+1 && 2*float64(len(all)) >= limit
		if slow && fast {
			continue
		}
		group := largestGroup(counted, scans[i].kind)
		// Targets are not scaled while flows are sampled: one that is tried again and again is seen nearly always. So sampling may
		// hide a scan, but not invent one.
		measured := float64(len(group))
		if measured < limit || !e.stands(s, group, scans[i].kind, span) {
			continue
		}
		e.report(r, scanVerdict(h, scans[i].kind, scans[i].many, group, measured, limit))
		if !slow {
			fast = true
		}
		// All that it tries meanwhile belongs to it.
		for _, t := range all {
			t.flags |= told
		}
	}
	return near
}

// largestGroup are the targets that make up the largest scan of a kind: those of one host, those with one port, or all.
func largestGroup(all []*target, k Kind) []*target {
	order := func(a, b *target) int {
		if k == PortScan {
			return bytes.Compare(a.addr[:], b.addr[:])
		}
		return cmp.Or(cmp.Compare(a.proto, b.proto), cmp.Compare(a.port, b.port))
	}
	if k == SlowScan {
		return all
	}
	slices.SortStableFunc(all, order)
	var best []*target
	for len(all) > 0 {
		n := 1
		for n < len(all) && order(all[0], all[n]) == 0 {
			n++
		}
		if n > len(best) {
			best = all[:n]
		}
		all = all[n:]
	}
	return best
}

func scanVerdict(h *host, k Kind, unit string, group []*target, measured, limit float64) verdict {
	v := verdict{Subject: h.subject(), Offender: address(h.addr), Measured: measured, Limit: limit, Unit: unit, since: group[0].at}
	switch k {
	case PortScan:
		v.Subject.Destination = address(group[0].addr)
	case HostSweep:
		v.Subject.Proto, v.Subject.Port = group[0].proto, group[0].port
	}
	no := 0
	for _, t := range group {
		v.since = min(v.since, t.at)
		if t.flags&refused != 0 {
			no++
		}
	}
	// Silence may also be a fault on the way, a refusal is a word.
	v.Confidence = 1 - 0.2*float64(len(group)-no)/float64(len(group))*min(1, limit/measured)
	v.Evidence = []Evidence{{"refused", uint64(no)}, {"not answered", uint64(len(group) - no)}}
	slices.SortFunc(group, func(a, b *target) int { return cmp.Compare(a.at, b.at) })
	for _, t := range group[:min(len(group), 3)] {
		what := fmt.Sprintf("%s %s", address(t.addr), t.proto)
		if t.port != 0 {
			what += fmt.Sprintf(" %d", t.port)
		}
		v.Evidence = append(v.Evidence, Evidence{what, 1})
	}
	return v
}
