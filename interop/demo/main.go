//go:build linux

// Demo shows a failover: two firewalls replicate their connections with conntrackd,
// one of them dies, the other one takes over, and no connection notices.
//
//	make demo                          # as root, ten seconds
//	make demo ARGS='-theirs 1'         # firewall 1 runs the distribution's conntrackd
//	make demo ARGS='-commit=false'     # what happens without
//
// All of it lives in network namespaces that end with the program, however that ends.
// The exit status is 1 if a connection died.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop) // a second one ends the program at once
	code, err := demo(ctx, os.Args[1:], os.Stdout)
	if err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted; nothing is left behind")
		}
		fmt.Fprintln(os.Stderr, "demo:", err)
	}
	os.Exit(code)
}

// settings are what the user chose.
type settings struct {
	ours        string // our conntrackd
	theirs      int    // the firewall that runs the distribution's; 0: none
	connections int
	commit      bool

	before time.Duration // from the first lines to the death
	notice time.Duration // from the death to when firewall 2 notices
	after  time.Duration // from the takeover to the end
}

const (
	maxConnections = 500
	maxPhase       = time.Minute
)

func parseSettings(args []string) (*settings, error) {
	s := &settings{}
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.StringVar(&s.ours, "conntrackd", "bin/conntrackd", "our `program`, as make build leaves it")
	flags.IntVar(&s.theirs, "theirs", 0, "`firewall`, 1 or 2, that runs the distribution's conntrackd")
	flags.IntVar(&s.connections, "connections", 50, "`number` of TCP connections")
	flags.BoolVar(&s.commit, "commit", true, "firewall 2 takes over the connections; =false shows what happens otherwise")
	flags.DurationVar(&s.before, "before", 3*time.Second, "`time` for which firewall 1 works")
	flags.DurationVar(&s.notice, "notice", 300*time.Millisecond, "`time` that passes until firewall 2 notices")
	flags.DurationVar(&s.after, "after", 3500*time.Millisecond, "`time` for which firewall 2 works")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	fits := func(d time.Duration) bool { return 0 <= d && d <= maxPhase }
	switch {
	case flags.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case s.theirs < 0 || s.theirs > 2:
		return nil, errors.New("-theirs is 1 or 2")
	case s.connections < 1 || s.connections > maxConnections:
		return nil, fmt.Errorf("-connections is between 1 and %d", maxConnections)
	case !fits(s.before) || !fits(s.notice) || !fits(s.after):
		return nil, fmt.Errorf("-before, -notice and -after are between 0 and %v", maxPhase)
	}
	return s, nil
}

// demo plays it, and cleans up.
func demo(ctx context.Context, args []string, out io.Writer) (code int, err error) {
	s, err := parseSettings(args)
	if errors.Is(err, flag.ErrHelp) {
		return 0, nil
	}
	if err != nil {
		return 2, err
	}
	if os.Geteuid() != 0 {
		return 1, errors.New("making network namespaces needs root (try sudo)")
	}
	programs, err := findPrograms(ctx, s)
	if err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "spoor-demo-")
	if err != nil {
		return 1, err
	}
	p := &play{settings: s, out: out}
	err = p.stage(ctx, dir, programs)
	if err == nil {
		err = p.perform(ctx)
	}
	p.close()
	if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
		return 1, err
	}
	if !p.summary() {
		return 1, nil
	}
	return 0, nil
}

// play is the whole of it.
type play struct {
	*settings
	out   io.Writer
	begun time.Time

	client, server *netns
	firewalls      [2]*firewall
	talk           *talk
	died           time.Time // firewall 1
}

const picture = `
                    ┌── firewall 1 ──┐
      client ───────┤       ║        ├─────── server
     10.0.1.7       └── firewall 2 ──┘     203.0.113.5
                10.0.1.1        203.0.113.1
                   the shared addresses

`

// stage builds the network and starts the daemons.
func (p *play) stage(ctx context.Context, dir string, programs [2]program) (err error) {
	fmt.Fprintf(p.out, "%d TCP connections and the death of their firewall\n%s", p.connections, picture)
	p.begun = time.Now()
	if p.client, err = newNetns(); err != nil {
		return err
	}
	if p.server, err = newNetns(); err != nil {
		return err
	}
	for i := range p.firewalls {
		if p.firewalls[i], err = newFirewall(i+1, dir, programs[i]); err != nil {
			return err
		}
	}
	if err := p.connect(ctx); err != nil {
		return err
	}
	p.tell("namespaces, cables and nftables rules are there")
	for _, f := range p.firewalls {
		if err := f.start(ctx); err != nil {
			return err
		}
	}
	p.tell("conntrackd runs on both: %s and %s", programs[0].version, programs[1].version)
	if p.talk, err = begin(p.client, p.server, p.connections); err != nil {
		return err
	}
	p.tell("%d connections are open through firewall 1, translated", p.connections)
	p.note("to 203.0.113.1; each says a line every %v and gets it back", lineEvery)
	return nil
}

// perform has firewall 1 die.
func (p *play) perform(ctx context.Context) error {
	first, second := p.firewalls[0], p.firewalls[1]
	if err := pause(ctx, p.before); err != nil {
		return err
	}
	told, err := second.externalFlows(ctx, p.connections)
	if err != nil {
		return err
	}
	p.tell("firewall 2 has been told of %d of them", told)
	if err := first.die(ctx); err != nil {
		return err
	}
	p.died = time.Now()
	p.tell("FIREWALL 1 DIES: its conntrackd is killed, its cables are pulled")
	if err := pause(ctx, p.notice); err != nil {
		return err
	}
	p.tell("firewall 2 notices, and takes over:")
	if err := p.takeOver(ctx, second); err != nil {
		return err
	}
	if err := p.watch(ctx); err != nil {
		return err
	}
	p.talk.end(ctx)
	p.tell("the client has said all, and ends the connections")
	return ctx.Err()
}

// takeOver is what primary-backup.sh does when it is told primary, and what keepalived does besides.
func (p *play) takeOver(ctx context.Context, f *firewall) error {
	for _, step := range []struct{ request, what string }{
		{"-c", "firewall 1's connections into the kernel"},
		{"-f", "forget what was told"},
		{"-R", "the kernel's connections are its own now"},
		{"-B", "tell other firewalls of them, if any"},
	} {
		if step.request == "-c" && !p.commit {
			p.note("conntrackd -c   left out")
			continue
		}
		begun := time.Now()
		if _, err := f.ask(ctx, step.request); err != nil {
			return err
		}
		p.note("conntrackd %s %4d ms  %s", step.request, time.Since(begun).Milliseconds(), step.what)
	}
	for _, line := range f.committed() {
		p.note("its log: %s", line)
	}
	if err := f.takeAddresses(ctx); err != nil {
		return err
	}
	p.tell("firewall 2 has the shared addresses, and has said so by ARP")
	return nil
}

// close ends what was started.
func (p *play) close() {
	if p.talk != nil {
		p.talk.close()
	}
	for _, f := range p.firewalls {
		if f != nil {
			f.close()
		}
	}
	for _, n := range []*netns{p.client, p.server} {
		if n != nil {
			n.close()
		}
	}
}
