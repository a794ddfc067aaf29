//go:build linux

package interop_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spoor-project/spoor/internal/agent"
	"github.com/spoor-project/spoor/internal/nstest"
)

// hup has the daemon read its configuration again, and waits until it has.
func (n *node) hup() {
	n.t.Helper()
	done := func() int { return strings.Count(n.running.stdout.String(), "] configuration reloaded\n") }
	before := done()
	n.running.cmd.Process.Signal(syscall.SIGHUP)
	nstest.Wait(n.t, "the reload", func() bool { return done() > before })
}

// TestConntrackdReloadNamesWhatItCannotChange: in the words of the configuration.
func TestConntrackdReloadNamesWhatItCannotChange(t *testing.T) {
	t.Parallel()
	left, _ := nstest.Pair(t)
	n := newNode(t, "a", left, ourDaemon(t))
	n.configure(setup{timers: "ACKWindowSize 100 CommitTimeout 50"}, 1, 2)
	n.start()
	said := func() string { return n.running.stderr.String() }
	n.hup()
	if said() != "" {
		t.Errorf("nothing has changed:\n%s", said())
	}
	n.configure(setup{timers: "ACKWindowSize 100 CommitTimeout 60 PurgeTimeout 7", general: "NetlinkOverrunResync 5"}, 1, 2)
	n.hup()
	if said() != "" {
		t.Errorf("all of this can change:\n%s", said())
	}
	n.configure(setup{timers: "ACKWindowSize 101", options: "TCPWindowTracking on", general: "HashLimit 7 Syslog local3 Scheduler { Type fifo }"}, 1, 2)
	n.hup()
	const want = "[warning] reload: these settings have changed, which takes a restart: General { HashLimit }, General { Syslog }, " +
		"Sync { Mode FTFW { ACKWindowSize } }, Sync { CommitTimeout }, Sync { Options { TCPWindowTracking } }, General { Scheduler }\n"
	nstest.Wait(t, "the warning", func() bool { return strings.HasSuffix(said(), "\n") })
	if !strings.HasSuffix(said(), want) {
		t.Errorf("got\n%s\nwant\n%s", said(), want)
	}
	n.write("conf", "General { LogFile }\n")
	n.running.cmd.Process.Signal(syscall.SIGHUP)
	nstest.Wait(t, "the refusal", func() bool { return strings.Contains(said(), "reload: nothing is changed: ") })
	if n.ask(agent.StatRuntime) == "" {
		t.Error("no answer after a reload of nonsense")
	}
}

// TestConntrackdLogsAreRotated moves both log files away while flows end all the time, as logrotate does. Each flow has its line in
// one of the files.
func TestConntrackdLogsAreRotated(t *testing.T) {
	t.Parallel()
	left, _ := nstest.Pair(t)
	n := newNode(t, "a", left, ourDaemon(t))
	stats := filepath.Join(n.dir, "stats")
	n.write("conf", fmt.Sprintf("Stats { LogFile %s }\n%s", stats, n.general("")))
	n.start()
	const rounds, flows = 12, 150
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		for round := range rounds {
			for _, what := range []string{"-I", "-D"} {
				var lines strings.Builder
				for i := range flows {
					fmt.Fprintf(&lines, "%s -p udp -s 192.0.2.%d -d 198.51.100.1 --sport %d --dport 53", what, round+1, 1024+i)
					if what == "-I" {
						lines.WriteString(" -t 5000")
					}
					lines.WriteString("\n")
				}
				if r := n.run(job{argv: []string{"conntrack", "-R", "-"}, stdin: lines.String()}); r.exit != 0 {
					t.Error(r)
				}
			}
		}
	}()
	rotations := 0
	for going := true; going; rotations++ {
		select {
		case <-loaded:
			going = false
		case <-time.After(20 * time.Millisecond):
		}
		for _, name := range []string{stats, n.log} {
			if err := os.Rename(name, fmt.Sprintf("%s.%d", name, rotations)); err != nil {
				t.Fatal(err)
			}
		}
		n.hup()
		for _, name := range []string{stats, n.log} {
			if info, err := os.Stat(name); err != nil || info.Mode() != 0o600 {
				t.Errorf("after the reload: %v, %v", info, err)
			}
		}
	}
	settles(t, "ended flows", fmt.Sprint(rounds*flows), func() string {
		_, rest, _ := strings.Cut(n.ask(agent.StatGeneral), "connections destroyed:")
		return strings.Fields(rest)[0]
	})
	n.stop()
	read := func(name string) (text string) {
		files, _ := filepath.Glob(name + "*")
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text += string(b)
		}
		return text
	}
	lines := map[string]bool{}
	for line := range strings.Lines(read(stats)) {
		_, flow, _ := strings.Cut(line, "\t")
		lines[flow] = true
	}
	if len(lines) != rounds*flows || rotations < 5 {
		t.Errorf("%d flows in %d files, want %d", len(lines), rotations+1, rounds*flows)
	}
	if got := strings.Count(read(n.log), "configuration reloaded\n"); got != rotations {
		t.Errorf("%d reloads in the log, want %d", got, rotations)
	}
}
