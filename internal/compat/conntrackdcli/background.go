package conntrackdcli

import (
	"context"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"
)

// A Go program cannot fork. So -d starts the same program again, with the same arguments, in a session of
// its own, and waits until it says that it is ready: from then on requests are answered.

// readyVariable names the descriptor on which the second program says so.
const readyVariable = "SPOOR_CONNTRACKD_READY"

func inBackground() bool { return os.Getenv(readyVariable) != "" }

// background starts the daemon and returns when it is ready, or has failed and said why.
func (p *program) background() error {
	r, w, err := os.Pipe()
	if err != nil {
		return p.fail("fork has failed: %v", err)
	}
	defer r.Close()
	files := []*os.File{os.Stdin, os.Stdout, os.Stderr, w}
	child, err := os.StartProcess("/proc/self/exe", p.args, &os.ProcAttr{
		Env: append(os.Environ(), readyVariable+"=3"), Files: files, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	w.Close()
	if err != nil {
		return p.fail("fork has failed: %v", err)
	}
	if p.cfg.General.Systemd {
		newNotifier(true).say("MAINPID=" + strconv.Itoa(child.Pid))
	}
	var b [1]byte
	if n, _ := r.Read(b[:]); n == 1 {
		child.Release()
		return nil
	}
	child.Wait()
	return errFailed
}

// leaveConsole says that the daemon is ready and lets go of the console.
func leaveConsole() {
	if null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0); err == nil {
		for fd := range 3 {
			syscall.Dup3(int(null.Fd()), fd, 0)
		}
		null.Close()
	}
	if fd, err := strconv.Atoi(os.Getenv(readyVariable)); err == nil {
		ready := os.NewFile(uintptr(fd), "ready")
		ready.Write([]byte{1})
		ready.Close()
	}
	os.Unsetenv(readyVariable)
}

// notifier tells systemd how the daemon is; see sd_notify(3).
type notifier struct{ path string }

func newNotifier(wanted bool) *notifier {
	if !wanted {
		return &notifier{}
	}
	return &notifier{os.Getenv("NOTIFY_SOCKET")}
}

func (n *notifier) say(text string) {
	if n.path == "" {
		return
	}
	if c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.path, Net: "unixgram"}); err == nil {
		c.Write([]byte(text))
		c.Close()
	}
}

// watchdog says twice in each watchdog interval that the daemon is alive, if it is, until stop is called.
func (n *notifier) watchdog(alive func(context.Context) bool) (stop func()) {
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if n.path == "" || err != nil || usec < 2 {
		return func() {}
	}
	interval := time.Duration(usec/2) * time.Microsecond
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		t := time.NewTicker(interval)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				within, cancel := context.WithTimeout(ctx, interval/2)
				if alive(within) {
					n.say("WATCHDOG=1")
				}
				cancel()
			case <-ctx.Done():
				return
			}
		}
	}()
	return stop
}
