package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

func readFilter(p *parser, g *General, key, _ token) {
	if g.Filter == nil {
		g.Filter = new(Filter)
	}
	kernelspace := false
	if p.accept("From") {
		if kernelspace = p.accept("Kernelspace"); !kernelspace && !p.accept("Userspace") {
			p.syntax(*p.peek(), `"From" needs Userspace or Kernelspace`)
			if p.lost = p.peek().kind != opening; p.lost {
				return
			}
		}
	}
	g.Filter.Kernelspace = kernelspace
	open(p, key, &filterBlock, g.Filter)
}

func showFilter(w *printer, g *General) {
	if g.Filter == nil {
		return
	}
	header := "Filter From Userspace"
	if g.Filter.Kernelspace {
		header = "Filter From Kernelspace"
	}
	w.block(header, func() { rows(w, &filterBlock, g.Filter) })
}

var filterBlock = block[Filter]{name: "Filter", scope: "General.Filter", rows: []row[Filter]{
	{word: "Protocol", read: func(p *parser, f *Filter, key, _ token) {
		if p.policy(key, &f.Protocols.Policy) {
			p.list(key, "names of protocols", name, []string{"TCP", "UDP"}, func(t token) { p.protocol(f, t) })
		}
	}, show: func(w *printer, f *Filter) {
		w.set("Protocol", f.Protocols.Policy, func() {
			for _, proto := range f.Protocols.List {
				w.line(proto.Name)
			}
		})
	}},
	{word: "Address", in: []within{&addressBlock}, read: func(p *parser, f *Filter, key, _ token) {
		if p.policy(key, &f.Addresses.Policy) {
			open(p, key, &addressBlock, &f.Addresses)
		}
	}, show: func(w *printer, f *Filter) {
		w.set("Address", f.Addresses.Policy, func() {
			for _, net := range f.Addresses.List {
				text := addrText(net.Addr())
				if !net.IsSingleIP() {
					text += "/" + strconv.Itoa(net.Bits())
				}
				w.line(familyName(net.Addr().Is6())+"_address", text)
			}
		})
	}},
	{word: "State", read: func(p *parser, f *Filter, key, _ token) {
		if p.policy(key, &f.States.Policy) {
			p.states(key, &f.States)
		}
	}, show: func(w *printer, f *Filter) {
		w.set("State", f.States.Policy, func() {
			words := make([]string, len(f.States.List), len(f.States.List)+2)
			for i, s := range f.States.List {
				words[i] = s.String()
			}
			w.line(append(words, "for", "TCP")...)
		})
	}},
}}

// policy reads Accept or Ignore. If there is nothing but a block, that is read all the same.
func (p *parser) policy(key token, field *Policy) bool {
	switch {
	case p.accept("Accept"):
		*field = Accept
	case p.accept("Ignore"):
		*field = Ignore
	default:
		p.syntax(*p.peek(), fmt.Sprintf("%q needs Accept or Ignore, found %s", key.text, p.peek().describe()))
		p.lost = p.peek().kind != opening
	}
	return !p.lost
}

func (p *parser) protocol(f *Filter, t token) {
	n, ok := uint8(0), false
	switch {
	case t.kind == keyword && t.text == "TCP":
		n, ok = 6, true
	case t.kind == keyword:
		n, ok = 17, true
	case p.look.Protocol != nil:
		n, ok = p.look.Protocol(t.text)
	}
	switch {
	case !ok:
		p.warn(t, fmt.Sprintf("getprotobyname() cannot find protocol `%s' in /etc/protocols", t.text),
			fmt.Sprintf("protocol %q is not in /etc/protocols and is ignored; upper and lower case differ", t.text))
	case p.once(Protocol{Number: n}):
		f.Protocols.List = append(f.Protocols.List, Protocol{t.text, n})
	}
}

// once reports whether the filter did not have that yet, and notes it.
func (p *parser) once(listed any) bool {
	if p.listed == nil {
		p.listed = make(map[any]bool)
	}
	had := p.listed[listed]
	p.listed[listed] = true
	return !had
}

