package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	defaultLog      = "/var/log/conntrackd.log"
	defaultStatsLog = "/var/log/conntrackd-stats.log"
	defaultFacility = "daemon"

	defaultResync = 30 * time.Second

	maxLog      = 256
	maxUNIX     = 107
	maxPriority = 99
	maxPolicy   = 16
	maxChannels = 4
)

var fileBlock = block[Config]{rows: []row[Config]{
	{word: "General", in: []within{&generalBlock}, read: func(p *parser, c *Config, key, _ token) {
		open(p, key, &generalBlock, &c.General)
	}, show: func(w *printer, c *Config) {
		w.block("General", func() { rows(w, &generalBlock, &c.General) })
	}},
	{word: "Sync", in: []within{&syncBlock}, read: func(p *parser, c *Config, key, _ token) {
		if c.Sync == nil {
			c.Sync = newSync()
		}
		if open(p, key, &syncBlock, c.Sync) {
			p.notBoth(key, c.Stats != nil)
		}
	}, show: func(w *printer, c *Config) {
		if c.Sync != nil {
			w.block("Sync", func() { rows(w, &syncBlock, c.Sync) })
		}
	}},
	{word: "Stats", in: []within{&statsBlock}, read: func(p *parser, c *Config, key, _ token) {
		if c.Stats == nil {
			c.Stats = new(Stats)
		}
		if open(p, key, &statsBlock, c.Stats) {
			p.notBoth(key, c.Sync != nil)
		}
	}, show: func(w *printer, c *Config) {
		if c.Stats != nil {
			w.block("Stats", func() { rows(w, &statsBlock, c.Stats) })
		}
	}},
	{word: "Helper", in: []within{&helperBlock}, read: func(p *parser, c *Config, key, _ token) {
		open(p, key, &helperBlock, &p.helpers)
	}, show: func(w *printer, c *Config) {
		if c.HelperSetup || len(c.Helpers) > 0 {
			w.block("Helper", func() { rows(w, &helperBlock, &helperScope{c: c}) })
		}
	}},
}}

func (p *parser) notBoth(key token, other bool) {
	if other {
		p.fail(key, "cannot use both `Stats' and `Sync' clauses in conntrackd.conf", "Sync and Stats exclude each other: remove one")
	}
}

// General

