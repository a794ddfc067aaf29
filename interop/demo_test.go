//go:build linux

package interop_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spoor-project/spoor/internal/nstest"
)

// demo runs interop/demo in a short version, perhaps interrupts it, and returns what it printed and its exit code. It must leave no file behind.
func demo(t *testing.T, interrupt bool, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	nstest.NeedRoot(t)
	nstest.NeedTool(t, "ip", "nft")
	program, conntrackd := nstest.BuildCommand(t, "./interop/demo"), nstest.BuildCommand(t, "./cmd/conntrackd")
	ctx, cancel := context.WithTimeout(context.Background(), jobLimit)
	defer cancel()
	args = append([]string{"-conntrackd", conntrackd, "-connections", "10", "-before", "500ms", "-after", "2s"}, args...)
	cmd := exec.CommandContext(ctx, program, args...)
	// The paths of sockets must be short, so this is no t.TempDir.
	dir, err := os.MkdirTemp("", "spoor-demo-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &complaint, time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if interrupt {
		nstest.Wait(t, "the demo's files", func() bool {
			files, _ := os.ReadDir(dir)
			return len(files) > 0
		})
		time.Sleep(700 * time.Millisecond)
		cmd.Process.Signal(os.Interrupt)
	}
	cmd.Wait()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	for line := range strings.Lines(out.String()) {
		if utf8.RuneCountInString(line) > 80 {
			t.Errorf("wider than 80 columns: %s", line)
		}
	}
	return out.String(), complaint.String(), nstest.ExitCode(cmd.ProcessState)
}

func TestDemoKeepsAllConnections(t *testing.T) {
	for name, args := range map[string][]string{
		"ours":             nil,
		"theirs-dies":      {"-theirs", "1"},
		"theirs-takes-on":  {"-theirs", "2"},
		"many-connections": {"-connections", "100"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if strings.HasPrefix(name, "theirs") {
				nstest.NeedTool(t, "/usr/sbin/conntrackd")
			}
			stdout, stderr, code := demo(t, false, args...)
			wanted := "connections alive  10 of 10\n"
			if name == "many-connections" {
				wanted = "connections alive  100 of 100\n"
			}
			if code != 0 || !strings.Contains(stdout, wanted) || stderr != "" {
				t.Errorf("exit %d\n%s%s", code, stdout, stderr)
			}
		})
	}
}

// TestDemoNoticesDeaths: what the demo shows is conntrackd's doing. Without the commit no connection gets through.
func TestDemoNoticesDeaths(t *testing.T) {
	t.Parallel()
	stdout, stderr, code := demo(t, false, "-commit=false", "-after", "500ms")
	if code != 1 || !strings.Contains(stdout, "connections alive  0 of 10\n") || stderr != "" {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
}

func TestDemoCanBeInterrupted(t *testing.T) {
	t.Parallel()
	_, stderr, code := demo(t, true)
	if code != 1 || !strings.HasPrefix(stderr, "demo: interrupted") {
		t.Errorf("exit %d\n%s", code, stderr)
	}
}

func TestDemoRefusesWhatItCannotDo(t *testing.T) {
	nstest.NeedRoot(t)
	for _, args := range [][]string{{"-theirs", "3"}, {"-connections", "0"}, {"-after", "1h"}, {"extra"}} {
		if stdout, stderr, code := demo(t, false, args...); code != 2 || stdout != "" || !strings.HasPrefix(stderr, "demo: ") {
			t.Errorf("%v: exit %d\n%s%s", args, code, stdout, stderr)
		}
	}
}