var addressBlock = block[AddressSet]{name: "Address", scope: "General.Filter.Address", rows: []row[AddressSet]{
	listedAddress("IPv4_address", false),
	listedAddress("IPv6_address", true),
}}

func listedAddress(word string, six bool) row[AddressSet] {
	return row[AddressSet]{word: word, takes: ipv4 | ipv6, list: true, read: func(p *parser, s *AddressSet, _, v token) {
		p.prefix(s, v, six)
	}}
}

// prefix adds an address or network to a set.
func (p *parser) prefix(s *AddressSet, v token, six bool) {
	family, most := familyName(six), int32(32)
	if six {
		most = 128
	}
	host, length, network := strings.Cut(v.text, "/")
	bits := most
	if network {
		bits = wrapped(length)
	}
	addr, ok := parseAddr(host)
	switch {
	case bits > most, bits < 0 && !six:
		p.warn(v, fmt.Sprintf("%s/%d is not a valid network, ignoring", host, bits),
			fmt.Sprintf("the prefix length of %s is at most %d; the line is ignored", family, most))
		return
	case !ok || addr.Is6() != six:
		p.warn(v, fmt.Sprintf("%s is not a valid %s, ignoring", host, family),
			fmt.Sprintf("this is not an address of %s; the line is ignored", family))
		return
	case bits < 0:
		p.advise(v, fmt.Sprintf("the prefix length of %s is at most %d; the line is ignored", family, most))
		return
	}
	prefix := netip.PrefixFrom(addr, int(bits))
	switch {
	case p.once(prefix):
		s.List = append(s.List, prefix)
	case !six && bits < most:
		p.warn(v, fmt.Sprintf("netmask %s is repeated in the ignore pool", host), "this network is in the list already")
	default:
		p.advise(v, "this is in the list already")
	}
}

// states reads the block of State: some states, "for TCP", and so on.
func (p *parser) states(key token, set *StateSet) {
	fits := func(t *token) bool { return t.isOneOf(stateWords) || t.isOneOf([]string{"for"}) }
	if !p.brace(key, fits) {
		return
	}
	var pending [len(tcpStates)]bool
	for {
		t := p.next()
		switch {
		case t.isOneOf(stateWords):
			pending[stateNamed(t.text)] = true
			continue
		case fits(&t) && p.accept("TCP"):
			for s, on := range pending {
				if on && !slices.Contains(set.List, TCPState(s)) {
					set.List = append(set.List, TCPState(s))
				}
			}
			slices.Sort(set.List)
			clear(pending[:])
			continue
		case t.kind == closing && !slices.Contains(pending[:], true):
			return
		}
		p.statesEnd(t, key)
		if t.kind == closing || p.lost {
			return
		}
		clear(pending[:])
	}
}

// statesEnd reports a token that does not fit into State's block, and sets lost if the block must be left.
func (p *parser) statesEnd(t, key token) {
	switch {
	case t.kind == end:
		p.ended(key.text)
		return
	case t.kind == closing:
		p.syntax(t, `the states need "for TCP" after them`)
	case t.kind == keyword && t.text == "for":
		p.syntax(*p.peek(), `"for" needs TCP, the only protocol with states`)
		if p.peek().kind&(name|keyword) != 0 && !p.peek().isSection() {
			p.next()
		}
	case t.kind == opening:
		p.syntax(t, "a block cannot stand among states")
		p.back(t)
		p.skipBlock()
	default:
		p.syntax(t, fmt.Sprintf("%s is not a state of TCP, only %s are", t.describe(), strings.Join(stateWords, ", ")))
		if t.kind == keyword {
			p.back(t) // the brace that closes the list is missing
			return
		}
	}
	p.lost = false
}

var stateWords = append(slices.Clone(tcpStates[1:]), "CLOSED")

func stateNamed(word string) TCPState {
	if i := slices.Index(tcpStates[:], word); i > 0 {
		return TCPState(i)
	}
	return Close // which is also called CLOSED
}