var generalBlock = block[General]{name: "General", scope: "General", rows: []row[General]{
	{word: "HashSize", field: func(g *General) any { return &g.HashSize }, def: uint32(65536)},
	{word: "HashLimit", field: func(g *General) any { return &g.HashLimit }, def: uint32(262144)},
	logFile("LogFile", defaultLog, func(g *General) *string { return &g.LogFile }),
	{word: "Syslog", takes: boolean | name, read: func(p *parser, g *General, _, v token) {
		stats := ""
		if s := p.file.Config.Stats; s != nil {
			stats = s.Syslog
		}
		p.facility(v, &g.Syslog, stats, "")
	}, show: func(w *printer, g *General) { w.orOff("Syslog", g.Syslog) }},
	{word: "LockFile", takes: path, def: "/var/lock/conntrackd.lock", field: func(g *General) any { return &g.LockFile },
		read: func(p *parser, g *General, _, v token) {
			p.path(v, &g.LockFile, maxLog, "LockFile path is longer than 256 characters")
		}},
	nested("UNIX", &unixBlock),
	{word: "NetlinkBufferSize", field: func(g *General) any { return &g.NetlinkBufferSize }},
	{word: "SocketBufferSize", as: "NetlinkBufferSize", field: func(g *General) any { return &g.NetlinkBufferSize }},
	{word: "NetlinkBufferSizeMaxGrowth", field: func(g *General) any { return &g.NetlinkBufferSizeMaxGrowth }},
	{word: "SocketBufferSizeMaxGrowth", as: "NetlinkBufferSizeMaxGrowth",
		field: func(g *General) any { return &g.NetlinkBufferSizeMaxGrowth }},
	{word: "SocketBufferSizeMaxGrown", as: "NetlinkBufferSizeMaxGrowth",
		field: func(g *General) any { return &g.NetlinkBufferSizeMaxGrowth }},
	{word: "EventIterationLimit", field: func(g *General) any { return &g.EventIterationLimit }, def: uint32(100)},
	{word: "PollSecs", field: func(g *General) any { return &g.PollEvery }, takes: number, read: func(p *parser, g *General, _, v token) {
		if p.put(&g.PollEvery, v, nil); g.PollEvery == 0 {
			p.fail(v, "`PollSecs' clause must be > 0", "PollSecs must be at least 1; leave it out to get events instead")
		}
	}},
	{word: "NetlinkOverrunResync", takes: boolean | number, def: defaultResync, field: func(g *General) any { return &g.NetlinkOverrunResync },
		read: func(p *parser, g *General, _, v token) {
			switch {
			case v.kind == number:
				p.put(&g.NetlinkOverrunResync, v, defaultResync)
			case v.on:
				g.NetlinkOverrunResync = defaultResync
			default:
				g.NetlinkOverrunResync = 0
			}
		}, show: func(w *printer, g *General) {
			if g.NetlinkOverrunResync == 0 {
				w.line("NetlinkOverrunResync", "off")
			} else {
				w.value("NetlinkOverrunResync", &g.NetlinkOverrunResync)
			}
		}},
	{word: "NetlinkEventsReliable", field: func(g *General) any { return &g.NetlinkEventsReliable }},
	{word: "Nice", takes: signed, read: func(p *parser, _ *General, key, _ token) {
		p.warn(key, "deprecated nice configuration, ignoring. The nice value can be set externally with nice(1) and renice(1).",
			"Nice has no effect: remove it, and set Nice= in the systemd unit if need be")
	}},
	{word: "Systemd", field: func(g *General) any { return &g.Systemd }, def: true},
	nested("Scheduler", &schedulerBlock),
	{word: "Filter", in: []within{&filterBlock}, read: readFilter, show: showFilter},
	{word: "Metrics", ours: true, in: []within{&metricsBlock}, read: func(p *parser, g *General, key, _ token) {
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
	}},
}}

var unixBlock = block[General]{name: "UNIX", scope: "General.UNIX", rows: []row[General]{
	{word: "Path", takes: path, field: func(g *General) any { return &g.UNIXPath }, read: func(p *parser, g *General, _, v token) {
		p.path(v, &g.UNIXPath, maxUNIX, "Path is longer than 107 characters")
	}},
	{word: "Backlog", takes: number, read: func(p *parser, _ *General, key, _ token) {
		p.warn(key, "deprecated unix backlog configuration, ignoring.", "Backlog has no effect: remove it")
	}},
}}

