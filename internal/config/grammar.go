package config

import (
	"fmt"
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
	metricsRow,
}}

var unixBlock = block[General]{name: "UNIX", scope: "General.UNIX", rows: []row[General]{
	{word: "Path", takes: path, field: func(g *General) any { return &g.UNIXPath }, read: func(p *parser, g *General, _, v token) {
		p.path(v, &g.UNIXPath, maxUNIX, "Path is longer than 107 characters")
	}},
	{word: "Backlog", takes: number, read: func(p *parser, _ *General, key, _ token) {
		p.warn(key, "deprecated unix backlog configuration, ignoring.", "Backlog has no effect: remove it")
	}},
}}

// scheduler makes the section when its first line comes. A Type without Priority means priority 0.
func (g *General) scheduler() *Scheduler {
	if g.Scheduler == nil {
		g.Scheduler = new(Scheduler)
	}
	return g.Scheduler
}

var schedulerBlock = block[General]{name: "Scheduler", scope: "General.Scheduler", rows: []row[General]{
	{word: "Type", takes: name, read: func(p *parser, g *General, _, v token) {
		switch strings.ToLower(v.text) {
		case "rr":
			g.scheduler().FIFO = false
		case "fifo":
			g.scheduler().FIFO = true
		default:
			p.fail(v, fmt.Sprintf("unknown scheduler `%s'", v.text), "the scheduler is rr or fifo")
		}
	}, show: func(w *printer, g *General) {
		switch {
		case g.Scheduler == nil:
		case g.Scheduler.FIFO:
			w.line("Type", "fifo")
		default:
			w.line("Type", "rr")
		}
	}},
	{word: "Priority", takes: number, read: func(p *parser, g *General, _, v token) {
		if n := v.number(); n < 0 || n > maxPriority {
			p.fail(v, "`Priority' must be [0, 99]\n", "the priority is a number from 1 to 99")
		} else {
			g.scheduler().Priority = int(n)
		}
	}, show: func(w *printer, g *General) {
		if g.Scheduler != nil {
			w.line("Priority", strconv.Itoa(g.Scheduler.Priority))
		}
	}},
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
