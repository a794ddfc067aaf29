package duty

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spoor-project/spoor/internal/guard"
)

const (
	runTime   = 30 * time.Second // then the command is killed
	runOutput = 4 << 10          // bytes that are kept of what it writes
)

// Runner runs commands, one at a time. The zero Runner is not ready; see [NewRunner].
type Runner struct {
	turn chan struct{}
	time time.Duration
}

// NewRunner returns a runner.
func NewRunner() *Runner { return &Runner{make(chan struct{}, 1), runTime} }

// Run runs a command because of a finding, without a shell, and returns what it has written, at most 4 KiB of it. In its arguments %o is the offender, %k the
// kind, %m the finding in words, %i its number and %% a percent sign. SPOOR_OFFENDER, SPOOR_KIND and SPOOR_FINDING (the finding as JSON) are in its environment,
// and its input is the JSON. It has half a minute; when it ends, or must, everything that it has started and that is still in its process group is killed.
func (r *Runner) Run(ctx context.Context, command []string, f *guard.Finding) (output string, err error) {
	if len(command) == 0 {
		return "", errors.New("run: no command")
	}
	fail := func(err error) error { return fmt.Errorf("run %s: %w", command[0], err) }
	document, err := json.Marshal(f)
	if err != nil {
		return "", fail(err)
	}
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return "", fail(ctx.Err())
	}
	limited, cancel := context.WithTimeout(ctx, r.time)
	defer cancel()
	cmd := exec.CommandContext(limited, command[0])
	for _, word := range command[1:] {
		cmd.Args = append(cmd.Args, expand(word, f))
	}
	cmd.Env = append(os.Environ(), "SPOOR_OFFENDER="+offenderOf(f), "SPOOR_KIND="+f.Kind.String(), "SPOOR_FINDING="+string(document))
	cmd.Dir = "/"
	cmd.Stdin = bytes.NewReader(append(document, '\n'))
	out := &beginning{most: runOutput}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second // for what has left the group and holds the output
	if err := cmd.Start(); err != nil {
		if path := (*os.PathError)(nil); errors.As(err, &path) {
			err = path.Err
		}
		return "", fail(err)
	}
	// What it leaves behind may hold the output open, so that Wait would wait for it. As long as nobody has waited for the leader, the number of
	// the group cannot be another's.
	for unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	err = cmd.Wait()
	switch {
	case errors.Is(err, exec.ErrWaitDelay):
		err = nil
	case err != nil && ctx.Err() != nil:
		err = ctx.Err()
	case err != nil && limited.Err() != nil:
		err = fmt.Errorf("killed after %v", r.time)
	}
	if err != nil {
		err = fail(err)
	}
	return string(out.kept), err
}

// offenderOf is the offender in words for programs; "" if nobody can be told.
func offenderOf(f *guard.Finding) string {
	if !f.Offender.IsValid() {
		return ""
	}
	return f.Offender.String()
}

// expand replaces what stands for a part of the finding. What it does not know stays as it is.
func expand(word string, f *guard.Finding) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(word, "%")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if word = after; word == "" {
			return b.String() + "%"
		}
		switch word[0] {
		case 'o':
			b.WriteString(offenderOf(f))
		case 'k':
			b.WriteString(f.Kind.String())
		case 'm':
			b.WriteString(f.Line())
		case 'i':
			b.WriteString(strconv.FormatUint(f.ID, 10))
		case '%':
			b.WriteByte('%')
		default:
			b.WriteString("%" + word[:1])
		}
		word = word[1:]
	}
}

// beginning keeps the first bytes of what is written to it.
type beginning struct {
	kept []byte
	most int
}

func (b *beginning) Write(p []byte) (int, error) {
	b.kept = append(b.kept, p[:min(len(p), b.most-len(b.kept))]...)
	return len(p), nil
}
