//go:build linux

package interop_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spoor-project/spoor/internal/agent"
	"github.com/spoor-project/spoor/internal/nstest"
)

// TestConntrackdProcess looks at the daemon from outside: both programs have to pass.
func TestConntrackdProcess(t *testing.T) {
	t.Parallel()
	for name, tl := range map[string]tool{"ours": ourDaemon(t), "theirs": theirDaemon(t)} {
		for _, test := range []struct {
			name string
			run  func(t *testing.T, n *node)
		}{
			{"in the background", testBackground},
			{"started twice", testStartedTwice},
			{"files", testFiles},
			{"signals", testSignals},
			{"dies", testDies},
			{"silent clients", testClientsThatMisbehave},
		} {
			t.Run(name+"/"+test.name, func(t *testing.T) {
				t.Parallel()
				left, _ := nstest.Pair(t)
				n := newNode(t, "a", left, tl)
				n.configure(setup{}, 1, 2)
				test.run(t, n)
			})
		}
	}
}

// background starts the daemon with -d and returns its process.
func (n *node) background() (pid int) {
	n.t.Helper()
	if r := n.run(job{argv: []string{"conntrackd", "-C", n.conf, "-d"}}); r != (result{}) {
		n.t.Fatalf("-d: %v", r)
	}
	if n.ask(agent.StatRuntime) == "" {
		n.t.Error("-d has returned, and nobody answers")
	}
	pids := n.pids()
	if len(pids) != 1 {
		n.t.Fatalf("processes %v, want one", pids)
	}
	return pids[0]
}

// status is a line of the process's status.
func status(pid int, name string) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil && status(pid, "State")[:1] != "Z" }

// endOf waits for the end of a process that is not ours to wait for.
func endOf(t *testing.T, pid int) {
	t.Helper()
	nstest.Wait(t, "the end of the daemon", func() bool { return !alive(pid) })
}

func testBackground(t *testing.T, n *node) {
	pid := n.background()
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if want := strings.Join([]string{"conntrackd", "-C", n.conf, "-d", ""}, "\x00"); string(line) != want {
		t.Errorf("command line %q, want %q", line, want)
	}
	if dir, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); dir != "/" {
		t.Errorf("works in %s", dir)
	}
	if status(pid, "NSsid") != fmt.Sprint(pid) {
		t.Errorf("session of %s, not its own", status(pid, "NSsid"))
	}
	if status(pid, "Umask") != "0177" {
		t.Errorf("umask %s", status(pid, "Umask"))
	}
	// Nothing of the console is left, where the program that started it would wait for its end.
	for fd := range 3 {
		if target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd)); strings.HasPrefix(target, "pipe:") {
			t.Errorf("descriptor %d is still the caller's %s", fd, target)
		}
	}
	text, _ := os.ReadFile(n.log)
	if !strings.Contains(string(text), fmt.Sprintf("(pid=%d) [notice] -- starting in daemon mode --\n", pid)) {
		t.Errorf("log of process %d:\n%s", pid, text)
	}
	n.client("-k")
	endOf(t, pid)
	text, _ = os.ReadFile(n.log)
	if !strings.HasSuffix(string(text), fmt.Sprintf("(pid=%d) [notice] ---- shutdown received ----\n", pid)) {
		t.Errorf("log of process %d:\n%s", pid, text)
	}
	n.wantFiles()
}

// wantFiles wants these files, of those that come and go, to be there.
func (n *node) wantFiles(names ...string) {
	n.t.Helper()
	var there []string
	for _, name := range []string{"ctl", "lock"} {
		if _, err := os.Lstat(filepath.Join(n.dir, name)); !errors.Is(err, fs.ErrNotExist) {
			there = append(there, name)
		}
	}
	if !slices.Equal(there, names) {
		n.t.Errorf("files %v, want %v", there, names)
	}
}

func testStartedTwice(t *testing.T, n *node) {
	const text = "[ERROR] lockfile `%s' exists, perhaps conntrackd already running?\n"
	first := n.background()
	if r := n.run(job{argv: []string{"conntrackd", "-C", n.conf, "-d"}}); r != (result{exit: 1}) {
		t.Errorf("second start with -d: %v", r)
	}
	if r := n.run(job{argv: []string{"conntrackd", "-C", n.conf}}); r.exit != 1 || r.stdout != "" || !strings.HasSuffix(r.stderr, fmt.Sprintf(text, n.lock)) {
		t.Errorf("second start: %v", r)
	}
	log, _ := os.ReadFile(n.log)
	if c := strings.Count(string(log), fmt.Sprintf(text, n.lock)); c != 2 {
		t.Errorf("log:\n%s", log)
	}
	if pids := n.pids(); !slices.Equal(pids, []int{first}) || n.ask(agent.StatRuntime) == "" {
		t.Errorf("processes %v, want %d, which answers", pids, first)
	}
	n.wantFiles("ctl", "lock")
}

