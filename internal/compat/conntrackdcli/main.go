package conntrackdcli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spoor-project/spoor/internal/agent"
	"github.com/spoor-project/spoor/internal/config"
	"github.com/spoor-project/spoor/internal/libc"
	"github.com/spoor-project/spoor/internal/release"
	"github.com/spoor-project/spoor/internal/statesync"
)

// Main carries out a command line and returns the exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	p := &program{args: args, stdout: stdout, stderr: stderr, log: &agent.Log{Out: stdout, Err: stderr}}
	if err := p.run(); err != nil {
		return 1
	}
	return 0
}

// program is one run.
type program struct {
	args           []string
	stdout, stderr io.Writer
	log            *agent.Log
	cfg            *config.Config
	config         string // its absolute path
}

var errFailed = errors.New("failed") // and said why

func (p *program) fail(format string, args ...any) error {
	p.log.Printf(statesync.Error, format, args...)
	return errFailed
}

func (p *program) run() error {
	c, err := parse(p.args)
	for _, w := range c.warnings {
		p.log.Printf(statesync.Warning, "%s", w)
	}
	var usageErr usageError
	switch {
	case errors.As(err, &usageErr):
		io.WriteString(p.stdout, usage(p.args[0]))
		return p.fail("%s", err)
	case err != nil:
		return p.fail("%s", err)
	case c.version:
		fmt.Fprintf(p.stdout, "Connection tracking userspace daemon v1.4.9. Licensed under GPLv2.\n"+
			"This is spoor %s, a compatible program with a licence of its own.\n", release.Version)
		return nil
	case c.help:
		io.WriteString(p.stdout, usage(p.args[0]))
		return nil
	case c.dissect != nil:
		return p.dissect(c.dissect)
	}
	syscall.Umask(0o177)
	text, err := os.ReadFile(c.config)
	if err != nil {
		return p.fail("can't open config file `%s'", c.config)
	}
	file := parseConfig(c.config, text)
	if c.check {
		return p.check(file)
	}
	for _, problem := range file.Original() {
		level := statesync.Warning
		if problem.Severity == config.Error {
			level = statesync.Error
		}
		p.log.Printf(level, "%s", problem.Text)
	}
	if file.Err() != nil {
		return errFailed
	}
	p.cfg = &file.Config
	p.config, _ = filepath.Abs(c.config) // the daemon will be elsewhere
	if c.listPeer != nil {
		same, err := agent.VerifyPeer(context.Background(), p.cfg, c.listPeer, p.stdout)
		if err != nil {
			return p.fail("%v", err)
		}
		if !same {
			return errFailed
		}
		return nil
	}
	if c.asks {
		out := &lastLine{Writer: p.stdout}
		if err := agent.Ask(p.cfg.General.UNIXPath, c.request, out); err != nil {
			return p.fail("can't connect: is conntrackd running? appropriate permissions?")
		}
		if c.request == agent.Verify && out.text() != "in step" {
			return errFailed
		}
		return nil
	}
	if c.daemon && !inBackground() {
		return p.background()
	}
	return p.daemon(c.daemon)
}

func parseConfig(name string, text []byte) *config.File {
	etcProtocols, _ := os.ReadFile("/etc/protocols")
	return config.Parse(name, text, config.Lookup{
		Protocol:  config.Protocols(etcProtocols),
		Interface: func(name string) bool { _, err := net.InterfaceByName(name); return err == nil },
	})
}

// reload reads the configuration again, as SIGHUP asks for, and begins new log files: those that there were may have
// been moved away. A configuration with an error changes nothing.
func (p *program) reload(ctx context.Context, d *agent.Daemon) {
	text, err := os.ReadFile(p.config)
	if err != nil {
		p.log.Printf(statesync.Error, "reload: %v; nothing is changed", err)
		return
	}
	file := parseConfig(p.config, text)
	if err := file.Err(); err != nil {
		p.log.Printf(statesync.Error, "reload: nothing is changed: %v", err)
		return
	}
	restart := d.Reload(ctx, &file.Config)
	if err := p.log.Reopen(file.Config.General.LogFile); err != nil {
		p.log.Printf(statesync.Error, "reload: can't open logfile `%s', lines go on to where they went: %v", file.Config.General.LogFile, err)
	}
	p.log.Printf(statesync.Notice, "configuration reloaded")
	if len(restart) > 0 {
		p.log.Printf(statesync.Warning, "reload: these settings have changed, which takes a restart: %s", strings.Join(restart, ", "))
	}
}

// lastLine passes an answer on and remembers its end.
type lastLine struct {
	io.Writer
	tail []byte
}

