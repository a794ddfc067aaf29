//go:build linux

package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nstest"
)

// talk has a client send a packet of 100 bytes every ten milliseconds until the test ends.
func (s *shell) talk(from string) (server netip.AddrPort) {
	s.t.Helper()
	s.ns.LoopbackUp()
	s.ns.Sysctl("net/netfilter/nf_conntrack_acct", "1")
	s.ns.MustRun(s.t, "nft", "table inet t { chain c { type filter hook input priority 0; ct state new accept; }; }")
	server = nstest.ServeEcho(s.t, s.ns, "udp", "127.0.0.1:0")
	conn := nstest.Dial(s.t, s.ns, "udp", netip.MustParseAddrPort(from), server)
	stop, done := make(chan bool), make(chan bool)
	go func(conn net.Conn) {
		defer close(done)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for range 6000 {
			select {
			case <-stop:
				return
			case <-tick.C:
				conn.SetDeadline(time.Now().Add(time.Second))
				conn.Write(make([]byte, 72)) // 100 with headers
			}
		}
	}(conn)
	s.t.Cleanup(func() { close(stop); <-done })
	nstest.Wait(s.t, "traffic", func() bool { return s.count("packets > 4") == "1" })
	return server
}

func TestTopOnce(t *testing.T) {
	s := newShell(t)
	out, _ := s.must("top", "--once", "--interval", "100ms")
	if !strings.Contains(out, "0 entries (of ") || !strings.Contains(out, "the table is empty") {
		t.Errorf("an empty table:\n%s", out)
	}
	s.ns.Sysctl("net/netfilter/nf_conntrack_acct", "0")
	s.populate()
	for _, way := range []string{"off", "on"} {
		s.env["SPOOR_SNAPSHOT"] = way
		out, note := s.must("top", "--once", "--interval", "100ms", "tcp and dport 80")
		if !strings.Contains(note, "accounting is off") || !strings.Contains(squeezed(out), "tcp ESTABLISHED 10.0.0.3:1003 192.0.2.2:80 to 10.9.9.9:80 - - - - - 9m5") {
			t.Errorf("SPOOR_SNAPSHOT=%s, without accounting:\n%s%s", way, out, note)
		}
		out, _ = s.must("top", "--once", "--interval", "0.1", "--by", "service", "-n", "2")
		if !strings.Contains(squeezed(out), "SERVICE FLOWS SHARE NEW BYTES/S PKTS/S BYTES PACKETS\n") || !strings.Contains(squeezed(out), "tcp/443 2 40.0% 0 - - - -\n") {
			t.Errorf("SPOOR_SNAPSHOT=%s, by service:\n%s", way, out)
		}
	}
	if out, _ = s.must("top", "--once", "--interval", "100ms", "sctp"); !strings.Contains(out, "no flow is selected") {
		t.Errorf("nothing selected:\n%s", out)
	}
}

func TestTopTellsRates(t *testing.T) {
	s := newShell(t)
	s.talk("127.0.0.1:5005")
	out, _ := s.must("top", "--once", "--json", "--interval", "500ms", "udp")
	var o struct {
		Entries, Flows uint64
		Accounting     bool
		Seconds        float64
		Top            []struct {
			Flow struct {
				Proto string
				Orig  struct{ Sport int }
			}
			Bytes, Packets uint64
			BytesPerSecond float64 `json:"bytes_per_second"`
			PPS            float64 `json:"packets_per_second"`
		}
	}
	if err := json.Unmarshal([]byte(out), &o); err != nil || strings.Count(out, "\n") != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	if o.Entries != 1 || o.Flows != 1 || !o.Accounting || o.Seconds < 0.5 || len(o.Top) != 1 || o.Top[0].Flow.Orig.Sport != 5005 {
		t.Fatalf("%s", out)
	}
	// A hundred packets a second each way, fewer on a busy machine.
	if r := o.Top[0]; r.PPS < 20 || r.PPS > 260 || math.Abs(r.BytesPerSecond-100*r.PPS) > 0.001 {
		t.Errorf("%g packets, %g bytes a second", r.PPS, r.BytesPerSecond)
	}
	out, _ = s.must("top", "--once", "--json", "--by", "src", "--interval", "100ms")
	var g struct {
		By     string
		Groups []struct{ Name, Query string }
	}
	if err := json.Unmarshal([]byte(out), &g); err != nil || g.By != "src" || len(g.Groups) != 1 || g.Groups[0].Query != "src 127.0.0.1" {
		t.Errorf("%v: %s", err, out)
	}
}

// screen is a terminal of 80 columns and 24 lines.
type screen struct {
	t      *testing.T
	socket string
}

