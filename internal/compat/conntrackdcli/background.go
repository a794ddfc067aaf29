package conntrackdcli

import (
	"os"
	"strconv"
	"syscall"

	"github.com/spoor-project/spoor/internal/sdnotify"
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
		newNotifier(true).Say("MAINPID=" + strconv.Itoa(child.Pid))
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

// newNotifier is silent unless the configuration wants systemd to be told.
func newNotifier(wanted bool) *sdnotify.Notifier {
	if !wanted {
		return &sdnotify.Notifier{}
	}
	return sdnotify.New()
}
