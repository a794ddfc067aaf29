//go:build linux

package nstest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// runLimit ends a program which [NS.Run] started and which does not end by itself.
const runLimit = 30 * time.Second

// Cmd is an [exec.Cmd] whose process is started inside a namespace.
type Cmd struct {
	*exec.Cmd
	ns *NS
}

// Command prepares a program, found as by [LookTool], to run inside the namespace. Cancelling ctx kills it.
func (ns *NS) Command(ctx context.Context, name string, args ...string) *Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	if cmd.Err != nil {
		if path, err := LookTool(name); err == nil {
			cmd.Path, cmd.Err = path, nil
		}
	}
	return &Cmd{Cmd: cmd, ns: ns}
}

// Start starts the program; see [exec.Cmd.Start].
func (c *Cmd) Start() error {
	var err error
	c.ns.Do(func() { err = c.Cmd.Start() })
	return err
}

// Run starts the program and waits for its end; see [exec.Cmd.Run].
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Output runs the program and returns its standard output; see [exec.Cmd.Output].
func (c *Cmd) Output() ([]byte, error) {
	if c.Stdout != nil {
		return nil, errors.New("nstest: Stdout already set")
	}
	var stdout bytes.Buffer
	c.Stdout = &stdout
	err := c.Run()
	return stdout.Bytes(), err
}

// CombinedOutput runs the program and returns what it wrote to either stream; see [exec.Cmd.CombinedOutput].
func (c *Cmd) CombinedOutput() ([]byte, error) {
	if c.Stdout != nil || c.Stderr != nil {
		return nil, errors.New("nstest: Stdout or Stderr already set")
	}
	var both bytes.Buffer
	c.Stdout, c.Stderr = &both, &both
	err := c.Run()
	return both.Bytes(), err
}

// Run runs a program inside the namespace, with an empty standard input, and returns what it wrote and its [ExitCode]. Only a
// program which cannot be started fails the test.
func (ns *NS) Run(t testing.TB, argv ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), runLimit)
	defer cancel()
	cmd := ns.Command(ctx, argv[0], argv[1:]...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	// A grandchild which keeps the pipes open must not outlast the limit.
	cmd.WaitDelay = 10 * time.Second
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", strings.Join(argv, " "), err)
	}
	return out.String(), errOut.String(), ExitCode(cmd.ProcessState)
}

// MustRun is [NS.Run] for a program which has to succeed; it returns the standard output.
func (ns *NS) MustRun(t testing.TB, argv ...string) string {
	t.Helper()
	stdout, stderr, code := ns.Run(t, argv...)
	if code != 0 {
		t.Fatalf("%s: exit status %d\n%s%s", strings.Join(argv, " "), code, stdout, stderr)
	}
	return stdout
}

// ExitCode is the status as a shell shows it: 128 plus the signal's number for a process which a signal ended.
func ExitCode(p *os.ProcessState) int {
	if ws, ok := p.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return p.ExitCode()
}