var schedulerBlock = block[General]{name: "Scheduler", scope: "General.Scheduler", rows: []row[General]{
	{word: "Type", takes: name, read: func(p *parser, g *General, _, v token) {
		switch strings.ToLower(v.text) {
		case "rr":
			g.Scheduler.FIFO = false
		case "fifo":
			g.Scheduler.FIFO = true
		default:
			p.fail(v, fmt.Sprintf("unknown scheduler `%s'", v.text), "the scheduler is rr or fifo")
		}
	}, show: func(w *printer, g *General) {
		if g.Scheduler.FIFO {
			w.line("Type", "fifo")
		} else {
			w.line("Type", "rr")
		}
	}},
	{word: "Priority", takes: number, read: func(p *parser, g *General, _, v token) {
		if n := v.number(); n < 0 || n > maxPriority {
			p.fail(v, "`Priority' must be [0, 99]\n", "the priority is a number from 1 to 99")
		} else {
			g.Scheduler.Priority = int(n)
		}
	}, show: func(w *printer, g *General) { w.line("Priority", strconv.Itoa(g.Scheduler.Priority)) }},
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

// logFile is LogFile with its default path. Turning it off does not undo a path given before.
func logFile[T any](word, on string, field func(*T) *string) row[T] {
	prefix := ""
	if on == defaultStatsLog {
		prefix = "stats "
	}
	return row[T]{word: word, takes: boolean | path, read: func(p *parser, t *T, key, v token) {
		switch f := field(t); {
		case v.kind == path:
			p.path(v, f, maxLog, prefix+"LogFile path is longer than 256 characters")
		case v.on:
			*f = on
		case *f != "":
			p.advise(key, "the log file given before stays: off does not undo it")
		}
	}, show: func(w *printer, t *T) { w.orOff(word, *field(t)) }}
}

// path stores a path unless it is too long.
func (p *parser) path(v token, field *string, most int, text string) {
	if s := v.c(); len(s) > most {
		p.fail(v, text, fmt.Sprintf("the path has %d characters, %d are possible", len(s), most))
	} else {
		*field = s
	}
}

var facilities = []string{"daemon", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"}

// facility stores a syslog facility. Conflicts with that of the other section are only looked for when one is named.
func (p *parser) facility(v token, field *string, other, stop string) {
	switch {
	case v.kind == boolean && v.on:
		*field = defaultFacility
	case v.kind == boolean:
		*field = ""
	case !slices.Contains(facilities, v.text):
		p.warn(v, fmt.Sprintf("'%s' is not a known syslog facility, ignoring%s", v.text, stop),
			"the facility is daemon or one of local0 to local7")
	default:
		*field = v.text
		if other != "" && other != v.text {
			p.warn(v, "conflicting Syslog facility values, defaulting to General", "name the same facility in General and Stats")
		}
	}
}

// nested is a block whose settings belong to what is around it.
func nested[T any](word string, b *block[T]) row[T] {
	return row[T]{word: word, in: []within{b}, read: func(p *parser, t *T, key, _ token) {
		open(p, key, b, t)
	}, show: func(w *printer, t *T) {
		w.blockIfAny(word, func() { rows(w, b, t) })
	}}
}

// Filter

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
		w.set("Address", f.Addresses.Policy, func() { rows(w, &addressBlock, &f.Addresses) })
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
	}, show: func(w *printer, s *AddressSet) {
		for _, net := range s.List {
			if a := net.Addr(); a.Is6() != six {
				continue
			} else if net.IsSingleIP() {
				w.line(word, addrText(a))
			} else {
				w.line(word, addrText(a)+"/"+strconv.Itoa(net.Bits()))
			}
		}
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

// Stats

var statsBlock = block[Stats]{name: "Stats", scope: "Stats", rows: []row[Stats]{
	logFile("LogFile", defaultStatsLog, func(s *Stats) *string { return &s.LogFile }),
	{word: "Syslog", takes: boolean | name, read: func(p *parser, s *Stats, _, v token) {
		p.facility(v, &s.Syslog, p.file.Config.General.Syslog, ".")
	}, show: func(w *printer, s *Stats) { w.orOff("Syslog", s.Syslog) }},
}}

// Sync

func newSync() *Sync {
	s := new(Sync)
	defaults(&syncBlock, s)
	defaults(&ftfwBlock, s)
	defaults(&tcpBlock, &channelScope{sync: s})
	return s
}

var (
	refreshTime   = row[Sync]{word: "RefreshTime", field: func(s *Sync) any { return &s.RefreshTime }, def: 60 * time.Second}
	cacheTimeout  = row[Sync]{word: "CacheTimeout", field: func(s *Sync) any { return &s.CacheTimeout }, def: 180 * time.Second}
	commitTimeout = row[Sync]{word: "CommitTimeout", field: func(s *Sync) any { return &s.CommitTimeout }}
	purgeTimeout  = row[Sync]{word: "PurgeTimeout", field: func(s *Sync) any { return &s.PurgeTimeout }, def: 60 * time.Second}

	disableInternalCache = row[Sync]{word: "DisableInternalCache", field: func(s *Sync) any { return &s.DisableInternalCache }}
	disableExternalCache = row[Sync]{word: "DisableExternalCache", field: func(s *Sync) any { return &s.DisableExternalCache }}
	startupResync        = row[Sync]{word: "StartupResync", field: func(s *Sync) any { return &s.StartupResync }}
)

var syncBlock = block[Sync]{name: "Sync", scope: "Sync", rows: []row[Sync]{
	{word: "Mode", in: []within{&alarmBlock, &ftfwBlock, &notrackBlock}, read: readMode, show: func(w *printer, s *Sync) {
		w.block("Mode "+s.Mode.String(), func() {
			rows(w, modeBlocks[s.Mode], s)
		})
	}},
	refreshTime, cacheTimeout, commitTimeout, purgeTimeout,
	channel(UDP, &udpBlock),
	channel(Multicast, &multicastBlock),
	channel(TCP, &tcpBlock),
	nested("Options", &optionsBlock),
}}

// The timers may also stand in Sync itself, and are shown there.
var (
	alarmBlock = block[Sync]{name: "Mode ALARM", scope: "Sync", rows: []row[Sync]{
		unshown(refreshTime), unshown(cacheTimeout), unshown(commitTimeout), unshown(purgeTimeout),
	}}
	ftfwBlock = block[Sync]{name: "Mode FTFW", scope: "Sync", rows: []row[Sync]{
		{word: "ResendQueueSize", field: func(s *Sync) any { return &s.ResendQueueSize }, def: uint32(131072)},
		{word: "ACKWindowSize", field: func(s *Sync) any { return &s.ACKWindowSize }, def: uint32(300)},
		unshown(commitTimeout), unshown(purgeTimeout),
		disableExternalCache, startupResync,
	}}
	notrackBlock = block[Sync]{name: "Mode NOTRACK", scope: "Sync", rows: []row[Sync]{
		unshown(commitTimeout), unshown(purgeTimeout),
		disableInternalCache, disableExternalCache, startupResync,
	}}
	modeBlocks = [...]*block[Sync]{FTFW: &ftfwBlock, ALARM: &alarmBlock, NOTRACK: &notrackBlock}
)

func unshown[T any](r row[T]) row[T] {
	r.show = func(*printer, *T) {}
	return r
}

func readMode(p *parser, s *Sync, key, _ token) {
	t := *p.peek()
	if t.kind != mode {
		advice := fmt.Sprintf(`"Mode" needs ALARM, FTFW or NOTRACK, found %s`, t.describe())
		if near := nearest(t.text, append(modes[:], oldALARM)); near != "" {
			advice += fmt.Sprintf("; did you mean %q?", near)
		}
		p.syntax(t, advice)
		return
	}
	p.next()
	p.modes[t.mode] = key.Pos
	open(p, key, modeBlocks[t.mode], s)
}

var optionsBlock = block[Sync]{name: "Options", scope: "Sync.Options", rows: []row[Sync]{
	{word: "TCPWindowTracking", field: func(s *Sync) any { return &s.TCPWindowTracking }},
	{word: "ExpectationSync", read: func(p *parser, s *Sync, key, _ token) {
		if v := *p.peek(); v.kind == boolean {
			p.next()
			if s.ExpectationSync = v.on; !v.on {
				s.ExpectationHelpers = nil
			}
			return
		}
		s.ExpectationSync = true
		p.list(key, "names of helpers", name, nil, func(t token) {
			s.ExpectationHelpers = append(s.ExpectationHelpers, t.text)
		})
	}, show: func(w *printer, s *Sync) {
		if !s.ExpectationSync || len(s.ExpectationHelpers) == 0 {
			w.value("ExpectationSync", &s.ExpectationSync)
			return
		}
		w.block("ExpectationSync", func() {
			for _, h := range s.ExpectationHelpers {
				w.line(h)
			}
		})
	}},
}}

// Channels

// channelScope is a channel that is being read or shown.
type channelScope struct {
	Channel
	sync *Sync
	key  token

	family  int  // of a multicast channel, by the first valid address: 4, 6 or 0
	scoped  bool // the interface was given after a group of IPv6, where 1.4.9 looks for it
	crowded bool // one channel too many, and that was reported
}

func channel(kind Kind, b *block[channelScope]) row[Sync] {
	return row[Sync]{word: kind.String(), in: []within{b}, read: func(p *parser, s *Sync, key, _ token) {
		c := &channelScope{sync: s, key: key}
		defaults(b, c)
		c.Kind = kind
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
	checksum        = row[channelScope]{word: "Checksum", field: func(c *channelScope) any { return &c.Checksum }, def: true}

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

func familyName(six bool) string {
	if six {
		return "IPv6"
	}
	return "IPv4"
}

func readInterface(p *parser, c *channelScope, _, v token) {
	c.Interface = v.text
	if p.look.Interface != nil && !p.look.Interface(v.text) {
		p.warn(v, v.text+" is an invalid interface", "there is no device of that name (yet)")
		return
	}
	c.scoped = c.family == 6
}

// Helpers

// helperScope is what a Helper section is read into. What is said of a queue or a policy is kept until a Type ends, which
// gets it all. So it also works outside of the Type, and a Type inside of another takes from it.
type helperScope struct {
	c        *Config
	depth    int // of Types
	next     Helper
	policies []policy
	instance []token // names of c.Helpers
}

type policy struct {
	name   token
	max    uint32
	expire time.Duration
	given  bool // anything
}

var helperBlock = block[helperScope]{name: "Helper", scope: "Helper", each: (*parser).outside,
	rows: append([]row[helperScope]{{word: "Setup", field: func(h *helperScope) any { return &h.c.HelperSetup }}}, helperRows()...)}

// helperRows is a function because the block of a Type is made of the same rows as the one around it.
func helperRows() []row[helperScope] {
	return []row[helperScope]{
		{word: "Type", read: readType, in: []within{&typeWords}, show: func(w *printer, h *helperScope) {
			for i := range h.c.Helpers {
				showHelper(w, &h.c.Helpers[i])
			}
		}},
		{word: "QueueNum", field: func(h *helperScope) any { return &h.next.QueueNum }},
		{word: "QueueLen", field: func(h *helperScope) any { return &h.next.QueueLen }},
		{word: "Policy", in: []within{&policyBlock}, read: readPolicy},
	}
}

// typeWords tells the vocabulary where else the words are valid.
var typeWords = block[helperScope]{name: "Type", rows: []row[helperScope]{{word: "Type"}, {word: "QueueNum"}, {word: "QueueLen"}, {word: "Policy"}}}

var policyBlock = block[policy]{name: "Policy", each: func(_ *parser, pol *policy, _ token) { pol.given = true }, rows: []row[policy]{
	{word: "ExpectMax", field: func(pol *policy) any { return &pol.max }},
	{word: "ExpectTimeout", field: func(pol *policy) any { return &pol.expire }},
}}

func (p *parser) outside(h *helperScope, key token) {
	if h.depth == 0 && key.text != "Setup" {
		p.advise(key, fmt.Sprintf("%q belongs in the block of a Type; here it counts for the next one", key.text))
	}
}

func readPolicy(p *parser, h *helperScope, key, _ token) {
	p.outside(h, key)
	var pol policy
	t := p.peek()
	if !t.is(name) {
		p.syntax(*t, fmt.Sprintf(`"Policy" needs a name, found %s`, t.describe()))
		if t.kind == opening {
			p.skipBlock()
		}
		return
	}
	pol.name = p.next()
	if !open(p, key, &policyBlock, &pol) {
		return
	}
	switch {
	case !pol.given:
		p.fail(key, "Helper policy configuration empty, fix your configuration file, please",
			"write ExpectMax and ExpectTimeout in the block, or remove the Policy")
	case len(pol.name.text) > maxPolicy:
		p.fail(pol.name, "Helper Policy is longer than 16 characters", "the name of a policy has at most 16 characters")
	default:
		h.policies = append(h.policies, pol)
	}
}

func readType(p *parser, h *helperScope, key, _ token) {
	var args [3]token
	for i, what := range []string{"the name of a helper", "inet or inet6", "tcp or udp"} {
		t := p.peek()
		if !t.is(name) {
			p.syntax(*t, fmt.Sprintf(`"Type" needs %s here, found %s`, what, t.describe()))
			if t.kind == opening {
				p.skipBlock()
			}
			return
		}
		args[i] = p.next()
	}
	h.depth++
	closed := open(p, key, &block[helperScope]{name: "Type", rows: helperRows(), each: (*parser).outside}, h)
	h.depth--
	if closed {
		p.instance(h, args[0], args[1], args[2])
	}
}

// builtin are the helpers there are, with their policies.
var builtin = []struct {
	name     string
	tcp, udp bool
	max      uint32
	expire   time.Duration
}{
	{"amanda", false, true, 3, 180 * time.Second},
	{"dhcpv6", false, true, 1, 300 * time.Second},
	{"ftp", true, false, 1, 300 * time.Second},
	{"mdns", false, true, 8, 30 * time.Second},
	{"rpc", true, true, 1, 300 * time.Second},
	{"sane", true, false, 1, 300 * time.Second},
	{"slp", false, true, 8, 16 * time.Second},
	{"ssdp", true, true, 8, 300 * time.Second},
	{"tftp", false, true, 1, 300 * time.Second},
	{"tns", true, false, 1, 300 * time.Second},
}

// instance makes a helper of what a Type said.
func (p *parser) instance(h *helperScope, helper, family, transport token) {
	made := h.next
	policies := h.policies
	h.next, h.policies = Helper{}, nil
	made.Name, made.Inet6 = helper.text, family.text == "inet6"
	switch transport.text {
	case "tcp":
		made.Proto = 6
	case "udp":
		made.Proto = 17
	}
	if family.text != "inet" && !made.Inet6 {
		p.fail(family, "unknown layer 3 protocol", "the family of a helper is inet or inet6")
		return
	}
	if made.Proto == 0 {
		p.fail(transport, "unknown layer 4 protocol", "the transport of a helper is tcp or udp")
		return
	}
	known := false
	for _, b := range builtin {
		if b.name == made.Name && (b.tcp && made.Proto == 6 || b.udp && made.Proto == 17) {
			known = true
			made.ExpectMax, made.ExpectTimeout = b.max, b.expire
		}
	}
	if !known {
		p.fail(helper, fmt.Sprintf("Unknown `%s' helper", made.Name), unknownHelper(made.Name, transport.text))
		return
	}
	for _, pol := range slices.Backward(policies) {
		if pol.name.text != made.Name {
			p.fail(pol.name, fmt.Sprintf("Unknown policy `%s' in helper configuration", pol.name.text),
				fmt.Sprintf("the helper has one policy, called %q", made.Name))
			return
		}
	}
	if n := len(policies); n > 0 {
		if p.policies == nil {
			p.policies = make(map[string]policy)
		}
		p.policies[made.Name] = policies[n-1]
	}
	h.c.Helpers = append(h.c.Helpers, made)
	h.instance = append(h.instance, helper)
}

func unknownHelper(name, transport string) string {
	var all, names []string
	for _, b := range builtin {
		names = append(names, b.name)
		if b.tcp {
			all = append(all, b.name+" tcp")
		}
		if b.udp {
			all = append(all, b.name+" udp")
		}
	}
	advice := fmt.Sprintf("there is no helper %s for %s, only %s", name, transport, strings.Join(all, ", "))
	if near := nearest(name, names); near != "" && near != name {
		advice += fmt.Sprintf("; did you mean %q?", near)
	}
	return advice
}

func showHelper(w *printer, h *Helper) {
	family, transport := "inet", "tcp"
	if h.Inet6 {
		family = "inet6"
	}
	if h.Proto == 17 {
		transport = "udp"
	}
	w.block("Type "+h.Name+" "+family+" "+transport, func() {
		w.value("QueueNum", &h.QueueNum)
		w.value("QueueLen", &h.QueueLen)
		w.block("Policy "+h.Name, func() {
			w.line("ExpectMax", strconv.FormatUint(uint64(h.ExpectMax), 10))
			w.line("ExpectTimeout", strconv.FormatInt(int64(h.ExpectTimeout/time.Second), 10))
		})
	})
}
