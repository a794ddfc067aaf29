package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/internal/guard"
	"github.com/spoor-project/spoor/internal/guard/duty"
	"github.com/spoor-project/spoor/internal/metrics"
	"github.com/spoor-project/spoor/internal/release"
	"github.com/spoor-project/spoor/internal/sdnotify"
	"github.com/spoor-project/spoor/internal/table"
)

// usualAudit is where it is written down what was done, unless --audit says otherwise.
const usualAudit = "/var/log/spoor/guard.jsonl"

const (
	leastReading = time.Second
	// stuck is how long the loop may not come round until something is amiss.
	stuck = 15 * time.Second
)

// guardSettings are the options of the watch.
type guardSettings struct {
	netns   string
	node    string
	reading time.Duration
	lasting time.Duration // 0: until it is told to end
	pair    [2]netip.AddrPort
	key     string // file; "": there is no other node
}

// guardSettings reads the options.
func (c *call) guardSettings() (s guardSettings, err error) {
	span := func(name string, least, usual time.Duration) (time.Duration, error) {
		text := c.value(name, "")
		if !c.has(name) {
			return usual, nil
		}
		d, err := time.ParseDuration(text)
		if err != nil || d < least {
			return 0, usagef("--%s %s: expected a time from %v on, such as 30s or 5m", name, text, least)
		}
		return d, nil
	}
	if s.netns, err = c.namespace(); err != nil {
		return s, err
	}
	if s.reading, err = span("reading", leastReading, 0); err != nil {
		return s, err
	}
	if s.lasting, err = span("for", time.Millisecond, 0); err != nil {
		return s, err
	}
	host, _ := os.Hostname()
	if s.node = c.value("node", host); s.node == "" || len(s.node) > mostNodeName || strings.ContainsFunc(s.node, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return s, usagef("--node %q: expected a name without blanks, of %d bytes at most", s.node, mostNodeName)
	}
	if c.has("pair") != c.has("pair-key") {
		return s, usagef("--pair and --pair-key go together: nobody else shall decide who is blocked")
	}
	if c.has("pair") {
		text := c.value("pair", "")
		local, remote, _ := strings.Cut(text, ",")
		for i, part := range [...]string{local, remote} {
			if s.pair[i], err = netip.ParseAddrPort(part); err != nil || s.pair[i].Port() == 0 {
				return s, usagef("--pair %s: expected two addresses with ports: 192.0.2.1:3782,192.0.2.2:3782", text)
			}
		}
		s.key = c.value("pair-key", "")
	}
	return s, nil
}

const mostNodeName = 64

// guardWatch watches until it is told to end.
func guardWatch(c *call) error {
	s, err := c.guardSettings()
	if err != nil {
		return err
	}
	for _, url := range c.given["webhook"] {
		if err := guard.CheckURL(url); err != nil {
			return usagef("--webhook %v", err)
		}
	}
	var listener net.Listener
	if c.has("listen") {
		if listener, err = c.listen(""); err != nil {
			return err
		}
		defer listener.Close()
	}
	rules, err := c.goodRules()
	if err != nil {
		return err
	}
	client, err := conntrack.Dial(&conntrack.Options{NetNS: s.netns})
	if err != nil {
		return err
	}
	defer client.Close()
	log := slog.New(slog.NewTextHandler(c.env.Stderr, nil))
	kernel := &duty.Conntrack{Client: client, NetNS: s.netns, Way: table.Way(c.env.Getenv("SPOOR_SNAPSHOT"))}
	defer kernel.Close()
	w := &duty.Watch{
		Kernel: kernel, Engine: c.newEngine(rules), Reading: s.reading, Log: log,
		Brakes: guard.NewBrakes(rules, guard.BrakeOptions{Enforce: c.has("enforce"), Node: s.node, Pair: s.key != ""}),
	}
	w.Tell = duty.NewTeller(log, c.sinks()...)
	defer func() {
		within, cancel := context.WithTimeout(context.Background(), endPatience)
		defer cancel()
		w.Tell.Close(within)
	}()
	release, err := c.arm(w, &s, client, rules)
	if err != nil {
		return err
	}
	defer release()
	for _, text := range duty.Warnings(s.netns, rules.Of[guard.Upload] != nil) {
		log.Warn(text)
	}
	ctx, stop := context.WithCancel(c.ctx)
	if s.lasting > 0 {
		ctx, stop = context.WithTimeout(c.ctx, s.lasting)
	}
	return c.attend(ctx, stop, w, listener)
}

// sinks are those that the options ask for.
func (c *call) sinks() []duty.Sink {
	out := bufio.NewWriter(c.env.Stdout)
	sinks := []duty.Sink{&duty.Text{To: out}}
	if c.has("json") {
		sinks[0] = &duty.JSON{To: out}
	}
	if c.has("syslog") {
		sinks = append(sinks, &duty.Syslog{})
	}
	if c.has("journal") {
		sinks = append(sinks, &duty.Journal{})
	}
	for _, url := range c.given["webhook"] {
		sinks = append(sinks, &duty.Webhook{URL: url, Post: duty.NewPoster().Post})
	}
	return sinks
}

