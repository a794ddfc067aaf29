package config

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// complete settles what only the whole file can tell.
func (p *parser) complete() {
	c := &p.file.Config
	_, typed := p.file.Given("General.Scheduler.Type")
	if at, ranked := p.file.Given("General.Scheduler.Priority"); ranked && !typed {
		c.General.Scheduler = nil
		p.note(at, "Priority counts only with a Type: write \"Type rr\" as well")
	}
	if c.Sync != nil {
		p.completeSync(c.Sync)
	}
	for i := range c.Helpers {
		h := &c.Helpers[i]
		if pol, ok := p.policies[h.Name]; ok {
			h.ExpectMax, h.ExpectTimeout = pol.max, pol.expire
		}
	}
}

func (p *parser) completeSync(s *Sync) {
	if s.DisableExternalCache && s.CommitTimeout != 0 {
		s.CommitTimeout = 0
		at, _ := p.file.Given("Sync.CommitTimeout")
		p.file.report(Problem{at, Warning,
			"`CommitTimeout' can't be combined with `DisableExternalCache', ignoring this option. Fix your configuration file.",
			"without an external cache there is nothing to commit: remove CommitTimeout or DisableExternalCache"})
	}
	for _, m := range []Mode{NOTRACK, ALARM, FTFW} { // the last one given wins
		if p.modes[m].Line > 0 {
			s.Mode = m
		}
	}
	if s.Mode != NOTRACK {
		s.DisableInternalCache = false
	}
	if s.Mode == ALARM {
		s.DisableExternalCache, s.StartupResync = false, false
	}
	first := 0
	for i := range s.Channels {
		if s.Channels[i].Default {
			if i > first && s.Channels[first].Default {
				s.Channels[first].Default = false
				p.note(p.channels[first], fmt.Sprintf("the channel in line %d is marked Default as well, and counts", p.channels[i].Line))
			}
			first = i
		}
	}
	if len(s.Channels) > 0 {
		s.Channels[first].Default = true
	}
}

// given is where a setting was written, otherwise the beginning of the file.
func (p *parser) given(setting string) (Pos, bool) {
	at, ok := p.file.given[setting]
	if !ok {
		at = Pos{p.lex.file, 1, 1}
	}
	return at, ok
}

// check looks for settings that are valid one by one and together do not do what was probably meant. It is for files
// without errors.
func (p *parser) check() {
	c := &p.file.Config
	p.checkGeneral(&c.General)
	if at, _ := p.given(""); c.Sync == nil && c.Stats == nil && len(c.Helpers) == 0 {
		p.note(at, "neither Sync nor Stats nor Helper: the daemon does nothing")
	}
	if c.Sync != nil {
		p.checkSync(c.Sync)
		p.checkChannels(c.Sync.Channels)
	}
	if s := c.Stats; s != nil && s.LogFile == "" && s.Syslog == "" {
		at, _ := p.given("Stats")
		p.note(at, "Stats has neither LogFile nor Syslog: no flow is logged")
	}
	if f := c.General.Filter; f != nil {
		p.checkFilter(f)
	}
	p.checkHelpers(c)
}

func (p *parser) checkGeneral(g *General) {
	if at, ok := p.given("General.UNIX.Path"); !ok {
		p.note(at, "no UNIX { Path … } in General: the daemon cannot be controlled, not even asked for statistics")
	}
	if at, ok := p.given("General.HashLimit"); g.HashLimit < g.HashSize {
		if !ok {
			at, _ = p.given("General.HashSize")
		}
		p.note(at, fmt.Sprintf("HashLimit %d is less than HashSize %d: a cache would be full before its buckets are", g.HashLimit, g.HashSize))
	}
	if at, ok := p.given("General.NetlinkBufferSize"); ok && g.NetlinkBufferSize > g.NetlinkBufferSizeMaxGrowth {
		p.note(at, fmt.Sprintf("NetlinkBufferSize %d counts only if NetlinkBufferSizeMaxGrowth (%d) is not less",
			g.NetlinkBufferSize, g.NetlinkBufferSizeMaxGrowth))
	}
	if at, ok := p.given("General.PollSecs"); ok && g.NetlinkEventsReliable {
		p.note(at, "with PollSecs there are no events, so NetlinkEventsReliable has no effect")
	}
	if at, ok := p.given("General.Scheduler.Type"); ok && g.Scheduler.Priority == 0 {
		p.note(at, "the kernel refuses real-time priority 0: write a Priority from 1 to 99")
	}
	paths := map[string]string{}
	for _, f := range []struct{ setting, path string }{
		{"General.LogFile", g.LogFile}, {"General.LockFile", g.LockFile}, {"General.UNIX.Path", g.UNIXPath},
	} {
		if other := paths[f.path]; other != "" {
			at, _ := p.given(f.setting)
			p.note(at, fmt.Sprintf("this is the path of %s already", other))
		}
		if f.path != "" {
			paths[f.path] = f.setting
		}
	}
}

