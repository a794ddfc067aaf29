//go:build linux

package netns_test

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"testing"

	"github.com/spoor-project/spoor/internal/netns"
	"github.com/spoor-project/spoor/internal/nstest"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

func here(t *testing.T) string {
	t.Helper()
	name, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestDoIsInsideAndComesBack(t *testing.T) {
	nstest.NeedRoot(t)
	ns := nstest.New(t)
	home, stop := here(t), errors.New("stop")
	var inside string
	if err := netns.DoAt(ns.Path(), func() error { inside = here(t); return stop }); err != stop {
		t.Errorf("error %v, want that of what was done", err)
	}
	if inside == home || here(t) != home {
		t.Errorf("inside %s, then %s, at home %s", inside, here(t), home)
	}
	if err := netns.DoAt("", func() error { inside = here(t); return nil }); err != nil || inside != home {
		t.Errorf("without a namespace: %s, %v", inside, err)
	}
	if err := netns.DoAt("/nowhere", func() error { t.Error("done"); return nil }); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such file: %v", err)
	}
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := netns.Do(file, func() error { t.Error("done"); return nil }); err == nil {
		t.Error("a file that is no namespace was entered")
	}
	if here(t) != home {
		t.Error("not at home any more")
	}
}

func TestPath(t *testing.T) {
	self := strconv.Itoa(os.Getpid())
	for word, want := range map[string]string{
		self: "/proc/" + self + "/ns/net", "/proc/self/ns/net": "/proc/self/ns/net",
	} {
		if got, err := netns.Path(word); err != nil || got != want {
			t.Errorf("%q: %s, %v", word, got, err)
		}
	}
	for word, want := range map[string]error{
		"": netns.ErrName, ".": netns.ErrName, "..": netns.ErrName, "no-such-name": fs.ErrNotExist, "99999999": fs.ErrNotExist,
	} {
		if got, err := netns.Path(word); !errors.Is(err, want) {
			t.Errorf("%q: %s, %v, want %v", word, got, err, want)
		}
	}
}
