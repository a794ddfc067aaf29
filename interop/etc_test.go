//go:build linux

package interop_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/spoor-project/spoor/internal/nstest"
	"golang.org/x/sys/unix"
)

// etcDir is a replacement for /etc: conntrack 1.4.7 reads its label map from /etc/xtables only.
type etcDir struct {
	dir    string   // what it holds
	mounts *os.File // mount namespace in which it lies on /etc
}

// newEtc makes an /etc which holds the given files and what name resolution and the dynamic linker want.
func newEtc(t testing.TB, files map[string]string) *etcDir {
	t.Helper()
	nstest.NeedRoot(t)
	dir := t.TempDir()
	for _, name := range []string{"protocols", "services", "nsswitch.conf", "ld.so.cache"} {
		if content, err := os.ReadFile(filepath.Join("/etc", name)); err == nil {
			write(t, filepath.Join(dir, name), string(content))
		}
	}
	for name, content := range files {
		write(t, filepath.Join(dir, name), content)
	}
	etc := &etcDir{dir: dir}
	err := onDoomedThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return os.NewSyscallError("mount private", err)
		}
		if err := unix.Mount(dir, "/etc", "", unix.MS_BIND, ""); err != nil {
			return os.NewSyscallError("mount bind", err)
		}
		var err error
		etc.mounts, err = os.Open("/proc/thread-self/ns/mnt")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { etc.mounts.Close() })
	return etc
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// start starts a command which sees this /etc.
func (e *etcDir) start(cmd *nstest.Cmd) error {
	return onDoomedThread(func() error {
		// A thread shares its working directory with the process until told otherwise, and as long cannot change namespace.
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		if err := unix.Setns(int(e.mounts.Fd()), unix.CLONE_NEWNS); err != nil {
			return os.NewSyscallError("setns", err)
		}
		return cmd.Start()
	})
}

// onDoomedThread runs fn on a thread of its own, which ends afterwards: nothing fn does to it can be seen elsewhere.
func onDoomedThread(fn func() error) error {
	err := make(chan error)
	go func() {
		runtime.LockOSThread()
		err <- fn()
	}()
	return <-err
}
