package netns

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Do calls do on a thread that is in the namespace ns; nil is where the caller is. What do opens stays with the namespace. /proc/sys/net and
// /proc/thread-self/net are those of the namespace meanwhile. do must not start goroutines that are to be inside, nor change the thread.
// To enter another namespace needs CAP_SYS_ADMIN.
func Do(ns *os.File, do func() error) error {
	if ns == nil {
		return do()
	}
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open own network namespace: %w", err)
	}
	defer home.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network namespace %s: %w", ns.Name(), err)
	}
	err = do()
	// A thread that cannot go home must not serve other goroutines: it stays
	// locked and dies with this one.
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, fmt.Errorf("return to own network namespace: %w", back))
	}
	runtime.UnlockOSThread()
	return err
}

// DoAt is Do in the namespace that the file of that name is; "" is where the caller is.
func DoAt(path string, do func() error) error {
	if path == "" {
		return do()
	}
	ns, err := os.Open(path)
	if err != nil {
		return err
	}
	defer ns.Close()
	return Do(ns, do)
}
