package sdnotify

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"
)

func TestNoticesArrive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	systemd.SetReadDeadline(time.Now().Add(10 * time.Second))
	next := func() string {
		b := make([]byte, 100)
		n, err := systemd.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "20000")
	n := New()
	n.Say("READY=1")
	if got := next(); got != "READY=1" {
		t.Errorf("%q", got)
	}
	asked := make(chan struct{}, 1)
	stop := n.Watchdog(func(context.Context) bool {
		select {
		case asked <- struct{}{}:
			return false
		default:
			return true
		}
	})
	defer stop()
	if got := next(); got != "WATCHDOG=1" || len(asked) != 1 {
		t.Errorf("%q, after %d refusals", got, len(asked))
	}
	New().Say("") // and nothing that is wrong with a socket is anybody's trouble
	t.Setenv("NOTIFY_SOCKET", path+"-gone")
	New().Say("READY=1")
	new(Notifier).Say("READY=1")
}