// attend runs the watch, with what surrounds it: signals, systemd, a server.
func (c *call) attend(ctx context.Context, stop context.CancelFunc, w *duty.Watch, listener net.Listener) error {
	log := w.Log
	var others sync.WaitGroup
	defer others.Wait()
	defer stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	tell := sdnotify.New()
	w.Ready = func() {
		log.Info("watching", "version", release.Version, "enforce", c.has("enforce"))
		tell.Say("READY=1")
		if listener == nil {
			return
		}
		handler := pages(metrics.GuardHandler(func() metrics.GuardState { return shown(w) }, log), func(context.Context) metrics.Health { return healthOf(w.State(), time.Now()) })
		others.Go(func() {
			if err := serveHTTP(ctx, listener, handler, log, func() {}); err != nil {
				log.Error("nobody is served any more", "error", err)
			}
		})
	}
	others.Go(func() {
		for {
			select {
			case <-hup:
				tell.Say(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", monotonic().Microseconds()))
				c.reload(ctx, w)
				tell.Say("READY=1")
			case <-ctx.Done():
				return
			}
		}
	})
	watchdog := tell.Watchdog(func(within context.Context) bool { return w.Do(within, func() {}) })
	defer watchdog()
	err := w.Run(ctx)
	tell.Say("STOPPING=1")
	return err
}

// monotonic is the clock by which systemd tells when a reload began.
func monotonic() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// reload reads the rules again. Bad ones change nothing.
func (c *call) reload(ctx context.Context, w *duty.Watch) {
	w.Audit.Reopen()
	rules, from, err := c.readRules()
	if err != nil {
		for _, line := range placed(from, err) {
			w.Log.Error("the rules stay as they were", "error", line)
		}
		return
	}
	if w.SetRules(ctx, rules) {
		w.Log.Info("rules read again", "from", from)
	}
}

// shown are the figures of a watch as they are exported.
func shown(w *duty.Watch) metrics.GuardState {
	s := w.State()
	actions := make(map[metrics.GuardAction]uint64, len(s.Actions))
	for a, n := range s.Actions {
		actions[metrics.GuardAction{Response: a.Response, Result: a.Result}] = n
	}
	return metrics.GuardState{Figures: s.Figures, Ongoing: s.Ongoing, Actions: actions, Lag: s.Lag, Untold: w.Tell.Untold()}
}

// healthOf is whether a watch sees all it should.
func healthOf(s duty.State, now time.Time) metrics.Health {
	h := metrics.Health{Reasons: append([]string{}, s.Amiss...), NetNS: []metrics.NetNSFine{}}
	if s.Time.IsZero() {
		h.Reasons = append(h.Reasons, "it has only just begun")
	} else if silent := now.Sub(s.Time); silent > stuck {
		h.Reasons = append(h.Reasons, fmt.Sprintf("nothing has been judged for %v", silent.Round(time.Second)))
	}
	h.OK = len(h.Reasons) == 0
	return h
}

// arm gives a watch what it needs to act, and to know whom to leave alone. release gives it back.
func (c *call) arm(w *duty.Watch, s *guardSettings, client *conntrack.Client, rules *guard.Rules) (release func(), err error) {
	var held []func()
	all := func() {
		for i := len(held) - 1; i >= 0; i-- {
			held[i]()
		}
	}
	defer func() {
		if err != nil {
			all()
		}
	}()
	blocklist, err := duty.OpenBlocklist(s.netns, s.node)
	if err != nil {
		return nil, err
	}
	held = append(held, func() { blocklist.Close() })
	if c.has("enforce") {
		// To be told now is better than with the first attack.
		if _, err := blocklist.Blocked(); err != nil && (blocks(rules) || !errors.Is(err, duty.ErrNotSetUp)) {
			return nil, err
		}
		w.Blocked = blocklist.Blocked
		runner, poster := duty.NewRunner(), duty.NewPoster()
		w.Responders = duty.Responders{
			Block: blocklist.Block, Run: runner.Run, Post: poster.Post,
			Delete: func(ctx context.Context, offender netip.Addr) (int, error) {
				return duty.DeleteFlows(ctx, client, offender)
			},
		}
	}
	w.Facts = duty.NewObserver(s.netns).Facts
	if s.key != "" {
		key, err := duty.ReadKey(s.key)
		if err != nil {
			return nil, err
		}
		pact, err := duty.OpenPact(duty.PactOptions{Local: s.pair[0], Remote: s.pair[1], Key: key, Node: s.node, NetNS: s.netns})
		if err != nil {
			return nil, err
		}
		w.Announce, w.Heard = pact.Send, c.hear(pact, w, &held)
	}
	if file := c.audit(); file != "" {
		w.Audit = duty.OpenAudit(file, s.node, func(text string) { w.Log.Warn(text) })
		held = append(held, func() { w.Audit.Close() })
	}
	return all, nil
}

// mostHeard is how many decisions of the other node may wait; it says each twice, and what is lost then shows in the nft set.
const mostHeard = 256

// hear listens to the other node until what is held is given back.
func (c *call) hear(pact *duty.Pact, w *duty.Watch, held *[]func()) <-chan guard.Decision {
	heard := make(chan guard.Decision, mostHeard)
	ctx, stop := context.WithCancel(c.ctx)
	var done sync.WaitGroup
	done.Go(func() {
		err := pact.Run(ctx, func(d guard.Decision) {
			select {
			case heard <- d:
			default:
			}
		})
		if err != nil && ctx.Err() == nil {
			w.Log.Error("the other node is not heard any more", "error", err)
		}
	})
	*held = append(*held, func() {
		stop()
		pact.Close()
		done.Wait()
	})
	return heard
}

// blocks reports whether rules ever block anybody.
func blocks(rules *guard.Rules) bool {
	for _, r := range rules.Of {
		if r == nil {
			continue
		}
		for _, t := range r.Then {
			if t.Do == guard.Block {
				return true
			}
		}
	}
	return false
}

// audit is the file of the audit log; "" is none.
func (c *call) audit() string {
	if c.has("audit") || !c.has("enforce") {
		return c.value("audit", "")
	}
	os.MkdirAll(filepath.Dir(usualAudit), 0o750) // if that fails, so does the log, and says so
	return usualAudit
}

func guardSetup(c *call) error {
	_, err := c.out.WriteString(duty.Setup())
	return err
}

// guardBlocked lists who is blocked.
func guardBlocked(c *call) error {
	netns, err := c.namespace()
	if err != nil {
		return err
	}
	list, err := duty.OpenBlocklist(netns, "")
	if err != nil {
		return err
	}
	defer list.Close()
	all, err := list.Blocked()
	if err != nil {
		return err
	}
	if c.has("json") {
		objects := []any{}
		for _, d := range all {
			o := struct {
				Address netip.Addr `json:"address"`
				Kind    string     `json:"kind,omitempty"`
				Node    string     `json:"node,omitempty"`
				Since   string     `json:"since,omitempty"`
				Until   string     `json:"until"`
			}{d.Offender, "", d.Node, guard.JSONTime(d.Time), guard.JSONTime(d.Until)}
			if d.Kind != guard.NoKind {
				o.Kind = d.Kind.String()
			}
			objects = append(objects, o)
		}
		return c.json(objects)
	}
	rows := [][]string{{"ADDRESS", "WHY", "NODE", "SINCE", "UNTIL"}}
	for _, d := range all {
		cells := []string{d.Offender.String(), "by hand", d.Node, "-", d.Until.Local().Format(time.DateTime)}
		if d.Kind != guard.NoKind {
			cells[1] = d.Kind.String()
		}
		if d.Node == "" {
			cells[2] = "-"
		}
		if !d.Time.IsZero() {
			cells[3] = d.Time.Local().Format(time.DateTime)
		}
		rows = append(rows, cells)
	}
	if len(all) == 0 {
		c.tell("nobody is blocked")
		return nil
	}
	c.out.WriteString(tabulate(rows, len(rows[0])))
	return nil
}

// guardUndo lets addresses in again.
func guardUndo(c *call) error {
	if len(c.words) == 0 {
		return usagef("guard undo: whom? An address, or all")
	}
	offender, err := netip.ParseAddr(c.words[0])
	if err != nil && c.words[0] != "all" {
		return usagef("guard undo %s: expected an address, or all", c.words[0])
	}
	netns, err := c.namespace()
	if err != nil {
		return err
	}
	node, _ := os.Hostname()
	node = c.value("node", node)
	list, err := duty.OpenBlocklist(netns, node)
	if err != nil {
		return err
	}
	defer list.Close()
	var audit *duty.Audit
	file := c.value("audit", usualAudit)
	if _, err := os.Stat(file); c.has("audit") || err == nil {
		audit = duty.OpenAudit(file, node, func(text string) { c.tell("%s", text) })
		defer audit.Close()
	}
	if c.words[0] == "all" {
		all, err := duty.UndoAll(list, audit)
		if err != nil {
			return err
		}
		for _, a := range all {
			fmt.Fprintf(c.out, "%s is not blocked any more\n", a)
		}
		if len(all) == 0 {
			c.tell("nobody was blocked")
		}
		return nil
	}
	if err := duty.Undo(list, audit, offender); err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%s is not blocked any more\n", offender)
	return nil
}
