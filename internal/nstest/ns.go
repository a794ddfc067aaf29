//go:build linux

package nstest

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// NS is one network namespace. It lives until the test which made it ends and no process or socket uses it any more.
type NS struct {
	tb   testing.TB
	file *os.File
}

// New makes a network namespace for the test: loopback down, no addresses, no rules, an empty connection tracking table. The
// test is skipped where namespaces cannot be made, see [NeedRoot].
func New(t testing.TB) *NS {
	t.Helper()
	NeedRoot(t)
	file, err := newNamespace()
	if err != nil {
		t.Fatalf("make network namespace: %v", err)
	}
	t.Cleanup(func() { file.Close() })
	return &NS{tb: t, file: file}
}

// newNamespace unshares on a goroutine of its own, so that a thread which cannot be taken back ends with the goroutine.
func newNamespace() (*os.File, error) {
	var file *os.File
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		var home *os.File
		if home, err = os.Open(threadNS); err != nil {
			runtime.UnlockOSThread()
			return
		}
		defer home.Close()
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			return
		}
		file, err = os.Open(threadNS)
		if setns(home) == nil {
			runtime.UnlockOSThread()
		}
	}()
	<-done
	return file, err
}

// threadNS is the namespace of the calling thread; /proc/self would be that of the process's first thread.
const threadNS = "/proc/thread-self/ns/net"

func setns(f *os.File) error {
	return unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
}

// Do runs fn inside the namespace, on the calling goroutine, so fn may fail the test. Sockets which fn opens stay in the
// namespace after it returned; goroutines which it starts do not run there. Inside, /proc/sys/net is that of the namespace, but
// /proc/net is not: read /proc/thread-self/net instead.
func (ns *NS) Do(fn func()) {
	ns.tb.Helper()
	runtime.LockOSThread()
	home, err := os.Open(threadNS)
	if err != nil {
		runtime.UnlockOSThread()
		ns.tb.Errorf("open own network namespace: %v", err)
		return
	}
	defer home.Close()
	if err := setns(ns.file); err != nil {
		runtime.UnlockOSThread()
		ns.tb.Errorf("enter network namespace: %v", err)
		return
	}
	defer func() {
		// A thread in the wrong namespace must not go back to the pool: left locked, it ends together with this goroutine.
		if err := setns(home); err != nil {
			ns.tb.Errorf("leave network namespace: %v", err)
			return
		}
		runtime.UnlockOSThread()
	}()
	fn()
}

// Path names the namespace in a way which this process, its children and any other process of root can open.
func (ns *NS) Path() string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns.file.Fd())
}

// LoopbackUp brings the loopback interface up; it then has 127.0.0.1/8 and ::1.
func (ns *NS) LoopbackUp() {
	ns.tb.Helper()
	ns.Do(func() {
		if err := setUp("lo"); err != nil {
			ns.tb.Fatalf("bring lo up: %v", err)
		}
	})
}

func setUp(dev string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq(dev)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, req); err != nil {
		return os.NewSyscallError("ioctl SIOCGIFFLAGS", err)
	}
	req.SetUint16(req.Uint16() | unix.IFF_UP)
	return os.NewSyscallError("ioctl SIOCSIFFLAGS", unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req))
}

// Sysctl sets a kernel variable of the namespace, named with slashes: "net/netfilter/nf_conntrack_acct".
func (ns *NS) Sysctl(name, value string) {
	ns.tb.Helper()
	ns.Do(func() {
		if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0); err != nil {
			ns.tb.Fatalf("set sysctl: %v", err)
		}
	})
}
