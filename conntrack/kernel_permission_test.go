//go:build linux

package conntrack_test

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nstest"
)

// unprivileged runs fn on a thread without capabilities.
func unprivileged(t *testing.T, fn func()) {
	t.Helper()
	runtime.LockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var had [2]unix.CapUserData
	if err := unix.Capget(&header, &had[0]); err != nil {
		t.Fatal(err)
	}
	none := had
	none[0].Effective, none[1].Effective = 0, 0
	if err := unix.Capset(&header, &none[0]); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Capset(&header, &had[0]); err != nil {
			t.Error(err)
			return // the thread stays locked and ends with the test
		}
		runtime.UnlockOSThread()
	}()
	fn()
}

func TestWithoutPrivilegeEverythingIsRefusedWithAdvice(t *testing.T) {
	ns := nstest.New(t)
	ns.Do(func() {
		unprivileged(t, func() {
			c, err := conntrack.Dial(nil)
			if err != nil {
				t.Fatalf("Dial needs no privilege: %v", err)
			}
			defer c.Close()
			ctx := limited(t)
			some := entry(tuple(flow.TCP, flow.IPv4, 1))
			for name, err := range map[string]error{
				"get flow":                    second(c.Get(ctx, some.Orig, 0)),
				"create flow":                 c.Create(ctx, some),
				"update flow":                 c.Update(ctx, some.Orig, 0, conntrack.Change{}),
				"delete flow":                 c.Delete(ctx, &flow.Flow{Orig: some.Orig}),
				"flush flows":                 c.Flush(ctx, nil),
				"read statistics":             second(c.Count(ctx)),
				"list flows":                  last(c.Flows(ctx, nil)),
				"list expectations":           last(c.Expects(ctx, flow.AnyFamily)),
				"flush expectations":          c.FlushExpects(ctx),
				"follow flows":                last(c.Follow(ctx, nil)),
				"follow expectations":         last(c.FollowExpects(ctx, nil)),
				"read expectation statistics": second(c.ExpectStats(ctx)),
			} {
				if !errors.Is(err, conntrack.ErrPermission) || !errors.Is(err, fs.ErrPermission) {
					t.Errorf("%s: %v, want %v", name, err, conntrack.ErrPermission)
				} else if text := err.Error(); !strings.HasPrefix(text, name+": ") || !strings.Contains(text, "needs CAP_NET_ADMIN") {
					t.Errorf("%s: %q gives no advice", name, text)
				}
			}
			_, err = conntrack.Dial(&conntrack.Options{NetNS: "/proc/thread-self/ns/net"})
			if !errors.Is(err, conntrack.ErrPermission) || !strings.Contains(err.Error(), "needs CAP_SYS_ADMIN") {
				t.Errorf("Dial elsewhere: %v, want %v and advice", err, conntrack.ErrPermission)
			}
		})
	})
}

func second[T any](_ T, err error) error { return err }

func last[T any](seq func(func(T, error) bool)) (err error) {
	seq(func(_ T, e error) bool { err = e; return true })
	return err
}

// A listener who may not have the buffer asked for has what it may have.
func TestWithoutPrivilegeBuffersAreTheUsual(t *testing.T) {
	ns := nstest.New(t)
	var limit int
	ns.Do(func() {
		c, err := conntrack.Dial(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		// Joining needs privilege; a listener to nothing does not.
		unprivileged(t, func() {
			s, err := c.Subscribe(&conntrack.FollowOptions{Types: []flow.EventType{}, Buffer: 1 << 30})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			limit = s.Buffer()
		})
	})
	if limit <= 0 || limit >= 1<<30 {
		t.Errorf("buffer of %d bytes", limit)
	}
}

func TestDialByPath(t *testing.T) {
	t.Parallel()
	ns, c := kernel(t)
	other, _ := kernel(t)
	create(t, c, entry(tuple(flow.UDP, flow.IPv4, 1)))
	if n := count(t, dial(t, ns)); n != 1 {
		t.Errorf("a client of the same namespace counts %d, want 1", n)
	}
	if n := count(t, dial(t, other)); n != 0 {
		t.Errorf("a client of another namespace counts %d, want 0", n)
	}
	// Without a path it is the namespace of the thread that calls Dial.
	ns.Do(func() {
		here, err := conntrack.Dial(&conntrack.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer here.Close()
		if n := count(t, here); n != 1 {
			t.Errorf("a client of the thread's namespace counts %d, want 1", n)
		}
	})
	for path, want := range map[string]error{"/nonexistent": fs.ErrNotExist, "/dev/null": unix.EINVAL} {
		if _, err := conntrack.Dial(&conntrack.Options{NetNS: path}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
	// The namespace stays reachable when its path is gone.
	link := t.TempDir() + "/ns"
	if err := os.Symlink(ns.Path(), link); err != nil {
		t.Fatal(err)
	}
	named, err := conntrack.Dial(&conntrack.Options{NetNS: link})
	if err != nil {
		t.Fatal(err)
	}
	defer named.Close()
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if all := list(t, named, nil); len(all) != 1 {
		t.Errorf("%d flows, want 1", len(all))
	}
}