func (l *lastLine) Write(b []byte) (int, error) {
	l.tail = append(l.tail, b[max(0, len(b)-200):]...)
	l.tail = l.tail[max(0, len(l.tail)-200):]
	return l.Writer.Write(b)
}

func (l *lastLine) text() string {
	lines := strings.Split(strings.TrimSuffix(string(l.tail), "\n"), "\n")
	return lines[len(lines)-1]
}

// check prints all that is wrong with a configuration, and what it comes down to.
func (p *program) check(file *config.File) error {
	for _, problem := range file.Sorted() {
		fmt.Fprintln(p.stderr, problem)
	}
	if file.Err() != nil {
		return errFailed
	}
	p.stdout.Write(file.Config.AppendEffective(nil))
	return nil
}

// daemon runs until it is told to stop.
func (p *program) daemon(background bool) error {
	g := &p.cfg.General
	if err := p.openLogs(g); err != nil {
		return err
	}
	if background {
		p.log.Out, p.log.Err = nil, nil // once the logs are open, they are the only place
	}
	lock, err := os.OpenFile(g.LockFile, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return p.fail("lockfile `%s' exists, perhaps conntrackd already running?", g.LockFile)
	}
	lock.Close()
	defer os.Remove(g.LockFile)
	if g.Scheduler != nil {
		if err := schedule(g.Scheduler); err != nil {
			p.log.Printf(statesync.Warning, "scheduler configuration failed: %s. Likely a bug in conntrackd, please report it. "+
				"Continuing with system default scheduler.", libc.ErrorText(err))
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	signal.Ignore(syscall.SIGPIPE)
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP) // one that comes too early waits
	d, err := agent.Open(p.cfg, p.log, uint32(time.Now().Unix()))
	if err != nil {
		var helper *agent.HelperError
		if errors.Is(err, agent.ErrControl) { // which the original says in fewer words
			p.log.Printf(statesync.Error, "%v", agent.ErrControl)
		} else if errors.As(err, &helper) {
			p.log.Printf(statesync.Error, "%s", initialisationText(helper))
			if helper.Advice != "" {
				p.log.Printf(statesync.Warning, "%s", helper.Advice)
			}
		} else {
			p.log.Printf(statesync.Error, "%s", initialisationText(err))
			p.log.Printf(statesync.Error, "initialization failed")
		}
		return p.fail("conntrackd cannot start, please review your configuration")
	}
	p.log.Printf(statesync.Notice, "initialization completed")
	os.Chdir("/")
	if background {
		p.log.Printf(statesync.Notice, "-- starting in daemon mode --")
		leaveConsole()
	} else {
		p.log.Printf(statesync.Notice, "-- starting in console mode --")
	}
	tell := newNotifier(g.Systemd)
	tell.Say("READY=1")
	stopDog := tell.Watchdog(d.Alive)
	defer stopDog()
	go func() {
		for {
			select {
			case <-hup:
				p.reload(ctx, d)
			case <-ctx.Done():
				return
			}
		}
	}()
	err = d.Run(ctx)
	stop()
	tell.Say("STOPPING=1")
	if err != nil {
		return p.fail("%v", err)
	}
	p.log.Printf(statesync.Notice, "---- shutdown received ----")
	return nil
}

// initialisationText is the original's for its cause, with the system's words.
func initialisationText(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		head, _, _ := cut(err.Error())
		return head + ": " + libc.Strerror(errno)
	}
	return err.Error()
}

// cut splits what we say from what the system says.
func cut(s string) (head, rest string, ok bool) {
	for i := 0; i+1 < len(s); i++ {
		if s[i] == ':' && s[i+1] == ' ' {
			return s[:i], s[i+2:], true
		}
	}
	return s, "", false
}

// openLogs opens what the daemon writes to.
func (p *program) openLogs(g *config.General) error {
	cannot := func(path string, err error) error {
		fmt.Fprintf(p.stderr, "ERROR: can't open logfile `%s'.Reason: %s\n", path, libc.ErrorText(err))
		return errFailed
	}
	if g.LogFile != "" {
		if err := p.log.Reopen(g.LogFile); err != nil {
			return cannot(g.LogFile, err)
		}
	}
	if s := p.cfg.Stats; s != nil && s.LogFile != "" { // the daemon opens it, but says this here
		f, err := os.OpenFile(s.LogFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return cannot(s.LogFile, err)
		}
		f.Close()
	}
	if g.Syslog != "" {
		w, err := agent.OpenSyslog(g.Syslog)
		if err != nil {
			p.log.Printf(statesync.Warning, "can't reach syslog: %v", err)
		}
		p.log.Syslog = w
	}
	return nil
}