func (p *parser) checkFilter(f *Filter) {
	for _, s := range []struct {
		word   string
		policy Policy
		listed int
	}{
		{"Protocol", f.Protocols.Policy, len(f.Protocols.List)},
		{"Address", f.Addresses.Policy, len(f.Addresses.List)},
		{"State", f.States.Policy, len(f.States.List)},
	} {
		if at, _ := p.given("General.Filter." + s.word); s.policy == Accept && s.listed == 0 {
			p.note(at, "Accept with nothing listed lets nothing pass")
		}
	}
	six := func(net netip.Prefix) bool { return net.Addr().Is6() }
	if some := f.Addresses.List; f.Addresses.Policy == Accept && len(some) > 0 {
		at, _ := p.given("General.Filter.Address")
		if without := "IPv6"; !slices.ContainsFunc(some, six) || !slices.ContainsFunc(some, func(net netip.Prefix) bool { return !six(net) }) {
			if six(some[0]) {
				without = "IPv4"
			}
			p.note(at, fmt.Sprintf("Accept lists no address of %s, so no flow of %s passes", without, without))
		}
	}
	for _, net := range f.Addresses.List {
		if net != net.Masked() {
			at, _ := p.given("General.Filter.Address")
			p.note(at, fmt.Sprintf("%s has bits beyond its prefix: it means all of %s", net, net.Masked()))
		}
	}
}

func (p *parser) checkSync(s *Sync) {
	if at, _ := p.given("Sync"); len(s.Channels) == 0 {
		p.note(at, "Sync has no channel: write an UDP, Multicast or TCP block, without which the daemon does not start")
	}
	for m, at := range p.modes {
		if at.Line > 0 && Mode(m) != s.Mode {
			p.note(at, fmt.Sprintf("%s is given as well and counts; remove one of the modes", s.Mode))
		}
	}
	for _, word := range []string{"RefreshTime", "CacheTimeout"} {
		if at, ok := p.given("Sync." + word); ok && s.Mode != ALARM {
			p.note(at, fmt.Sprintf("%s has no effect in mode %s, only in ALARM", word, s.Mode))
		}
	}
	if at, _ := p.given("Sync.CacheTimeout"); s.Mode == ALARM && s.CacheTimeout <= s.RefreshTime {
		p.note(at, fmt.Sprintf("CacheTimeout %d is not more than RefreshTime %d: entries expire before they come again",
			s.CacheTimeout/time.Second, s.RefreshTime/time.Second))
	}
}

func (p *parser) checkChannels(channels []Channel) {
	for i := range channels {
		c, at := &channels[i], p.channels[i]
		advise := func(wrong bool, format string, args ...any) {
			if wrong {
				p.note(at, fmt.Sprintf("%s channel: ", c.Kind)+fmt.Sprintf(format, args...))
			}
		}
		advise(c.Interface == "", "no Interface, without which the daemon does not start")
		advise(len(c.Interface) > 15, "the name %q is too long for an Interface", c.Interface)
		if c.Kind == Multicast {
			advise(c.Port == 0, "no Group, which is its UDP port: write the same on all nodes")
			advise(!c.Group.IsValid(), "no IPv4_address or IPv6_address of the group")
			advise(c.Group.IsValid() && !c.Group.IsMulticast(), "%s is not a multicast address", c.Group)
		} else {
			advise(c.Port == 0, "no Port: write the same on both nodes")
			advise(!c.Local.IsValid(), "no address to bind to, IPv4_address or IPv6_address")
			advise(!c.Peer.IsValid(), "no address of the peer, IPv4_Destination_Address or IPv6_Destination_Address")
			advise(c.Peer.IsValid() && c.Peer == c.Local, "%s is both its own address and the peer's", c.Peer)
			advise(c.Peer.IsValid() && c.Local.IsValid() && c.Peer.Is6() != c.Local.Is6(), "%s and %s are of different families", c.Local, c.Peer)
		}
		advise(!c.Checksum && (c.Kind == TCP || c.Is6()), "Checksum off has an effect only on UDP and Multicast over IPv4")
		for j := range channels[:i] {
			o := &channels[j]
			same := c.Port == o.Port && c.Port != 0
			advise(same && c.Kind == Multicast && c.Group == o.Group && c.Interface == o.Interface, "group, port and Interface are those of the channel in line %d", p.channels[j].Line)
			advise(same && c.Kind != Multicast && c.Local.IsValid() && c.Local == o.Local, "address %s and port %d are those of the channel in line %d", c.Local, c.Port, p.channels[j].Line)
		}
	}
}

func (p *parser) checkHelpers(c *Config) {
	queues := map[uint16]string{}
	for i, h := range c.Helpers {
		at := p.helpers.instance[i].Pos
		if other, taken := queues[h.QueueNum]; taken {
			p.note(at, fmt.Sprintf("queue %d is that of helper %s already: give each its own QueueNum", h.QueueNum, other))
		}
		queues[h.QueueNum] = h.Name
		if h.ExpectMax == 0 || h.ExpectTimeout == 0 {
			p.note(at, "its Policy needs both ExpectMax and ExpectTimeout: what is not given is 0, not the default")
		}
	}
	if len(c.Helpers) > 0 && !c.HelperSetup {
		p.note(p.helpers.instance[0].Pos, "without \"Setup on\" the kernel takes helpers only if they were registered before by other means")
	}
}
