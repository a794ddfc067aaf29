package sdnotify

import (
	"context"
	"net"
	"os"
	"strconv"
	"time"
)

// Notifier says something to systemd. The zero value says nothing.
type Notifier struct{ path string }

// New returns the notifier of this process: a silent one if systemd did not ask for notices (NOTIFY_SOCKET).
func New() *Notifier { return &Notifier{os.Getenv("NOTIFY_SOCKET")} }

// Say sends assignments, a line each, such as "READY=1". Nobody learns of a failure: the service is more important.
func (n *Notifier) Say(text string) {
	if n.path == "" {
		return
	}
	if c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.path, Net: "unixgram"}); err == nil {
		c.Write([]byte(text))
		c.Close()
	}
}

// Watchdog says twice in each watchdog interval (WATCHDOG_USEC) that the service is alive, if it is, until stop is called.
func (n *Notifier) Watchdog(alive func(context.Context) bool) (stop func()) {
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
					n.Say("WATCHDOG=1")
				}
				cancel()
			case <-ctx.Done():
				return
			}
		}
	}()
	return stop
}