func testFiles(t *testing.T, n *node) {
	n.background()
	for _, want := range []struct {
		path string
		mode fs.FileMode
		size bool
	}{{n.lock, 0o600, false}, {n.ctl, fs.ModeSocket | 0o600, false}, {n.log, 0o600, true}} {
		info, err := os.Stat(want.path)
		if err != nil {
			t.Error(err)
		} else if info.Mode() != want.mode || (info.Size() > 0) != want.size {
			t.Errorf("%s: %v, %d bytes", want.path, info.Mode(), info.Size())
		}
	}
	// Who has the lock is not asked for: it is there.
	os.Remove(n.lock)
	n.client("-k")
	settles(t, "processes", "", func() string {
		if len(n.pids()) > 0 {
			return "some\n"
		}
		return ""
	})
	n.wantFiles()
}

func testSignals(t *testing.T, n *node) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		n.start()
		r := n.running
		for range 3 {
			r.cmd.Process.Signal(syscall.SIGPIPE)
		}
		if n.ask(agent.StatRuntime) == "" {
			t.Error("does not survive SIGPIPE")
		}
		r.cmd.Process.Signal(sig)
		n.gone(r)
		n.wantFiles()
		for _, text := range []string{"initialization completed", "-- starting in console mode --", "---- shutdown received ----"} {
			if !strings.Contains(r.stdout.String(), "[notice] "+text+"\n") {
				t.Errorf("%v: %q is not on the console:\n%s", sig, text, &r.stdout)
			}
		}
		if r.stderr.String() != "" {
			t.Errorf("%v: %s", sig, &r.stderr)
		}
	}
}

// A daemon that dies leaves its files behind. The lock has to be removed before the next start, the socket has not.
func testDies(t *testing.T, n *node) {
	n.start()
	n.running.kill()
	n.wantFiles("ctl", "lock")
	if r := n.run(job{argv: []string{"conntrackd", "-C", n.conf, "-s"}}); r.exit != 1 || !strings.HasSuffix(r.stderr, "[ERROR] can't connect: is conntrackd running? appropriate permissions?\n") {
		t.Errorf("a request: %v", r)
	}
	if r := n.run(job{argv: []string{"conntrackd", "-C", n.conf, "-d"}}); r != (result{exit: 1}) {
		t.Errorf("a start: %v", r)
	}
	n.wantFiles("ctl", "lock")
	if err := os.Remove(n.lock); err != nil {
		t.Error(err)
	}
	pid := n.background()
	syscall.Kill(pid, syscall.SIGTERM)
	endOf(t, pid)
	n.wantFiles()
}

// Clients which say nothing, or too much. The original waits for the first for ever, so it is not asked.
func testClientsThatMisbehave(t *testing.T, n *node) {
	n.start()
	dial := func() net.Conn {
		c, err := net.Dial("unix", n.ctl)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(patienceLimit))
		return c
	}
	answered := func(what string) {
		t.Helper()
		if n.ask(agent.StatRuntime) == "" {
			t.Errorf("no answer after %s", what)
		}
	}
	dial().Close()
	answered("a client who left")
	if !n.tool.foreign {
		silent := dial()
		defer silent.Close()
		answered("a client who says nothing")
		short := dial()
		defer short.Close()
		short.Write([]byte{1})
		answered("a client who says little")
	}
	for _, request := range [][]byte{{255, 255, 255, 255}, {99, 0, 0, 0}, {27, 0, 0, 0}, {0, 0, 0, 0x80}} {
		c := dial()
		c.Write(request)
		if b := make([]byte, 10); true {
			if n, err := c.Read(b); n > 0 || err == nil {
				t.Errorf("request % x: answered %q", request, b[:n])
			}
		}
		c.Close()
		answered("a request that nobody knows")
	}
	c := dial()
	c.Write(slices.Concat([]byte{byte(agent.StatRuntime), 0, 0, 0}, make([]byte, 1000)))
	c.Close()
	answered("a client who says too much")
	c = dial()
	c.Write([]byte{byte(agent.StatGeneral), 0, 0, 0})
	c.Close() // before the answer
	answered("a client who does not listen")
	n.stop()
}
