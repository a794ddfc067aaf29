package config

import (
	"fmt"
	"net/netip"
)

// What 1.4.9 does not know is here. It rejects these words, so they have no effect on files without them; as names
// they can still be used.

var metricsRow = row[General]{word: "Metrics", ours: true, in: []within{&metricsBlock}, read: func(p *parser, g *General, key, _ token) {
	if g.Metrics == nil {
		g.Metrics = new(Metrics)
		defaults(&metricsBlock, g.Metrics)
		g.Metrics.Address = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	open(p, key, &metricsBlock, g.Metrics)
}, show: func(w *printer, g *General) {
	if g.Metrics != nil {
		w.block("Metrics", func() { rows(w, &metricsBlock, g.Metrics) })
	}
}}

var metricsBlock = block[Metrics]{name: "Metrics", scope: "General.Metrics", rows: []row[Metrics]{
	{word: "Address", takes: ipv4 | ipv6, read: func(p *parser, m *Metrics, _, v token) {
		if a, ok := parseAddr(v.text); ok {
			m.Address = a
		} else {
			p.syntax(v, fmt.Sprintf("%q is not an address", v.text))
		}
	}, show: func(w *printer, m *Metrics) { w.line("Address", addrText(m.Address)) }},
	{word: "Port", field: func(m *Metrics) any { return &m.Port }, def: uint16(9275)},
}}
