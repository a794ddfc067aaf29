package config

import (
	"fmt"
	"net/netip"
)

// channelScope is a channel that is being read or shown.
type channelScope struct {
	Channel
	sync *Sync

	family  int  // of a multicast channel, by the first valid address: 4, 6 or 0
	scoped  bool // the interface was given after a group of IPv6, where 1.4.9 looks for it
	crowded bool // one channel too many, and that was reported
}

func channel(kind Kind, b *block[channelScope]) row[Sync] {
	return row[Sync]{word: kind.String(), in: []within{b}, read: func(p *parser, s *Sync, key, _ token) {
		c := &channelScope{sync: s, Channel: Channel{Kind: kind, Checksum: true}}
		c.Default = p.accept("Default")
		if !open(p, key, b, c) {
			return
		}
		p.crowd(c, key)
		switch {
		case c.crowded:
		case len(s.Channels) > 0 && s.Channels[0].Kind != kind:
			p.fail(key, fmt.Sprintf("cannot use `%s' with other dedicated link protocols!", kind),
				fmt.Sprintf("all channels must be of the kind of the first one, %s", s.Channels[0].Kind))
		default:
			s.Channels = append(s.Channels, c.Channel)
			p.channels = append(p.channels, key.Pos)
		}
	}, show: func(w *printer, s *Sync) {
		for _, c := range s.Channels {
			if c.Kind != kind {
				continue
			}
			header := kind.String()
			if c.Default {
				header += " Default"
			}
			w.block(header, func() { rows(w, b, &channelScope{Channel: c, sync: s}) })
		}
	}}
}

// crowd reports a channel too many.
func (p *parser) crowd(c *channelScope, key token) {
	if len(c.sync.Channels) == maxChannels && !c.crowded {
		c.crowded = true
		p.fail(key, "too many dedicated links in the configuration file (Maximum: 4)", "at most four channels are possible")
	}
}

var (
	port = row[channelScope]{word: "Port", field: func(c *channelScope) any { return &c.Port }}
	// device comes after the addresses because of the order that 1.4.9 needs.
	device = row[channelScope]{word: "Interface", takes: name, field: func(c *channelScope) any { return &c.Interface }, read: readInterface}

	sndSocketBuffer = row[channelScope]{word: "SndSocketBuffer", field: func(c *channelScope) any { return &c.SndSocketBuffer }}
	rcvSocketBuffer = row[channelScope]{word: "RcvSocketBuffer", field: func(c *channelScope) any { return &c.RcvSocketBuffer }}
	checksum        = row[channelScope]{word: "Checksum", field: func(c *channelScope) any { return &c.Checksum }}

	local4 = address("IPv4_address", false, func(c *channelScope) *netip.Addr { return &c.Local })
	local6 = address("IPv6_address", true, func(c *channelScope) *netip.Addr { return &c.Local })
	peer4  = address("IPv4_Destination_Address", false, func(c *channelScope) *netip.Addr { return &c.Peer })
	peer6  = address("IPv6_Destination_Address", true, func(c *channelScope) *netip.Addr { return &c.Peer })
)

var udpBlock = block[channelScope]{name: "UDP", each: (*parser).crowd, rows: []row[channelScope]{
	local4, local6, peer4, peer6, port, device, sndSocketBuffer, rcvSocketBuffer, checksum,
}}

var tcpBlock = block[channelScope]{name: "TCP", each: (*parser).crowd, rows: []row[channelScope]{
	local4, local6, peer4, peer6, port, device, sndSocketBuffer, rcvSocketBuffer, checksum,
	{word: "ErrorQueueLength", field: func(c *channelScope) any { return &c.sync.ErrorQueueLength }, def: uint32(128)},
}}

var multicastBlock = block[channelScope]{name: "Multicast", each: (*parser).crowd, rows: []row[channelScope]{
	multicast("IPv4_address", false, func(c *channelScope) *netip.Addr { return &c.Group },
		"your multicast address is IPv4 but is binded to an IPv6 interface? Surely, this is not what you want"),
	multicast("IPv6_address", true, func(c *channelScope) *netip.Addr { return &c.Group },
		"your multicast address is IPv6 but is binded to an IPv4 interface? Surely this is not what you want"),
	multicast("IPv4_interface", false, func(c *channelScope) *netip.Addr { return &c.Local },
		"your multicast interface is IPv4 but is binded to an IPv6 interface? Surely, this is not what you want"),
	{word: "IPv6_interface", takes: ipv4 | ipv6, read: func(p *parser, _ *channelScope, key, _ token) {
		p.warn(key, "`IPv6_interface' not required, ignoring", "IPv6_interface has no effect: remove it")
	}},
	{word: "Group", field: port.field}, device, sndSocketBuffer, rcvSocketBuffer, checksum,
}}

// address is the address of one end of a channel.
func address(word string, six bool, field func(*channelScope) *netip.Addr) row[channelScope] {
	return row[channelScope]{word: word, takes: ipv4 | ipv6, read: func(p *parser, c *channelScope, key, v token) {
		if a, ok := p.addr(v, six); ok {
			if f := field(c); f.IsValid() && f.Is6() != six {
				p.advise(key, fmt.Sprintf("this replaces the address %s given above", f))
			}
			*field(c) = a
		}
	}, show: showAddress(word, six, field)}
}

// multicast is an address of a channel whose addresses are all of the first one's family.
func multicast(word string, six bool, field func(*channelScope) *netip.Addr, conflict string) row[channelScope] {
	family, other := 4, 6
	if six {
		family, other = 6, 4
	}
	return row[channelScope]{word: word, takes: ipv4 | ipv6, read: func(p *parser, c *channelScope, _, v token) {
		a, ok := p.addr(v, six)
		switch {
		case !ok:
			return
		case c.family == other:
			p.warn(v, conflict, "a channel has addresses of one family only; the line is ignored")
			return
		case six && c.Interface != "" && !c.scoped:
			p.warn(v, v.text+" is an invalid interface",
				"conntrackd 1.4.9 wants Interface after IPv6_address and takes any device otherwise; here it makes no difference")
		}
		c.family = family
		*field(c) = a
	}, show: showAddress(word, six, field)}
}

func showAddress(word string, six bool, field func(*channelScope) *netip.Addr) func(*printer, *channelScope) {
	return func(w *printer, c *channelScope) {
		if a := *field(c); a.IsValid() && a.Is6() == six {
			w.line(word, addrText(a))
		}
	}
}

// addr is a token's address, which must be of that family.
func (p *parser) addr(v token, six bool) (netip.Addr, bool) {
	a, ok := parseAddr(v.text)
	if ok && a.Is6() == six {
		return a, true
	}
	p.warn(v, fmt.Sprintf("%s is not a valid %s address", v.text, familyName(six)),
		fmt.Sprintf("this is not an address of %s; the line is ignored", familyName(six)))
	return a, false
}

func readInterface(p *parser, c *channelScope, _, v token) {
	c.Interface = v.text
	if p.look.Interface != nil && !p.look.Interface(v.text) {
		p.warn(v, v.text+" is an invalid interface", "there is no device of that name (yet)")
		return
	}
	c.scoped = c.family == 6
}
