//go:build linux

package agent

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/config"
	"github.com/spoor-project/spoor/internal/nstest"
)

// Where the kernel has user-space helpers they run, where not the daemon does not start, and says why.
func TestHelpersRunOrTheDaemonDoesNotStart(t *testing.T) {
	ns := nstest.New(t)
	const text = "Helper { Setup on Type slp inet6 udp { QueueNum 77 QueueLen 100 Policy slp { ExpectMax 5 ExpectTimeout 20 } } }"
	f := config.Parse("test", []byte(text), config.Lookup{})
	if err := f.Err(); err != nil {
		t.Fatal(err)
	}
	c, err := conntrack.Dial(&conntrack.Options{NetNS: ns.Path()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	supported := true
	for _, err := range c.Helpers(t.Context()) {
		supported = supported && err == nil
	}
	var out bytes.Buffer
	var d *Daemon
	ns.Do(func() { d, err = Open(&f.Config, &Log{Out: &out, Err: &out}, 1) })
	if !supported {
		var refused *HelperError
		if !errors.As(err, &refused) || !strings.HasPrefix(refused.Error(), "trying to configure cthelper `slp': ") || refused.Advice == "" {
			t.Errorf("got %v, want that the helper was refused, and advice", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	key := conntrack.HelperKey{Name: "slp", Family: flow.IPv6, Proto: flow.UDP}
	defer c.DeleteHelper(context.Background(), key)
	want := conntrack.HelperClass{Name: "slp", MaxExpects: 5, Timeout: 20 * time.Second}
	h, err := c.GetHelper(t.Context(), key)
	if err != nil || h.Queue != 77 || !h.Enabled || len(h.Classes) != 1 || h.Classes[0] != want {
		t.Errorf("registered is %+v, %v", h, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	if !d.Alive(ctx) {
		t.Error("the daemon does not answer")
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for _, line := range []string{"configuring helper `slp' with queuenum=77 and queuelen=100", "policy name=slp expect_timeout=20 expect_max=5",
		"helper `slp' configured successfully"} {
		if !strings.Contains(out.String(), "[notice] "+line+"\n") {
			t.Errorf("the log lacks %q:\n%s", line, out.String())
		}
	}
	// Started again it finds what it has registered.
	ns.Do(func() { d, err = Open(&f.Config, &Log{}, 1) })
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