func newScreen(t *testing.T, command ...string) *screen {
	t.Helper()
	nstest.NeedTool(t, "tmux")
	dir, err := os.MkdirTemp("", "screen") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{t, filepath.Join(dir, "s")}
	t.Cleanup(func() {
		exec.Command("tmux", "-S", s.socket, "kill-server").Run()
		os.RemoveAll(dir)
	})
	// What is left on the screen is to be seen after the end.
	script := `"$@"; echo "exit code $?"; sleep 100`
	s.tmux(append([]string{"-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "--", "sh", "-c", script, "sh"}, command...)...)
	return s
}

func (s *screen) tmux(args ...string) string {
	s.t.Helper()
	cmd := exec.Command("tmux", append([]string{"-S", s.socket}, args...)...)
	cmd.Env = append(os.Environ(), "TERM=xterm-256color")
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("tmux %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func (s *screen) keys(keys ...string) {
	s.t.Helper()
	s.tmux(append([]string{"send-keys"}, keys...)...)
}

// shows waits until the screen shows all of these and returns it.
func (s *screen) shows(texts ...string) (shot string) {
	s.t.Helper()
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		shot = s.tmux("capture-pane", "-p")
		missing := ""
		for _, text := range texts {
			if !strings.Contains(squeezed(shot), text) {
				missing = text
			}
		}
		if missing == "" {
			return shot
		}
		if time.Now().After(end) {
			s.t.Fatalf("the screen does not show %q:\n%s", missing, shot)
		}
	}
}

// hides waits until the screen does not show the text.
func (s *screen) hides(text string) {
	s.t.Helper()
	nstest.Wait(s.t, "the end of "+text, func() bool { return !strings.Contains(s.tmux("capture-pane", "-p"), text) })
}

// TestTopOnATerminal drives the program as a user would.
func TestTopOnATerminal(t *testing.T) {
	s := newShell(t)
	server := s.talk("127.0.0.1:5005").String()
	s.create(func(e *conntrack.Entry) { e.DstNAT = &conntrack.NAT{Addr: netip.MustParseAddr("10.9.9.9")} }, flow.TCP, "10.0.0.3:1003", "192.0.2.2:80")
	s.create(nil, flow.TCP, "10.0.0.7:40000", "192.0.2.1:22")
	s.create(nil, flow.TCP, "10.0.0.8:1001", "192.0.2.1:443")
	spoor := nstest.BuildCommand(t, "./cmd/spoor")
	state := t.TempDir()
	term := newScreen(t, "env", "LANG=C.UTF-8", "NO_COLOR=1", "XDG_STATE_HOME="+state, "SSH_CONNECTION=10.0.0.7 40000 192.0.2.1 22",
		spoor, "top", "--netns", s.ns.Path(), "--interval", "300ms")

	term.shows("4 of ", "flows, sorted by rate", "> udp", "127.0.0.1:5005 "+server, "10.0.0.3:1003 192.0.2.2:80→10.9.9.9", "? help q quit")
	term.keys("g", "s")
	term.shows("by src, sorted by rate", "10.0.0.7 1 25.0%")
	term.keys("Enter")
	term.shows("flows, sorted by rate > src 127.0.0.1", "127.0.0.1:5005")
	term.keys("Escape")
	term.shows("by src")
	term.keys("g", "f")
	term.shows("flows, sorted by rate")
	term.keys("/")
	term.keys("tcp and dprot 80")
	term.shows("^ column 9: unknown condition", "/tcp and dprot 80_")
	term.keys("C-u", "dport 80", "Enter")
	term.shows("filter: dport 80", "10.0.0.3:1003")
	term.hides("5005")
	term.hides("10.0.0.8:1001") // which tcp, typed before, has shown too
	term.keys("Enter")
	term.shows("original 10.0.0.3:1003 > 192.0.2.2:80", "destination 192.0.2.2:80→10.9.9.9", "status SEEN_REPLY ASSURED")
	term.keys("q", "?")
	term.shows("kill all that the filter selects")
	term.keys("q", "x")
	term.shows("Delete 1 flow?", "10.0.0.3:1003 > 192.0.2.2:80→10.9.9.9")
	term.keys("n")
	term.shows("nothing deleted")
	if s.count("") != "4" {
		t.Error("a refused kill has deleted something")
	}
	// All of TCP, and of that not the login.
	term.keys("/", "C-u", "tcp", "Enter", "X")
	term.shows("Delete 2 flows?", "1 flow left alone: you are logged in by it")
	term.keys("y")
	term.shows("2 flows deleted; conntrack -R ", "10.0.0.7:40000")
	if s.count("tcp") != "1" || s.count("src 10.0.0.7") != "1" || s.count("udp") != "1" {
		t.Errorf("%s of TCP are left", s.count("tcp"))
	}
	undo, _ := filepath.Glob(state + "/spoor/*.save")
	if len(undo) != 1 {
		t.Fatalf("undo files: %v", undo)
	}
	s.ns.MustRun(t, nstest.BuildCommand(t, "./cmd/conntrack"), "-R", undo[0])
	if s.count("tcp and assured") != "3" {
		t.Error("what was deleted does not come back")
	}
	// Freeze: what comes is not shown before the end of it.
	term.keys("/", "C-u", "Enter", "Home")
	term.shows("new 0/s", "> udp") // compared with a sample of the same filter
	term.keys("Space")
	term.shows("FROZEN", "5005")
	s.create(nil, flow.UDP, "10.0.0.55:1", "192.0.2.1:1")
	time.Sleep(700 * time.Millisecond)
	if shot := term.shows("FROZEN"); strings.Contains(shot, "10.0.0.55") {
		t.Errorf("frozen, and yet:\n%s", shot)
	}
	term.keys("Space")
	term.shows("+udp UNREPLIED 10.0.0.55:1 192.0.2.1:1")
	// Another size, with the mouse.
	term.tmux("resize-window", "-x", "120", "-y", "30")
	term.shows("PROTO STATE SOURCE DESTINATION BYTES/S PKTS/S BYTES PACKETS AGE EXPIRES")
	term.tmux("resize-window", "-x", "20", "-y", "4")
	term.shows("> udp")
	term.tmux("resize-window", "-x", "80", "-y", "24")
	term.shows("? help q quit")
	term.keys("q")
	if shot := term.shows("exit code 0"); strings.Contains(shot, "sorted by") {
		t.Errorf("the screen was not given back:\n%s", shot)
	}
}

// TestTopIsAJobOfTheShell stops it with Ctrl-Z and lets it go on.
func TestTopIsAJobOfTheShell(t *testing.T) {
	s := newShell(t)
	s.create(nil, flow.TCP, "10.0.0.8:1001", "192.0.2.1:443")
	spoor := nstest.BuildCommand(t, "./cmd/spoor")
	term := newScreen(t, "env", "LANG=C.UTF-8", "NO_COLOR=1", "PS1=ready> ", "bash", "--norc", "--noediting", "-i")
	term.shows("ready>")
	term.keys(spoor+" top --netns "+s.ns.Path(), "Enter")
	term.shows("10.0.0.8:1001", "? help q quit")
	term.keys("C-z")
	if shot := term.shows("Stopped", "ready>"); strings.Contains(shot, "? help") {
		t.Errorf("the screen was not given back:\n%s", shot)
	}
	s.create(nil, flow.TCP, "10.0.0.9:1001", "192.0.2.1:443")
	term.keys("fg", "Enter")
	term.shows("10.0.0.9:1001", "? help q quit")
	term.keys("q")
	term.shows("ready>")
}

// TestTopWithoutATerminalToUse says so before it takes the screen.
func TestTopWithoutATerminalToUse(t *testing.T) {
	s := newShell(t)
	spoor := nstest.BuildCommand(t, "./cmd/spoor")
	newScreen(t, "env", "TERM=dumb", spoor, "top", "--netns", s.ns.Path()).shows(`the terminal is of type "dumb"`, "exit code 2")
	newScreen(t, "env", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", spoor, "top").shows("CAP_NET_ADMIN", "exit code 1")
	newScreen(t, "env", spoor, "top", "--netns", s.ns.Path(), "tcp and and").shows("exit code 2")
	term := newScreen(t, "env", spoor, "top", "--netns", s.ns.Path())
	term.shows("the table is empty")
	term.keys("C-c")
	term.shows("exit code 0")
}

// hangUp ends a command when it has written something.
type hangUp func()

func (h hangUp) Write(b []byte) (int, error) { h(); return len(b), nil }

func TestTopEndsWellWhenItIsInterrupted(t *testing.T) {
	s := newShell(t)
	ctx, cancel := context.WithCancel(t.Context())
	env := &Env{Stdin: strings.NewReader(""), Stdout: hangUp(cancel), Stderr: io.Discard, Getenv: func(string) string { return "" }}
	c := &call{ctx: ctx, env: env, out: bufio.NewWriter(env.Stdout), cmd: &topCommand}
	if err := c.scan([]string{"--json", "--interval", "100ms", "--netns", s.ns.Path()}); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.run(c); err != nil || ctx.Err() == nil {
		t.Errorf("%v, interrupted: %v", err, ctx.Err())
	}
}
